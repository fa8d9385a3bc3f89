//! Owns the model of one series: the values that are transformed, and the tail of its saliencies.

use crate::{
    Config,
    residual::{AHEAD, KEPT, Tables, extrapolated},
};
use foreshock_detector::{
    Kind, Row,
    math::{log10, sqrt},
    stats::{Habit, Streak, Tail, noise_floor},
};
use serde::{Deserialize, Serialize};

/// Windows over which the mean miss forgets.
const MEMORY: f64 = 360.0;
/// Misses of the extrapolation that bound what is usual.
const REACH: f64 = 4.0;

/// One series, about 600 bytes.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Model {
    seen: u32,
    kept: Vec<f64>,
    /// Mean absolute miss of the extrapolation.
    miss: f64,
    whole: bool,
    magnitude: f64,
    tail: Tail,
    streak: Streak,
    /// What the window before was told for: it is told again, as hosts want to see a finding twice, and as the way back from a
    /// spike is no event of its own.
    held: Option<Opinion>,
}

/// What the model thinks of one window.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Opinion {
    pub(crate) score: f64,
    pub(crate) is_told: bool,
    pub(crate) saliency: f64,
    pub(crate) value: f64,
    pub(crate) expected: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            seen: 0,
            kept: Vec::new(),
            miss: 0.0,
            whole: true,
            magnitude: 0.0,
            tail: Tail::default(),
            streak: Streak::default(),
            held: None,
        }
    }

    /// Judges one window, then learns from it. `None` while warming up.
    pub(crate) fn observe(
        &mut self,
        config: &Config,
        tables: &Tables,
        kind: Kind,
        step: f64,
        row: Row,
    ) -> Option<Opinion> {
        let value = row.value.clamp(-1e100, 1e100);
        self.seen = self.seen.saturating_add(1);
        self.whole &= value == value.trunc();
        self.magnitude += (1.0 / f64::from(self.seen)).max(1.0 / MEMORY) * (value.abs() - self.magnitude);
        let expected = if self.kept.len() > AHEAD { extrapolated(&self.kept) } else { value };
        if self.kept.len() >= KEPT {
            self.kept.remove(0);
        }
        self.kept.push(value);
        let off = (value - expected).abs();
        let miss = self.miss;
        let clipped = if self.seen > 2 * KEPT as u32 { off.min(10.0 * miss.max(1e-12)) } else { off };
        self.miss += (1.0 / f64::from(self.seen)).max(1.0 / MEMORY) * (clipped - self.miss);
        if self.kept.len() < KEPT {
            return None;
        }
        let (low, high) = self.kept.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(*x), h.max(*x)));
        let habit = Habit {
            level: expected,
            magnitude: self.magnitude,
            range: high - low,
            whole: self.whole,
            count: row.count as f64,
        };
        let floor = noise_floor(kind, &habit, step);
        // What moves less than noise is flat.
        let saliency = if high - low > floor {
            let middle = low / 2.0 + high / 2.0;
            let width = high - low;
            let scaled: Vec<f64> = self.kept.iter().map(|x| (x - middle) / width).collect();
            tables.newest_saliency(&scaled).min(60.0)
        } else {
            0.0
        };
        let is_ready = self.seen > config.min_windows;
        // A tail can't be believed far beyond what was seen.
        let most = (log10(f64::from(self.seen)) + 3.0).min(16.0);
        // Saliency saturates: one value can't stand out of 64 by more than about seven times. How far it is off its course does not.
        let oddness = sqrt(saliency * off / (miss + floor)).min(60.0);
        let score = self.tail.surprise(oddness).min(most);
        self.tail.learn(oddness, 1.0);
        if !is_ready {
            return None;
        }
        let reach = (REACH * miss).max(2.0 * floor);
        let (mut lower, mut upper) = (expected - reach, expected + reach);
        if kind != Kind::Gauge {
            (lower, upper) = (lower.max(0.0), upper.max(0.0));
        }
        if let Some(held) = self.held.take() {
            return Some(held);
        }
        let is_told = self.streak.step(score >= config.threshold, config.persistence, config.refractory);
        let opinion = Opinion { score, is_told, saliency, value, expected, lower, upper };
        self.held = is_told.then_some(opinion);
        Some(opinion)
    }

    /// Whether what was restored can be worked with.
    pub(crate) fn is_sane(&self) -> bool {
        let numbers = [self.miss, self.magnitude];
        let held = self.held.iter().flat_map(|it| [it.score, it.saliency, it.value, it.expected, it.lower, it.upper]);
        let is_scored = self.held.is_none_or(|held| (0.0..=16.0).contains(&held.score) && held.lower <= held.upper);
        is_scored && self.kept.len() <= KEPT && self.kept.iter().copied().chain(numbers).chain(held).all(f64::is_finite)
    }
}
