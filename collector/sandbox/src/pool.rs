//! All detectors for the services of one shard.

use crate::{
    detector::LoadedDetector,
    registry::Registry,
    sandbox::Sandbox,
    settings::PoolSettings,
    slot::{Occasion, Slot, Surroundings},
    state::ServiceState,
};
use foreshock_engine::{
    UnixNanos,
    calibration::Weights,
    verdict::{Detector, DetectorHealth, Detectors, Verdict},
    window::{ClosedWindow, ServiceKey},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::Arc,
};

/// Changes of health that wait to be polled. Beyond this many the oldest are forgotten; the counters still have them.
const MOST_HEALTH: usize = 4096;

/// Runs detectors for the services of one shard, each (service, detector) in a store of its own.
///
/// Works on the caller's thread and may take as long as the detectors' deadlines allow: never call it on the threads of an
/// async runtime. Services are forgotten only by [`Detectors::forget`] and are as many as the engine lets live.
pub struct DetectorPool {
    sandbox: Arc<Sandbox>,
    detectors: Vec<Arc<LoadedDetector>>,
    settings: PoolSettings,
    services: BTreeMap<ServiceKey, Service>,
    /// Services whose detectors are those from before [`DetectorPool::replace`].
    stale: BTreeSet<ServiceKey>,
    health: VecDeque<DetectorHealth>,
}

#[derive(Default)]
struct Service {
    registry: Registry,
    /// In the order of the configuration; only detectors that are for this service.
    slots: Vec<Slot>,
    /// End of the last window.
    now: UnixNanos,
}

impl DetectorPool {
    /// A pool that runs `detectors`, in the order of the configuration.
    #[must_use]
    pub fn new(sandbox: Arc<Sandbox>, detectors: Vec<Arc<LoadedDetector>>, settings: PoolSettings) -> Self {
        let (services, stale) = (BTreeMap::new(), BTreeSet::new());
        Self { sandbox, detectors, settings, services, stale, health: VecDeque::new() }
    }

    /// Runs `detectors` from each service's next window on. One that stands in the pool already (the same `Arc`) keeps its models. One
    /// with the name of another that stands there takes its place: the old model is asked for what it learned and dropped, and the
    /// next window opens the new one from that, so that each window is judged by exactly one of the two. What was learned is offered
    /// where both call themselves the same; where it is not offered, or the new one answers `bad-state`, it starts cold, and
    /// [`Detectors::poll_health`] says so.
    ///
    /// Costs next to nothing by itself: with each window that is judged, one more service that is silent follows.
    pub fn replace(&mut self, detectors: Vec<Arc<LoadedDetector>>) {
        self.detectors = detectors;
        self.stale = self.services.keys().cloned().collect();
    }

    /// Brings the detectors of a service up to date with [`DetectorPool::replace`]. `now` is the end of the window that is at hand.
    fn renew(&mut self, service: &ServiceKey, now: UnixNanos) {
        if !self.stale.remove(service) {
            return;
        }
        let Some(state) = self.services.get_mut(service) else { return };
        let mut health = Vec::new();
        let around = &mut Surroundings { sandbox: &self.sandbox, settings: &self.settings, health: &mut health };
        let mut old = std::mem::take(&mut state.slots);
        for detector in self.detectors.iter().filter(|detector| detector.is_for(service)) {
            let place = old.iter().position(|slot| slot.detector.identity.name == detector.identity.name);
            state.slots.push(match place.map(|place| old.swap_remove(place)) {
                None => Slot::new(Arc::clone(detector), &self.settings),
                Some(slot) if Arc::ptr_eq(&slot.detector, detector) => slot,
                Some(slot) => slot.hand_over(Arc::clone(detector), service, now, around),
            });
        }
        self.keep_health(health);
    }

    /// The services that it has something to keep of, in ascending order.
    pub fn services(&self) -> impl Iterator<Item = &ServiceKey> {
        self.services.keys()
    }

    /// What the detectors of a service have learned up to now. A detector that fails at this, or is paused, gives what it had
    /// last. `None` for an unknown service.
    pub fn snapshot(&mut self, service: &ServiceKey) -> Option<ServiceState> {
        // What is kept must be found by the detectors that the next start has. A service that was restored and has not spoken has
        // nothing new, and no time to say anything at.
        if let Some(now) = self.services.get(service).map(|state| state.now).filter(|now| *now > UnixNanos(0)) {
            self.renew(service, now);
        }
        let state = self.services.get_mut(service)?;
        let mut health = Vec::new();
        let around = &mut Surroundings { sandbox: &self.sandbox, settings: &self.settings, health: &mut health };
        for slot in &mut state.slots {
            slot.keep(service, state.now, around);
        }
        let models = state.slots.iter().filter_map(|slot| slot.saved(self.settings.step_ns)).collect();
        let saved = ServiceState { series: state.registry.save(), models };
        self.keep_health(health);
        Some(saved)
    }

    /// Makes the detectors of a service go on from `saved` with its next window. Gives the names of the configured detectors
    /// that found nothing of theirs in it, though there were series for them, and start cold: they are new, or their configuration changed.
    pub fn restore(&mut self, service: &ServiceKey, saved: ServiceState) -> Vec<Arc<str>> {
        let mut state = self.new_service(service);
        state.registry = Registry::restore(saved.series, self.settings.max_series);
        let mut cold = Vec::new();
        for slot in &mut state.slots {
            let had_something_to_learn = state.registry.all(slot.detector.kinds).next().is_some();
            if !slot.restore(&saved.models, self.settings.step_ns) && had_something_to_learn {
                cold.push(Arc::clone(&slot.detector.identity.name));
            }
        }
        self.services.insert(service.clone(), state);
        self.stale.remove(service);
        cold
    }

    fn new_service(&self, service: &ServiceKey) -> Service {
        let detectors = self.detectors.iter().filter(|detector| detector.is_for(service));
        let slots = detectors.map(|detector| Slot::new(Arc::clone(detector), &self.settings)).collect();
        Service { slots, ..Service::default() }
    }

    fn keep_health(&mut self, health: Vec<DetectorHealth>) {
        self.health.extend(health);
        while self.health.len() > MOST_HEALTH {
            self.health.pop_front();
        }
    }
}

impl Detectors for DetectorPool {
    fn observe(&mut self, closed: &ClosedWindow) -> Vec<(Arc<Detector>, Verdict)> {
        if !self.services.contains_key(&closed.service) {
            let service = self.new_service(&closed.service);
            self.services.insert(closed.service.clone(), service);
        }
        self.renew(&closed.service, closed.window.end);
        if let Some(silent) = self.stale.first().cloned() {
            self.renew(&silent, closed.window.end);
        }
        let Some(service) = self.services.get_mut(&closed.service) else { return Vec::new() };
        if service.slots.is_empty() {
            return Vec::new();
        }
        service.now = closed.window.end;
        let rows = closed.window.ids.len();
        let _window =
            tracing::debug_span!("window", service = %closed.service, end_ns = closed.window.end.0, rows).entered();
        let delta = service.registry.update(&closed.window, self.settings.max_series);
        let row_kinds = service.registry.kinds_of(&closed.window.ids);
        let occasion = Occasion { closed, registry: &service.registry, delta: &delta, row_kinds: &row_kinds };
        let mut health = Vec::new();
        let around = &mut Surroundings { sandbox: &self.sandbox, settings: &self.settings, health: &mut health };
        let mut verdicts = Vec::with_capacity(service.slots.len());
        for slot in &mut service.slots {
            if delta.left_out > 0 {
                slot.detector.stats.add_series_left_out(delta.left_out);
            }
            if let Some(verdict) = slot.observe(&occasion, around) {
                verdicts.push((Arc::clone(&slot.detector.identity), verdict));
            }
        }
        self.keep_health(health);
        verdicts
    }

    fn weights(&self) -> Weights {
        self.detectors.iter().map(|detector| (Arc::clone(&detector.identity.name), detector.weight)).collect()
    }

    fn poll_health(&mut self) -> Option<DetectorHealth> {
        self.health.pop_front()
    }

    fn forget(&mut self, service: &ServiceKey) {
        for slot in self.services.remove(service).iter().flat_map(|service| &service.slots) {
            slot.detector.stats.forget(service);
        }
        self.stale.remove(service);
    }
}

impl fmt::Debug for DetectorPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DetectorPool")
            .field("detectors", &self.detectors)
            .field("services", &self.services.len())
            .finish_non_exhaustive()
    }
}
