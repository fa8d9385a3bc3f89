//! The time that a hop adds at a fixed rate, from the moment a batch is sent until the upstream has it.

use crate::{
    forward::{LARGEST, encoding, frames, settle},
    hop::{Hop, Kind},
    report,
};
use anyhow::{Result, bail};
use e2e::{
    payload::{self, Shape},
    wire::Client,
};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const BATCHES: u64 = 2000;
/// Batches of 100 items, 100 a second: 10,000 items a second.
const SHAPE: Shape = Shape { items: 100, services: 10, first_service: 0 };
const PAUSE: Duration = Duration::from_millis(10);

/// Prints a table: for each signal and compression, the time without a hop and with each program.
pub(crate) async fn run() -> Result<()> {
    report(
        "\nTime from sending a batch of 100 items until the upstream has it, 100 batches a second (10,000 items/s).\n",
    );
    report("| signal | compression | program | p50 ms | p99 ms | added p50 ms | added p99 ms |");
    report("| --- | --- | --- | --- | --- | --- | --- |");
    for (signal, compression) in [("logs", "none"), ("metrics", "none"), ("logs", "gzip")] {
        let mut base = (0.0, 0.0);
        for kind in [Kind::Direct, Kind::Collector, Kind::Forwarding, Kind::Detecting] {
            let mut millis = measure(kind, signal, compression).await?;
            millis.sort_by(f64::total_cmp);
            let at = |share: f64| millis[((millis.len() - 1) as f64 * share) as usize];
            let (p50, p99) = (at(0.5), at(0.99));
            if kind == Kind::Direct {
                base = (p50, p99);
            }
            report(&format!(
                "| {signal} | {compression} | {} | {p50:.2} | {p99:.2} | {:.2} | {:.2} |",
                kind.name(),
                p50 - base.0,
                p99 - base.1
            ));
        }
    }
    Ok(())
}

async fn measure(kind: Kind, signal: &'static str, compression: &str) -> Result<Vec<f64>> {
    let frames = frames(signal, encoding(compression), BATCHES, SHAPE)?;
    let mut hop = Hop::start(kind, compression).await?;
    settle(&hop).await?;
    let client = Client::connect(hop.address).await?;
    let encoding = encoding(compression);
    let mut sends = JoinSet::new();
    let mut sent = Vec::with_capacity(frames.len());
    let mut ticks = tokio::time::interval(PAUSE);
    for frame in frames.iter() {
        ticks.tick().await;
        let (mut client, frame) = (client.clone(), frame.clone());
        sent.push(Instant::now());
        sends.spawn(async move { client.send(signal, encoding, frame).await });
    }
    while let Some(status) = sends.join_next().await {
        let status = status??;
        if status != 0 {
            bail!("refused with gRPC status {status}");
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
