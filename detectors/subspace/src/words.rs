//! Owns what a finding says.

use crate::series::Opinion;
use foreshock_detector::{
    Finding, Row, Series, Severity,
    words::{cut, label, number, short},
};

/// The finding for one odd window.
pub(crate) fn finding(series: &Series, row: &Row, opinion: &Opinion) -> Finding {
    let is_outside = row.value > opinion.upper || row.value < opinion.lower;
    let (kind, verb) = match (opinion.by_course && !is_outside, row.value >= opinion.expected) {
        (true, _) => ("distribution", "takes no course that it usually takes:"),
        (false, true) => ("spike", "is above its usual course:"),
        (false, false) => ("dip", "is below its usual course:"),
    };
    let summary = format!(
        "{} {verb} {}, the last windows led to {} ({} to {})",
        label(series),
        number(row.value, &series.unit),
        short(opinion.expected),
        short(opinion.lower),
        number(opinion.upper, &series.unit),
    );
    Finding {
        ids: vec![row.id],
        kind: kind.to_owned(),
        severity: Severity::Warning,
        score: opinion.score,
        observed: Some(row.value),
        expected: Some(opinion.expected),
        lower: Some(opinion.lower),
        upper: Some(opinion.upper),
        forecast: None,
        summary: cut(&summary, 512).to_owned(),
        evidence: vec![(
            "judged by".to_owned(),
            if opinion.by_course { "the course of the last 24 windows" } else { "the newest window" }.to_owned(),
        )],
    }
}
