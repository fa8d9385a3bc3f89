//! Foreshock's forecast detector: tells when a resource that fills up will reach its limit, before it does.
//!
//! Only series with a known limit are followed, see `limits`: those that the configuration names, shares of a whole (which end at 1),
//! and those whose capacity is a series of the same service. Values are put on a scale on which 1 is the limit.
//!
//! A series is looked at on up to nine scales at once, from blocks of two minutes to blocks of sixteen hours, sixteen blocks each. A
//! scale warns when its blocks lie along a rising line (Theil 1950, Sen 1968) rather than a step, are not levelling off, are higher
//! than anything of the week before, and reach the limit within three times the time that was looked at; three blocks in a row must say
//! so, or two where the limit is close. For a disk that was cleaned up, the highs before that are no measure.
//!
//! A bend shows in long stretches before it shows in short ones, so the two finer and the two coarser scales must not see one either:
//! not by a rise that loses the same share of its slope from half to half (what saturates), nor by one that loses the same amount (what
//! turns back). A rise that stays straight until it turns back is a leak until then. So a straight rise (not one that steepens) is told
//! when half of the way from the lowest known level to the limit is behind, and any rise only while its last three blocks still rise.
//! Waiting longer costs the lead of every true warning; on 60 cases of each kind with seeds 11 to 13, for 50, 55, 60 and 65 %: 64, 59, 53
//! and 50 % of turn-backs warned of, at a median lead of .43, .42, .39 and .35 of the rise.
//!
//! A scale of its own compares days with days, for loads that grow under a daily rhythm. Once raised, a warning stands until the rise
//! ends: raising and clearing have thresholds of their own.
//!
//! When the limit is reached is the median over the scales that warn. The interval comes from a table of errors measured on generated
//! cases (`tests/cases`), by how straight the line is and how far ahead it looks; it is meant to hold 80 % of outcomes. Where a rise gets
//! steeper, it reaches to where a straight line would end: what looks like a bend may be the busy hours of a day.
//!
//! On generated cases (7 kinds that reach their limit, 11 that don't, 60 of each; `examples/accuracy.rs` with seed 11 makes these
//! figures again, and can write the cases for `foreshock backtest csv`): 95 % of breaches are warned of with a tenth of the rise left
//! or more, the median first warning comes with 43 % of the rise left, 0.021 false warnings a series-day, 80 % of warnings are right,
//! 80 % of intervals hold what came, and the first time that is said is off by 15 % of what is left (median). With seeds 12 and 13 it is
//! 95 and 96 %, 44 and 41 %, 0.023 both, 79 and 78 %, 81 and 80 %, 15 and 17 %. False are most of all rises that turn back before the
//! limit (58 to 68 % of those cases are warned of, by seed), the first weekday after a weekend (25 to 43 %), batch jobs in their first
//! days (20 to 35 %) and warm-ups that level off (10 to 20 %). Four kinds were added later, and but for what is said of clean-ups and for
//! the intervals nothing was chosen by them: heaps that keep more with each collection and disks that fill again (98 % warned of, 51 % of
//! the rise left), a day with more to do than any before (5 % warned of), and growth whose limit is months away (none). Of their intervals
//! 79 to 85 % hold, by seed; by kind it is 65 % (disks that fill again) to 98 % (heaps).
//!
//! State: about 5 KB for each series that has a limit, nothing worth mentioning for others.

mod config;
mod days;
mod fit;
mod limits;
mod pairs;
mod scale;
mod trend;
mod words;

pub use config::{Config, Named};
use foreshock_detector::{About, Detector, Fault, Kind, SeriesMap, Setup, State, Verdict, Window};
use limits::Limits;
use trend::Trend;

/// Layout of the saved state.
const SCHEMA: u32 = 2;
/// Series known per service; further ones are not followed.
const MAX_SERIES: usize = 10_000;
/// Findings told in one window, those that reach their limit first.
const MAX_FINDINGS: usize = 64;

/// The forecasts of one service.
#[derive(Debug)]
pub struct Forecast {
    config: Config,
    step: f64,
    limits: Limits,
    /// A trend for each series that has a limit.
    series: SeriesMap<Option<Box<Trend>>>,
}

impl Detector for Forecast {
    type Config = Config;

    fn about() -> About {
        About {
            name: "forecast",
            version: env!("CARGO_PKG_VERSION"),
            config_schema: config::SCHEMA.to_owned(),
            state_schema: SCHEMA,
            // Sixteen blocks of two minutes at windows of ten seconds.
            warmup_windows: 192,
            kinds: Kind::NUMERIC.to_vec(),
        }
    }

    fn open(setup: Setup<Config>, saved: Option<State>) -> Result<Self, Fault> {
        setup.config.check()?;
        let series = match saved {
            Some(state) => state.decode::<SeriesMap<Option<Box<Trend>>>>(SCHEMA)?.with_limit(MAX_SERIES),
            None => SeriesMap::new(MAX_SERIES),
        };
        Ok(Self { step: setup.step_seconds(), config: setup.config, limits: Limits::new(MAX_SERIES), series })
    }

    fn observe(&mut self, window: &Window) -> Result<Verdict, Fault> {
        self.limits.follow(window, &self.config);
        self.series.follow(window, |_| None);
        let mut verdict = Verdict::silent(window);
        let end = window.end_ns as f64 / 1e9;
        for row in window.rows() {
            let Some(limit) = self.limits.of(row.id) else { continue };
            let Some((series, trend)) = self.series.get_mut(row.id) else { continue };
            let trend = trend.get_or_insert_with(|| Box::new(Trend::new(self.step, limits::is_store(series))));
            if let Some(outlook) = trend.observe(limit.share(row.value), end) {
                verdict.findings.push(words::finding(series, row.value, limit.limit, outlook, window.end_ns));
            }
        }
        // Stable, so that equal times stay in the order of the ids.
        verdict.findings.sort_by_key(|finding| finding.forecast.map_or(u64::MAX, |forecast| forecast.reaches_ns));
        verdict.findings.truncate(MAX_FINDINGS);
        Ok(verdict)
    }

    fn snapshot(&self) -> Result<State, Fault> {
        State::encode(SCHEMA, &self.series)
    }
}

foreshock_detector::export!(Forecast);
