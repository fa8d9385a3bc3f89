//! Measures the hop beside an OpenTelemetry Collector: `cargo xtask bench [forward|latency|scale|start] [PART OF A NAME]`.
//!
//! Load, hop and upstream run on the same machine, so a hop's cost is its own processor time (from `/proc`), not what the
//! machine could reach. The programs take turns, and the figures are medians over the rounds.

mod forward;
mod hop;
mod latency;
mod load;
mod scale;
mod start;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_else(|| "all".to_owned());
    let only = arguments.next().unwrap_or_default();
    match what.as_str() {
        "forward" => runtime.block_on(forward::run(&only)),
        "latency" => runtime.block_on(latency::run(&only)),
        "scale" => runtime.block_on(scale::run()),
        "start" => runtime.block_on(start::run()),
        "all" => runtime.block_on(async {
            forward::run("").await?;
            latency::run("").await?;
            scale::run().await?;
            start::run().await
        }),
        other => bail!("no such bench: {other}; there are forward, latency, scale and start"),
    }
}

/// Writes a line of a report.
#[expect(clippy::print_stdout, reason = "a bench writes its report")]
fn report(line: &str) {
    println!("{line}");
}

/// The middle of some figures; 0 of none.
fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}

/// The wall clock, in nanoseconds since the epoch.
fn now_nanos() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
