//! The life of one anomaly on one series: pending, open, ended.

use super::{AnomalySettings, volume::series_key};
use crate::{
    event::{Anomaly, AnomalyChange, AnomalyId},
    time::UnixNanos,
    verdict::{Detector, Forecast, Severity},
    window::{ClosedWindow, Series, ServiceKey},
};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, sync::Arc};
use xxhash_rust::xxh3::Xxh3Default;

/// Detectors whose words are kept beside the strongest one's.
const MAX_VOICES: usize = 8;
/// What was odd for so long, in nanoseconds, needs no further window: a window of five minutes is thirty of ten seconds.
const LONG_NANOS: u64 = 300_000_000_000;
/// Facts that an anomaly carries at most.
const MAX_EVIDENCE: usize = 24;

/// What is judged apart on the same series.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(super) enum Lane {
    /// The values as they are.
    Deviation,
    /// Where the values are going.
    Forecast,
    /// Whether the values can be trusted.
    Quality,
}

/// What one detector says of the series in one window.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Voice {
    pub(super) detector: Arc<Detector>,
    pub(super) kind: Arc<str>,
    pub(super) severity: Severity,
    pub(super) surprise: f64,
    pub(super) observed: Option<f64>,
    pub(super) expected: Option<f64>,
    pub(super) lower: Option<f64>,
    pub(super) upper: Option<f64>,
    pub(super) forecast: Option<Forecast>,
    pub(super) summary: String,
    pub(super) evidence: Vec<(String, String)>,
    pub(super) further: Vec<Arc<Series>>,
    /// It is about a quantile of nobody knows how many values.
    pub(super) uncertain: bool,
}

impl Voice {
    /// Whether it is to be heard before `other`. Equal ones are decided by the detector's name.
    fn outweighs(&self, other: &Self) -> bool {
        (self.severity, self.surprise) > (other.severity, other.surprise)
            || ((self.severity, self.surprise) == (other.severity, other.surprise) && self.detector < other.detector)
    }
}

/// What a window says of a series.
pub(super) struct Reading<'a> {
    pub(super) closed: &'a ClosedWindow,
    /// Whether the series spoke, or its silence means zero.
    pub(super) spoke: bool,
    /// The largest score any detector gave it.
    pub(super) score: Option<f64>,
    /// What the detectors say, already held back where the volume is too small.
    pub(super) voices: Vec<Voice>,
}

/// What is known while it is open.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Open {
    id: AnomalyId,
    /// Windows in a row below the closing threshold.
    quiet: u32,
    /// Windows in a row that would not have opened it.
    lull: u32,
    told_severity: Severity,
    told_surprise: f64,
    told: UnixNanos,
}

/// One series that looked odd lately.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Track {
    pub(super) series: Arc<Series>,
    lane: Lane,
    /// The last windows in which it spoke, newest last: the start of each odd one.
    recent: VecDeque<Option<UnixNanos>>,
    /// The strongest word of each detector, the strongest first.
    voices: Vec<Voice>,
    start: UnixNanos,
    last: UnixNanos,
    last_spoke: UnixNanos,
    /// Time between its last two readings, in nanoseconds.
    every: u64,
    /// Odd windows in a row, of those in which it spoke.
    run: u32,
    open: Option<Open>,
}

/// What a track says.
pub(super) struct Said {
    pub(super) change: AnomalyChange,
    /// Without a sentence yet.
    pub(super) anomaly: Anomaly,
    /// What the detector that speaks says in words.
    pub(super) summary: String,
    /// Why it ended, where it is not that the values are normal again.
    pub(super) reason: Option<&'static str>,
}

/// What became of a track.
pub(super) enum Step {
    /// Keep it; say this, if anything.
    Keep(Option<Said>),
    /// Drop it; say this, if anything.
    Drop(Option<Said>),
}

impl Track {
    pub(super) fn new(series: Arc<Series>, lane: Lane, now: UnixNanos) -> Self {
        Self {
            series,
            lane,
            recent: VecDeque::new(),
            voices: Vec::new(),
            start: now,
            last: now,
            last_spoke: now,
            every: 0,
            run: 0,
            open: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Takes what the window says of the series.
    pub(super) fn step(&mut self, settings: &AnomalySettings, mut reading: Reading<'_>) -> Step {
        let (closed, window) = (reading.closed, &reading.closed.window);
        let odd = !reading.voices.is_empty();
        if !odd && !reading.spoke {
            return match window.end.since(self.last_spoke) > settings.missing_nanos {
                true => self.end(closed, Some("the series is no longer reported")),
                false => Step::Keep(None),
            };
        }
        self.every = window.end.since(self.last_spoke).max(window.end.since(window.start));
        self.last_spoke = window.end;
        self.recent.push_back(odd.then_some(window.start));
        while self.recent.len() > settings.open_of as usize {
            self.recent.pop_front();
        }
        self.run = if odd { self.run.saturating_add(1) } else { 0 };
        // One slow call can carry a quantile of few values; what lasts is more than one call.
        for voice in reading.voices.iter_mut().filter(|voice| voice.uncertain) {
            if self.run < settings.unknown_volume_windows {
                voice.severity = Severity::Info;
            }
        }
        let at_once = reading.voices.iter().any(|voice| opens_at_once(settings, self.lane, voice));
        for voice in reading.voices {
            self.hear(voice);
        }
        if odd {
            self.last = window.end;
        }
        match &mut self.open {
            None => self.pending(settings, closed, at_once),
            Some(open) if odd => {
                (open.quiet, open.lull) = (0, 0);
                self.ongoing(settings, closed)
            }
            Some(open) => {
                open.lull += 1;
                open.quiet = match reading.score {
                    Some(score) if score >= settings.close_score => 0,
                    _ => open.quiet + 1,
                };
                let over = open.quiet >= settings.close_after || open.lull >= settings.close_after.saturating_mul(4);
                match over && window.end.since(self.start) >= settings.min_duration_nanos {
                    true => self.end(closed, None),
                    false => Step::Keep(None),
                }
            }
        }
    }

    fn pending(&mut self, settings: &AnomalySettings, closed: &ClosedWindow, at_once: bool) -> Step {
        let odd = self.recent.iter().flatten().count();
        let Some(first) = self.recent.iter().flatten().next().copied() else {
            return Step::Drop(None);
        };
        let length = closed.window.end.since(closed.window.start);
        let is_long = length.saturating_mul(odd as u64) >= LONG_NANOS;
        if !(at_once || is_long || odd >= settings.open_count as usize) {
            return Step::Keep(None);
        }
        let Some(strongest) = self.voices.first() else {
            return Step::Drop(None);
        };
        self.start = first;
        self.open = Some(Open {
            id: anomaly_id(&closed.service, &self.series, &strongest.kind, first),
            quiet: 0,
            lull: 0,
            told_severity: strongest.severity,
            told_surprise: strongest.surprise,
            told: closed.window.end,
        });
        Step::Keep(self.say(closed, AnomalyChange::Detected, None))
    }

    fn ongoing(&mut self, settings: &AnomalySettings, closed: &ClosedWindow) -> Step {
        let (Some(open), Some(strongest)) = (&mut self.open, self.voices.first()) else {
            return Step::Keep(None);
        };
        let worse = strongest.severity > open.told_severity
            || strongest.surprise >= open.told_surprise + settings.update_surprise;
        if !worse && closed.window.end.since(open.told) < settings.update_every_nanos {
            return Step::Keep(None);
        }
        open.told_severity = strongest.severity;
        open.told_surprise = strongest.surprise;
        open.told = closed.window.end;
        Step::Keep(self.say(closed, AnomalyChange::Updated, None))
    }

    /// Ends it; `reason` is said where it is not that the values are normal again.
    pub(super) fn end(&mut self, closed: &ClosedWindow, reason: Option<&'static str>) -> Step {
        Step::Drop(self.say(closed, AnomalyChange::Ended, reason))
    }

    /// Ends a quality anomaly that was not repeated for as many windows as end any other.
    pub(super) fn fade(&mut self, settings: &AnomalySettings, closed: &ClosedWindow) -> Step {
        let window = &closed.window;
        let step = window.end.since(window.start);
        let silent = window.end.since(self.last) >= step.saturating_mul(u64::from(settings.close_after));
        match silent && window.end.since(self.start) >= settings.min_duration_nanos {
            true => self.end(closed, None),
            false => Step::Keep(None),
        }
    }

    /// Keeps the strongest word of each detector.
    fn hear(&mut self, voice: Voice) {
        match self.voices.iter_mut().find(|known| known.detector == voice.detector) {
            Some(known) if voice.outweighs(known) => *known = voice,
            // A forecast is worth its latest word, whatever it said before.
            Some(known) if voice.forecast.is_some() => {
                known.forecast = voice.forecast;
                known.observed = voice.observed;
            }
            Some(_) => {}
            None => self.voices.push(voice),
        }
        self.voices.sort_by(|a, b| {
            b.severity
                .cmp(&a.severity)
                .then(b.surprise.total_cmp(&a.surprise))
                .then_with(|| a.detector.cmp(&b.detector))
        });
        self.voices.truncate(MAX_VOICES);
    }

    /// The anomaly as it stands; nothing while it is pending.
    fn say(&self, closed: &ClosedWindow, change: AnomalyChange, reason: Option<&'static str>) -> Option<Said> {
        let (open, strongest) = (self.open.as_ref()?, self.voices.first()?);
        let mut evidence: Vec<_> = strongest.evidence.iter().take(MAX_EVIDENCE - MAX_VOICES - 1).cloned().collect();
        evidence.extend(self.voices[1..].iter().map(|voice| {
            let text = match voice.summary.is_empty() {
                true => format!("{}, surprise {:.1}", voice.kind.replace('_', " "), voice.surprise),
                false => format!("{} (surprise {:.1})", voice.summary, voice.surprise),
            };
            (format!("also seen by {}", voice.detector.name), text)
        }));
        let anomaly = Anomaly {
            id: open.id,
            service: closed.service.clone(),
            resource: Arc::clone(&closed.resource),
            series: Arc::clone(&self.series),
            further_series: strongest.further.clone(),
            detector: Arc::clone(&strongest.detector),
            kind: Arc::clone(&strongest.kind),
            severity: strongest.severity,
            surprise: strongest.surprise,
            observed: strongest.observed,
            expected: strongest.expected,
            lower: strongest.lower,
            upper: strongest.upper,
            forecast: strongest.forecast,
            start: self.start,
            last: self.last,
            every_nanos: self.every,
            unknown_volume: strongest.uncertain,
            end: (change == AnomalyChange::Ended).then_some(self.last),
            sentence: String::new(),
            evidence,
        };
        Some(Said { change, anomaly, summary: strongest.summary.clone(), reason })
    }
}

/// Whether a single word is enough.
fn opens_at_once(settings: &AnomalySettings, lane: Lane, voice: &Voice) -> bool {
    lane == Lane::Quality
        || &*voice.kind == "new_log_pattern"
        || (voice.surprise >= settings.open_at_once_surprise && voice.severity >= Severity::Error)
}

/// Derived from service, series, kind and start.
fn anomaly_id(service: &ServiceKey, series: &Series, kind: &str, start: UnixNanos) -> AnomalyId {
    let mut hasher = Xxh3Default::new();
    for part in [&*service.namespace, &*service.name, kind] {
        hasher.update(part.as_bytes());
        hasher.update(&[0xff]);
    }
    hasher.update(&series_key(series).to_le_bytes());
    hasher.update(&start.0.to_le_bytes());
    AnomalyId(hasher.digest())
}
