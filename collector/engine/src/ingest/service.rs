//! One service: its instances, streams and series, and where each point falls in time.

use super::{
    family::{Family, FamilyKey, Owner, Shape},
    keys::{BuildIdentity, Canonical, Interner, Pairs, mix, names_one_instance},
    logs::{LogWindow, Logs, severity_range},
    quality::Cardinality,
    settings::{IngestCounters, IngestSettings},
    spans::{Operations, SpanWindow, span_time},
    stream::{Number, Reading, Spread, Stream, Taken, When},
};
use crate::{
    lru::{LruSlab, Slot},
    signal::{Attributes, LogRecord, Span},
    window::ServiceKey,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

/// Times from here on (the year 2100) are not believed whatever the clock says.
pub(super) const END_OF_TIME: u64 = 4_102_444_800_000_000_000;
/// Values of `service.version` kept per window.
const MAX_VERSIONS: usize = 16;
/// Resource attributes kept.
const MAX_RESOURCE_ATTRIBUTES: usize = 64;

/// What all services of a shard share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: IngestSettings,
    pub(super) counters: IngestCounters,
    pub(super) interner: Interner,
    /// Time of the last tick; 0 before the first.
    pub(super) clock: u64,
    /// Kept from close to close only to save allocations.
    pub(super) sums: Vec<super::close::Sum>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Service {
    pub(super) key: ServiceKey,
    pub(super) resource: Arc<Pairs>,
    /// The largest event time seen.
    newest: u64,
    /// All windows that end here or earlier are closed.
    closed_until: u64,
    /// The clock when telemetry last came.
    #[serde(skip)]
    heard: u64,
    /// Start and end of the window into which the last point fell.
    #[serde(skip)]
    current: (u64, u64),
    pub(super) open: VecDeque<OpenWindow>,
    instances: LruSlab<Instance>,
    #[serde(skip)]
    instance_by_raw: HashMap<u64, Slot, BuildIdentity>,
    #[serde(skip)]
    instance_by_identity: HashMap<u64, Slot, BuildIdentity>,
    pub(super) streams: LruSlab<Stream>,
    #[serde(skip)]
    stream_by_raw: HashMap<u64, Slot, BuildIdentity>,
    #[serde(skip)]
    pub(super) stream_by_identity: HashMap<u64, Slot, BuildIdentity>,
    pub(super) families: LruSlab<Family>,
    #[serde(skip)]
    family_by_key: BTreeMap<Arc<FamilyKey>, Slot>,
    /// Sum of the families' weights.
    series: usize,
    pub(super) operations: Operations,
    pub(super) logs: Logs,
    pub(super) cardinality: BTreeMap<Arc<str>, Cardinality>,
    pub(super) next_id: u32,
    /// Series that went away since the last window was closed.
    pub(super) gone: Vec<u32>,
    /// Versions seen in windows that were left out.
    pub(super) versions: BTreeSet<Arc<str>>,
}

/// A window that still takes points. Metric points wait in their streams.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct OpenWindow {
    pub(super) index: u64,
    pub(super) spans: SpanWindow,
    pub(super) logs: LogWindow,
    pub(super) versions: BTreeSet<Arc<str>>,
}

/// One sender of the service, told apart by all of its resource attributes.
#[derive(Debug, Deserialize, Serialize)]
struct Instance {
    identity: u64,
    resource: Arc<Pairs>,
    version: Option<Arc<str>>,
    /// Nanoseconds added to its times because its clock is behind; 0 while its clock is believed.
    offset: u64,
    /// How often `offset` changed.
    corrections: u32,
    /// The clock when it began to be late with everything.
    late_since: Option<u64>,
}

/// Who speaks at present: valid for one slice of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speaker {
    instance: Option<Slot>,
    offset: u64,
    corrections: u32,
    late: bool,
    /// Hash of instance and scope.
    pub(super) context: u64,
    identity: u64,
    /// When it was received, or the clock if that is not known; 0 if neither is.
    now: u64,
    /// Times after this are in the future.
    limit: u64,
    /// The window in which its version was noted.
    noted_in: u64,
}

/// A metric point on its way to its stream.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) name: &'a str,
    pub(super) unit: &'a str,
    pub(super) name_hash: u64,
    pub(super) shape: Shape,
    pub(super) reading: Reading,
    pub(super) attributes: &'a dyn Attributes,
}

// === impl Shared ===

impl Shared {
    pub(super) fn window_nanos(&self) -> u64 {
        self.settings.window_nanos
    }
}

// === impl Speaker ===

impl Speaker {
    pub(super) fn new(shared: &Shared, received: u64) -> Self {
        let now = if (1..END_OF_TIME).contains(&received) { received } else { shared.clock };
        let limit = if now > 0 { now.saturating_add(shared.settings.max_future_nanos) } else { u64::MAX };
        Self {
            instance: None,
            offset: 0,
            corrections: 0,
            late: false,
            context: 0,
            identity: 0,
            now,
            limit: limit.min(END_OF_TIME),
            noted_in: u64::MAX,
        }
    }

    pub(super) fn scope(&mut self, name_hash: u64) {
        self.context = mix(self.identity, name_hash);
    }

    /// The window in which its version was noted may be gone.
    pub(super) fn forget_window(&mut self) {
        self.noted_in = u64::MAX;
    }
}

// === impl Service: instances ===

impl Service {
    pub(super) fn new(key: ServiceKey, shared: &mut Shared) -> Self {
        Self {
            key,
            resource: Arc::default(),
            newest: 0,
            closed_until: 0,
            heard: shared.clock,
            current: (0, 0),
            open: VecDeque::new(),
            instances: LruSlab::default(),
            instance_by_raw: HashMap::default(),
            instance_by_identity: HashMap::default(),
            streams: LruSlab::default(),
            stream_by_raw: HashMap::default(),
            stream_by_identity: HashMap::default(),
            families: LruSlab::default(),
            family_by_key: BTreeMap::new(),
            series: 0,
            operations: Operations::new(&mut shared.interner),
            logs: Logs::new(&mut shared.interner),
            cardinality: BTreeMap::new(),
            next_id: 1,
            gone: Vec::new(),
            versions: BTreeSet::new(),
        }
    }

    /// Builds what is not saved; `false` if the parts do not fit together.
    pub(super) fn index(&mut self, shared: &Shared) -> bool {
        self.heard = shared.clock;
        self.instance_by_identity = self.instances.iter().map(|(slot, instance)| (instance.identity, slot)).collect();
        self.stream_by_identity = self.streams.iter().map(|(slot, stream)| (stream.identity, slot)).collect();
        self.family_by_key = self.families.iter().map(|(slot, family)| (Arc::clone(&family.key), slot)).collect();
        self.series = self.families.iter().map(|(_, family)| family.weight()).sum();
        self.operations.index();
        self.streams.is_whole() && self.families.is_whole() && self.instances.is_whole() && self.logs.is_whole()
    }

    /// The clock when telemetry last came.
    pub(super) fn heard(&mut self, clock: u64) -> u64 {
        // A clock that was set back must not make the service wait for it to catch up.
        self.heard = self.heard.min(clock);
        self.heard
    }

    pub(super) fn hear(&mut self, clock: u64) {
        self.heard = clock;
    }

    /// All that follows comes from this resource.
    pub(super) fn speak(&mut self, speaker: &mut Speaker, attributes: &dyn Attributes, shared: &mut Shared) {
        self.fall_silent(speaker, shared);
        let raw = attributes.raw_hash();
        let known = self.instance_by_raw.get(&raw).copied().filter(|slot| self.instances.get(*slot).is_some());
        let slot = match known {
            Some(slot) => slot,
            None => self.resolve_instance(raw, attributes, shared),
        };
        self.instances.touch(slot);
        let Some(instance) = self.instances.get(slot) else { return };
        if !Arc::ptr_eq(&self.resource, &instance.resource) {
            self.resource = Arc::clone(&instance.resource);
        }
        speaker.instance = Some(slot);
        speaker.offset = instance.offset;
        speaker.corrections = instance.corrections;
        speaker.late = instance.late_since.is_some();
        speaker.identity = instance.identity;
        speaker.context = instance.identity;
        speaker.noted_in = u64::MAX;
    }

    /// The speaker has said what it had to say for now.
    pub(super) fn fall_silent(&mut self, speaker: &Speaker, shared: &mut Shared) {
        let Some(instance) = speaker.instance.and_then(|slot| self.instances.get_mut(slot)) else { return };
        if !speaker.late {
            instance.late_since = None;
        }
        if instance.corrections != speaker.corrections {
            shared.counters.corrected_clocks += u64::from(speaker.offset > 0);
            (instance.offset, instance.corrections) = (speaker.offset, speaker.corrections);
        }
    }

    fn resolve_instance(&mut self, raw: u64, attributes: &dyn Attributes, shared: &mut Shared) -> Slot {
        let canonical = Canonical::read(attributes);
        let identity = canonical.hash();
        let max = shared.settings.max_instances_per_service;
        if self.instance_by_raw.len() >= max.saturating_mul(4) {
            self.instance_by_raw.clear();
        }
        if let Some(&slot) = self.instance_by_identity.get(&identity) {
            self.instance_by_raw.insert(raw, slot);
            return slot;
        }
        while self.instances.len() >= max
            && let Some(instance) = self.instances.oldest().and_then(|oldest| self.instances.remove(oldest))
        {
            self.instance_by_identity.remove(&instance.identity);
        }
        let pairs = canonical.shared(&mut shared.interner, MAX_RESOURCE_ATTRIBUTES, |key| !names_one_instance(key));
        let resource = if pairs == *self.resource { Arc::clone(&self.resource) } else { Arc::new(pairs) };
        let version = canonical.get("service.version").map(|version| shared.interner.share(version));
        let instance = Instance { identity, resource, version, offset: 0, corrections: 0, late_since: None };
        let slot = self.instances.insert(instance);
        self.instance_by_identity.insert(identity, slot);
        self.instance_by_raw.insert(raw, slot);
        slot
    }
}

// === impl Service: time ===

impl Service {
    /// Corrects a time and says where it falls; `None` if what it belongs to must be dropped, which is counted.
    ///
    /// The caller must call [`Service::enter_window`] next.
    pub(super) fn place(&mut self, speaker: &mut Speaker, raw: u64, start: u64, shared: &mut Shared) -> Option<When> {
        let mut when = When { time: raw, start, clock: speaker.corrections };
        if speaker.offset > 0 {
            self.correct(speaker, &mut when, raw);
        }
        if raw == 0 || when.time > speaker.limit {
            if raw > 0 {
                shared.counters.future += 1;
            }
            if speaker.now == 0 {
                shared.counters.unusable += 1;
                return None;
            }
            // Where another instance's clock runs ahead, now may be closed already.
            let time = if speaker.now >= self.closed_until { speaker.now } else { self.latest() };
            when = When { time, start: 0, ..when };
        } else if when.time < self.closed_until {
            if !self.be_late(speaker, raw, shared) {
                shared.counters.late += 1;
                return None;
            }
            when = When { time: self.latest(), start: 0, clock: speaker.corrections };
        } else {
            speaker.late = false;
        }
        self.newest = self.newest.max(when.time);
        Some(when)
    }

    /// The largest time seen, or the first that is still open where the clock closed more than that.
    fn latest(&self) -> u64 {
        self.newest.max(self.closed_until)
    }

    fn correct(&self, speaker: &mut Speaker, when: &mut When, raw: u64) {
        if raw >= self.closed_until && raw <= speaker.limit {
            // Its clock is right again.
            speaker.offset = 0;
            speaker.corrections = speaker.corrections.wrapping_add(1);
            when.clock = speaker.corrections;
            return;
        }
        when.time = raw.saturating_add(speaker.offset);
        if when.start > 0 {
            when.start = when.start.saturating_add(speaker.offset);
        }
    }

    /// An instance that has been late with everything for long has a wrong clock: from then on its times are shifted, so
    /// that this one is as late as the newest seen. `false` before that.
    fn be_late(&mut self, speaker: &mut Speaker, raw: u64, shared: &Shared) -> bool {
        let latest = self.latest();
        let Some(instance) = speaker.instance.and_then(|slot| self.instances.get_mut(slot)) else { return false };
        let since = match instance.late_since.filter(|_| speaker.late) {
            Some(since) => since,
            None => {
                speaker.late = true;
                *instance.late_since.insert(shared.clock)
            }
        };
        // A clock that was set back starts the wait anew.
        instance.late_since = Some(since.min(shared.clock));
        if shared.clock.saturating_sub(since) < shared.settings.idle_nanos {
            return false;
        }
        speaker.late = false;
        speaker.offset = latest.saturating_sub(raw);
        speaker.corrections = speaker.corrections.wrapping_add(1);
        true
    }

    /// Makes sure that the window of `time` is open, and notes the speaker's version in it. `true` if the watermark left
    /// windows behind: the caller must then close them ([`Service::poll_due`]) and enter again.
    pub(super) fn enter_window(&mut self, speaker: &mut Speaker, time: u64, shared: &Shared) -> bool {
        let next_due = self.closed_until.saturating_add(shared.window_nanos());
        if self.newest.saturating_sub(shared.settings.lateness_nanos) >= next_due {
            return true;
        }
        if time < self.current.0 || time >= self.current.1 {
            let index = time / shared.window_nanos();
            let start = index * shared.window_nanos();
            self.current = (start, start.saturating_add(shared.window_nanos()));
        }
        if speaker.noted_in != self.current.0 {
            speaker.noted_in = self.current.0;
            let instance = speaker.instance.and_then(|slot| self.instances.get(slot));
            let version = instance.and_then(|instance| instance.version.clone());
            let at = self.window(self.current.0 / shared.window_nanos());
            let window = &mut self.open[at];
            if let Some(version) = version
                && window.versions.len() < MAX_VERSIONS
            {
                window.versions.insert(version);
            }
        }
        false
    }

    /// The end of the last window that the watermark leaves behind.
    fn watermark(&self, shared: &Shared) -> u64 {
        let mark = self.newest.saturating_sub(shared.settings.lateness_nanos);
        mark - mark % shared.window_nanos()
    }

    /// Where the window `index` stands in `open`; it is opened if it is not.
    fn window(&mut self, index: u64) -> usize {
        match self.open.iter().rposition(|window| window.index <= index) {
            Some(at) if self.open[at].index == index => at,
            before => {
                let at = before.map_or(0, |before| before + 1);
                let (spans, logs) = (SpanWindow::default(), LogWindow::default());
                self.open.insert(at, OpenWindow { index, spans, logs, versions: BTreeSet::new() });
                at
            }
        }
    }

    /// The next window that the watermark has left behind, in order of time; it takes nothing any more.
    pub(super) fn poll_due(&mut self, shared: &Shared) -> Option<OpenWindow> {
        self.closed_until = self.closed_until.max(self.watermark(shared));
        let due = self
            .open
            .front()
            .is_some_and(|window| (window.index + 1).saturating_mul(shared.window_nanos()) <= self.closed_until);
        if due { self.open.pop_front() } else { None }
    }

    /// The next open window of a service that went quiet; it takes nothing any more.
    pub(super) fn poll_idle(&mut self, shared: &Shared) -> Option<OpenWindow> {
        let window = self.open.pop_front()?;
        self.closed_until = self.closed_until.max((window.index + 1).saturating_mul(shared.window_nanos()));
        Some(window)
    }

    /// Forgets which window and version were last used; needed after windows were closed.
    pub(super) fn forget_current(&mut self) {
        self.current = (0, 0);
    }
}

// === impl Service: signals ===

impl Service {
    pub(super) fn number(&mut self, speaker: &Speaker, origin: &Origin<'_>, point: Number, shared: &mut Shared) {
        let window = self.current.0;
        let window_nanos = shared.window_nanos();
        let Some(stream) = self.stream(speaker, origin, window, shared) else { return };
        let taken = stream.take_number(point, window_nanos);
        count(taken, &mut shared.counters);
    }

    /// Takes a distribution; `point` is made from the buckets that the stream had last, whose bounds it may share.
    pub(super) fn spread(
        &mut self,
        speaker: &Speaker,
        origin: &Origin<'_>,
        point: impl FnOnce(Option<&super::distribution::Buckets>) -> Option<Spread>,
        shared: &mut Shared,
    ) {
        let window = self.current.0;
        let window_nanos = shared.window_nanos();
        let Some(stream) = self.stream(speaker, origin, window, shared) else { return };
        match point(stream.newest_buckets()) {
            Some(point) => {
                let taken = stream.take_spread(point, window_nanos);
                count(taken, &mut shared.counters);
            }
            None => shared.counters.unusable += 1,
        }
    }

    pub(super) fn span(&mut self, span: &Span<'_>, shared: &mut Shared) {
        let start = self.current.0;
        let at = self.window(start / shared.window_nanos());
        let Shared { settings, counters, interner, .. } = shared;
        self.open[at].spans.take(span, start, &mut self.operations, settings, interner, counters, &mut self.gone);
        counters.spans += 1;
    }

    pub(super) fn log_record(&mut self, record: &LogRecord<'_>, shared: &mut Shared) {
        let index = self.current.0 / shared.window_nanos();
        let severity = severity_range(record.severity_number);
        let at = self.window(index);
        self.open[at].logs.count_severity(severity);
        shared.counters.log_records += 1;
        let body = if record.body.is_empty() { record.event_name } else { record.body };
        if body.is_empty() {
            return;
        }
        let Shared { settings, counters, interner, .. } = shared;
        let (template, text) =
            self.logs.observe(body, severity, self.current.0, settings, interner, counters, &mut self.gone);
        while let Some((from, into)) = self.logs.poll_merge(&mut self.gone) {
            self.open.iter_mut().for_each(|window| window.logs.merge(from, into));
        }
        self.open[at].logs.add(template, text, record.severity_number, body, settings);
    }

    fn stream(
        &mut self,
        speaker: &Speaker,
        origin: &Origin<'_>,
        window: u64,
        shared: &mut Shared,
    ) -> Option<&mut Stream> {
        let kind = origin.shape as u64 * 8 + origin.reading as u64;
        let key = mix(mix(speaker.context, origin.name_hash ^ kind), origin.attributes.raw_hash());
        let known = self.stream_by_raw.get(&key).copied().filter(|slot| self.streams.get(*slot).is_some());
        let slot = match known {
            Some(slot) => slot,
            None => self.resolve_stream(key, kind, speaker, origin, shared),
        };
        if self.streams.get(slot)?.used_in != window {
            self.streams.touch(slot);
            let stream = self.streams.get_mut(slot)?;
            stream.used_in = window;
            self.families.touch(stream.family);
        }
        self.streams.get_mut(slot)
    }

    fn resolve_stream(
        &mut self,
        key: u64,
        kind: u64,
        speaker: &Speaker,
        origin: &Origin<'_>,
        shared: &mut Shared,
    ) -> Slot {
        let max = shared.settings.max_streams_per_service;
        if self.stream_by_raw.len() >= max.saturating_mul(2) {
            self.stream_by_raw.clear();
        }
        let canonical = Canonical::read(origin.attributes);
        let identity = mix(mix(speaker.context, origin.name_hash ^ kind), canonical.hash());
        if let Some(&slot) = self.stream_by_identity.get(&identity) {
            self.stream_by_raw.insert(key, slot);
            return slot;
        }
        let attributes = canonical.shared(&mut shared.interner, shared.settings.max_series_attributes, |_| true);
        let family = self.resolve_family(
            FamilyKey {
                name: shared.interner.share(origin.name),
                unit: shared.interner.share(origin.unit),
                shape: origin.shape,
                attributes,
            },
            shared,
        );
        while self.streams.len() >= max
            && let Some(stream) = self.streams.oldest().and_then(|oldest| self.streams.remove(oldest))
        {
            self.stream_by_identity.remove(&stream.identity);
            shared.counters.evicted_streams += 1;
        }
        let stream = match origin.shape {
            Shape::Spread => Stream::spreads(identity, family, origin.reading),
            _ => Stream::numbers(identity, family, origin.reading),
        };
        let slot = self.streams.insert(stream);
        self.stream_by_identity.insert(identity, slot);
        self.stream_by_raw.insert(key, slot);
        slot
    }

    fn resolve_family(&mut self, key: FamilyKey, shared: &mut Shared) -> Slot {
        if let Some(&slot) = self.family_by_key.get(&key) {
            return slot;
        }
        let family = Family::new(Arc::new(key));
        let weight = family.weight();
        while self.series + weight > shared.settings.max_series_per_service
            && let Some(old) = self.families.oldest().and_then(|oldest| self.families.remove(oldest))
        {
            self.family_by_key.remove(&old.key);
            self.series -= old.weight();
            self.gone.extend(old.ids());
            shared.counters.evicted_series += old.weight() as u64;
        }
        self.series += weight;
        let key = Arc::clone(&family.key);
        let slot = self.families.insert(family);
        self.family_by_key.insert(key, slot);
        slot
    }

    pub(super) fn family_mut(&mut self, owner: Owner) -> Option<&mut Family> {
        match owner {
            Owner::Metric(slot) => self.families.get_mut(slot),
            Owner::Operation(_) | Owner::Entry => self.operations.family_mut(owner),
            Owner::Template(_) | Owner::Severity(_) => self.logs.family_mut(owner),
        }
    }
}

/// When a span counts.
pub(super) fn time_of_span(span: &Span<'_>) -> u64 {
    span_time(span).0
}

fn count(taken: Taken, counters: &mut IngestCounters) {
    match taken {
        Taken::Kept => counters.points += 1,
        Taken::Duplicate => counters.duplicate += 1,
        Taken::Late => counters.late += 1,
    }
}
