//! Owns the cumulative sum: when a stream has left its mean, and since when.

use foreshock_detector::math::sqrt;
use serde::{Deserialize, Serialize};

/// Up to here noise alone takes the sum every few windows: a change did not begin before.
const NOTHING: f64 = 1.5;
/// The sum does not grow beyond this.
const MOST: f64 = 200.0;

/// A one-sided cumulative sum (Page, "Continuous Inspection Schemes", Biometrika 41, 1954): grows while the stream is above
/// its mean by more than the allowance, and stays at 0 otherwise. The last moment when it was near 0 is the most likely time
/// of the change (Basseville and Nikiforov, "Detection of Abrupt Changes", 1993, section 2.2).
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Cusum {
    sum: f64,
    /// When it last left what noise alone makes, in nanoseconds since the epoch.
    pub(crate) since_ns: u64,
    /// Rows since then, their values' sum and the sum of values by row, for mean and slope.
    pub(crate) rows: u32,
    total: f64,
    by_row: f64,
}

impl Cusum {
    /// Takes a deviation, in standard deviations towards this side, of a window and the value itself relative to the level.
    pub(crate) fn step(&mut self, z: f64, allowance: f64, start_ns: u64) {
        if self.sum <= NOTHING {
            *self = Self { sum: self.sum, since_ns: start_ns, ..Self::default() };
        }
        self.sum = (self.sum + z.clamp(-4.0, 4.0) - allowance).clamp(0.0, MOST);
        self.total += z.clamp(-1e6, 1e6);
        self.by_row += f64::from(self.rows) * z.clamp(-1e6, 1e6);
        self.rows = self.rows.saturating_add(1);
    }

    /// The sum on a scale on which normal noise has a tail that is a little thicker than exponential.
    pub(crate) fn size(&self) -> f64 {
        2.0 * sqrt(self.sum)
    }

    /// The mean deviation since the change.
    pub(crate) fn mean(&self) -> f64 {
        self.total / f64::from(self.rows.max(1))
    }

    /// By how much a straight line through the deviations since the change rises from its first to its last row.
    pub(crate) fn rise(&self) -> f64 {
        let n = f64::from(self.rows);
        if n < 6.0 {
            return 0.0;
        }
        let middle = (n - 1.0) / 2.0;
        let slope = (self.by_row - middle * self.total) / (n * (n * n - 1.0) / 12.0);
        slope * (n - 1.0)
    }

    /// Whether that rise is more than noise of deviation 1 would make of a step: the slope's standard error for `n` rows is
    /// `sqrt(12 / n)` over their length.
    pub(crate) fn is_line(&self) -> bool {
        let rise = self.rise();
        rise > 1.6 * sqrt(12.0 / f64::from(self.rows.max(1))) && rise > 0.5 * self.mean()
    }

    pub(crate) fn is_sane(&self) -> bool {
        (0.0..=MOST).contains(&self.sum) && self.total.is_finite() && self.by_row.is_finite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lasting deviation adds up from the row in which it began; what is within the allowance does not.
    #[test]
    fn sums_say_since_when() {
        let mut sum = Cusum::default();
        for (row, z) in [0.4, -1.0, 0.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5].into_iter().enumerate() {
            sum.step(z, 0.5, row as u64);
        }
        assert_eq!((sum.since_ns, sum.rows, sum.mean()), (3, 6, 2.5));
        assert!((sum.size() - 2.0 * 12_f64.sqrt()).abs() < 1e-12 && sum.rise().abs() < 1e-12);
        let mut ramp = Cusum::default();
        (1..=7_u32).for_each(|k| ramp.step(f64::from(k), 0.5, u64::from(k)));
        assert!((ramp.rise() - 5.0).abs() < 1e-9, "{}", ramp.rise());
    }
}
