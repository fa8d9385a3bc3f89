//! One fault, one voice: the odd series of one metric that say the same make one anomaly.
//!
//! A slow service shows in the mean and in every quantile, as a whole and per operation, and several detectors see each. Every
//! series keeps its own hysteresis (`track`); what they say is put together here, by service, metric and direction. The strongest
//! speaks, under the id of the first; the others become its evidence. It ends with the last of them.
//!
//! Counts are apart from values, since traffic is another sign than latency; so are log patterns of another severity or another
//! kind of finding. Forecasts stay alone: each full disk is news.

use super::{
    AnomalySettings,
    track::{Lane, Said},
    volume::series_key,
    words,
};
use crate::{
    anomaly::units::format_value,
    event::{Anomaly, AnomalyChange},
    time::UnixNanos,
    verdict::Severity,
    window::{ClosedWindow, Series, SeriesKind},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Other series that are told as evidence, the strongest.
const MAX_ALSO: usize = 8;

/// A series of one service, and what is judged of it.
pub(super) type TrackKey = (u64, Lane);

/// What belongs together, but for the direction.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Class {
    lane: Lane,
    name: Arc<str>,
    /// What tells apart under one name.
    what: String,
}

/// Another odd series of the same metric.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Also {
    series: Arc<Series>,
    severity: Severity,
    surprise: f64,
    observed: Option<f64>,
    expected: Option<f64>,
}

/// An open anomaly.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Family {
    class: Class,
    /// Whether the values are higher than expected; `None` while nobody says.
    rises: Option<bool>,
    /// The series that are still odd.
    members: BTreeSet<TrackKey>,
    /// Start of the series that joined last.
    joined: UnixNanos,
    /// As the strongest says it, under the first id. Its resource is left out here.
    speaker: Anomaly,
    speaker_key: u64,
    summary: String,
    also: BTreeMap<u64, Also>,
    told_severity: Severity,
    told_surprise: f64,
    told: UnixNanos,
}

/// The open anomalies of one service, in the order in which they began.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Families {
    open: Vec<Family>,
}

impl Families {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Takes what the tracks say at the end of a window, and gives what is to be told.
    pub(super) fn hear(
        &mut self,
        settings: &AnomalySettings,
        closed: &ClosedWindow,
        mut said: Vec<(TrackKey, Said)>,
    ) -> Vec<(AnomalyChange, Anomaly)> {
        let now = closed.window.end;
        // What begins joins before anything ends, the strongest first, so that it gives the id.
        said.sort_by(|(a_key, a), (b_key, b)| {
            let ends = |said: &Said| said.change == AnomalyChange::Ended;
            ends(a)
                .cmp(&ends(b))
                .then(b.anomaly.severity.cmp(&a.anomaly.severity))
                .then(b.anomaly.surprise.total_cmp(&a.anomaly.surprise))
                .then(a_key.cmp(b_key))
        });
        let mut fresh = BTreeSet::new();
        let mut spoke = BTreeSet::new();
        let mut reasons = BTreeMap::new();
        for (key, said) in said {
            let known = self.open.iter().position(|family| family.members.contains(&key));
            let place = match (known, said.change) {
                (Some(place), _) => Some(place),
                (None, AnomalyChange::Ended) => None,
                (None, _) => self.open.iter().position(|family| family.takes(settings, key, &said.anomaly)),
            };
            match place {
                Some(place) => {
                    let ended = said.change == AnomalyChange::Ended;
                    if let (true, Some(reason)) = (ended, &said.reason) {
                        reasons.insert(self.open[place].speaker.id, *reason);
                    }
                    self.open[place].absorb(key, said);
                    if ended {
                        self.open[place].members.remove(&key);
                    }
                    spoke.insert(place);
                }
                None if said.change != AnomalyChange::Ended => {
                    fresh.insert(self.open.len());
                    self.open.push(Family::new(key, said, now));
                }
                None => {}
            }
        }
        let mut told = Vec::new();
        for (place, family) in self.open.iter_mut().enumerate() {
            let speaker = &family.speaker;
            let change = if family.members.is_empty() {
                AnomalyChange::Ended
            } else if fresh.contains(&place) {
                AnomalyChange::Detected
            } else if spoke.contains(&place)
                && (speaker.severity > family.told_severity
                    || speaker.surprise >= family.told_surprise + settings.update_surprise
                    || now.since(family.told) >= settings.update_every_nanos)
            {
                AnomalyChange::Updated
            } else {
                continue;
            };
            (family.told_severity, family.told_surprise, family.told) = (speaker.severity, speaker.surprise, now);
            let end = (change == AnomalyChange::Ended).then_some(speaker.last);
            told.push((change, family.anomaly(closed, end, reasons.get(&speaker.id).copied())));
        }
        self.open.retain(|family| !family.members.is_empty());
        told
    }
}

impl Family {
    fn new(key: TrackKey, said: Said, now: UnixNanos) -> Self {
        let Said { anomaly, summary, .. } = said;
        Self {
            class: class(key, &anomaly),
            rises: rises(&anomaly),
            members: BTreeSet::from([key]),
            joined: anomaly.start,
            speaker_key: key.0,
            told_severity: anomaly.severity,
            told_surprise: anomaly.surprise,
            told: now,
            speaker: Anomaly { resource: Arc::default(), sentence: String::new(), ..anomaly },
            summary,
            also: BTreeMap::new(),
        }
    }

    /// Whether a series that becomes odd belongs to it. What begins long after the latest one is another story.
    fn takes(&self, settings: &AnomalySettings, key: TrackKey, anomaly: &Anomaly) -> bool {
        let same_way = match (self.rises, rises(anomaly)) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        same_way
            && self.class == class(key, anomaly)
            && anomaly.start <= self.joined.plus(settings.family_nanos)
            && !self.members.is_empty()
    }

    fn absorb(&mut self, key: TrackKey, said: Said) {
        let Said { change, anomaly, summary, .. } = said;
        if change == AnomalyChange::Detected {
            self.joined = self.joined.max(anomaly.start);
        }
        self.members.insert(key);
        self.rises = self.rises.or_else(|| rises(&anomaly));
        let (id, start, last) =
            (self.speaker.id, self.speaker.start.min(anomaly.start), self.speaker.last.max(anomaly.last));
        let stronger = (anomaly.severity, anomaly.surprise) > (self.speaker.severity, self.speaker.surprise);
        if key.0 == self.speaker_key || stronger {
            self.also.remove(&key.0);
            let newcomer = Anomaly { resource: Arc::default(), sentence: String::new(), end: None, ..anomaly };
            let silenced = std::mem::replace(&mut self.speaker, newcomer);
            self.summary = summary;
            if key.0 != self.speaker_key {
                self.also.insert(self.speaker_key, Also::of(&silenced));
                self.speaker_key = key.0;
            }
        } else {
            self.also.insert(key.0, Also::of(&anomaly));
        }
        while self.also.len() > MAX_ALSO {
            let weakest = self.also.iter().min_by(|(a_key, a), (b_key, b)| {
                (a.severity.cmp(&b.severity)).then(a.surprise.total_cmp(&b.surprise)).then(b_key.cmp(a_key))
            });
            let Some(weakest) = weakest.map(|(key, _)| *key) else { break };
            self.also.remove(&weakest);
        }
        (self.speaker.id, self.speaker.start, self.speaker.last) = (id, start, last);
    }

    /// The anomaly as it stands.
    fn anomaly(&self, closed: &ClosedWindow, end: Option<UnixNanos>, reason: Option<&str>) -> Anomaly {
        let mut anomaly = self.speaker.clone();
        anomaly.resource = Arc::clone(&closed.resource);
        anomaly.end = end;
        let mut also: Vec<&Also> = self.also.values().collect();
        also.sort_by(|a, b| {
            (b.severity.cmp(&a.severity))
                .then(b.surprise.total_cmp(&a.surprise))
                .then_with(|| series_key(&a.series).cmp(&series_key(&b.series)))
        });
        for also in also {
            anomaly.evidence.push(("also odd".to_owned(), also.words()));
        }
        if let Some(reason) = reason {
            anomaly.evidence.push(("ended because".to_owned(), reason.to_owned()));
        }
        anomaly.sentence = words::sentence(&anomaly, &self.summary);
        anomaly
    }
}

impl Also {
    fn of(anomaly: &Anomaly) -> Self {
        Self {
            series: Arc::clone(&anomaly.series),
            severity: anomaly.severity,
            surprise: anomaly.surprise,
            observed: anomaly.observed,
            expected: anomaly.expected,
        }
    }

    fn words(&self) -> String {
        let unit = words::shown_unit(&self.series);
        let mut text = words::series_label(&self.series);
        if let Some(observed) = self.observed {
            text.push_str(&format!(" {}", format_value(observed, unit)));
        }
        if let Some(expected) = self.expected {
            text.push_str(&format!(", expected about {}", format_value(expected, unit)));
        }
        format!("{text} (surprise {:.1})", self.surprise)
    }
}

fn class((series_key, lane): TrackKey, anomaly: &Anomaly) -> Class {
    let series = &anomaly.series;
    let what = match (lane, series.kind) {
        (Lane::Forecast, _) => format!("{series_key:016x}"),
        (Lane::Quality, _) => anomaly.kind.to_string(),
        (_, SeriesKind::LogTemplate | SeriesKind::LogSeverity) => {
            format!("{} {}", anomaly.kind, series.attribute("log.severity").unwrap_or_default())
        }
        (_, SeriesKind::Rate) => "rate".to_owned(),
        _ if series.attribute("foreshock.statistic") == Some("count") => "rate".to_owned(),
        _ => String::new(),
    };
    Class { lane, name: Arc::clone(&series.name), what }
}

fn rises(anomaly: &Anomaly) -> Option<bool> {
    let (observed, expected) = (anomaly.observed?, anomaly.expected?);
    (observed != expected).then_some(observed > expected)
}
