//! Foreshock's isolation forest: tells when a window of a series looks unlike all windows of the last hours.
//!
//! One forest for each series and one for the service as a whole (see `service`), over five features: value, change, rolling mean,
//! rolling deviation and z-score. The path length of a window is compared with those of the training windows, and an exponential tail
//! beyond their 98 % quantile tells how rare it is; raw isolation scores saturate and say nothing.
//!
//! State: 3.1 KB for a forest of 32 trees and 0.9 KB for 720 kept windows, 4.4 KB a series, and as much for the service. Growing a forest
//! takes about as long as judging 600 windows, so few are grown in one window: at most eight young ones, and of the others so many that all get
//! their turn.

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
    About, Detector, Fault, Finding, Judgement, Kind, MAX_FINDINGS, PerSeries, Row, Series, SeriesJudge, SeriesMap,
    Setup, Severity, State, Verdict, Window, words::label,
};
use serde::{Deserialize, Serialize};
use series::{Model, Opinion};
use service::{Gathered, Service};

/// Layout of the saved state.
const SCHEMA: u32 = 6;
/// Young forests grown in one window.
const GROWN_AT_ONCE: usize = 8;
/// Other forests grown anew in one window, at least.
const REGROWN_AT_ONCE: usize = 2;

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
        let (series, service) = match saved {
            Some(state) => {
                let Saved { series, service } = state.decode::<Saved<SeriesMap<Model>, Service>>(SCHEMA)?;
                (Some(series), service)
            }
            None => (None, Service::new()),
        };
        if !service.is_sane() {
            return Err(Fault::BadState("the state has numbers that no service leads to".to_owned()));
        }
        Ok(Self { each: PerSeries::with_series(setup, series)?, service, config, step, seed })
    }

    fn observe(&mut self, window: &Window) -> Result<Verdict, Fault> {
        let mut verdict = self.each.observe(window)?;
        let told = self.service.judge(&self.config, self.step, self.seed, &self.each.judge().gathered);
        if let Some(told) = told {
            verdict.findings.truncate(MAX_FINDINGS - 1);
            let place = verdict.findings.partition_point(|finding| finding.score >= told.score);
            verdict.findings.insert(place, told);
        }
        Ok(verdict)
    }

    fn snapshot(&self) -> Result<State, Fault> {
        State::encode(SCHEMA, &Saved { series: self.each.series(), service: &self.service })
    }
}

/// What is saved: read as it is owned, written as it is borrowed.
#[derive(Deserialize, Serialize)]
struct Saved<M, S> {
    series: M,
    service: S,
}

/// Judges the newest window of a series by its forest, and grows the forests.
#[derive(Debug)]
pub struct Forests {
    config: Config,
    seed: u64,
    step: f64,
    /// Forests grown in this window, and how many may be grown anew.
    grown: usize,
    regrown_at_once: usize,
    /// What the series of this window have in common.
    gathered: Gathered,
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
        Ok(Self {
            step: setup.step_seconds(),
            seed: setup.seed,
            config: setup.config,
            grown: 0,
            regrown_at_once: REGROWN_AT_ONCE,
            gathered: Gathered::default(),
        })
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

    fn begin(&mut self, window: &Window) {
        self.grown = 0;
        // Twice what is needed for all to get their turn.
        self.regrown_at_once = (2 * window.len()).div_ceil(self.config.retrain_every as usize).max(REGROWN_AT_ONCE);
        self.gathered.clear();
    }

    fn judge(&mut self, model: &mut Model, series: &Series, row: Row, _: &Window) -> Option<Judgement> {
        let count = row.count as f64;
        let opinion = model.judge(series.kind, row.value, count, self.step);
        let judgement = opinion.as_ref().map(|opinion| {
            let is_odd = opinion.score >= self.config.threshold;
            let is_told = model.streak.step(is_odd, self.config.persistence, self.config.refractory);
            self.gathered.add(series, &row, opinion);
            Judgement { score: opinion.score, finding: is_told.then(|| finding(series, &row, opinion)) }
        });
        model.learn(&self.config, row.value, count, opinion.as_ref(), 1.0);
        let most = if model.is_young(&self.config) { GROWN_AT_ONCE } else { self.regrown_at_once };
        if self.grown < most && model.is_due(&self.config) {
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
