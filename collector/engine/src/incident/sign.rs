//! What an anomaly is a sign of, and what it is worth when somebody may have to be woken.
//!
//! The signs are the four golden signals of site reliability engineering (latency, errors, traffic, saturation), logs, and what is
//! left: levels, whose meaning only their owner knows, and how busy a machine is.
//!
//! | worth | what |
//! | --- | --- |
//! | harm | slower answers, more failures, more lines of trouble, more that waits, a resource almost used up or about to be |
//! | change | more or fewer requests than usual, another level: it supports what does harm, and proves none |
//! | nothing | bytes, packets, system calls and the like, which follow the requests; changes for the better; doubts about the data |

use crate::{
    anomaly::matter::is_improvement,
    event::Anomaly,
    verdict::Severity,
    window::{Series, SeriesKind},
};

/// What an anomaly is a sign of. What measures the same thing twice, such as spans and a histogram of durations, has one sign and
/// corroborates nothing.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Sign {
    Latency,
    Errors,
    Logs,
    /// Resources that are used up, and what waits for them.
    Saturation,
    /// Requests and messages.
    Traffic,
    /// Whatever else is measured.
    Level,
    /// How busy a machine is.
    Activity,
}

/// What an anomaly is worth as a reason to wake somebody, ascending.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Worth {
    Nothing,
    Change,
    Harm,
}

/// Share of a whole from which a resource counts as almost used up.
const ALMOST_USED_UP: f64 = 0.8;

/// Words in the names of metrics that count failures.
const FAILURES: [&str; 7] = ["error", "fail", "drop", "timeout", "reject", "refus", "throttl"];
/// Words in the names of metrics that count what waits.
const WAITING: [&str; 6] = ["pending", "wait", "lag", "queue", "backlog", "retr"];
/// Words in the names of resources.
pub(super) const RESOURCES: [&str; 12] = [
    "cpu",
    "memory",
    "mem_",
    "heap",
    "disk",
    "filesystem",
    "volume",
    "pool",
    "connection",
    "descriptor",
    "utilization",
    "saturation",
];
/// Words in the names of metrics that count what a machine moves.
const MOVES: [&str; 8] =
    ["network", "packet", "syscall", "paging", "page_fault", "context_switch", "disk.operations", "disk.io"];

fn has(name: &str, words: &[&str]) -> bool {
    words.iter().any(|word| name.contains(word))
}

fn is_time(series: &Series) -> bool {
    matches!(&*series.unit, "s" | "ms" | "us" | "ns")
}

/// Whether the series is a rate of bytes.
fn is_throughput(series: &Series) -> bool {
    let (unit, per) = series.unit.split_once('/').unwrap_or((&series.unit, ""));
    let bytes = matches!(unit, "By" | "bytes" | "kBy" | "KiBy" | "MBy" | "MiBy" | "bit");
    bytes && (per == "s" || series.kind == SeriesKind::Rate)
}

/// What a series is about.
pub(super) fn sign(series: &Series) -> Sign {
    match series.kind {
        SeriesKind::LogTemplate | SeriesKind::LogSeverity => return Sign::Logs,
        SeriesKind::SpanDuration => return Sign::Latency,
        SeriesKind::SpanErrors => return Sign::Errors,
        SeriesKind::SpanRate => return Sign::Traffic,
        SeriesKind::Gauge | SeriesKind::Rate | SeriesKind::Quantile => {}
    }
    let name = series.name.to_lowercase();
    let is_count = series.attribute("foreshock.statistic") == Some("count") || series.kind == SeriesKind::Rate;
    let failed = series.attribute("error.type").is_some()
        || series.attribute("http.response.status_code").is_some_and(|code| code.starts_with('5'));
    match () {
        () if is_count && failed || has(&name, &FAILURES) => Sign::Errors,
        () if is_time(series) && !is_count => Sign::Latency,
        () if is_throughput(series) || has(&name, &MOVES) => Sign::Activity,
        () if has(&name, &WAITING) || has(&name, &RESOURCES) => Sign::Saturation,
        () if is_count || series.unit.ends_with("/s") => Sign::Traffic,
        () => Sign::Level,
    }
}

/// Whether the anomaly doubts the data rather than the service.
fn doubts_data(anomaly: &Anomaly) -> bool {
    &*anomaly.detector.name == "data-quality"
}

/// What an anomaly is worth.
pub(super) fn worth(anomaly: &Anomaly) -> Worth {
    if doubts_data(anomaly) || is_improvement(anomaly) {
        return Worth::Nothing;
    }
    if anomaly.forecast.is_some() {
        return Worth::Harm;
    }
    let series = &anomaly.series;
    let rises = match (anomaly.observed, anomaly.expected) {
        (Some(observed), Some(expected)) => observed > expected,
        _ => true,
    };
    let harms = match sign(series) {
        Sign::Activity => return Worth::Nothing,
        Sign::Latency | Sign::Errors => rises,
        // A detector that reads logs says by its severity whether a line speaks of trouble; others know only the line's own.
        Sign::Logs => rises && !matches!(series.attribute("log.severity"), Some("trace" | "debug" | "info")),
        Sign::Saturation if has(&series.name.to_lowercase(), &WAITING) => rises,
        Sign::Saturation => rises && anomaly.observed.is_some_and(|observed| is_almost_used_up(series, observed)),
        Sign::Traffic | Sign::Level => false,
    };
    if harms { Worth::Harm } else { Worth::Change }
}

fn is_almost_used_up(series: &Series, observed: f64) -> bool {
    match &*series.unit {
        "1" => (ALMOST_USED_UP..=1.5).contains(&observed),
        "%" => observed >= 100.0 * ALMOST_USED_UP,
        _ => false,
    }
}

/// Whether the anomaly does harm without a doubt, and enough of it to be told.
pub(super) fn is_sure_harm(anomaly: &Anomaly) -> bool {
    worth(anomaly) == Worth::Harm && anomaly.severity >= Severity::Warning && !anomaly.unknown_volume
}

/// Its severity as far as opening, growing and ending an incident go: what is worth nothing can last for days and holds nothing
/// up.
pub(super) fn telling_severity(anomaly: &Anomaly) -> Severity {
    if worth(anomaly) == Worth::Nothing { Severity::Info } else { anomaly.severity }
}
