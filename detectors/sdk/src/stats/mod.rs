//! Owns the statistics that detectors share: how rare a value or a count is, how much noise a quiet series has at least, and
//! when odd windows become a finding.

mod count;
mod noise;
mod streak;
mod tail;

pub use count::{surprise_of_few, surprise_of_many};
pub use noise::{Habit, noise_floor};
pub use streak::Streak;
pub use tail::Tail;
