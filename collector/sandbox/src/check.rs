//! Checks what a guest answers against the contract, and turns it into the engine's types.
//!
//! A guest's number is never believed: each is checked for its range, and one that is out of range makes the whole verdict
//! a fault.

use crate::{
    bindings::foreshock::detector::types,
    registry::{Kinds, Registry},
    text::clean,
};
use foreshock_engine::{
    UnixNanos,
    verdict::{Finding, Forecast, Severity, Verdict},
};

const SURPRISE: std::ops::RangeInclusive<f64> = 0.0..=16.0;
const MOST_FINDINGS: usize = 256;
const MOST_IDS: usize = 64;
const MOST_EVIDENCE: usize = 16;
const LONGEST_KIND: usize = 64;
const LONGEST_SUMMARY: usize = 512;
const LONGEST_KEY: usize = 64;
const LONGEST_VALUE: usize = 256;

/// What a verdict is about.
pub(crate) struct Subject<'a> {
    /// The ids that the guest was given.
    pub(crate) ids: &'a [u32],
    /// End of the window.
    pub(crate) end: UnixNanos,
    /// All open series, and those of them that the guest was told of.
    pub(crate) registry: &'a Registry,
    pub(crate) kinds: Kinds,
    /// The most findings that the detector may have; never more than the contract allows.
    pub(crate) findings: usize,
}

/// The verdict, or the first thing that is wrong with it.
pub(crate) fn verdict(verdict: types::Verdict, subject: &Subject<'_>) -> Result<Verdict, String> {
    if verdict.scores.len() != subject.ids.len() {
        return Err(format!("{} scores for {} series", verdict.scores.len(), subject.ids.len()));
    }
    let mut scores = Vec::with_capacity(subject.ids.len());
    for (&id, &score) in subject.ids.iter().zip(&verdict.scores) {
        if SURPRISE.contains(&score) {
            scores.push((id, score));
        } else if !score.is_nan() {
            return Err(format!("score {score} is out of range"));
        }
    }
    if verdict.findings.len() > subject.findings.min(MOST_FINDINGS) {
        return Err(format!("{} findings in one window", verdict.findings.len()));
    }
    let findings = verdict.findings.into_iter().map(|found| finding(found, subject)).collect::<Result<_, _>>()?;
    Ok(Verdict { scores, findings })
}

fn finding(finding: types::Finding, subject: &Subject<'_>) -> Result<Finding, String> {
    let kind_character = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || c == b'.';
    if !(1..=LONGEST_KIND).contains(&finding.kind.len()) || !finding.kind.bytes().all(kind_character) {
        return Err(format!("{:?} is no kind of finding", clean(&finding.kind, LONGEST_KIND)));
    }
    let kind = finding.kind;
    series(&finding.ids, subject).map_err(|why| format!("a {kind} {why}"))?;
    if !SURPRISE.contains(&finding.score) {
        return Err(format!("a {kind} has score {}", finding.score));
    }
    for number in [finding.observed, finding.expected, finding.lower, finding.upper].into_iter().flatten() {
        if !number.is_finite() {
            return Err(format!("a {kind} has a number that is {number}"));
        }
    }
    if let (Some(lower), Some(upper)) = (finding.lower, finding.upper)
        && lower > upper
    {
        return Err(format!("a {kind} has bounds {lower} to {upper}"));
    }
    if finding.summary.len() > LONGEST_SUMMARY {
        return Err(format!("a {kind} has a summary of {} bytes", finding.summary.len()));
    }
    let fits = |(key, value): &(String, String)| (1..=LONGEST_KEY).contains(&key.len()) && value.len() <= LONGEST_VALUE;
    if finding.evidence.len() > MOST_EVIDENCE || !finding.evidence.iter().all(fits) {
        return Err(format!("a {kind} has too much evidence"));
    }
    let evidence = finding.evidence.iter();
    Ok(Finding {
        ids: finding.ids,
        severity: match finding.severity {
            types::Severity::Info => Severity::Info,
            types::Severity::Warning => Severity::Warning,
            types::Severity::Error => Severity::Error,
            types::Severity::Critical => Severity::Critical,
        },
        score: finding.score,
        observed: finding.observed,
        expected: finding.expected,
        lower: finding.lower,
        upper: finding.upper,
        forecast: finding
            .forecast
            .map(|it| forecast(it, subject))
            .transpose()
            .map_err(|why| format!("a {kind} {why}"))?,
        summary: clean(&finding.summary, LONGEST_SUMMARY),
        evidence: evidence.map(|(key, value)| (clean(key, LONGEST_KEY), clean(value, LONGEST_VALUE))).collect(),
        kind: kind.into(),
    })
}

fn series(ids: &[u32], subject: &Subject<'_>) -> Result<(), String> {
    if !(1..=MOST_IDS).contains(&ids.len()) {
        return Err(format!("names {} series", ids.len()));
    }
    // Few enough for comparing each with each.
    if ids.iter().enumerate().any(|(index, id)| ids[..index].contains(id)) {
        return Err("names a series twice".into());
    }
    match ids.iter().find(|&&id| !subject.registry.contains(id, subject.kinds)) {
        Some(id) => Err(format!("names series {id}, which is not open")),
        None => Ok(()),
    }
}

fn forecast(forecast: types::Forecast, subject: &Subject<'_>) -> Result<Forecast, String> {
    let times = [subject.end.0, forecast.earliest_ns, forecast.reaches_ns, forecast.latest_ns];
    if !forecast.limit.is_finite() || !times.is_sorted() {
        return Err("forecasts at times that are not in order, or no finite limit".into());
    }
    Ok(Forecast {
        limit: forecast.limit,
        reaches: UnixNanos(forecast.reaches_ns),
        earliest: UnixNanos(forecast.earliest_ns),
        latest: UnixNanos(forecast.latest_ns),
    })
}
