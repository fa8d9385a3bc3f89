//! What was scored: rows in order of time, with scores, alarms and labels.

use serde::Serialize;

/// Rows `first` to `last`, both inclusive.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Rows {
    /// The first one.
    pub first: usize,
    /// The last one; not before `first`.
    pub last: usize,
}

impl Rows {
    /// Whether it holds a row.
    #[must_use]
    pub fn contains(self, row: usize) -> bool {
        (self.first..=self.last).contains(&row)
    }

    /// How many rows it holds.
    #[must_use]
    pub fn count(self) -> usize {
        (self.last + 1).saturating_sub(self.first)
    }
}

/// One alarm, from the row at which it was raised to the last row at which it was up. What is known only later is not in it: the
/// row of the raise is the one at which a person was told.
pub type Alarm = Rows;

/// What a detector said of one series, or of a whole service, beside what is known to be true.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Track {
    /// For people.
    pub name: String,
    /// Time of each row, nanoseconds since the Unix epoch, usually ascending.
    pub times: Vec<u64>,
    /// One for each row, 0 (as usual) to 1. NaN counts as 0.
    pub scores: Vec<f64>,
    /// In order of their first row.
    pub alarms: Vec<Alarm>,
    /// Labelled events, ascending and disjoint.
    pub labels: Vec<Rows>,
    /// Rows before this one only warm up: what is said there counts neither for nor against.
    pub scored_from: usize,
}

impl Track {
    /// How many rows there are: the length of the shorter column.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.times.len().min(self.scores.len())
    }

    /// The score of a row; 0 where there is none.
    #[must_use]
    pub fn score(&self, row: usize) -> f64 {
        self.scores.get(row).copied().filter(|score| !score.is_nan()).unwrap_or(0.0)
    }

    /// The label that holds a row.
    #[must_use]
    pub fn label_at(&self, row: usize) -> Option<usize> {
        let after = self.labels.partition_point(|label| label.first <= row);
        after.checked_sub(1).filter(|index| self.labels[*index].contains(row))
    }

    /// Labels of which at least a part is scored, by index.
    pub fn scored_labels(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.labels.len()).filter(|index| self.labels[*index].last >= self.scored_from)
    }

    /// Seconds between rows, see [`typical_step`].
    #[must_use]
    pub fn step_seconds(&self) -> f64 {
        typical_step(&self.times) as f64 / 1e9
    }

    /// Days that were scored: scored rows times the usual step, so that a hole in the data is no time at which anything could have
    /// been said.
    #[must_use]
    pub fn scored_days(&self) -> f64 {
        self.rows().saturating_sub(self.scored_from) as f64 * self.step_seconds() / 86_400.0
    }
}

/// The median of the differences between neighbouring times, in nanoseconds; 0 with fewer than two different times. Where rows
/// are as often one step apart as another, the shorter one.
#[must_use]
pub fn typical_step(times: &[u64]) -> u64 {
    let mut steps: Vec<u64> =
        times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).filter(|step| *step > 0).collect();
    if steps.is_empty() {
        return 0;
    }
    let middle = (steps.len() - 1) / 2;
    *steps.select_nth_unstable(middle).1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holes and doubled rows must not change what a day is.
    #[test]
    fn the_step_is_the_usual_one() {
        assert_eq!(typical_step(&[0, 5, 10, 10, 15, 900, 905]), 5);
        assert_eq!(typical_step(&[7]), 0);
        let times = (0..289).map(|row| row * 300_000_000_000).collect::<Vec<u64>>();
        let track = Track { scores: vec![0.0; times.len()], times, scored_from: 1, ..Track::default() };
        assert_eq!(track.scored_days(), 1.0);
    }

    /// Rows find their label at both of its ends and not beyond.
    #[test]
    fn labels_hold_their_ends() {
        let labels = vec![Rows { first: 2, last: 3 }, Rows { first: 5, last: 5 }];
        let track = Track { labels, ..Track::default() };
        let found: Vec<_> = (0..7).map(|row| track.label_at(row)).collect();
        assert_eq!(found, [None, None, Some(0), Some(0), None, Some(1), None]);
    }
}
