//! Owns what the forest sees of a series: five features of each window, quantised to bytes.

use crate::forest::{FEATURES, Row};
use foreshock_detector::math::{larger, sqrt};
use serde::{Deserialize, Serialize};

/// Windows before the present one that rolling features look at.
pub(crate) const ROLLING: usize = 12;
/// The names of the features, in order.
pub(crate) const NAMES: [&str; FEATURES] =
    ["value", "change from the window before", "rolling mean", "rolling deviation", "z-score"];

/// Numbers added up side by side, so that none waits for the one before.
const SIDES: usize = 4;

/// What values are like that come before the present one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    last: f64,
    pub(crate) mean: f64,
    deviation: f64,
    /// Mean of the absolute values.
    pub(crate) magnitude: f64,
}

impl Before {
    /// `None` if there are none. A series' features look at [`ROLLING`] of them.
    pub(crate) fn of(values: &[f32]) -> Option<Self> {
        let last = f64::from(*values.last()?);
        // In one pass, by the distances from the last one: of the values themselves the squares would cancel.
        let (mut sum, mut squares, mut sizes) = ([0.0; SIDES], [0.0; SIDES], [0.0; SIDES]);
        let mut add = |side: usize, value: f32| {
            let value = f64::from(value);
            let off = value - last;
            sum[side] += off;
            squares[side] += off * off;
            sizes[side] += value.abs();
        };
        let (fours, rest) = values.as_chunks::<SIDES>();
        for four in fours {
            (0..SIDES).for_each(|side| add(side, four[side]));
        }
        rest.iter().for_each(|value| add(0, *value));
        let mean = |[a, b, c, d]: [f64; SIDES]| (a + b + (c + d)) / values.len() as f64;
        let mean_off = mean(sum);
        let deviation = sqrt(larger(mean(squares) - mean_off * mean_off, 0.0));
        Some(Self { last, mean: last + mean_off, deviation, magnitude: mean(sizes) })
    }

    /// The features of the value that follows: itself, difference to the last one, mean and deviation of those before, and distance
    /// from that mean in deviations of at least `floor`.
    pub(crate) fn features(&self, value: f64, floor: f64) -> [f64; FEATURES] {
        let Self { last, mean, deviation, .. } = *self;
        [value, value - last, mean, deviation, (value - mean) / larger(deviation, floor)]
    }
}

/// Maps each feature to a byte: linear over what is usual with as much room on each side.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Scale {
    lows: [f64; FEATURES],
    /// Bytes for each unit of a feature.
    scales: [f64; FEATURES],
    /// The median row, in features.
    pub(crate) medians: [f64; FEATURES],
    /// Usual values, 1 % to 99 %.
    pub(crate) usual: (f64, f64),
}

impl Scale {
    /// Learns from rows of features; `floor` is the smallest movement of the value that matters. Also gives for each feature how
    /// far beyond what was seen a tree's cut may fall.
    pub(crate) fn learn(rows: &[[f64; FEATURES]], floor: f64) -> (Self, [u8; FEATURES]) {
        let mut scale = Self::default();
        let mut margins = [1; FEATURES];
        let mut column: Vec<f64> = Vec::with_capacity(rows.len());
        for feature in 0..FEATURES {
            column.clear();
            column.extend(rows.iter().map(|row| row[feature]));
            let (low, median, high) = quantiles(&column);
            let floor = if feature == 4 { 0.5 } else { floor };
            let room = (0.5 * (high - low)).max(3.0 * floor);
            scale.lows[feature] = low - room;
            let step = ((high - low + 2.0 * room) / 254.0).max(f64::MIN_POSITIVE);
            scale.scales[feature] = 1.0 / step;
            scale.medians[feature] = median;
            let margin = (0.1 * (high - low)).max(floor) / step;
            margins[feature] = margin.clamp(1.0, 80.0) as u8;
            if feature == 0 {
                scale.usual = (low, high);
            }
        }
        (scale, margins)
    }

    /// How far the farthest feature lies beyond the range of the bytes, in halves of that range; 0 within.
    pub(crate) fn beyond(&self, features: &[f64; FEATURES]) -> f64 {
        let off = |i: usize| ((features[i] - self.lows[i]) * self.scales[i] - 127.0).abs();
        let farthest = (0..FEATURES).fold(127.0, |farthest, i| larger(off(i), farthest));
        farthest / 127.0 - 1.0
    }

    /// The byte of each feature; what is far out lands at 0 or 255, where the conversion ends.
    pub(crate) fn quantise(&self, features: &[f64; FEATURES]) -> Row {
        let byte = |i: usize| Row::from((1.0 + (features[i] - self.lows[i]) * self.scales[i]) as u8);
        (0..FEATURES).fold(0, |row, i| row | byte(i) << (8 * i))
    }
}

/// The 1 %, 50 % and 99 % quantiles; zeros of nothing. Numbers are counted by their 256th of the range first, and only those of a
/// quantile's 256th are selected from, which is half of the work of selecting from all.
fn quantiles(column: &[f64]) -> (f64, f64, f64) {
    let Some(last) = column.len().checked_sub(1) else { return (0.0, 0.0, 0.0) };
    let range = |(low, high): (f64, f64), x: &f64| (if *x < low { *x } else { low }, if *x > high { *x } else { high });
    let (low, high) = column.iter().fold((f64::INFINITY, f64::NEG_INFINITY), range);
    // Where all are equal, this is a division by zero; they are all counted as 0 then.
    let scale = 255.0 / (high - low);
    let parts: Vec<u8> = column.iter().map(|x| ((x - low) * scale) as u8).collect();
    let mut counts = [0_usize; 256];
    for part in &parts {
        counts[usize::from(*part)] += 1;
    }
    let mut members = Vec::new();
    let mut at = |share: f64| {
        let (mut place, mut part) = ((share * last as f64) as usize, 0);
        while place >= counts[usize::from(part)] {
            place -= counts[usize::from(part)];
            part += 1;
        }
        members.clear();
        members.extend(column.iter().zip(&parts).filter(|(_, of)| **of == part).map(|(x, _)| *x));
        *members.select_nth_unstable_by(place, f64::total_cmp).1
    };
    (at(0.01), at(0.5), at(0.99))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scale stands on these; selected within halves they must be what sorting gives, also of very few numbers.
    #[test]
    fn quantiles_are_those_of_the_sorted() {
        let mut noise = foreshock_detector::testkit::Noise::new(8);
        for count in [1, 2, 3, 7, 100, 709] {
            let mut column: Vec<f64> = (0..count).map(|_| noise.normal()).collect();
            let quantiles = quantiles(&column);
            column.sort_by(f64::total_cmp);
            let at = |share: f64| column[(share * f64::from(count - 1)) as usize];
            assert_eq!(quantiles, (at(0.01), at(0.5), at(0.99)), "of {count}");
        }
        assert_eq!(quantiles(&[]), (0.0, 0.0, 0.0));
        assert_eq!(quantiles(&[1e30, 2.0, 2.0, -1e300]), (-1e300, 2.0, 2.0));
        assert_eq!(quantiles(&[7.0; 9]), (7.0, 7.0, 7.0));
    }
}
