//! What the sandbox and its pools are told.

use std::{path::PathBuf, time::Duration};

/// For the process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many models may live at once, over all shards: services times detectors. Address space is set aside for each when
    /// the sandbox starts, memory is not. A model beyond this number is a fault (`memory`) of its detector.
    /// The kernel's limit on memory mappings (`vm.max_map_count`) may lower it: 30,717 at the usual 65,530. Default 10,000.
    pub max_models: u32,
    /// How many of these one detector may have. A model of a component with several memories counts as that many, and so does one
    /// for each three tables. Default [`u32::MAX`]: as many as there are.
    pub models_per_detector: u32,
    /// The most that any detector's [`Limits::memory_bytes`] may be. Default 64 MiB.
    pub max_memory_bytes: usize,
    /// How often deadlines are looked at: a call is stopped at most this much, and once more, after its deadline.
    /// Default 10 ms.
    pub tick: Duration,
    /// How long a component that is loaded may take to be instantiated and to say what it is, as [`Limits::deadline`].
    /// Default 5 s.
    pub describe_deadline: Duration,
    /// What is compiled at all.
    pub compile: CompileLimits,
    /// Where compiled components are kept, so that the next start need not compile them: a folder of its own, made with mode 0700. One
    /// that others can enter is not used. Default `None`: they are not kept.
    pub code_folder: Option<PathBuf>,
    /// For measuring what deadlines cost: guests are compiled without them, and one that loops is never stopped.
    #[doc(hidden)]
    pub without_deadlines: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_models: 10_000,
            models_per_detector: u32::MAX,
            max_memory_bytes: 64 << 20,
            tick: Duration::from_millis(10),
            describe_deadline: Duration::from_secs(5),
            compile: CompileLimits::default(),
            code_folder: None,
            without_deadlines: false,
        }
    }
}

/// How large a component may be. The compiler can't be stopped, so that its time and memory are bounded by what it is given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CompileLimits {
    /// The whole component. Default 64 MiB: the largest runtimes of other languages have about 20.
    pub component_bytes: usize,
    /// Functions of all modules together. Default 200,000.
    pub functions: u32,
    /// The body of one function. Default 1 MiB.
    pub function_bytes: usize,
    /// Local variables of one function. Default 5,000.
    pub function_variables: u32,
    /// These times the function's branches, each of which counts once more for every loop around it: the compiler's time and memory
    /// grow with it, faster than in proportion. Default 2 million; the largest of Python's interpreter has 1.
    pub function_flow: u64,
    /// The same of all functions together. Default 40 million; Python's interpreter has 17, and a built-in detector about 1.
    pub flow: u64,
    /// Instances that the component makes of its modules and nested components, in the worst case; tools for scripting languages
    /// make some thousands of small ones. Default 10,000.
    pub instances: u32,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            component_bytes: 64 << 20,
            functions: 200_000,
            function_bytes: 1 << 20,
            function_variables: 5_000,
            function_flow: 2_000_000,
            flow: 40_000_000,
            instances: 10_000,
        }
    }
}

/// For one detector.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// What one model may use, all of its linear memories and tables together. Default 16 MiB.
    pub memory_bytes: usize,
    /// How long one `observe` may take: processor time of its thread, and ten times as much by the wall clock. `open` and
    /// `snapshot`, which are rare, may take ten times as long. Default 100 ms.
    pub deadline: Duration,
    /// What the host copies out of a guest in one call, as the host's memory counts it: verdicts, descriptions, log lines. Default
    /// 4 MiB; a full verdict is below 2.
    pub answer_bytes: usize,
    /// What a saved state may weigh. Default 8 MiB.
    pub state_bytes: usize,
    /// Findings in one verdict; the contract allows 256, which is the default, and a higher number changes nothing.
    pub findings: usize,
    /// Lines for Foreshock's own log, over all services and shards; ten times as many at once. Default 5.
    pub log_lines_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 16 << 20,
            deadline: Duration::from_millis(100),
            answer_bytes: 4 << 20,
            state_bytes: 8 << 20,
            findings: 256,
            log_lines_per_second: 5,
        }
    }
}

/// For one shard.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// The length of a window in nanoseconds.
    pub step_ns: u64,
    /// After how many windows a model's state is kept, for going on from it after a fault. Default 60.
    pub snapshot_every: u32,
    /// Deadlines are multiplied by this. They are the one place where a clock can change an answer: a model that is
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
