//! Owns the statistics that detectors share: how rare a value is, and how much noise a quiet series has at least.

mod noise;
mod tail;

pub use noise::{Habit, noise_floor};
pub use tail::Tail;
