//! Owns the model of one series: its recent values, its forest, and how surprising a path length is.

use crate::{
    Config,
    features::{Before, NAMES, ROLLING, Scale},
    forest::{FEATURES, Forest, Random, Row},
    history::History,
};
use foreshock_detector::{
    Kind,
    math::{larger, log1p, log10, sqrt, trunc},
    stats::{Habit, Streak, Tail, noise_floor},
};
use serde::{Deserialize, Serialize};

/// Values are kept as `f32`; larger ones are cut to this.
const LARGEST: f64 = 1e30;
/// Path lengths of normal rows differ by at least this much.
const LEAST_SPREAD: f64 = 0.3;
/// Of a series that is odd, only every so many windows are learned.
const ODD_LEARNING: u32 = 8;
/// Rows that the usual path lengths are learned from, about; more say little more.
const GAUGED_ROWS: usize = 128;
/// Distances, as shares of where the tail begins, below which a row is usual: by the first trees alone, and by more of them, which
/// err less.
const USUAL: [f64; 3] = [0.0, 0.25, 0.5];

/// All that is known of one series: the forest (3 KB with 32 trees) and 1.25 bytes a kept window.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Model {
    recent: Recent,
    usual_count: f64,
    whole: bool,
    learned: u32,
    /// Windows learned since the forest was grown.
    since_grown: u32,
    grown: u32,
    /// Median and spread of the training rows' path lengths.
    path: (f64, f64),
    tail: Tail,
    pub(crate) streak: Streak,
    scale: Scale,
    forest: Forest,
    history: History,
}

/// The newest values, the newest last; also the end of what is kept, but at hand.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Recent {
    values: [f32; ROLLING],
    known: u8,
}

/// What the model thinks of one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Opinion {
    pub(crate) score: f64,
    /// Mean of the windows before.
    pub(crate) expected: f64,
    /// Usual values.
    pub(crate) usual: (f64, f64),
    /// The feature that sets it apart most.
    pub(crate) telling: &'static str,
    /// How far its path is from the usual one.
    distance: f64,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self { whole: true, ..Self::default() }
    }

    /// Whether what was restored can be worked with.
    pub(crate) fn is_sane(&self) -> bool {
        let numbers = [self.usual_count, self.path.0, self.path.1, self.scale.usual.0, self.scale.usual.1];
        let recent = self.recent.values.iter().map(|value| f64::from(*value));
        usize::from(self.recent.known) <= ROLLING
            && self.history.is_sane()
            && numbers.into_iter().chain(recent).all(f64::is_finite)
    }

    /// Whether the forest, if there is one, was grown on fewer windows than could be kept.
    pub(crate) fn is_young(&self, config: &Config) -> bool {
        self.learned / 2 < config.retrain_every
    }

    /// Whether the forest should be grown (again) now.
    pub(crate) fn is_due(&self, config: &Config) -> bool {
        if self.grown == 0 {
            return self.history.len() >= config.minimum_samples as usize;
        }
        // Young forests are replaced sooner: at twice the windows they were grown on.
        self.since_grown >= config.retrain_every.min(self.learned / 2)
    }

    /// Grows the forest on the windows kept.
    pub(crate) fn train(&mut self, config: &Config, kind: Kind, step: f64, seed: u64) {
        let values = self.history.values(config.training_window as usize);
        let Some(all) = Before::of(&values) else { return };
        let floor = self.floor(kind, values.len(), &all, self.usual_count, step);
        let rows: Vec<[f64; FEATURES]> = values
            .windows(ROLLING + 1)
            .filter_map(|seen| Some(Before::of(&seen[..ROLLING])?.features(f64::from(seen[ROLLING]), floor)))
            .collect();
        let (scale, margins) = Scale::learn(&rows, floor);
        let bytes: Vec<Row> = rows.iter().map(|row| scale.quantise(row)).collect();
        let mut random = Random(seed ^ u64::from(self.grown).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        self.forest = Forest::grow(&bytes, config.trees as usize, config.sample as usize, margins, &mut random);
        self.scale = scale;

        let every = (bytes.len() / GAUGED_ROWS).max(1);
        let paths: Vec<f64> = bytes.iter().step_by(every).map(|row| self.forest.path(*row)).collect();
        let mut sorted = paths.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let at =
            |share: f64| sorted.get((share * sorted.len().saturating_sub(1) as f64) as usize).copied().unwrap_or(0.0);
        // Shortest paths first: the share taken for anomalous is left out of what is normal.
        let least = at(config.contamination);
        self.path = (at(0.5), (at(0.5) - at(0.16)).max(LEAST_SPREAD));
        if self.grown == 0 {
            self.tail = Tail::default();
            for (path, row) in paths.iter().zip(rows.iter().step_by(every)).filter(|(path, _)| **path >= least) {
                self.tail.learn(self.distance(*path, self.scale.beyond(row)), 1.0);
            }
        }
        self.grown = self.grown.saturating_add(1);
        self.since_grown = 0;
    }

    /// Judges a window; `None` while warming up.
    pub(crate) fn judge(&self, kind: Kind, value: f64, count: f64, step: f64) -> Option<Opinion> {
        if !self.forest.is_whole() {
            return None;
        }
        let value = value.clamp(-LARGEST, LARGEST);
        let recent = self.recent.values();
        let before = Before::of(recent)?;
        let floor = self.floor(kind, recent.len(), &before, count, step);
        let seen = before.features(value, floor);
        let beyond = self.scale.beyond(&seen);
        // Paths that long are usual; what lies beyond all that was seen is looked at closely.
        let usual = match beyond > 0.0 {
            true => [f64::INFINITY; 3],
            false => USUAL.map(|share| self.path.0 - share * self.tail.begin() * self.path.1),
        };
        let path = self.forest.glance(self.scale.quantise(&seen), usual);
        let distance = self.distance(path, beyond);
        let expected = seen[2];
        // What counting noise explains is not odd, however rare it was so far.
        let outside = larger(self.scale.usual.0 - value, value - self.scale.usual.1);
        let off = larger(outside, (value - expected).abs());
        let damping = (off / (4.0 * floor)).min(1.0);
        let mut score = (damping * self.tail.surprise(distance)).clamp(0.0, 16.0);
        if score > 4.0 {
            score = score.min(log10(f64::from(self.learned) + 1.0) + 4.0);
        }
        let telling = if score >= 2.0 { self.telling(&seen) } else { NAMES[0] };
        Some(Opinion { score, expected, usual: self.scale.usual, telling, distance })
    }

    /// Learns a window and the opinion on it, which is trusted from 0 to 1 to be about a usual window.
    pub(crate) fn learn(&mut self, config: &Config, value: f64, count: f64, opinion: Option<&Opinion>, trust: f64) {
        if let Some(opinion) = opinion {
            let trust = if self.streak.odd() > 2 { 0.01 } else { trust };
            self.tail.learn(opinion.distance, trust);
        }
        if self.streak.is_told() && !self.streak.odd().is_multiple_of(ODD_LEARNING) {
            return;
        }
        self.learned = self.learned.saturating_add(1);
        self.since_grown = self.since_grown.saturating_add(1);
        self.whole &= value == trunc(value);
        self.usual_count += (count - self.usual_count) / f64::from(self.learned.min(360));
        let value = value.clamp(-LARGEST, LARGEST) as f32;
        self.history.push(value, config.training_window as usize);
        self.recent.push(value);
    }

    /// By how many spreads a path is shorter than the median. Paths can't get shorter than to the edge of what was seen, so what
    /// lies far beyond is stretched.
    fn distance(&self, path: f64, beyond: f64) -> f64 {
        let stretch = if beyond > 0.0 { 1.0 + log1p(beyond) } else { 1.0 };
        (self.path.0 - path) / self.path.1 * stretch
    }

    /// The smallest movement that matters around so many values.
    fn floor(&self, kind: Kind, values: usize, around: &Before, count: f64, step: f64) -> f64 {
        let few = sqrt(1.0 + 4.0 / values as f64);
        let (level, magnitude) = (around.mean, around.magnitude);
        few * noise_floor(kind, &Habit { level, magnitude, range: 0.0, whole: self.whole, count }, step)
    }

    /// The feature that makes the path longest when it takes its median.
    fn telling(&self, seen: &[f64; FEATURES]) -> &'static str {
        let mut best = (self.forest.path(self.scale.quantise(seen)), 0);
        for feature in 0..FEATURES {
            let mut other = *seen;
            other[feature] = self.scale.medians[feature];
            let longer = self.forest.path(self.scale.quantise(&other));
            if longer > best.0 {
                best = (longer, feature);
            }
        }
        NAMES[best.1]
    }
}

impl Recent {
    fn values(&self) -> &[f32] {
        &self.values[ROLLING - usize::from(self.known).min(ROLLING)..]
    }

    fn push(&mut self, value: f32) {
        self.values.copy_within(1.., 0);
        self.values[ROLLING - 1] = value;
        self.known = (self.known + 1).min(ROLLING as u8);
    }
}
