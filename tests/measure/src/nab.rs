//! Owns the measures on the Numenta Anomaly Benchmark: its three profiles at the detector's own alarms, events and false alarms, on all
//! series and on each half of them, so that what is tuned on one can be looked at on the other.

use crate::{open, read};
use anyhow::{Context, Result};
use foreshock_detector::{Kind, Series, Window};
use foreshock_scoring::{
    Rows, Track,
    events::{self, Summary},
    nab::{Corpus, PROFILES, probation, refractory},
    typical_step,
};
use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

struct Recording {
    track: Track,
    values: Vec<f64>,
}

/// Runs the detector over all series and tells what it reached.
pub(crate) fn measure(detector: &str, folder: &Path, config: &str) -> Result<String> {
    let labels: BTreeMap<String, Vec<[String; 2]>> =
        serde_json::from_str(&read(&folder.join("labels/combined_windows.json"))?)?;
    let mut report = String::new();
    let mut tracks = Vec::new();
    for (name, windows) in &labels {
        let path = folder.join("data").join(name);
        if !fs::exists(&path)? {
            continue;
        }
        let mut recording = load(&path, windows)?;
        run(detector, config, &mut recording)?;
        let track = Track { name: name.clone(), ..recording.track };
        let outcome = events::judge(&track);
        let found = outcome.events.iter().filter(|event| event.raised.is_some()).count();
        writeln!(report, "{found}/{} found, {} false: {name}", outcome.events.len(), outcome.false_episodes.len())?;
        tracks.push(track);
    }
    let half = |odd: usize| tracks.iter().skip(odd).step_by(2).collect::<Vec<_>>();
    sum(&mut report, "all   ", &tracks.iter().collect::<Vec<_>>())?;
    sum(&mut report, "half 1", &half(0))?;
    sum(&mut report, "half 2", &half(1))?;
    Ok(report)
}

fn sum(report: &mut String, title: &str, tracks: &[&Track]) -> Result<()> {
    let raises: Vec<Track> = tracks.iter().map(|track| as_raised(track)).collect();
    let corpus = Corpus::of(&raises);
    write!(report, "{title}")?;
    for profile in &PROFILES {
        write!(report, " {} {:.1},", profile.name, corpus.at(0.5, profile))?;
    }
    let outcomes: Vec<_> = tracks.iter().map(|track| events::judge(track)).collect();
    let summary = Summary::of(&outcomes);
    let number = |value: Option<f64>| value.unwrap_or(f64::NAN);
    write!(
        report,
        " event recall {:.3}, precision {:.3}, false alarms a series-day {:.4}; fitted",
        number(summary.recall),
        number(summary.precision),
        number(summary.false_per_day)
    )?;
    let held: Vec<Track> = tracks
        .iter()
        .map(|track| {
            let scores = refractory(&track.scores, probation(track.rows()) / 10, 3.6 / 16.0, 1.12);
            Track { scores, ..(*track).clone() }
        })
        .collect();
    let corpus = Corpus::of(&held);
    for profile in &PROFILES {
        write!(report, " {:.1}", corpus.optimise(profile).score)?;
    }
    writeln!(report)?;
    Ok(())
}

/// A track whose scores are its raises.
fn as_raised(track: &Track) -> Track {
    let mut scores = vec![0.0; track.rows()];
    for alarm in &track.alarms {
        scores[alarm.first] = 1.0;
    }
    Track { scores, ..track.clone() }
}

fn load(path: &Path, labels: &[[String; 2]]) -> Result<Recording> {
    let nanos = |text: &str| -> Result<u64> {
        let time: jiff::civil::DateTime = text.parse().with_context(|| text.to_owned())?;
        Ok(time.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp().as_nanosecond().try_into()?)
    };
    let (mut times, mut values) = (Vec::new(), Vec::new());
    for line in read(path)?.lines().skip(1) {
        let (time, value) = line.split_once(',').context("a row has two columns")?;
        times.push(nanos(time)?);
        values.push(value.parse()?);
    }
    let mut windows = Vec::new();
    for [from, to] in labels {
        let (from, to) = (nanos(from)?, nanos(to)?);
        let first = times.iter().position(|time| *time >= from).context("a label begins after the end")?;
        let last = times.iter().rposition(|time| *time <= to).context("a label ends before the start")?;
        windows.push(Rows { first, last });
    }
    let track = Track { scored_from: probation(times.len()), labels: windows, times, ..Track::default() };
    Ok(Recording { track, values })
}

/// Plays a recording: its scores, and an alarm from where a finding begins to where it ends.
fn run(detector: &str, config: &str, recording: &mut Recording) -> Result<()> {
    let step = (typical_step(&recording.track.times) / 1_000_000_000).max(1);
    let probation = recording.track.scored_from;
    let mut judge = open(detector, &config.replace("$P", &probation.max(120).to_string()), step)?;
    let mut was_odd = false;
    for (row, (start_ns, value)) in recording.track.times.iter().zip(&recording.values).enumerate() {
        let series = Series { id: 1, name: "value".into(), unit: String::new(), kind: Kind::Gauge, attributes: vec![] };
        let verdict = judge.observe(&Window {
            start_ns: *start_ns,
            end_ns: start_ns + step * 1_000_000_000,
            opened: if row == 0 { vec![series] } else { vec![] },
            closed: vec![],
            ids: vec![1],
            values: vec![*value],
            minima: vec![*value],
            maxima: vec![*value],
            counts: vec![1],
        })?;
        let is_odd = !verdict.findings.is_empty();
        match recording.track.alarms.last_mut() {
            Some(alarm) if is_odd && was_odd => alarm.last = row,
            _ if is_odd => recording.track.alarms.push(Rows { first: row, last: row }),
            _ => {}
        }
        was_odd = is_odd;
        let score = verdict.scores.first().copied().filter(|score| !score.is_nan()).unwrap_or(0.0);
        recording.track.scores.push(score / 16.0);
    }
    Ok(())
}
