//! The limits of what a shard takes in, and the count of what it took.

use serde::{Deserialize, Serialize};

const SECOND: u64 = 1_000_000_000;

/// How telemetry becomes windows. All times are in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct IngestSettings {
    /// Length of a window. Default 10 s; 0 is taken as 1 ns.
    pub window_nanos: u64,
    /// How far event time may lie behind the largest one seen for the service and still be counted. Default 5 s. Cut to
    /// 64 windows, which bounds the number of open windows of a service to 66.
    pub lateness_nanos: u64,
    /// Clock time without telemetry after which a service's open windows are closed. Also how long an instance may be late
    /// with everything it says before its clock is taken to be wrong and is corrected. Default 30 s.
    pub idle_nanos: u64,
    /// How far event time may lie ahead of the clock. Points further ahead are counted and taken as of now, so that a wrong
    /// clock can't close the windows of the right ones. Default 10 min.
    pub max_future_nanos: u64,
    /// Metric series of a service. Default 2,000. One more evicts the one silent for longest.
    pub max_series_per_service: usize,
    /// Metric streams of a service over all its instances. Default 10,000. One more evicts the one silent for longest.
    pub max_streams_per_service: usize,
    /// Log templates of a service that have a series. Default 1,000, least recently used go first.
    pub max_templates_per_service: usize,
    /// Operations (span name and kind) of a service. Default 200, least recently used go first.
    pub max_operations_per_service: usize,
    /// Instances of a service whose clocks are watched. Default 1,024, least recently used go first.
    pub max_instances_per_service: usize,
    /// Spans kept for the correlator per window. Default 256.
    pub max_spans_per_window: usize,
    /// Log templates told to the correlator per window. Default 64, the most telling first.
    pub max_log_excerpts: usize,
    /// Attributes of a series, the first in ascending order of the key. Default 16.
    pub max_series_attributes: usize,
    /// Notes on data quality per window. Default 64; more are counted and left out.
    pub max_quality_notes: usize,
}

impl Default for IngestSettings {
    fn default() -> Self {
        Self {
            window_nanos: 10 * SECOND,
            lateness_nanos: 5 * SECOND,
            idle_nanos: 30 * SECOND,
            max_future_nanos: 600 * SECOND,
            max_series_per_service: 2_000,
            max_streams_per_service: 10_000,
            max_templates_per_service: 1_000,
            max_operations_per_service: 200,
            max_instances_per_service: 1_024,
            max_spans_per_window: 256,
            max_log_excerpts: 64,
            max_series_attributes: 16,
            max_quality_notes: 64,
        }
    }
}

impl IngestSettings {
    /// The same with every number in the range in which it means something.
    pub(super) fn checked(mut self) -> Self {
        self.window_nanos = self.window_nanos.max(1);
        self.lateness_nanos = self.lateness_nanos.min(self.window_nanos.saturating_mul(64));
        self.max_series_per_service = self.max_series_per_service.max(1);
        self.max_streams_per_service = self.max_streams_per_service.max(1);
        self.max_templates_per_service = self.max_templates_per_service.max(1);
        self.max_operations_per_service = self.max_operations_per_service.max(1);
        self.max_instances_per_service = self.max_instances_per_service.max(1);
        self.max_spans_per_window = self.max_spans_per_window.max(1);
        self
    }
}

/// What was taken in since the start, over all services of the shard. Every field only grows.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct IngestCounters {
    /// Metric points that entered a window.
    pub points: u64,
    /// Log records that entered a window.
    pub log_records: u64,
    /// Spans that entered a window.
    pub spans: u64,
    /// Dropped: their window was closed.
    pub late: u64,
    /// Dropped: the stream already had a point of this time.
    pub duplicate: u64,
    /// Taken as of now: their time is too far ahead of the clock.
    pub future: u64,
    /// Dropped: not finite, negative where that can't be, of a broken layout, or without any time.
    pub unusable: u64,
    /// Left out: Foreshock's own output, under the scope `foreshock`.
    pub own: u64,
    /// Instances whose clock was found to be wrong and is corrected.
    pub corrected_clocks: u64,
    /// Series evicted to make room.
    pub evicted_series: u64,
    /// Streams evicted to make room.
    pub evicted_streams: u64,
    /// Log templates evicted to make room.
    pub evicted_templates: u64,
    /// Operations evicted to make room.
    pub evicted_operations: u64,
    /// Windows closed.
    pub windows: u64,
    /// Quality notes left out because a window had too many.
    pub omitted_notes: u64,
}

/// Why a saved state could not be used. The service starts cold.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RestoreError {
    /// The bytes are cut short, damaged, or not a saved state.
    #[error("the saved state is damaged")]
    Damaged,
    /// Written by a version that keeps another layout.
    #[error("the saved state has schema {found}, this version reads {expected}")]
    Schema {
        /// What the bytes say.
        found: u32,
        /// What this version reads.
        expected: u32,
    },
    /// Written with another length of windows.
    #[error("the saved state was learned with windows of {found} ns, not {expected} ns")]
    Window {
        /// What the bytes say.
        found: u64,
        /// What the settings say.
        expected: u64,
    },
}
