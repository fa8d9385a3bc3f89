//! Events found and missed, delay, and false-alarm episodes.
//!
//! A labelled event is found if an alarm is *raised* in it. One that was raised before and is still up finds nothing, so an alarm
//! that never ends earns one event at most. The delay runs from the start of the label to the raise. Alarms raised outside of all
//! labels are false; those that follow each other by no more than an hour, or a step where that is longer, are one episode, since
//! a person would take them for one thing. Precision is found events over found events and false episodes.

use crate::{Rows, Track};
use serde::Serialize;

/// False alarms this near, in nanoseconds, are one episode.
pub const EPISODE_NANOS: u64 = 3_600 * 1_000_000_000;

/// A labelled event and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Where it is.
    pub rows: Rows,
    /// The row of the first alarm raised in it.
    pub raised: Option<usize>,
    /// Seconds from its start to that row.
    pub delay_seconds: Option<f64>,
}

/// What one track's alarms came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// Events of which a part is scored, in order.
    pub events: Vec<Event>,
    /// False episodes, from the first raise to the last one.
    pub false_episodes: Vec<Rows>,
    /// Scored days.
    pub days: f64,
    /// Scored rows outside of labels on which an alarm was up.
    pub false_rows: usize,
    /// Scored rows outside of labels.
    pub calm_rows: usize,
}

/// Judges the alarms of one track.
#[must_use]
pub fn judge(track: &Track) -> Outcome {
    let rows = track.rows();
    let mut raises: Vec<usize> = track.alarms.iter().map(|alarm| alarm.first).collect();
    raises.retain(|row| (track.scored_from..rows).contains(row));
    raises.sort_unstable();
    raises.dedup();
    let time = |row: usize| track.times.get(row).copied().unwrap_or(0);
    let events = track
        .scored_labels()
        .map(|index| {
            let label = track.labels[index];
            let raised = raises.iter().copied().find(|row| label.contains(*row));
            let delay = |row| time(row).saturating_sub(time(label.first)) as f64 / 1e9;
            Event { rows: label, raised, delay_seconds: raised.map(delay) }
        })
        .collect();
    let apart = EPISODE_NANOS.max((track.step_seconds() * 1e9) as u64);
    let mut false_episodes: Vec<Rows> = Vec::new();
    for row in raises.into_iter().filter(|row| track.label_at(*row).is_none()) {
        match false_episodes.last_mut() {
            Some(episode) if time(row).saturating_sub(time(episode.last)) <= apart => episode.last = row,
            _ => false_episodes.push(Rows { first: row, last: row }),
        }
    }
    let mut up = vec![false; rows];
    for alarm in &track.alarms {
        // An alarm that begins behind the end has no part in it.
        if let Some(part) = up.get_mut(alarm.first..(alarm.last + 1).min(rows)) {
            part.fill(true);
        }
    }
    let calm = (track.scored_from..rows).filter(|row| track.label_at(*row).is_none());
    let (calm_rows, false_rows) = calm.fold((0, 0), |(all, odd), row| (all + 1, odd + usize::from(up[row])));
    Outcome { events, false_episodes, days: track.scored_days(), false_rows, calm_rows }
}

/// Many tracks together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Labelled events.
    pub events: usize,
    /// Of which an alarm was raised in.
    pub found: usize,
    /// False episodes.
    pub false_episodes: usize,
    /// Days of all tracks together.
    pub days: f64,
    /// Found over all; `None` without events.
    pub recall: Option<f64>,
    /// Found over found and false; `None` where there is neither.
    pub precision: Option<f64>,
    /// False episodes a day of a track; `None` without days.
    pub false_per_day: Option<f64>,
    /// Seconds from the start of a found event to the alarm: half of them are no later.
    pub delay_median_seconds: Option<f64>,
    /// Nine of ten are no later.
    pub delay_p90_seconds: Option<f64>,
    /// Share of calm rows on which an alarm was up.
    pub false_row_share: Option<f64>,
}

impl Summary {
    /// Adds outcomes up.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let mut sum = Self::default();
        let mut delays = Vec::new();
        let (mut odd, mut calm) = (0, 0);
        for outcome in outcomes {
            sum.events += outcome.events.len();
            sum.found += outcome.events.iter().filter(|event| event.raised.is_some()).count();
            sum.false_episodes += outcome.false_episodes.len();
            sum.days += outcome.days;
            delays.extend(outcome.events.iter().filter_map(|event| event.delay_seconds));
            odd += outcome.false_rows;
            calm += outcome.calm_rows;
        }
        let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
        delays.sort_by(f64::total_cmp);
        sum.recall = share(sum.found, sum.events);
        sum.precision = share(sum.found, sum.found + sum.false_episodes).filter(|_| sum.events > 0);
        sum.false_per_day = (sum.days > 0.0).then(|| sum.false_episodes as f64 / sum.days);
        sum.delay_median_seconds = quantile(&delays, 0.5);
        sum.delay_p90_seconds = quantile(&delays, 0.9);
        sum.false_row_share = share(odd, calm);
        sum
    }
}

/// The smallest value that at least the share `q` of the ascending `values` does not exceed; `None` without values.
#[must_use]
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let rank = (q * values.len() as f64).ceil().max(1.0) as usize;
    values.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000_000;

    fn at(row: usize) -> Rows {
        Rows { first: row, last: row }
    }

    fn track(alarms: Vec<Rows>) -> Track {
        Track {
            name: "t".to_owned(),
            times: (0..1_000).map(|row| row * 10 * MINUTE).collect(),
            scores: vec![0.0; 1_000],
            alarms,
            labels: vec![Rows { first: 50, last: 60 }, Rows { first: 200, last: 220 }, Rows { first: 300, last: 310 }],
            scored_from: 100,
        }
    }

    /// The whole of the definition in one story: warm-up, delay, an alarm that outlives its event, episodes.
    #[test]
    fn events_are_found_by_raises_alone() {
        let alarms = vec![at(20), at(55), Rows { first: 190, last: 400 }, at(206), at(207), at(500), at(506), at(513)];
        let outcome = judge(&track(alarms));
        let raised: Vec<_> = outcome.events.iter().map(|event| event.raised).collect();
        assert_eq!(
            raised,
            [Some(206), None],
            "rows before the scored ones count for nothing, and an old alarm finds nothing"
        );
        assert_eq!(outcome.events[0].delay_seconds, Some(3_600.0));
        let false_firsts: Vec<_> = outcome.false_episodes.iter().map(|episode| (episode.first, episode.last)).collect();
        assert_eq!(false_firsts, [(190, 190), (500, 506), (513, 513)], "one hour joins, more does not");
        let sum = Summary::of([&outcome]);
        assert_eq!((sum.events, sum.found, sum.false_episodes), (2, 1, 3));
        assert_eq!((sum.recall, sum.precision), (Some(0.5), Some(0.25)));
        assert_eq!(sum.days, 6.25);
        assert_eq!(sum.false_per_day, Some(0.48));
        // 190..=400 without the labels' 21 + 11 rows, and three lone ones, of 900 scored rows without 32.
        assert_eq!(sum.false_row_share, Some((211.0 - 32.0 + 3.0) / 868.0));
    }

    /// Nothing in, nothing claimed.
    #[test]
    fn nothing_gives_no_figures() {
        let sum = Summary::of([&judge(&Track::default())]);
        assert_eq!((sum.recall, sum.precision, sum.false_per_day, sum.delay_median_seconds), (None, None, None, None));
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0], 0.9), Some(9.0));
    }
}
