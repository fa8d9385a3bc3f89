//! Owns the measures on recorded servers with labelled rows: VUS-PR, and episodes of the detector's own alarms.

use crate::{open, read};
use anyhow::{Context, Result, bail};
use foreshock_detector::{Kind, Series, Window};
use foreshock_scoring::{Rows, Track, overlap::Overlap, vus};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// The first row is taken for a Monday's midnight in the past.
const START_NS: u64 = 1_767_571_200_000_000_000;

/// Runs the detector over all servers of a folder, one model each, first through `train/`, then `test/`, and tells what it reached
/// on the latter. `step` is in seconds.
pub(crate) fn measure(detector: &str, folder: &Path, step: u64, config: &str) -> Result<String> {
    let mut report = String::new();
    let (mut volumes, mut tracks) = (Vec::new(), Vec::new());
    for path in files(&folder.join("test"))? {
        let name = path.file_name().and_then(|name| name.to_str()).context("a file has a name")?.to_owned();
        let stem = name.split('.').next().unwrap_or_default();
        let labels = labels(&folder.join("test_label"), stem)?;
        let (train, test) = (rows(&folder.join("train").join(&name))?, rows(&path)?);
        if test.len() != labels.len() {
            bail!("{name} has {} rows and {} labels", test.len(), labels.len());
        }
        let mut track = run(detector, config, step, &train, &test)?;
        track.labels = runs(&labels);
        let volume = vus::vus_pr(&track, vus::Buffers::for_step(step as f64)).unwrap_or(0.0);
        tell(&mut report, &format!("{stem}: VUS-PR {volume:.3}"), &[&track])?;
        volumes.push(volume);
        tracks.push(track);
    }
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len().max(1) as f64;
    tell(&mut report, &format!("mean VUS-PR {:.3}", mean(&volumes)), &tracks.iter().collect::<Vec<_>>())?;
    for (title, odd) in [("half 1", 0), ("half 2", 1)] {
        let volumes: Vec<f64> = volumes.iter().skip(odd).step_by(2).copied().collect();
        let half: Vec<&Track> = tracks.iter().skip(odd).step_by(2).collect();
        if !half.is_empty() {
            tell(&mut report, &format!("{title}: mean VUS-PR {:.3}", mean(&volumes)), &half)?;
        }
    }
    Ok(report)
}

fn tell(report: &mut String, title: &str, tracks: &[&Track]) -> Result<()> {
    let sum = Overlap::of(tracks.iter().copied());
    let share = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    writeln!(
        report,
        "{title}, {}/{} found ({}), {} of {} episodes right ({}), false alarms a service-day {}",
        sum.found,
        sum.events,
        share(sum.recall),
        sum.right,
        sum.episodes,
        share(sum.precision),
        share(sum.false_per_day),
    )?;
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort();
    Ok(files)
}

fn rows(path: &Path) -> Result<Vec<Vec<f64>>> {
    let row = |line: &str| line.split(',').map(|cell| cell.parse().context("a cell is a number")).collect();
    read(path)?.lines().map(row).collect()
}

fn labels(folder: &Path, stem: &str) -> Result<Vec<bool>> {
    let path = [format!("{stem}.txt"), format!("{stem}.txt.gz")].map(|name| folder.join(name));
    let path = path.iter().find(|path| path.exists()).with_context(|| format!("{stem} has no labels"))?;
    Ok(read(path)?.lines().map(|line| line.trim() == "1").collect())
}

fn runs(labels: &[bool]) -> Vec<Rows> {
    labels
        .chunk_by(|a, b| a == b)
        .scan(0, |at, run| {
            let first = *at;
            *at += run.len();
            Some((run[0], Rows { first, last: *at - 1 }))
        })
        .filter_map(|(is_labelled, rows)| is_labelled.then_some(rows))
        .collect()
}

/// The severity of each row of `test`, and an alarm wherever a finding holds.
fn run(detector: &str, config: &str, step: u64, train: &[Vec<f64>], test: &[Vec<f64>]) -> Result<Track> {
    let mut judge = open(detector, config, step)?;
    let mut track = Track::default();
    let mut is_odd = Vec::new();
    for (row, values) in train.iter().chain(test).enumerate() {
        let start_ns = START_NS + row as u64 * step * 1_000_000_000;
        let ids: Vec<u32> = (0..values.len() as u32).collect();
        let series = |id: &u32| Series {
            id: *id,
            name: format!("metric.{id}"),
            unit: String::new(),
            kind: Kind::Gauge,
            attributes: vec![],
        };
        let window = Window {
            start_ns,
            end_ns: start_ns + step * 1_000_000_000,
            opened: if row == 0 { ids.iter().map(series).collect() } else { vec![] },
            closed: vec![],
            ids,
            values: values.clone(),
            minima: values.clone(),
            maxima: values.clone(),
            counts: vec![1; values.len()],
        };
        let verdict = judge.observe(&window)?;
        if row >= train.len() {
            track.times.push(start_ns);
            track.scores.push(judge.severity(&verdict));
            is_odd.push(!verdict.findings.is_empty());
        }
    }
    track.alarms = runs(&is_odd);
    Ok(track)
}
