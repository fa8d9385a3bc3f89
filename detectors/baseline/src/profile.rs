//! Owns what is usual at a time of the day and on a day of the week.

use foreshock_detector::math::floor;
use serde::{Deserialize, Serialize};

const BINS: usize = 48;
const BIN_SECONDS: f64 = 1_800.0;
const DAY_SECONDS: f64 = 86_400.0;

/// Offsets from the long-term level for each half hour of the day and each day of the week, all in UTC. About 300 bytes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Profile {
    /// The long-term level that the offsets are relative to.
    base: f64,
    seen: u32,
    halves: Offsets<Vec<f32>>,
    days: Offsets<[f32; 7]>,
}

/// Means of a circle of bins, one of which is being filled.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Offsets<T> {
    means: T,
    /// How often all bins were filled, times the number of bins.
    visits: u32,
    bin: u8,
    sum: f64,
    count: u32,
}

impl<T: AsMut<[f32]>> Offsets<T> {
    /// Adds a value to `bin`; a bin that is left takes the mean of what was added.
    fn add(&mut self, bin: u8, value: f64, base: f64) {
        if bin != self.bin && self.count > 0 {
            let mean = self.sum / f64::from(self.count) - base;
            let bins = self.means.as_mut();
            let round = f64::from(self.visits) / bins.len().max(1) as f64;
            if let Some(kept) = bins.get_mut(usize::from(self.bin)) {
                let pace = (1.0 / (floor(round) + 1.0)).max(0.25);
                let moved = f64::from(*kept) + pace * (mean - f64::from(*kept));
                *kept = moved.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
            }
            self.visits = self.visits.saturating_add(1);
            (self.sum, self.count) = (0.0, 0);
        }
        self.bin = bin;
        self.sum += value;
        self.count = self.count.saturating_add(1);
    }
}

impl Profile {
    /// Learns the value of a window that starts at `seconds` since the epoch and lasts `step` seconds.
    pub(crate) fn learn(&mut self, seconds: f64, step: f64, value: f64) {
        if step > BIN_SECONDS * 2.0 {
            return;
        }
        self.seen = self.seen.saturating_add(1);
        let pace = (step / DAY_SECONDS).max(1.0 / f64::from(self.seen));
        self.base += pace * (value - self.base);
        if self.halves.means.is_empty() {
            self.halves.means = vec![0.0; BINS];
        }
        let (half, day) = bins(seconds);
        self.halves.add(half as u8, value, self.base);
        self.days.add(day, value, self.base);
    }

    /// Whether a whole day was seen.
    pub(crate) fn knows_days(&self) -> bool {
        self.halves.visits as usize >= BINS
    }

    /// Whether a whole week was seen.
    pub(crate) fn knows_weeks(&self) -> bool {
        self.days.visits >= 8
    }

    /// The usual offset at this time of the day.
    pub(crate) fn daily(&self, seconds: f64) -> f64 {
        let (before, after) = self.neighbours(seconds);
        let within = (seconds - BIN_SECONDS / 2.0) / BIN_SECONDS;
        let share = within - floor(within);
        before * (1.0 - share) + after * share
    }

    /// By how much the offset changes within half an hour around this time of the day.
    pub(crate) fn change(&self, seconds: f64) -> f64 {
        let (before, after) = self.neighbours(seconds);
        (after - before).abs()
    }

    /// The offsets of the half hours whose middles stand before and after this time.
    fn neighbours(&self, seconds: f64) -> (f64, f64) {
        let (half, _) = bins(seconds - BIN_SECONDS / 2.0);
        let at = |bin: f64| self.halves.means.get(bin as usize % BINS).map_or(0.0, |mean| f64::from(*mean));
        (at(half), at(half + 1.0))
    }

    /// The usual offset on this day of the week, on top of that.
    pub(crate) fn weekly(&self, seconds: f64) -> f64 {
        f64::from(self.days.means[usize::from(bins(seconds).1)])
    }
}

/// The half hour of the day, 0 to 47, and the day of the week, 0 to 6.
fn bins(seconds: f64) -> (f64, u8) {
    let days = floor(seconds / DAY_SECONDS);
    let half = floor((seconds - days * DAY_SECONDS) / BIN_SECONDS);
    let week = days - 7.0 * floor(days / 7.0);
    (half.clamp(0.0, 47.0), (week as u8).min(6))
}
