//! How the cost of detection grows with the number of services.

use crate::{
    hop::{Hop, Kind},
    load::settle,
    now_nanos, report,
};
use anyhow::{Context, Result, bail};
use e2e::{
    payload::{self, Shape},
    process::Program,
    wire::{self, Client},
};
use std::{net::SocketAddr, time::Duration};

/// Series of each service.
const SERIES: u64 = 10;
/// Services in a batch, at most.
const PER_BATCH: u64 = 100;
/// Sweeps over all services before the measurement; all detectors then judge.
pub(crate) const WARM_UP: u64 = 70;
/// Sweeps that are measured: at least this many, and at least so many points.
const SWEEPS: u64 = 20;
const POINTS: u64 = 200_000;
/// Points a second, at most.
const RATE: u64 = 100_000;
/// Event time between two sweeps; each closes the windows of the one before.
const STEP: u64 = 60_000_000_000;

/// Prints a table: processor time per million points and memory, by number of services.
pub(crate) async fn run() -> Result<()> {
    report("\nMetrics of 10 series a service, one point a series and minute, uncompressed.\n");
    report(
        "| program | services | CPU s per million points | CPU us per service and window | resident MiB | models | left out by detection |",
    );
    report("| --- | --- | --- | --- | --- | --- | --- |");
    for kind in [Kind::Three, Kind::Standard] {
        for services in [10, 100, 1000, 10_000] {
            row(kind, services).await?;
        }
    }
    Ok(())
}

async fn row(kind: Kind, services: u64) -> Result<()> {
    let hop = Hop::start(kind, "none").await?;
    let Some(program) = hop.program() else { bail!("no program") };
    let sweeps = SWEEPS.max(POINTS / (services * SERIES));
    let mut sender = Sender::new(hop.address, program, services, WARM_UP + sweeps).await?;
    sender.sweep(0..WARM_UP).await?;
    settle(&hop).await?;
    let before = program.cpu_seconds()?;
    sender.sweep(WARM_UP..WARM_UP + sweeps).await?;
    settle(&hop).await?;
    let cpu = program.cpu_seconds()? - before;
    let points = (services * SERIES * sweeps) as f64;
    let all_points = (services * SERIES * (WARM_UP + sweeps)) as f64;
    report(&format!(
        "| {} | {services} | {:.2} | {:.1} | {:.0} | {:.0} | {:.0} % |",
        kind.name(),
        cpu / points * 1e6,
        cpu * 1e6 / (services * sweeps) as f64,
        program.resident_mib()?.0,
        hop.models()?,
        hop.shed_items()? / all_points * 100.0
    ));
    Ok(())
}

/// Sends a point of each series of each service, again and again.
pub(crate) struct Sender<'a> {
    client: Client,
    program: &'a Program,
    services: u64,
    sequence: u64,
    start: u64,
}

impl<'a> Sender<'a> {
    /// For so many sweeps in the end, the last of which is about now.
    pub(crate) async fn new(address: SocketAddr, program: &'a Program, services: u64, sweeps: u64) -> Result<Self> {
        let client = Client::connect(address).await?;
        Ok(Self { client, program, services, sequence: 0, start: now_nanos() - sweeps * STEP })
    }

    pub(crate) async fn sweep(&mut self, sweeps: std::ops::Range<u64>) -> Result<()> {
        for sweep in sweeps {
            let mut first = 0;
            while first < self.services {
                let count = PER_BATCH.min(self.services - first);
                let shape = Shape { items: count * SERIES, services: count, first_service: first };
                let pause = tokio::time::sleep(Duration::from_micros(shape.items * 1_000_000 / RATE));
                let batch = payload::batch("metrics", shape, self.sequence, self.start + sweep * STEP);
                let frame = wire::frame("identity", &batch)?;
                while self
                    .client
                    .send("metrics", "identity", frame.clone())
                    .await
                    .with_context(|| format!("foreshock wrote:\n{}", self.program.output()))?
                    != 0
                {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                pause.await;
                self.sequence += 1;
                first += count;
            }
        }
        Ok(())
    }
}
