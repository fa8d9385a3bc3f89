//! Whether a group of anomalies is reason enough to wake somebody.
//!
//! Something must do harm, as `sign` has it, and something else must agree: another sign of the same service, a log, a connected
//! service, or time. What agrees began at about the same time. Requests that are more or fewer in several connected services are
//! a reason too, since that is what a surge or a loss of users looks like before anything is slow.

use super::{
    IncidentSettings,
    case::Case,
    sign::{Sign, Worth, is_sure_harm, sign, worth},
};
use crate::{anomaly::words::series_label, event::Anomaly, time::UnixNanos, verdict::Severity, window::ServiceKey};

/// Why a group may open as an incident.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Corroboration {
    /// In words.
    pub(super) reason: String,
    /// When what corroborates each other began. What was odd long before is not where it started.
    pub(super) onset: UnixNanos,
}

/// Why a group may open as an incident; `None` if it may not. `clock` gives a service's time and the length of its windows.
///
/// Nothing opens without an anomaly of severity warning or worse. What corroborates must be a warning too, or stand beside
/// an error.
pub(super) fn corroboration(
    case: &Case,
    settings: &IncidentSettings,
    clock: impl Fn(&ServiceKey) -> Option<(UnixNanos, u64)>,
) -> Option<Corroboration> {
    let members: Vec<&Anomaly> = case.members.values().map(|anomaly| &**anomaly).collect();
    let mut harms: Vec<&Anomaly> = members.iter().copied().filter(|anomaly| does_harm(anomaly)).collect();
    harms.sort_by_key(|harm| (std::cmp::Reverse(harm.severity), harm.start, harm.id));
    let agreement = || harms.iter().find_map(|harm| agreement(settings, harm, &members));
    let persistence = || harms.iter().find_map(|harm| persistence(case, settings, harm, &clock));
    agreement().or_else(|| load(settings, &members)).or_else(persistence)
}

fn does_harm(anomaly: &Anomaly) -> bool {
    worth(anomaly) == Worth::Harm && anomaly.severity >= Severity::Warning
}

/// Whether `other` says something on top of `harm`.
fn agrees(settings: &IncidentSettings, harm: &Anomaly, other: &Anomaly) -> bool {
    let floor = if harm.severity >= Severity::Error { Severity::Info } else { Severity::Warning };
    other.severity >= floor
        && worth(other) > Worth::Nothing
        && (other.service != harm.service || sign(&other.series) != sign(&harm.series))
        && other.start.0.abs_diff(harm.start.0) <= settings.agree_nanos
}

/// What agrees with `harm` best: a connected service before a log before another series of its own.
fn agreement(settings: &IncidentSettings, harm: &Anomaly, members: &[&Anomaly]) -> Option<Corroboration> {
    let is_log = |anomaly: &Anomaly| sign(&anomaly.series) == Sign::Logs;
    let rank = |other: &Anomaly| (other.service == harm.service, is_log(harm) == is_log(other));
    let others = members.iter().filter(|other| agrees(settings, harm, other));
    let other = others.min_by_key(|other| (rank(other), other.start, other.id))?;
    let (first, second) = (series_label(&harm.series), series_label(&other.series));
    let reason = match rank(other) {
        (false, _) => {
            let (first, second) = ((&harm.service).min(&other.service), (&harm.service).max(&other.service));
            format!("{first} and {second} are connected and both affected")
        }
        (true, false) => format!("a metric and a log agree: {first}; {second}"),
        (true, true) => format!("two kinds of series agree: {first}; {second}"),
    };
    Some(Corroboration { reason, onset: harm.start.min(other.start) })
}

/// Requests that became more, or fewer, in two services at about the same time.
fn load(settings: &IncidentSettings, members: &[&Anomaly]) -> Option<Corroboration> {
    let direction = |anomaly: &Anomaly| Some(anomaly.observed?.total_cmp(&anomaly.expected?));
    let counts = |anomaly: &Anomaly| {
        anomaly.severity >= Severity::Warning
            && worth(anomaly) == Worth::Change
            && sign(&anomaly.series) == Sign::Traffic
            && direction(anomaly).is_some()
    };
    let traffic: Vec<&Anomaly> = members.iter().copied().filter(|anomaly| counts(anomaly)).collect();
    traffic.iter().find_map(|first| {
        let second = traffic.iter().find(|second| {
            second.service > first.service
                && direction(second) == direction(first)
                && second.start.0.abs_diff(first.start.0) <= settings.agree_nanos
        })?;
        let more = if direction(first)?.is_gt() { "more" } else { "fewer" };
        let reason = format!("{} and {} are connected and both get {more} requests", first.service, second.service);
        Some(Corroboration { reason, onset: first.start.min(second.start) })
    })
}

/// Whether `harm` has gone on for so long that it needs no second witness.
fn persistence(
    case: &Case,
    settings: &IncidentSettings,
    harm: &Anomaly,
    clock: impl Fn(&ServiceKey) -> Option<(UnixNanos, u64)>,
) -> Option<Corroboration> {
    let (now, step) = clock(&harm.service)?;
    // An anomaly that goes on ends some windows after it was last odd; these don't count as persistence.
    let windows = u64::from(settings.persist_windows + settings.end_lag_windows);
    let readings = u64::from(settings.persist_readings + settings.end_lag_windows);
    let long = windows.saturating_mul(step).max(readings.saturating_mul(harm.every_nanos));
    let lasted = case.going_on.contains_key(&harm.id) && step > 0 && now.since(harm.start) >= long;
    (lasted && is_sure_harm(harm)).then(|| Corroboration {
        reason: format!("{} lasts for {} windows", series_label(&harm.series), now.since(harm.start) / step),
        onset: harm.start,
    })
}
