//! How the cost of detection grows with the number of services.

use crate::{
    forward::settle,
    hop::{Hop, Kind},
    now_nanos, report,
};
use anyhow::{Context, Result, bail};
use e2e::{
    payload::{self, Shape},
    wire::{self, Client},
};
use std::time::{Duration, Instant};

/// Series of each service.
const SERIES: u64 = 10;
/// Services in a batch, at most.
const PER_BATCH: u64 = 100;
/// Sweeps over all services; a sweep is a minute of event time, so each closes the windows of the one before.
const SWEEPS: u64 = 20;
/// Points a second, at most: what detection can follow on this load's share of two cores.
const RATE: u64 = 50_000;

/// Prints a table: processor time per million points and memory, by number of services.
pub(crate) async fn run() -> Result<()> {
    report(
        "\nForeshock with its default detectors, metrics of 10 series a service, one point a series and minute, uncompressed.\n",
    );
    report(
        "| services | series | CPU s per million points | CPU ms per service and window | resident MiB | points/s reached |",
    );
    report("| --- | --- | --- | --- | --- | --- | --- |");
    for services in [10, 100, 1000, 5000] {
        let hop = Hop::start(Kind::Detecting, "none").await?;
        let Some(program) = hop.program() else { bail!("no program") };
        let before = program.cpu_seconds()?;
        let began = Instant::now();
        let start = now_nanos() - SWEEPS * 60_000_000_000;
        let mut client = Client::connect(hop.address).await?;
        let mut sequence = 0;
        let mut pace = tokio::time::interval(Duration::from_micros(services * SERIES * 1_000_000 / RATE));
        for sweep in 0..SWEEPS {
            pace.tick().await;
            let mut first = 0;
            while first < services {
                let count = PER_BATCH.min(services - first);
                let shape = Shape { items: count * SERIES, services: count, first_service: first };
                let batch = payload::batch("metrics", shape, sequence, start + sweep * 60_000_000_000);
                let frame = wire::frame("identity", &batch)?;
                while client
                    .send("metrics", "identity", frame.clone())
                    .await
                    .with_context(|| format!("foreshock wrote:\n{}", program.output()))?
                    != 0
                {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                sequence += 1;
                first += count;
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        settle(&hop).await?;
        let cpu = program.cpu_seconds()? - before;
        let points = (services * SERIES * SWEEPS) as f64;
        report(&format!(
            "| {services} | {} | {:.2} | {:.3} | {:.0} | {:.0}k | {:.0} % |",
            services * SERIES,
            cpu / points * 1e6,
            cpu * 1e3 / (services * SWEEPS) as f64,
            program.resident_mib()?.0,
            points / seconds / 1000.0,
            hop.shed_items()? / points * 100.0
        ));
    }
    Ok(())
}
