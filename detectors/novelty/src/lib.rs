//! Foreshock's context novelty detector: tells when a series takes a course that it never took before.
//!
//! Several small nets look at the newest 4 or 8 steps of a series, each at a scale of its own. A net keeps boxes around the
//! contexts it has seen (fuzzy ART with complement coding: Carpenter, Grossberg and Rosen, "Fuzzy ART", Neural Networks 4,
//! 1991; as a detector of anomalies with features of a Haar transform: M. Hampton, "ARTime", <https://github.com/markNZed/ARTimeNAB.jl>),
//! speaks when a context fits none of them, and then is silent for a while. One more voter compares whole hours with the same hour of
//! other days or weeks, where that explains enough. The mean of what they said of late, plus 0.3 of the seasonal vote,
//! is the vote; an alarm begins where somebody speaks and the vote reaches the threshold. Nothing looks ahead: the range of
//! values is that of the warm-up, and widens when a value leaves it.
//!
//! Windows shorter than a row (five minutes) are gathered, and a row is their mean: courses of an hour and the hours of a day are what
//! can be novel, and what happens within minutes is for other detectors.
//!
//! A finding says between which values the newest one lay after the most similar courses.
//!
//! Warm-up: no scores for `warmup_windows` rows. Learning is then repeated at twice the length until `full_windows`. That takes about
//! 1 ms natively, so at most four series learn in one window; others wait.
//!
//! # Measured
//!
//! `cargo run -p foreshock-measure -- nab novelty NAB '{"form":"full","threshold":0.42}'` on the 31 series of NAB that were used
//! for tuning, strictly causal, one fixed threshold, alarms as they come:
//!
//! | form, warm-up | threshold | standard / low FP / low FN | event recall, precision | false alarms a series-day |
//! | --- | --- | --- | --- | --- |
//! | full, NAB's probation | 0.38 | 77.5 / 73.0 / 81.5 | .90, .50 | .045 |
//! | full, NAB's probation | 0.46 | 74.6 / 71.0 / 78.4 | .86, .55 | .035 |
//! | full, 250 to 750 | 0.36 | 74.5 / 70.1 / 78.3 | .86, .50 | .044 |
//! | full, 250 to 750 (`otel-config/foreshock.yaml`) | 0.38 | 74.8 / 70.8 / 78.5 | .86, .52 | .040 |
//! | full, 250 to 750 (the default) | 0.42 | 75.1 / 71.7 / 78.7 | .86, .56 | .033 |
//! | full, 250 to 750 | 0.46 | 70.3 / 67.1 / 73.7 | .81, .57 | .031 |
//! | light, NAB's probation | 0.38 | 80.7 / 75.5 / 84.8 | .93, .48 | .051 |
//! | light, NAB's probation | 0.46 | 75.1 / 71.3 / 78.7 | .86, .53 | .038 |
//! | light, 250 to 750 | 0.38 | 73.9 / 69.2 / 77.4 | .84, .47 | .047 |
//! | light, 250 to 750 | 0.46 | 69.8 / 66.2 / 72.8 | .79, .53 | .035 |
//!
//! "NAB's probation" sets both warm-ups to 15 % of the series' length, at most 750, as NAB's own rules let a detector know; the
//! other rows know nothing of the length. These series were used for tuning: expect less on others (the prototype of this method fell
//! from 80.8 to 68.4, with twice the false alarms).
//!
//! Neighbouring settings differ by up to three points for no reason but chance: there are 57 events. Trials that did not pay: a
//! threshold that is higher until the last training, warm-ups beyond 750 windows (61.9 with a last training at 1,500, since members
//! then look at courses too long for events of some hours), more prototypes.
//!
//! The measuring program takes 1.2 us of processor time a row in the light form and 2.5 us in the full one, natively, in the development
//! profile, with the reading of the files.
//!
//! State: about 6.4 KB a series in the light form, 11.7 KB in the full one, and 4 bytes for each row of a warm-up that lasts. Nets of 80 prototypes
//! were no better than those of 64, and of 32 where contexts are long.

mod config;
mod member;
mod net;
mod scale;
mod season;
mod series;
#[cfg(test)]
mod tests;
mod words;

pub use config::{Config, Form};
use foreshock_detector::{About, Fault, Judgement, Kind, PerSeries, Row, Series, SeriesJudge, Setup, Window};
use series::{Model, Moment};

/// Layout of the saved state.
const SCHEMA: u32 = 3;
/// Series trained in one window; others wait, so that no window takes long.
const TRAINED_AT_ONCE: usize = 4;

/// The novelty model of one service.
pub type Novelty = PerSeries<Voters>;

/// Judges a series by whether it took its newest course before.
#[derive(Debug)]
pub struct Voters {
    config: Config,
    /// Series trained in this window.
    trained: usize,
}

impl SeriesJudge for Voters {
    type Config = Config;
    type Model = Model;

    fn about() -> About {
        About {
            name: "novelty",
            version: env!("CARGO_PKG_VERSION"),
            config_schema: Config::schema(),
            state_schema: SCHEMA,
            warmup_windows: Config::default().warmup_windows,
            kinds: Kind::NUMERIC.to_vec(),
        }
    }

    fn open(setup: Setup<Config>) -> Result<Self, Fault> {
        setup.config.check()?;
        Ok(Self { config: setup.config, trained: 0 })
    }

    fn max_series(&self) -> usize {
        self.config.max_series as usize
    }

    fn fresh(&self, _: &Series) -> Model {
        Model::new(&self.config)
    }

    fn is_sane(&self, model: &Model) -> bool {
        model.is_sane(&self.config)
    }

    fn begin(&mut self, _: &Window) {
        self.trained = 0;
    }

    fn judge(&mut self, model: &mut Model, series: &Series, row: Row, window: &Window) -> Option<Judgement> {
        if self.trained < TRAINED_AT_ONCE && model.is_due() {
            model.train(&self.config);
            self.trained += 1;
        }
        let row_ns = u64::from(self.config.row_seconds) * 1_000_000_000;
        let moment = Moment { start_ns: window.start_ns, end_ns: window.end_ns, row_ns };
        let opinion = model.observe(&self.config, moment, row.value)?;
        let finding = opinion.is_odd.then(|| words::finding(series, &row, &opinion, self.config.threshold));
        Some(Judgement { score: words::surprise(opinion.vote), finding })
    }
}

foreshock_detector::export!(Novelty);
