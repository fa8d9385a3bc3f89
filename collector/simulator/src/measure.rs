//! Distributions as the SDKs of the services keep them: cumulative, with explicit or exponential buckets.

use std::collections::BTreeMap;

/// Bounds in seconds that the semantic conventions advise for `http.server.request.duration`.
pub(crate) const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Resolution of exponential histograms: eight buckets for each doubling.
pub(crate) const SCALE: i32 = 3;

/// Values since the start of the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Distribution {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    buckets: BTreeMap<i32, u64>,
    explicit: [u64; SECONDS.len() + 1],
}

impl Distribution {
    pub(crate) fn record(&mut self, value: f64) {
        let value = value.max(1e-9);
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.count += 1;
        self.sum += value;
        *self.buckets.entry(exponential_index(value)).or_default() += 1;
        self.explicit[SECONDS.partition_point(|bound| *bound < value)] += 1;
    }

    /// Counts per explicit bucket.
    pub(crate) fn explicit(&self) -> Vec<u64> {
        self.explicit.to_vec()
    }

    /// Index of the first exponential bucket, and the counts from there.
    pub(crate) fn exponential(&self) -> (i32, Vec<u64>) {
        let (Some((&first, _)), Some((&last, _))) = (self.buckets.first_key_value(), self.buckets.last_key_value())
        else {
            return (0, Vec::new());
        };
        (first, (first..=last).map(|index| self.buckets.get(&index).copied().unwrap_or(0)).collect())
    }
}

/// Bucket `i` holds `(base^i, base^(i+1)]` with `base = 2^(2^-SCALE)` (OTLP data model, exponential histogram).
fn exponential_index(value: f64) -> i32 {
    (value.log2() * f64::from(1 << SCALE)).ceil() as i32 - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readers compute quantiles from the buckets, so a value must lie in the bucket that its index states. With scale 3
    /// the base is 2^(1/8) = 1.0905...; 1.0 is the upper end of bucket -1, 2.0 the upper end of bucket 7.
    #[test]
    fn exponential_buckets_hold_their_values() {
        assert_eq!(exponential_index(1.0), -1);
        assert_eq!(exponential_index(2.0), 7);
        assert_eq!(exponential_index(2.001), 8);
        let base = 1.090_507_732_665_257_7_f64;
        for value in [0.0007, 0.013, 0.5, 3.3, 9.9] {
            let index = exponential_index(value);
            assert!(base.powi(index) < value && value <= base.powi(index + 1) * 1.000_001, "{value}");
        }
    }

    /// Both forms must tell of the same values: their counts add up to the number of records.
    #[test]
    fn both_forms_count_every_value() {
        let mut distribution = Distribution::default();
        for value in [0.004, 0.005, 0.02, 0.02, 12.0] {
            distribution.record(value);
        }
        assert_eq!(distribution.explicit().iter().sum::<u64>(), 5);
        assert_eq!(distribution.explicit()[0], 2);
        assert_eq!(distribution.explicit()[14], 1);
        assert_eq!(distribution.exponential().1.iter().sum::<u64>(), 5);
        assert_eq!((distribution.min, distribution.max), (0.004, 12.0));
    }
}
