//! Owns the values that forests are grown on: the newest few hundred, in about a byte each.

use foreshock_detector::packed;
use serde::{Deserialize, Serialize};

/// Values of a block.
const BLOCK: usize = 32;
/// A block's smallest value and the size of its steps, both `f32` with the lowest byte first, then a byte for each value: so many steps
/// above the smallest.
const BYTES: usize = 8 + BLOCK;

/// The newest values of a series. A value is off by at most half a 255th of the range of the 32 values around it, which is less than
/// what a forest tells apart; an outlier coarsens its own block alone.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct History {
    #[serde(with = "packed::bytes")]
    blocks: Vec<u8>,
    /// The newest values, fewer than a block.
    newest: Vec<f32>,
}

impl History {
    pub(crate) fn len(&self) -> usize {
        self.blocks.len() / BYTES * BLOCK + self.newest.len()
    }

    /// Adds a finite value; at least the newest `most` are kept.
    pub(crate) fn push(&mut self, value: f32, most: usize) {
        if self.newest.capacity() < BLOCK {
            self.newest.reserve_exact(BLOCK - self.newest.len());
        }
        self.newest.push(value);
        if self.newest.len() < BLOCK {
            return;
        }
        while self.len() >= most + BLOCK {
            self.blocks.drain(..BYTES);
        }
        self.blocks.reserve_exact(BYTES);
        let (low, high) =
            self.newest.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), x| (l.min(*x), h.max(*x)));
        let step = (high - low) / 255.0;
        self.blocks.extend_from_slice(&low.to_le_bytes());
        self.blocks.extend_from_slice(&step.to_le_bytes());
        // No step at all is a division by zero, which makes 0.
        self.blocks.extend(self.newest.iter().map(|value| ((value - low) / step + 0.5) as u8));
        self.newest.clear();
    }

    /// The newest values, `most` of them where there are as many, the newest last.
    pub(crate) fn values(&self, most: usize) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.len());
        for block in self.blocks.chunks_exact(BYTES) {
            let number = |at: usize| block[at..].first_chunk().map_or(0.0, |bytes| f32::from_le_bytes(*bytes));
            let (low, step) = (number(0), number(4));
            values.extend(block[8..].iter().map(|steps| low + f32::from(*steps) * step));
        }
        values.extend_from_slice(&self.newest);
        values.split_off(values.len().saturating_sub(most))
    }

    /// Whether what was restored can be worked with.
    pub(crate) fn is_sane(&self) -> bool {
        self.blocks.len().is_multiple_of(BYTES)
            && self.newest.len() < BLOCK
            && self.values(usize::MAX).iter().all(|value| value.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forests are grown on what is kept here: it must be the newest values, as many as were asked for, and near what they were.
    #[test]
    fn the_newest_values_are_kept() {
        let mut noise = foreshock_detector::testkit::Noise::new(4);
        let mut history = History::default();
        let values: Vec<f32> = (0..1_000).map(|_| 50.0 + 5.0 * noise.normal() as f32).collect();
        for (count, value) in values.iter().enumerate() {
            history.push(*value, 100);
            assert!((count + 1).min(100) <= history.len() && history.len() < 100 + 2 * BLOCK && history.is_sane());
        }
        let kept = history.values(100);
        assert_eq!(kept.len(), 100);
        assert!(kept.iter().zip(&values[900..]).all(|(kept, value)| (kept - value).abs() < 0.1));
    }

    /// A series that rests must rest in what is kept, and one wild value must not blur the values of other blocks.
    #[test]
    fn constants_stay_and_outliers_keep_to_themselves() {
        let mut history = History::default();
        let values = (0..96).map(|k| if k < 32 { 7.5 } else { f32::from(k as u8) });
        values.chain([1e30]).chain([1.0; 31]).for_each(|value| history.push(value, 200));
        let kept = history.values(200);
        assert_eq!(kept[..32], [7.5; 32]);
        assert!((32..96).all(|k: usize| (kept[k] - k as f32).abs() < 0.1), "{:?}", &kept[32..96]);
        assert!((kept[96] - 1e30).abs() < 1e25 && kept[127] == 1.0);
    }
}
