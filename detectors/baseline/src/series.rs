//! Owns the model of one series: what is expected of it now, and how surprising what it does is.

use crate::{Config, profile::Profile, run::Run};
use foreshock_detector::{
    Kind, Row,
    math::{log10, sqrt},
    stats::{Habit, Tail, noise_floor},
};
use serde::{Deserialize, Serialize};

/// Seconds over which the slow level forgets.
const SLOW_SECONDS: f64 = 2_700.0;
/// Seconds over which is compared what explains more, a level alone or with a season: more than a day, or each night would
/// speak for the level alone.
const ERROR_SECONDS: f64 = 172_800.0;
/// How fast the fast level moves to the newest residual. It averages over about seven windows.
const FAST_PACE: f64 = 0.25;
/// The deviation of the mean that `FAST_PACE` gives, of independent values: `sqrt(pace / (2 - pace))`.
const FAST_SHARE: f64 = 0.378;
/// The standard deviation of normal noise by its mean absolute deviation: `sqrt(pi / 2)`.
const NORMAL: f64 = 1.2533;
/// Means of seven windows that overlap tell the tail only so much each.
const DRIFT_WEIGHT: f64 = 1.0 / 14.0;
/// Learning takes residuals of at most this many deviations.
const CLIP: f64 = 3.0;
/// The deviation of a series that rests near 0 is at least this share of what it usually amounts to when it does not.
const REST_FLOOR: f64 = 0.1;
/// How fast that amount is learned, and below which share of it a value is rest.
const ACTIVE_PACE: f64 = 0.02;
const REST: f64 = 0.01;

/// What a level is measured against.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum Season {
    None,
    Daily,
    Weekly,
}

/// A slow level of what is left after the season, and how far off it usually is.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Level {
    slow: f64,
    error: f64,
    ready: bool,
}

/// All that is known of one series, at most 800 bytes.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Model {
    seen: u32,
    season: Season,
    levels: [Level; 3],
    /// Mean absolute residual.
    spread: f64,
    /// The fast level, relative to what is expected.
    drift: f64,
    /// The fast level itself, whatever it was.
    recent: f64,
    drift_spread: f64,
    usual_count: f64,
    magnitude: f64,
    /// The mean absolute value of windows in which the series is not at rest, and how many those were.
    active: f64,
    active_seen: u32,
    low: f64,
    high: f64,
    whole: bool,
    point: [Tail; 2],
    drifts: [Tail; 2],
    profile: Profile,
    pub(crate) run: Run,
}

/// When and how long a window is, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) start: f64,
    pub(crate) step: f64,
}

/// What the model thinks of one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Opinion {
    /// Surprise, 0 to 16.
    pub(crate) score: f64,
    pub(crate) expected: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    /// Whether the value or its recent mean is above what is expected.
    pub(crate) above: bool,
    /// Whether the recent mean says so rather than this value.
    pub(crate) by_drift: bool,
    /// Whether the time of the day went into what is expected.
    pub(crate) seasonal: bool,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            seen: 0,
            season: Season::None,
            levels: [Level::default(); 3],
            spread: 0.0,
            drift: 0.0,
            recent: 0.0,
            drift_spread: 0.0,
            usual_count: 0.0,
            magnitude: 0.0,
            active: 0.0,
            active_seen: 0,
            low: 0.0,
            high: 0.0,
            whole: true,
            point: [Tail::default(); 2],
            drifts: [Tail::of_means(); 2],
            profile: Profile::default(),
            run: Run::default(),
        }
    }

    /// Whether what was restored can be worked with.
    pub(crate) fn is_sane(&self) -> bool {
        let levels = self.levels.iter().flat_map(|level| [level.slow, level.error]);
        let numbers = [
            self.spread,
            self.drift,
            self.recent,
            self.drift_spread,
            self.usual_count,
            self.magnitude,
            self.low,
            self.high,
        ];
        levels.chain(numbers).all(f64::is_finite)
    }

    /// Judges one window, then learns from it. `None` while warming up.
    pub(crate) fn observe(&mut self, config: &Config, kind: Kind, moment: Moment, row: Row) -> Option<Opinion> {
        let value = row.value.clamp(-1e150, 1e150);
        let count = row.count as f64;
        if self.seen == 0 {
            self.start(value, count);
        }
        let offset = self.offset(self.season, moment);
        let expected = self.levels[self.season as usize].slow + offset;
        let residual = value - expected;
        let range = self.high - self.low;
        let habit = Habit { level: expected, magnitude: self.magnitude, range, whole: self.whole, count };
        let floor = noise_floor(kind, &habit, moment.step).max(self.rest_floor(kind, expected));
        let thin = match kind {
            Kind::Quantile | Kind::SpanDuration => sqrt(self.usual_count / count.max(1.0)).clamp(1.0, 4.0),
            _ => 1.0,
        };
        let deviation = (NORMAL * self.spread).max(floor) + self.haste(moment);
        // Few windows: the level and the spread are themselves uncertain.
        let few = 1.0 / sqrt(f64::from(self.seen.max(1)));
        let unit = deviation * thin * (1.0 + 6.0 * few);
        let z = residual / unit;

        let drift = self.drift + FAST_PACE * (residual.clamp(-8.0 * deviation, 8.0 * deviation) - self.drift);
        let drift_unit = (NORMAL * self.drift_spread).max(FAST_SHARE * deviation).max(0.6 * floor.min(deviation))
            * (1.0 + 4.0 * few);
        let drift_z = drift / drift_unit;
        let opinion = self.judge(config, kind, expected, z, unit, drift_z, offset != 0.0);
        let score = opinion.score;
        self.drift = drift;
        self.learn(config, moment, value, count, score, deviation, [z * thin, drift_z]);
        (self.seen > config.min_windows).then_some(opinion)
    }

    fn start(&mut self, value: f64, count: f64) {
        self.levels = [Level { slow: value, error: 0.0, ready: false }; 3];
        self.levels[0].ready = true;
        (self.recent, self.low, self.high) = (value, value, value);
        (self.usual_count, self.magnitude) = (count, value.abs());
    }

    /// The least deviation of a series that is near 0 for hours and then is not: spread, range and level have faded by then, and
    /// anything would be infinitely odd. Kinds that count have a floor of their own.
    fn rest_floor(&self, kind: Kind, expected: f64) -> f64 {
        match kind {
            Kind::Gauge | Kind::Quantile | Kind::SpanDuration => REST_FLOOR * (self.active - expected.abs()).max(0.0),
            _ => 0.0,
        }
    }

    fn learn_active(&mut self, value: f64) {
        let size = value.abs();
        if size <= REST * self.active {
            return;
        }
        self.active_seen = self.active_seen.saturating_add(1);
        // One wild value must not blind the series for ever.
        let size = if self.active_seen > 10 { size.min(3.0 * self.active) } else { size };
        self.active += ACTIVE_PACE.max(1.0 / f64::from(self.active_seen)) * (size - self.active);
    }

    fn offset(&self, season: Season, moment: Moment) -> f64 {
        let middle = moment.start + moment.step / 2.0;
        match season {
            Season::None => 0.0,
            Season::Daily => self.profile.daily(middle),
            Season::Weekly => self.profile.daily(middle) + self.profile.weekly(middle),
        }
    }

    /// How uncertain the season is where it changes fast.
    fn haste(&self, moment: Moment) -> f64 {
        match self.season {
            Season::None => 0.0,
            Season::Daily | Season::Weekly => 0.5 * self.profile.change(moment.start + moment.step / 2.0),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all of one step's numbers")]
    fn judge(
        &self,
        config: &Config,
        kind: Kind,
        expected: f64,
        z: f64,
        unit: f64,
        drift_z: f64,
        seasonal: bool,
    ) -> Opinion {
        let side = |z: f64| usize::from(z < 0.0);
        let by_point = self.point[side(z)].surprise(z.abs());
        let by_mean = self.drifts[side(drift_z)].surprise(drift_z.abs());
        let by_drift = by_mean > by_point;
        // What was never seen in so many windows can't be called rarer than this without believing the tail blindly.
        let never_moved = self.high <= self.low && self.magnitude < 1e-9;
        let most = log10(f64::from(self.seen) + 1.0) + if never_moved { 1.0 } else { 4.0 };
        // Two looks at the same value: the better one counts half.
        let score = (by_point.max(by_mean) - 0.301).clamp(0.0, most.min(16.0));
        let bound = |side: usize| self.point[side].residual(config.threshold + 0.301) * unit;
        let (mut lower, mut upper) = (expected - bound(1), expected + bound(0));
        let mut expected = expected;
        if kind != Kind::Gauge {
            (lower, upper, expected) = (lower.max(0.0), upper.max(0.0), expected.max(0.0));
        }
        if kind == Kind::SpanErrors {
            (lower, upper, expected) = (lower.min(1.0), upper.min(1.0), expected.min(1.0));
        }
        let above = if by_drift { drift_z > 0.0 } else { z > 0.0 };
        Opinion { score, expected, lower, upper, above, by_drift, seasonal }
    }

    #[expect(clippy::too_many_arguments, reason = "all of one step's numbers")]
    fn learn(
        &mut self,
        config: &Config,
        moment: Moment,
        value: f64,
        count: f64,
        score: f64,
        deviation: f64,
        z: [f64; 2],
    ) {
        self.seen = self.seen.saturating_add(1);
        let seen = f64::from(self.seen);
        let slow_pace = (moment.step / SLOW_SECONDS).clamp(1.0 / 720.0, 0.05);
        // What is odd is learned slowly, lest it becomes normal before anybody saw it.
        let trust =
            if self.seen <= config.min_windows { 1.0 } else { 1.0 - 0.9 * ((score - 1.5) / 1.5).clamp(0.0, 1.0) };
        let pace = slow_pace.max(1.0 / seen);
        let clip = if self.seen <= config.min_windows / 2 { f64::INFINITY } else { CLIP * deviation };

        let season = self.season;
        let expected = self.levels[season as usize].slow + self.offset(season, moment);
        let residual = value - expected;
        let spread_pace = slow_pace.max(1.0 / seen);
        self.spread += trust * spread_pace * (residual.abs().min(clip) - self.spread);
        let drift_clip = if self.seen <= config.min_windows {
            f64::INFINITY
        } else {
            CLIP * NORMAL * self.drift_spread.max(FAST_SHARE * deviation)
        };
        self.drift_spread +=
            trust * (slow_pace / 3.0).max(1.0 / seen) * (self.drift.abs().min(drift_clip) - self.drift_spread);

        for season in [Season::None, Season::Daily, Season::Weekly] {
            let offset = self.offset(season, moment);
            let is_known = match season {
                Season::None => true,
                Season::Daily => self.profile.knows_days(),
                Season::Weekly => self.profile.knows_weeks(),
            };
            let first = self.levels[0];
            let level = &mut self.levels[season as usize];
            if !level.ready {
                if !is_known {
                    continue;
                }
                *level = Level { slow: value - residual - offset, error: first.error, ready: true };
            }
            let off = value - level.slow - offset;
            level.slow += trust * pace * off.clamp(-clip, clip);
            level.error +=
                (moment.step / ERROR_SECONDS).min(0.02).max(1.0 / seen) * (off.abs().min(20.0 * clip) - level.error);
        }
        self.choose_season();

        let kept = value.clamp(expected - 2.0 * clip, expected + 2.0 * clip);
        self.profile.learn(moment.start, moment.step, value);
        self.recent += FAST_PACE * (value - self.recent);
        self.usual_count += pace * (count - self.usual_count);
        self.magnitude += pace * (value.abs() - self.magnitude);
        self.learn_active(value);
        self.whole &= value == value.trunc();
        // The range fades, so that one wild value does not blind the series for ever.
        let fade = 0.1 * slow_pace;
        self.low = (self.low + fade * (expected - self.low)).min(kept);
        self.high = (self.high + fade * (expected - self.high)).max(kept);
        // A lasting change must not teach the tail that it is normal; accepting it is left to `accept`.
        let tail_trust = if self.run.length() > 2 { 0.01 } else { 1.0 };
        for (tails, z, weight) in [(&mut self.point, z[0], 1.0), (&mut self.drifts, z[1], DRIFT_WEIGHT)] {
            for (tail, z) in tails.iter_mut().zip([z, -z]) {
                tail.learn(z, tail_trust * weight);
            }
        }
    }

    /// Takes the season that explains most, if it explains clearly more than none.
    fn choose_season(&mut self) {
        let error = |season: Season| self.levels[season as usize].error;
        let is_ready = |season: Season| self.levels[season as usize].ready;
        let better = match self.season {
            Season::None if is_ready(Season::Daily) && error(Season::Daily) < 0.8 * error(Season::None) => {
                Season::Daily
            }
            Season::Daily if is_ready(Season::Weekly) && error(Season::Weekly) < 0.9 * error(Season::Daily) => {
                Season::Weekly
            }
            Season::Daily if error(Season::Daily) > 0.95 * error(Season::None) => Season::None,
            Season::Weekly if error(Season::Weekly) > error(Season::Daily) => Season::Daily,
            same => same,
        };
        if better != self.season {
            // What was surprising against the old expectation says nothing about the new one.
            self.season = better;
            self.spread = error(better);
            (self.point, self.drifts) = ([Tail::default(); 2], [Tail::of_means(); 2]);
        }
    }

    /// Takes the present level for the normal one, after it has been odd for so long that it is.
    pub(crate) fn accept(&mut self, moment: Moment) {
        for season in [Season::None, Season::Daily, Season::Weekly] {
            let offset = self.offset(season, moment);
            self.levels[season as usize].slow = self.recent - offset;
        }
        self.drift = 0.0;
        self.run = Run::default();
    }
}
