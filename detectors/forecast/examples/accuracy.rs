//! Measures the detector on generated cases: `cargo run --release -p foreshock-forecast --example accuracy -- SEED CASES`.
//!
//! With a folder as third argument the cases are written there as CSV instead, together with a configuration, for
//! `foreshock backtest csv --data FOLDER/cases --config FOLDER/forecast.yaml`: the same cases through the whole engine.

#[path = "../tests/cases/mod.rs"]
mod cases;

use cases::{BREACHING, HARMLESS, case, measure::figures};
use foreshock_detector::testkit::FIRST_START_NS;
use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::Path,
};

/// The metric is `level`, its limit 1. One window in a row is enough to be told, as the detector confirms for itself.
const CONFIG: &str = "\
receivers: { otlp: { protocols: { grpc: { endpoint: '127.0.0.1:0' } } } }
exporters: { debug: {} }
detectors:
  forecast: { module: 'builtin:forecast', services: ['*'], config: { limits: [{ series: level, limit: 1 }] } }
service:
  pipelines:
    metrics: { receivers: [otlp], detectors: [forecast], exporters: [debug] }
";

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, usual: u64| arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (seed, each) = (number(0, 1), number(1, 20));
    if let Some(folder) = arguments.get(2) {
        return write(Path::new(folder), seed, each);
    }
    let mut out = io::stdout().lock();
    writeln!(out, "seed {seed}, {each} cases of each kind\nkind               warned  false/day")?;
    let mut lines = String::new();
    let sum = figures(seed, each, &mut |kind, warned, wrong| {
        let _ = writeln!(lines, "{:<18} {warned:>6.3} {wrong:>10.4}", format!("{kind:?}"));
    });
    writeln!(out, "{lines}{sum}")
}

fn write(folder: &Path, seed: u64, each: u64) -> io::Result<()> {
    for kind in BREACHING.into_iter().chain(HARMLESS) {
        let place = folder.join("cases").join(format!("{kind:?}"));
        fs::create_dir_all(&place)?;
        for number in 0..each {
            let case = case(kind, seed.wrapping_mul(10_007).wrapping_add(number));
            let mut text = "timestamp,level\n".to_owned();
            for (row, value) in case.values.iter().enumerate() {
                let _ = writeln!(text, "{},{value}", FIRST_START_NS / 1_000_000_000 + (row as f64 * case.step) as u64);
            }
            fs::write(place.join(format!("{number}.csv")), text)?;
        }
    }
    fs::write(folder.join("forecast.yaml"), CONFIG)
}
