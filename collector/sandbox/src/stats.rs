//! Counters of one detector, over all services and shards.

use foreshock_engine::verdict::FaultReason;
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
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

/// Upper bounds of the buckets of [`DurationHistogram`], in seconds; the last bucket has none.
pub const DURATION_BOUNDS_SECONDS: [f64; 13] =
    [10e-6, 20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 100e-3];

const BUCKETS: usize = DURATION_BOUNDS_SECONDS.len() + 1;

/// What a detector did so far. Relaxed atomics: each number is right by itself, several read together may be a call apart.
#[derive(Debug, Default)]
pub struct Stats {
    calls: AtomicU64,
    faults: [AtomicU64; FAULT_REASONS.len()],
    findings: AtomicU64,
    models: AtomicU64,
    memory_bytes: AtomicU64,
    log_lines_left_out: AtomicU64,
    series_left_out: AtomicU64,
    seconds: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

/// How long calls of `observe` took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DurationHistogram {
    /// Calls per bucket, not accumulated; one more than [`DURATION_BOUNDS_SECONDS`]. A call belongs to the first bucket whose
    /// bound is not below its duration.
    pub counts: [u64; BUCKETS],
    /// All durations together, in seconds.
    pub sum_seconds: f64,
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

    /// How long calls of `observe` took.
    #[must_use]
    pub fn durations(&self) -> DurationHistogram {
        DurationHistogram {
            counts: std::array::from_fn(|bucket| self.seconds[bucket].load(Relaxed)),
            sum_seconds: self.nanos.load(Relaxed) as f64 / 1e9,
        }
    }

    pub(crate) fn add_call(&self, took: Duration) {
        self.calls.fetch_add(1, Relaxed);
        let seconds = took.as_secs_f64();
        let bucket = DURATION_BOUNDS_SECONDS.partition_point(|&bound| bound < seconds);
        self.seconds[bucket].fetch_add(1, Relaxed);
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn add_fault(&self, reason: FaultReason) {
        if let Some(index) = FAULT_REASONS.iter().position(|&known| known == reason) {
            self.faults[index].fetch_add(1, Relaxed);
        }
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

    /// A duration on a bound belongs to that bound's bucket, as in OTLP's histograms; one above all bounds to the last.
    #[test]
    fn durations_fall_into_their_buckets() {
        let stats = Stats::default();
        for micros in [1, 10, 11, 100_000, 100_001] {
            stats.add_call(Duration::from_micros(micros));
        }
        let durations = stats.durations();
        assert_eq!(durations.counts[..2], [2, 1]);
        assert_eq!(durations.counts[12..], [1, 1]);
        assert_eq!(durations.sum_seconds, 0.200_023);
        assert_eq!(stats.calls(), 5);
    }
}
