//! How a story ended: for people, and as a line of JSON for programs.

use super::{
    backend::IncidentSpan,
    fit,
    stage::Ended,
    story::{Outcome, Story, minutes, time_of_day},
};
use foreshock_engine::UnixNanos;
use foreshock_simulator::Crossing;
use serde::Serialize;
use std::{fmt::Write, time::Duration};

/// Columns before a value.
const INDENT: usize = 21;

/// Anomalies of a service whose kinds are named in the picture of the trace.
const MOST_KINDS: usize = 4;

/// A finished story, as it stands against the truth. Durations are in seconds of the story.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Report {
    scenario: &'static str,
    seed: u64,
    /// RFC 3339.
    started: String,
    /// Whether there was something to be found.
    has_fault: bool,
    /// From the fault to the first anomaly of a service that suffers from it.
    first_sign_seconds: Option<u64>,
    /// From the fault to the first incident.
    warned_seconds: Option<u64>,
    /// From the fault to the first static threshold.
    threshold_seconds: Option<u64>,
    /// Where it really started.
    true_root: Option<&'static str>,
    /// The service that the incident named when it opened.
    first_root: Option<String>,
    /// The service that it named at last.
    root: Option<String>,
    first_root_is_right: Option<bool>,
    root_is_right: Option<bool>,
    /// From the moment when the fault was mended to the moment when the incident was resolved.
    resolved_seconds: Option<u64>,
    trace_id: Option<String>,
    trace_spans: usize,
    anomalies: u64,
    /// Anomalies before the fault, or all where there is none.
    early_anomalies: u64,
    /// Incidents before the fault, or all where there is none.
    false_incidents: usize,
    /// Incidents after the first one that belongs to the fault.
    further_incidents: usize,
    /// Whether everything came out at the other end, byte for byte.
    forwarded_exactly: bool,
    /// Items that detection did not look at.
    shed: u64,
}

impl Report {
    pub(super) fn new(story: &Story, seed: u64, ended: &Ended) -> Self {
        let outcome = story.outcome();
        let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs());
        let incident = outcome.detected.as_ref().map(|(_, incident)| incident);
        let trace = incident.map(|incident| incident.trace.clone());
        Self {
            scenario: story.scenario.name(),
            seed,
            started: story.start.to_string(),
            has_fault: outcome.fault.is_some(),
            first_sign_seconds: seconds(outcome.first_sign.as_ref().map(|sign| sign.0)),
            warned_seconds: seconds(outcome.detected.as_ref().map(|detected| detected.0)),
            threshold_seconds: seconds(outcome.threshold),
            true_root: story.truth.as_ref().map(|truth| truth.root),
            first_root: incident.map(|incident| incident.first_root.clone()),
            root: incident.map(|incident| incident.root.clone()),
            first_root_is_right: outcome.root_right.map(|right| right.0),
            root_is_right: outcome.root_right.map(|right| right.1),
            resolved_seconds: seconds(outcome.resolved),
            trace_spans: trace
                .as_ref()
                .map_or(0, |trace| ended.spans.iter().filter(|span| span.trace == *trace).count()),
            trace_id: trace,
            anomalies: story.anomalies,
            early_anomalies: story.early_anomalies,
            false_incidents: outcome.false_incidents,
            further_incidents: outcome.further_incidents,
            forwarded_exactly: ended.sent == ended.forwarded,
            shed: ended.shed,
        }
    }
}

/// The summary, in lines of at most `width` columns where words allow it.
pub(super) fn text(story: &Story, ended: &Ended, width: usize) -> String {
    let mut page = Page { text: String::from("\nSummary\n"), width };
    let outcome = story.outcome();
    what_happened(&mut page, story, &outcome);
    what_was_said(&mut page, story, &outcome, &ended.spans);
    let since = if outcome.fault.is_some() { "before the fault" } else { "in all" };
    page.entry(
        "false alarms",
        &format!("{} incidents, {} anomalies {since}", outcome.false_incidents, story.early_anomalies),
    );
    let (sent, forwarded) = (ended.sent, ended.forwarded);
    let verdict = if sent == forwarded { "exactly, byte for byte" } else { "NOT ALL" };
    page.entry(
        "forwarded",
        &format!(
            "{} of {} items in {} of {} requests, {:.1} MB: {verdict}",
            forwarded.items,
            sent.items,
            forwarded.requests,
            sent.requests,
            forwarded.bytes as f64 / 1e6,
        ),
    );
    if ended.unsent > 0 {
        page.entry("not sent", &format!("{} requests of the shop", ended.unsent));
    }
    if ended.further_unsent > 0 {
        page.entry("your backend", &format!("did not take {} requests", ended.further_unsent));
    }
    if ended.shed > 0 {
        page.entry("not looked at", &format!("{} items", ended.shed));
    }
    page.text
}

fn what_happened(page: &mut Page, story: &Story, outcome: &Outcome) {
    let Some((fault, mended)) = outcome.fault.zip(story.mended()) else {
        page.entry("fault", &format!("none: {}", story.scenario.story()));
        return;
    };
    let root = story.truth.as_ref().map_or("", |truth| truth.root);
    page.entry("fault", &format!("{} UTC in {root}: {}", time_of_day(fault), story.scenario.story()));
    // An interrupted story may not have come that far.
    if story.now >= mended {
        let after = minutes(Duration::from_nanos(mended.since(fault)));
        page.entry("mended", &format!("after {after}: {}", story.scenario.cure()));
    }
}

fn what_was_said(page: &mut Page, story: &Story, outcome: &Outcome, spans: &[IncidentSpan]) {
    if let Some((after, service, sentence)) = &outcome.first_sign {
        page.entry("first sign", &format!("after {} in {service}: {sentence}", minutes(*after)));
    }
    match (&outcome.detected, outcome.fault) {
        (Some((after, incident)), _) => {
            page.entry("incident", &format!("after {}: {}", minutes(*after), incident.sentence));
        }
        (None, Some(_)) => page.entry("incident", "none: the fault was missed"),
        (None, None) => {}
    }
    if let Some(((first, last), (_, incident))) = outcome.root_right.zip(outcome.detected.as_ref()) {
        let word = |right| if right { "right" } else { "wrong" };
        let name = |root: &str| if root.is_empty() { "nobody".to_owned() } else { root.to_owned() };
        let text = format!(
            "{}, {} when it opened; {}, {} at the end",
            name(&incident.first_root),
            word(first),
            name(&incident.root),
            word(last)
        );
        page.entry("root cause", &text);
    }
    match (outcome.threshold, &story.crossing) {
        (Some(after), Some(Crossing { service, rule, .. })) => {
            let mut text = format!("after {}: {service}, {rule}", minutes(after));
            let found = outcome.detected.as_ref().map(|(found, _)| *found);
            if let Some(lead) = found.and_then(|found| after.checked_sub(found)) {
                let _ = write!(text, "; Foreshock was {} earlier", minutes(lead));
            } else if let Some(lag) = found.and_then(|found| found.checked_sub(after)) {
                let _ = write!(text, "; Foreshock was {} later", minutes(lag));
            }
            page.entry("static threshold", &text);
        }
        (None, Some(Crossing { service, rule, .. })) => {
            page.entry("static threshold", &format!("spoke without a fault: {service}, {rule}"));
        }
        (_, None) => {
            let is_over = story.now.since(story.start) >= story.plan.total().as_nanos() as u64;
            let word = if is_over { "never spoke" } else { "has not spoken by then" };
            page.entry("static threshold", &format!("{word} (p95 latency 500 ms, errors 5 %, disk 90 %)"));
        }
    }
    if outcome.further_incidents > 0 {
        page.entry("further incidents", &outcome.further_incidents.to_string());
    }
    let Some((_, incident)) = &outcome.detected else { return };
    match (incident.resolved, outcome.resolved) {
        (Some(at), Some(after)) => {
            page.entry("resolved", &format!("{} UTC, {} after it was mended", time_of_day(at), minutes(after)));
        }
        _ => page.entry("resolved", "not yet; its trace is sent when it is"),
    }
    let spans: Vec<&IncidentSpan> = spans.iter().filter(|span| span.trace == incident.trace).collect();
    if !spans.is_empty() {
        page.entry("its trace", &format!("{}, {} spans", incident.trace, spans.len()));
        trace(page, &spans);
    }
}

/// The spans as a tree: the incident, its services, and what kinds of anomalies they had.
fn trace(page: &mut Page, spans: &[&IncidentSpan]) {
    let Some(root) = spans.iter().find(|span| span.parent.bytes().all(|byte| byte == b'0')) else { return };
    let begun = root.start;
    page.span(begun, root, &root.name);
    let services: Vec<&&IncidentSpan> = spans.iter().filter(|span| span.parent == root.span).collect();
    for (number, service) in services.iter().enumerate() {
        let mut kinds: Vec<(&str, usize)> = Vec::new();
        for anomaly in spans.iter().filter(|span| span.parent == service.span) {
            match kinds.iter_mut().find(|(kind, _)| *kind == anomaly.name) {
                Some((_, count)) => *count += 1,
                None => kinds.push((&anomaly.name, 1)),
            }
        }
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let mut told: Vec<String> =
            kinds.iter().take(MOST_KINDS).map(|(kind, count)| format!("{count} {}", kind.replace('_', " "))).collect();
        if kinds.len() > MOST_KINDS {
            told.push("…".to_owned());
        }
        let branch = if number + 1 == services.len() { "└" } else { "├" };
        page.span(begun, service, &format!("{branch} {}: {}", service.name, told.join(", ")));
    }
}

struct Page {
    text: String,
    width: usize,
}

impl Page {
    fn entry(&mut self, name: &str, value: &str) {
        let mut name = name;
        for line in fit::wrap(value, self.width.saturating_sub(INDENT).max(18), usize::MAX) {
            // Writing to a string does not fail.
            let _ = writeln!(self.text, "  {name:<18} {line}");
            name = "";
        }
    }

    fn span(&mut self, begun: UnixNanos, span: &IncidentSpan, name: &str) {
        let after = minutes(Duration::from_nanos(span.start.since(begun)));
        let lasted = minutes(Duration::from_nanos(span.end.since(span.start)));
        let text = format!("+{after:<6} {lasted:>6}  {name}");
        let text = fit::cut(&text, self.width.saturating_sub(INDENT).max(18));
        let _ = writeln!(self.text, "  {:<18} {text}", "");
    }
}
