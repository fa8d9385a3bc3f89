//! The report: every measure for the configuration and for the naive detectors, what went worst, and what another configuration
//! changes.

use super::{
    Format,
    scores::for_nab,
    session::{Outcome, Scored},
};
use foreshock_engine::UnixNanos;
use foreshock_scoring::{
    Rows, Track,
    events::{self, Summary},
    nab::{Corpus, PROFILES, Scored as NabScore},
    naive::Naive,
    overlap::Overlap,
    predictions::{self, Fulfilment, Prediction},
    vus,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A prediction must come true within this time.
const HORIZON_NANOS: u64 = 24 * 3_600 * 1_000_000_000;
/// Misses and false alarms that are told one by one.
const WORST: usize = 25;
/// Where the random baseline starts from.
const SEED: u64 = 1;

/// The score on NAB's three profiles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct NabTrack {
    pub(super) standard: NabScore,
    pub(super) reward_low_fp: NabScore,
    pub(super) reward_low_fn: NabScore,
}

/// All measures of one detector on all cases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Measures {
    /// Of whom.
    pub(super) name: String,
    /// Over services: events, delay, and false episodes a service-day.
    pub(super) services: Summary,
    /// Over series: false episodes a series-day. Events are those of the series' service.
    pub(super) series: Summary,
    /// The same by alarms and labels that last, over services.
    pub(super) overlap: Overlap,
    /// Mean over the services that have labels.
    pub(super) vus_pr: Option<f64>,
    /// The alarms as they were raised, at the configuration's own thresholds.
    pub(super) nab_fixed_threshold: Option<NabTrack>,
    /// The scores, at the threshold that NAB's rules fit to the scored data.
    pub(super) nab_threshold_fitted_to_this_data: Option<NabTrack>,
}

/// One missed event or one false episode.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Place {
    pub(super) series: String,
    pub(super) from: String,
    pub(super) to: String,
    /// Largest score in it.
    pub(super) score: f64,
    /// What was said, for false alarms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) said: Option<String>,
}

/// What the second configuration does differently.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Changes {
    pub(super) newly_found: Vec<Place>,
    pub(super) newly_missed: Vec<Place>,
    pub(super) new_false_alarms: Vec<Place>,
    pub(super) false_alarms_gone: Vec<Place>,
}

/// One configuration's part of the report.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Part {
    pub(super) config: String,
    pub(super) measures: Measures,
    /// Alarms by detector and kind, within the scored rows.
    pub(super) alarms: BTreeMap<String, usize>,
    pub(super) incidents: usize,
    pub(super) incidents_per_service_day: Option<f64>,
    pub(super) predictions: predictions::Summary,
    /// Each of them, by series.
    pub(super) predictions_told: BTreeMap<String, Vec<Prediction>>,
    /// Misses, the one with the lowest score first.
    pub(super) misses: Vec<Place>,
    /// False episodes, the one with the highest score first.
    pub(super) false_alarms: Vec<Place>,
    pub(super) faults: Vec<String>,
}

/// The whole of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) format: &'static str,
    pub(super) data: String,
    pub(super) has_labels: bool,
    pub(super) services: usize,
    pub(super) series: usize,
    pub(super) rows: usize,
    pub(super) service_days: f64,
    pub(super) series_days: f64,
    pub(super) unreadable: u64,
    pub(super) series_left_out: u64,
    pub(super) first: Part,
    pub(super) naive: Vec<Measures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) against: Option<Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) changes: Option<Changes>,
}

/// All cases of one configuration.
pub(super) struct Run {
    pub(super) config: String,
    pub(super) outcomes: Vec<Outcome>,
}

impl Run {
    pub(super) fn services(&self) -> impl Iterator<Item = &Scored> {
        self.outcomes.iter().flat_map(|outcome| &outcome.services)
    }

    pub(super) fn series(&self) -> impl Iterator<Item = &Scored> {
        self.outcomes.iter().flat_map(|outcome| &outcome.series)
    }

    /// Series, and services of several series, each once.
    pub(super) fn all(&self) -> Vec<&Scored> {
        let paths: Vec<&str> = self.series().map(|series| series.path.as_str()).collect();
        let whole = self.services().filter(|service| !paths.contains(&service.path.as_str()));
        self.series().chain(whole).collect()
    }
}

/// Puts the report together.
pub(super) fn report(format: Format, data: String, run: &Run, against: Option<&Run>) -> Report {
    let sum = |of: fn(&Outcome) -> u64| run.outcomes.iter().map(of).sum();
    let naive = [Naive::Random { seed: SEED }, Naive::Constant, Naive::Step];
    let has_labels = run.services().any(|scored| !scored.track.labels.is_empty());
    let first = part(format, run);
    Report {
        format: format.name(),
        data,
        has_labels,
        services: run.services().count(),
        series: run.series().count(),
        rows: run.services().map(|scored| scored.track.rows()).sum(),
        service_days: first.measures.services.days,
        series_days: first.measures.series.days,
        unreadable: sum(|outcome| outcome.unreadable),
        series_left_out: sum(|outcome| outcome.left_out),
        naive: naive.into_iter().map(|naive| measures_of_naive(format, naive, run)).collect(),
        against: against.map(|run| part(format, run)),
        changes: against.map(|other| changes(run, other)),
        first,
    }
}

fn part(format: Format, run: &Run) -> Part {
    let tracks: Vec<Track> = run.services().map(|scored| scored.track.clone()).collect();
    let held: Vec<Track> =
        run.services().map(|scored| Track { scores: for_nab(scored), ..scored.track.clone() }).collect();
    let series: Vec<Track> = run.series().map(|scored| scored.track.clone()).collect();
    let measures = measures(format, "foreshock".to_owned(), &tracks, &held, &series);
    let mut alarms = BTreeMap::new();
    for scored in run.series() {
        for alarm in scored.alarms.iter().filter(|alarm| alarm.rows.first >= scored.track.scored_from) {
            *alarms.entry(format!("{}: {}", alarm.detector, alarm.kind)).or_insert(0) += 1;
        }
    }
    let fulfilled: Vec<Fulfilment> = run
        .series()
        .flat_map(|one| predictions::fulfil(&one.predictions, &one.track.times, &one.values, HORIZON_NANOS))
        .collect();
    let told = run.series().filter(|one| !one.predictions.is_empty());
    let predictions_told = told.map(|one| (one.track.name.clone(), one.predictions.clone())).collect();
    let (mut misses, mut false_alarms) = (Vec::new(), Vec::new());
    for scored in run.services() {
        let outcome = events::judge(&scored.track);
        let missed = outcome.events.iter().filter(|event| event.raised.is_none());
        misses.extend(missed.map(|event| place(scored, event.rows, false)));
        false_alarms.extend(outcome.false_episodes.iter().map(|rows| place(scored, *rows, true)));
    }
    misses.sort_by(|a, b| a.score.total_cmp(&b.score).then_with(|| (&a.series, &a.from).cmp(&(&b.series, &b.from))));
    false_alarms
        .sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| (&a.series, &a.from).cmp(&(&b.series, &b.from))));
    misses.truncate(WORST);
    false_alarms.truncate(WORST);
    let incidents = run.outcomes.iter().map(|outcome| outcome.incidents).sum();
    // Incidents are counted from the first row on, so their days are those of all rows.
    let days: f64 = tracks.iter().map(|track| Track { scored_from: 0, ..track.clone() }.scored_days()).sum();
    Part {
        config: run.config.clone(),
        alarms,
        incidents,
        incidents_per_service_day: (days > 0.0).then(|| incidents as f64 / days),
        predictions: predictions::Summary::of(&fulfilled, measures.series.days, HORIZON_NANOS),
        predictions_told,
        measures,
        misses,
        false_alarms,
        faults: run.outcomes.iter().flat_map(|outcome| outcome.faults.iter().cloned()).take(WORST).collect(),
    }
}

/// The measures over services (with `held` their scores for NAB) and series.
fn measures(format: Format, name: String, services: &[Track], held: &[Track], series: &[Track]) -> Measures {
    let judge = |tracks: &[Track]| Summary::of(&tracks.iter().map(events::judge).collect::<Vec<_>>());
    let volumes: Vec<f64> =
        services.iter().filter_map(|track| vus::vus_pr(track, vus::Buffers::for_step(track.step_seconds()))).collect();
    let has_labels = services.iter().any(|track| !track.labels.is_empty());
    let nab = |of: &dyn Fn(usize) -> NabScore| NabTrack { standard: of(0), reward_low_fp: of(1), reward_low_fn: of(2) };
    let is_nab = format == Format::Nab && has_labels;
    let fixed = is_nab.then(|| {
        let corpus = Corpus::of(&services.iter().map(raises).collect::<Vec<_>>());
        nab(&|index| NabScore { score: corpus.at(0.5, &PROFILES[index]), threshold: 0.5 })
    });
    let fitted = is_nab.then(|| {
        let corpus = Corpus::of(held);
        nab(&|index| corpus.optimise(&PROFILES[index]))
    });
    Measures {
        name,
        services: judge(services),
        series: judge(series),
        overlap: Overlap::of(services),
        vus_pr: (!volumes.is_empty()).then(|| volumes.iter().sum::<f64>() / volumes.len() as f64),
        nab_fixed_threshold: fixed,
        nab_threshold_fitted_to_this_data: fitted,
    }
}

/// A track whose scores are its raises.
fn raises(track: &Track) -> Track {
    let mut scores = vec![0.0; track.rows()];
    for alarm in &track.alarms {
        if let Some(score) = scores.get_mut(alarm.first) {
            *score = 1.0;
        }
    }
    Track { scores, ..track.clone() }
}

fn measures_of_naive(format: Format, naive: Naive, run: &Run) -> Measures {
    // Chance must not be the same in every series, so each starts from a place of its own.
    let of = |(index, scored): (usize, &Scored)| {
        let own = match naive {
            Naive::Random { seed } => Naive::Random { seed: seed.wrapping_add(index as u64 * 0x9e37) },
            other => other,
        };
        own.track(&scored.track, &scored.values)
    };
    let services: Vec<Track> = run.services().enumerate().map(of).collect();
    let series: Vec<Track> = run.series().enumerate().map(of).collect();
    measures(format, naive.name().to_owned(), &services, &services, &series)
}

fn place(scored: &Scored, rows: Rows, is_alarm: bool) -> Place {
    let time = |row: usize| match scored.texts.get(row) {
        Some(text) => text.clone(),
        None => UnixNanos(scored.track.times.get(row).copied().unwrap_or(0)).to_string(),
    };
    let said = scored.alarms.iter().find(|alarm| is_alarm && alarm.rows.first == rows.first);
    Place {
        series: scored.track.name.clone(),
        from: time(rows.first),
        to: time(rows.last),
        score: (rows.first..=rows.last).map(|row| scored.track.score(row)).fold(0.0, f64::max),
        said: said.map(|alarm| format!("{}: {}", alarm.detector, alarm.sentence)),
    }
}

fn changes(run: &Run, other: &Run) -> Changes {
    let others: BTreeMap<&str, &Scored> = other.services().map(|scored| (scored.path.as_str(), scored)).collect();
    let mut changes = Changes::default();
    for scored in run.services() {
        let Some(other) = others.get(scored.path.as_str()) else { continue };
        let (one, two) = (events::judge(&scored.track), events::judge(&other.track));
        for (before, after) in one.events.iter().zip(&two.events) {
            match (before.raised, after.raised) {
                (None, Some(_)) => changes.newly_found.push(place(other, after.rows, false)),
                (Some(_), None) => changes.newly_missed.push(place(other, after.rows, false)),
                _ => {}
            }
        }
        let time = |row: usize| scored.track.times.get(row).copied().unwrap_or(0);
        let near = |a: &Rows, b: &Rows| {
            time(a.first) <= time(b.last).saturating_add(events::EPISODE_NANOS)
                && time(b.first) <= time(a.last).saturating_add(events::EPISODE_NANOS)
        };
        let only = |these: &[Rows], those: &[Rows]| -> Vec<Rows> {
            these.iter().filter(|this| !those.iter().any(|that| near(this, that))).copied().collect()
        };
        let new = only(&two.false_episodes, &one.false_episodes);
        let gone = only(&one.false_episodes, &two.false_episodes);
        changes.new_false_alarms.extend(new.into_iter().map(|rows| place(other, rows, true)));
        changes.false_alarms_gone.extend(gone.into_iter().map(|rows| place(scored, rows, true)));
    }
    changes
}
