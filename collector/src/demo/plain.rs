//! The demo as plain lines, for logs and pipes.

use super::story::{Line, Story, time_of_day};
use std::{fmt::Write, net::SocketAddr};

/// The first lines: what will be played.
pub(super) fn opening(story: &Story, seed: u64, receiver: SocketAddr, console: Option<SocketAddr>) -> String {
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
    if let Some(console) = console {
        let _ = writeln!(text, "  the console is at http://{console}/ while this runs");
    }
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
        "{}  {:>7}  {:<17} {:<15} {:.0} requests/s, {:.1} % errors, p95 {:.0} ms; {open} anomalies open{}",
        time_of_day(story.now),
        story.against_fault(story.now),
        "",
        "frontend",
        frontend.requests_per_second,
        frontend.error_share * 100.0,
        frontend.p95_seconds * 1e3,
        match story.mended() {
            Some(mended) if story.now >= mended => "; mended",
            _ => "",
        },
    )
}
