//! Owns what a finding says.

use crate::series::{Change, Shift};
use foreshock_detector::{
    Finding, Kind, Series, Severity,
    words::{cut, label, number, short},
};

/// What a series was before and is since its change. Severity info: a change is context for others, never an alarm of its own.
pub(crate) fn finding(id: u32, series: &Series, shift: &Shift) -> Finding {
    let is_spread = matches!(shift.change, Change::Wider | Change::Narrower);
    let (observed, expected) = (shift.after, shift.before);
    let reach = 3.0 * shift.deviation;
    let (mut lower, mut upper) =
        if is_spread { (0.5 * expected, 2.0 * expected) } else { (expected - reach, expected + reach) };
    if series.kind != Kind::Gauge {
        (lower, upper) = (lower.max(0.0), upper.max(0.0));
    }
    let (kind, verb) = match shift.change {
        Change::Level if observed >= expected => ("level_shift", "went to a higher level:"),
        Change::Level => ("level_shift", "went to a lower level:"),
        Change::Trend if observed >= expected => ("trend", "began to rise:"),
        Change::Trend => ("trend", "began to fall:"),
        Change::Wider => ("distribution", "began to swing more widely:"),
        Change::Narrower => ("distribution", "swings less than before:"),
    };
    let what = if is_spread { "by about " } else { "" };
    let ago = shift.delay + shift.age;
    let summary = format!(
        "{} {verb} {what}{} since {ago} windows, before {} ({} to {})",
        label(series),
        number(observed, &series.unit),
        short(expected),
        short(lower),
        number(upper, &series.unit),
    );
    Finding {
        ids: vec![id],
        kind: kind.to_owned(),
        severity: Severity::Info,
        score: shift.score,
        observed: Some(observed),
        expected: Some(expected),
        lower: Some(lower),
        upper: Some(upper),
        forecast: None,
        summary: cut(&summary, 512).to_owned(),
        evidence: vec![
            ("began_unix_ns".to_owned(), shift.since_ns.to_string()),
            ("began".to_owned(), format!("{ago} windows ago")),
        ],
    }
}

/// One finding for a service of which many series changed together, from their own findings, the most surprising first.
pub(crate) fn together(parts: &[Finding], began_ns: u64, of: usize) -> Option<Finding> {
    let first = parts.first()?;
    let summary = format!("{} of {of} series changed together; first of all {}", parts.len(), first.summary);
    let mut evidence = vec![("began_unix_ns".to_owned(), began_ns.to_string())];
    evidence.extend(
        parts
            .iter()
            .take(12)
            .enumerate()
            .map(|(k, part)| (format!("change {}", k + 1), cut(&part.summary, 256).to_owned())),
    );
    Some(Finding {
        ids: parts.iter().take(64).flat_map(|part| part.ids.clone()).collect(),
        summary: cut(&summary, 512).to_owned(),
        evidence,
        ..first.clone()
    })
}
