//! Owns the measures on recorded servers with labelled rows: VUS-PR, and alarm episodes at the detector's own alarms.

use crate::{open, read, vus};
use anyhow::{Context, Result, bail};
use foreshock_detector::{Kind, Series, Window};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// A row of a label or a value is taken for a Monday's midnight in the past.
const START_NS: u64 = 1_767_571_200_000_000_000;
/// The share of an episode's rows that must be labelled for it to be no false alarm.
const TRUE_SHARE: f64 = 0.2;

/// Runs the detector over all servers of a folder, one model each, first through `train/`, then `test/`, and tells what it reached
/// on the latter. `step` is in seconds, `widest` the widest buffer of the VUS in rows.
pub(crate) fn measure(detector: &str, folder: &Path, step: u64, config: &str) -> Result<String> {
    let widest = if step <= 60 { 100 } else { 20 };
    let mut report = String::new();
    let (mut volumes, mut days) = (Vec::new(), 0.0);
    let (mut hits, mut labelled, mut right, mut wrong) = (0, 0, 0, 0);
    for path in files(&folder.join("test"))? {
        let name = path.file_name().and_then(|name| name.to_str()).context("a file has a name")?.to_owned();
        let stem = name.split('.').next().unwrap_or_default();
        let labels = labels(&folder.join("test_label"), stem)?;
        let (train, test) = (rows(&folder.join("train").join(&name))?, rows(&path)?);
        if test.len() != labels.len() {
            bail!("{name} has {} rows and {} labels", test.len(), labels.len());
        }
        let (scores, alarms) = run(detector, config, step, &train, &test)?;
        let volume = vus::vus_pr(&scores, &labels, widest);
        let truth = vus::segments(&labels);
        let found = truth.iter().filter(|(first, last)| alarms[*first..=*last].contains(&true)).count();
        let is_right = |episode: &&(usize, usize)| {
            let rows = &labels[episode.0..=episode.1];
            rows.iter().filter(|label| **label).count() as f64 >= TRUE_SHARE * rows.len() as f64
        };
        let episodes = vus::segments(&alarms);
        let good = episodes.iter().filter(is_right).count();
        let bad = episodes.len() - good;
        writeln!(
            report,
            "VUS-PR {volume:.3}, {found}/{} found, {bad} of {} episodes false: {stem}",
            truth.len(),
            episodes.len()
        )?;
        (hits, labelled, right, wrong) = (hits + found, labelled + truth.len(), right + good, wrong + bad);
        days += test.len() as f64 * step as f64 / 86_400.0;
        volumes.push(volume);
    }
    writeln!(
        report,
        "mean VUS-PR {:.3}, event recall {:.2}, precision {:.2}, false alarms a service-day {:.3}",
        volumes.iter().sum::<f64>() / volumes.len().max(1) as f64,
        hits as f64 / labelled as f64,
        right as f64 / (right + wrong).max(1) as f64,
        wrong as f64 / days,
    )?;
    Ok(report)
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

/// The severity of each row of `test`, and whether a finding held there.
fn run(
    detector: &str,
    config: &str,
    step: u64,
    train: &[Vec<f64>],
    test: &[Vec<f64>],
) -> Result<(Vec<f64>, Vec<bool>)> {
    let mut judge = open(detector, config, step)?;
    let (mut scores, mut alarms) = (Vec::new(), Vec::new());
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
            scores.push(judge.severity(&verdict));
            alarms.push(!verdict.findings.is_empty());
        }
    }
    Ok((scores, alarms))
}
