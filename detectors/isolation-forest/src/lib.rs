//! Foreshock's isolation forest: tells when a window of a series looks unlike all windows of the last hours.
//!
//! One forest for each series, over five features: value, change, rolling mean, rolling deviation and z-score. The path
//! length of a window is compared with those of the training windows, and an exponential tail beyond their 98 % quantile
//! tells how rare it is; raw isolation scores saturate and say nothing.
//!
//! State: about 6.1 KB for a forest of 32 trees and 2.9 KB for 720 kept windows, 9.4 KB a series. Growing a forest takes
//! about as long as judging 1,000 windows, so at most eight are grown in one window.

mod config;
mod features;
mod forest;
mod series;
#[cfg(test)]
mod tests;

pub use config::Config;
use foreshock_detector::{
    About, Detector, Fault, Finding, Kind, Row, Series, SeriesMap, Setup, Severity, State, Verdict, Window,
};
use series::{Model, Opinion};

/// Layout of the saved state.
const SCHEMA: u32 = 2;
/// Forests grown in one window.
const GROWN_AT_ONCE: usize = 8;
/// Findings told in one window, the most surprising ones.
const MAX_FINDINGS: usize = 64;

/// The forests of one service.
#[derive(Debug)]
pub struct IsolationForest {
    config: Config,
    seed: u64,
    step: f64,
    series: SeriesMap<Model>,
}

impl Detector for IsolationForest {
    type Config = Config;

    fn about() -> About {
        About {
            name: "isolation-forest",
            version: env!("CARGO_PKG_VERSION"),
            config_schema: config::SCHEMA.to_owned(),
            state_schema: SCHEMA,
            warmup_windows: Config::default().minimum_samples,
            kinds: vec![Kind::Gauge, Kind::Rate, Kind::Quantile, Kind::SpanRate, Kind::SpanErrors, Kind::SpanDuration],
        }
    }

    fn open(setup: Setup<Config>, saved: Option<State>) -> Result<Self, Fault> {
        setup.config.check()?;
        let limit = setup.config.max_series as usize;
        let series = match saved {
            Some(state) => state.decode::<SeriesMap<Model>>(SCHEMA)?.with_limit(limit),
            None => SeriesMap::new(limit),
        };
        Ok(Self { step: setup.step_seconds(), seed: setup.seed, config: setup.config, series })
    }

    fn observe(&mut self, window: &Window) -> Result<Verdict, Fault> {
        self.series.follow(window, |_| Model::new());
        let mut verdict = Verdict::silent(window);
        let mut grown = 0;
        for (score, row) in verdict.scores.iter_mut().zip(window.rows()) {
            let Some((series, model)) = self.series.get_mut(row.id) else { continue };
            let count = row.count as f64;
            let opinion = model.judge(series.kind, row.value, count, self.step);
            if let Some(opinion) = &opinion {
                *score = opinion.score;
                let is_odd = opinion.score >= self.config.threshold;
                if model.streak.step(is_odd, self.config.persistence, self.config.refractory) {
                    verdict.findings.push(finding(series, &row, opinion));
                }
            }
            model.learn(&self.config, row.value, count, opinion.as_ref());
            if grown < GROWN_AT_ONCE && model.is_due(&self.config) {
                model.train(&self.config, series.kind, self.step, self.seed ^ series.fingerprint());
                grown += 1;
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
    let name = &series.name[..series.name.floor_char_boundary(128)];
    let statistic = series
        .attribute("foreshock.statistic")
        .map_or(String::new(), |statistic| format!("{} of ", &statistic[..statistic.floor_char_boundary(16)]));
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
            "{statistic}{name} looks unlike the windows it was trained on, most of all in its {}",
            opinion.telling
        ),
        evidence: vec![("most telling feature".to_owned(), opinion.telling.to_owned())],
    }
}

foreshock_detector::export!(IsolationForest);
