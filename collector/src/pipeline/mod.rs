//! From requests to events: the threads and channels that live traffic and replay share.
//!
//! ```text
//! intake ──> exporters' queues                            forwarding: the same bytes
//!        └─> queue ──> dispatcher ──> shard 0..N ──> correlator ──> emission
//!            sheds     by service     windows,       incidents,     events and traces,
//!            if full   and ticks      detectors,     one epoch      to exporters or a file
//!                                     anomalies      after another
//! ```
//!
//! The dispatcher cuts the stream into epochs by broadcasting ticks. Each shard answers each tick with all that it has to
//! say since the one before; the correlator takes an epoch once every shard has answered. So the events depend on the input
//! and its order alone, not on the number of shards or how threads interleave.

pub mod clock;
pub mod correlate;
pub mod counters;
pub mod dispatch;
pub mod emit;
pub mod intake;
pub(crate) mod overheard;
pub mod overview;
pub mod queue;
pub mod saved;
pub mod shard;
