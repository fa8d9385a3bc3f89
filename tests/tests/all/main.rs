//! The real program over real sockets. One program of tests, because linking each costs more than running it.

mod contract;
mod forwarding;
mod lifecycle;
mod own_telemetry;
mod peers;
mod promises;
mod receiving;
mod registry;
mod scenarios;
mod security;
mod validating;

use anyhow::{Context, Result};
use e2e::{
    payload::Shape,
    wire::{Received, Upstream},
};
use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Everything must have happened by then; on a loaded machine it takes a small part of it.
const PATIENCE: Duration = Duration::from_secs(90);
/// A batch like those that applications send.
const SHAPE: Shape = Shape { items: 200, services: 4, first_service: 0 };

fn now_nanos() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())).unwrap_or(u64::MAX)
}

/// The repository's top folder: Cargo starts tests in the folder of their package. (A path that was known when they were built may be
/// another clone's that shares the target folder.)
fn repository() -> PathBuf {
    Path::new("..").canonicalize().unwrap_or_else(|_| "..".into())
}

async fn next(upstream: &mut Upstream) -> Result<Received> {
    tokio::time::timeout(PATIENCE, upstream.received.recv())
        .await
        .context("nothing arrived")?
        .context("the upstream ended")
}

/// Pipelines of all three signals with these exporters and detectors, each a list as in YAML.
fn pipelines(exporters: &str, detectors: &str) -> String {
    let line =
        |signal| format!("    {signal}: {{ receivers: [otlp], detectors: [{detectors}], exporters: [{exporters}] }}\n");
    format!("service:\n  pipelines:\n{}{}{}", line("metrics"), line("logs"), line("traces"))
}
