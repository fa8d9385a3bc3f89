//! Foreshock's baseline detector: tells when a series leaves what is normal for it at this time of the day.
//!
//! Each series has a slow level (a robust moving mean over half an hour), optionally with a profile of the day and the week,
//! used only where it explains more than the level alone. Two residuals are judged: the newest value against the level, and
//! the mean of about the last seven windows against it, which finds small lasting shifts. Each is divided by its own
//! robust spread, never less than what counting explains (Poisson for rates, binomial for error ratios) or a small share of the
//! level, and an exponential tail fitted to what lies beyond the 98 % quantile tells how rare it is.
//!
//! State: at most 800 bytes a series.

mod config;
mod profile;
mod run;
mod series;
#[cfg(test)]
mod tests;
mod words;

pub use config::Config;
use foreshock_detector::{About, Detector, Fault, Finding, Kind, SeriesMap, Setup, State, Verdict, Window};
use series::{Model, Moment};

/// Layout of the saved state.
const SCHEMA: u32 = 1;
/// Series followed per service; further ones get no score.
const MAX_SERIES: usize = 10_000;
/// A new level is not taken for normal sooner, however long the windows are.
const ADAPT_WINDOWS: f64 = 48.0;
/// Findings told in one window, the most surprising ones.
const MAX_FINDINGS: usize = 64;

/// The baseline model of one service.
#[derive(Debug)]
pub struct Baseline {
    config: Config,
    step: f64,
    series: SeriesMap<Model>,
}

impl Detector for Baseline {
    type Config = Config;

    fn about() -> About {
        About {
            name: "baseline",
            version: env!("CARGO_PKG_VERSION"),
            config_schema: config::SCHEMA.to_owned(),
            state_schema: SCHEMA,
            warmup_windows: Config::default().min_windows,
            kinds: vec![Kind::Gauge, Kind::Rate, Kind::Quantile, Kind::SpanRate, Kind::SpanErrors, Kind::SpanDuration],
        }
    }

    fn open(setup: Setup<Config>, saved: Option<State>) -> Result<Self, Fault> {
        setup.config.check()?;
        let series = match saved {
            Some(state) => state.decode::<SeriesMap<Model>>(SCHEMA)?.with_limit(MAX_SERIES),
            None => SeriesMap::new(MAX_SERIES),
        };
        Ok(Self { step: setup.step_seconds(), config: setup.config, series })
    }

    fn observe(&mut self, window: &Window) -> Result<Verdict, Fault> {
        self.series.follow(window, |_| Model::new());
        let mut verdict = Verdict::silent(window);
        let moment = Moment { start: window.start_ns as f64 / 1e9, step: self.step };
        for (score, row) in verdict.scores.iter_mut().zip(window.rows()) {
            let Some((series, model)) = self.series.get_mut(row.id) else { continue };
            if !self.config.wants(series.kind) {
                continue;
            }
            let Some(opinion) = model.observe(&self.config, series.kind, moment, row) else { continue };
            *score = opinion.score;
            if let Some(change) = model.run.step(&self.config, &opinion, row.value - opinion.expected) {
                verdict.findings.push(words::finding(series, &row, &opinion, change));
            }
            if f64::from(model.run.length()) * self.step >= self.config.adapt_seconds.max(self.step * ADAPT_WINDOWS) {
                model.accept(moment);
            }
        }
        keep_strongest(&mut verdict.findings);
        Ok(verdict)
    }

    fn snapshot(&self) -> Result<State, Fault> {
        State::encode(SCHEMA, &self.series)
    }
}

fn keep_strongest(findings: &mut Vec<Finding>) {
    // Stable, so that equal scores stay in the order of the ids.
    findings.sort_by(|a, b| b.score.total_cmp(&a.score));
    findings.truncate(MAX_FINDINGS);
}

foreshock_detector::export!(Baseline);
