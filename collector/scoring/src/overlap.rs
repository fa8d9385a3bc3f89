//! Alarms that last, beside labels that last, as published figures for recorded servers have it.
//!
//! Alarms whose rows touch or overlap are one episode. An event is found if an alarm is up in any of its rows; an episode is right if
//! at least a fifth of its rows are labelled. Unlike [`crate::events`] this credits an alarm that was raised before the event and still
//! stands, and does not ask how early it was, so it belongs beside that and not in its place.

use crate::{Rows, Track};
use serde::Serialize;

/// The share of an episode's rows that must be labelled.
pub const RIGHT_SHARE: f64 = 0.2;

/// What the alarms of some tracks came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Overlap {
    /// Labelled events of which a part is scored.
    pub events: usize,
    /// Of which an alarm was up in.
    pub found: usize,
    /// Episodes of alarms.
    pub episodes: usize,
    /// Of which enough is labelled.
    pub right: usize,
    /// Scored days.
    pub days: f64,
    /// Found over all; `None` without events.
    pub recall: Option<f64>,
    /// Right over all episodes; `None` without episodes or without events.
    pub precision: Option<f64>,
    /// Episodes that are not right, a day of a track; `None` without days.
    pub false_per_day: Option<f64>,
}

impl Overlap {
    /// Adds tracks up.
    pub fn of<'a>(tracks: impl IntoIterator<Item = &'a Track>) -> Self {
        let mut sum = Self::default();
        for track in tracks {
            let episodes = episodes(track);
            let labels: Vec<Rows> = track.scored_labels().map(|index| track.labels[index]).collect();
            let is_found = |label: &&Rows| {
                episodes.iter().any(|episode| episode.first <= label.last && label.first <= episode.last)
            };
            let is_right = |episode: &&Rows| {
                let rows = episode.first..=episode.last;
                let labelled = rows.filter(|row| track.label_at(*row).is_some()).count();
                labelled as f64 >= RIGHT_SHARE * episode.count() as f64
            };
            sum.events += labels.len();
            sum.found += labels.iter().filter(is_found).count();
            sum.episodes += episodes.len();
            sum.right += episodes.iter().filter(is_right).count();
            sum.days += track.scored_days();
        }
        let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
        sum.recall = share(sum.found, sum.events);
        sum.precision = share(sum.right, sum.episodes).filter(|_| sum.events > 0);
        sum.false_per_day = (sum.days > 0.0).then(|| (sum.episodes - sum.right) as f64 / sum.days);
        sum
    }
}

/// Scored rows under an alarm, run by run.
fn episodes(track: &Track) -> Vec<Rows> {
    let mut alarms: Vec<Rows> = track
        .alarms
        .iter()
        .map(|alarm| Rows {
            first: alarm.first.max(track.scored_from),
            last: alarm.last.min(track.rows().saturating_sub(1)),
        })
        .filter(|alarm| alarm.first <= alarm.last)
        .collect();
    alarms.sort_unstable();
    let mut episodes: Vec<Rows> = Vec::new();
    for alarm in alarms {
        match episodes.last_mut() {
            Some(last) if alarm.first <= last.last + 1 => last.last = last.last.max(alarm.last),
            _ => episodes.push(alarm),
        }
    }
    episodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(first: usize, last: usize) -> Rows {
        Rows { first, last }
    }

    /// The definition worked out by hand: warm-up counts for nothing, alarms that touch are one, a fifth makes an episode right, and
    /// one that began before its event still finds it.
    #[test]
    fn a_fifth_makes_an_episode_right() {
        let track = Track {
            times: (0..1_000).map(|row| row * 864_000_000_000).collect(),
            scores: vec![0.0; 1_000],
            alarms: vec![rows(20, 30), rows(190, 200), rows(201, 239), rows(300, 300), rows(480, 529), rows(700, 760)],
            labels: vec![rows(10, 40), rows(230, 260), rows(500, 509), rows(900, 910)],
            scored_from: 100,
            ..Track::default()
        };
        let sum = Overlap::of([&track]);
        assert_eq!((sum.events, sum.found, sum.episodes, sum.right), (3, 2, 4, 2), "{sum:?}");
        assert_eq!((sum.precision, sum.false_per_day), (Some(0.5), Some(2.0 / 9.0)));
        assert_eq!(Overlap::of([&Track::default()]), Overlap::default());
    }
}
