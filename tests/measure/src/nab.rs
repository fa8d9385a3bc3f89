//! Owns the measures on the Numenta Anomaly Benchmark: its three profiles at the detector's own fixed alarms, events and
//! false alarms. Scoring after Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms", 2015.

use crate::{open, read};
use anyhow::{Context, Result};
use foreshock_detector::{Kind, Series, Window};
use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

/// Name, weight of a false alarm, weight of a miss.
const PROFILES: [(&str, f64, f64); 3] = [("standard", 0.11, 1.0), ("low FP", 0.22, 1.0), ("low FN", 0.11, 2.0)];

struct Recording {
    times: Vec<i64>,
    values: Vec<f64>,
    /// First and last row of each labelled window.
    windows: Vec<(usize, usize)>,
}

impl Recording {
    /// Rows at the start that don't count.
    fn probation(&self) -> usize {
        (self.values.len() * 15 / 100).min(750)
    }

    fn days(&self) -> f64 {
        let first = self.times.get(self.probation()).copied().unwrap_or(0);
        (self.times.last().copied().unwrap_or(0) - first) as f64 / 86_400.0
    }

    /// The usual time between rows, in seconds.
    fn step(&self) -> i64 {
        let mut gaps: Vec<i64> = self.times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort_unstable();
        gaps.get(gaps.len() / 2).copied().unwrap_or(300).max(1)
    }
}

/// Runs the detector over all series and tells what it reached.
pub(crate) fn measure(detector: &str, folder: &Path, config: &str) -> Result<String> {
    let labels: BTreeMap<String, Vec<[String; 2]>> =
        serde_json::from_str(&read(&folder.join("labels/combined_windows.json"))?)?;
    let mut report = String::new();
    let mut totals = [(0.0, 0.0, 0.0); 3];
    let (mut hits, mut labelled, mut false_alarms, mut days) = (0, 0, 0, 0.0_f64);
    let mut calm_scores = Vec::new();
    for (name, windows) in &labels {
        let path = folder.join("data").join(name);
        if !fs::exists(&path)? {
            continue;
        }
        let recording = load(&path, windows)?;
        let alarms = run(detector, config, &recording, &mut calm_scores)?;
        let is_hit = |window: &&(usize, usize)| alarms.iter().any(|row| (window.0..=window.1).contains(row));
        let found = recording.windows.iter().filter(is_hit).count();
        let outside = alarms.iter().filter(|row| !recording.windows.iter().any(|(a, b)| (a..=b).contains(row))).count();
        writeln!(report, "{found}/{} hit, {outside} false: {name}", recording.windows.len())?;
        (hits, labelled) = (hits + found, labelled + recording.windows.len());
        (false_alarms, days) = (false_alarms + outside, days + recording.days());
        for (total, (_, false_weight, miss_weight)) in totals.iter_mut().zip(PROFILES) {
            let count = recording.windows.len() as f64;
            *total = (
                total.0 + score(&recording.windows, &alarms, false_weight, miss_weight),
                total.1 - miss_weight * count,
                total.2 + count,
            );
        }
    }
    for ((name, _, _), (raw, none, perfect)) in PROFILES.iter().zip(totals) {
        write!(report, "{name} {:.1}, ", 100.0 * (raw - none) / (perfect - none))?;
    }
    let precision = hits as f64 / (hits + false_alarms).max(1) as f64;
    let recall = hits as f64 / labelled as f64;
    writeln!(
        report,
        "event recall {recall:.3}, precision {precision:.3}, false alarms a series-day {:.4}",
        false_alarms as f64 / days
    )?;
    calm_scores.sort_by(f64::total_cmp);
    for rarity in [2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0] {
        let place = calm_scores.len() as f64 * (1.0 - 10_f64.powf(-rarity));
        write!(
            report,
            "one row in 1e{rarity} scores above {:.2}; ",
            calm_scores.get(place as usize).unwrap_or(&f64::NAN)
        )?;
    }
    report.push('\n');
    Ok(report)
}

fn load(path: &Path, labels: &[[String; 2]]) -> Result<Recording> {
    let seconds = |text: &str| -> Result<i64> {
        let time: jiff::civil::DateTime = text.parse().with_context(|| text.to_owned())?;
        Ok(time.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp().as_second())
    };
    let (mut times, mut values) = (Vec::new(), Vec::new());
    for line in read(path)?.lines().skip(1) {
        let (time, value) = line.split_once(',').context("a row has two columns")?;
        times.push(seconds(time)?);
        values.push(value.parse()?);
    }
    let mut windows = Vec::new();
    for [from, to] in labels {
        let (from, to) = (seconds(from)?, seconds(to)?);
        let first = times.iter().position(|time| *time >= from).context("a label begins after the end")?;
        let last = times.iter().rposition(|time| *time <= to).context("a label ends before the start")?;
        windows.push((first, last));
    }
    Ok(Recording { times, values, windows })
}

/// The rows after the probation at which a finding begins. Appends the scores of unlabelled rows.
fn run(detector: &str, config: &str, recording: &Recording, calm_scores: &mut Vec<f64>) -> Result<Vec<usize>> {
    let probation = recording.probation();
    let step = recording.step();
    let mut judge = open(detector, &config.replace("$P", &probation.max(120).to_string()), step as u64)?;
    let mut alarms = Vec::new();
    let mut was_odd = false;
    for (row, (time, value)) in recording.times.iter().zip(&recording.values).enumerate() {
        let start_ns = *time as u64 * 1_000_000_000;
        let series = Series { id: 1, name: "value".into(), unit: String::new(), kind: Kind::Gauge, attributes: vec![] };
        let verdict = judge.observe(&Window {
            start_ns,
            end_ns: start_ns + step as u64 * 1_000_000_000,
            opened: if row == 0 { vec![series] } else { vec![] },
            closed: vec![],
            ids: vec![1],
            values: vec![*value],
            minima: vec![*value],
            maxima: vec![*value],
            counts: vec![1],
        })?;
        let is_odd = !verdict.findings.is_empty();
        if row >= probation {
            if is_odd && !was_odd {
                alarms.push(row);
            }
            let is_labelled = recording.windows.iter().any(|(from, to)| (from..=to).contains(&&row));
            calm_scores.extend(verdict.scores.iter().filter(|score| !is_labelled && !score.is_nan()));
        }
        was_odd = is_odd;
    }
    Ok(alarms)
}

/// NAB's raw score of one series: each window counts its earliest alarm by how early it is, or a miss, and each alarm outside
/// counts by how far it is behind the last window.
fn score(windows: &[(usize, usize)], alarms: &[usize], false_weight: f64, miss_weight: f64) -> f64 {
    let mut total = 0.0;
    for (from, to) in windows {
        let first = alarms.iter().find(|row| (from..=to).contains(row));
        let width = (to - from + 1) as f64;
        total += first.map_or(-miss_weight, |row| sigmoid(-((to - row + 1) as f64) / width) / sigmoid(-1.0));
    }
    for row in alarms {
        if windows.iter().any(|(from, to)| (from..=to).contains(&row)) {
            continue;
        }
        let before = windows.iter().rev().find(|(_, to)| to < row);
        total +=
            false_weight * before.map_or(-1.0, |(from, to)| sigmoid((row - to) as f64 / (to - from).max(1) as f64));
    }
    total
}

fn sigmoid(position: f64) -> f64 {
    if position > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * position).exp()) - 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out by hand from the paper: an alarm at the start of a window is worth 1, none costs a miss, one far behind
    /// or before all windows costs the whole false alarm.
    #[test]
    fn alarms_are_scored_by_nabs_rules() {
        let windows = [(10, 19), (100, 109)];
        assert!((score(&windows, &[10], 0.11, 1.0) - 0.0).abs() < 1e-12);
        assert!((score(&windows, &[5, 10, 100], 0.11, 2.0) - 1.89).abs() < 1e-12);
        assert!((score(&windows, &[10, 12, 100, 500], 0.22, 1.0) - 1.78).abs() < 1e-12);
        // 2 / (1 + e^(5/9)) - 1 = -0.270832...
        assert!((score(&windows[..1], &[20], 1.0, 1.0) + 1.270_834).abs() < 1e-4);
    }
}
