//! What a person reads about an anomaly.

use super::units::{clock, format_range, format_value, number};
use crate::{
    event::Anomaly,
    window::{Series, SeriesKind},
};

/// Attributes that say what kind of series it is rather than which one.
const STRUCTURAL: [&str; 6] = [
    "foreshock.statistic",
    "foreshock.template.id",
    "foreshock.template.text",
    "log.severity",
    "span.kind",
    "span.name",
];

/// How a series is called: `p99 latency of POST /pay`, `error share`, `p95 of http.client.request.duration (server.address=db)`.
#[must_use]
pub fn series_label(series: &Series) -> String {
    let statistic = series.attribute("foreshock.statistic");
    let operation = series.attribute("span.name");
    let of_operation = |what: &str| match operation {
        Some(operation) => format!("{what} of {operation}"),
        None => what.to_owned(),
    };
    match series.kind {
        SeriesKind::SpanDuration => of_operation(&format!("{} latency", statistic.unwrap_or("median"))),
        SeriesKind::SpanErrors => of_operation("error share"),
        SeriesKind::SpanRate => of_operation("rate of calls"),
        SeriesKind::LogTemplate => format!("rate of log pattern '{}'", template_text(series)),
        SeriesKind::LogSeverity => {
            format!("rate of {} logs", series.attribute("log.severity").unwrap_or("all"))
        }
        SeriesKind::Gauge | SeriesKind::Rate | SeriesKind::Quantile => {
            let mut label = match (statistic, series.kind) {
                (Some("count"), _) => format!("rate of {}", series.name),
                (Some(statistic), _) => format!("{statistic} of {}", series.name),
                (None, SeriesKind::Rate) => format!("rate of {}", series.name),
                (None, _) => series.name.to_string(),
            };
            let attributes: Vec<String> = series
                .attributes
                .iter()
                .filter(|(key, _)| !STRUCTURAL.contains(&&**key))
                .take(3)
                .map(|(key, value)| format!("{key}={}", cut(value, 40)))
                .collect();
            if !attributes.is_empty() {
                label.push_str(&format!(" ({})", attributes.join(", ")));
            }
            label
        }
    }
}

/// Characters of a log text that a sentence carries.
pub(crate) const MAX_LOG_TEXT: usize = 80;

/// The text of a log template series, cut at 80 characters.
pub(crate) fn template_text(series: &Series) -> String {
    cut(whole_template(series), MAX_LOG_TEXT)
}

/// The text of a log template series.
pub(crate) fn whole_template(series: &Series) -> &str {
    series.attribute("foreshock.template.text").unwrap_or(&series.name)
}

/// `text` with at most `most` characters, cut behind a word where one ends in the last third, with an ellipsis.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(most) else { return text.to_owned() };
    let room = &text[..end];
    let inside_word = !text[end..].starts_with(char::is_whitespace);
    let word_end = room.char_indices().rev().find(|(_, c)| c.is_whitespace()).map(|(at, _)| at);
    let kept = match word_end {
        Some(at) if inside_word && room[..at].chars().count() * 3 >= most * 2 => &room[..at],
        _ => room,
    };
    format!("{}…", kept.trim_end_matches(|c: char| c.is_whitespace() || c == ',' || c == ';' || c == ':'))
}

/// The unit in which a series is shown: rates of calls and records are counts a second, whatever the source wrote.
pub(crate) fn shown_unit(series: &Series) -> &str {
    match series.kind {
        SeriesKind::SpanRate | SeriesKind::LogTemplate | SeriesKind::LogSeverity => "{}/s",
        SeriesKind::SpanErrors => "1",
        SeriesKind::SpanDuration => "s",
        SeriesKind::Gauge | SeriesKind::Rate | SeriesKind::Quantile => &series.unit,
    }
}

/// One sentence with service, values, bounds and since when. `summary` is what the detector says, for findings without
/// values.
#[must_use]
pub fn sentence(anomaly: &Anomaly, summary: &str) -> String {
    let service = &anomaly.service;
    let unit = shown_unit(&anomaly.series);
    let label = series_label(&anomaly.series);
    let time = match anomaly.end {
        Some(end) => format!("from {} to {} UTC", clock(anomaly.start), clock(end)),
        None => format!("since {} UTC", clock(anomaly.start)),
    };
    let is = if anomaly.end.is_some() { "was" } else { "is" };
    if let Some(forecast) = &anomaly.forecast {
        let now = anomaly.observed.map(|value| format!(", now {}", format_value(value, unit))).unwrap_or_default();
        let modal = if anomaly.end.is_some() { "was going to" } else { "will" };
        return format!(
            "{service} {label} {modal} reach {} at {} UTC (80 % sure of {} to {}){now}, {time}",
            format_value(forecast.limit, unit),
            clock(forecast.reaches),
            clock(forecast.earliest),
            clock(forecast.latest),
        );
    }
    match (&*anomaly.kind, anomaly.series.kind) {
        ("new_log_pattern", SeriesKind::LogTemplate) => {
            let severity = anomaly.series.attribute("log.severity").unwrap_or("unspecified");
            return format!("{service} logs a new pattern '{}' ({severity}), {time}", template_text(&anomaly.series));
        }
        ("missing_data", _) => {
            let verb = if anomaly.end.is_some() { "did not report" } else { "does not report" };
            return format!("{service} {verb} {}, {time}", anomaly.series.name);
        }
        _ => {}
    }
    let Some(observed) = anomaly.observed else {
        return match summary.is_empty() {
            true => format!("{service} {label} {is} unusual ({}), {time}", anomaly.kind.replace('_', " ")),
            false => format!("{service}: {}, {time}", summary.trim_end_matches('.')),
        };
    };
    let mut text = format!("{service} {label} {is} {}", format_value(observed, unit));
    // What can't be below 0 is not expected there.
    let floor =
        |bound: f64| if observed >= 0.0 && anomaly.expected.unwrap_or(0.0) >= 0.0 { bound.max(0.0) } else { bound };
    let (lower, upper) = (anomaly.lower.map(floor), anomaly.upper);
    // Bounds that hold what was seen explain nothing: the finding is about something else, such as the mean of some windows.
    let inside = lower.is_none_or(|lower| observed >= lower) && upper.is_none_or(|upper| observed <= upper);
    let bounds = if inside { (None, None) } else { (lower, upper) };
    match (bounds.0, bounds.1, anomaly.expected) {
        (Some(lower), Some(upper), _) => text.push_str(&format!(", expected {}", format_range(lower, upper, unit))),
        (None, Some(upper), _) => text.push_str(&format!(", expected at most {}", format_value(upper, unit))),
        (Some(lower), None, _) => text.push_str(&format!(", expected at least {}", format_value(lower, unit))),
        (None, None, Some(expected)) => text.push_str(&format!(", expected about {}", format_value(expected, unit))),
        (None, None, None) => text.push_str(&format!(", which is unusual ({})", anomaly.kind.replace('_', " "))),
    }
    text.push_str(&format!(", {time}"));
    if let Some(change) = anomaly.expected.and_then(|expected| relative(observed, expected, unit)) {
        text.push_str(&format!(" ({change})"));
    }
    text
}

/// `+158 % over 120 ms`, `-60 % under 10/s`, or `12 times 3 ms`; nothing where the change is small or has no base.
fn relative(observed: f64, expected: f64, unit: &str) -> Option<String> {
    let base = format_value(expected, unit);
    let ratio = observed / expected;
    match ratio {
        r if !r.is_finite() || expected.abs() < 1e-12 || r < 0.0 => None,
        r if r >= 10.0 => Some(format!("{} times {base}", number(r.round()))),
        r if r >= 1.01 => Some(format!("+{} % over {base}", number(((r - 1.0) * 100.0).round()))),
        r if r <= 0.99 => Some(format!("-{} % under {base}", number(((1.0 - r) * 100.0).round()))),
        _ => None,
    }
}
