//! Listens to detection while a recording is played: every window's values and scores, and every event.

use crate::pipeline::{correlate::Outlet, overheard::Ear};
use foreshock_engine::{
    UnixNanos,
    calibration::{Calibration, Weights},
    event::{Anomaly, AnomalyChange, Event, IncidentChange, PredictionChange},
    verdict::{Detector, Detectors, Severity, Verdict},
    window::{ClosedWindow, Series, ServiceKey},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Series followed in one recording; further ones are counted and left out.
const MOST_SERIES: usize = 20_000;
/// Surprise is at most this, see `verdict.scores` in `wit/detector.wit`.
const MOST_SURPRISE: f64 = 16.0;
/// The detector that judges a service as a whole. Where it has an opinion, that is how odd the service is; the largest of many
/// series' scores would be the one whose tail is guessed worst.
const WHOLE: &str = "joint";

/// Which series of which service.
pub(super) type SeriesKey = (ServiceKey, String);

/// One window of one series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) value: f64,
    /// The largest of all detectors as the engine calibrates and weighs them, 0 to 1; NaN where none has an opinion.
    pub(super) score: f64,
}

/// What a finding said was normal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) time: u64,
    pub(super) lower: f64,
    pub(super) upper: f64,
}

/// All that was heard of one series.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) series: Arc<Series>,
    pub(super) samples: Vec<Sample>,
    pub(super) bounds: Vec<Bound>,
}

/// All that was heard of a recording before events.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    pub(super) series: BTreeMap<SeriesKey, Heard>,
    /// What was said of services as a whole.
    pub(super) whole: BTreeMap<ServiceKey, Vec<Sample>>,
    pub(super) left_out: u64,
    /// What was learned of the detectors' scores, as the engine learns it.
    calibrations: BTreeMap<ServiceKey, Calibration>,
    ids: BTreeMap<(ServiceKey, u32), Option<SeriesKey>>,
}

/// A series in words that name no other series of its service.
pub(super) fn series_name(series: &Series) -> String {
    let mut name = series.name.to_string();
    for (index, (key, value)) in series.attributes.iter().enumerate() {
        name.push_str(if index == 0 { "{" } else { "," });
        name.push_str(&format!("{key}={value}"));
    }
    if !series.attributes.is_empty() {
        name.push('}');
    }
    name
}

impl Sheet {
    fn take(&mut self, closed: &ClosedWindow, weights: &Weights, verdicts: &[(Arc<Detector>, Verdict)]) {
        let (service, window) = (&closed.service, &closed.window);
        for series in &window.opened {
            let key = (service.clone(), series_name(series));
            if !self.series.contains_key(&key) && self.series.len() >= MOST_SERIES {
                self.left_out += 1;
                self.ids.insert((service.clone(), series.id), None);
                continue;
            }
            let heard = || Heard { series: Arc::clone(series), samples: Vec::new(), bounds: Vec::new() };
            self.series.entry(key.clone()).or_insert_with(heard);
            let before = self.ids.insert((service.clone(), series.id), Some(key.clone()));
            if before.is_some_and(|before| before.as_ref() != Some(&key)) {
                self.calibrations.entry(service.clone()).or_default().forget(series.id);
            }
        }
        let judged = self.calibrations.entry(service.clone()).or_default().judge(weights, verdicts);
        let key_of = |id: u32| self.ids.get(&(service.clone(), id)).and_then(Option::as_ref);
        let mut scores: BTreeMap<u32, f64> = BTreeMap::new();
        let said = judged.iter().flat_map(|(_, verdict)| {
            // A finding about several series is told of the first, which is the most telling one.
            let findings = verdict.findings.iter().filter(|finding| finding.forecast.is_none());
            let findings = findings.filter_map(|finding| Some((*finding.ids.first()?, finding.score)));
            verdict.scores.iter().copied().chain(findings)
        });
        for (id, score) in said {
            let largest = scores.entry(id).or_insert(0.0);
            *largest = f64::max(*largest, (score / MOST_SURPRISE).clamp(0.0, 1.0));
        }
        for (row, id) in window.ids.iter().enumerate().take(window.rows()) {
            let Some(heard) = key_of(*id).and_then(|key| self.series.get_mut(key)) else { continue };
            let score = scores.get(id).copied().unwrap_or(f64::NAN);
            heard.samples.push(Sample { start: window.start.0, end: window.end.0, value: window.values[row], score });
        }
        for (_, verdict) in verdicts.iter().filter(|(detector, _)| &*detector.name == WHOLE) {
            let scores = verdict.scores.iter().map(|(_, score)| *score).filter(|score| score.is_finite());
            let Some(score) = scores.reduce(f64::max) else { continue };
            let score = (score / MOST_SURPRISE).clamp(0.0, 1.0);
            let sample = Sample { start: window.start.0, end: window.end.0, value: f64::NAN, score };
            self.whole.entry(service.clone()).or_default().push(sample);
        }
        for finding in verdicts.iter().flat_map(|(_, verdict)| &verdict.findings) {
            let key = finding.ids.first().and_then(|id| key_of(*id));
            let (Some(key), Some(lower), Some(upper)) = (key, finding.lower, finding.upper) else { continue };
            if let Some(heard) = self.series.get_mut(key) {
                heard.bounds.push(Bound { time: window.start.0, lower, upper });
            }
        }
        for id in &window.closed {
            if !window.opened.iter().any(|series| series.id == *id) {
                self.ids.remove(&(service.clone(), *id));
                self.calibrations.entry(service.clone()).or_default().forget(*id);
            }
        }
    }
}

impl Sheet {
    /// Forgets what was learned of a service, and which series its ids stood for, but nothing that was heard.
    fn forget(&mut self, service: &ServiceKey) {
        self.calibrations.remove(service);
        self.ids.retain(|(of, _), _| of != service);
    }
}

/// Writes what it hears on a sheet.
pub(super) struct Tap(pub(super) Arc<Mutex<Sheet>>);

impl<D: Detectors> Ear<D> for Tap {
    fn hear(&mut self, detectors: &mut D, closed: &ClosedWindow, verdicts: &[(Arc<Detector>, Verdict)]) {
        let weights = detectors.weights();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(closed, &weights, verdicts);
    }

    fn forget(&mut self, service: &ServiceKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).forget(service);
    }
}

/// An anomaly or a prediction, from when it was told as a warning or worse to when its end was.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) anomaly: Arc<Anomaly>,
    pub(super) raised: u64,
    pub(super) ended: Option<u64>,
}

/// All events of a recording that count.
#[derive(Debug, Default)]
pub(super) struct Events {
    pub(super) anomalies: Vec<Told>,
    pub(super) predictions: Vec<Told>,
    /// When incidents were opened or came back.
    pub(super) incidents: Vec<u64>,
    /// What detectors failed at.
    pub(super) faults: Vec<String>,
}

fn tell(list: &mut Vec<Told>, anomaly: &Arc<Anomaly>, time: UnixNanos, is_over: bool) {
    let known = list.iter_mut().rev().find(|told| told.anomaly.id == anomaly.id && told.ended.is_none());
    match (known, is_over) {
        (Some(told), true) => told.ended = Some(time.0),
        // What is worth knowing and no more wakes nobody.
        (None, false) if anomaly.severity == Severity::Info => {}
        (None, false) => list.push(Told { anomaly: Arc::clone(anomaly), raised: time.0, ended: None }),
        (Some(_), false) | (None, true) => {}
    }
}

impl Outlet for Events {
    fn take(&mut self, _now: UnixNanos, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Anomaly { change, time, anomaly, .. } if anomaly.forecast.is_none() => {
                    tell(&mut self.anomalies, &anomaly, time, change == AnomalyChange::Ended);
                }
                Event::Prediction { change, time, anomaly, .. } => {
                    tell(&mut self.predictions, &anomaly, time, change == PredictionChange::Cleared);
                }
                Event::Incident { change: IncidentChange::Opened | IncidentChange::Reopened, time, .. } => {
                    self.incidents.push(time.0);
                }
                Event::DetectorHealth(health) if health.reason.is_some() => {
                    self.faults.push(format!("{} on {}: {}", health.detector.name, health.service, health.message));
                }
                Event::Anomaly { .. } | Event::Incident { .. } | Event::Trace { .. } | Event::DetectorHealth(_) => {}
            }
        }
    }
}
