//! One service: its instances, streams and series, and where each point falls in time.

use super::{
    family::{Family, FamilyKey, Owner, Shape},
    keys::{BuildIdentity, Canonical, Interner, Pairs, mix},
    logs::{LogWindow, Logs, severity_range},
    quality::Cardinality,
    senders::{Instance, Speaker},
    settings::{IngestCounters, IngestSettings},
    spans::{Operations, SpanWindow, span_time},
    stream::{Number, Reading, Spread, Stream, Taken},
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
pub(super) const MAX_RESOURCE_ATTRIBUTES: usize = 64;

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
    pub(super) newest: u64,
    /// All windows that end here or earlier are closed.
    pub(super) closed_until: u64,
    /// Nanoseconds added to times of receipt while `closed_until` lies after them.
    pub(super) ahead: u64,
    /// The clock when telemetry last came.
    #[serde(skip)]
    heard: u64,
    /// Start and end of the window into which the last point fell.
    #[serde(skip)]
    current: (u64, u64),
    pub(super) open: VecDeque<OpenWindow>,
    pub(super) instances: LruSlab<Instance>,
    #[serde(skip)]
    pub(super) instance_by_raw: HashMap<u64, Slot, BuildIdentity>,
    #[serde(skip)]
    pub(super) instance_by_identity: HashMap<u64, Slot, BuildIdentity>,
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

// === impl Service: instances ===

impl Service {
    pub(super) fn new(key: ServiceKey, shared: &mut Shared) -> Self {
        Self {
            key,
            resource: Arc::default(),
            newest: 0,
            closed_until: 0,
            ahead: 0,
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
}

// === impl Service: time ===

impl Service {
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
