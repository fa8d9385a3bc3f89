//! The volume under the precision-recall surface, which judges scores without a threshold and forgives alarms that are a little
//! early or late.
//!
//! Source: Paparrizos, Boniol, Palpanas, Tsay, Elmore and Franklin 2022, "Volume Under the Surface: A New Accuracy Evaluation
//! Measure for Time-Series Anomaly Detection" (VLDB). Around each labelled event lies a ramp: a row `d` rows away counts
//! `sqrt(1 - d / buffer)` as true, up to half the buffer. For each length of the buffer and each threshold, the recall is the
//! labelled weight found over the weight there is, times the share of events of which anything was found; the area under precision
//! over recall is averaged over the buffers. Where that leaves room, this follows the authors' program: the weight there is is the
//! labelled rows and half of the ramps' found weight.

use crate::{Rows, Track};

/// How buffers are laid out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Buffers {
    /// The longest, in rows.
    pub longest: usize,
    /// How many lengths from 0 to `longest`, 1 or more.
    pub steps: usize,
}

impl Buffers {
    /// Eleven lengths up to 100 minutes, at least 4 rows.
    #[must_use]
    pub fn for_step(step_seconds: f64) -> Self {
        let rows = if step_seconds > 0.0 { (6_000.0 / step_seconds).min(10_000.0) as usize } else { 0 };
        Self { longest: rows.max(4), steps: 11 }
    }
}

/// The volume of one track, 0 to 1. `None` if none of its scored rows are labelled, or all are.
#[must_use]
pub fn vus_pr(track: &Track, buffers: Buffers) -> Option<f64> {
    let from = track.scored_from.min(track.rows());
    let rows = track.rows() - from;
    let labels: Vec<Rows> = track
        .scored_labels()
        .map(|index| track.labels[index])
        .filter(|label| label.first < track.rows())
        .map(|label| Rows {
            first: label.first.saturating_sub(from),
            last: (label.last - from).min(rows.saturating_sub(1)),
        })
        .collect();
    let labelled: usize = labels.iter().map(|label| label.count()).sum();
    if labelled == 0 || labelled >= rows {
        return None;
    }
    let mut order: Vec<usize> = (0..rows).collect();
    let score = |row: usize| track.score(from + row);
    order.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
    let steps = buffers.steps.max(1);
    let lengths = (0..steps).map(|step| buffers.longest * step / (steps - 1).max(1));
    let areas: f64 = lengths.map(|buffer| area(rows, &labels, labelled, &order, &score, buffer)).sum();
    Some(areas / steps as f64)
}

/// The area under precision over recall for one length of the buffer.
fn area(
    rows: usize,
    labels: &[Rows],
    labelled: usize,
    order: &[usize],
    score: &dyn Fn(usize) -> f64,
    buffer: usize,
) -> f64 {
    let (weights, regions) = ramps(rows, labels, buffer);
    let mut found = vec![false; regions.len()];
    let (mut inside, mut ramp, mut events) = (0.0, 0.0, 0_usize);
    let (mut sum, mut recall_before) = (0.0, 0.0);
    for (index, row) in order.iter().copied().enumerate() {
        match weights[row] {
            1.0 => inside += 1.0,
            weight => ramp += weight,
        }
        let after = regions.partition_point(|region| region.first <= row);
        if let Some(region) = after.checked_sub(1).filter(|region| regions[*region].contains(row))
            && !found[region]
        {
            found[region] = true;
            events += 1;
        }
        if order.get(index + 1).is_some_and(|next| score(*next) == score(row)) {
            continue;
        }
        let there_is = labelled as f64 + ramp / 2.0;
        let share: f64 = (inside + ramp) / there_is;
        let recall = share.min(1.0) * events as f64 / regions.len() as f64;
        sum += (recall - recall_before) * (inside + ramp) / (index + 1) as f64;
        recall_before = recall;
    }
    sum
}

/// What each row counts as true, and the events with their ramps, those that touch joined.
fn ramps(rows: usize, labels: &[Rows], buffer: usize) -> (Vec<f64>, Vec<Rows>) {
    let half = buffer / 2;
    let mut weights = vec![0.0; rows];
    let mut regions: Vec<Rows> = Vec::new();
    for label in labels {
        for distance in 1..=half {
            let weight = (1.0 - distance as f64 / buffer as f64).sqrt();
            let sides = [label.first.checked_sub(distance), Some(label.last + distance)];
            for row in sides.into_iter().flatten().filter(|row| *row < rows) {
                weights[row] = f64::min(weights[row] + weight, 1.0);
            }
        }
        let region = Rows { first: label.first.saturating_sub(half), last: (label.last + half).min(rows - 1) };
        match regions.last_mut() {
            Some(last) if last.last >= region.first => last.last = last.last.max(region.last),
            _ => regions.push(region),
        }
    }
    for label in labels {
        weights[label.first..=label.last].fill(1.0);
    }
    (weights, regions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn track(scores: Vec<f64>, labels: Vec<Rows>) -> Track {
        let times = (0..scores.len() as u64).collect();
        Track { times, scores, labels, ..Track::default() }
    }

    /// Without a buffer it is average precision times the share of events found, worked out by hand: scores in the order hit,
    /// miss, hit give precisions 1, 1/2 and 2/3; the second hit is of the second event.
    #[test]
    fn without_a_buffer_it_is_average_precision() {
        let labels = vec![Rows { first: 1, last: 1 }, Rows { first: 4, last: 4 }];
        let track = track(vec![0.1, 0.9, 0.8, 0.2, 0.7, 0.0], labels);
        let volume = vus_pr(&track, Buffers { longest: 0, steps: 1 }).unwrap();
        // Recall goes 1/2 * 1/2 = 1/4 at precision 1, then 1 at 2/3.
        assert!((volume - (0.25 + 0.75 * 2.0 / 3.0)).abs() < 1e-12, "{volume}");
    }

    /// A buffer of two rows makes a neighbour count sqrt(1/2); the area by hand for a score that is one row late.
    #[test]
    fn a_buffer_forgives_a_near_miss() {
        let track = track(vec![0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0], vec![Rows { first: 2, last: 2 }]);
        let with = |longest| vus_pr(&track, Buffers { longest, steps: 1 }).unwrap();
        assert_eq!(with(0), 1.0 / 8.0);
        let steps = Buffers { longest: 2, steps: 2 };
        let root = 0.5_f64.sqrt();
        // At the first threshold: weight found root of 1 + root/2; then all of it, recall cut at 1.
        let first = root / (1.0 + root / 2.0);
        let area = first * root + (1.0 - first) * (1.0 + 2.0 * root) / 8.0;
        assert!((vus_pr(&track, steps).unwrap() - (1.0 / 8.0 + area) / 2.0).abs() < 1e-12);
    }

    proptest! {
        /// Any scores keep to the range, scores that mark exactly the labels reach the top, and only the order of scores matters.
        #[test]
        fn it_is_a_share(scores in prop::collection::vec(0.0_f64..1.0, 30..120), first in 5_usize..20, length in 1_usize..9) {
            let labels = vec![Rows { first, last: first + length - 1 }];
            let buffers = Buffers { longest: 8, steps: 5 };
            let odd = track(scores.clone(), labels.clone());
            let volume = vus_pr(&odd, buffers).unwrap();
            prop_assert!((0.0..=1.0).contains(&volume));
            let squeezed = track(scores.iter().map(|score| score.powi(3) / 2.0).collect(), labels.clone());
            prop_assert!((vus_pr(&squeezed, buffers).unwrap() - volume).abs() < 1e-9);
            let right = track((0..scores.len()).map(|row| f64::from(u8::from(labels[0].contains(row)))).collect(), labels);
            let without_buffer = vus_pr(&right, Buffers { longest: 0, steps: 1 }).unwrap();
            prop_assert!(without_buffer > 0.999_999);
        }
    }
}
