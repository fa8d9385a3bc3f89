//! Foreshock's spectral detector: tells when a window stands out of the spectrum of the windows before it.
//!
//! The spectral residual of the last 64 values (Hou and Zhang, "Saliency Detection: A Spectral Residual Approach", CVPR 2007; for
//! series: Ren et al., "Time-Series Anomaly Detection Service at Microsoft", KDD 2019): what is left of the logarithm of the amplitudes after
//! a moving mean of three, turned back with the phases as they were, is large where a value is not foreseen by the others. Five values are
//! extrapolated behind the newest one, as the second paper does, so that it does not stand at the edge.
//!
//! The saliency of the newest value relative to the mean of those before saturates: one value can't stand out of 64 by more than about
//! seven times. So the root of its product with how far the value is off its extrapolated course is what a tail, fitted to the series' own past,
//! is asked about. One salient window is told for two, as the host wants to see a finding twice.
//!
//! # Measured
//!
//! `cargo run -p foreshock-measure -- nab spectral NAB '{"threshold":3.5}'` on 31 series of NAB, which were used for tuning; VUS-PR on the
//! Server Machine (machine-1-6) and Application Server Datasets (omi-1 to 6) with `servers spectral`, windows ranked by the sum of the
//! series' scores:
//!
//! | threshold | NAB standard / low FP / low FN | event recall, precision | false alarms a series-day |
//! | --- | --- | --- | --- |
//! | 3 | 49.6 / 35.7 / 55.9 | .68, .21 | .120 |
//! | 3.5 | 40.9 / 34.7 / 44.2 | .51, .31 | .053 |
//! | 4 | 24.7 / 22.5 / 26.4 | .30, .42 | .020 |
//!
//! VUS-PR .229 and .153. One unlabelled row in 1,000 scores above 3.16, one in 10,000 above 4.47. That is far below `novelty` (75 to 78
//! at .03 to .04 false alarms), so nothing speaks for having it in a default set; it sees single points and needs no more than 150 windows.
//!
//! Warm-up: `min_windows`, at least the 59 values that are transformed. State: at most 700 bytes a series.

mod config;
mod residual;
mod series;
#[cfg(test)]
mod tests;
mod words;

pub use config::Config;
use foreshock_detector::{About, Fault, Judgement, Kind, PerSeries, Row, Series, SeriesJudge, Setup, Window};
use series::Model;

/// Layout of the saved state.
const SCHEMA: u32 = 1;

/// The spectral model of one service.
pub type Spectral = PerSeries<SpectralResidual>;

/// Judges the newest value of a series by the spectrum of those before.
#[derive(Debug)]
pub struct SpectralResidual {
    config: Config,
    step: f64,
    /// Tables of the transform, the same for all.
    tables: residual::Tables,
}

impl SeriesJudge for SpectralResidual {
    type Config = Config;
    type Model = Model;

    fn about() -> About {
        About {
            name: "spectral",
            version: env!("CARGO_PKG_VERSION"),
            config_schema: Config::schema(),
            state_schema: SCHEMA,
            warmup_windows: Config::default().min_windows,
            kinds: Kind::NUMERIC.to_vec(),
        }
    }

    fn open(setup: Setup<Config>) -> Result<Self, Fault> {
        setup.config.check()?;
        Ok(Self { step: setup.step_seconds(), config: setup.config, tables: residual::Tables::new() })
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

    fn judge(&mut self, model: &mut Model, series: &Series, row: Row, _: &Window) -> Option<Judgement> {
        let opinion = model.observe(&self.config, &self.tables, series.kind, self.step, row)?;
        let finding = opinion.is_told.then(|| words::finding(series, &row, &opinion));
        Some(Judgement { score: opinion.score, finding })
    }
}

foreshock_detector::export!(Spectral);
