//! Owns how much of a series' movement counting alone explains, and how small a movement is worth looking at.

use crate::{
    Kind,
    math::{larger, sqrt},
};

/// Movements below this share of the level are never odd: nobody acts on them.
const RELATIVE_FLOOR: f64 = 0.02;
/// The same for gauges, many of which are memory or disks, whose small steady growth counts.
const GAUGE_FLOOR: f64 = 0.01;
/// The same as a share of the range that was seen.
const RANGE_FLOOR: f64 = 0.01;

/// What a series looks like, for [`noise_floor`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Habit {
    /// Where it is expected.
    pub level: f64,
    /// The mean of its absolute values.
    pub magnitude: f64,
    /// How far it was seen to move: largest less smallest value.
    pub range: f64,
    /// Whether all its values were whole numbers.
    pub whole: bool,
    /// How many spans or points a window of it has.
    pub count: f64,
}

/// The standard deviation that a series of this kind has at least in windows of `step` seconds, above 0.
#[must_use]
pub fn noise_floor(kind: Kind, habit: &Habit, step: f64) -> f64 {
    let Habit { level, magnitude, range, whole, count } = *habit;
    let relative = if kind == Kind::Gauge { GAUGE_FLOOR } else { RELATIVE_FLOOR };
    let floor = larger(relative * level.abs(), RANGE_FLOOR * range);
    let counting = match kind {
        // Poisson: the variance of a count is its mean. Half an event is added because few were seen.
        Kind::Rate | Kind::SpanRate => sqrt((larger(level, 0.0) + 0.5 / step) / step),
        // Binomial, with one failure added to what was seen (after Laplace's rule of succession).
        Kind::SpanErrors => {
            let share = (level + 1.0 / (count + 2.0)).clamp(0.0, 0.5);
            sqrt(share * (1.0 - share) / count.max(1.0))
        }
        // A count of things that hover around none.
        Kind::Gauge if whole && magnitude < 2.0 => 1.0 - 0.5 * magnitude.min(1.0),
        _ => 0.0,
    };
    larger(larger(floor, counting), 1e-12 + 1e-9 * magnitude)
}
