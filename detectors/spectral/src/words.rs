//! Owns what a finding says.

use crate::series::Opinion;
use foreshock_detector::{
    Finding, Row, Series, Severity,
    words::{cut, label, number, short},
};

/// The finding for one odd window.
pub(crate) fn finding(series: &Series, row: &Row, opinion: &Opinion) -> Finding {
    let kind = if opinion.value >= opinion.expected { "spike" } else { "dip" };
    let summary = format!(
        "{} stands out of its rhythm: {}, its course led to {} ({} to {})",
        label(series),
        number(opinion.value, &series.unit),
        short(opinion.expected),
        short(opinion.lower),
        number(opinion.upper, &series.unit),
    );
    Finding {
        ids: vec![row.id],
        kind: kind.to_owned(),
        severity: Severity::Warning,
        score: opinion.score,
        observed: Some(opinion.value),
        expected: Some(opinion.expected),
        lower: Some(opinion.lower),
        upper: Some(opinion.upper),
        forecast: None,
        summary: cut(&summary, 512).to_owned(),
        evidence: vec![("saliency".to_owned(), format!("{} times the mean above it", short(opinion.saliency)))],
    }
}
