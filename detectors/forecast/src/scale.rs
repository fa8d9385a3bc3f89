//! Owns one scale: sixteen blocks of one length, what was before them, and whether they lead to the limit.

use crate::{
    days::Days,
    fit::{Errors, Line, median, select},
};
use foreshock_detector::math::{exp, log};
use serde::{Deserialize, Serialize};

/// Blocks looked at.
pub(crate) const BLOCKS: usize = 16;
/// How far ahead is looked, in times of what was looked at.
const REACH: f64 = 3.0;
/// The same where too little is known of the past.
const COLD_REACH: f64 = 0.35;
/// The same along a curve.
const CURVED_REACH: f64 = 2.0;
/// Share of the way to the limit that must be behind before a line is followed to it: of straight rises most turn back early, and no
/// test can tell those that will.
const UNDER_WAY: f64 = 0.5;
/// Share of the way from which on there is no time left for doubts.
const CLOSE: f64 = 0.8;
/// Blocks in a row that must agree.
const CONFIRMATIONS: u8 = 3;
/// The same where the limit is close.
const CLOSE_CONFIRMATIONS: u8 = 2;
/// Share of pairs in which the later block is not the higher one, beyond which there is no rise.
const DISORDER: f64 = 0.15;
/// Slope of the latest blocks below which a rise is taken to have ended, as a share of that of all.
const SLACKENED: f64 = 0.7;
/// Slope below which a warning ends, as a share of that at which it was raised.
const ENDING: f64 = 0.2;

/// One scale.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Scale {
    centres: [f64; BLOCKS],
    tops: [f64; BLOCKS],
    closed: u32,
    /// The first half of the next larger scale's block: centre and top.
    half: Option<(f64, f64)>,
    days: Days,
    /// Whether it is known already that the latest blocks rise without levelling off below the limit, or don't rise at all. It costs much
    /// to know and is seldom asked, see `keeps_on`.
    surely_keeps_on: bool,
    agreeing: u8,
    doubting: u8,
    raised_slope: f64,
    /// Whether it warns.
    pub(crate) is_active: bool,
    /// Seconds from `at` to the limit.
    pub(crate) reaches: f64,
    /// The same along a straight line: later, where the rise is bent.
    pub(crate) straight: f64,
    /// The end of the latest block, in seconds since the epoch.
    pub(crate) at: f64,
    /// Share of the variance that the line leaves, 0 to 1.
    pub(crate) unevenness: f64,
}

/// What a scale is told beside a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment<'a> {
    /// The end of the block, in seconds since the epoch.
    pub(crate) now: f64,
    /// The length of the block in seconds.
    pub(crate) block: f64,
    /// The two finer scales, and the two coarser ones: what is a line in a short look may be the bend of a longer one.
    pub(crate) finer: &'a [Scale],
    pub(crate) coarser: &'a [Scale],
    /// Whether the resource is emptied now and then, so that an old high is no measure.
    pub(crate) is_store: bool,
}

/// How the blocks rise.
#[derive(Clone, Copy, Debug)]
struct Rise {
    line: Line,
    /// How far what crosses the limit first is above the line.
    peaks: f64,
    /// The share of the way from the lowest known level to the limit that is behind.
    done: f64,
}

impl Rise {
    /// How far the line is from where its peaks are at the limit.
    fn gap(&self) -> f64 {
        1.0 - self.peaks - self.line.level
    }

    /// Seconds to the limit along the line.
    fn reaches(&self, block: f64) -> f64 {
        if self.line.slope > 0.0 { self.gap().max(0.0) / self.line.slope * block } else { f64::INFINITY }
    }
}

impl Scale {
    pub(crate) fn new() -> Self {
        Self {
            centres: [0.0; BLOCKS],
            tops: [0.0; BLOCKS],
            closed: 0,
            half: None,
            days: Days::default(),
            surely_keeps_on: true,
            agreeing: 0,
            doubting: 0,
            raised_slope: 0.0,
            is_active: false,
            reaches: f64::INFINITY,
            straight: f64::INFINITY,
            at: 0.0,
            unevenness: 1.0,
        }
    }

    /// Takes a block and judges; gives the block of the next larger scale where this one completes it.
    pub(crate) fn close(&mut self, centre: f64, top: f64, moment: Moment) -> Option<(f64, f64)> {
        if self.closed as usize >= BLOCKS {
            self.days.take(self.centres[0], moment.now - BLOCKS as f64 * moment.block);
        }
        self.centres.rotate_left(1);
        self.tops.rotate_left(1);
        (self.centres[BLOCKS - 1], self.tops[BLOCKS - 1]) = (centre, top);
        self.closed = self.closed.saturating_add(1);
        self.at = moment.now;
        if self.closed as usize >= BLOCKS {
            let leans = self.leans();
            self.surely_keeps_on = !leans;
            match self.is_active {
                false => self.watch(leans, moment),
                true => self.follow(leans, moment),
            }
        }
        match self.half.take() {
            Some((first, first_top)) => Some(((first + centre) / 2.0, first_top.max(top))),
            None => {
                self.half = Some((centre, top));
                None
            }
        }
    }

    /// Whether the latest blocks rise without levelling off below the limit, or don't rise at all.
    pub(crate) fn keeps_on(&self) -> bool {
        let levels_off = || {
            let line = Line::through(&self.centres);
            self.stands_out(&line) && !self.goes_on(&self.rise(line))
        };
        self.surely_keeps_on || !levels_off()
    }

    /// Looks for a reason to warn. `leans` is whether the blocks lean to a rise.
    fn watch(&mut self, leans: bool, moment: Moment) {
        let agreed = if leans { self.agrees(moment) } else { None };
        let Some((rise, bent, reach)) = agreed else {
            self.agreeing = 0;
            return;
        };
        self.agreeing = self.agreeing.saturating_add(1);
        // Where the past is known, there is less to doubt.
        let is_close = rise.done >= CLOSE && reach >= REACH;
        let confirmations = if is_close { CLOSE_CONFIRMATIONS } else { CONFIRMATIONS };
        let is_under_way = bent.is_some() || rise.done >= UNDER_WAY;
        // At a turn the last blocks tell first. They are few, so they only put off what all others agree on.
        let still_rises = || self.latest(3).slope >= SLACKENED * rise.line.slope;
        if is_under_way && self.agreeing >= confirmations && still_rises() {
            (self.is_active, self.doubting, self.raised_slope) = (true, 0, rise.line.slope);
            self.say(bent, rise.reaches(moment.block));
        }
    }

    /// What speaks for a warning, if everything does: the rise, the seconds to the limit if it is bent, and how far ahead may be looked.
    /// What costs little and is seldom so is asked first.
    fn agrees(&self, moment: Moment) -> Option<(Rise, Option<f64>, f64)> {
        let line = Line::through(&self.centres);
        let (is_new, reach) = self.is_new(line.level, moment);
        if !is_new || !self.stands_out(&line) {
            return None;
        }
        let rise = self.rise(line);
        let others_keep_on = || {
            let coarser_do = rise.done >= CLOSE || moment.coarser.iter().all(Self::keeps_on);
            coarser_do && moment.finer.iter().all(Self::keeps_on)
        };
        if !self.goes_on(&rise) || !others_keep_on() {
            return None;
        }
        let length = BLOCKS as f64 * moment.block;
        let bent = self.curved(&rise, moment.block);
        let is_near = rise.reaches(moment.block) <= reach * length
            || bent.is_some_and(|bent| bent <= reach.min(CURVED_REACH) * length);
        is_near.then_some((rise, bent, reach))
    }

    /// Follows what was warned of until it ends.
    fn follow(&mut self, leans: bool, moment: Moment) {
        let line = Line::through(&self.centres);
        let rise = self.rise(line);
        let bent = if leans && self.stands_out(&line) { self.curved(&rise, moment.block) } else { None };
        self.say(bent, rise.reaches(moment.block));
        let ends = ENDING * self.raised_slope;
        let is_far = self.reaches > 2.0 * REACH * BLOCKS as f64 * moment.block;
        let doubts = is_far || self.latest(6).slope < ends || line.slope < ends;
        self.doubting = if doubts { self.doubting.saturating_add(1) } else { 0 };
        if self.doubting >= 2 || line.slope <= 0.0 {
            (self.is_active, self.agreeing) = (false, 0);
        }
    }

    /// Keeps what a warning says.
    fn say(&mut self, bent: Option<f64>, straight: f64) {
        let errors = Errors::of(&self.centres);
        (self.reaches, self.straight) = (bent.unwrap_or(straight), straight);
        self.unevenness = errors.line / errors.mean.max(1e-15);
    }

    /// The line through the latest blocks.
    fn latest(&self, many: usize) -> Line {
        Line::through(&self.centres[BLOCKS - many..])
    }

    /// Whether the blocks may rise along a line: in most pairs the later one is higher, and a line fits better than a step.
    fn leans(&self) -> bool {
        let most = (DISORDER * (BLOCKS * (BLOCKS - 1) / 2) as f64) as usize;
        let mut disordered = 0;
        // Neighbours first: where there is no rise, they tell soonest.
        for apart in 1..BLOCKS {
            let pairs = self.centres[apart..].iter().zip(&self.centres);
            disordered += pairs.map(|(later, earlier)| usize::from(later <= earlier)).sum::<usize>();
            if disordered > most {
                return false;
            }
        }
        let errors = Errors::of(&self.centres);
        errors.line <= 0.6 * errors.step.max(1e-15)
    }

    /// Whether the rise of blocks that lean to one stands out of their scatter, and has not ended.
    fn stands_out(&self, line: &Line) -> bool {
        let risen = line.slope * BLOCKS as f64;
        if line.slope <= 0.0 || risen <= 1e-4 || self.latest(6).slope < SLACKENED * line.slope {
            return false;
        }
        let mut scatter: [f64; BLOCKS] = std::array::from_fn(|i| (self.centres[i] - line.at(i, BLOCKS)).abs());
        risen >= 3.0 * 1.4826 * median(&mut scatter)
    }

    fn rise(&self, line: Line) -> Rise {
        // What is above the line crosses first: the thirteenth smallest of sixteen.
        let mut above: [f64; BLOCKS] = std::array::from_fn(|i| self.tops[i] - line.at(i, BLOCKS));
        let peaks = select(&mut above, 12).max(0.0);
        let low = self.centres.iter().copied().fold(self.days.low(self.at).unwrap_or(f64::INFINITY), f64::min);
        Rise { line, peaks, done: (line.level + peaks - low) / (1.0 - low).max(1e-9) }
    }

    /// Whether a rise that slows down would still reach the limit: by the same factor from half to half, as what saturates does, and,
    /// unless the limit is close, by the same amount from block to block, as what turns back does.
    fn goes_on(&self, rise: &Rise) -> bool {
        let half = BLOCKS / 2;
        let (first, second) = (Line::through(&self.centres[..half]), Line::through(&self.centres[half..]));
        let level = second.level + rise.peaks;
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
        rise.done >= CLOSE || level + slope * slope / (2.0 * slowing) >= 1.0
    }

    /// Seconds to the limit along the exponential or the hyperbola, where one of them fits clearly better than the line. A queue's
    /// waiting time under steadily growing load is a hyperbola (M/M/1: `1 / (1 - load)`).
    fn curved(&self, rise: &Rise, block: f64) -> Option<f64> {
        let (line, limit) = (&rise.line, 1.0 - rise.peaks);
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
            } else if rise.gap() <= 0.0 {
                reaches = Some(0.0);
            }
        }
        reaches
    }

    /// Whether the level is higher than what is known of the week before, and how far ahead that allows to look.
    fn is_new(&self, level: f64, moment: Moment) -> (bool, f64) {
        let length = BLOCKS as f64 * moment.block;
        let known = (self.closed as usize - BLOCKS) as f64 * moment.block;
        let is_higher = || self.days.are_below(level, moment.now, moment.is_store);
        match known {
            known if known >= 12.0 * 3_600.0 || known >= 8.0 * length => (is_higher(), REACH),
            known if known >= length => (is_higher(), COLD_REACH),
            _ => (true, COLD_REACH),
        }
    }
}
