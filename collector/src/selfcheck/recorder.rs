//! Copies a service's windows and models while its detectors work.

use super::trial::{Recorded, WINDOWS};
use crate::{
    detectors,
    pipeline::{overheard::Ear, shard::SavedDetectors},
};
use bytes::Bytes;
use foreshock_engine::{
    UnixNanos,
    verdict::{Detector, Verdict},
    window::{ClosedWindow, ServiceKey},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, TrySendError},
    },
};

/// What is recorded of a service: its windows, then what its models know after the last of them.
fn finish<D: SavedDetectors>(detectors: &mut D, service: &ServiceKey, windows: Vec<ClosedWindow>) -> Option<Recorded> {
    let models = detectors.snapshot(service)?;
    let series = detectors::series_of(&models)?;
    Some(Recorded { service: service.clone(), series, models: Bytes::from(models), windows })
}

/// Records one service's next windows from time to time: never more than one service at a time, each in turn.
pub(crate) struct InTurn {
    every_nanos: u64,
    /// The service whose turn it was, and when.
    last: Option<(ServiceKey, UnixNanos)>,
    /// The largest end of a window so far; services differ a little.
    now: UnixNanos,
    recording: Option<(ServiceKey, Vec<ClosedWindow>)>,
    /// A service that comes after the last one in order, the smallest seen since its turn was over; else the smallest of all.
    next: Option<ServiceKey>,
    checks: SyncSender<Recorded>,
}

impl InTurn {
    /// Sends a recording about every so many nanoseconds of event time; 0 never does. One that the receiver has no room for is left out.
    pub(crate) fn new(every_nanos: u64, checks: SyncSender<Recorded>) -> Self {
        Self { every_nanos, last: None, now: UnixNanos(0), recording: None, next: None, checks }
    }

    /// Whether `service` comes before the one that would be next: in a circle that begins after the last one.
    fn comes_sooner(&self, service: &ServiceKey) -> bool {
        let lies_behind = |key: &ServiceKey| self.last.as_ref().is_some_and(|(last, _)| key <= last);
        self.next.as_ref().is_none_or(|next| (lies_behind(service), service) < (lies_behind(next), next))
    }

    fn record<D: SavedDetectors>(&mut self, detectors: &mut D, closed: &ClosedWindow) {
        self.now = self.now.max(closed.window.end);
        if self.comes_sooner(&closed.service) {
            self.next = Some(closed.service.clone());
        }
        let step = closed.window.end.since(closed.window.start);
        // All services have had the time to show themselves before the first turn.
        let begun = self.last.get_or_insert_with(|| (ServiceKey::new("", ""), closed.window.end)).1;
        if self.recording.is_none() && self.now.since(begun) >= self.every_nanos.max(step) {
            if let Some(next) = self.next.take() {
                self.recording = Some((next, Vec::with_capacity(WINDOWS)));
            }
            self.last = self.recording.as_ref().map(|(service, _)| (service.clone(), self.now));
        }
        let begun = self.last.as_ref().map_or(self.now, |(_, begun)| *begun);
        let given_up = self.now.since(begun) > step.saturating_mul(4 * WINDOWS as u64);
        let Some((service, windows)) = &mut self.recording else { return };
        if *service == closed.service {
            windows.push(closed.clone());
            if windows.len() < WINDOWS {
                return;
            }
        } else if !given_up {
            return;
        }
        let Some((service, windows)) = self.recording.take() else { return };
        if windows.len() < WINDOWS {
            // It went silent; the next one has its turn.
            return;
        }
        if let Some(recorded) = finish(detectors, &service, windows)
            && let Err(TrySendError::Full(recorded)) = self.checks.try_send(recorded)
        {
            tracing::debug!(service = %recorded.service, "a self-check is left out: the one before still runs");
        }
    }
}

impl<D: SavedDetectors> Ear<D> for InTurn {
    fn hear(&mut self, detectors: &mut D, closed: &ClosedWindow, _verdicts: &[(Arc<Detector>, Verdict)]) {
        if self.every_nanos > 0 {
            self.record(detectors, closed);
        }
    }

    fn forget(&mut self, service: &ServiceKey) {
        self.recording.take_if(|(recorded, _)| recorded == service);
        self.next.take_if(|next| next == service);
    }
}

/// The end of a recording, by service.
pub(crate) type Ends = Arc<Mutex<BTreeMap<ServiceKey, Recorded>>>;

/// Leaves the last windows of the first services, and what the detectors know of them, when these are dropped.
pub(crate) struct AtTheEnd {
    /// Services that are followed, at most.
    most: usize,
    windows: BTreeMap<ServiceKey, VecDeque<ClosedWindow>>,
    ends: Ends,
}

impl AtTheEnd {
    /// Follows at most so many services.
    pub(crate) fn new(most: usize, ends: Ends) -> Self {
        Self { most, windows: BTreeMap::new(), ends }
    }
}

impl<D: SavedDetectors> Ear<D> for AtTheEnd {
    fn hear(&mut self, _detectors: &mut D, closed: &ClosedWindow, _verdicts: &[(Arc<Detector>, Verdict)]) {
        if self.windows.contains_key(&closed.service) || self.windows.len() < self.most {
            let windows = self.windows.entry(closed.service.clone()).or_default();
            windows.push_back(closed.clone());
            if windows.len() > WINDOWS {
                windows.pop_front();
            }
        }
    }

    fn forget(&mut self, service: &ServiceKey) {
        self.windows.remove(service);
    }

    fn end(&mut self, detectors: &mut D) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for (service, windows) in std::mem::take(&mut self.windows) {
            if let Some(recorded) = finish(detectors, &service, windows.into()) {
                ends.insert(service, recorded);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{overheard::Overheard, shard::Silent};
    use foreshock_engine::{verdict::Detectors as _, window::Window};
    use foreshock_sandbox::ServiceState;
    use std::sync::mpsc::sync_channel;

    /// Every service has its turn, one that falls silent holds nobody up, and what is sent is its last windows in order.
    #[test]
    fn each_service_has_its_turn() {
        const SECOND: u64 = 1_000_000_000;
        let (checks, checked) = sync_channel(64);
        let detectors = Silent { learned: Some(detectors::saved_state(&ServiceState::default())) };
        let mut turns = Overheard::new(detectors, InTurn::new(1_800 * SECOND, checks));
        for second in (0..6 * 3_600).step_by(10) {
            for name in ["a", "b", "c"] {
                if name == "b" && second > 2_000 {
                    continue;
                }
                let start = UnixNanos((1_000_000 + second) * SECOND);
                let window = Window { start, end: start.plus(10 * SECOND), ..Window::default() };
                turns.observe(&ClosedWindow { service: ServiceKey::new("", name), resource: Arc::default(), window });
            }
        }
        drop(turns);
        let all: Vec<Recorded> = checked.iter().collect();
        let names: Vec<&str> = all.iter().map(|recorded| &*recorded.service.name).collect();
        assert!(names.len() >= 8 && names.starts_with(&["a"]), "{names:?}");
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        for recorded in &all {
            let starts: Vec<UnixNanos> = recorded.windows.iter().map(|closed| closed.window.start).collect();
            assert_eq!(starts.len(), WINDOWS);
            assert!(starts.windows(2).all(|pair| pair[1].since(pair[0]) == 10 * SECOND));
        }
    }
}
