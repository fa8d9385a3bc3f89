//! Runs detectors: the only crate of Foreshock that knows wasmtime.
//!
//! ```text
//! Sandbox          one per process: engine, compiled components, the ticker behind all deadlines
//!   LoadedDetector one per detector of the configuration: component, configuration, limits, counters
//! DetectorPool     one per shard: a store of its own for every (service, detector)
//! ```
//!
//! A detector can loop, take memory, trap, flood or lie. It then loses its store and its own findings, and nothing else: a
//! store is never used again after a trap, every number of a verdict is checked before anybody sees it, and what a guest
//! makes the host allocate is bounded. How guests fail is counted in [`Stats`] and told by
//! [`Detectors::poll_health`](foreshock_engine::verdict::Detectors::poll_health).

mod bindings;
mod breaker;
mod check;
mod code;
mod deadline;
mod detector;
mod guest;
mod inspect;
mod mappings;
mod places;
mod pool;
mod registry;
mod sandbox;
mod settings;
mod slot;
mod state;
mod stats;
mod text;
mod ticker;

pub use detector::{About, DetectorSpec, LoadedDetector, ServiceFilter};
pub use pool::DetectorPool;
pub use sandbox::{LoadError, Sandbox, SandboxError};
pub use settings::{CompileLimits, Limits, PoolSettings, Settings};
pub use state::{SavedModel, ServiceState};
pub use stats::{FAULT_REASONS, Stats};
