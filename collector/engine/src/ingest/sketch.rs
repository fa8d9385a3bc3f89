//! Durations of spans in buckets whose width grows with the duration.

use serde::{Deserialize, Serialize};

/// Bits of the mantissa that tell buckets apart: 64 buckets to each doubling.
const MANTISSA_BITS: u32 = 6;
const SHIFT: u32 = 52 - MANTISSA_BITS;

/// A histogram of seconds with 64 buckets of equal width to each doubling.
///
/// A bucket is at most 1/64 of its lower end wide, so a quantile is off by less than 1.6 %. A duration is a whole number of
/// nanoseconds in 64 bits, so there are at most 4,160 buckets; only those in use take room.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct DurationSketch {
    buckets: Vec<(u32, u32)>,
    count: u64,
    min: f64,
    max: f64,
}

impl DurationSketch {
    pub(super) fn insert_nanos(&mut self, nanos: u64) {
        let seconds = nanos as f64 / 1e9;
        let index = u32::try_from(seconds.to_bits() >> SHIFT).unwrap_or(u32::MAX);
        match self.buckets.binary_search_by_key(&index, |bucket| bucket.0) {
            Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(1),
            Err(at) => self.buckets.insert(at, (index, 1)),
        }
        if self.count == 0 {
            (self.min, self.max) = (seconds, seconds);
        } else {
            self.min = self.min.min(seconds);
            self.max = self.max.max(seconds);
        }
        self.count += 1;
    }

    /// The quantile `q` (0 to 1), interpolated within its bucket; `None` if empty.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        let rank = q * self.buckets.iter().map(|bucket| f64::from(bucket.1)).sum::<f64>();
        let mut below = 0.0;
        for &(index, count) in &self.buckets {
            let count = f64::from(count);
            if below + count >= rank {
                let lower = f64::from_bits(u64::from(index) << SHIFT);
                let upper = f64::from_bits(u64::from(index + 1) << SHIFT);
                let value = lower + (upper - lower) * ((rank - below) / count).clamp(0.0, 1.0);
                return Some(value.clamp(self.min, self.max));
            }
            below += count;
        }
        (self.count > 0).then_some(self.max)
    }

    pub(super) fn min(&self) -> f64 {
        self.min
    }

    pub(super) fn max(&self) -> f64 {
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Protects the ends: one value is every quantile, and nothing lies outside what was seen.
    #[test]
    fn one_value_is_every_quantile() {
        let mut sketch = DurationSketch::default();
        assert_eq!(sketch.quantile(0.5), None);
        sketch.insert_nanos(123_456_789);
        for q in [0.0, 0.5, 0.99, 1.0] {
            assert_eq!(sketch.quantile(q), Some(0.123_456_789));
        }
        sketch.insert_nanos(0);
        assert_eq!(sketch.quantile(0.0), Some(0.0));
    }

    /// Protects the stated error where values are spread evenly: 1 to 1,000 ms have a median of 500 ms.
    #[test]
    fn even_values_are_within_two_percent() {
        let mut sketch = DurationSketch::default();
        (1..=1_000).for_each(|ms| sketch.insert_nanos(ms * 1_000_000));
        for (q, expected) in [(0.5, 0.5), (0.95, 0.95), (0.99, 0.99)] {
            let got = sketch.quantile(q).unwrap_or_default();
            assert!((got - expected).abs() <= 0.02 * expected, "{q}: {got}");
        }
    }

    proptest! {
        /// Protects the stated error for any values: a quantile lies in the bucket of the value of that rank.
        #[test]
        fn quantiles_are_near_the_exact_ones(mut nanos in prop::collection::vec(any::<u64>(), 1..200), q in 0.01..1.0f64) {
            let mut sketch = DurationSketch::default();
            nanos.iter().for_each(|&value| sketch.insert_nanos(value));
            nanos.sort_unstable();
            let rank = (q * nanos.len() as f64).ceil() as usize;
            let exact = nanos[rank.clamp(1, nanos.len()) - 1] as f64 / 1e9;
            let got = sketch.quantile(q).unwrap_or(f64::NAN);
            prop_assert!((got - exact).abs() <= exact / 64.0 + 1e-12, "{} {}", got, exact);
        }
    }
}
