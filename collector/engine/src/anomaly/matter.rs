//! Whether a deviation matters in practice, however sure a detector is that it is one.
//!
//! A finding is heard if what it saw is far enough from what it expected. Changes are compared as ratios, so that half counts
//! as much as double:
//!
//! | series | ratio, less 1, at least | and apart by at least |
//! | --- | --- | --- |
//! | times: durations of spans, and metrics in a unit of time | twice `relative` | `seconds` |
//! | shares: error share | `relative` | `error_share` |
//! | shares: other metrics in `%`, or in `1` that stay between 0 and 1 | none | `share` |
//! | rates of calls, log records and whatever else is counted | twice `relative` | `per_second` |
//! | rates in other units | twice `relative` | nothing |
//! | numbers of things (units such as `{connection}`) | twice `relative` | 2 |
//! | everything else | `relative` | nothing |
//!
//! Half of it keeps an open anomaly going. Forecasts, new log patterns and silence are not measured this way. Where a detector
//! does not say what it expected, what it saw must be that far from 0.
//!
//! A change for the better (faster, fewer errors, a resource less used) is worth knowing and no more, see
//! `is_improvement`.

use crate::{
    event::Anomaly,
    window::{Series, SeriesKind},
};

/// What a deviation must amount to. The fields are explained above.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatterSettings {
    /// Ratio of the larger to the smaller value, less 1. 0.25 is "a quarter more".
    pub relative: f64,
    /// Seconds.
    pub seconds: f64,
    /// Share of calls that fail, 0 to 1.
    pub error_share: f64,
    /// Share of a whole, 0 to 1.
    pub share: f64,
    /// Calls, records or other things counted, per second.
    pub per_second: f64,
}

impl Default for MatterSettings {
    fn default() -> Self {
        Self { relative: 0.25, seconds: 0.005, error_share: 0.01, share: 0.05, per_second: 0.1 }
    }
}

impl MatterSettings {
    /// Whether `observed` is far enough from `expected`. `ease` is 1, or less for what is known to be odd already.
    pub(super) fn matters(&self, series: &Series, observed: f64, expected: f64, ease: f64) -> bool {
        let apart = (observed - expected).abs();
        let (small, large) = (observed.abs().min(expected.abs()), observed.abs().max(expected.abs()));
        // Values of opposite signs have no ratio; nor has anything to 0.
        let ratio = if observed * expected > 0.0 { large / small - 1.0 } else { f64::INFINITY };
        let (ratio_floor, floor) = match measure(series, large) {
            Measure::Time(unit) => (2.0 * self.relative, self.seconds / unit),
            Measure::ErrorShare => (self.relative, self.error_share),
            Measure::Share(whole) => (0.0, self.share * whole),
            Measure::CountRate => (2.0 * self.relative, self.per_second),
            Measure::OtherRate => (2.0 * self.relative, 0.0),
            Measure::Things => (2.0 * self.relative, 2.0),
            Measure::Other => (self.relative, 0.0),
        };
        ratio >= ease * ratio_floor && apart >= ease * floor
    }
}

/// On what scale a series is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Measure {
    /// Seconds in one of its unit.
    Time(f64),
    ErrorShare,
    /// What the whole is in its unit.
    Share(f64),
    CountRate,
    OtherRate,
    Things,
    Other,
}

fn measure(series: &Series, large: f64) -> Measure {
    match series.kind {
        SeriesKind::SpanDuration => return Measure::Time(1.0),
        SeriesKind::SpanErrors => return Measure::ErrorShare,
        SeriesKind::SpanRate | SeriesKind::LogTemplate | SeriesKind::LogSeverity => return Measure::CountRate,
        SeriesKind::Gauge | SeriesKind::Rate | SeriesKind::Quantile => {}
    }
    let is_count = series.attribute("foreshock.statistic") == Some("count");
    let unit = series.unit.split('/').next().unwrap_or_default();
    match (series.kind, seconds_in(unit)) {
        (SeriesKind::Rate, _) if is_count || unit.is_empty() || unit == "1" || unit.starts_with('{') => {
            Measure::CountRate
        }
        (SeriesKind::Rate, _) => Measure::OtherRate,
        _ if is_count => Measure::CountRate,
        // Levels that senders made of rates.
        _ if series.unit.ends_with("/s") && unit.starts_with('{') => Measure::CountRate,
        _ if series.unit.ends_with("/s") => Measure::OtherRate,
        (_, Some(seconds)) => Measure::Time(seconds),
        _ if unit == "%" => Measure::Share(100.0),
        _ if unit == "1" && large <= 1.0 => Measure::Share(1.0),
        _ if unit.starts_with('{') => Measure::Things,
        _ => Measure::Other,
    }
}

fn seconds_in(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    })
}

/// Words in the names of metrics of which less is better.
const BURDENS: [&str; 13] = [
    "error",
    "fail",
    "drop",
    "timeout",
    "retr",
    "reject",
    "pending",
    "throttl",
    "wait",
    "utilization",
    "usage",
    "saturation",
    "lag",
];

/// Whether less of the series is better.
fn is_burden(series: &Series) -> bool {
    let bad_severity = matches!(series.attribute("log.severity"), Some("warn" | "error" | "fatal"));
    match series.kind {
        SeriesKind::SpanDuration | SeriesKind::SpanErrors => true,
        SeriesKind::SpanRate => false,
        SeriesKind::LogTemplate | SeriesKind::LogSeverity => bad_severity,
        SeriesKind::Gauge | SeriesKind::Rate | SeriesKind::Quantile => {
            let name = series.name.to_lowercase();
            let is_time = matches!(measure(series, f64::INFINITY), Measure::Time(_));
            let failed = series.attribute("error.type").is_some()
                || series.attribute("http.response.status_code").is_some_and(|code| code.starts_with('5'));
            is_time || failed || BURDENS.iter().any(|word| name.contains(word))
        }
    }
}

/// Whether the change is for the better: less of what is better small.
pub(super) fn improves(series: &Series, observed: Option<f64>, expected: Option<f64>) -> bool {
    matches!((observed, expected), (Some(observed), Some(expected)) if observed < expected && is_burden(series))
}

/// Whether an anomaly is a change for the better. Such ones open and corroborate nothing.
pub(crate) fn is_improvement(anomaly: &Anomaly) -> bool {
    anomaly.forecast.is_none() && improves(&anomaly.series, anomaly.observed, anomaly.expected)
}

/// Whether the series only says how long something has been running, since when, or what time it is. That changes at every
/// restart, and a restart is no fault; what a fault does to the service shows elsewhere.
pub(super) fn tells_time(series: &Series) -> bool {
    let name = series.name.to_lowercase();
    let name = name.strip_suffix("_seconds").unwrap_or(&name);
    ["uptime", "start_time", "start.time", "timestamp"].iter().any(|word| name.ends_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, unit: &str, kind: SeriesKind, attributes: &[(&str, &str)]) -> Series {
        let attributes = attributes.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        Series { id: 1, name: name.into(), unit: unit.into(), kind, attributes }
    }

    /// Protects people from alarms over microseconds and fractions of a percent, and the alarms that they do want.
    #[test]
    fn what_is_small_in_practice_does_not_matter() {
        use SeriesKind::{Gauge, Quantile, Rate, SpanDuration, SpanErrors, SpanRate};
        let settings = MatterSettings::default();
        for (name, unit, kind, observed, expected, matters) in [
            ("db.client.connection.wait_time", "s", Quantile, 9.8e-6, 4.2e-6, false),
            ("http.server.request.duration", "s", Quantile, 0.0249, 0.0211, false),
            ("http.server.request.duration", "s", Quantile, 0.032, 0.0211, true),
            ("latency", "ms", Gauge, 32.0, 21.1, true),
            ("latency", "ms", Gauge, 24.0, 20.0, false),
            ("traces.span.metrics.duration", "s", SpanDuration, 0.31, 0.12, true),
            ("traces.span.metrics.errors", "1", SpanErrors, 0.006, 0.001, false),
            ("traces.span.metrics.errors", "1", SpanErrors, 0.03, 0.001, true),
            ("system.cpu.utilization", "1", Gauge, 0.04, 0.02, false),
            ("system.filesystem.utilization", "1", Gauge, 0.83, 0.75, true),
            ("memory", "%", Gauge, 54.0, 50.0, false),
            ("traces.span.metrics.calls", "{}/s", SpanRate, 14.0, 10.0, false),
            ("traces.span.metrics.calls", "{}/s", SpanRate, 0.0, 10.0, true),
            ("traces.span.metrics.calls", "{}/s", SpanRate, 4.0, 10.0, true),
            ("mails", "{mail}", Rate, 0.09, 0.01, false),
            ("io", "By", Rate, 1.4e6, 1e6, false),
            ("io", "By", Rate, 1.6e6, 1e6, true),
            ("db.client.connection.count", "{connection}", Gauge, 3.0, 2.0, false),
            ("db.client.connection.count", "{connection}", Gauge, 30.0, 12.0, true),
            ("process.memory.usage", "By", Gauge, 1.2e9, 1e9, false),
            ("process.memory.usage", "By", Gauge, 1.3e9, 1e9, true),
            ("balance", "EUR", Gauge, -5.0, 5.0, true),
        ] {
            let series = series(name, unit, kind, &[]);
            assert_eq!(settings.matters(&series, observed, expected, 1.0), matters, "{name} {observed} {expected}");
        }
        let open = series("http.server.request.duration", "s", Quantile, &[]);
        assert!(settings.matters(&open, 0.0265, 0.0211, 0.5), "half of it keeps an open one going");
    }

    /// Faster is no trouble, fewer calls may be.
    #[test]
    fn less_is_better_of_times_errors_and_burdens_only() {
        use SeriesKind::{Gauge, LogSeverity, Rate, SpanDuration, SpanErrors, SpanRate};
        for (name, unit, kind, attributes, better) in [
            ("traces.span.metrics.duration", "s", SpanDuration, &[][..], true),
            ("traces.span.metrics.errors", "1", SpanErrors, &[], true),
            ("traces.span.metrics.calls", "{}/s", SpanRate, &[], false),
            ("log.records", "{}/s", LogSeverity, &[("log.severity", "error")], true),
            ("log.records", "{}/s", LogSeverity, &[("log.severity", "info")], false),
            ("http.requests", "{request}", Rate, &[("http.response.status_code", "503")], true),
            ("http.requests", "{request}", Rate, &[("http.response.status_code", "200")], false),
            ("system.cpu.utilization", "1", Gauge, &[], true),
            ("orders", "{order}", Rate, &[], false),
        ] {
            let series = series(name, unit, kind, attributes);
            assert_eq!(improves(&series, Some(1.0), Some(2.0)), better, "{name}");
            assert!(!improves(&series, Some(2.0), Some(1.0)) && !improves(&series, None, Some(1.0)));
        }
    }

    /// Clocks that only say since when something runs jump at each restart.
    #[test]
    fn clocks_are_known_by_their_names() {
        for (name, clock) in [
            ("process.uptime", true),
            ("process_start_time_seconds", true),
            ("jvm.start_time", true),
            ("backup_last_success_timestamp_seconds", true),
            ("queue.wait", false),
        ] {
            assert_eq!(tells_time(&series(name, "s", SeriesKind::Gauge, &[])), clock, "{name}");
        }
    }
}
