//! Owns the forest of a service as a whole: tells when several series are odd together, each of them too little to be told alone.
//!
//! What it looks at is one number a window, the mean surprise of the service's series, with the same features and the same calibration as
//! a series: its value, change, rolling mean, rolling deviation and z-score. Surprises of dependent series are not added up as if they
//! were independent (Fisher 1925); how large their mean usually becomes is learned instead.

use crate::{Config, series::Model};
use foreshock_detector::{Finding, Kind, Severity, Verdict, Window, words::short};
use serde::{Deserialize, Serialize};

/// Series that must have a score for their mean to say something, and series that must be odd for a finding about the service.
const TOGETHER: usize = 3;
/// Surprise from which a series is one of those: one window in a hundred.
const ODD: f64 = 2.0;
/// No series counts for more, so that none makes the service odd by itself.
const MOST: f64 = 4.0;
/// Series that a finding names.
const NAMED: usize = 8;
/// Sets its random numbers apart from those of the series.
const SEED: u64 = 0x5e21_1ce5;

/// What is known of the service.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Service(Model);

impl Service {
    pub(crate) fn new() -> Self {
        Self(Model::new())
    }

    /// Whether what was restored can be worked with.
    pub(crate) fn is_sane(&self) -> bool {
        self.0.is_sane()
    }

    /// Judges a window by what was said of its series, and learns from it.
    pub(crate) fn judge(
        &mut self,
        config: &Config,
        (step, seed): (f64, u64),
        window: &Window,
        verdict: &Verdict,
    ) -> Option<Finding> {
        let mut scored: Vec<(f64, u32, f64)> = window
            .rows()
            .zip(&verdict.scores)
            .filter(|(_, score)| !score.is_nan())
            .map(|(row, score)| (*score, row.id, row.value))
            .collect();
        if scored.len() < TOGETHER {
            return None;
        }
        let many = scored.len() as f64;
        let mean = scored.iter().map(|(score, ..)| score.min(MOST)).sum::<f64>() / many;
        let model = &mut self.0;
        let opinion = model.judge(Kind::Gauge, mean, many, step);
        scored.retain(|(score, ..)| *score >= ODD);
        let finding = opinion.as_ref().and_then(|opinion| {
            let is_odd = opinion.score >= config.threshold && mean > opinion.expected && scored.len() >= TOGETHER;
            let is_told = model.streak.step(is_odd, config.persistence, config.refractory);
            is_told.then(|| finding(&mut scored, many, mean, opinion.expected, opinion.score))
        });
        model.learn(config, mean, many, opinion.as_ref());
        if model.is_due(config) {
            model.train(config, Kind::Gauge, step, seed ^ SEED);
        }
        finding
    }
}

/// `odd` are the series that are, with score, id and value: at least three.
fn finding(odd: &mut [(f64, u32, f64)], of: f64, mean: f64, usual: f64, score: f64) -> Finding {
    odd.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let summary = format!(
        "{} of {of} series are odd together: their mean surprise is {}, usually about {}",
        odd.len(),
        short(mean),
        short(usual)
    );
    Finding {
        ids: odd.iter().map(|(_, id, _)| *id).take(NAMED).collect(),
        kind: "joint".to_owned(),
        severity: Severity::Warning,
        score,
        observed: odd.first().map(|(.., value)| *value),
        summary,
        evidence: vec![("mean surprise".to_owned(), format!("{}, usually about {}", short(mean), short(usual)))],
        ..Finding::default()
    }
}
