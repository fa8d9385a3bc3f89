//! The measures against figures that others published, so that they are known to be the same measures.
//!
//! `tests/nab` holds what two detectors said of two series of numenta/NAB (MIT, see the licence there; scores below 0.5 left out);
//! the series themselves are among the examples. With `FORESHOCK_NAB` set to a folder that holds NAB's `data`, `labels` and
//! `published_scores`, all of its series are scored.

use foreshock_scoring::{
    Rows, Track, events,
    nab::{self, Corpus, PROFILES},
};
use std::{collections::BTreeMap, fs::File, path::Path};

type Scores = BTreeMap<String, BTreeMap<usize, f64>>;

fn nanos(text: &str) -> u64 {
    let local: jiff::civil::DateTime = text.parse().expect("a time");
    let instant = local.to_zoned(jiff::tz::TimeZone::UTC).expect("in range").timestamp();
    u64::try_from(instant.as_nanosecond()).expect("after 1970")
}

fn tracks(series: &Path, windows: &Path, scores: &Scores) -> Vec<Track> {
    let text = std::fs::read_to_string(windows).expect("labels");
    let windows: BTreeMap<String, Vec<[String; 2]>> = serde_json::from_str(&text).expect("windows");
    let track = |(name, windows): (&String, &Vec<[String; 2]>)| {
        let mut reader = csv::Reader::from_path(series.join(name)).expect("a series");
        let times: Vec<u64> = reader.records().map(|record| nanos(&record.expect("a row")[0])).collect();
        let row = |text: &str| times.iter().position(|time| *time == nanos(text)).expect("a labelled row");
        let labels = windows.iter().map(|[first, last]| Rows { first: row(first), last: row(last) }).collect();
        let own = scores.get(name);
        let score = |row: usize| own.and_then(|own| own.get(&row)).copied().unwrap_or(0.0);
        let (scores, scored_from) = ((0..times.len()).map(score).collect(), nab::probation(times.len()));
        Track { name: name.clone(), scores, labels, scored_from, times, ..Track::default() }
    };
    windows.iter().map(track).collect()
}

fn published(path: &Path) -> Scores {
    let file = File::open(path).expect("published scores");
    let mut reader = csv::Reader::from_reader(flate2::read::GzDecoder::new(file));
    let mut scores = Scores::new();
    for record in reader.records() {
        let record = record.expect("a row");
        let number = |column: usize| record[column].parse::<f64>().expect("a number");
        scores.entry(record[0].to_owned()).or_default().insert(number(1) as usize, number(2));
    }
    scores
}

/// Event recall and precision and false episodes a series-day of scores at a threshold.
fn at_threshold(tracks: &[Track], threshold: f64) -> events::Summary {
    let outcomes: Vec<_> = tracks
        .iter()
        .map(|track| {
            let odd = (0..track.rows()).filter(|row| track.score(*row) >= threshold);
            let alarms = odd.map(|row| Rows { first: row, last: row }).collect();
            events::judge(&Track { alarms, ..track.clone() })
        })
        .collect();
    events::Summary::of(&outcomes)
}

/// Every published detector gets the score it got from NAB's own program on all three profiles, and the event figures that were
/// worked out beside it. Needs the data: `FORESHOCK_NAB`.
#[test]
fn published_scores_give_published_results() {
    let Some(root) = std::env::var_os("FORESHOCK_NAB") else { return };
    let root = Path::new(&root);
    let text = std::fs::read_to_string(root.join("published_on_this_half.json")).expect("published results");
    let expected: BTreeMap<String, BTreeMap<String, f64>> = serde_json::from_str(&text).expect("a map");
    assert!(!expected.is_empty());
    for (detector, expected) in expected {
        let scores = published(&root.join(format!("published_scores/{detector}_nonzero.csv.gz")));
        let tracks = tracks(&root.join("data"), &root.join("labels/combined_windows.json"), &scores);
        let corpus = Corpus::of(&tracks);
        for profile in &PROFILES {
            let got = corpus.optimise(profile).score;
            assert!((got - expected[profile.name]).abs() < 0.006, "{detector} {}: {got}", profile.name);
        }
        let summary = at_threshold(&tracks, corpus.optimise(&PROFILES[0]).threshold);
        let near = |got: Option<f64>, key: &str, by: f64| {
            let got = got.expect("a figure");
            assert!((got - expected[key]).abs() <= by, "{detector} {key}: {got}");
        };
        near(summary.recall, "event_recall", 0.0006);
        near(summary.precision, "event_precision", 0.0006);
        near(summary.false_per_day, "false_alarms_per_series_day", 0.0001);
    }
}

/// The same on the committed excerpt. The expected scores are from an independent program in another language that also reproduces
/// NAB's published results.
#[test]
fn an_excerpt_gives_what_nab_gives() {
    let here = Path::new("tests/nab");
    let text = std::fs::read_to_string(here.join("expected.json")).expect("expected scores");
    let expected: BTreeMap<String, BTreeMap<String, [f64; 2]>> = serde_json::from_str(&text).expect("a map");
    assert_eq!(expected.len(), 2);
    let series = Path::new("../../examples/recordings/nab");
    for (detector, profiles) in expected {
        let file = File::open(here.join("scores.csv")).expect("scores");
        let mut scores = Scores::new();
        for record in csv::Reader::from_reader(file).records().map(|record| record.expect("a row")) {
            if record[0] == *detector {
                let (row, score) = (record[2].parse().expect("a row"), record[3].parse().expect("a score"));
                scores.entry(record[1].to_owned()).or_default().insert(row, score);
            }
        }
        let corpus = Corpus::of(&tracks(series, &here.join("windows.json"), &scores));
        for profile in &PROFILES {
            let [threshold, score] = profiles[profile.name];
            let got = corpus.at(threshold, profile);
            assert!((got - score).abs() < 1e-6, "{detector} {}: {got}, not {score}", profile.name);
            assert!(corpus.optimise(profile).score >= got, "{detector} {}", profile.name);
        }
    }
}
