//! Owns the spectral residual of 64 values.

use foreshock_detector::math::{cos, exp, log, sin, sqrt};

/// Values that are transformed; a power of two.
pub(crate) const LENGTH: usize = 64;
/// Values that are extrapolated behind the newest.
pub(crate) const AHEAD: usize = 5;
/// Values that are kept.
pub(crate) const KEPT: usize = LENGTH - AHEAD;
/// Saliencies before the newest whose mean it is compared with.
const COMPARED: usize = 21;

/// Sines and cosines of the transform.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    twiddles: Vec<(f64, f64)>,
}

type Complex = (f64, f64);

impl Tables {
    pub(crate) fn new() -> Self {
        let angle = |k: usize| -std::f64::consts::TAU * k as f64 / LENGTH as f64;
        Self { twiddles: (0..LENGTH / 2).map(|k| (cos(angle(k)), sin(angle(k)))).collect() }
    }

    /// The discrete Fourier transform in place (Cooley and Tukey 1965).
    fn transform(&self, values: &mut [Complex; LENGTH]) {
        let bits = LENGTH.trailing_zeros();
        for k in 0..LENGTH {
            let mirrored = k.reverse_bits() >> (usize::BITS - bits);
            if k < mirrored {
                values.swap(k, mirrored);
            }
        }
        let mut half = 1;
        while half < LENGTH {
            let stride = LENGTH / (2 * half);
            for start in (0..LENGTH).step_by(2 * half) {
                for k in 0..half {
                    let (c, s) = self.twiddles[k * stride];
                    let (a, b) = (values[start + k], values[start + k + half]);
                    let turned = (b.0 * c - b.1 * s, b.0 * s + b.1 * c);
                    values[start + k] = (a.0 + turned.0, a.1 + turned.1);
                    values[start + k + half] = (a.0 - turned.0, a.1 - turned.1);
                }
            }
            half *= 2;
        }
    }

    /// How much more salient the newest of `kept` values is than those before it: 0 is as salient as their mean. Values must be
    /// finite and of a size of about 1.
    pub(crate) fn newest_saliency(&self, kept: &[f64]) -> f64 {
        let mut values = [(0.0, 0.0); LENGTH];
        // From what was before the newest, or its own height would be extended.
        let ahead = extrapolated(&kept[..kept.len() - 1]);
        for (value, x) in values.iter_mut().zip(kept.iter().copied().chain(std::iter::repeat(ahead))) {
            value.0 = x;
        }
        self.transform(&mut values);
        // Real values have a symmetric spectrum: half of it and the middle are enough.
        let mut logs = [0.0; LENGTH / 2 + 1];
        let mut sizes = [0.0; LENGTH / 2 + 1];
        for k in 0..=LENGTH / 2 {
            sizes[k] = sqrt(values[k].0 * values[k].0 + values[k].1 * values[k].1);
            logs[k] = log(sizes[k] + 1e-8);
        }
        let mirrored = |k: usize| logs[k.min(LENGTH - k)];
        let mut spectrum = [(0.0, 0.0); LENGTH];
        for k in 0..=LENGTH / 2 {
            let before = mirrored((k + LENGTH - 1) % LENGTH);
            let after = mirrored((k + 1) % LENGTH);
            let residual = exp(logs[k] - (before + logs[k] + after) / 3.0);
            let share = residual / (sizes[k] + 1e-8);
            spectrum[k] = (values[k].0 * share, values[k].1 * share);
            if k > 0 && k < LENGTH / 2 {
                spectrum[LENGTH - k] = (spectrum[k].0, -spectrum[k].1);
            }
        }
        // The inverse but for its factor, which a ratio does not need: transform the conjugate.
        spectrum.iter_mut().for_each(|value| value.1 = -value.1);
        self.transform(&mut spectrum);
        let saliency = |k: usize| sqrt(spectrum[k].0 * spectrum[k].0 + spectrum[k].1 * spectrum[k].1);
        let mean = (KEPT - 1 - COMPARED..KEPT - 1).map(saliency).sum::<f64>() / COMPARED as f64;
        if mean > 1e-12 { (saliency(KEPT - 1) / mean - 1.0).max(0.0) } else { 0.0 }
    }
}

/// The next value by the mean slope from the last few values to the newest (equations 9 and 10 of the second paper). At least
/// `AHEAD + 1` values.
pub(crate) fn extrapolated(kept: &[f64]) -> f64 {
    let last = kept.len() - 1;
    let newest = kept[last];
    let slope = (1..=AHEAD).map(|k| (newest - kept[last - k]) / k as f64).sum::<f64>() / AHEAD as f64;
    kept[last - AHEAD + 1] + slope * AHEAD as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the transform's definition.
    #[test]
    fn the_transform_is_right() {
        let tables = Tables::new();
        let given: Vec<f64> = (0..LENGTH).map(|k| ((k * k * 7 + 3) % 11) as f64).collect();
        let mut values = [(0.0, 0.0); LENGTH];
        values.iter_mut().zip(&given).for_each(|(value, x)| value.0 = *x);
        tables.transform(&mut values);
        for (k, value) in values.iter().enumerate() {
            let angle = |n: usize| -std::f64::consts::TAU * (k * n % LENGTH) as f64 / LENGTH as f64;
            let re: f64 = given.iter().enumerate().map(|(n, x)| x * cos(angle(n))).sum();
            let im: f64 = given.iter().enumerate().map(|(n, x)| x * sin(angle(n))).sum();
            assert!((value.0 - re).abs() < 1e-9 && (value.1 - im).abs() < 1e-9, "{k}");
        }
    }

    /// A value that breaks a wave is salient, one that goes on with it is not, and a flat line has nothing salient.
    #[test]
    fn what_breaks_the_wave_is_salient() {
        let tables = Tables::new();
        let mut wave: Vec<f64> = (0..KEPT).map(|k| sin(k as f64 * 0.6) + 0.05 * cos(k as f64 * 2.9)).collect();
        let usual = tables.newest_saliency(&wave);
        wave[KEPT - 1] += 2.0;
        let broken = tables.newest_saliency(&wave);
        assert!(broken > 3.0 && broken > 3.0 * usual, "{broken} {usual}");
        assert!(tables.newest_saliency(&[0.0; KEPT]) < 1.0);
    }
}
