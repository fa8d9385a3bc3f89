//! Owns what a finding says.

use crate::trend::Outlook;
use foreshock_detector::{
    Finding, Forecast, Series, Severity,
    words::{label, number, short},
};

/// A limit this near, in seconds, is harm about to be done.
const SOON: f64 = 3_600.0;
/// Longest time that is said, in seconds: ten years.
const LONGEST: f64 = 315_360_000.0;
/// Surprise of a warning, whatever it is about: false ones were raised in about one of ten thousand windows of generated calm.
const SURPRISE: f64 = 4.0;

/// The finding for one window in which the series is warned of.
pub(crate) fn finding(series: &Series, value: f64, limit: f64, outlook: Outlook, end_ns: u64) -> Finding {
    let at = |seconds: f64| {
        let seconds = if seconds.is_finite() { seconds.clamp(0.0, LONGEST) } else { LONGEST };
        end_ns.saturating_add((seconds * 1e9) as u64)
    };
    let reaches_ns = at(outlook.reaches);
    let forecast = Forecast {
        limit,
        reaches_ns,
        earliest_ns: at(outlook.earliest).min(reaches_ns),
        latest_ns: at(outlook.latest).max(reaches_ns),
    };
    let summary = format!(
        "{} is at {} and on its way to its limit of {}: in about {}, 80 % sure of {} to {}",
        label(series),
        amount(value, limit, &series.unit),
        amount(limit, limit, &series.unit),
        span(outlook.reaches),
        span(outlook.earliest),
        span(outlook.latest),
    );
    Finding {
        ids: vec![series.id],
        kind: "trend".to_owned(),
        severity: if outlook.reaches <= SOON { Severity::Error } else { Severity::Warning },
        score: SURPRISE,
        observed: Some(value),
        expected: None,
        lower: None,
        upper: None,
        forecast: Some(forecast),
        summary: summary[..summary.floor_char_boundary(512)].to_owned(),
        evidence: vec![("rising for".to_owned(), span(outlook.looked_at))],
    }
}

/// A value in words: shares of a whole in percent, bytes in a unit that fits.
fn amount(value: f64, limit: f64, unit: &str) -> String {
    match unit {
        "1" if (0.0..=1.0).contains(&limit) => format!("{} %", short(100.0 * value)),
        "By" => {
            let units = [("GiB", 1_073_741_824.0), ("MiB", 1_048_576.0), ("KiB", 1_024.0)];
            let fitting = units.into_iter().find(|(_, size)| value.abs() >= *size);
            fitting.map_or_else(|| number(value, unit), |(name, size)| number(value / size, name))
        }
        _ => number(value, unit),
    }
}

/// Seconds in words.
fn span(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3_600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}
