//! Owns one scale: sixteen blocks of one length, what was before them, and whether they lead to the limit.

use crate::fit::{Errors, Line, median};
use foreshock_detector::math::{exp, log};
use serde::{Deserialize, Serialize};

/// Blocks looked at.
pub(crate) const BLOCKS: usize = 16;
/// Days that a high mark is remembered.
const DAYS: usize = 8;
const DAY: f64 = 86_400.0;
/// How far ahead is looked, in times of what was looked at.
const REACH: f64 = 3.0;
/// The same where too little is known of the past.
const COLD_REACH: f64 = 0.35;
/// The same along a curve.
const CURVED_REACH: f64 = 2.0;
/// Share of the way to the limit that must be behind before a line is followed to it: of straight rises most turn back early, and no
/// test can tell those that will.
const UNDER_WAY: f64 = 0.55;
/// Share of the way from which on there is no time left for doubts.
const CLOSE: f64 = 0.8;
/// Blocks in a row that must agree.
const CONFIRMATIONS: u8 = 3;
/// The same where the limit is close.
const CLOSE_CONFIRMATIONS: u8 = 2;
/// How much of what was known before a new high must exceed it by.
const MARGIN: f64 = 0.25;
/// How far from the lowest level, as a share of the range, something is still about empty.
const EMPTIED: f64 = 0.2;
/// Range of levels, as a share of the limit, of which a clean-up is worth the name.
const CLEAN_UP: f64 = 0.2;
/// Slope below which a warning ends, as a share of that at which it was raised.
const ENDING: f64 = 0.2;

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

/// One scale.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Scale {
    centres: [f64; BLOCKS],
    tops: [f64; BLOCKS],
    closed: u32,
    /// The first half of the next larger scale's block: centre and top.
    half: Option<(f64, f64)>,
    days: [Extremes; DAYS],
    /// Whether the latest blocks rise without levelling off below the limit, or don't rise at all.
    keeps_on: bool,
    agreeing: u8,
    doubting: u8,
    raised_slope: f64,
    /// Whether it warns.
    pub(crate) is_active: bool,
    /// Seconds from `at` to the limit.
    pub(crate) reaches: f64,
    /// Seconds since the epoch.
    pub(crate) at: f64,
    /// Share of the variance that the line leaves, 0 to 1.
    pub(crate) unevenness: f64,
}

/// What a scale is told beside a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The end of the block, in seconds since the epoch.
    pub(crate) now: f64,
    /// The length of the block in seconds.
    pub(crate) block: f64,
    /// Whether the two finer scales say that it keeps on.
    pub(crate) finer_keep_on: bool,
    /// Whether the two coarser ones do: what is a line in a short look may be the bend of a longer one.
    pub(crate) coarser_keep_on: bool,
    /// Whether the resource is emptied now and then, so that an old high is no measure.
    pub(crate) is_store: bool,
}

impl Scale {
    pub(crate) fn new() -> Self {
        Self {
            centres: [0.0; BLOCKS],
            tops: [0.0; BLOCKS],
            closed: 0,
            half: None,
            days: [Extremes::default(); DAYS],
            keeps_on: true,
            agreeing: 0,
            doubting: 0,
            raised_slope: 0.0,
            is_active: false,
            reaches: f64::INFINITY,
            at: 0.0,
            unevenness: 1.0,
        }
    }

    pub(crate) fn keeps_on(&self) -> bool {
        self.keeps_on
    }

    /// Takes a block and judges; gives the block of the next larger scale where this one completes it.
    pub(crate) fn close(&mut self, centre: f64, top: f64, moment: Moment) -> Option<(f64, f64)> {
        if self.closed as usize >= BLOCKS {
            self.remember(self.centres[0], moment.now - BLOCKS as f64 * moment.block);
        }
        self.centres.rotate_left(1);
        self.tops.rotate_left(1);
        (self.centres[BLOCKS - 1], self.tops[BLOCKS - 1]) = (centre, top);
        self.closed = self.closed.saturating_add(1);
        if self.closed as usize >= BLOCKS {
            self.judge(moment);
        }
        match self.half.take() {
            Some((first, first_top)) => Some(((first + centre) / 2.0, first_top.max(top))),
            None => {
                self.half = Some((centre, top));
                None
            }
        }
    }

    /// Keeps the extremes of what leaves the blocks.
    fn remember(&mut self, centre: f64, time: f64) {
        let day = (time / DAY).max(1.0) as u32;
        let extremes = &mut self.days[day as usize % DAYS];
        if extremes.day != day {
            *extremes = Extremes { day, high: centre, low: centre };
        }
        extremes.high = extremes.high.max(centre);
        extremes.low = extremes.low.min(centre);
    }

    /// The days before the blocks that are still remembered.
    fn remembered(&self, now: f64) -> impl Iterator<Item = &Extremes> {
        let oldest = ((now / DAY) as u32).saturating_sub(DAYS as u32 + 10);
        self.days.iter().filter(move |extremes| extremes.day > oldest)
    }

    /// The highest and lowest centre of the days before the blocks.
    fn past(&self, now: f64) -> Option<(f64, f64)> {
        span(self.remembered(now))
    }

    /// When it was cleaned up in the days that are remembered, in days since the epoch: the first day on which it was about as empty as
    /// on any, if there are fuller days before. What is emptied again and again was as empty on the first day.
    fn cleaned(&self, now: f64) -> Option<u32> {
        let (high, low) = self.past(now)?;
        let emptied = self.remembered(now).filter(|day| day.low <= low + EMPTIED * (high - low));
        let cleaned = emptied.map(|day| day.day).min()?;
        let is_first = self.remembered(now).all(|day| day.day >= cleaned);
        (high - low >= CLEAN_UP && !is_first).then_some(cleaned)
    }

    fn judge(&mut self, moment: Moment) {
        let Moment { now, block, .. } = moment;
        let length = BLOCKS as f64 * block;
        let line = Line::through(&self.centres);
        // What is above the line crosses first: the thirteenth smallest of sixteen.
        let mut above: [f64; BLOCKS] = std::array::from_fn(|i| self.tops[i] - line.at(i, BLOCKS));
        above.sort_by(f64::total_cmp);
        let peaks = above[12].max(0.0);
        let gap = 1.0 - peaks - line.level;
        let straight = if line.slope > 0.0 { gap.max(0.0) / line.slope * block } else { f64::INFINITY };
        let errors = Errors::of(&self.centres);
        let latest = Line::through(&self.centres[BLOCKS - 6..]);
        let rises = self.rises(&line, &errors, &latest);
        let done = self.done(line.level + peaks, now);
        self.keeps_on = !rises || self.goes_on(peaks, done);
        let bent = if rises { self.curved(&line, peaks, gap, block) } else { None };
        let curved = bent.unwrap_or(straight);
        let (is_new, reach) = self.is_new(line.level, moment);
        let is_near = straight <= reach * length || curved <= reach.min(CURVED_REACH) * length;
        let is_under_way = bent.is_some() || done >= UNDER_WAY;
        let others_keep_on = moment.finer_keep_on && (moment.coarser_keep_on || done >= CLOSE);
        let agrees = rises && self.keeps_on && others_keep_on && is_new && is_near;
        self.agreeing = if agrees { self.agreeing.saturating_add(1) } else { 0 };
        (self.reaches, self.at) = (curved, now);
        self.unevenness = errors.line / errors.mean.max(1e-15);
        if !self.is_active {
            // Where the past is known, there is less to doubt.
            let is_close = done >= CLOSE && reach >= REACH;
            let confirmations = if is_close { CLOSE_CONFIRMATIONS } else { CONFIRMATIONS };
            if is_under_way && self.agreeing >= confirmations {
                (self.is_active, self.doubting, self.raised_slope) = (true, 0, line.slope);
            }
            return;
        }
        let ends = ENDING * self.raised_slope;
        let doubts = curved > 2.0 * REACH * length || latest.slope < ends || line.slope < ends;
        self.doubting = if doubts { self.doubting.saturating_add(1) } else { 0 };
        if self.doubting >= 2 || line.slope <= 0.0 {
            (self.is_active, self.agreeing) = (false, 0);
        }
    }

    /// Whether the blocks rise along a line: in most pairs the later one is higher, a line fits better than a step, the rise stands out
    /// of the scatter, and it has not ended.
    fn rises(&self, line: &Line, errors: &Errors, latest: &Line) -> bool {
        let n = BLOCKS as f64;
        let mut scatter: [f64; BLOCKS] = std::array::from_fn(|i| (self.centres[i] - line.at(i, BLOCKS)).abs());
        let deviation = 1.4826 * median(&mut scatter);
        let rising = (0..BLOCKS).flat_map(|i| (0..i).map(move |j| (i, j)));
        let concordant = rising.filter(|(i, j)| self.centres[*i] > self.centres[*j]).count() as f64;
        line.slope > 0.0
            && concordant >= 0.85 * n * (n - 1.0) / 2.0
            && errors.line <= 0.6 * errors.step.max(1e-15)
            && latest.slope >= 0.7 * line.slope
            && line.slope * n >= 3.0 * deviation
            && line.slope * n > 1e-4
    }

    /// The share of the way from the lowest known level to the limit that is behind `level`.
    fn done(&self, level: f64, now: f64) -> f64 {
        let low = self.centres.iter().copied().fold(self.past(now).map_or(f64::INFINITY, |(_, low)| low), f64::min);
        (level - low) / (1.0 - low).max(1e-9)
    }

    /// Whether a rise that slows down would still reach the limit: by the same factor from half to half, as what saturates does, and,
    /// unless the limit is close, by the same amount from block to block, as what turns back does.
    fn goes_on(&self, peaks: f64, done: f64) -> bool {
        let half = BLOCKS / 2;
        let (first, second) = (Line::through(&self.centres[..half]), Line::through(&self.centres[half..]));
        let level = second.level + peaks;
        if first.slope <= 0.0 || second.slope >= first.slope || level >= 1.0 {
            return true;
        }
        let (slope, factor) = (second.slope.max(0.0), (second.slope / first.slope).max(0.0));
        if level + slope * half as f64 * factor / (1.0 - factor) < 1.0 {
            return false;
        }
        // The slopes are those of the halves' middles.
        let slowing = (first.slope - second.slope) / half as f64;
        let slope = (slope - slowing * (half as f64 - 1.0) / 2.0).max(0.0);
        done >= CLOSE || level + slope * slope / (2.0 * slowing) >= 1.0
    }

    /// Seconds to the limit along the exponential or the hyperbola, where one of them fits clearly better than the line. A queue's
    /// waiting time under steadily growing load is a hyperbola (M/M/1: `1 / (1 - load)`).
    fn curved(&self, line: &Line, peaks: f64, gap: f64, block: f64) -> Option<f64> {
        let limit = 1.0 - peaks;
        if limit <= 0.0 || self.centres.iter().any(|centre| *centre <= 1e-6) {
            return None;
        }
        let miss = |at: &dyn Fn(usize) -> f64| -> f64 { (0..BLOCKS).map(|i| (self.centres[i] - at(i)).abs()).sum() };
        let mut best = 0.7 * miss(&|i| line.at(i, BLOCKS));
        let mut reaches = None;
        for is_hyperbola in [false, true] {
            let bent: [f64; BLOCKS] =
                std::array::from_fn(|i| if is_hyperbola { 1.0 / self.centres[i] } else { log(self.centres[i]) });
            let fitted = Line::through(&bent);
            let back = |i: usize| {
                let value = fitted.at(i, BLOCKS);
                if is_hyperbola { 1.0 / value.max(1e-9) } else { exp(value) }
            };
            let missed = miss(&back);
            if missed >= best {
                continue;
            }
            let target = if is_hyperbola { 1.0 / limit } else { log(limit) };
            let until = (target - fitted.level) / fitted.slope * block;
            let is_right_way = if is_hyperbola { fitted.slope < 0.0 } else { fitted.slope > 0.0 };
            if until >= 0.0 && is_right_way {
                (best, reaches) = (missed, Some(until));
            } else if gap <= 0.0 {
                reaches = Some(0.0);
            }
        }
        reaches
    }

    /// Whether the level is higher than what is known of the week before, and how far ahead that allows to look.
    fn is_new(&self, level: f64, moment: Moment) -> (bool, f64) {
        let length = BLOCKS as f64 * moment.block;
        let known = (self.closed as usize - BLOCKS) as f64 * moment.block;
        let is_higher = || {
            let cleaned = if moment.is_store { self.cleaned(moment.now) } else { None };
            // After a clean-up, the highs before it are no measure.
            let past = span(self.remembered(moment.now).filter(|day| cleaned.is_none_or(|cleaned| day.day > cleaned)));
            let Some((high, low)) = past else { return true };
            let range = if moment.is_store { (high - low).min((1.0 - high).max(0.0)) } else { high - low };
            level > high + MARGIN * range
        };
        match known {
            known if known >= 12.0 * 3_600.0 || known >= 8.0 * length => (is_higher(), REACH),
            known if known >= length => (is_higher(), COLD_REACH),
            _ => (true, COLD_REACH),
        }
    }
}
