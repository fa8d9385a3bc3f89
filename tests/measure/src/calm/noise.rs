//! Owns the random numbers of the calm services: the same seed gives the same numbers on every machine.

/// SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
#[derive(Clone, Copy, Debug)]
pub(super) struct Noise(u64);

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Between 0 and 1, neither of them.
    pub(super) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Standard normal (Box and Muller 1958).
    pub(super) fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Poisson; a rounded normal number where the mean is large.
    pub(super) fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 40.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.uniform(), 0.0);
        while product > limit {
            product *= self.uniform();
            count += 1.0;
        }
        count
    }

    /// How many of `of` happen that each happen with probability `share`.
    pub(super) fn binomial(&mut self, of: f64, share: f64) -> f64 {
        if of < 40.0 {
            return (0..of as u32).filter(|_| self.uniform() < share).count() as f64;
        }
        self.poisson(of * share).min(of)
    }

    /// The quantile `share` of `of` lognormal values with this median and deviation of the logarithm.
    pub(super) fn quantile(&mut self, of: f64, share: f64, median: f64, deviation: f64) -> f64 {
        if of < 60.0 {
            let mut values: Vec<f64> = (0..of.max(1.0) as u32).map(|_| self.normal()).collect();
            values.sort_unstable_by(f64::total_cmp);
            let rank = ((share * values.len() as f64).ceil() as usize).clamp(1, values.len());
            return median * (deviation * values[rank - 1]).exp();
        }
        // Order statistics of many values are about normal (Mosteller 1946).
        let (z, density) = match share {
            s if s < 0.6 => (0.0, 0.398_942),
            s if s < 0.97 => (1.644_854, 0.103_136),
            _ => (2.326_348, 0.026_652),
        };
        let error = (share * (1.0 - share) / of).sqrt() / density;
        median * (deviation * (z + error * self.normal())).exp()
    }
}
