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
use foreshock_detector::{About, Fault, Judgement, Kind, PerSeries, Row, Series, SeriesJudge, Setup, Window};
use series::{Model, Moment};

/// Layout of the saved state.
const SCHEMA: u32 = 2;
/// Series followed per service; further ones get no score.
const MAX_SERIES: usize = 10_000;
/// A new level is not taken for normal sooner, however long the windows are.
const ADAPT_WINDOWS: f64 = 48.0;

/// The baseline model of one service.
pub type Baseline = PerSeries<TwoSpeed>;

/// Judges a series by a slow and a fast residual from its level and profile.
#[derive(Debug)]
pub struct TwoSpeed {
    config: Config,
    step: f64,
}

impl SeriesJudge for TwoSpeed {
    type Config = Config;
    type Model = Model;

    fn about() -> About {
        About {
            name: "baseline",
            version: env!("CARGO_PKG_VERSION"),
            config_schema: Config::schema(),
            state_schema: SCHEMA,
            warmup_windows: Config::default().min_windows,
            kinds: Kind::NUMERIC.to_vec(),
        }
    }

    fn open(setup: Setup<Config>) -> Result<Self, Fault> {
        setup.config.check()?;
        Ok(Self { step: setup.step_seconds(), config: setup.config })
    }

    fn max_series(&self) -> usize {
        MAX_SERIES
    }

    fn fresh(&self, _: &Series) -> Model {
        Model::new()
    }

    fn is_sane(&self, model: &Model) -> bool {
        model.is_sane()
    }

    fn judge(&mut self, model: &mut Model, series: &Series, row: Row, window: &Window) -> Option<Judgement> {
        if !self.config.kinds.contain(series.kind) {
            return None;
        }
        let moment = Moment { start: window.start_ns as f64 / 1e9, step: self.step };
        let opinion = model.observe(&self.config, series.kind, moment, row)?;
        let change = model.run.step(&self.config, &opinion, row.value - opinion.expected);
        let finding = change.map(|change| words::finding(series, &row, &opinion, change));
        if f64::from(model.run.length()) * self.step >= self.config.adapt_seconds.max(self.step * ADAPT_WINDOWS) {
            model.accept(moment);
        }
        Some(Judgement { score: opinion.score, finding })
    }
}

foreshock_detector::export!(Baseline);
