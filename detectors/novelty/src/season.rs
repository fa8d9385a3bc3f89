//! Owns the seasonal voter: hours that differ from the same hour of other days, or of other weeks.

use foreshock_detector::math::floor;
use serde::{Deserialize, Serialize};

const HOUR: f64 = 3_600.0;
const DAY: usize = 24;
const WEEK: usize = 168;
/// Residuals before a profile speaks.
const DAILY_READY: u32 = 72;
const WEEKLY_READY: u32 = 100;
/// A profile speaks only where it leaves less than this share of what the slow mean leaves.
const GATE: f64 = 0.7;
/// Mean residuals from which the voter begins to speak, and over which it gets to 1.
const FROM: f64 = 3.0;
const OVER: f64 = 5.0;

/// What the voter says of an hour that has ended.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Hour {
    /// 0 to 1.
    pub(crate) vote: f64,
    pub(crate) mean: f64,
    pub(crate) usual: f64,
    /// The mean residual of other hours.
    pub(crate) spread: f64,
    pub(crate) weekly: bool,
}

/// A mean with the number of what it is the mean of.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Error {
    seen: u32,
    mean: f64,
}

impl Error {
    /// Takes a residual, in time clipped to six means.
    fn learn(&mut self, residual: f64, clips: bool) {
        let residual = if clips && self.seen > 30 { residual.min(6.0 * self.mean) } else { residual };
        self.seen = self.seen.saturating_add(1);
        self.mean += (1.0 / f64::from(self.seen)).max(0.01) * (residual - self.mean);
    }
}

/// Profiles of the hours of the day and of the week, in UTC. About 1 KB.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Season {
    hour: f64,
    sum: f64,
    rows: u32,
    slow: f64,
    plain: Error,
    daily: Error,
    weekly: Error,
    days: Vec<f32>,
    weeks: Vec<f32>,
    /// How often each hour was seen, days first; stops at 255.
    visits: Vec<u8>,
}

impl Default for Season {
    fn default() -> Self {
        Self {
            hour: 0.0,
            sum: 0.0,
            rows: 0,
            slow: 0.0,
            plain: Error::default(),
            daily: Error::default(),
            weekly: Error::default(),
            days: vec![0.0; DAY],
            weeks: vec![0.0; WEEK],
            visits: vec![0; DAY + WEEK],
        }
    }
}

impl Season {
    /// Takes a row at so many seconds since the epoch; when it begins an hour, gives what there is to say of the one before.
    pub(crate) fn step(&mut self, seconds: f64, value: f64) -> Option<Hour> {
        let hour = floor(seconds / HOUR);
        let ended = (self.rows > 0 && hour != self.hour).then(|| self.end_hour());
        if ended.is_some() || self.rows == 0 {
            (self.hour, self.sum, self.rows) = (hour, 0.0, 0);
        }
        self.sum += value;
        self.rows = self.rows.saturating_add(1);
        ended
    }

    fn end_hour(&mut self) -> Hour {
        let mean = self.sum / f64::from(self.rows);
        let place = |hours: usize| (self.hour - hours as f64 * floor(self.hour / hours as f64)) as usize % hours;
        let (day, week) = (place(DAY), place(WEEK));
        let (usual_day, usual_week) = (f64::from(self.days[day]), f64::from(self.weeks[week]));
        let (off_day, off_week) = ((mean - usual_day).abs(), (mean - usual_week).abs());
        let vote = |error: Error, residual: f64, ready: u32| {
            if error.seen > ready && error.mean > 0.0 {
                ((residual / error.mean - FROM) / OVER).clamp(0.0, 1.0)
            } else {
                0.0
            }
        };
        let day_vote = vote(self.daily, off_day, DAILY_READY);
        let week_vote = vote(self.weekly, off_week, DAILY_READY);

        self.plain.learn((mean - self.slow).abs(), false);
        self.slow += (1.0 / f64::from(self.plain.seen)).max(0.005) * (mean - self.slow);
        let days_known = self.visits[day] > 0;
        let weeks_known = self.visits[DAY + week] > 0;
        let day_vote = if days_known { day_vote } else { 0.0 };
        let week_vote = if weeks_known { week_vote } else { 0.0 };
        if days_known {
            self.daily.learn(off_day, true);
        }
        if weeks_known {
            self.weekly.learn(off_week, true);
        }
        learn(&mut self.days[day], &mut self.visits[day], mean);
        learn(&mut self.weeks[week], &mut self.visits[DAY + week], mean);

        let plain = GATE * self.plain.mean;
        let (daily, weekly) = (self.daily, self.weekly);
        if weekly.seen > WEEKLY_READY && weekly.mean < plain && weekly.mean < daily.mean {
            Hour { vote: week_vote, mean, usual: usual_week, spread: weekly.mean, weekly: true }
        } else if daily.seen > DAILY_READY && daily.mean < plain {
            Hour { vote: day_vote, mean, usual: usual_day, spread: daily.mean, weekly: false }
        } else {
            Hour { vote: 0.0, mean, usual: mean, spread: 0.0, weekly: false }
        }
    }

    /// Whether what was restored can be worked with.
    pub(crate) fn is_sane(&self) -> bool {
        self.days.len() == DAY
            && self.weeks.len() == WEEK
            && self.visits.len() == DAY + WEEK
            && self.hour.is_finite()
            && self.sum.is_finite()
            && self.slow.is_finite()
    }
}

fn learn(usual: &mut f32, visits: &mut u8, mean: f64) {
    let pace = (1.0 / (f64::from(*visits) + 1.0)).max(0.2);
    let moved = f64::from(*usual) + pace * (mean - f64::from(*usual));
    *usual = moved.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
    *visits = visits.saturating_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A night job at its hour is nothing, the same load at noon is; without a season the voter is silent.
    #[test]
    fn hours_are_compared_with_their_like() {
        let mut noise = foreshock_detector::testkit::Noise::new(5);
        let mut season = Season::default();
        let mut votes = Vec::new();
        for hour in 0..24 * 12 {
            let busy = hour % 24 == 3 || hour == 24 * 11 + 13;
            let value = if busy { 50.0 } else { 5.0 + f64::from(hour % 24) } + 0.5 * noise.normal();
            votes.extend(season.step(f64::from(hour) * HOUR, value));
        }
        let last = votes.split_off(24 * 11);
        assert!(votes.iter().all(|hour| hour.vote < 0.5), "{votes:?}");
        assert_eq!(last[13].vote, 1.0);
        assert!((last[13].usual - 18.0).abs() < 1.0 && !last[13].weekly, "{:?}", last[13]);

        let mut season = Season::default();
        let spoke = (0..24 * 12)
            .filter_map(|hour| season.step(f64::from(hour) * HOUR, noise.normal()))
            .any(|hour| hour.vote > 0.0);
        assert!(!spoke);
    }
}
