//! Foreshock's shift detector: tells when the level, the trend or the spread of a series has changed, and since when.
//!
//! Four cumulative sums (Page 1954) for each series add up what is above and below the reference level, and what swings more and
//! less than usual around a fast level. Residuals are divided by a robust spread, never less than what counting explains, and by
//! how much autocorrelation lets a sum wander. A tail fitted to the series' own sums tells how rare a sum is, so that a daily
//! wave, which drives the sums up every day, is no news after some days. A change that is found becomes the new
//! reference; one that turns back within `tell_windows` is dropped.
//!
//! Findings have severity info: a change of level is context for other detectors and for people (`level_shift` with the time at
//! which it began), never an alarm of its own. Where three series and a third of the service's changed within the same windows,
//! they are told as one finding.
//!
//! # Measured
//!
//! `cargo run -p foreshock-measure -- servers shift SMD 60` and `ASD 300`: windows ranked by the sum of the series' scores reach a VUS-PR of
//! .347 on machine-1-6 of the Server Machine Dataset and .256 on servers 1 to 6 of the Application Server Dataset. Its findings there
//! are few (they touch 3 % and 5 % of the labelled events) and all within labels. On NAB's 31 tuning series (`nab shift NAB`) they begin in 19 % of
//! the labelled windows, with a precision of .79 at .002 a series-day: context that can be believed, no detector of outages. Its
//! scores seldom exceed 4, because sums of neighbouring windows are alike and a daily wave makes their tail thick.
//!
//! On synthetic series (the tests) a shift by three deviations is told within a dozen windows, its start within five windows of the truth.
//! The measuring program takes about 0.3 us of processor time a row, natively, in the development profile.
//!
//! State: at most 400 bytes a series.

mod config;
mod cusum;
mod series;
#[cfg(test)]
mod tests;
mod words;

pub use config::Config;
use foreshock_detector::{About, Fault, Finding, Judgement, Kind, PerSeries, Row, Series, SeriesJudge, Setup, Window};
use series::Model;

/// Layout of the saved state.
const SCHEMA: u32 = 1;
/// So many series, and this share of all, make a change of the whole service.
const TOGETHER: usize = 3;
const TOGETHER_SHARE: f64 = 0.34;

/// The shift model of one service.
pub type Shift = PerSeries<CumulativeSums>;

/// Judges a series by the sums of what is above and below its reference.
#[derive(Debug)]
pub struct CumulativeSums {
    config: Config,
    step: f64,
    /// When the first of the changes that are told in this window began.
    began_ns: u64,
}

impl SeriesJudge for CumulativeSums {
    type Config = Config;
    type Model = Model;

    fn about() -> About {
        About {
            name: "shift",
            version: env!("CARGO_PKG_VERSION"),
            config_schema: Config::schema(),
            state_schema: SCHEMA,
            warmup_windows: Config::default().min_windows,
            kinds: Kind::NUMERIC.to_vec(),
        }
    }

    fn open(setup: Setup<Config>) -> Result<Self, Fault> {
        setup.config.check()?;
        Ok(Self { step: setup.step_seconds(), config: setup.config, began_ns: u64::MAX })
    }

    fn max_series(&self) -> usize {
        self.config.max_series as usize
    }

    fn fresh(&self, _: &Series) -> Model {
        Model::new()
    }

    fn is_sane(&self, model: &Model) -> bool {
        model.is_sane()
    }

    fn begin(&mut self, _: &Window) {
        self.began_ns = u64::MAX;
    }

    fn judge(&mut self, model: &mut Model, series: &Series, row: Row, window: &Window) -> Option<Judgement> {
        let score = model.observe(&self.config, series.kind, self.step, window.start_ns, row)?;
        let finding = model.shift.as_ref().map(|shift| {
            self.began_ns = self.began_ns.min(shift.since_ns);
            words::finding(row.id, series, shift)
        });
        Some(Judgement { score, finding })
    }

    fn join(&self, findings: &mut Vec<Finding>, window: &Window) {
        let all = window.len();
        if findings.len() >= TOGETHER && findings.len() as f64 >= TOGETHER_SHARE * all as f64 {
            *findings = words::together(findings, self.began_ns, all).into_iter().collect();
        }
    }
}

foreshock_detector::export!(Shift);
