//! Detectors with an ear at them.

use super::shard::SavedDetectors;
use foreshock_engine::{
    calibration::Weights,
    verdict::{Detector, DetectorHealth, Detectors, Verdict},
    window::{ClosedWindow, ServiceKey},
};
use foreshock_sandbox::LoadedDetector;
use std::sync::Arc;

/// Hears what detectors are asked and what they answer, and may take their snapshots. It changes nothing.
pub(crate) trait Ear<D> {
    /// After each window of a service.
    fn hear(&mut self, detectors: &mut D, closed: &ClosedWindow, verdicts: &[(Arc<Detector>, Verdict)]);

    /// Before a service is forgotten.
    fn forget(&mut self, _service: &ServiceKey) {}

    /// Before the detectors are dropped.
    fn end(&mut self, _detectors: &mut D) {}
}

/// Detectors as they are, for all but the ear.
#[derive(Debug)]
pub(crate) struct Overheard<D, E: Ear<D>> {
    detectors: D,
    ear: E,
}

impl<D, E: Ear<D>> Overheard<D, E> {
    pub(crate) fn new(detectors: D, ear: E) -> Self {
        Self { detectors, ear }
    }
}

impl<D: Detectors, E: Ear<D>> Detectors for Overheard<D, E> {
    fn observe(&mut self, closed: &ClosedWindow) -> Vec<(Arc<Detector>, Verdict)> {
        let verdicts = self.detectors.observe(closed);
        self.ear.hear(&mut self.detectors, closed, &verdicts);
        verdicts
    }

    fn weights(&self) -> Weights {
        self.detectors.weights()
    }

    fn poll_health(&mut self) -> Option<DetectorHealth> {
        self.detectors.poll_health()
    }

    fn forget(&mut self, service: &ServiceKey) {
        self.ear.forget(service);
        self.detectors.forget(service);
    }
}

impl<D: SavedDetectors, E: Ear<D>> SavedDetectors for Overheard<D, E> {
    fn snapshot(&mut self, service: &ServiceKey) -> Option<Vec<u8>> {
        self.detectors.snapshot(service)
    }

    fn restore(&mut self, service: &ServiceKey, bytes: &[u8]) -> Result<(), String> {
        self.detectors.restore(service, bytes)
    }

    fn replace(&mut self, detectors: &[Arc<LoadedDetector>]) {
        self.detectors.replace(detectors);
    }
}

impl<D, E: Ear<D>> Drop for Overheard<D, E> {
    fn drop(&mut self) {
        self.ear.end(&mut self.detectors);
    }
}
