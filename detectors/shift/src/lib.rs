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
use foreshock_detector::{About, Detector, Fault, Finding, Kind, SeriesMap, Setup, State, Verdict, Window};
use series::Model;

/// Layout of the saved state.
const SCHEMA: u32 = 1;
/// Findings told in one window, the most surprising ones.
const MAX_FINDINGS: usize = 64;
/// So many series, and this share of all, make a change of the whole service.
const TOGETHER: usize = 3;
const TOGETHER_SHARE: f64 = 0.34;

/// The shift model of one service.
#[derive(Debug)]
pub struct Shift {
    config: Config,
    step: f64,
    series: SeriesMap<Model>,
}

impl Detector for Shift {
    type Config = Config;

    fn about() -> About {
        About {
            name: "shift",
            version: env!("CARGO_PKG_VERSION"),
            config_schema: config::SCHEMA.to_owned(),
            state_schema: SCHEMA,
            warmup_windows: Config::default().min_windows,
            kinds: vec![Kind::Gauge, Kind::Rate, Kind::Quantile, Kind::SpanRate, Kind::SpanErrors, Kind::SpanDuration],
        }
    }

    fn open(setup: Setup<Config>, saved: Option<State>) -> Result<Self, Fault> {
        setup.config.check()?;
        let limit = setup.config.max_series as usize;
        let mut series = match saved {
            Some(state) => state.decode::<SeriesMap<Model>>(SCHEMA)?.with_limit(limit),
            None => SeriesMap::new(limit),
        };
        if !series.values_mut().all(|model| model.is_sane()) {
            return Err(Fault::BadState("the state has numbers that no series leads to".to_owned()));
        }
        Ok(Self { step: setup.step_seconds(), config: setup.config, series })
    }

    fn observe(&mut self, window: &Window) -> Result<Verdict, Fault> {
        self.series.follow(window, |_| Model::new());
        let mut verdict = Verdict::silent(window);
        let mut began_ns = u64::MAX;
        for (score, row) in verdict.scores.iter_mut().zip(window.rows()) {
            let Some((series, model)) = self.series.get_mut(row.id) else { continue };
            let Some(own) = model.observe(&self.config, series.kind, self.step, window.start_ns, row) else { continue };
            *score = own;
            if let Some(shift) = &model.shift {
                began_ns = began_ns.min(shift.since_ns);
                verdict.findings.push(words::finding(row.id, series, shift));
            }
        }
        // Stable, so that equal scores stay in the order of the ids.
        verdict.findings.sort_by(|a, b| b.score.total_cmp(&a.score));
        let all = window.len();
        if verdict.findings.len() >= TOGETHER && verdict.findings.len() as f64 >= TOGETHER_SHARE * all as f64 {
            let joined: Option<Finding> = words::together(&verdict.findings, began_ns, all);
            verdict.findings = joined.into_iter().collect();
        }
        verdict.findings.truncate(MAX_FINDINGS);
        Ok(verdict)
    }

    fn snapshot(&self) -> Result<State, Fault> {
        State::encode(SCHEMA, &self.series)
    }
}

foreshock_detector::export!(Shift);
