//! `foreshock run`: the live hop, until a signal ends it.

use crate::{
    cli::{Failure, say},
    config::{Gravity, Loaded},
    live::{Addresses, Live, Stopped},
    pipeline::clock::SystemClock,
    telemetry::Telemetry,
};
use anyhow::Context as _;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs until SIGTERM or SIGINT, or until a part fails.
pub(crate) fn run(loaded: &Loaded) -> Result<(), Failure> {
    for line in loaded.warnings.lines(Gravity::Warning) {
        say(&line);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("foreshock-io")
        .build()
        .context("the async runtime can't be started")?;
    let ended = runtime.block_on(serve(loaded));
    // A second signal means now: whatever still blocks a thread is not waited for.
    runtime.shutdown_background();
    Ok(ended?)
}

async fn serve(loaded: &Loaded) -> anyhow::Result<()> {
    let config = &loaded.config;
    let telemetry = Arc::new(Telemetry::start(&config.telemetry)?);
    telemetry.install(&config.telemetry)?;
    let mut signals = Signals::listen()?;
    let started = Live::start(config, Arc::new(SystemClock), telemetry);
    let mut live = tokio::select! {
        started = started => started?,
        name = signals.next() => {
            say(&format!("foreshock: {name} while starting, nothing was taken"));
            return Ok(());
        }
    };
    say(&ready(live.addresses()));
    let failure = tokio::select! {
        name = signals.next() => {
            say(&format!("foreshock: {name}, draining for at most {:?}", config.shutdown_timeout));
            None
        }
        failure = live.failed() => Some(failure),
    };
    let stopped = tokio::select! {
        stopped = live.stop() => stopped,
        name = signals.next() => anyhow::bail!("{name} again: stopped at once, what was queued is lost"),
    };
    say(&summary(&stopped));
    match failure {
        None => Ok(()),
        Some(failure) => Err(anyhow::anyhow!(failure)),
    }
}

/// The line that says that telemetry is taken, and where.
fn ready(addresses: Addresses) -> String {
    let parts = [
        ("otlp/grpc ", addresses.grpc),
        ("otlp/http http://", addresses.http),
        ("console http://", addresses.console),
        ("health http://", addresses.health),
    ];
    let parts: Vec<String> =
        parts.iter().filter_map(|(what, address)| address.map(|address| format!("{what}{address}"))).collect();
    format!("foreshock ready: {}", parts.join(", "))
}

/// What is left after a stop.
fn summary(stopped: &Stopped) -> String {
    let mut parts: Vec<String> =
        stopped.unsent.iter().map(|(exporter, count)| format!("{count} requests for `{exporter}`")).collect();
    if stopped.events > 0 {
        parts.push(format!("{} batches of own events", stopped.events));
    }
    if parts.is_empty() {
        return "foreshock: stopped, everything was sent".to_owned();
    }
    let fate = if stopped.kept { "are kept for the next start" } else { "are lost" };
    format!("foreshock: stopped, {} could not be sent and {fate}", parts.join(" and "))
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals can't be listened to");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
