//! The score of the Numenta Anomaly Benchmark.
//!
//! Source of the rules: Lavin and Ahmad 2015, "Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly Benchmark",
//! and the description in the repository numenta/NAB. Rows whose score reaches the threshold are detections. In each labelled
//! window the earliest detection that scores best counts, by a sigmoid of its place; every detection outside costs, less where it
//! follows a window closely; a window without detection costs too. The sum over all series is put on a scale between a detector
//! that says nothing (0) and one that finds every window at its start (100).
//!
//! The first 15 % of a series, at most 750 rows, are probation and count for nothing.

use crate::Track;
use serde::Serialize;
use std::collections::BTreeMap;

/// What is right and what is wrong costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// Its name in NAB.
    pub name: &'static str,
    /// Worth of a window found at its start.
    pub true_positive: f64,
    /// Cost of a false detection.
    pub false_positive: f64,
    /// Cost of a missed window.
    pub false_negative: f64,
}

/// NAB's three profiles.
pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", true_positive: 1.0, false_positive: 0.11, false_negative: 1.0 },
    Profile { name: "reward_low_FP", true_positive: 1.0, false_positive: 0.22, false_negative: 1.0 },
    Profile { name: "reward_low_FN", true_positive: 1.0, false_positive: 0.11, false_negative: 2.0 },
];

/// A score, and the threshold it was reached at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scored {
    /// 100 is perfect, 0 is what saying nothing gives; may be far below.
    pub score: f64,
    /// Rows that score at least this much were detections. Above 1 where saying nothing was best.
    pub threshold: f64,
}

/// Rows of probation of a series with `rows` rows.
#[must_use]
pub fn probation(rows: usize) -> usize {
    // In whole numbers: 15 % rounded down.
    (rows * 15 / 100).min(750)
}

/// One row that counts.
#[derive(Clone, Copy, Debug)]
struct Point {
    score: f64,
    /// Which window of the whole corpus it is in.
    window: Option<usize>,
    /// Worth in its window, or cost outside, before weights.
    worth: f64,
}

/// All rows of a corpus that count, with their worth.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    points: Vec<Point>,
    windows: usize,
}

impl Corpus {
    /// Places every row. [`Track::scored_from`] should be [`probation`] where figures are to be compared with published ones.
    /// Windows that lie in probation as a whole do not count.
    pub fn of<'a>(tracks: impl IntoIterator<Item = &'a Track>) -> Self {
        let mut corpus = Self::default();
        for track in tracks {
            corpus.add(track);
        }
        // The highest score first: a threshold takes a head of the list.
        corpus.points.sort_by(|a, b| b.score.total_cmp(&a.score));
        corpus
    }

    fn add(&mut self, track: &Track) {
        let mut numbers = BTreeMap::new();
        for index in track.scored_labels() {
            numbers.insert(index, self.windows);
            self.windows += 1;
        }
        let at_start = sigmoid(-1.0);
        let mut passed: Option<usize> = None;
        for row in track.scored_from..track.rows() {
            while let Some(next) = passed.map_or(Some(0), |index| Some(index + 1))
                && track.labels.get(next).is_some_and(|label| label.last < row)
            {
                passed = Some(next);
            }
            let inside = track.label_at(row);
            let worth = match (inside, passed.map(|index| track.labels[index])) {
                (Some(index), _) => {
                    let label = track.labels[index];
                    let place = -((label.last - row + 1) as f64) / label.count() as f64;
                    sigmoid(place) / at_start
                }
                (None, None) => -1.0,
                (None, Some(label)) => {
                    // A window of one row has no width; what follows it is as far away as can be.
                    let width = (label.count() - 1) as f64;
                    let place = (row - label.last) as f64 / width;
                    if place > 3.0 { -1.0 } else { sigmoid(place) }
                }
            };
            let window = inside.and_then(|index| numbers.get(&index).copied());
            self.points.push(Point { score: track.score(row), window, worth });
        }
    }

    /// The score if rows at or above `threshold` are detections.
    #[must_use]
    pub fn at(&self, threshold: f64, profile: &Profile) -> f64 {
        let detections = self.points.partition_point(|point| point.score >= threshold);
        let mut sum = Sum::new(self.windows, *profile);
        self.points[..detections].iter().for_each(|point| sum.take(point));
        sum.score()
    }

    /// The best score that any threshold gives. NAB fits it on the very data that is scored, so this belongs beside a fixed
    /// threshold and never in its place.
    #[must_use]
    pub fn optimise(&self, profile: &Profile) -> Scored {
        let mut sum = Sum::new(self.windows, *profile);
        let mut best = Scored { score: sum.score(), threshold: 1.1 };
        for (index, point) in self.points.iter().enumerate() {
            sum.take(point);
            let is_last_of_its_score = self.points.get(index + 1).is_none_or(|next| next.score != point.score);
            if is_last_of_its_score && sum.score() > best.score {
                best = Scored { score: sum.score(), threshold: point.score };
            }
        }
        best
    }

    /// Labelled windows that count.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.windows
    }
}

/// The score of detections as they come in.
struct Sum {
    profile: Profile,
    /// What each window is worth so far, weights applied.
    windows: Vec<f64>,
    raw: f64,
}

impl Sum {
    fn new(windows: usize, profile: Profile) -> Self {
        Self { profile, windows: vec![-profile.false_negative; windows], raw: -profile.false_negative * windows as f64 }
    }

    fn take(&mut self, point: &Point) {
        match point.window.and_then(|window| self.windows.get_mut(window)) {
            Some(so_far) => {
                let worth = point.worth * self.profile.true_positive;
                self.raw += (worth - *so_far).max(0.0);
                *so_far = so_far.max(worth);
            }
            None => self.raw += point.worth * self.profile.false_positive,
        }
    }

    fn score(&self) -> f64 {
        let many = self.windows.len() as f64;
        let (null, perfect) = (-self.profile.false_negative * many, self.profile.true_positive * many);
        if many == 0.0 { 0.0 } else { 100.0 * (self.raw - null) / (perfect - null) }
    }
}

/// From 1 at far left of the window's end to -1 at its far right: `2 / (1 + e^5x) - 1`.
fn sigmoid(place: f64) -> f64 {
    2.0 / (1.0 + (5.0 * place).exp()) - 1.0
}

/// Keeps of scores what would have been said aloud: after a row at or above `floor`, further ones within `rows` are taken for the
/// same thing and set to 0, unless they are `escalation` times as high. Looks at no later row.
#[must_use]
pub fn refractory(scores: &[f64], rows: usize, floor: f64, escalation: f64) -> Vec<f64> {
    let mut last: Option<(usize, f64)> = None;
    let keep = |(row, &score): (usize, &f64)| {
        let is_held = last.is_some_and(|(at, said)| row - at <= rows && score < said * escalation);
        if score.is_nan() || is_held {
            return 0.0;
        }
        if score >= floor {
            last = Some((row, score));
        }
        score
    };
    scores.iter().enumerate().map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rows;

    fn track(scores: Vec<f64>, labels: Vec<Rows>) -> Track {
        let times = (0..scores.len() as u64).collect();
        Track { times, scores, labels, ..Track::default() }
    }

    /// Fixes the ends of the scale: silence is 0, the first row of each window is 100, and a late or false detection is worth what
    /// the paper's sigmoid says.
    #[test]
    fn the_scale_runs_from_silence_to_perfect() {
        let labels = vec![Rows { first: 10, last: 19 }];
        let score = |rows: &[usize]| {
            let mut scores = vec![0.0; 40];
            rows.iter().for_each(|row| scores[*row] = 1.0);
            Corpus::of([&track(scores, labels.clone())]).at(0.5, &PROFILES[0])
        };
        assert_eq!(score(&[]), 0.0);
        assert_eq!(score(&[10, 19]), 100.0);
        // Row 19 is a tenth of the width before the end: (2/(1+e^-0.5)-1) / (2/(1+e^-5)-1) = 0.2482415; half of that and 1.
        assert!((score(&[19]) - 62.412_077).abs() < 1e-5, "{}", score(&[19]));
        // A false detection before any window costs 0.11 of 2.
        assert!((score(&[3]) + 5.5).abs() < 1e-9);
        // Nine rows behind the window is one width less one: 2/(1+e^5)-1 = -0.9866143.
        assert!((score(&[28]) + 0.11 * 98.661_43 / 2.0).abs() < 1e-5, "{}", score(&[28]));
    }

    /// The fitted threshold is the best of all, and prefers silence to harm.
    #[test]
    fn the_optimiser_finds_the_best_threshold() {
        let labels = vec![Rows { first: 10, last: 19 }];
        let mut scores = vec![0.1; 40];
        (scores[12], scores[30], scores[3]) = (0.7, 0.6, 0.5);
        let best = Corpus::of([&track(scores, labels.clone())]).optimise(&PROFILES[0]);
        assert_eq!(best.threshold, 0.7);
        let mut scores = vec![0.0; 400];
        (1..9).chain(100..400).for_each(|row| scores[row] = 0.9);
        scores[19] = 0.8;
        let best = Corpus::of([&track(scores, labels)]).optimise(&PROFILES[0]);
        assert_eq!((best.score, best.threshold), (0.0, 1.1));
    }

    /// What is held back is a matter of the past alone.
    #[test]
    fn a_refractory_period_keeps_the_first_and_what_is_much_worse() {
        let scores = [0.1, 0.4, 0.5, 0.9, 0.2, f64::NAN, 0.4, 0.1, 0.4];
        assert_eq!(refractory(&scores, 3, 0.3, 2.0), [0.1, 0.4, 0.0, 0.9, 0.0, 0.0, 0.0, 0.1, 0.4]);
    }
}
