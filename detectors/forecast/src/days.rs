//! Owns what is remembered of the days before the blocks of a scale: how high and how low each of them was.

use serde::{Deserialize, Serialize};

/// Days that a high mark is remembered.
const DAYS: usize = 8;
const DAY: f64 = 86_400.0;
/// How much of what was known before a new high must exceed it by.
const MARGIN: f64 = 0.25;
/// How far from the lowest level, as a share of the range, something is still about empty.
const EMPTIED: f64 = 0.2;
/// Range of levels, as a share of the limit, of which a clean-up is worth the name.
const CLEAN_UP: f64 = 0.2;

/// The extremes of one day.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Extremes {
    /// Days since the epoch; 0 for none.
    day: u32,
    high: f64,
    low: f64,
}

/// The highest and lowest centre of some days.
fn span<'a>(days: impl Iterator<Item = &'a Extremes>) -> Option<(f64, f64)> {
    days.fold(None, |past, day| {
        let (high, low) = past.unwrap_or((day.high, day.low));
        Some((high.max(day.high), low.min(day.low)))
    })
}

/// The days before the blocks.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Days([Extremes; DAYS]);

impl Days {
    /// Takes the centre of a block that is looked at no longer, and its end in seconds since the epoch.
    pub(crate) fn take(&mut self, centre: f64, time: f64) {
        let day = (time / DAY).max(1.0) as u32;
        let extremes = &mut self.0[day as usize % DAYS];
        if extremes.day != day {
            *extremes = Extremes { day, high: centre, low: centre };
        }
        extremes.high = extremes.high.max(centre);
        extremes.low = extremes.low.min(centre);
    }

    /// Those that are still remembered.
    fn known(&self, now: f64) -> impl Iterator<Item = &Extremes> {
        let oldest = ((now / DAY) as u32).saturating_sub(DAYS as u32 + 10);
        self.0.iter().filter(move |extremes| extremes.day > oldest)
    }

    /// The lowest centre.
    pub(crate) fn low(&self, now: f64) -> Option<f64> {
        span(self.known(now)).map(|(_, low)| low)
    }

    /// When it was cleaned up, in days since the epoch: the first day on which it was about as empty as on any, if there are fuller days
    /// before. What is emptied again and again was as empty on the first day.
    fn cleaned(&self, now: f64) -> Option<u32> {
        let (high, low) = span(self.known(now))?;
        let emptied = self.known(now).filter(|day| day.low <= low + EMPTIED * (high - low));
        let cleaned = emptied.map(|day| day.day).min()?;
        let is_first = self.known(now).all(|day| day.day >= cleaned);
        (high - low >= CLEAN_UP && !is_first).then_some(cleaned)
    }

    /// Whether a level is higher than what is known. Of what is emptied now and then (`is_store`), the highs before a clean-up are no
    /// measure.
    pub(crate) fn are_below(&self, level: f64, now: f64, is_store: bool) -> bool {
        let cleaned = if is_store { self.cleaned(now) } else { None };
        let past = span(self.known(now).filter(|day| cleaned.is_none_or(|cleaned| day.day > cleaned)));
        let Some((high, low)) = past else { return true };
        let range = if is_store { (high - low).min((1.0 - high).max(0.0)) } else { high - low };
        level > high + MARGIN * range
    }
}
