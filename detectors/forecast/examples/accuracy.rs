//! Measures the detector on generated cases: `cargo run --release -p foreshock-forecast --example accuracy -- SEED CASES`.
//!
//! `--json` prints the figures as JSON. With `--write FOLDER` the cases are written there as CSV instead, together with a configuration, for
//! `foreshock backtest csv --data FOLDER/cases --config FOLDER/forecast.yaml --json REPORT`: the same cases through the whole engine. `--told
//! REPORT` then measures what came out of that.

#[path = "../tests/cases/mod.rs"]
mod cases;

use cases::{
    ADDED, BREACHING, Case, HARMLESS, Kind, case,
    measure::{Figures, Word, figures, judge, play},
};
use foreshock_detector::testkit::FIRST_START_NS;
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::Path,
};

/// The metric is `level` or, where it is a disk's, `disk.level`; its limit is 1.
const CONFIG: &str = "\
receivers: { otlp: { protocols: { grpc: { endpoint: '127.0.0.1:0' } } } }
exporters: { debug: {} }
detectors:
  forecast: { module: 'builtin:forecast', services: ['*'], config: { limits: [{ series: level, limit: 1 }, { series: disk.level, limit: 1 }] } }
service:
  pipelines:
    metrics: { receivers: [otlp], detectors: [forecast], exporters: [debug] }
";

fn main() -> io::Result<()> {
    let (mut numbers, mut folder, mut report, mut as_json) = (Vec::new(), None, None, false);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => as_json = true,
            "--write" => folder = words.next(),
            "--told" => report = words.next(),
            number => {
                numbers.push(number.parse::<u64>().map_err(|error| io::Error::other(format!("{number}: {error}")))?);
            }
        }
    }
    let (seed, each) = (numbers.first().copied().unwrap_or(1), numbers.get(1).copied().unwrap_or(20));
    if let Some(folder) = folder {
        return write(Path::new(&folder), seed, each);
    }
    let told: Option<Value> =
        report.map(|path| Ok::<_, io::Error>(serde_json::from_str(&fs::read_to_string(path)?)?)).transpose()?;
    let mut kinds = serde_json::Map::new();
    let mut lines = String::new();
    let first: Vec<Kind> = BREACHING.into_iter().chain(HARMLESS).collect();
    let [first, added] = [first.as_slice(), &ADDED].map(|of| {
        figures(
            of,
            seed,
            each,
            &mut |kind, number, case| match &told {
                Some(report) => judge(case, &words_of(report, kind, number, case)),
                None => play(kind, case),
            },
            &mut |kind, of| {
                let name = format!("{kind:?}");
                let _ = writeln!(lines, "{name:<18} {of}");
                kinds.insert(
                    name,
                    json!({ "warned": of.warned, "false_per_day": of.false_per_day, "coverage": of.coverage }),
                );
            },
        )
    });
    let mut out = io::stdout().lock();
    if as_json {
        let mut sum = as_object(&first);
        sum["added"] = as_object(&added);
        sum["kinds"] = Value::Object(kinds);
        return writeln!(out, "{sum}");
    }
    writeln!(
        out,
        "seed {seed}, {each} cases of each kind\nkind               warned  false/day intervals held\n{lines}{first}"
    )?;
    writeln!(out, "kinds added later:\n{added}")
}

fn as_object(sum: &Figures) -> Value {
    json!({
        "recall": sum.recall, "lead": sum.lead, "precision": sum.precision, "precision_breaching": sum.precision_breaching,
        "false_per_day": sum.false_per_day, "coverage": sum.coverage, "first_error": sum.first_error,
    })
}

/// What a backtest's report says was told of a case, row by row.
fn words_of(report: &Value, kind: Kind, number: u64, case: &Case) -> Vec<Word> {
    let mut said = vec![None; case.values.len()];
    let told = &report["first"]["predictions_told"][format!("{kind:?}/{number}.csv")];
    for one in told.as_array().into_iter().flatten() {
        let since = |key: &str| one[key].as_u64().map(|at| (at as f64 - FIRST_START_NS as f64) / 1e9);
        let (Some(raised), Some(reaches)) = (since("raised"), since("reaches")) else { continue };
        let (Some(earliest), Some(latest)) = (since("earliest"), since("latest")) else { continue };
        // A row is known when its window ends.
        let row = |seconds: f64| ((seconds / case.step).ceil() as usize).saturating_sub(1);
        let end = since("cleared").map_or(said.len(), row).min(said.len());
        for word in said.get_mut(row(raised)..end).unwrap_or_default() {
            *word = Some((earliest, reaches, latest));
        }
    }
    said
}

fn write(folder: &Path, seed: u64, each: u64) -> io::Result<()> {
    for kind in BREACHING.into_iter().chain(HARMLESS).chain(ADDED) {
        let place = folder.join("cases").join(format!("{kind:?}"));
        fs::create_dir_all(&place)?;
        for number in 0..each {
            let case = case(kind, seed.wrapping_mul(10_007).wrapping_add(number));
            let mut text = format!("timestamp,{}\n", kind.series());
            for (row, value) in case.values.iter().enumerate() {
                let _ = writeln!(text, "{},{value}", FIRST_START_NS / 1_000_000_000 + (row as f64 * case.step) as u64);
            }
            fs::write(place.join(format!("{number}.csv")), text)?;
        }
    }
    fs::write(folder.join("forecast.yaml"), CONFIG)
}
