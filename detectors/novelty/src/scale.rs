//! Owns how rows become levels: the map of values, steps of several rows, the range that widens, and the snap to the median.

use foreshock_detector::{
    math::{exp, log1p, round},
    packed,
};
use serde::{Deserialize, Serialize};

/// Levels between the ends of the range.
const LEVELS: usize = 80;
/// What is nearer to the median than this share of the range is taken for the median.
const SNAP: f64 = 0.055;
/// Share of the new range that is added beyond a value outside of the old one.
const MARGIN: f64 = 0.1;
/// What lies further off than so many times the range is taken to lie there.
const FARTHEST: f64 = 1e30;
/// The histogram is halved when a level was seen so often, so that a byte is enough.
const MOST_SEEN: u16 = 255;

/// Where the values of the warm-up lay.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Range {
    middle: f64,
    width: f64,
}

impl Range {
    /// The range of what was seen; `rows` are finite and at most 1e150 in size.
    pub(crate) fn of(rows: &[f64]) -> Self {
        let (low, high) = rows.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(*x), h.max(*x)));
        if low > high {
            return Self { middle: 0.0, width: 1.0 };
        }
        let width = if high > low { high - low } else { high.abs().max(1.0) };
        Self { middle: (low + high) / 2.0, width: width.max(f64::MIN_POSITIVE) }
    }
}

/// How a value is laid on a line: as it is, or with its far ends drawn in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Map {
    Plain,
    Log,
}

impl Map {
    /// The first end of the range on the line; the other is its negative.
    fn reach(self) -> f64 {
        match self {
            Self::Plain => 1.5,
            Self::Log => 1.098_612_288_668_11, // ln 3
        }
    }

    pub(crate) fn apply(self, value: f64, range: Range) -> f64 {
        let z = (value - range.middle) / range.width;
        match self {
            Self::Plain => z,
            Self::Log => log1p(z.abs()).copysign(z),
        }
        .clamp(-FARTHEST, FARTHEST)
    }

    fn undo(self, y: f64, range: Range) -> f64 {
        let z = match self {
            Self::Plain => y,
            Self::Log => (exp(y.abs().min(300.0)) - 1.0).copysign(y),
        };
        (z * range.width + range.middle).clamp(-1e150, 1e150)
    }
}

/// How much the range was widened: old levels become `level * share + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Widened {
    pub(crate) share: f64,
    pub(crate) offset: f64,
}

/// Makes steps from rows and levels from steps.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Scale {
    map: Map,
    low: f32,
    high: f32,
    /// A fast mean of the steps' means.
    mean: f32,
    has_mean: bool,
    /// Rows of the step that is being filled.
    rows: u32,
    sum: f32,
    smallest: f32,
    largest: f32,
    /// How often each level was seen, in proportion.
    #[serde(with = "packed::bytes")]
    seen: Vec<u8>,
}

impl Scale {
    pub(crate) fn new(map: Map) -> Self {
        Self {
            map,
            low: -map.reach() as f32,
            high: map.reach() as f32,
            mean: 0.0,
            has_mean: false,
            rows: 0,
            sum: 0.0,
            smallest: f32::INFINITY,
            largest: f32::NEG_INFINITY,
            seen: vec![0; LEVELS + 1],
        }
    }

    /// Adds a row. At the end of a step of `length` rows it gives the value that the step stands for: its smallest or its
    /// largest, whichever is further from the recent mean, so that a short spike is not averaged away.
    pub(crate) fn step(&mut self, value: f64, range: Range, length: u32) -> Option<f64> {
        let y = self.map.apply(value, range) as f32;
        self.rows += 1;
        self.sum += y;
        self.smallest = self.smallest.min(y);
        self.largest = self.largest.max(y);
        if self.rows < length {
            return None;
        }
        let mean = self.sum / self.rows as f32;
        self.mean = if self.has_mean { (self.mean + mean) / 2.0 } else { mean };
        let far_below = (self.smallest - self.mean).abs() > (self.largest - self.mean).abs();
        let value = if far_below { self.smallest } else { self.largest };
        (self.rows, self.sum, self.has_mean) = (0, 0.0, true);
        (self.smallest, self.largest) = (f32::INFINITY, f32::NEG_INFINITY);
        Some(f64::from(value))
    }

    /// Makes room for a value outside of the range.
    pub(crate) fn widen(&mut self, value: f64) -> Option<Widened> {
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        if value > high {
            self.high = (value + MARGIN * (value - low)) as f32;
        } else if value < low {
            self.low = (value - MARGIN * (high - value)) as f32;
        } else {
            return None;
        }
        let (new_low, new_high) = (f64::from(self.low), f64::from(self.high));
        let width = new_high - new_low;
        let widened = Widened { share: (high - low) / width, offset: (low - new_low) / width };
        let mut moved = [0_u16; LEVELS + 1];
        for (level, count) in self.seen.iter().enumerate() {
            let place = (level as f64 / LEVELS as f64 * widened.share + widened.offset) * LEVELS as f64;
            let place = (round_even(place).clamp(0.0, LEVELS as f64)) as usize;
            moved[place] += u16::from(*count);
        }
        while moved.iter().any(|count| *count > MOST_SEEN) {
            moved.iter_mut().for_each(|count| *count = count.div_ceil(2));
        }
        self.seen.iter_mut().zip(moved).for_each(|(seen, moved)| *seen = moved as u8);
        Some(widened)
    }

    /// The level of a step's value, 0 to 1, after counting it; the median's where it is near.
    pub(crate) fn level(&mut self, value: f64) -> f64 {
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
        let place = round_even(share * LEVELS as f64) as usize;
        if u16::from(self.seen[place]) == MOST_SEEN {
            self.seen.iter_mut().for_each(|count| *count = count.div_ceil(2));
        }
        self.seen[place] += 1;
        let median = self.median();
        let level = place as f64 / LEVELS as f64;
        if (level - median).abs() < SNAP { median } else { level }
    }

    /// The level below and at which half of the steps were.
    fn median(&self) -> f64 {
        let total: u32 = self.seen.iter().map(|count| u32::from(*count)).sum();
        let mut sum = 0;
        let is_half = |count: &u8| {
            sum += u32::from(*count);
            2 * sum >= total
        };
        self.seen.iter().position(is_half).unwrap_or(0) as f64 / LEVELS as f64
    }

    /// Between which values levels from `low` to `high` lie: a level stands for what is rounded to it, and the median for what
    /// is taken for it.
    pub(crate) fn values(&self, (low, high): (f64, f64), range: Range) -> (f64, f64) {
        let (median, half) = (self.median(), 0.5 / LEVELS as f64);
        // Levels come back from bytes: the same one, not the same number.
        let reach = |level: f64| if (level - median).abs() < half { SNAP } else { half };
        (self.value((low - reach(low)).max(0.0), range), self.value((high + reach(high)).min(1.0), range))
    }

    /// The value that a level stands for, in the unit of the series.
    fn value(&self, level: f64, range: Range) -> f64 {
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        self.map.undo(low + level * (high - low), range)
    }

    /// Whether what was restored can be worked with.
    pub(crate) fn is_sane(&self) -> bool {
        self.seen.len() == LEVELS + 1
            && self.low < self.high
            && [self.low, self.high, self.mean, self.sum].iter().all(|x| x.is_finite())
    }
}

/// To the nearest whole number, halves to the even one.
fn round_even(x: f64) -> f64 {
    let up = round(x);
    if (up - x).abs() == 0.5 && up % 2.0 != 0.0 { up - 1.0_f64.copysign(x) } else { up }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step must keep the spike in it, whichever way it points.
    #[test]
    fn a_step_stands_for_its_spike() {
        let range = Range::of(&[0.0, 10.0]);
        for (spike, kept) in [(10.0, 0.5), (0.0, -0.5)] {
            let mut scale = Scale::new(Map::Plain);
            let steps: Vec<f64> =
                [5.0, 5.0, 5.0, 5.0, spike, 5.0].iter().filter_map(|x| scale.step(*x, range, 3)).collect();
            assert_eq!(steps, [0.0, kept]);
        }
    }

    /// What lies outside widens the range by a tenth more, old levels move with it, and levels lead back to values.
    #[test]
    fn the_range_widens() {
        let range = Range::of(&[0.0, 10.0]);
        let mut scale = Scale::new(Map::Plain);
        assert_eq!(scale.level(0.0), 0.5);
        assert_eq!(scale.widen(1.5), None);
        // From -1.5..1.5 to -1.5..6.3 + 0.1 * 7.8: 3 of 8.58 wide.
        let widened = scale.widen(6.3).expect("outside");
        assert!((widened.share - 3.0 / 8.58).abs() < 1e-6 && widened.offset == 0.0);
        assert_eq!(scale.seen[14], 1, "the middle of the old range");
        let level = scale.level(6.3);
        assert!((scale.value(level, range) - (5.0 + 63.0)).abs() < 0.6, "{}", scale.value(level, range));
        let (low, high) = scale.values((level, level), range);
        assert!(
            low < 68.0 && 68.0 < high && high - low < 2.0,
            "a level is as wide as what is rounded to it: {low} to {high}"
        );
        let (low, high) = scale.values((scale.median(), scale.median()), range);
        assert!(
            (high - low - 0.11 * 85.8).abs() < 0.01,
            "the median is as wide as what is taken for it: {low} to {high}"
        );
        for map in [Map::Plain, Map::Log] {
            for value in [-70.0, 0.0, 5.0, 12.0] {
                assert!((map.undo(map.apply(value, range), range) - value).abs() < 1e-9);
            }
        }
    }

    /// Constant and empty histories have a range too.
    #[test]
    fn every_history_has_a_range() {
        for rows in [&[][..], &[0.0], &[7.0, 7.0], &[1e150, -1e150]] {
            let range = Range::of(rows);
            assert!(range.width > 0.0 && Map::Log.apply(1e150, range).is_finite());
        }
        assert_eq!([0.5, 1.5, 2.5, -0.5, 3.2].map(round_even), [0.0, 2.0, 2.0, 0.0, 3.0]);
    }
}
