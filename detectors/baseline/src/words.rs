//! Owns what a finding says.

use crate::{run::Change, series::Opinion};
use foreshock_detector::{Finding, Kind, Row, Series, Severity, math};

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
    let unit = if series.unit.is_empty() || series.unit == "1" {
        String::new()
    } else {
        format!(" {}", cut(&series.unit, 24))
    };
    let number = |value: f64| format!("{}{unit}", short(value));
    let season = if opinion.seasonal { " at this time of the day" } else { "" };
    let summary = format!(
        "{} {verb} {}, expected {} ({} to {}){season}",
        label(series),
        number(row.value),
        number(opinion.expected),
        short(opinion.lower),
        number(opinion.upper),
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

/// A series in a few words: its name, and the attributes that tell it from its siblings.
fn label(series: &Series) -> String {
    let statistic = series
        .attribute("foreshock.statistic")
        .map_or(String::new(), |statistic| format!("{} of ", cut(statistic, 16)));
    let mut label = format!("{statistic}{}", cut(&series.name, 96));
    let telling = series.attributes.iter().filter(|(key, _)| key != "foreshock.statistic" && key != "span.kind");
    for (k, (key, value)) in telling.take(3).enumerate() {
        label.push_str(if k == 0 { " with " } else { ", " });
        label.push_str(cut(key, 40));
        label.push('=');
        label.push_str(cut(value, 48));
    }
    label
}

/// At most `most` bytes of a text.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// A number with three significant digits.
fn short(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e15).contains(&size) {
        return format!("{value:.2e}");
    }
    let digits = if size == 0.0 { 0.0 } else { math::floor(math::log10(size)) };
    let decimals = (2.0 - digits).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
