//! Owns what findings say.

use crate::{
    mix::MixOpinion,
    template::{RateOpinion, Weight},
};
use foreshock_detector::{Finding, Series, Severity};

/// A pattern that is new.
#[derive(Clone, Debug)]
pub(crate) struct Novelty {
    pub(crate) id: u32,
    pub(crate) text: String,
    pub(crate) weight: Weight,
    pub(crate) score: f64,
    /// Lines in this window.
    pub(crate) count: u64,
    /// Lines since it is new.
    pub(crate) lines: u64,
}

/// The text of a template, cut for people.
pub(crate) fn text(series: &Series) -> String {
    let text = series.attribute("foreshock.template.text").unwrap_or(&series.name);
    let end = text.floor_char_boundary(160);
    if end < text.len() { format!("{}...", &text[..end]) } else { text.to_owned() }
}

fn severity(weight: Weight) -> Severity {
    match weight {
        Weight::Quiet => Severity::Info,
        Weight::Warning => Severity::Warning,
        Weight::Error => Severity::Error,
    }
}

/// A new pattern, or several at once. `novelties` is not empty, the most telling first.
pub(crate) fn new_patterns(novelties: &[Novelty], seconds: f64) -> Option<Finding> {
    let first = novelties.first()?;
    let word = match first.weight {
        Weight::Quiet => "log",
        Weight::Warning => "warning",
        Weight::Error => "error",
    };
    let lines = if first.lines == 1 { "1 line".to_owned() } else { format!("{} lines", first.lines) };
    let summary = match novelties.len() {
        1 => format!("new {word} pattern '{}', {lines} so far", first.text),
        several => format!("{several} new log patterns at once, most telling '{}', {lines} so far", first.text),
    };
    let others = novelties.iter().skip(1).take(8).enumerate();
    Some(Finding {
        ids: novelties.iter().take(32).map(|novelty| novelty.id).collect(),
        kind: "new_log_pattern".to_owned(),
        severity: severity(first.weight),
        score: first.score,
        observed: Some(first.count as f64 / seconds),
        expected: Some(0.0),
        lower: None,
        upper: None,
        forecast: None,
        summary,
        evidence: others.map(|(k, novelty)| (format!("pattern {}", k + 2), novelty.text.clone())).collect(),
    })
}

/// A pattern whose lines come more or less often than usual.
pub(crate) fn rate(id: u32, series: &Series, weight: Weight, opinion: &RateOpinion, seconds: f64) -> Finding {
    let (observed, expected) = (opinion.observed / seconds, opinion.expected / seconds);
    let verb = if opinion.is_rise { "more" } else { "less" };
    Finding {
        ids: vec![id],
        kind: "log_rate".to_owned(),
        severity: if opinion.is_rise { severity(weight) } else { Severity::Info },
        score: opinion.score,
        observed: Some(observed),
        expected: Some(expected),
        lower: None,
        upper: None,
        forecast: None,
        summary: format!("log pattern '{}' comes {verb} often: {observed:.2}/s, usually {expected:.2}/s", text(series)),
        evidence: Vec::new(),
    }
}

/// More errors among the lines than usual.
pub(crate) fn mix(ids: Vec<u32>, opinion: &MixOpinion, seconds: f64, rate: f64) -> Finding {
    let is_harm = opinion.observed >= 0.05 && opinion.errors >= 10.0;
    Finding {
        ids,
        kind: "log_rate".to_owned(),
        severity: if is_harm { Severity::Error } else { Severity::Warning },
        score: opinion.score,
        observed: Some(rate),
        expected: None,
        lower: None,
        upper: None,
        forecast: None,
        summary: format!(
            "errors are {:.1} % of the log records of the last minute or so, usually {:.2} %",
            100.0 * opinion.observed,
            100.0 * opinion.expected
        ),
        evidence: vec![(
            "error records in the last windows".to_owned(),
            format!("{} in windows of {seconds} s", opinion.errors),
        )],
    }
}
