//! Owns the translation of how far off a value is into how rarely that happens.

use serde::{Deserialize, Serialize};

/// The share of values beyond the tail's threshold.
const TAIL_SHARE: f64 = 0.02;
/// `-log10(TAIL_SHARE)`.
const TAIL_SURPRISE: f64 = 1.698_970_004_336_019;
/// An exponential tail as thin as the normal distribution's, where nothing is known: a little thicker, to be safe.
const FIRST: Tail = Tail { threshold: 2.5, excess: 0.6, seen: 0, beyond: 0 };

/// An estimate of the upper tail of a stream of normalised residuals: exponential beyond a slowly moving high quantile
/// (peaks over threshold; Pickands 1975, with shape 0). 16 bytes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Tail {
    threshold: f32,
    /// Mean of what lies beyond the threshold.
    excess: f32,
    seen: u32,
    beyond: u32,
}

impl Default for Tail {
    fn default() -> Self {
        FIRST
    }
}

impl Tail {
    /// The first guess for means of several values, which are nearer to normal than the values.
    #[must_use]
    pub fn of_means() -> Self {
        Self { threshold: 2.2, excess: 0.45, ..FIRST }
    }

    /// Where the tail begins: the residual that a normal one exceeds in two of a hundred cases.
    #[must_use]
    pub fn begin(&self) -> f64 {
        f64::from(self.threshold)
    }

    /// `-log10` of the probability that a normal residual is at least `z`; 0 for a `z` on the other side.
    #[must_use]
    pub fn surprise(&self, z: f64) -> f64 {
        let (threshold, excess) = (f64::from(self.threshold), f64::from(self.excess));
        let surprise = if z <= 0.0 {
            0.0
        } else if z < threshold {
            TAIL_SURPRISE * z / threshold
        } else {
            TAIL_SURPRISE + (z - threshold) / excess / std::f64::consts::LN_10
        };
        surprise.min(16.0)
    }

    /// The residual whose surprise is `surprise`; the tail's threshold where that is below 1.7.
    #[must_use]
    pub fn residual(&self, surprise: f64) -> f64 {
        let beyond = (surprise - TAIL_SURPRISE).max(0.0) * std::f64::consts::LN_10;
        f64::from(self.threshold) + beyond * f64::from(self.excess)
    }

    /// Learns one residual; `weight` from 0 to 1 says how far it is trusted.
    pub fn learn(&mut self, z: f64, weight: f64) {
        let (threshold, excess) = (f64::from(self.threshold), f64::from(self.excess));
        let pace = if self.seen < 200 { 0.3 } else { 0.1 };
        let hit = z > threshold;
        let share = if hit { 1.0 - TAIL_SHARE } else { -TAIL_SHARE };
        self.threshold = (threshold + weight * pace * share).clamp(1.0, 30.0) as f32;
        self.seen = self.seen.saturating_add(1);
        if hit {
            // One wild value must not hide the next.
            let over = (z - threshold).min(6.0 * excess);
            let memory = f64::from(self.beyond.min(54) + 10);
            self.excess = (excess + weight * (over - excess) / memory).clamp(0.35, 50.0) as f32;
            self.beyond = self.beyond.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scale is what everything else rests on: normal noise must score near its true rarity, and never far above.
    #[test]
    fn normal_noise_is_calibrated() {
        let mut tail = Tail::default();
        let mut noise = crate::testkit::Noise::new(7);
        let mut over = [0_u32; 3];
        for i in 0..200_000 {
            let z = noise.normal();
            if i >= 1_000 {
                for (k, level) in [2.0, 3.0, 4.0].into_iter().enumerate() {
                    over[k] += u32::from(tail.surprise(z) >= level);
                }
            }
            tail.learn(z, 1.0);
        }
        assert!((1_000..3_000).contains(&over[0]), "{over:?}");
        assert!((30..300).contains(&over[1]), "{over:?}");
        assert!(over[2] < 40, "{over:?}");
    }

    /// A series that spikes all the time must stop being surprising.
    #[test]
    fn habitual_spikes_become_normal() {
        let mut tail = Tail::default();
        for i in 0..3_000 {
            tail.learn(if i % 30 == 0 { 12.0 } else { 0.5 }, 1.0);
        }
        assert!(tail.surprise(12.0) < 3.0, "{}", tail.surprise(12.0));
        assert!((tail.surprise(tail.residual(4.5)) - 4.5).abs() < 1e-6);
    }
}
