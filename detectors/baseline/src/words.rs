//! Owns what a finding says.

use crate::{run::Change, series::Opinion};
use foreshock_detector::{
    Finding, Kind, Row, Series, Severity,
    words::{cut, label, number, short},
};

/// The finding for one odd window.
pub(crate) fn finding(series: &Series, row: &Row, opinion: &Opinion, change: Change) -> Finding {
    let name = match change {
        Change::Spike => "spike",
        Change::Dip => "dip",
        Change::LevelShift => "level_shift",
        Change::Trend => "trend",
    };
    let verb = match (change, opinion.above) {
        (Change::Trend, true) => "keeps rising:",
        (Change::Trend, false) => "keeps falling:",
        (Change::LevelShift, true) => "has stayed above its usual level:",
        (Change::LevelShift, false) => "has stayed below its usual level:",
        (_, true) => "jumped:",
        (_, false) => "dropped:",
    };
    let season = if opinion.seasonal { " at this time of the day" } else { "" };
    let summary = format!(
        "{} {verb} {}, expected {} ({} to {}){season}",
        label(series),
        number(row.value, &series.unit),
        number(opinion.expected, &series.unit),
        short(opinion.lower),
        number(opinion.upper, &series.unit),
    );
    Finding {
        ids: vec![row.id],
        kind: name.to_owned(),
        severity: severity(series.kind, row, opinion),
        score: opinion.score,
        observed: Some(row.value),
        expected: Some(opinion.expected),
        lower: Some(opinion.lower),
        upper: Some(opinion.upper),
        forecast: None,
        summary: cut(&summary, 512).to_owned(),
        evidence: vec![
            (
                "judged by".to_owned(),
                if opinion.by_drift { "mean of the last windows" } else { "this window" }.to_owned(),
            ),
            ("samples".to_owned(), row.count.to_string()),
        ],
    }
}

/// Errors and slowness hurt; more traffic or a moving gauge may; fewer errors and more speed don't.
fn severity(kind: Kind, row: &Row, opinion: &Opinion) -> Severity {
    let (value, expected) = (row.value, opinion.expected);
    match (kind, opinion.above) {
        (Kind::SpanErrors, true) if value >= 0.5 && row.count >= 20 => Severity::Critical,
        (Kind::SpanErrors, true) if value >= 0.05 => Severity::Error,
        (Kind::SpanDuration, true) if value >= 2.0 * expected => Severity::Error,
        (Kind::SpanErrors | Kind::SpanDuration, false) => Severity::Info,
        (Kind::SpanRate, false) if value <= 0.2 * expected => Severity::Error,
        _ => Severity::Warning,
    }
}
