//! The time that a hop adds, from the moment a batch is sent until the upstream has it, at a third of what the programs reach.

use crate::{
    hop::{Hop, Kind},
    load::{LARGEST, Load, settle},
    report,
};
use anyhow::{Result, bail};
use e2e::{
    payload::{self, Shape},
    wire::Client,
};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const SHAPE: Shape = Shape { items: 100, services: 10, first_service: 0 };
/// Batches sent as fast as they are taken, to find the ceiling.
const CEILING_BATCHES: usize = 3000;
/// How long batches are sent at the pace.
const SECONDS: f64 = 3.0;

/// Prints a table: for each signal and compression, the time without a hop and with each program. `only` chooses rows whose
/// name contains it.
pub(crate) async fn run(only: &str) -> Result<()> {
    report(&format!(
        "\nTime from sending a batch of {} items until the upstream has it, at a third of the smaller ceiling of the Collector and \
         of Foreshock with 6 detectors.\n",
        SHAPE.items
    ));
    report(
        "| signal | compression | items/s | program | ceiling, items/s | p50 ms | p99 ms | added p50 ms | added p99 ms |",
    );
    report("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for signal in ["logs", "metrics", "traces"] {
        for compression in ["none", "gzip", "zstd"] {
            if format!("{signal} {compression}").contains(only) {
                rows(signal, compression).await?;
            }
        }
    }
    Ok(())
}

async fn rows(signal: &'static str, compression: &str) -> Result<()> {
    let kinds = [Kind::Direct, Kind::Collector, Kind::Forwarding, Kind::Three, Kind::Standard];
    let load = Load::new(signal, compression, SHAPE, &[1; CEILING_BATCHES])?;
    let mut ceilings = Vec::new();
    let mut least = f64::INFINITY;
    for kind in kinds {
        let mut hop = Hop::start(kind, compression).await?;
        let ceiling = load.run(&mut hop, None).await?;
        if matches!(kind, Kind::Collector | Kind::Standard) {
            least = least.min(ceiling);
        }
        ceilings.push(ceiling);
    }
    let rate = least / 3.0;
    let batches = (rate * SECONDS / SHAPE.items as f64) as usize;
    let mut base = (0.0, 0.0);
    for (kind, ceiling) in kinds.into_iter().zip(ceilings) {
        let load = Load::new(signal, compression, SHAPE, &vec![1; batches])?;
        let mut millis = measure(kind, compression, &load, rate).await?;
        millis.sort_by(f64::total_cmp);
        let at = |share: f64| millis[((millis.len() - 1) as f64 * share) as usize];
        let (p50, p99) = (at(0.5), at(0.99));
        if kind == Kind::Direct {
            base = (p50, p99);
        }
        report(&format!(
            "| {signal} | {compression} | {:.0}k | {} | {:.0}k | {p50:.2} | {p99:.2} | {:.2} | {:.2} |",
            rate / 1000.0,
            kind.name(),
            ceiling / 1000.0,
            p50 - base.0,
            p99 - base.1
        ));
    }
    Ok(())
}

async fn measure(kind: Kind, compression: &str, load: &Load, rate: f64) -> Result<Vec<f64>> {
    let mut hop = Hop::start(kind, compression).await?;
    settle(&hop).await?;
    let client = Client::connect(hop.address).await?;
    let mut sends = JoinSet::new();
    let mut sent = Vec::with_capacity(load.frames.len());
    let began = Instant::now();
    let pace = Duration::from_secs_f64(load.items as f64 / rate);
    for index in 0..load.frames.len() {
        tokio::time::sleep_until((began + pace.mul_f64(index as f64)).into()).await;
        let (mut client, load) = (client.clone(), load.clone());
        sent.push(Instant::now());
        sends.spawn(async move { load.send_one(&mut client, index).await });
    }
    while let Some(status) = sends.join_next().await {
        let status = status??;
        if status != 0 {
            bail!("{}: refused with gRPC status {status}", kind.name());
        }
    }
    let mut millis = Vec::with_capacity(sent.len());
    while millis.len() < sent.len() {
        let Ok(Some(received)) = tokio::time::timeout(Duration::from_secs(30), hop.upstream.received.recv()).await
        else {
            bail!("{}: only {} of {} batches arrived", kind.name(), millis.len(), sent.len());
        };
        if let Some(at) =
            payload::sequence(&received.plain(LARGEST)?).and_then(|sequence| sent.get(usize::try_from(sequence).ok()?))
        {
            millis.push((received.at - *at).as_secs_f64() * 1000.0);
        }
    }
    Ok(millis)
}
