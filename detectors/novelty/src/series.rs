//! Owns the model of one series: its warm-up, its members and their vote.

use crate::{
    Config,
    config::Form,
    member::{Member, Shape},
    scale::Range,
    season::{Hour, Season},
};
use serde::{Deserialize, Serialize};

/// Values are kept as `f32` until they are learned; larger ones are cut to this.
const LARGEST: f64 = 1e30;
/// Room is made for so many rows at a time.
const ROOM: usize = 64;
/// Weight of the seasonal voter beside the mean of the members.
const SEASON_WEIGHT: f64 = 0.3;
/// A vote is held for this part of the warm-up, so that members of different pace can agree.
const HOLD: u32 = 20;
/// For this part of the warm-up after an alarm there is no other.
const LOCKOUT: u32 = 10;

/// One series.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Model {
    /// The rows to train with, until the members have reached their full scale.
    rows: Option<Vec<f32>>,
    /// How many rows the next training takes.
    next_training: u32,
    live: Option<Box<Live>>,
    season: Season,
    /// The row that windows are gathered into, where windows are shorter than rows.
    gathering: Gathering,
    /// What was thought of the last whole row.
    opinion: Option<Opinion>,
}

/// Windows of one row so far.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Gathering {
    row: u64,
    sum: f64,
    windows: u32,
}

/// When a window is, and how long rows are at least, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) row_ns: u64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Live {
    /// Rows that the members were trained with.
    warmup: u32,
    range: Range,
    members: Vec<Member>,
    vote: Vote,
}

/// What the members said, and the alarm that follows from it. Outlives the members.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Vote {
    /// Votes of members, and the seasonal one last, that still count.
    held: Vec<Held>,
    rows: u32,
    /// When the last alarm began, in rows; 0 for never.
    alarm_at: u32,
    /// Whether the last alarm still holds.
    is_odd: bool,
    /// The largest vote of the alarm that holds.
    loudest: f64,
    last_hour: Hour,
}

/// The largest vote of late: each entry is smaller and newer than the one before.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Held(Vec<(u32, f32)>);

impl Held {
    fn add(&mut self, now: u32, hold: u32, vote: f64) {
        let vote = vote as f32;
        self.0.retain(|(at, _)| now - at < hold);
        if vote > 0.0 {
            while self.0.pop_if(|(_, before)| *before <= vote).is_some() {}
            // Members speak rarely: more than a handful within one hold does not come up.
            if self.0.len() < 16 {
                self.0.push((now, vote));
            }
        }
    }

    fn largest(&self) -> f64 {
        self.0.first().map_or(0.0, |(_, vote)| f64::from(*vote))
    }
}

/// What the model thinks of one row.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Opinion {
    /// The vote: the mean of what the members said of late, plus the seasonal voter's share. 0 where nobody speaks and no
    /// alarm holds.
    pub(crate) vote: f64,
    /// Whether an alarm holds.
    pub(crate) is_odd: bool,
    /// Rows since the last alarm began.
    pub(crate) began: u32,
    /// Members that spoke of late, of how many.
    pub(crate) speaking: usize,
    pub(crate) members: usize,
    /// The loudest member, and the rows that it looks at.
    pub(crate) loudest: usize,
    pub(crate) course: usize,
    /// What was usual after such a course, as the loudest member saw it.
    pub(crate) usual: Option<(f64, f64)>,
    /// Whether the season says more than the members.
    pub(crate) seasonal: Option<Hour>,
}

impl Model {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            rows: Some(Vec::new()),
            next_training: config.warmup(),
            live: None,
            season: Season::default(),
            gathering: Gathering::default(),
            opinion: None,
        }
    }

    /// Whether enough rows were seen to train with, for the first time or on a larger scale.
    pub(crate) fn is_due(&self) -> bool {
        self.rows.as_ref().is_some_and(|rows| rows.len() as u32 >= self.next_training)
    }

    /// Trains the members with the rows so far. What was said before still counts.
    pub(crate) fn train(&mut self, config: &Config) {
        let Some(rows) = &self.rows else { return };
        let rows: Vec<f64> = rows[rows.len() % 2..].iter().map(|row| f64::from(*row)).collect();
        let form = config.form;
        let range = Range::of(&rows);
        let train = |shape: &Shape| Member::train(*shape, Form::capacity(*shape), &rows, range);
        let members: Vec<Member> = form.shapes().iter().map(train).collect();
        let mut vote = self.live.take().map(|live| live.vote).unwrap_or_default();
        vote.held.resize(members.len() + 1, Held::default());
        let warmup = rows.len() as u32;
        self.live = Some(Box::new(Live { warmup, range, members, vote }));
        if self.next_training >= config.full() {
            self.rows = None;
        } else {
            self.next_training = (2 * self.next_training).min(config.full());
        }
    }

    /// Takes a window; judges it where it ends a row, and else says what was thought of the row before. `None` while warming up.
    pub(crate) fn observe(&mut self, config: &Config, moment: Moment, value: f64) -> Option<Opinion> {
        let Moment { start_ns, end_ns, row_ns } = moment;
        let value = value.clamp(-LARGEST, LARGEST);
        if end_ns.saturating_sub(start_ns) >= row_ns {
            return self.take(config, start_ns, value);
        }
        let row = start_ns / row_ns;
        if row != self.gathering.row {
            self.end_row(config, row_ns);
        }
        let Gathering { sum, windows, .. } = self.gathering;
        self.gathering = Gathering { row, sum: sum + value, windows: windows.saturating_add(1) };
        if end_ns / row_ns > row {
            self.end_row(config, row_ns);
        }
        self.opinion.clone()
    }

    /// Judges what was gathered, if anything was.
    fn end_row(&mut self, config: &Config, row_ns: u64) {
        let Gathering { row, sum, windows } = std::mem::take(&mut self.gathering);
        if windows > 0 {
            self.opinion = self.take(config, row.saturating_mul(row_ns), sum / f64::from(windows));
        }
    }

    /// Takes a row and judges it.
    fn take(&mut self, config: &Config, start_ns: u64, value: f64) -> Option<Opinion> {
        let hour = self.season.step(start_ns as f64 / 1e9, value);
        if let Some(rows) = &mut self.rows {
            if rows.len() as u32 >= config.full() {
                // It waits for its turn to be trained, with the newest rows.
                rows.remove(0);
            }
            if rows.len() == rows.capacity() {
                rows.reserve_exact(ROOM);
            }
            rows.push(value as f32);
        }
        self.live.as_mut().map(|live| live.observe(config, value, hour))
    }

    /// Whether what was restored can be worked with under this configuration.
    pub(crate) fn is_sane(&self, config: &Config) -> bool {
        let rows = self.rows.as_ref();
        self.season.is_sane()
            && self.gathering.sum.is_finite()
            && self.opinion.as_ref().is_none_or(|opinion| opinion.vote.is_finite())
            && rows.is_none_or(|rows| rows.len() as u32 <= config.full() && rows.iter().all(|row| row.is_finite()))
            && (rows.is_some() || self.live.is_some())
            && (config.warmup()..=config.full()).contains(&self.next_training)
            && self.live.as_ref().is_none_or(|live| live.is_sane(config.form))
    }
}

impl Live {
    fn observe(&mut self, config: &Config, value: f64, hour: Option<Hour>) -> Opinion {
        let warmup = self.warmup as usize;
        let shapes = config.form.shapes();
        let says: Vec<f64> = self
            .members
            .iter_mut()
            .zip(shapes)
            .map(|(member, shape)| member.step(*shape, warmup, value, self.range))
            .collect();
        let mut opinion = self.vote.count(config.threshold, self.warmup, &says, hour);
        let shape = shapes[opinion.loudest];
        opinion.course = shape.levels * shape.step(warmup);
        if opinion.is_odd {
            opinion.usual = self.members[opinion.loudest].usual(self.range);
        }
        opinion
    }

    fn is_sane(&self, form: Form) -> bool {
        let shapes = form.shapes();
        self.members.len() == shapes.len()
            && self.vote.held.len() == shapes.len() + 1
            && self.warmup > 1
            && self.vote.rows >= self.vote.alarm_at
            && self
                .vote
                .held
                .iter()
                .flat_map(|held| &held.0)
                .all(|(at, vote)| *at <= self.vote.rows && vote.is_finite())
            && self.members.iter().zip(shapes).all(|(member, shape)| member.is_sane(*shape, Form::capacity(*shape)))
    }
}

impl Vote {
    /// Counts what the members say of a row, and the seasonal voter of the hour that has ended with it.
    fn count(&mut self, threshold: f64, warmup: u32, says: &[f64], hour: Option<Hour>) -> Opinion {
        self.rows = self.rows.saturating_add(1);
        let (hold, lockout) = ((warmup / HOLD).max(1), warmup / LOCKOUT);
        let season_says = hour.map_or(0.0, |hour| hour.vote);
        if let Some(hour) = hour.filter(|hour| hour.vote > 0.0) {
            self.last_hour = hour;
        }
        for (held, says) in self.held.iter_mut().zip(says.iter().chain([&season_says])) {
            held.add(self.rows, hold, *says);
        }
        let spoke = season_says > 0.0 || says.iter().any(|says| *says > 0.0);
        let season = SEASON_WEIGHT * self.held.last().map_or(0.0, Held::largest);
        let votes = || self.held.iter().take(says.len()).map(Held::largest);
        let mean = votes().sum::<f64>() / says.len().max(1) as f64;
        let vote = mean + season;
        if spoke && vote >= threshold && (self.alarm_at == 0 || self.rows - self.alarm_at > lockout) {
            (self.alarm_at, self.is_odd) = (self.rows, true);
        }
        self.is_odd &= vote >= threshold;
        // A vote counts when it is cast; what is held of it later is no new evidence.
        self.loudest = match (self.is_odd, spoke) {
            (true, true) => self.loudest.max(vote),
            (true, false) => self.loudest,
            (false, true) => vote,
            (false, false) => 0.0,
        };
        let louder = |best: (usize, f64), (k, vote)| if vote > best.1 { (k, vote) } else { best };
        Opinion {
            vote: self.loudest,
            is_odd: self.is_odd,
            began: self.rows - self.alarm_at,
            speaking: votes().filter(|vote| *vote > 0.0).count(),
            members: says.len(),
            loudest: votes().enumerate().fold((0, 0.0), louder).0,
            course: 0,
            usual: None,
            seasonal: (season > mean).then_some(self.last_hour),
        }
    }
}

impl Config {
    /// Rows of the first training, an even number.
    fn warmup(&self) -> u32 {
        self.warmup_windows & !1
    }

    /// Rows of the last training, an even number and at least those of the first.
    fn full(&self) -> u32 {
        self.full_windows.max(self.warmup_windows) & !1
    }
}
