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
use foreshock_detector::{About, Detector, Fault, Kind, SeriesMap, Setup, State, Verdict, Window};
use series::Model;

/// Layout of the saved state.
const SCHEMA: u32 = 1;
/// Findings told in one window, the most surprising ones.
const MAX_FINDINGS: usize = 64;

/// The spectral model of one service.
#[derive(Debug)]
pub struct Spectral {
    config: Config,
    step: f64,
    series: SeriesMap<Model>,
    /// Tables of the transform, the same for all.
    tables: residual::Tables,
}

impl Detector for Spectral {
    type Config = Config;

    fn about() -> About {
        About {
            name: "spectral",
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
        Ok(Self { step: setup.step_seconds(), config: setup.config, series, tables: residual::Tables::new() })
    }

    fn observe(&mut self, window: &Window) -> Result<Verdict, Fault> {
        self.series.follow(window, |_| Model::new());
        let mut verdict = Verdict::silent(window);
        for (score, row) in verdict.scores.iter_mut().zip(window.rows()) {
            let Some((series, model)) = self.series.get_mut(row.id) else { continue };
            let Some(opinion) = model.observe(&self.config, &self.tables, series.kind, self.step, row) else {
                continue;
            };
            *score = opinion.score;
            if opinion.is_told {
                verdict.findings.push(words::finding(series, &row, &opinion));
            }
        }
        // Stable, so that equal scores stay in the order of the ids.
        verdict.findings.sort_by(|a, b| b.score.total_cmp(&a.score));
        verdict.findings.truncate(MAX_FINDINGS);
        Ok(verdict)
    }

    fn snapshot(&self) -> Result<State, Fault> {
        State::encode(SCHEMA, &self.series)
    }
}

foreshock_detector::export!(Spectral);
