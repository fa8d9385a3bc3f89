//! `foreshock detector bench`: time, memory and state, and how they grow.

use super::{
    candidate::{self, Candidate, Ready},
    feed::Feed,
    playing::{Played, fault, feed},
    table,
};
use crate::cli::Failure;
use foreshock_engine::{
    verdict::Detectors as _,
    window::{ClosedWindow, SeriesKind},
};
use foreshock_sandbox::DetectorPool;
use std::time::{Duration, Instant};

/// Series per window.
const ROWS: [u32; 6] = [1, 10, 50, 200, 1_000, 5_000];
/// Windows after which growth is looked at, with [`GROWTH_ROWS`] series.
const WINDOWS: [usize; 4] = [100, 1_000, 5_000, 20_000];
const GROWTH_ROWS: u32 = 50;
/// Calls that a median is taken of.
const MEASURED: usize = 60;
/// A line of a table that takes longer than this is the last of its table.
const BUDGET: Duration = Duration::from_secs(10);

/// The arguments of `foreshock detector bench`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    candidate: candidate::Chosen,
}

/// Measures a component and prints what it costs.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let candidate = Candidate::read(&arguments.candidate)?;
    let began = Instant::now();
    let ready = candidate.ready()?;
    let compiled = began.elapsed();
    let about = ready.detector.about();
    let mut text = format!(
        "{} {}: {}, loaded in {} ({})\n",
        about.name,
        about.version,
        table::bytes(candidate.bytes.len() as u64),
        table::time(compiled),
        match ready.sandbox.compilations() {
            0 => "its code was kept from an earlier command",
            _ => "compiled for this machine, which is done once",
        },
    );
    let mut opened: Vec<Duration> = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        ready.sandbox.try_open(&ready.detector, ready.step_ns).map_err(|error| Failure::Running(error.into()))?;
        opened.push(began.elapsed());
    }
    opened.sort();
    text.push_str(&format!("a fresh model is made in {}\n\n", table::time(opened[opened.len() / 2])));

    let mut rows = Vec::new();
    for series in ROWS {
        let began = Instant::now();
        let mut source = source(&ready, series);
        let mut pool = ready.pool();
        let warm = warm(&ready, &mut pool, &mut source, 40);
        if let Some(fault) = warm.first_fault() {
            rows.push(vec![series.to_string(), fault]);
            break;
        }
        rows.push(measure(&ready, &mut pool, &mut source, series.to_string(), f64::from(series)));
        if began.elapsed() > BUDGET {
            break;
        }
    }
    let headings = ["us a window", "p95", "ns a series", "memory", "state"];
    text.push_str(&table::table(&[&["series"], &headings[..]].concat(), &rows));

    let mut rows = Vec::new();
    let (mut source, mut pool) = (source(&ready, GROWTH_ROWS), ready.pool());
    let mut seen = 0;
    for windows in WINDOWS {
        let began = Instant::now();
        let warm = warm(&ready, &mut pool, &mut source, windows - MEASURED - seen);
        if let Some(fault) = warm.first_fault() {
            rows.push(vec![windows.to_string(), fault]);
            break;
        }
        rows.push(measure(&ready, &mut pool, &mut source, windows.to_string(), f64::from(GROWTH_ROWS)));
        seen = windows;
        if began.elapsed() > BUDGET {
            break;
        }
    }
    text.push_str(&format!("\nwith {GROWTH_ROWS} series, by age:\n\n"));
    text.push_str(&table::table(&[&["windows"], &headings[..]].concat(), &rows));
    super::print(&text)
}

/// A service with this many series of the kinds that the detector asks for.
fn source(ready: &Ready, series: u32) -> Feed {
    let wanted: Vec<SeriesKind> = ready.detector.about().wanted().collect();
    let mut feed = Feed::new(ready.step_ns);
    for id in 0..series {
        feed.open(id + 1, wanted.get(id as usize % wanted.len().max(1)).copied().unwrap_or(SeriesKind::Gauge));
    }
    feed
}

fn warm(ready: &Ready, pool: &mut DetectorPool, source: &mut Feed, windows: usize) -> Played {
    let mut last = Played::default();
    // In pieces, so that their windows need not all be kept.
    for _ in 0..windows.div_ceil(MEASURED) {
        let windows: Vec<ClosedWindow> = (0..MEASURED.min(windows)).map(|_| source.ordinary(1.0)).collect();
        last = feed(ready, pool, &windows);
        if last.first_fault().is_some() {
            break;
        }
    }
    last
}

fn measure(ready: &Ready, pool: &mut DetectorPool, source: &mut Feed, label: String, series: f64) -> Vec<String> {
    let windows: Vec<ClosedWindow> = (0..MEASURED).map(|_| source.ordinary(1.0)).collect();
    let played = feed(ready, pool, &windows);
    if let Some(fault) = played.first_fault() {
        return vec![label, fault];
    }
    let mut times: Vec<Duration> = played.judged.iter().map(|judged| judged.took).collect();
    times.sort();
    let state = windows.first().and_then(|window| pool.snapshot(&window.service)).unwrap_or_default();
    if let Some(fault) = pool.poll_health().as_ref().and_then(fault) {
        return vec![label, fault];
    }
    let state: usize = state.models.iter().map(|model| model.bytes.len()).sum();
    let micros = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e6);
    vec![
        label,
        micros(played.median()),
        micros(times.get(times.len() * 95 / 100).copied().unwrap_or_default()),
        format!("{:.0}", played.median().as_secs_f64() * 1e9 / series),
        table::bytes(played.memory),
        table::bytes(state as u64),
    ]
}
