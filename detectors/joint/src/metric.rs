//! Owns one series of a service: its level, its profile of the day, and how far four predictions of it are off.

use foreshock_detector::math::{floor, sqrt};
use serde::{Deserialize, Serialize};

/// Half hours of a day.
const BINS: usize = 48;
const BIN_SECONDS: f64 = 1_800.0;
/// Residuals of so many of their means are ordinary: against its own recent values, at this time of the day, and twice by what the others do.
/// Days differ more than their mean residual says.
const DEAD_ZONES: [f64; 4] = [3.0, 4.0, 3.0, 3.0];
/// How fast the mean of its own recent values follows: what is told is a jump.
const FAST: f64 = 0.8;
/// The share of the range seen that a residual has at least.
const RANGE_FLOOR: f64 = 0.003;
/// The floor for residuals that are given in deviations.
const UNIT_FLOOR: f64 = 0.01;
/// Windows after which learning clips what is far off.
const CLIP_AFTER: u32 = 200;
/// What goes into the relations is clipped here, in deviations.
pub(crate) const REACH: f64 = 6.0;

/// How fast means forget, at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Paces {
    pub(crate) days_30: f64,
    pub(crate) days_10: f64,
    pub(crate) days_5: f64,
}

impl Paces {
    /// For something seen `seen` times before, with so many windows a day.
    pub(crate) fn new(windows_a_day: f64, seen: u32) -> Self {
        let (first, later) = (1.0 / (f64::from(seen) + 1.0), 1.0 / (f64::from(seen) + 2.0));
        Self {
            days_30: (1.0 / (30.0 * windows_a_day)).max(first),
            days_10: (1.0 / (10.0 * windows_a_day)).max(later),
            days_5: (1.0 / (5.0 * windows_a_day)).max(later),
        }
    }
}

/// Which prediction a value misses most.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum By {
    /// Its own recent values.
    Recent,
    /// Its usual course of the day.
    Day,
    /// What the other series imply.
    Others,
}

/// A series' part of one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Look {
    value: f64,
    level_off: f64,
    /// The value and the recent mean, both in deviations from the level.
    pub(crate) now: f64,
    pub(crate) before: f64,
    /// What one of these deviations is in the series' unit.
    unit: f64,
    floor: f64,
    recent_off: f64,
    day_off: f64,
}

/// One series of a service.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Metric {
    /// Where it stands in the relations, if there was room.
    pub(crate) slot: Option<u16>,
    pub(crate) seen: u32,
    level: f64,
    /// Mean absolute innovation of the level, and residual against it.
    innovation: f64,
    spread: f64,
    low: f64,
    high: f64,
    fast: f64,
    recent: f64,
    slow: f64,
    bins: Vec<f32>,
    visits: Vec<u8>,
    bin: u8,
    sum: f64,
    count: u32,
    /// Mean absolute residuals of the four predictions.
    scales: [f64; 4],
    /// How odd it habitually is.
    habit: f64,
    /// How odd it was of late.
    pub(crate) guilt: f64,
    /// Whether the alarm that holds is told of it.
    pub(crate) speaks: bool,
    /// What the last window missed most, by how much, and what was expected within which reach.
    pub(crate) by: By,
    pub(crate) expected: f64,
    pub(crate) reach: f64,
    pub(crate) value: f64,
}

impl Metric {
    pub(crate) fn new() -> Self {
        Self {
            slot: None,
            seen: 0,
            level: 0.0,
            innovation: 0.0,
            spread: 0.0,
            low: 0.0,
            high: 0.0,
            fast: 0.0,
            recent: 0.0,
            slow: 0.0,
            bins: vec![0.0; BINS],
            visits: vec![0; BINS],
            bin: 0,
            sum: 0.0,
            count: 0,
            scales: [0.0; 4],
            habit: 0.0,
            guilt: 0.0,
            speaks: false,
            by: By::Recent,
            expected: 0.0,
            reach: 0.0,
            value: 0.0,
        }
    }

    /// Looks at a value at a time of the day in seconds, before learning it.
    pub(crate) fn look(&mut self, value: f64, second_of_day: f64) -> Look {
        let value = value.clamp(-1e100, 1e100);
        let bin = (floor(second_of_day / BIN_SECONDS) as usize).min(BINS - 1);
        if self.seen == 0 {
            (self.level, self.low, self.high, self.fast, self.recent, self.slow) =
                (value, value, value, value, value, value);
            self.bin = bin as u8;
        }
        (self.low, self.high) = (self.low.min(value), self.high.max(value));
        let floor = RANGE_FLOOR * (self.high - self.low) + 1e-9;
        let level_off = value - self.level;
        let unit = self.spread + floor;
        if bin != usize::from(self.bin) {
            self.close_bin();
            self.bin = bin as u8;
        }
        Look {
            value,
            level_off,
            now: level_off / unit,
            before: (self.recent - self.level) / unit,
            unit,
            floor,
            recent_off: value - self.fast,
            day_off: value - self.usual(second_of_day),
        }
    }

    /// Takes the mean of the half hour that has ended into the profile.
    fn close_bin(&mut self) {
        let bin = usize::from(self.bin);
        if self.count > 0 {
            let mean = self.sum / f64::from(self.count);
            let pace = (1.0 / (f64::from(self.visits[bin]) + 1.0)).max(0.3);
            let moved = f64::from(self.bins[bin]) + pace * (mean - f64::from(self.bins[bin]));
            self.bins[bin] = moved.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
            self.visits[bin] = self.visits[bin].saturating_add(1);
        }
        (self.sum, self.count) = (0.0, 0);
    }

    /// The usual value at this time, between the middles of two half hours; the slow level where neither was seen.
    fn usual(&self, second_of_day: f64) -> f64 {
        let place = second_of_day / BIN_SECONDS - 0.5;
        let share = place - floor(place);
        let before = (floor(place) + BINS as f64) as usize % BINS;
        let after = (before + 1) % BINS;
        let at = |bin: usize| f64::from(self.bins[bin]);
        match (self.visits[before] > 0, self.visits[after] > 0) {
            (true, true) => (1.0 - share) * at(before) + share * at(after),
            (true, false) => at(before),
            (false, true) => at(after),
            (false, false) => self.slow,
        }
    }

    /// How odd the value is: the sum of the roots of what the four residuals have beyond the dead zone; then learns it.
    /// `related` are the residuals given the other series, now, and now and before, both in deviations. Gives the oddness and the
    /// same relative to how odd this series habitually is.
    pub(crate) fn judge(&mut self, look: &Look, related: [f64; 2], windows_a_day: f64) -> (f64, f64) {
        let residuals = [look.recent_off, look.day_off, related[0], related[1]];
        let floors = [look.floor, look.floor, UNIT_FLOOR, UNIT_FLOOR];
        let mut odd = 0.0;
        let mut largest = -1.0;
        for (k, ((residual, floor), dead_zone)) in residuals.iter().zip(floors).zip(DEAD_ZONES).enumerate() {
            let ordinary = self.scales[k] + floor;
            let times = residual.abs() / ordinary;
            odd += sqrt((times - dead_zone).max(0.0));
            if times > largest {
                largest = times;
                let (by, unit) = match k {
                    0 => (By::Recent, 1.0),
                    1 => (By::Day, 1.0),
                    _ => (By::Others, look.unit),
                };
                (self.by, self.expected, self.reach) = (by, look.value - residual * unit, dead_zone * ordinary * unit);
            }
        }
        let odd = odd.min(1e6);
        let relative = odd / (1.0 + self.habit);
        self.guilt = if self.seen == 0 { odd } else { self.guilt + 0.3 * (odd - self.guilt) };
        self.value = look.value;
        self.learn(look, residuals, odd, windows_a_day);
        (odd, relative)
    }

    fn learn(&mut self, look: &Look, residuals: [f64; 4], odd: f64, windows_a_day: f64) {
        let Paces { days_30, days_10, .. } = Paces::new(windows_a_day, self.seen);
        let clips = self.seen > CLIP_AFTER;
        let clipped = |size: f64, mean: f64| if clips && mean > 0.0 { size.min(10.0 * mean) } else { size };
        for (scale, residual) in self.scales.iter_mut().zip(residuals) {
            *scale += days_30 * (clipped(residual.abs(), *scale) - *scale);
        }
        self.spread += days_30 * (clipped(look.level_off.abs(), self.spread) - self.spread);
        let innovation = if self.seen > 50 && self.innovation > 0.0 {
            look.level_off.clamp(-3.0 * self.innovation, 3.0 * self.innovation)
        } else {
            look.level_off
        };
        self.level += days_10 * innovation;
        self.innovation += days_10 * ((look.value - self.level).abs() - self.innovation);
        let first = 1.0 / (f64::from(self.seen) + 2.0);
        self.fast += first.max(FAST) * (look.value - self.fast);
        self.recent += first.max(0.2) * (look.value - self.recent);
        self.slow += 0.01 * (look.value - self.slow);
        self.sum += look.value;
        self.count = self.count.saturating_add(1);
        self.habit += days_30 * (odd.min(10.0) - self.habit);
        self.seen = self.seen.saturating_add(1);
    }

    /// Whether what was restored can be worked with.
    pub(crate) fn is_sane(&self) -> bool {
        let numbers = [
            self.level,
            self.innovation,
            self.spread,
            self.low,
            self.high,
            self.fast,
            self.recent,
            self.slow,
            self.sum,
            self.habit,
            self.guilt,
            self.expected,
            self.reach,
            self.value,
        ];
        self.bins.len() == BINS
            && self.visits.len() == BINS
            && usize::from(self.bin) < BINS
            && numbers.iter().chain(&self.scales).all(|number| number.is_finite())
            && self.low <= self.high
    }
}
