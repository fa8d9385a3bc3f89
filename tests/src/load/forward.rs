//! Processor time per million items forwarded, by signal, compression and program.

use crate::{
    hop::{Hop, Kind},
    median, now_nanos, report,
};
use anyhow::{Result, bail};
use bytes::Bytes;
use e2e::{
    payload::{self, Shape},
    wire::{self, Client},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

const ROUNDS: usize = 3;
const BATCHES: u64 = 250;
const SHAPE: Shape = Shape { items: 1000, services: 10, first_service: 0 };
const CONNECTIONS: usize = 2;
const IN_FLIGHT: usize = 4;
/// Largest message that is searched for its number, decompressed, in bytes.
pub(crate) const LARGEST: u64 = 16 << 20;

/// What one run of one program cost.
struct Cost {
    cpu_seconds_per_million: f64,
    items_per_second: f64,
    peak_mib: f64,
    shed: f64,
}

/// Prints a table: for each signal and compression a row per program.
pub(crate) async fn run() -> Result<()> {
    report(
        "\nForwarding OTLP/gRPC in batches of 1000 items of 10 services, load, hop and upstream on 2 cores; medians of 3 rounds.\n",
    );
    report(
        "| signal | compression | program | CPU s per million items | of the Collector's | items/s reached | peak MiB |",
    );
    report("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for signal in ["logs", "metrics", "traces"] {
        for compression in ["none", "gzip", "zstd"] {
            row(signal, compression).await?;
        }
    }
    Ok(())
}

async fn row(signal: &'static str, compression: &'static str) -> Result<()> {
    let kinds = [Kind::Collector, Kind::Forwarding, Kind::Detecting];
    let mut costs: Vec<Vec<Cost>> = kinds.iter().map(|_| Vec::new()).collect();
    for _round in 0..ROUNDS {
        let frames = frames(signal, encoding(compression), BATCHES, SHAPE)?;
        for (index, kind) in kinds.iter().enumerate() {
            costs[index].push(measure(*kind, signal, compression, &frames).await?);
        }
    }
    let of = |costs: &[Cost], figure: fn(&Cost) -> f64| median(&mut costs.iter().map(figure).collect::<Vec<_>>());
    let base = of(&costs[0], |cost| cost.cpu_seconds_per_million);
    for (kind, costs) in kinds.iter().zip(&costs) {
        let cpu = of(costs, |cost| cost.cpu_seconds_per_million);
        let rate = of(costs, |cost| cost.items_per_second);
        let peak = of(costs, |cost| cost.peak_mib);
        let shed = of(costs, |cost| cost.shed);
        report(&format!(
            "| {signal} | {compression} | {} | {cpu:.2} | {:.2} | {:.0}k | {peak:.0} | {:.0} % |",
            kind.name(),
            cpu / base,
            rate / 1000.0,
            shed / (BATCHES * SHAPE.items) as f64 * 100.0
        ));
    }
    Ok(())
}

/// How a compression is named on the wire.
pub(crate) fn encoding(compression: &str) -> &'static str {
    match compression {
        "gzip" => "gzip",
        "zstd" => "zstd",
        _ => "identity",
    }
}

/// Batches whose event time moves by a second from one to the next and ends about now.
pub(crate) fn frames(signal: &str, encoding: &str, batches: u64, shape: Shape) -> Result<Arc<Vec<Bytes>>> {
    let start = now_nanos() - batches * 1_000_000_000;
    let frame =
        |sequence| wire::frame(encoding, &payload::batch(signal, shape, sequence, start + sequence * 1_000_000_000));
    Ok(Arc::new((0..batches).map(frame).collect::<Result<_>>()?))
}

async fn measure(kind: Kind, signal: &'static str, compression: &str, frames: &Arc<Vec<Bytes>>) -> Result<Cost> {
    let mut hop = Hop::start(kind, compression).await?;
    let before = hop.program().map_or(Ok(0.0), e2e::process::Program::cpu_seconds)?;
    let began = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut senders = JoinSet::new();
    for _connection in 0..CONNECTIONS {
        let client = Client::connect(hop.address).await?;
        for _slot in 0..IN_FLIGHT {
            senders.spawn(send(client.clone(), signal, encoding(compression), Arc::clone(frames), Arc::clone(&next)));
        }
    }
    while let Some(done) = senders.join_next().await {
        done??;
    }
    let mut arrived = 0;
    let path = wire::export_path(signal);
    while arrived < frames.len() {
        // What Foreshock says itself comes on the same way; it is not counted.
        match tokio::time::timeout(Duration::from_secs(30), hop.upstream.received.recv()).await {
            Ok(Some(received)) => {
                let counts = received.path == path && payload::sequence(&received.plain(LARGEST)?).is_some();
                arrived += usize::from(counts);
            }
            _ => bail!("{}: only {arrived} of {} batches arrived", kind.name(), frames.len()),
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    // Detection runs behind; what it still has to do belongs to the cost.
    settle(&hop).await?;
    let (cpu, peak) = match hop.program() {
        Some(program) => (program.cpu_seconds()? - before, program.resident_mib()?.1),
        None => (0.0, 0.0),
    };
    let items = (frames.len() as u64 * SHAPE.items) as f64;
    Ok(Cost {
        cpu_seconds_per_million: cpu / items * 1e6,
        items_per_second: items / seconds,
        peak_mib: peak,
        shed: hop.shed_items()?,
    })
}

/// Waits until the program has used next to no processor time for half a second.
pub(crate) async fn settle(hop: &Hop) -> Result<()> {
    let Some(program) = hop.program() else { return Ok(()) };
    let mut last = program.cpu_seconds()?;
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = program.cpu_seconds()?;
        if now - last < 0.02 {
            break;
        }
        last = now;
    }
    Ok(())
}

async fn send(
    mut client: Client,
    signal: &'static str,
    encoding: &'static str,
    frames: Arc<Vec<Bytes>>,
    next: Arc<AtomicUsize>,
) -> Result<()> {
    while let Some(frame) = frames.get(next.fetch_add(1, Ordering::Relaxed)) {
        loop {
            match client.send(signal, encoding, frame.clone()).await? {
                0 => break,
                // Full: what a sender does on a retryable status.
                8 | 14 => tokio::time::sleep(Duration::from_millis(5)).await,
                status => bail!("refused with gRPC status {status}"),
            }
        }
    }
    Ok(())
}
