//! What the sandbox and its pools are told.

use std::time::Duration;

/// For the process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many models may live at once, over all shards: services times detectors. Address space is set aside for each when
    /// the sandbox starts, memory is not. A model beyond this number is a fault (`memory`) of its detector.
    /// The kernel's limit on memory mappings (`vm.max_map_count`) may lower it: 11,467 at the usual 65,530. Default 10,000.
    pub max_models: u32,
    /// The most that any detector's [`Limits::memory_bytes`] may be. Default 64 MiB.
    pub max_memory_bytes: usize,
    /// How often deadlines are looked at: a call is stopped at most this much, and once more, after its deadline.
    /// Default 10 ms.
    pub tick: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_models: 10_000, max_memory_bytes: 64 << 20, tick: Duration::from_millis(10) }
    }
}

/// For one detector.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// What one model may use, all of its linear memories and tables together. Default 16 MiB.
    pub memory_bytes: usize,
    /// How long one `observe` may take, by the wall clock. `open` and `snapshot`, which are rare, may take ten times as long.
    /// Default 100 ms.
    pub deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 16 << 20, deadline: Duration::from_millis(100) }
    }
}

/// For one shard.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// The length of a window in nanoseconds.
    pub step_ns: u64,
    /// After how many windows a model's state is kept, for going on from it after a fault. Default 60.
    pub snapshot_every: u32,
    /// Deadlines are multiplied by this. They are the one place where the wall clock can change an answer: a model that is
    /// stopped gives no verdict. Replay, whose answer must not depend on what else the machine is doing, passes 100 or more,
    /// so that only a model that truly never ends is stopped. Default 1.
    pub deadline_scale: u32,
    /// How many series of a service are shown to its detectors; those opened beyond are left out and counted. Default 10,000.
    pub max_series: usize,
}

impl PoolSettings {
    /// Defaults for windows of `step_ns` nanoseconds.
    #[must_use]
    pub fn new(step_ns: u64) -> Self {
        Self { step_ns, snapshot_every: 60, deadline_scale: 1, max_series: 10_000 }
    }
}
