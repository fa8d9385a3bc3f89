//! Owns the model of one series: its scale, its shapes, and the tails of what they leave over.

use crate::{
    Config,
    shapes::{LENGTH, Shapes},
};
use foreshock_detector::{
    Kind, Row,
    math::{log10, sqrt},
    stats::{Habit, Streak, Tail, noise_floor},
};
use serde::{Deserialize, Serialize};

/// Windows over which scale, shapes and rests forget.
const MEMORY: f64 = 1_000.0;
/// The standard deviation of normal noise by its mean absolute deviation: `sqrt(pi / 2)`.
const NORMAL: f64 = 1.2533;
/// Values go into shingles with at most so many deviations.
const REACH: f64 = 20.0;
/// What a rest adds to its past is clipped at so many of its means.
const CLIP: f64 = 5.0;
/// Shingles that overlap tell the tail only so much each.
const SHINGLE_WEIGHT: f64 = 0.25;

/// One series, about 1.9 KB.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Model {
    seen: u32,
    level: f64,
    /// Mean absolute residual.
    spread: f64,
    magnitude: f64,
    low: f64,
    high: f64,
    whole: bool,
    /// The newest values, oldest first.
    kept: Vec<f64>,
    shapes: Shapes,
    /// The mean rest of shingles, and of the newest value.
    rest: f64,
    newest_rest: f64,
    tails: [Tail; 2],
    streak: Streak,
}

/// What the model thinks of one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Opinion {
    pub(crate) score: f64,
    pub(crate) is_told: bool,
    /// Whether the course of the last values says so rather than the newest alone.
    pub(crate) by_course: bool,
    pub(crate) expected: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            seen: 0,
            level: 0.0,
            spread: 0.0,
            magnitude: 0.0,
            low: 0.0,
            high: 0.0,
            whole: true,
            kept: Vec::new(),
            shapes: Shapes::new(),
            rest: 0.0,
            newest_rest: 0.0,
            tails: [Tail::of_means(), Tail::default()],
            streak: Streak::default(),
        }
    }

    /// Judges one window, then learns from it. `None` while warming up.
    pub(crate) fn observe(&mut self, config: &Config, kind: Kind, step: f64, row: Row) -> Option<Opinion> {
        let value = row.value.clamp(-1e100, 1e100);
        if self.seen == 0 {
            (self.level, self.low, self.high) = (value, value, value);
        }
        self.seen = self.seen.saturating_add(1);
        if self.kept.len() >= LENGTH {
            self.kept.remove(0);
        }
        self.kept.push(value);
        let habit = Habit {
            level: self.level,
            magnitude: self.magnitude,
            range: self.high - self.low,
            whole: self.whole,
            count: row.count as f64,
        };
        let floor = noise_floor(kind, &habit, step);
        let deviation = (NORMAL * self.spread).max(floor);
        let opinion = if self.kept.len() < LENGTH { None } else { self.judge(config, kind, deviation, floor) };
        self.learn(value, deviation);
        opinion
    }

    fn judge(&mut self, config: &Config, kind: Kind, deviation: f64, floor: f64) -> Option<Opinion> {
        let shingle: [f64; LENGTH] =
            std::array::from_fn(|k| ((self.kept[k] - self.level) / deviation).clamp(-REACH, REACH));
        let left = self.shapes.rest(&shingle);
        let newest = left[LENGTH - 1];
        let sizes = [sqrt(left.iter().map(|x| x * x).sum::<f64>() / LENGTH as f64), newest.abs()];
        let means = [&mut self.rest, &mut self.newest_rest];
        let pace = (1.0 / MEMORY).max(1.0 / f64::from(self.seen));
        // What is left of noise is noise: nothing smaller counts.
        let least = (floor / deviation).min(1.0);
        let mut scores = [0.0; 2];
        let weights = [SHINGLE_WEIGHT, 1.0];
        // A tail can't be believed far beyond what was seen.
        let most = (log10(f64::from(self.seen)) + 3.0).min(16.0);
        let is_ready = self.seen > config.min_windows;
        let mut ratios = [0.0; 2];
        for (k, mean) in means.into_iter().enumerate() {
            ratios[k] = (sizes[k] / mean.max(0.5 * least).max(1e-6)).min(60.0);
            let clipped = if is_ready { sizes[k].min(CLIP * mean.max(least)) } else { sizes[k] };
            *mean += pace * (clipped - *mean);
        }
        // A value that is off within a course that is off.
        ratios[1] = sqrt(ratios[0] * ratios[1]);
        for (k, ratio) in ratios.into_iter().enumerate() {
            scores[k] = (self.tails[k].surprise(ratio) - 0.301).clamp(0.0, most);
            self.tails[k].learn(ratio, weights[k]);
        }
        self.shapes.learn(&shingle, 1.0 / MEMORY);
        if !is_ready {
            return None;
        }
        let by_course = scores[0] > scores[1];
        let score = scores[0].max(scores[1]);
        let is_told = self.streak.step(score >= config.threshold, config.persistence, config.refractory);
        let value = self.kept[LENGTH - 1];
        let expected = value - newest * deviation;
        let reach = 4.0 * self.newest_rest.max(least) * deviation;
        let (mut lower, mut upper) = (expected - reach, expected + reach);
        if kind != Kind::Gauge {
            (lower, upper) = (lower.max(0.0), upper.max(0.0));
        }
        Some(Opinion { score, is_told, by_course, expected, lower, upper })
    }

    fn learn(&mut self, value: f64, deviation: f64) {
        let pace = (1.0 / MEMORY).max(1.0 / f64::from(self.seen));
        let clip = if self.seen > 2 * LENGTH as u32 { 4.0 * deviation } else { f64::INFINITY };
        let residual = (value - self.level).clamp(-clip, clip);
        self.level += pace * residual;
        self.spread += pace * (residual.abs() - self.spread);
        self.magnitude += pace * (value.abs() - self.magnitude);
        self.whole &= value == value.trunc();
        self.low = (self.low + 0.1 * pace * (self.level - self.low)).min(value);
        self.high = (self.high + 0.1 * pace * (self.level - self.high)).max(value);
    }

    /// Whether what was restored can be worked with.
    pub(crate) fn is_sane(&self) -> bool {
        let numbers = [self.level, self.spread, self.magnitude, self.low, self.high, self.rest, self.newest_rest];
        self.kept.len() <= LENGTH && self.shapes.is_sane() && self.kept.iter().chain(&numbers).all(|x| x.is_finite())
    }
}
