//! Owns how rare a count is.

use crate::math::{lgamma, log};
use std::f64::consts::LN_10;

/// Terms of a tail that are summed at most; what is left then is far below the rounding of a surprise.
const MOST_TERMS: u32 = 2_000;

/// `-log10` of the probability of at least `count` events where `mean` are expected (Poisson), 0 to 16. Also takes counts that
/// are not whole, as quasi-Poisson counts divided by their dispersion are. 0 for a count that is at most the mean.
#[must_use]
pub fn surprise_of_many(count: f64, mean: f64) -> f64 {
    if count <= 0.0 || !count.is_finite() || !mean.is_finite() {
        return 0.0;
    }
    let mean = mean.max(1e-12);
    if count <= mean {
        return 0.0;
    }
    tail(count, mean, |k| mean / (k + 1.0), 1.0)
}

/// `-log10` of the probability of at most `count` events where `mean` are expected (Poisson), 0 to 16.
#[must_use]
pub fn surprise_of_few(count: f64, mean: f64) -> f64 {
    if !count.is_finite() || !mean.is_finite() || mean <= 0.0 {
        return 0.0;
    }
    let count = count.max(0.0);
    if count >= mean {
        return 0.0;
    }
    tail(count, mean, |k| k / mean, -1.0)
}

/// Sums the probabilities from `count` on in one direction.
fn tail(count: f64, mean: f64, ratio: impl Fn(f64) -> f64, direction: f64) -> f64 {
    let first = count * log(mean) - mean - lgamma(count + 1.0);
    let (mut sum, mut term, mut k) = (1.0, 1.0, count);
    for _ in 0..MOST_TERMS {
        term *= ratio(k);
        k += direction;
        if term < 1e-12 * sum || k < 0.0 {
            break;
        }
        sum += term;
    }
    (-(first + log(sum)) / LN_10).clamp(0.0, 16.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the Poisson distribution worked out by hand: P(N >= 3 | 1) = 1 - 2.5 / e, P(N >= 1 | 0.01) = 1 - e^-0.01,
    /// P(N = 0 | 10) = e^-10, P(N <= 1 | 5) = 6 e^-5.
    #[test]
    fn tails_are_those_of_poisson() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-3, "{a} {b}");
        near(surprise_of_many(3.0, 1.0), 1.0953);
        near(surprise_of_many(1.0, 0.01), 2.0022);
        near(surprise_of_few(0.0, 10.0), 4.3429);
        near(surprise_of_few(1.0, 5.0), 1.3933);
        assert_eq!(surprise_of_many(0.0, 1.0), 0.0);
        assert_eq!(surprise_of_few(6.0, 5.0), 0.0);
        assert_eq!(surprise_of_many(1e9, 1.0), 16.0);
        assert_eq!(surprise_of_many(100.0, 1e9), 0.0);
    }
}
