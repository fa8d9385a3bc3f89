//! Owns what the forest sees of a series: five features of each window, quantised to bytes.

use crate::forest::{FEATURES, Row};
use foreshock_detector::math::sqrt;
use serde::{Deserialize, Serialize};

/// Windows before the present one that rolling features look at.
pub(crate) const ROLLING: usize = 12;
/// The names of the features, in order.
pub(crate) const NAMES: [&str; FEATURES] =
    ["value", "change from the window before", "rolling mean", "rolling deviation", "z-score"];

/// The features of a value after the values before it, at most [`ROLLING`]: value, difference to the last one, mean and deviation
/// of those, and distance from that mean in deviations of at least `floor`.
pub(crate) fn features(before: &[f32], value: f64, floor: f64) -> [f64; FEATURES] {
    let count = before.len().max(1) as f64;
    let last = before.last().map_or(value, |&last| f64::from(last));
    // In one pass, by the distances from the last one: of the values themselves the squares would cancel.
    let (mut sum, mut squares) = (0.0, 0.0);
    for &past in before {
        let off = f64::from(past) - last;
        sum += off;
        squares += off * off;
    }
    let mean_off = sum / count;
    let deviation = sqrt((squares / count - mean_off * mean_off).max(0.0));
    let mean = if before.is_empty() { 0.0 } else { last + mean_off };
    [value, value - last, mean, deviation, (value - mean) / deviation.max(floor)]
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
            let (low, median, high) = quantiles(&mut column);
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
        let farthest = (0..FEATURES).map(off).fold(0.0, f64::max);
        (farthest / 127.0 - 1.0).max(0.0)
    }

    /// The byte of each feature; what is far out lands at 0 or 255.
    pub(crate) fn quantise(&self, features: &[f64; FEATURES]) -> Row {
        let byte = |i: usize| u64::from((1.0 + (features[i] - self.lows[i]) * self.scales[i]).clamp(0.0, 255.0) as u8);
        // Put together as one number: bytes stored one by one would have to be waited for.
        (0..FEATURES).fold(0, |row, i| row | byte(i) << (8 * i)).to_le_bytes()
    }
}

/// The 1 %, 50 % and 99 % quantiles; zeros of nothing. Selecting takes a tenth of the time of sorting.
fn quantiles(column: &mut [f64]) -> (f64, f64, f64) {
    let Some(last) = column.len().checked_sub(1) else { return (0.0, 0.0, 0.0) };
    let at = |share: f64| (share * last as f64) as usize;
    let (low, middle, high) = (at(0.01), at(0.5), at(0.99));
    let (below, median, above) = column.select_nth_unstable_by(middle, f64::total_cmp);
    let median = *median;
    let side = |side: &mut [f64], place: usize| match place < side.len() {
        true => *side.select_nth_unstable_by(place, f64::total_cmp).1,
        // Of one or two numbers all are the median.
        false => median,
    };
    (side(below, low), median, side(above, high.wrapping_sub(middle + 1)))
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
            let quantiles = quantiles(&mut column);
            column.sort_by(f64::total_cmp);
            let at = |share: f64| column[(share * f64::from(count - 1)) as usize];
            assert_eq!(quantiles, (at(0.01), at(0.5), at(0.99)), "of {count}");
        }
        assert_eq!(quantiles(&mut []), (0.0, 0.0, 0.0));
    }
}
