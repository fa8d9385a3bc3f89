//! Owns the forest of a service as a whole: tells when several series are odd together, each of them too little to be told alone.
//!
//! What it looks at is one number a window, the mean surprise of the service's series, with the same features and the same calibration as
//! a series: its value, change, rolling mean, rolling deviation and z-score. Surprises of dependent series are not added up as if they
//! were independent (Fisher 1925); how large their mean usually becomes is learned instead.

use crate::{
    Config,
    series::{Model, Opinion},
};
use foreshock_detector::{
    Finding, Kind, Row, Series, Severity,
    words::{cut, label, number, short},
};
use serde::{Deserialize, Serialize};

/// Series that must have a score for their mean to say something, and series that must be odd for a finding about the service.
const TOGETHER: usize = 3;
/// Surprise from which a series is one of those: one window in a hundred.
const ODD: f64 = 2.0;
/// No series counts for more, so that none makes the service odd by itself.
const MOST: f64 = 4.0;
/// Surprise of the service from which a window is doubtful, and how far it is trusted to be usual. What many series have in common lasts; were
/// its first windows learned like others, it would be usual before it is told.
const DOUBTFUL: f64 = 3.0;
const DOUBTED: f64 = 0.1;
/// Series that a finding names.
const NAMED: usize = 8;
/// Sets its random numbers apart from those of the series.
const SEED: u64 = 0x5e21_1ce5;

/// What the series of one window have in common.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    scored: usize,
    /// Of surprises, none of which counts for more than [`MOST`].
    sum: f64,
    odd: Vec<Odd>,
}

/// A series that is odd.
#[derive(Debug)]
struct Odd {
    id: u32,
    score: f64,
    value: f64,
    expected: f64,
    usual: (f64, f64),
    label: String,
    unit: String,
}

impl Gathered {
    pub(crate) fn clear(&mut self) {
        self.scored = 0;
        self.sum = 0.0;
        self.odd.clear();
    }

    pub(crate) fn add(&mut self, series: &Series, row: &Row, opinion: &Opinion) {
        self.scored += 1;
        self.sum += opinion.score.min(MOST);
        if opinion.score >= ODD {
            self.odd.push(Odd {
                id: row.id,
                score: opinion.score,
                value: row.value,
                expected: opinion.expected,
                usual: opinion.usual,
                label: label(series),
                unit: series.unit.clone(),
            });
        }
    }
}

impl Odd {
    fn words(&self) -> String {
        let (low, high) = self.usual;
        format!("{}: {}, usually {} to {}", self.label, number(self.value, &self.unit), short(low), short(high))
    }
}

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
    pub(crate) fn judge(&mut self, config: &Config, step: f64, seed: u64, gathered: &Gathered) -> Option<Finding> {
        if gathered.scored < TOGETHER {
            return None;
        }
        let many = gathered.scored as f64;
        let mean = gathered.sum / many;
        let model = &mut self.0;
        let opinion = model.judge(Kind::Gauge, mean, many, step);
        let finding = opinion.as_ref().and_then(|opinion| {
            let is_high = opinion.score >= config.threshold && mean > opinion.expected;
            let is_odd = is_high && gathered.odd.len() >= TOGETHER;
            let is_told = model.streak.step(is_odd, config.persistence, config.refractory);
            is_told.then(|| finding(gathered, mean, opinion)).flatten()
        });
        let is_doubtful = opinion.as_ref().is_some_and(|opinion| opinion.score >= DOUBTFUL);
        model.learn(config, mean, many, opinion.as_ref(), if is_doubtful { DOUBTED } else { 1.0 });
        if model.is_due(config) {
            model.train(config, Kind::Gauge, step, seed ^ SEED);
        }
        finding
    }
}

/// Stands beside the most odd series; `None` where none is.
fn finding(gathered: &Gathered, mean: f64, opinion: &Opinion) -> Option<Finding> {
    let mut odd: Vec<&Odd> = gathered.odd.iter().collect();
    odd.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    odd.truncate(NAMED);
    let first = odd.first()?;
    let (many, of) = (gathered.odd.len(), gathered.scored);
    let summary = format!("{many} of {of} series are odd together, most of all {}", first.words());
    let (low, high) = first.usual;
    let outside = !(low..=high).contains(&first.value);
    let usually = format!("{}, usually about {}", short(mean), short(opinion.expected));
    let mut evidence = vec![("mean surprise of the series".to_owned(), usually)];
    for (k, odd) in odd.iter().enumerate().skip(1) {
        evidence.push((format!("series {}", k + 1), cut(&odd.words(), 256).to_owned()));
    }
    Some(Finding {
        ids: odd.iter().map(|odd| odd.id).collect(),
        kind: "joint".to_owned(),
        severity: Severity::Warning,
        score: opinion.score,
        observed: Some(first.value),
        expected: Some(first.expected),
        lower: outside.then_some(low),
        upper: outside.then_some(high),
        summary: cut(&summary, 512).to_owned(),
        evidence,
        ..Finding::default()
    })
}
