//! Altered copies of the Numenta Anomaly Benchmark's series, with their labels: what is chosen on the series themselves should hold on
//! these as well, for the events in them are the same and their courses are not.

use super::Options;
use anyhow::{Context, Result, ensure};
use std::{collections::BTreeMap, fs, path::Path};

/// Labelled windows of each file, as times.
type Labels = BTreeMap<String, Vec<[String; 2]>>;
/// Standard deviation of the noise that is added, in median steps from row to row.
const NOISE: f64 = 0.5;

/// A series; windows are first and last rows.
#[derive(Clone, Debug, PartialEq)]
struct Recording {
    times: Vec<String>,
    values: Vec<f64>,
    windows: Vec<(usize, usize)>,
}

/// Writes all copies of all series of a clone of the benchmark into a folder of the same form, where `foreshock backtest nab` finds them.
pub(super) fn convert(options: &Options) -> Result<()> {
    let labels = options.from.join("labels/combined_windows.json");
    let labels = fs::read_to_string(&labels).with_context(|| labels.display().to_string())?;
    let labels: Labels = serde_json::from_str(&labels).context("labels/combined_windows.json")?;
    let mut altered = Labels::new();
    for (name, windows) in &labels {
        let path = options.from.join("data").join(name);
        if !path.exists() {
            continue;
        }
        let recording = read(&path, windows).with_context(|| path.display().to_string())?;
        for (copy, recording) in copies(&recording) {
            let name = format!("{copy}/{name}");
            let window =
                |(first, last): &(usize, usize)| [recording.times[*first].clone(), recording.times[*last].clone()];
            altered.insert(name.clone(), recording.windows.iter().map(window).collect());
            write(&options.to.join("data").join(name), &recording)?;
        }
    }
    ensure!(!altered.is_empty(), "{}: none of the labelled series is there", options.from.display());
    fs::create_dir_all(options.to.join("labels"))?;
    fs::write(options.to.join("labels/combined_windows.json"), serde_json::to_string_pretty(&altered)?)?;
    Ok(())
}

fn read(path: &Path, labels: &[[String; 2]]) -> Result<Recording> {
    let (mut times, mut values) = (Vec::new(), Vec::new());
    for row in csv::Reader::from_path(path)?.into_records() {
        let row = row?;
        let (time, value) = row.get(0).zip(row.get(1)).context("a row has two columns")?;
        times.push(time.to_owned());
        values.push(value.parse().with_context(|| format!("{time}: {value} is no number"))?);
    }
    // Of one form, so that their order is that of the texts; labels have fractions of a second, rows have none.
    let windows = labels.iter().map(|[from, to]| {
        let first = times.partition_point(|time| time.as_str() < whole(from));
        let last = times.partition_point(|time| time.as_str() <= whole(to)).checked_sub(1);
        last.filter(|last| first <= *last).map(|last| (first, last)).context("a label without rows")
    });
    Ok(Recording { windows: windows.collect::<Result<_>>()?, times, values })
}

fn whole(time: &str) -> &str {
    time.split_once('.').map_or(time, |(whole, _)| whole)
}

fn write(path: &Path, recording: &Recording) -> Result<()> {
    fs::create_dir_all(path.parent().context("a series lies in a folder")?)?;
    let mut out = csv::Writer::from_path(path).with_context(|| path.display().to_string())?;
    out.write_record(["timestamp", "value"])?;
    for (time, value) in recording.times.iter().zip(&recording.values) {
        out.write_record([time, &value.to_string()])?;
    }
    Ok(out.flush()?)
}

/// The copies: upside down, backwards, both, without their first tenth and fifth, with noise, at half the pace, and as logarithms.
fn copies(recording: &Recording) -> [(&'static str, Recording); 8] {
    let backwards = recording.backwards();
    [
        ("negated", recording.map(|x| -x)),
        ("reversed", backwards.clone()),
        ("reversed-negated", backwards.map(|x| -x)),
        ("cut-10", recording.cut(recording.values.len() / 10)),
        ("cut-20", recording.cut(recording.values.len() / 5)),
        ("noisy", recording.noisy()),
        ("thinned", recording.thinned()),
        ("logarithm", recording.logarithm()),
    ]
}

impl Recording {
    fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        Self { values: self.values.iter().map(|x| change(*x)).collect(), ..self.clone() }
    }

    /// The values in the other order, at the same times.
    fn backwards(&self) -> Self {
        let end = self.values.len().saturating_sub(1);
        Self {
            times: self.times.clone(),
            values: self.values.iter().rev().copied().collect(),
            windows: self.windows.iter().rev().map(|(first, last)| (end - last, end - first)).collect(),
        }
    }

    /// Without so many rows at the start, and without the windows that begin in them.
    fn cut(&self, rows: usize) -> Self {
        let kept = self.windows.iter().filter(|(first, _)| *first >= rows);
        Self {
            times: self.times[rows..].to_vec(),
            values: self.values[rows..].to_vec(),
            windows: kept.map(|(first, last)| (first - rows, last - rows)).collect(),
        }
    }

    /// With noise of about normal distribution, the same each time.
    fn noisy(&self) -> Self {
        let mut steps: Vec<f64> = self.values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
        steps.sort_by(f64::total_cmp);
        let deviation = NOISE * steps.get(steps.len() / 2).copied().unwrap_or(0.0);
        let mut state = 1_u64;
        // Twelve uniform numbers have a variance of 1 together. Generator: Knuth's MMIX, TAOCP 2, 3.3.4.
        let mut normal = || {
            let uniform = (0..12).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 11) as f64 / (1_u64 << 53) as f64
            });
            uniform.sum::<f64>() - 6.0
        };
        Self { values: self.values.iter().map(|x| x + deviation * normal()).collect(), ..self.clone() }
    }

    /// The means of two rows each.
    fn thinned(&self) -> Self {
        let pairs = self.values.len() / 2;
        let end = pairs.saturating_sub(1);
        Self {
            times: self.times.iter().step_by(2).take(pairs).cloned().collect(),
            values: self.values.chunks_exact(2).map(|pair| f64::midpoint(pair[0], pair[1])).collect(),
            windows: self.windows.iter().map(|(first, last)| ((first / 2).min(end), (last / 2).min(end))).collect(),
        }
    }

    /// Logarithms of how far values lie above the lowest, in quartile distances.
    fn logarithm(&self) -> Self {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |share: usize| sorted.get(sorted.len() * share / 4).copied().unwrap_or(0.0);
        let lowest = at(0);
        let distance = Some(at(3) - at(1)).filter(|distance| *distance > 0.0).unwrap_or(1.0);
        self.map(|x| ((x - lowest) / distance + 0.3).ln())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A label must stay on the values that it was put on, or every figure of a copy is wrong.
    #[test]
    fn labels_follow_their_values() {
        let mut values = vec![1.0; 40];
        values[20..24].fill(100.0);
        let times = (0..40).map(|minute| format!("2026-01-01 00:{minute:02}:00")).collect();
        let original = Recording { times, values, windows: vec![(2, 3), (20, 23)] };
        for (copy, recording) in copies(&original) {
            let far = |(first, last): &(usize, usize)| {
                recording.values[*first..=*last]
                    .iter()
                    .all(|x| (x - recording.values[recording.values.len() / 4]).abs() > 3.0)
            };
            assert_eq!(recording.times.len(), recording.values.len(), "{copy}");
            assert_eq!(recording.windows.iter().filter(|window| far(window)).count(), 1, "{copy}: {recording:?}");
            assert_eq!(recording.windows.len(), if copy.starts_with("cut") { 1 } else { 2 }, "{copy}");
        }
    }

    /// A label's fraction of a second is no reason to lose the row that it begins or ends with.
    #[test]
    fn labels_begin_and_end_with_their_rows() {
        let folder = std::env::temp_dir().join(format!("foreshock-altered-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("series.csv");
        fs::write(&path, "timestamp,value\n2026-01-01 00:00:00,1\n2026-01-01 00:05:00,2\n2026-01-01 00:10:00,3\n")
            .expect("a file");
        let window = |from: &str, to: &str| [format!("2026-01-01 {from}"), format!("2026-01-01 {to}")];
        let recording = read(&path, &[window("00:05:00.000000", "00:10:00.000000")]).expect("two columns");
        assert_eq!(recording.windows, [(1, 2)]);
        assert!(read(&path, &[window("00:06:00.000000", "00:07:00.000000")]).is_err());
        fs::remove_dir_all(&folder).expect("it was there");
    }
}
