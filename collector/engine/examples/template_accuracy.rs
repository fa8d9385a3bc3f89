//! Measures the template miner on labelled logs: grouping accuracy and speed.
//!
//! Takes a folder; each CSV file below it with the columns `Content` and `EventTemplate` is one system. Grouping accuracy is
//! the share of lines whose group, as a set of lines, is exactly the one that the labels give.

use foreshock_engine::templates::{TemplateLimits, TemplateMiner};
use std::{
    collections::BTreeMap,
    error::Error,
    io::{Write, stdout},
    path::{Path, PathBuf},
    time::Duration,
};

/// How often the lines are fed again to time known signatures.
const ROUNDS: usize = 50;

/// Log lines, and at the same place the template that each belongs to.
#[derive(Default)]
struct Labelled {
    lines: Vec<String>,
    labels: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: template_accuracy FOLDER")?;
    let mut files = Vec::new();
    collect(Path::new(&folder), &mut files)?;
    files.sort();
    let mut out = stdout().lock();
    let mut sum = [0.0_f64; 2];
    let mut systems = 0.0;
    for file in &files {
        let Some(Labelled { lines, labels }) = read(file)? else { continue };
        let mut miner = TemplateMiner::new(TemplateLimits::default());
        let began = processor_time()?;
        let at_once: Vec<u64> = lines.iter().map(|line| miner.observe(line).id).collect();
        let cold = processor_time()? - began;
        let merged: Vec<u64> = at_once.iter().map(|id| miner.resolve(*id)).collect();
        let accuracies = [accuracy(&merged, &labels), accuracy(&at_once, &labels)];
        let templates = miner.len();
        let memory = miner.memory_bytes() / 1024;
        let began = processor_time()?;
        for _ in 0..ROUNDS {
            for line in &lines {
                std::hint::black_box(miner.observe(line));
            }
        }
        let warm = processor_time()? - began;
        let per_line = |time: Duration, rounds: usize| time.as_secs_f64() * 1e9 / (lines.len() * rounds) as f64;
        writeln!(
            out,
            "{:<40} accuracy {:.4} (at once {:.4}), {templates} templates, {memory} KiB, {:.0} ns a line learning, {:.0} ns warm",
            file.file_stem().unwrap_or_default().to_string_lossy(),
            accuracies[0],
            accuracies[1],
            per_line(cold, 1),
            per_line(warm, ROUNDS),
        )?;
        if std::env::args_os().nth(2).is_some() {
            for (_, text, count) in miner.templates() {
                writeln!(out, "    {count:>6} {text}")?;
            }
        }
        systems += 1.0;
        sum[0] += accuracies[0];
        sum[1] += accuracies[1];
    }
    writeln!(out, "mean of {systems}: {:.4} (at once {:.4})", sum[0] / systems, sum[1] / systems)?;
    Ok(())
}

/// Time this thread has spent on a processor, which other load on the machine does not change. Linux only.
fn processor_time() -> Result<Duration, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split_whitespace().next().ok_or("no time in schedstat")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            collect(&entry?.path(), files)?;
        }
    } else if path.extension().is_some_and(|extension| extension == "csv") {
        files.push(path.to_owned());
    }
    Ok(())
}

/// Reads the lines and their labels; `None` if the file has other columns.
fn read(path: &Path) -> Result<Option<Labelled>, Box<dyn Error>> {
    let mut reader = csv::Reader::from_path(path)?;
    let headers = reader.headers()?.clone();
    let column = |name: &str| headers.iter().position(|header| header == name);
    let (Some(content), Some(template)) = (column("Content"), column("EventTemplate")) else { return Ok(None) };
    let mut labelled = Labelled::default();
    for record in reader.records() {
        let record = record?;
        labelled.lines.push(record.get(content).unwrap_or_default().to_owned());
        labelled.labels.push(record.get(template).unwrap_or_default().to_owned());
    }
    Ok(Some(labelled))
}

fn accuracy(groups: &[u64], labels: &[String]) -> f64 {
    let (mut by_group, mut by_label) = (BTreeMap::<u64, usize>::new(), BTreeMap::<&str, usize>::new());
    let mut by_both = BTreeMap::<(u64, &str), usize>::new();
    for (group, label) in groups.iter().zip(labels) {
        *by_group.entry(*group).or_default() += 1;
        *by_label.entry(label).or_default() += 1;
        *by_both.entry((*group, label)).or_default() += 1;
    }
    let right: usize = by_both
        .iter()
        .filter(|((group, label), count)| by_group[group] == **count && by_label[label] == **count)
        .map(|(_, count)| count)
        .sum();
    right as f64 / groups.len().max(1) as f64
}
