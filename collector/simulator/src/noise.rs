//! The dice: every random number of the simulation comes from one seeded generator.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use std::fmt::Write;

/// A seeded source of the draws that the simulation needs.
#[derive(Clone, Debug)]
pub(crate) struct Dice {
    rng: ChaCha8Rng,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// 0 inclusive to 1 exclusive.
    pub(crate) fn unit(&mut self) -> f64 {
        // 53 bits fill a double's mantissa.
        (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// 0 to `n - 1`; 0 where `n` is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n.saturating_sub(1))
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// A standard normal draw (Box and Muller, 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// A log-normal draw with the given median; `sigma` is the deviation of its logarithm.
    pub(crate) fn skewed(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    /// How many events happen where `mean` are expected (Knuth's product method, halved until it is cheap).
    pub(crate) fn count(&mut self, mean: f64) -> u64 {
        if mean <= 0.0 {
            return 0;
        }
        if mean > 30.0 {
            return self.count(mean / 2.0) + self.count(mean / 2.0);
        }
        let limit = (-mean).exp();
        let mut product = self.unit();
        let mut count = 0;
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }

    /// `N` random bytes, never all zero.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes[N - 1] |= 1;
        bytes
    }

    /// `length` characters as Kubernetes puts them at the end of a pod's name.
    pub(crate) fn suffix(&mut self, length: usize) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..length).map(|_| char::from(LETTERS[self.below(LETTERS.len())])).collect()
    }

    /// A random UUID in its usual form.
    pub(crate) fn uuid(&mut self) -> String {
        let mut bytes = self.bytes::<16>();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let mut text = String::with_capacity(36);
        for (index, byte) in bytes.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

/// Noise that remembers: a first-order autoregression around 0 with standard deviation `deviation`.
#[derive(Clone, Debug)]
pub(crate) struct Drift {
    value: f64,
    memory: f64,
    deviation: f64,
}

impl Drift {
    /// `seconds` is how long a deviation lasts, to a factor of e.
    pub(crate) fn new(deviation: f64, seconds: f64) -> Self {
        Self { value: 0.0, memory: (-1.0 / seconds).exp(), deviation }
    }

    /// Moves on by one second.
    pub(crate) fn step(&mut self, dice: &mut Dice) -> f64 {
        let fresh = self.deviation * (1.0 - self.memory * self.memory).sqrt();
        self.value = self.value * self.memory + fresh * dice.normal();
        self.value
    }

    pub(crate) fn value(&self) -> f64 {
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The load of the shop is drawn as counts; a wrong mean would shift every rate. 10,000 draws with mean 47 have a
    /// mean within 47 ± 0.3 (4 standard errors of sqrt(47 / 10,000)).
    #[test]
    fn counts_have_their_mean() {
        let mut dice = Dice::new(3);
        let total: u64 = (0..10_000).map(|_| dice.count(47.0)).sum();
        assert!((total as f64 / 10_000.0 - 47.0).abs() < 0.3, "{total}");
    }

    /// Durations are log-normal around a stated median: half of them must lie below it.
    #[test]
    fn skewed_draws_have_their_median() {
        let mut dice = Dice::new(5);
        let below = (0..10_000).filter(|_| dice.skewed(80.0, 0.5) < 80.0).count();
        assert!((4_800..5_200).contains(&below), "{below}");
    }
}
