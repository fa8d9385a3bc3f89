//! Foreshock's isolation forest: tells when a window of a series looks unlike all windows of the last hours.
//!
//! One forest for each series and one for the service as a whole (see `service`), over five features: value, change, rolling mean, rolling deviation and z-score. The path
//! length of a window is compared with those of the training windows, and an exponential tail beyond their 98 % quantile
//! tells how rare it is; raw isolation scores saturate and say nothing.
//!
//! State: 4.1 KB for a forest of 32 trees and 0.9 KB for 720 kept windows, 5.3 KB a series, and as much for the service. Growing a forest takes
//! about as long as judging 1,000 windows, so at most eight are grown in one window.

mod config;
mod features;
mod forest;
mod history;
mod series;
mod service;
#[cfg(test)]
mod tests;

pub use config::Config;
use foreshock_detector::{
    About, Detector, Fault, Finding, Judgement, Kind, PerSeries, Row, Series, SeriesJudge, Setup, Severity, State,
    Verdict, Window, packed, words::label,
};
use serde::{Deserialize, Serialize};
use series::{Model, Opinion};
use service::Service;

/// Layout of the saved state.
const SCHEMA: u32 = 4;
/// Forests grown in one window.
const GROWN_AT_ONCE: usize = 8;

/// The forests of one service: of each of its series, and of all together.
#[derive(Debug)]
pub struct IsolationForest {
    each: PerSeries<Forests>,
    service: Service,
    config: Config,
    step: f64,
    seed: u64,
}

impl Detector for IsolationForest {
    type Config = Config;

    fn about() -> About {
        Forests::about()
    }

    fn open(setup: Setup<Config>, saved: Option<State>) -> Result<Self, Fault> {
        let (config, step, seed) = (setup.config.clone(), setup.step_seconds(), setup.seed);
        let (each, service) = match saved {
            Some(state) => {
                let Saved { each: bytes, service } = state.decode::<Saved>(SCHEMA)?;
                if !service.is_sane() {
                    return Err(Fault::BadState("the state has numbers that no service leads to".to_owned()));
                }
                (Some(State { schema: SCHEMA, bytes }), service)
            }
            None => (None, Service::new()),
        };
        Ok(Self { each: PerSeries::open(setup, each)?, service, config, step, seed })
    }

    fn observe(&mut self, window: &Window) -> Result<Verdict, Fault> {
        let mut verdict = self.each.observe(window)?;
        let found = self.service.judge(&self.config, (self.step, self.seed), window, &verdict);
        verdict.findings.extend(found);
        Ok(verdict)
    }

    fn snapshot(&self) -> Result<State, Fault> {
        State::encode(SCHEMA, &Saved { each: self.each.snapshot()?.bytes, service: self.service.clone() })
    }
}

/// What is saved: the state of the series, as bytes of their own, and that of the service.
#[derive(Deserialize, Serialize)]
struct Saved {
    #[serde(with = "packed::bytes")]
    each: Vec<u8>,
    service: Service,
}

/// Judges the newest window of a series by its forest, and grows the forests.
#[derive(Debug)]
pub struct Forests {
    config: Config,
    seed: u64,
    step: f64,
    /// Forests grown in this window.
    grown: usize,
}

impl SeriesJudge for Forests {
    type Config = Config;
    type Model = Model;

    fn about() -> About {
        About {
            name: "isolation-forest",
            version: env!("CARGO_PKG_VERSION"),
            config_schema: Config::schema(),
            state_schema: SCHEMA,
            warmup_windows: Config::default().minimum_samples,
            kinds: Kind::NUMERIC.to_vec(),
        }
    }

    fn open(setup: Setup<Config>) -> Result<Self, Fault> {
        setup.config.check_together()?;
        Ok(Self { step: setup.step_seconds(), seed: setup.seed, config: setup.config, grown: 0 })
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
        self.grown = 0;
    }

    fn judge(&mut self, model: &mut Model, series: &Series, row: Row, _: &Window) -> Option<Judgement> {
        let count = row.count as f64;
        let opinion = model.judge(series.kind, row.value, count, self.step);
        let judgement = opinion.as_ref().map(|opinion| {
            let is_odd = opinion.score >= self.config.threshold;
            let is_told = model.streak.step(is_odd, self.config.persistence, self.config.refractory);
            Judgement { score: opinion.score, finding: is_told.then(|| finding(series, &row, opinion)) }
        });
        model.learn(&self.config, row.value, count, opinion.as_ref());
        if self.grown < GROWN_AT_ONCE && model.is_due(&self.config) {
            model.train(&self.config, series.kind, self.step, self.seed ^ series.fingerprint());
            self.grown += 1;
        }
        judgement
    }
}

fn finding(series: &Series, row: &Row, opinion: &Opinion) -> Finding {
    let (low, high) = opinion.usual;
    let above = row.value > opinion.expected;
    let inside = (low..=high).contains(&row.value);
    let kind = match (inside, above) {
        (true, _) => "distribution",
        (false, true) => "spike",
        (false, false) => "dip",
    };
    let severity = match (series.kind, above) {
        (Kind::SpanErrors, true) if row.value >= 0.05 => Severity::Error,
        (Kind::SpanDuration, true) if row.value >= 2.0 * opinion.expected => Severity::Error,
        (Kind::SpanErrors | Kind::SpanDuration, false) => Severity::Info,
        _ => Severity::Warning,
    };
    Finding {
        ids: vec![row.id],
        kind: kind.to_owned(),
        severity,
        score: opinion.score,
        observed: Some(row.value),
        expected: Some(opinion.expected),
        lower: (!inside).then_some(low),
        upper: (!inside).then_some(high),
        forecast: None,
        summary: format!(
            "{} looks unlike the windows it was trained on, most of all in its {}",
            label(series),
            opinion.telling
        ),
        evidence: vec![("most telling feature".to_owned(), opinion.telling.to_owned())],
    }
}

foreshock_detector::export!(IsolationForest);
