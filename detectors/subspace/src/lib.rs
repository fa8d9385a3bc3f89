//! Foreshock's subspace detector: tells when the last windows of a series are not a mixture of the few shapes that it usually takes.
//!
//! Shingles of the last 24 values are compared with the four strongest shapes of all shingles (principal components; as a detector on
//! shingles: Aggarwal, "Outlier Analysis", 2017, section 3.3), which follow a covariance that forgets (orthogonal iteration: Golub and Van
//! Loan, "Matrix Computations", section 7.3). The energy outside of that subspace, and the newest value's part of it, relative to their own
//! past, are compared with tails fitted to the series.
//!
//! # Measured
//!
//! `cargo run -p foreshock-measure -- nab subspace NAB '{"threshold":2.5}'` on 31 series of NAB, which were used for tuning; VUS-PR on the
//! Server Machine (machine-1-6) and Application Server Datasets (omi-1 to 6) with `servers subspace`, windows ranked by the sum of the
//! series' scores:
//!
//! | threshold | NAB standard / low FP / low FN | event recall, precision | false alarms a series-day |
//! | --- | --- | --- | --- |
//! | 2 | 44.9 / 25.5 / 52.8 | .68, .16 | .169 |
//! | 2.5 | 42.4 / 32.4 / 47.0 | .56, .23 | .086 |
//! | 3 | 36.0 / 31.5 / 38.6 | .44, .35 | .038 |
//! | 4 | 21.5 / 20.2 / 22.5 | .25, .52 | .011 |
//!
//! VUS-PR .289 and .418; on the second set that is the best of the detectors that look at each series alone (`baseline` .324, `isolation-forest`
//! .291, `spectral` .153). One unlabelled row in 1,000 scores above 2.68, one in 10,000 above 4.47. At equal false alarms it finds about half
//! of what `novelty` finds, so nothing speaks for having it in a default set.
//!
//! Warm-up: `min_windows`, at least the 24 values of a shingle. State: at most 2,100 bytes a series.

mod config;
mod series;
mod shapes;
#[cfg(test)]
mod tests;
mod words;

pub use config::Config;
use foreshock_detector::{About, Fault, Judgement, Kind, PerSeries, Row, Series, SeriesJudge, Setup, Window};
use series::Model;

/// Layout of the saved state.
const SCHEMA: u32 = 1;

/// The subspace model of one service.
pub type Subspace = PerSeries<Shingles>;

/// Judges the newest values of a series by the shapes that it usually takes.
#[derive(Debug)]
pub struct Shingles {
    config: Config,
    step: f64,
}

impl SeriesJudge for Shingles {
    type Config = Config;
    type Model = Model;

    fn about() -> About {
        About {
            name: "subspace",
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
        self.config.max_series as usize
    }

    fn fresh(&self, _: &Series) -> Model {
        Model::new()
    }

    fn is_sane(&self, model: &Model) -> bool {
        model.is_sane()
    }

    fn judge(&mut self, model: &mut Model, series: &Series, row: Row, _: &Window) -> Option<Judgement> {
        let opinion = model.observe(&self.config, series.kind, self.step, row)?;
        let finding = opinion.is_told.then(|| words::finding(series, &row, &opinion));
        Some(Judgement { score: opinion.score, finding })
    }
}

foreshock_detector::export!(Subspace);
