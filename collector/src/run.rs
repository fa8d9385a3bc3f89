//! `foreshock run`: the live hop, until a signal ends it.

use crate::{
    cli::{Failure, say},
    config::{Gravity, Loaded},
    live::{Addresses, Live, Stopped},
    pipeline::clock::SystemClock,
    telemetry::Telemetry,
};
use anyhow::Context as _;
use std::{path::Path, sync::Arc};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs until SIGTERM or SIGINT, or until a part fails. SIGHUP has the configuration at `path` read again.
pub(crate) fn run(loaded: &Loaded, path: &Path) -> Result<(), Failure> {
    for line in loaded.warnings.lines(Gravity::Warning) {
        say(&line);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("foreshock-io")
        .build()
        .context("the async runtime can't be started")?;
    let ended = runtime.block_on(serve(loaded, path));
    // A second signal means now: whatever still blocks a thread is not waited for.
    runtime.shutdown_background();
    Ok(ended?)
}

async fn serve(loaded: &Loaded, path: &Path) -> anyhow::Result<()> {
    let config = &loaded.config;
    let telemetry = Arc::new(Telemetry::start(&config.telemetry)?);
    telemetry.install(&config.telemetry)?;
    let mut signals = Signals::listen()?;
    let started = Live::start(config, Arc::new(SystemClock), telemetry);
    let mut live = tokio::select! {
        started = started => started?,
        name = signals.stop() => {
            say(&format!("foreshock: {name} while starting, nothing was taken"));
            return Ok(());
        }
    };
    say(&ready(live.addresses()));
    let failure = loop {
        tokio::select! {
            caught = signals.next() => match caught {
                Caught::Stop(name) => {
                    say(&format!("foreshock: {name}, draining for at most {:?}", config.shutdown_timeout));
                    break None;
                }
                // What becomes of it is in the log.
                Caught::Reload => drop(live.reload(path.to_owned())),
            },
            failure = live.failed() => break Some(failure),
        }
    };
    let stopped = tokio::select! {
        stopped = live.stop() => stopped,
        name = signals.stop() => anyhow::bail!("{name} again: stopped at once, what was queued is lost"),
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

/// SIGTERM, SIGINT and SIGHUP.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal means.
enum Caught {
    /// The end; the signal's name.
    Stop(&'static str),
    /// The configuration is to be read again.
    Reload,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals can't be listened to");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Caught {
        tokio::select! {
            _ = self.terminate.recv() => Caught::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Caught::Stop("SIGINT"),
            _ = self.hangup.recv() => Caught::Reload,
        }
    }

    /// The next signal that means the end. While it starts or stops there is nothing to read again.
    async fn stop(&mut self) -> &'static str {
        loop {
            if let Caught::Stop(name) = self.next().await {
                return name;
            }
        }
    }
}
