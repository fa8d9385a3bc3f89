//! Durations in logarithmic buckets: small, mergeable, and good enough for ranks and winsorised means.

use serde::{Deserialize, Serialize};

/// Buckets per factor of e: a bucket is 5 % wide, so a value is off by at most 2.5 %.
const PER_E: f64 = 20.0;
/// The smallest duration told apart, in seconds.
const FLOOR: f64 = 1e-7;
/// Buckets up to about 10^8 seconds.
const BUCKETS: f64 = 700.0;

/// Counts per bucket, ascending.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Histogram {
    buckets: Vec<(u16, u32)>,
}

/// The value that stands for a bucket, in seconds.
fn middle(bucket: u16) -> f64 {
    if bucket == 0 { 0.0 } else { FLOOR * ((f64::from(bucket) - 0.5) / PER_E).exp() }
}

impl Histogram {
    /// Adds a duration in seconds; negative ones and those below 100 ns count as 0.
    pub(super) fn add(&mut self, seconds: f64) {
        let bucket = match seconds > FLOOR {
            true => ((seconds / FLOOR).ln() * PER_E + 1.0).min(BUCKETS) as u16,
            false => 0,
        };
        self.add_many(bucket, 1);
    }

    fn add_many(&mut self, bucket: u16, count: u32) {
        match self.buckets.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(index) => self.buckets[index].1 = self.buckets[index].1.saturating_add(count),
            Err(index) => self.buckets.insert(index, (bucket, count)),
        }
    }

    /// Adds all of `other`.
    pub(super) fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.buckets {
            self.add_many(*bucket, *count);
        }
    }

    /// How many durations.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// The quantile `q` of 0 to 1 in seconds; 0 if empty.
    pub(super) fn quantile(&self, q: f64) -> f64 {
        let rank = q.clamp(0.0, 1.0) * self.count().saturating_sub(1) as f64;
        let mut before = 0.0;
        for (bucket, count) in &self.buckets {
            before += f64::from(*count);
            if before > rank {
                return middle(*bucket);
            }
        }
        0.0
    }

    /// The mean in seconds with values above the 90th percentile taken as that; the plain mean of fewer than four. `None` if
    /// empty.
    pub(super) fn winsorised_mean(&self) -> Option<f64> {
        let count = self.count();
        let cap = if count >= 4 { self.quantile(0.9) } else { f64::INFINITY };
        let sum: f64 = self.buckets.iter().map(|(bucket, count)| middle(*bucket).min(cap) * f64::from(*count)).sum();
        (count > 0).then(|| sum / count as f64)
    }

    /// The standardised rank sum of `self` against `reference` (Wilcoxon, Mann and Whitney; ties share their middle rank):
    /// positive where `self` is larger. 0 if either is empty.
    pub(super) fn rank_sum_z(&self, reference: &Self) -> f64 {
        let (n, m) = (self.count() as f64, reference.count() as f64);
        if n == 0.0 || m == 0.0 {
            return 0.0;
        }
        let (mut below, mut wins, mut index) = (0.0, 0.0, 0);
        for (bucket, count) in &self.buckets {
            while let Some((other, many)) = reference.buckets.get(index).filter(|(other, _)| other < bucket) {
                debug_assert!(other < bucket);
                below += f64::from(*many);
                index += 1;
            }
            let tied = reference
                .buckets
                .get(index)
                .filter(|(other, _)| other == bucket)
                .map_or(0.0, |(_, many)| f64::from(*many));
            wins += f64::from(*count) * (below + tied / 2.0);
        }
        (wins - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Histogram {
        let mut histogram = Histogram::default();
        values.iter().for_each(|value| histogram.add(*value));
        histogram
    }

    /// Root-cause scores rest on these: they must agree with the plain formulas up to the width of a bucket.
    #[test]
    fn agrees_with_the_values_themselves() {
        let histogram = of(&[0.010, 0.020, 0.030, 0.040, 0.050, 0.060, 0.070, 0.080, 0.090, 1.0]);
        assert_eq!(histogram.count(), 10);
        assert!((histogram.quantile(0.5) - 0.05).abs() < 0.002);
        // Worked out by hand: 0.45 for the first nine, and the tenth counts as the ninth's 0.09.
        assert!((histogram.winsorised_mean().unwrap_or(0.0) - 0.054).abs() < 0.002);
        assert_eq!(of(&[]).winsorised_mean(), None);
        assert_eq!(of(&[-1.0, 0.0, f64::NAN]).quantile(1.0), 0.0);
    }

    /// A whole shift must give the largest z there is for the numbers of values, none must give 0.
    #[test]
    fn rank_sum_tells_shifted_from_equal() {
        let low = of(&[0.01, 0.02, 0.03, 0.04]);
        let high = of(&[0.1, 0.2, 0.3, 0.4]);
        // (16 - 8) / sqrt(4 * 4 * 9 / 12) = 8 / 3.4641
        assert!((high.rank_sum_z(&low) - 2.3094).abs() < 1e-3);
        assert!((low.rank_sum_z(&high) + 2.3094).abs() < 1e-3);
        assert_eq!(low.rank_sum_z(&low), 0.0);
        assert_eq!(low.rank_sum_z(&of(&[])), 0.0);
    }
}
