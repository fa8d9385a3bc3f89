//! Owns what a finding says.

use crate::trend::Outlook;
use foreshock_detector::{
    Finding, Forecast, Series, Severity,
    math::rint,
    words::{label, number, short},
};
use std::fmt::{self, Write};

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
    // Room for what is usually said.
    let mut summary = String::with_capacity(192);
    let _ = write!(
        summary,
        "{} is at {} and on its way to its limit of {}: in about {}, 80 % sure of {} to {}",
        label(series),
        amount(value, limit, &series.unit),
        amount(limit, limit, &series.unit),
        Span(outlook.reaches),
        Span(outlook.earliest),
        Span(outlook.latest),
    );
    summary.truncate(summary.floor_char_boundary(512));
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
        summary,
        evidence: vec![("rising for".to_owned(), Span(outlook.looked_at).to_string())],
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
struct Span(f64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, unit) = match self.0 {
            s if s < 120.0 => (1.0, "s"),
            s if s < 7_200.0 => (60.0, "min"),
            s if s < 172_800.0 => (3_600.0, "h"),
            _ => (86_400.0, "days"),
        };
        // Whole numbers are written at a quarter of what those with a fraction cost, and this is done for every window of a warning.
        write!(f, "{} {unit}", rint(self.0.clamp(0.0, LONGEST) / size) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// People read these: a whole number in a unit that fits, half to even as everywhere else, and never "inf".
    #[test]
    fn spans_are_whole_numbers() {
        let said = [-3.0, 0.5, 119.6, 150.0, 7_199.0, 7_200.0, 172_800.0, f64::INFINITY].map(|s| Span(s).to_string());
        assert_eq!(said, ["0 s", "0 s", "120 s", "2 min", "120 min", "2 h", "2 days", "3650 days"]);
        for tenths in 0..3_000_u32 {
            let seconds = f64::from(tenths) / 10.0;
            let (size, unit) = if seconds < 120.0 { (1.0, "s") } else { (60.0, "min") };
            assert_eq!(Span(seconds).to_string(), format!("{:.0} {unit}", seconds / size));
        }
    }
}
