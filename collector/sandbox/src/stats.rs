//! Counters of one detector, over all services and shards.

use foreshock_engine::{verdict::FaultReason, window::ServiceKey};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// All reasons, in the order in which [`Stats`] counts them.
pub const FAULT_REASONS: [FaultReason; 6] = [
    FaultReason::Trap,
    FaultReason::Deadline,
    FaultReason::Memory,
    FaultReason::BadVerdict,
    FaultReason::BadState,
    FaultReason::Refused,
];

/// Services of which faults are counted one by one; more are in the totals alone.
const MOST_SERVICES: usize = 10_000;

/// What a detector did so far. Relaxed atomics: each number is right by itself, several read together may be a call apart.
#[derive(Debug, Default)]
pub struct Stats {
    calls: AtomicU64,
    faults: [AtomicU64; FAULT_REASONS.len()],
    /// Of those services that had any. Locked at faults and when they are read, never around a call.
    by_service: Mutex<BTreeMap<ServiceKey, [u64; FAULT_REASONS.len()]>>,
    findings: AtomicU64,
    models: AtomicU64,
    memory_bytes: AtomicU64,
    log_lines_left_out: AtomicU64,
    series_left_out: AtomicU64,
    quarantined: AtomicU64,
    watcher: OnceLock<Watcher>,
}

/// Told how long each call took, in seconds.
struct Watcher(Box<dyn Fn(f64) + Send + Sync>);

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher")
    }
}

impl Stats {
    /// Calls of `observe`, failed ones too.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    /// Faults for one reason.
    #[must_use]
    pub fn faults(&self, reason: FaultReason) -> u64 {
        FAULT_REASONS.iter().position(|&known| known == reason).map_or(0, |index| self.faults[index].load(Relaxed))
    }

    /// Faults in one service, as many as there were for each reason. Those of services that were evicted are forgotten, and those
    /// beyond the first 10,000 services with faults are only in [`Stats::faults`].
    pub fn faults_in(&self, service: &ServiceKey) -> impl Iterator<Item = (FaultReason, u64)> {
        let counts = self.by_service().get(service).copied().unwrap_or_default();
        FAULT_REASONS.into_iter().zip(counts).filter(|(_, count)| *count > 0)
    }

    /// Findings in good verdicts.
    #[must_use]
    pub fn findings(&self) -> u64 {
        self.findings.load(Relaxed)
    }

    /// Models that live now, each in a store of its own.
    #[must_use]
    pub fn models(&self) -> u64 {
        self.models.load(Relaxed)
    }

    /// Linear memory and tables of the models that live now.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes.load(Relaxed)
    }

    /// Lines that the detector logged beyond what it may.
    #[must_use]
    pub fn log_lines_left_out(&self) -> u64 {
        self.log_lines_left_out.load(Relaxed)
    }

    /// Series that were not shown because the service has too many.
    #[must_use]
    pub fn series_left_out(&self) -> u64 {
        self.series_left_out.load(Relaxed)
    }

    /// Has `watcher` told how long each call of `observe` takes from now on, in seconds, on the thread of the call. The first
    /// one stays.
    pub fn watch_calls(&self, watcher: impl Fn(f64) + Send + Sync + 'static) {
        let _ = self.watcher.set(Watcher(Box::new(watcher)));
    }

    /// Saved states that were set aside because models opened from them failed again and again.
    #[must_use]
    pub fn quarantined(&self) -> u64 {
        self.quarantined.load(Relaxed)
    }

    pub(crate) fn add_call(&self, took: Duration) {
        self.calls.fetch_add(1, Relaxed);
        if let Some(Watcher(watcher)) = self.watcher.get() {
            watcher(took.as_secs_f64());
        }
    }

    pub(crate) fn add_fault(&self, reason: FaultReason, service: &ServiceKey) {
        let Some(index) = FAULT_REASONS.iter().position(|&known| known == reason) else { return };
        self.faults[index].fetch_add(1, Relaxed);
        let mut by_service = self.by_service();
        if by_service.len() < MOST_SERVICES || by_service.contains_key(service) {
            by_service.entry(service.clone()).or_default()[index] += 1;
        }
    }

    pub(crate) fn forget(&self, service: &ServiceKey) {
        self.by_service().remove(service);
    }

    fn by_service(&self) -> MutexGuard<'_, BTreeMap<ServiceKey, [u64; FAULT_REASONS.len()]>> {
        self.by_service.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add_findings(&self, findings: usize) {
        self.findings.fetch_add(findings as u64, Relaxed);
    }

    pub(crate) fn add_series_left_out(&self, series: u64) {
        self.series_left_out.fetch_add(series, Relaxed);
    }

    pub(crate) fn add_log_line_left_out(&self) {
        self.log_lines_left_out.fetch_add(1, Relaxed);
    }

    pub(crate) fn add_quarantined(&self) {
        self.quarantined.fetch_add(1, Relaxed);
    }

    pub(crate) fn add_model(&self) {
        self.models.fetch_add(1, Relaxed);
    }

    pub(crate) fn remove_model(&self, memory_bytes: usize) {
        self.models.fetch_sub(1, Relaxed);
        self.memory_bytes.fetch_sub(memory_bytes as u64, Relaxed);
    }

    pub(crate) fn add_memory(&self, bytes: usize) {
        self.memory_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn remove_memory(&self, bytes: usize) {
        self.memory_bytes.fetch_sub(bytes as u64, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Every call is counted, and told to the one who watches, in seconds.
    #[test]
    fn calls_are_told() {
        let told = Arc::<Mutex<Vec<f64>>>::default();
        let stats = Stats::default();
        stats.add_call(Duration::from_micros(1));
        let watched = Arc::clone(&told);
        stats.watch_calls(move |seconds| watched.lock().expect("not poisoned").push(seconds));
        stats.watch_calls(|_| panic!("the first one stays"));
        stats.add_call(Duration::from_millis(250));
        assert_eq!((&*told.lock().expect("not poisoned"), stats.calls()), (&vec![0.25], 2));
    }

    /// Faults are told apart by service and reason, an evicted service is forgotten, and input can't make the list grow without end.
    #[test]
    fn faults_are_counted_by_service() {
        let stats = Stats::default();
        let service = |number: usize| ServiceKey::new("", &format!("service-{number}"));
        for number in 0..MOST_SERVICES + 5 {
            stats.add_fault(FaultReason::Trap, &service(number));
        }
        stats.add_fault(FaultReason::Deadline, &service(3));
        stats.add_fault(FaultReason::Deadline, &service(3));
        let faults = |number| stats.faults_in(&service(number)).collect::<Vec<_>>();
        assert_eq!(faults(3), [(FaultReason::Trap, 1), (FaultReason::Deadline, 2)]);
        assert_eq!((faults(4), faults(MOST_SERVICES + 1)), (vec![(FaultReason::Trap, 1)], vec![]));
        assert_eq!(stats.faults(FaultReason::Trap), MOST_SERVICES as u64 + 5);
        stats.forget(&service(3));
        assert_eq!(faults(3), []);
    }
}
