//! Owns the model of one series: its reference, the sums against it, and what happens after a change.

use crate::{Config, cusum::Cusum};
use foreshock_detector::{
    Kind, Row,
    math::{log10, sqrt},
    stats::{Habit, Tail, noise_floor},
};
use serde::{Deserialize, Serialize};

/// The standard deviation of normal noise by its mean absolute deviation: `sqrt(pi / 2)`.
const NORMAL: f64 = 1.2533;
/// What a sum forgives in each window: half of the shift of one deviation that it should find.
const ALLOWANCE: f64 = 0.5;
/// The same for spreads, in deviations of the absolute residual.
const SPREAD_ALLOWANCE: f64 = 0.4;
/// Learning takes residuals of at most this many deviations.
const CLIP: f64 = 3.0;
/// Sums of neighbouring windows are nearly the same, so each teaches the tail only so much.
const TAIL_WEIGHT: f64 = 0.2;

/// What changed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Change {
    Level,
    Trend,
    Wider,
    Narrower,
}

/// A change that was found.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Shift {
    pub(crate) change: Change,
    pub(crate) since_ns: u64,
    /// Windows from the change until it was found, and since.
    pub(crate) delay: u32,
    pub(crate) age: u32,
    pub(crate) score: f64,
    /// Level, or usual swing, and deviation before.
    pub(crate) before: f64,
    pub(crate) deviation: f64,
    /// The level, or for changes of spread the usual swing, since.
    pub(crate) after: f64,
    /// Windows in a row that were near the old level.
    back: u32,
}

/// One series, about 300 bytes.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Model {
    seen: u32,
    level: f64,
    /// Mean absolute residual.
    spread: f64,
    /// The last two values, against which the spread is judged.
    previous: [f64; 2],
    /// Mean and mean absolute deviation of how far values are from the nearer of these.
    size: f64,
    size_spread: f64,
    /// Lag-1 autocorrelation, from its two moments.
    last: f64,
    lagged: f64,
    squared: f64,
    magnitude: f64,
    low: f64,
    high: f64,
    whole: bool,
    up: Cusum,
    down: Cusum,
    wider: Cusum,
    narrower: Cusum,
    levels: Tail,
    spreads: Tail,
    pub(crate) shift: Option<Shift>,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            seen: 0,
            level: 0.0,
            spread: 0.0,
            previous: [0.0; 2],
            size: 0.0,
            size_spread: 0.0,
            last: 0.0,
            lagged: 0.0,
            squared: 0.0,
            magnitude: 0.0,
            low: 0.0,
            high: 0.0,
            whole: true,
            up: Cusum::default(),
            down: Cusum::default(),
            wider: Cusum::default(),
            narrower: Cusum::default(),
            levels: Tail::default(),
            spreads: Tail::default(),
            shift: None,
        }
    }

    /// Judges one window, then learns from it. `None` while warming up.
    pub(crate) fn observe(&mut self, config: &Config, kind: Kind, step: f64, start_ns: u64, row: Row) -> Option<f64> {
        let value = row.value.clamp(-1e150, 1e150);
        if self.seen == 0 {
            (self.level, self.low, self.high, self.magnitude) = (value, value, value, value.abs());
            self.previous = [value; 2];
        }
        let habit = Habit {
            level: self.level,
            magnitude: self.magnitude,
            range: self.high - self.low,
            whole: self.whole,
            count: row.count as f64,
        };
        let floor = noise_floor(kind, &habit, step);
        let deviation = (NORMAL * self.spread).max(floor);
        let z = (value - self.level) / (deviation * self.inflation());
        let size = self.swing(value);
        let size_deviation = (NORMAL * self.size_spread).max(0.5 * floor).max(0.3 * self.size);
        let size_z = (size.min(self.size + 4.0 * size_deviation) - self.size) / size_deviation;
        self.up.step(z, ALLOWANCE, start_ns);
        self.down.step(-z, ALLOWANCE, start_ns);
        self.wider.step(size_z, SPREAD_ALLOWANCE, start_ns);
        self.narrower.step(-size_z, SPREAD_ALLOWANCE, start_ns);

        let is_ready = self.seen >= config.min_windows;
        let score = is_ready.then(|| self.judge(config, value, deviation));
        self.learn(config, value, deviation, is_ready);
        score
    }

    /// How far a value is from the nearer of the last two: a step and a spike show in one window only.
    fn swing(&self, value: f64) -> f64 {
        (value - self.previous[0]).abs().min((value - self.previous[1]).abs())
    }

    /// How much longer than for independent noise a sum wanders for noise with this autocorrelation (the long-run deviation
    /// of a first-order autoregression, by the deviation).
    fn inflation(&self) -> f64 {
        let correlation = if self.squared > 0.0 { (self.lagged / self.squared).clamp(0.0, 0.9) } else { 0.0 };
        sqrt((1.0 + correlation) / (1.0 - correlation))
    }

    /// The surprise of the largest sum; notes a change where it is large enough.
    fn judge(&mut self, config: &Config, value: f64, deviation: f64) -> f64 {
        // A tail can't be believed far beyond what was seen.
        let most = (log10(f64::from(self.seen) + 1.0) + 1.5).min(16.0);
        let side = |a: &Cusum, b: &Cusum| if a.size() >= b.size() { *a } else { *b };
        let level = side(&self.up, &self.down);
        let spread = side(&self.wider, &self.narrower);
        // Of two looks the better one counts half.
        let by_level = (self.levels.surprise(level.size()) - 0.301).clamp(0.0, most);
        let by_spread = (self.spreads.surprise(spread.size()) - 0.301).clamp(0.0, most);
        let score = by_level.max(by_spread);
        for (tail, size) in [(&mut self.levels, level.size()), (&mut self.spreads, spread.size())] {
            tail.learn(size, TAIL_WEIGHT);
        }
        self.follow(config, value);
        if score < config.threshold {
            return score;
        }
        let is_up = self.up.size() >= self.down.size();
        let unit = deviation * self.inflation() * if is_up { 1.0 } else { -1.0 };
        let is_spread = by_level < by_spread;
        let (change, sum, after) = if !is_spread {
            let is_trend = level.is_line();
            // A line goes on from where it is, a step from its mean.
            let (change, ahead) = if is_trend { (Change::Trend, level.rise() / 2.0) } else { (Change::Level, 0.0) };
            (change, level, self.level + (level.mean() + ahead) * unit)
        } else if self.wider.size() >= self.narrower.size() {
            (Change::Wider, spread, self.size + spread.mean() * (NORMAL * self.size_spread).max(0.3 * self.size))
        } else {
            (Change::Narrower, spread, (self.size - spread.mean() * NORMAL * self.size_spread).max(0.0))
        };
        let shift = Shift {
            change,
            since_ns: sum.since_ns,
            delay: sum.rows,
            age: 0,
            score,
            before: if is_spread { self.size } else { self.level },
            deviation,
            after,
            back: 0,
        };
        let turns_back =
            !is_spread && self.shift.is_some_and(|before| (after - before.before).abs() <= 2.0 * before.deviation);
        self.shift = (!turns_back || change != Change::Level).then_some(shift);
        self.rebase(change, after);
        score
    }

    /// Takes what is since the change for normal.
    fn rebase(&mut self, change: Change, after: f64) {
        match change {
            Change::Level | Change::Trend => {
                self.level = after;
                (self.up, self.down) = (Cusum::default(), Cusum::default());
            }
            Change::Wider | Change::Narrower => {
                (self.size, self.size_spread) = (after, 0.6 * after);
                self.spread = self.spread.max(after);
            }
        }
        (self.wider, self.narrower) = (Cusum::default(), Cusum::default());
    }

    /// Lets a change that was found grow old, and drops it where it turned back at once: that was no change.
    fn follow(&mut self, config: &Config, value: f64) {
        let Some(shift) = &mut self.shift else { return };
        shift.age += 1;
        let is_level = matches!(shift.change, Change::Level | Change::Trend);
        let is_back = is_level && (value - shift.before).abs() <= 2.0 * shift.deviation;
        shift.back = if is_back { shift.back + 1 } else { 0 };
        if shift.back >= 3 {
            let before = shift.before;
            self.shift = None;
            self.rebase(Change::Level, before);
        } else if shift.age >= config.tell_windows {
            self.shift = None;
        }
    }

    fn learn(&mut self, config: &Config, value: f64, deviation: f64, is_ready: bool) {
        self.seen = self.seen.saturating_add(1);
        let pace = (1.0 / f64::from(config.memory_windows)).max(1.0 / f64::from(self.seen));
        let clip = if is_ready { CLIP * deviation } else { f64::INFINITY };
        let residual = (value - self.level).clamp(-clip, clip);
        self.level += pace * residual;
        self.spread += pace * (residual.abs() - self.spread);
        // Products of residuals must stay finite.
        let scaled = residual.clamp(-1e150, 1e150);
        self.lagged += pace * (scaled * self.last - self.lagged);
        self.squared += pace * (scaled * scaled - self.squared);
        self.last = scaled;

        let size = self.swing(value).min(clip);
        let size_pace = pace.max(1.0 / f64::from(self.seen));
        self.size_spread += size_pace * ((size - self.size).abs() - self.size_spread);
        self.size += size_pace * (size - self.size);
        self.previous = [value, self.previous[0]];

        self.magnitude += pace * (value.abs() - self.magnitude);
        self.whole &= value == value.trunc();
        self.low = (self.low + 0.1 * pace * (self.level - self.low)).min(value);
        self.high = (self.high + 0.1 * pace * (self.level - self.high)).max(value);
    }

    /// Whether what was restored can be worked with.
    pub(crate) fn is_sane(&self) -> bool {
        let numbers = [
            self.level,
            self.spread,
            self.previous[0],
            self.previous[1],
            self.size,
            self.size_spread,
            self.last,
            self.lagged,
            self.squared,
            self.magnitude,
            self.low,
            self.high,
        ];
        numbers.iter().all(|number| number.is_finite())
            && [&self.up, &self.down, &self.wider, &self.narrower].iter().all(|sum| sum.is_sane())
    }
}
