//! Who speaks for a service, and how far the times that it sends are believed.

use super::{
    keys::{Canonical, Pairs, mix, names_one_instance},
    service::{END_OF_TIME, MAX_RESOURCE_ATTRIBUTES, Service, Shared},
    stream::When,
};
use crate::{lru::Slot, signal::Attributes};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One sender of the service, told apart by all of its resource attributes.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Instance {
    pub(super) identity: u64,
    resource: Arc<Pairs>,
    pub(super) version: Option<Arc<str>>,
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
    pub(super) instance: Option<Slot>,
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
    pub(super) noted_in: u64,
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

// === impl Service: times ===

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
            when = When { time: self.received(speaker.now), start: 0, ..when };
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

    /// A time of receipt as far as the windows go: where another sender's clock ran ahead and closed it, it is shifted to go
    /// on from there.
    fn received(&mut self, now: u64) -> u64 {
        if now >= self.closed_until {
            self.ahead = 0;
            return now;
        }
        if self.ahead == 0 {
            self.ahead = self.latest() - now;
        }
        now.saturating_add(self.ahead).max(self.closed_until)
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
        let latest = self.latest();
        if when.time > speaker.limit && latest <= speaker.limit && raw < latest {
            // Its clock was set forward, but not far enough to be right: the shift that led here no longer holds.
            speaker.offset = latest - raw;
            speaker.corrections = speaker.corrections.wrapping_add(1);
            *when = When { time: latest, start: 0, clock: speaker.corrections };
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
}
