//! Foreshock's core: telemetry in, windows to detectors, anomalies and incidents out.
//!
//! A pure state machine. It reads no clock, no file and no socket, and draws no randomness: time comes in as an argument,
//! and the same input gives the same output, whatever the number of shards or threads. Methods named `handle_*` take input,
//! methods named `poll_*` give output.

pub mod anomaly;
pub mod calibration;
pub mod event;
pub mod facts;
pub mod incident;
pub mod ingest;
mod lru;
pub mod quality;
pub mod router;
pub mod saved;
pub mod shard;
pub mod signal;
pub mod templates;
pub mod ticks;
pub mod time;
pub mod verdict;
pub mod window;

pub use time::UnixNanos;
