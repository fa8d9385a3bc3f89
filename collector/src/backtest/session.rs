//! One case from its recording to tracks: what each series and each service was said to be, row by row.

use super::{
    Format,
    cases::Case,
    labels::Labels,
    tap::{Bound, Events, Heard, Sample, Sheet, Tap, Told, series_name},
};
use crate::{config::Config, detectors::Loaded, pipeline::overheard::Overheard, replay};
use anyhow::Context as _;
use foreshock_engine::window::ServiceKey;
use foreshock_scoring::{Rows, Track, nab, predictions::Prediction, typical_step};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// One alarm with its words.
#[derive(Clone, Debug)]
pub(super) struct Alarm {
    /// From the row at which it was raised to the last one at which it was up.
    pub(super) rows: Rows,
    pub(super) kind: String,
    pub(super) detector: String,
    pub(super) sentence: String,
}

/// One series, or one service as a whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Scored {
    /// Where its scores are written: a path without extension.
    pub(super) path: String,
    pub(super) track: Track,
    /// Value of each row, NaN where there is none; empty for a service of several series.
    pub(super) values: Vec<f64>,
    pub(super) alarms: Vec<Alarm>,
    pub(super) bounds: Vec<Bound>,
    pub(super) predictions: Vec<Prediction>,
    /// Each row's time as it was written; empty where rows are windows.
    pub(super) texts: Vec<String>,
    /// Rows at the start that came from elsewhere, to learn from.
    pub(super) learned: usize,
}

/// What came of one case.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// Services with all their series together.
    pub(super) services: Vec<Scored>,
    /// Series; those of a service that has only one are the service.
    pub(super) series: Vec<Scored>,
    pub(super) incidents: usize,
    pub(super) unreadable: u64,
    pub(super) left_out: u64,
    pub(super) faults: Vec<String>,
}

/// How cases are played.
pub(super) struct Stage<'a> {
    pub(super) format: Format,
    pub(super) config: &'a Config,
    pub(super) loaded: &'a Loaded,
    pub(super) labels: &'a Labels,
    pub(super) probation: f64,
}

/// The rows of a track before it is known what was said of them.
struct Grid<'a> {
    times: &'a [u64],
    /// The same, never falling, for finding the row of a time.
    ascending: Vec<u64>,
}

impl<'a> Grid<'a> {
    fn new(times: &'a [u64]) -> Self {
        let rise = |largest: &mut u64, time: &u64| {
            *largest = (*largest).max(*time);
            Some(*largest)
        };
        Self { times, ascending: times.iter().scan(0, rise).collect() }
    }

    /// The last row before `time`.
    fn last_before(&self, time: u64) -> Option<usize> {
        self.ascending.partition_point(|at| *at < time).checked_sub(1)
    }

    /// The rows of an alarm that was told at `raised` and whose end was told at `ended`.
    fn alarm(&self, told: &Told) -> Option<Rows> {
        let first = self.last_before(told.raised)?;
        let end = told.ended.map_or(Some(self.times.len()), |ended| self.last_before(ended))?;
        Some(Rows { first, last: end.saturating_sub(1).max(first) })
    }

    /// Scores of the rows. A window's score is known when its last row is: rows before that one, and those without a window, have
    /// the score that was known then.
    fn scores(&self, samples: &[Sample]) -> Vec<f64> {
        let mut scores = vec![f64::NAN; self.times.len()];
        for sample in samples {
            let Some(row) = self.last_before(sample.end) else { continue };
            if self.ascending[row] >= sample.start {
                scores[row] = sample.score;
            }
        }
        let mut known = 0.0;
        let carry = |score: f64| {
            known = if score.is_nan() { known } else { score };
            known
        };
        scores.into_iter().map(carry).collect()
    }
}

impl Stage<'_> {
    /// Plays a case; the error is a whole sentence.
    pub(super) fn play(&self, case: &Case) -> anyhow::Result<Outcome> {
        let played = case.open().map_err(anyhow::Error::msg)?;
        let mut config = self.config.clone();
        config.detection.shards = 1;
        if let Some(table) = &played.table {
            config.detection.window = window(config.detection.window, typical_step(&table.times));
        }
        let sheet = Arc::<Mutex<Sheet>>::default();
        let detectors = || Overheard::new(replay::pool(&config, self.loaded), Tap(Arc::clone(&sheet)));
        let (sum, events) = replay::drive(&config, played.recording, played.ticks, detectors, Events::default())
            .with_context(|| case.name.clone())?;
        let sheet = std::mem::take(&mut *sheet.lock().unwrap_or_else(PoisonError::into_inner));
        let mut outcome = Outcome {
            incidents: events.incidents.len(),
            unreadable: sum.unreadable,
            left_out: sheet.left_out,
            faults: events.faults.clone(),
            ..Outcome::default()
        };
        let mut by_service: BTreeMap<ServiceKey, Vec<&Heard>> = BTreeMap::new();
        for ((service, _), heard) in &sheet.series {
            by_service.entry(service.clone()).or_default().push(heard);
        }
        for (service, series) in by_service {
            let stem = case.name.strip_suffix(".gz").unwrap_or(&case.name);
            let stem = stem.strip_suffix(".csv").unwrap_or(stem).to_owned();
            let path =
                if played.table.is_some() { stem } else { format!("{stem}/{}", file_name(&service.to_string())) };
            let table = played.table.as_ref();
            let mut times: Vec<u64> = match table {
                Some(table) => table.times.clone(),
                None => series.iter().flat_map(|heard| heard.samples.iter().map(|sample| sample.start)).collect(),
            };
            if table.is_none() {
                times.sort_unstable();
                times.dedup();
            }
            let name = if table.is_some() { case.name.clone() } else { service.to_string() };
            let labels = played.truth.clone().unwrap_or_else(|| self.labels.rows(&name, &times));
            let scored_from = played.learned.unwrap_or_else(|| self.scored_from(times.len()));
            let frame = Track { name, labels, scored_from, times, ..Track::default() };
            let texts = table.map(|table| table.texts.clone()).unwrap_or_default();
            let grid = Grid::new(&frame.times);
            let mut all: Vec<Scored> = Vec::new();
            for heard in &series {
                let of_series = |list: &[Told]| -> Vec<Told> {
                    let is_same = |told: &&Told| {
                        told.anomaly.service == service
                            && series_name(&told.anomaly.series) == series_name(&heard.series)
                    };
                    list.iter().filter(is_same).cloned().collect()
                };
                let name = series_name(&heard.series);
                let values = match table
                    .and_then(|table| table.columns.iter().find(|(metric, _)| **metric == *heard.series.name))
                {
                    Some((_, values)) => values.clone(),
                    None => values_at(&frame.times, heard),
                };
                let mut scored = Scored {
                    path: if series.len() == 1 { path.clone() } else { format!("{path}/{}", file_name(&name)) },
                    track: frame.clone(),
                    alarms: of_series(&events.anomalies).iter().filter_map(|told| alarm(&grid, told)).collect(),
                    predictions: of_series(&events.predictions).iter().filter_map(prediction).collect(),
                    bounds: heard.bounds.clone(),
                    texts: texts.clone(),
                    learned: played.learned.unwrap_or(0),
                    values,
                };
                scored.track.name =
                    if series.len() == 1 { frame.name.clone() } else { format!("{} {name}", frame.name) };
                scored.track.scores = grid.scores(&heard.samples);
                scored.settle();
                all.push(scored);
            }
            let mut service_as_one = together(&frame, &path, &texts, &all);
            if let (Some(whole), true) = (sheet.whole.get(&service), all.len() > 1) {
                service_as_one.track.scores = grid.scores(whole);
            }
            outcome.services.push(service_as_one);
            outcome.series.append(&mut all);
        }
        Ok(outcome)
    }

    /// Rows that only warm up.
    fn scored_from(&self, rows: usize) -> usize {
        match self.format {
            Format::Nab => nab::probation(rows),
            Format::Csv | Format::Otlp => (self.probation * rows as f64) as usize,
        }
    }
}

impl Scored {
    /// Brings the alarms into order and hands their rows to the track.
    fn settle(&mut self) {
        self.alarms.sort_by_key(|alarm| alarm.rows);
        self.track.alarms = self.alarms.iter().map(|alarm| alarm.rows).collect();
    }
}

/// All series of a service as one: the largest score of each row, and everybody's alarms. Where a detector judged the service as a
/// whole, its scores take the place of the largest ones.
fn together(frame: &Track, path: &str, texts: &[String], all: &[Scored]) -> Scored {
    if let [one] = all {
        return one.clone();
    }
    let largest = |row: usize| all.iter().map(|scored| scored.track.score(row)).fold(0.0, f64::max);
    let mut service = Scored {
        path: path.to_owned(),
        track: Track { scores: (0..frame.times.len()).map(largest).collect(), ..frame.clone() },
        alarms: all.iter().flat_map(|scored| scored.alarms.iter().cloned()).collect(),
        texts: texts.to_vec(),
        learned: all.first().map_or(0, |scored| scored.learned),
        ..Scored::default()
    };
    service.settle();
    service
}

fn alarm(grid: &Grid<'_>, told: &Told) -> Option<Alarm> {
    let anomaly = &told.anomaly;
    Some(Alarm {
        rows: grid.alarm(told)?,
        kind: anomaly.kind.to_string(),
        detector: anomaly.detector.name.to_string(),
        sentence: anomaly.sentence.clone(),
    })
}

fn prediction(told: &Told) -> Option<Prediction> {
    let forecast = told.anomaly.forecast?;
    Some(Prediction {
        raised: told.raised,
        cleared: told.ended,
        limit: forecast.limit,
        upwards: told.anomaly.observed.is_none_or(|observed| observed <= forecast.limit),
        reaches: forecast.reaches.0,
        earliest: forecast.earliest.0,
        latest: forecast.latest.0,
    })
}

/// The value of each window that starts at one of `times`.
fn values_at(times: &[u64], heard: &Heard) -> Vec<f64> {
    let mut values = vec![f64::NAN; times.len()];
    for sample in &heard.samples {
        if let Ok(row) = times.binary_search(&sample.start) {
            values[row] = sample.value;
        }
    }
    values
}

/// The length of windows: as configured, or the recording's own step where that is longer. A window shorter than the step would be
/// empty most of the time.
fn window(configured: Duration, step_nanos: u64) -> Duration {
    let seconds = (step_nanos as f64 / 1e9).round().clamp(1.0, 86_400.0);
    configured.max(Duration::from_secs(seconds as u64))
}

/// A name that is a file's name everywhere.
fn file_name(name: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '=' | ',') { c } else { '_' };
    let name: String = name.chars().map(safe).take(120).collect();
    if name.starts_with('.') { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    /// Protects the promise that nothing looks ahead: of two rows in one window only the last one has its score, and an alarm is up
    /// from the row at whose window it was told to the one before its end was.
    #[test]
    fn rows_know_nothing_of_later_rows() {
        let times = [0, 300, 450, 600, 900].map(|second| second * S);
        let grid = Grid::new(&times);
        let sample = |start: u64, score: f64| Sample { start: start * S, end: (start + 300) * S, value: 0.0, score };
        let samples = vec![sample(0, f64::NAN), sample(300, 0.5), sample(600, 0.25), sample(900, f64::NAN)];
        assert_eq!(grid.scores(&samples), [0.0, 0.0, 0.5, 0.25, 0.25]);
        assert_eq!(grid.last_before(600 * S), Some(2));
        assert_eq!(grid.last_before(0), None);
    }

    /// The window follows the recording's step, but is never shorter than what was configured.
    #[test]
    fn windows_are_not_shorter_than_steps() {
        assert_eq!(window(Duration::from_secs(10), 300 * S), Duration::from_secs(300));
        assert_eq!(window(Duration::from_secs(10), S), Duration::from_secs(10));
        assert_eq!(file_name("../a b{c=d}"), "_.._a_b_c=d_");
    }
}
