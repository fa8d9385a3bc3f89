//! The demo as plain lines, for logs and pipes, and the summary at its end.

use super::story::{Line, Story, minutes, time_of_day};
use foreshock_simulator::Crossing;
use std::fmt::Write;

/// The first lines: what will be played.
pub(super) fn opening(story: &Story, seed: u64, receiver: &str) -> String {
    let mut text = format!("Foreshock demo: {} (seed {seed})\n", story.scenario);
    // Writing to a string does not fail, here and below.
    let _ = writeln!(text, "  {}", story.scenario.story());
    let _ = writeln!(
        text,
        "  {} services send OTLP to {receiver}; simulated time {} to {} UTC",
        story.services.len(),
        time_of_day(story.start),
        time_of_day(story.start.plus(u64::try_from(story.plan.total().as_nanos()).unwrap_or(u64::MAX))),
    );
    text
}

/// One thing that happened.
pub(super) fn line(story: &Story, line: &Line) -> String {
    format!(
        "{}  {:>7}  {:<17} {:<15} {}",
        time_of_day(line.time),
        story.against_fault(line.time),
        line.what,
        line.service,
        line.text
    )
}

/// A sign of life between events.
pub(super) fn progress(story: &Story) -> String {
    let frontend = &story.services[0].health;
    let open: usize = story.services.iter().map(|service| service.open.len()).sum();
    format!(
        "{}  {:>7}  {:<17} {:<15} {:.0} requests/s, {:.1} % errors, p95 {:.0} ms; {open} anomalies open",
        time_of_day(story.now),
        story.against_fault(story.now),
        "",
        "frontend",
        frontend.requests_per_second,
        frontend.error_share * 100.0,
        frontend.p95_seconds * 1e3,
    )
}

/// What was found, and what was forwarded.
pub(super) fn summary(story: &Story, incident_spans: u64, shed: u64) -> String {
    let outcome = story.outcome();
    let mut text = String::from("\nSummary\n");
    match outcome.fault {
        Some(fault) => {
            let root = story.truth.as_ref().map_or("", |truth| truth.root);
            let _ =
                writeln!(text, "  fault              {} UTC in {root}: {}", time_of_day(fault), story.scenario.story());
        }
        None => {
            let _ = writeln!(text, "  fault              none: {}", story.scenario.story());
        }
    }
    if let Some((after, service, sentence)) = &outcome.first_sign {
        let _ = writeln!(text, "  first sign         after {} in {service}: {sentence}", minutes(*after));
    }
    match (&outcome.detected, outcome.fault) {
        (Some((after, sentence)), _) => {
            let _ = writeln!(text, "  incident           after {}: {sentence}", minutes(*after));
        }
        (None, Some(_)) => {
            let _ = writeln!(text, "  incident           none: the fault was missed");
        }
        (None, None) => {}
    }
    if let Some((first, last)) = outcome.root_right {
        let word = |right| if right { "right" } else { "wrong" };
        let _ = writeln!(text, "  root cause         {} when it opened, {} at the end", word(first), word(last));
    }
    match (outcome.threshold, &story.crossing) {
        (Some(after), Some(Crossing { service, rule, .. })) => {
            let _ = write!(text, "  static threshold   after {}: {service}, {rule}", minutes(after));
            if let Some((found, _)) = &outcome.detected
                && let Some(lead) = after.checked_sub(*found)
            {
                let _ = write!(text, "; Foreshock was {} earlier", minutes(lead));
            }
            text.push('\n');
        }
        (None, Some(Crossing { service, rule, .. })) => {
            let _ = writeln!(text, "  static threshold   spoke without a fault: {service}, {rule}");
        }
        (_, None) => {
            let _ = writeln!(text, "  static threshold   never spoke");
        }
    }
    let _ = writeln!(
        text,
        "  false alarms       {} incidents, {} anomalies {}",
        outcome.false_incidents,
        story.early_anomalies,
        if outcome.fault.is_some() { "before the fault" } else { "in all" },
    );
    let (sent, forwarded) = (story.sent, story.forwarded);
    let verdict = if sent == forwarded { "exactly, byte for byte" } else { "NOT ALL" };
    let _ = writeln!(
        text,
        "  forwarded          {} of {} items in {} of {} requests, {:.1} MB: {verdict}",
        forwarded.items,
        sent.items,
        forwarded.requests,
        sent.requests,
        forwarded.bytes as f64 / 1e6,
    );
    if shed > 0 {
        let _ =
            writeln!(text, "  not looked at      {shed} items: this machine was too slow for the pace (try --speed)");
    }
    if incident_spans > 0 {
        let _ = writeln!(text, "  incident traces    {incident_spans} spans of incidents that were closed");
    }
    text
}
