//! Processor time per million items forwarded, by signal, compression and program.

use crate::{
    hop::{Hop, Kind},
    load::{Load, settle},
    median, report,
};
use anyhow::Result;
use e2e::payload::Shape;

const ROUNDS: usize = 3;
/// Windows, of ten seconds, before the measurement: every detector has then learned enough to judge.
const WARM_UP: usize = 130;
const BATCHES: usize = 500;
const SHAPE: Shape = Shape { items: 1000, services: 10, first_service: 0 };
/// The pace: what every program follows with its detection, so that none is left out and all do the same work.
const ITEMS_PER_SECOND: f64 = 150_000.0;

/// What is sent, and how many seconds of event time lie between two batches.
const CASES: [(&str, &str, u64); 4] = [
    ("logs", "logs", 1),
    // A series speaks every ten seconds, as with the usual intervals of 10 to 60 s: each point is a row of a window, which
    // all detectors judge.
    ("metrics", "metrics, every 10 s", 10),
    // A series speaks ten times in a window.
    ("metrics", "metrics, every 1 s", 1),
    ("traces", "traces", 1),
];

/// What one run of one program cost.
struct Cost {
    cpu_seconds_per_million: f64,
    peak_mib: f64,
    shed: f64,
}

/// Prints a table: for each signal and compression a row per program. `only` chooses cases whose name contains it.
pub(crate) async fn run(only: &str) -> Result<()> {
    report(&format!(
        "\nForwarding OTLP/gRPC at {ITEMS_PER_SECOND} items a second in batches of {} items of {} services; medians of {ROUNDS} rounds.\n",
        SHAPE.items, SHAPE.services
    ));
    report(
        "| signal | compression | program | CPU s per million items | of the Collector's | peak MiB | left out by detection |",
    );
    report("| --- | --- | --- | --- | --- | --- | --- |");
    for (signal, name, seconds) in CASES {
        for compression in ["none", "gzip", "zstd"] {
            if format!("{name} {compression}").contains(only) {
                row(signal, name, seconds, compression).await?;
            }
        }
    }
    Ok(())
}

async fn row(signal: &'static str, name: &str, seconds: u64, compression: &'static str) -> Result<()> {
    let kinds = [Kind::Collector, Kind::Forwarding, Kind::Three, Kind::Standard];
    let mut costs: Vec<Vec<Cost>> = kinds.iter().map(|_| Vec::new()).collect();
    for _round in 0..ROUNDS {
        let steps: Vec<u64> = [10; WARM_UP].into_iter().chain([seconds; BATCHES]).collect();
        let load = Load::new(signal, compression, SHAPE, &steps)?;
        for (index, kind) in kinds.iter().enumerate() {
            costs[index].push(measure(*kind, compression, &load).await?);
        }
    }
    let of = |costs: &[Cost], figure: fn(&Cost) -> f64| median(&mut costs.iter().map(figure).collect::<Vec<_>>());
    let base = of(&costs[0], |cost| cost.cpu_seconds_per_million);
    for (kind, costs) in kinds.iter().zip(&costs) {
        let cpu = of(costs, |cost| cost.cpu_seconds_per_million);
        let peak = of(costs, |cost| cost.peak_mib);
        let shed = costs.iter().map(|cost| cost.shed).fold(0.0, f64::max);
        let items = ((WARM_UP + BATCHES) as u64 * SHAPE.items) as f64;
        report(&format!(
            "| {name} | {compression} | {} | {cpu:.2} | {:.2} | {peak:.0} | {:.0} % |",
            kind.name(),
            cpu / base,
            shed / items * 100.0
        ));
    }
    Ok(())
}

async fn measure(kind: Kind, compression: &str, load: &Load) -> Result<Cost> {
    let mut hop = Hop::start(kind, compression).await?;
    let cpu = |hop: &Hop| hop.program().map_or(Ok(0.0), e2e::process::Program::cpu_seconds);
    let (warm_up, load) = load.split(WARM_UP);
    warm_up.run(&mut hop, Some(ITEMS_PER_SECOND)).await?;
    settle(&hop).await?;
    let before = cpu(&hop)?;
    load.run(&mut hop, Some(ITEMS_PER_SECOND)).await?;
    // Detection runs behind; what it still has to do belongs to the cost.
    settle(&hop).await?;
    let items = (load.frames.len() as u64 * load.items) as f64;
    Ok(Cost {
        cpu_seconds_per_million: (cpu(&hop)? - before) / items * 1e6,
        peak_mib: hop.program().map_or(Ok(0.0), |program| program.resident_mib().map(|(_, peak)| peak))?,
        shed: hop.shed_items()?,
    })
}
