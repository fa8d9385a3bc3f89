//! Owns what a finding says.

use crate::metric::{By, Metric};
use foreshock_detector::{
    Finding, Kind, Series, Severity,
    words::{cut, label, number, short},
};

/// The finding while a service is odd; `guilty` are its series with their ids, the most odd first, at least one.
pub(crate) fn finding(
    guilty: &[(u32, &Series, &Metric)],
    of: usize,
    oddness: f64,
    threshold: f64,
    age: u32,
    score: f64,
) -> Option<Finding> {
    let (_, series, metric) = guilty.first()?;
    let (mut lower, mut upper) = (metric.expected - metric.reach, metric.expected + metric.reach);
    let mut expected = metric.expected;
    if series.kind != Kind::Gauge {
        (lower, upper, expected) = (lower.max(0.0), upper.max(0.0), expected.max(0.0));
    }
    let why = |by: By| match by {
        By::Recent => "against its own last windows",
        By::Day => "at this time of the day",
        By::Others => "by what the other series do",
    };
    let summary = format!(
        "{} of {of} series are odd together, most of all {}: {}, expected {} ({} to {}) {}",
        guilty.len(),
        label(series),
        number(metric.value, &series.unit),
        short(expected),
        short(lower),
        number(upper, &series.unit),
        why(metric.by),
    );
    let mut evidence = vec![
        ("oddness".to_owned(), format!("{} times the habitual, told from {}", short(oddness), short(threshold))),
        ("began".to_owned(), format!("{age} windows ago")),
    ];
    for (k, (_, series, metric)) in guilty.iter().enumerate().skip(1).take(9) {
        let text = format!(
            "{}: {}, expected {} {}",
            label(series),
            number(metric.value, &series.unit),
            short(metric.expected),
            why(metric.by)
        );
        evidence.push((format!("series {}", k + 1), cut(&text, 256).to_owned()));
    }
    Some(Finding {
        ids: guilty.iter().map(|(id, _, _)| *id).collect(),
        kind: "joint".to_owned(),
        severity: Severity::Warning,
        score,
        observed: Some(metric.value),
        expected: Some(expected),
        lower: Some(lower.min(upper)),
        upper: Some(upper),
        forecast: None,
        summary: cut(&summary, 512).to_owned(),
        evidence,
    })
}
