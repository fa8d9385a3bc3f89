//! Owns the comparison of days with days, for loads that grow under a daily rhythm.

use crate::fit::median;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

const HOURS: usize = 24;
const DAY: f64 = 86_400.0;
/// Hourly means kept: three days.
const KEPT: usize = 3 * HOURS;
/// Days whose maxima are kept beside those.
const OLDER_DAYS: usize = 14;
/// How far ahead is looked.
const REACH: f64 = 4.0 * DAY;
/// Hours in a row that must agree.
const CONFIRMATIONS: u8 = 6;

/// Hourly means of the last days.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Pairs {
    hours: VecDeque<f64>,
    /// Maxima of the days before those, the newest last.
    older: VecDeque<f64>,
    /// Hours that left since the last maximum was kept, and their maximum.
    leaving: (u32, f64),
    /// The hour that is being gathered: hours since the epoch, sum, number.
    gathering: (u64, f64, u32),
    agreeing: u8,
    doubting: u8,
    raised_slope: f64,
    pub(crate) is_active: bool,
    /// Seconds from `at` to the limit.
    pub(crate) reaches: f64,
    pub(crate) at: f64,
}

impl Pairs {
    pub(crate) fn new() -> Self {
        Self {
            hours: VecDeque::new(),
            older: VecDeque::new(),
            leaving: (0, f64::NEG_INFINITY),
            gathering: (0, 0.0, 0),
            agreeing: 0,
            doubting: 0,
            raised_slope: 0.0,
            is_active: false,
            reaches: f64::INFINITY,
            at: 0.0,
        }
    }

    /// Takes a block by its centre and its end in seconds since the epoch.
    pub(crate) fn observe(&mut self, centre: f64, now: f64) {
        let hour = (now / 3_600.0) as u64;
        let (gathered, sum, many) = self.gathering;
        if hour == gathered {
            self.gathering = (hour, sum + centre, many + 1);
            return;
        }
        self.gathering = (hour, centre, 1);
        if many > 0 {
            self.push(sum / f64::from(many));
            if self.hours.len() == KEPT {
                self.judge(now);
            }
        }
    }

    fn push(&mut self, mean: f64) {
        self.hours.push_back(mean);
        if self.hours.len() <= KEPT {
            return;
        }
        let gone = self.hours.pop_front().unwrap_or(mean);
        let (many, high) = self.leaving;
        self.leaving = (many + 1, high.max(gone));
        if many as usize + 1 == HOURS {
            self.older.push_back(self.leaving.1);
            self.leaving = (0, f64::NEG_INFINITY);
            while self.older.len() > OLDER_DAYS {
                self.older.pop_front();
            }
        }
    }

    fn judge(&mut self, now: f64) {
        // Hour `q` before the last one, on the last day, the day before and the one before that.
        let of = |q: usize, day: usize| self.hours[KEPT - 1 - q - day * HOURS];
        let mut last: [f64; HOURS] = std::array::from_fn(|q| of(q, 0) - of(q, 1));
        let mut before: [f64; HOURS] = std::array::from_fn(|q| of(q, 1) - of(q, 2));
        let grew = last.iter().chain(&before).filter(|difference| **difference > 0.0).count();
        let (last, before) = (median(&mut last), median(&mut before));
        let slope = (last + before) / 2.0;
        let high = |day: usize| (0..HOURS).map(|q| of(q, day)).fold(f64::NEG_INFINITY, f64::max);
        let (top, mean) = (high(0), (0..HOURS).map(|q| of(q, 0)).sum::<f64>() / HOURS as f64);
        let older = self.older.iter().copied().fold(self.leaving.1, f64::max);
        let is_high = top > high(1).max(high(2)) && top > older;
        let grows = last > 0.0 && before > 0.0 && grew as f64 >= 0.9 * 2.0 * HOURS as f64 && last >= 0.5 * before;
        // A growth that shrinks by the same factor from day to day must still reach the limit.
        let factor = last / before + 0.1;
        let goes_on = factor >= 1.0 || top + last * factor / (1.0 - factor) >= 1.0;
        // Each hour grows in proportion to its level; the hour that is first at the limit counts.
        let until = |q: usize| {
            let own = slope * if mean > 0.0 { of(q, 0) / mean } else { 1.0 };
            let days = ((1.0 - of(q, 0)) / own.max(1e-12)).max(0.0);
            (days * DAY - q as f64 * 3_600.0).max(0.0)
        };
        let reaches = if slope > 0.0 { (0..HOURS).map(until).fold(f64::INFINITY, f64::min) } else { f64::INFINITY };
        let agrees = grows && goes_on && is_high && reaches <= REACH;
        (self.reaches, self.at) = (reaches, now);
        self.agreeing = if agrees { self.agreeing.saturating_add(1) } else { 0 };
        if !self.is_active {
            if self.agreeing >= CONFIRMATIONS {
                (self.is_active, self.doubting, self.raised_slope) = (true, 0, slope);
            }
            return;
        }
        let doubts = reaches > 2.0 * REACH || last < 0.3 * self.raised_slope || slope <= 0.0;
        self.doubting = if doubts { self.doubting.saturating_add(1) } else { 0 };
        if self.doubting >= 3 {
            (self.is_active, self.agreeing) = (false, 0);
        }
    }
}
