//! Plays every scenario of the demonstration with several seeds and prints how they ended, as a table.

use crate::{cargo, run, say, setup, target_directory};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    num::NonZero,
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

const SCENARIOS: [&str; 7] = [
    "deployment-drift",
    "database-saturation",
    "memory-leak",
    "disk-filling",
    "dependency-outage",
    "traffic-surge",
    "calm",
];

/// Seeds that are played unless told otherwise.
const SEEDS: u64 = 5;

/// Plays them. The only argument is the number of seeds.
pub(crate) fn run_all(arguments: &[String]) -> Result<()> {
    let seeds = match arguments {
        [] => SEEDS,
        [number] => number.parse().context("the number of seeds is not a number")?,
        _ => bail!("usage: cargo xtask matrix [SEEDS]"),
    };
    setup::wasm_target()?;
    run(cargo("build").args(["--quiet", "--package", "foreshock"]))?;
    say(&table(&target_directory()?.join("debug/foreshock"), seeds)?);
    Ok(())
}

/// Plays all stories with the program, and gives the table.
pub(crate) fn table(program: &Path, seeds: u64) -> Result<String> {
    let mut table = "\
| scenario | found | first anomaly after | incident after | threshold after | root right, at first and at last | anomalies | false incidents | resolved after |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
        .to_owned();
    let runs: Vec<(&str, u64)> =
        SCENARIOS.iter().flat_map(|scenario| (1..=seeds).map(|seed| (*scenario, seed))).collect();
    let reports = play_all(program, &runs)?;
    for scenario in SCENARIOS {
        let of_it = runs.iter().zip(&reports).filter(|((name, _), _)| *name == scenario);
        table = table + "\n" + &row(scenario, &of_it.map(|(_, report)| report).collect::<Vec<_>>());
    }
    Ok(table)
}

/// Plays stories, as many at once as there are processors: each has ports and a clock of its own, so none minds the others. The
/// reports are in the order of the runs.
fn play_all(program: &Path, runs: &[(&str, u64)]) -> Result<Vec<Value>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut played = Vec::new();
        while let Some((place, (scenario, seed))) = runs.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed)) {
            played.push((place, play(program, scenario, *seed)?));
        }
        anyhow::Ok(played)
    };
    let mut played = thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, NonZero::get);
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let join = |worker: thread::ScopedJoinHandle<'_, _>| worker.join().expect("a story's thread does not panic");
        workers.into_iter().map(join).collect::<Result<Vec<_>>>()
    })?
    .concat();
    played.sort_by_key(|(place, _)| *place);
    Ok(played.into_iter().map(|(_, report)| report).collect())
}

fn play(program: &Path, scenario: &str, seed: u64) -> Result<Value> {
    let report = program.with_file_name(format!("matrix-{scenario}-{seed}.json"));
    let seed = seed.to_string();
    let output = Command::new(program)
        .args(["demo", "--plain", "--speed", "10000", "--scenario", scenario, "--seed", &seed, "--report"])
        .arg(&report)
        .output()
        .context("can't run the demo")?;
    if !output.status.success() {
        bail!("{scenario} with seed {seed} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_str(&std::fs::read_to_string(report)?).context("the demo's report")
}

fn row(scenario: &str, reports: &[&Value]) -> String {
    let all = reports.len();
    let count = |key: &str| reports.iter().filter(|report| report[key] == true).count();
    let found = reports.iter().filter(|report| !report["warned_seconds"].is_null()).count();
    let sum = |key: &str| reports.iter().filter_map(|report| report[key].as_u64()).sum::<u64>();
    let anomalies = range(reports, "anomalies", |number| number.to_string());
    if reports.iter().all(|report| report["has_fault"] == false) {
        return format!("| {scenario} | nothing to find | | | | | {anomalies} | {} | |", sum("false_incidents"));
    }
    format!(
        "| {scenario} | {found} of {all} | {} | {} | {} | {}, {} of {all} | {anomalies} | {} | {} |",
        range(reports, "first_sign_seconds", minutes),
        range(reports, "warned_seconds", minutes),
        range(reports, "threshold_seconds", minutes),
        count("first_root_is_right"),
        count("root_is_right"),
        sum("false_incidents"),
        range(reports, "resolved_seconds", minutes),
    )
}

/// The median, and the least and the largest value.
fn range(reports: &[&Value], key: &str, write: impl Fn(u64) -> String) -> String {
    let mut values: Vec<u64> = reports.iter().filter_map(|report| report[key].as_u64()).collect();
    values.sort_unstable();
    let (Some(least), Some(largest)) = (values.first(), values.last()) else { return "never".to_owned() };
    let median = write(values[values.len() / 2]);
    if least == largest { median } else { format!("{median} ({} to {})", write(*least), write(*largest)) }
}

fn minutes(seconds: u64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table is what is claimed: medians with their range, and counts of what was right.
    #[test]
    fn rows_sum_up() {
        let report = |warned: u64, right: bool| {
            serde_json::json!({
                "has_fault": true, "first_sign_seconds": 50, "warned_seconds": warned, "threshold_seconds": 420, "first_root_is_right": false,
                "root_is_right": right, "resolved_seconds": null, "anomalies": 20, "false_incidents": 1,
            })
        };
        let row = row("disk-filling", &[&report(130, true), &report(70, true), &report(250, false)]);
        let expected = "| disk-filling | 3 of 3 | 0:50 | 2:10 (1:10 to 4:10) | 7:00 | 0, 2 of 3 | 20 | 3 | never |";
        assert_eq!(row, expected);
    }
}
