//! From verdicts to anomalies with a start, updates and an end.
//!
//! A series is odd in a window if a detector has a finding on it, or gives it a score of at least
//! [`AnomalySettings::open_score`]. An anomaly opens when its series was odd in [`AnomalySettings::open_count`] of the last
//! [`AnomalySettings::open_of`] windows in which it spoke, or in fewer that last five minutes together, and ends after
//! [`AnomalySettings::close_after`] windows in a row without a finding and below [`AnomalySettings::close_score`]. What several
//! detectors say of the same series at the same time is one anomaly: the strongest speaks, the others are its evidence. So is what
//! several series of one metric say, see `family`. Findings that rest on too little traffic are held back, see `volume`, and so are
//! those that do not matter in practice, see [`matter`].
//!
//! Before all that, what the detectors say is calibrated and joined, see [`crate::calibration`]; how much of it opens an anomaly follows
//! from the budget of false alarms, see [`crate::calibration::budget`].

mod family;
pub mod matter;
mod track;
pub mod units;
mod volume;
pub mod words;

use crate::{
    calibration::{
        Calibration, Weights,
        budget::{BudgetSettings, REFRACTORY_SURPRISE, Spending},
        is_certain,
    },
    facts::WindowFacts,
    quality::{QualityKind, QualityNote},
    saved::{self, SavedError},
    shard::ShardOutput,
    time::UnixNanos,
    verdict::{Detector, Finding, Severity, Verdict},
    window::{ClosedWindow, Series, SeriesKind, ServiceKey},
};
use family::{Families, TrackKey};
use matter::{MatterSettings, improves, tells_time};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};
use track::{Lane, Reading, Said, Step, Track, Voice};
use volume::{Volume, Volumes, series_key};

/// Layout of the saved bytes.
const SCHEMA: u32 = 3;
/// Series that one finding names besides the most telling one.
const MAX_FURTHER: usize = 8;

/// When anomalies open, are told again and end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnomalySettings {
    /// Score from which a series counts as odd without a finding, and one more than a finding needs at least. 6 is one window in a million.
    pub open_score: f64,
    /// Odd windows that open an anomaly, 1 or more; fewer where they last five minutes together.
    pub open_count: u32,
    /// Among how many windows in which the series spoke, at least `open_count` and at most 64.
    pub open_of: u32,
    /// Surprise from which a finding of severity error or critical opens an anomaly at once.
    pub open_at_once_surprise: f64,
    /// Score below which a window counts as normal.
    pub close_score: f64,
    /// Normal windows in a row that end an anomaly. After four times as many windows that are neither odd nor normal it ends
    /// as well.
    pub close_after: u32,
    /// No anomaly is shorter, in nanoseconds.
    pub min_duration_nanos: u64,
    /// A series that does not speak for longer than this ends its anomaly, in nanoseconds of event time.
    pub missing_nanos: u64,
    /// An update is told when the surprise grew by this much.
    pub update_surprise: f64,
    /// An anomaly that goes on is told again after this time, in nanoseconds.
    pub update_every_nanos: u64,
    /// Windows over which calls and records are counted for the minimum volume, 1 or more.
    pub volume_windows: usize,
    /// Calls or records in these windows below which findings are held back.
    pub volume_floor: f64,
    /// A quantile that the sender made, of nobody knows how many values, is worth knowing and no more until it was odd in so
    /// many windows in a row, 1 or more.
    pub unknown_volume_windows: u32,
    /// A series joins the anomaly of its metric if it begins to be odd within this time after the latest one, in nanoseconds.
    pub family_nanos: u64,
    /// What a deviation must amount to.
    pub matter: MatterSettings,
    /// False alarms that are allowed; how much surprise a finding needs follows from it.
    pub budget: BudgetSettings,
    /// Odd series kept per service, pending and open. When full, further ones are left out and counted.
    pub max_tracks: usize,
}

impl Default for AnomalySettings {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000_000;
        Self {
            open_score: 6.0,
            open_count: 2,
            open_of: 3,
            open_at_once_surprise: 8.0,
            close_score: 2.0,
            close_after: 3,
            min_duration_nanos: 60 * SECOND,
            missing_nanos: 600 * SECOND,
            update_surprise: 2.0,
            update_every_nanos: 600 * SECOND,
            volume_windows: 10,
            volume_floor: 10.0,
            unknown_volume_windows: 6,
            family_nanos: 600 * SECOND,
            matter: MatterSettings::default(),
            budget: BudgetSettings::default(),
            max_tracks: 512,
        }
    }
}

/// A series as it was opened last.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Known {
    series: Arc<Series>,
    key: u64,
}

/// What is known of one service.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Service {
    series: BTreeMap<u32, Known>,
    tracks: BTreeMap<TrackKey, Track>,
    families: Families,
    volumes: Volumes,
    calibration: Calibration,
    spending: Spending,
    /// Series whose anomaly ended lately, and until when they need more to open another one.
    rests: BTreeMap<TrackKey, UnixNanos>,
    resource: Arc<Vec<(Arc<str>, Arc<str>)>>,
    last_end: UnixNanos,
}

/// The anomalies of the services of one shard.
///
/// Outputs are [`ShardOutput::Anomaly`] only; whoever drives it sends the [`ShardOutput::Window`] of a window before what
/// [`Anomalies::poll_output`] gives after it.
#[derive(Debug)]
pub struct Anomalies {
    settings: AnomalySettings,
    weights: Weights,
    services: BTreeMap<ServiceKey, Service>,
    outputs: VecDeque<ShardOutput>,
    left_out: u64,
}

impl Anomalies {
    /// Without any service. Settings out of range are moved into it.
    #[must_use]
    pub fn new(settings: AnomalySettings) -> Self {
        let open_count = settings.open_count.clamp(1, 64);
        let settings = AnomalySettings {
            open_count,
            open_of: settings.open_of.clamp(open_count, 64),
            close_after: settings.close_after.max(1),
            volume_windows: settings.volume_windows.clamp(1, 1_000),
            ..settings
        };
        Self { settings, weights: Weights::new(), services: BTreeMap::new(), outputs: VecDeque::new(), left_out: 0 }
    }

    /// The same, with detectors that do not count alike.
    #[must_use]
    pub fn with_weights(self, weights: Weights) -> Self {
        Self { weights, ..self }
    }

    /// Takes a closed window and what the detectors say of it. Windows of a service come in order of time.
    ///
    /// Findings on series that were never opened, and numbers out of range, are ignored.
    pub fn handle_window(&mut self, closed: &ClosedWindow, facts: &WindowFacts, verdicts: &[(Arc<Detector>, Verdict)]) {
        let settings = self.settings;
        let window = &closed.window;
        let service = self.services.entry(closed.service.clone()).or_default();
        service.resource = Arc::clone(&closed.resource);
        service.last_end = service.last_end.max(window.end);
        let mut steps = Vec::new();
        for id in &window.closed {
            let Some(known) = service.series.remove(id) else {
                continue;
            };
            service.volumes.forget(&known.series, known.key);
            service.calibration.forget(*id);
            for lane in [Lane::Deviation, Lane::Forecast] {
                if let Some(mut track) = service.tracks.remove(&(known.key, lane)) {
                    steps.push(((known.key, lane), track.end(closed, Some("the series went away"))));
                }
            }
        }
        for series in &window.opened {
            let key = series_key(series);
            let before = service.series.insert(series.id, Known { series: Arc::clone(series), key });
            if before.is_some_and(|before| before.key != key) {
                service.calibration.forget(series.id);
            }
        }
        let verdicts = &service.calibration.judge(&self.weights, verdicts);
        for (row, id) in window.ids.iter().enumerate().take(window.rows()) {
            if let Some(known) = service.series.get(id) {
                service.volumes.observe(&known.series, known.key, window, row, settings.volume_windows);
            }
        }

        let values = window.ids.iter().zip(&window.values);
        let rows = values.filter_map(|(id, value)| Some((&*service.series.get(id)?.series, *value)));
        service.volumes.observe_answered(facts, window, rows, settings.volume_windows);
        let mut voices = service.heard(&settings, closed, facts, verdicts);
        for ((key, lane), (series, _)) in &voices {
            if service.tracks.contains_key(&(*key, *lane)) {
                continue;
            }
            if service.tracks.len() >= settings.max_tracks {
                self.left_out += 1;
                continue;
            }
            service.tracks.insert((*key, *lane), Track::new(Arc::clone(series), *lane, window.start));
        }
        let (spoke, scores) = service.readings(closed, verdicts);
        let mut ended = Vec::new();
        service.tracks.retain(|(key, lane), track| {
            let step = if *lane == Lane::Quality {
                track.fade(&settings, closed)
            } else {
                let silence_is_zero = matches!(track.series.kind, SeriesKind::LogTemplate | SeriesKind::LogSeverity);
                track.step(
                    &settings,
                    Reading {
                        closed,
                        spoke: silence_is_zero || spoke.contains(key),
                        score: scores.get(key).copied(),
                        voices: voices.remove(&(*key, *lane)).map(|(_, voices)| voices).unwrap_or_default(),
                    },
                )
            };
            let keep = matches!(step, Step::Keep(_));
            // What went silent did not end by itself; what is said after a silence is news.
            if !keep && track.is_open() && spoke.contains(key) {
                ended.push((*key, *lane));
            }
            steps.push(((*key, *lane), step));
            keep
        });
        let until = window.end.plus(settings.budget.refractory_nanos(window));
        service.rests.extend(ended.into_iter().take(settings.max_tracks).map(|key| (key, until)));
        service.tell(&settings, closed, steps, &mut self.outputs);
    }

    /// Takes what the data quality check says of a closed window: each note opens an anomaly at once, or keeps it open. May be
    /// called before or after [`Anomalies::handle_window`] of the same window.
    pub fn handle_quality(&mut self, closed: &ClosedWindow, notes: &[QualityNote]) {
        let settings = self.settings;
        let service = self.services.entry(closed.service.clone()).or_default();
        let mut steps = Vec::new();
        for note in notes {
            let key = (series_key(&note.series), Lane::Quality);
            if !service.tracks.contains_key(&key) && service.tracks.len() >= settings.max_tracks {
                self.left_out += 1;
                continue;
            }
            let track = service
                .tracks
                .entry(key)
                .or_insert_with(|| Track::new(Arc::clone(&note.series), Lane::Quality, closed.window.start));
            let voices = vec![quality_voice(note)];
            steps.push((key, track.step(&settings, Reading { closed, spoke: true, score: None, voices })));
        }
        service.tell(&settings, closed, steps, &mut self.outputs);
    }

    /// The next thing to say.
    pub fn poll_output(&mut self) -> Option<ShardOutput> {
        self.outputs.pop_front()
    }

    /// Forgets a service that was evicted; its open anomalies end at the end of its last window.
    pub fn forget(&mut self, service: &ServiceKey) {
        let Some(mut state) = self.services.remove(service) else {
            return;
        };
        let closed = ClosedWindow {
            service: service.clone(),
            resource: Arc::clone(&state.resource),
            window: crate::window::Window { start: state.last_end, end: state.last_end, ..Default::default() },
        };
        let end = |(key, track): (&TrackKey, &mut Track)| (*key, track.end(&closed, Some("the service went away")));
        let steps = state.tracks.iter_mut().map(end).collect();
        state.tell(&self.settings, &closed, steps, &mut self.outputs);
    }

    /// How many anomalies are open.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.services.values().map(|service| service.families.len()).sum()
    }

    /// How many odd series were left out because [`AnomalySettings::max_tracks`] were in hand.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// What is known of one service, for keeping.
    #[must_use]
    pub fn snapshot(&self, service: &ServiceKey) -> Option<Vec<u8>> {
        self.services.get(service).map(|state| saved::encode(SCHEMA, state))
    }

    /// Goes on from what [`Anomalies::snapshot`] gave.
    ///
    /// # Errors
    /// If the bytes are of another schema or can't be read; the service then starts cold.
    pub fn restore(&mut self, service: &ServiceKey, bytes: &[u8]) -> Result<(), SavedError> {
        let state: Service = saved::decode(SCHEMA, bytes)?;
        if !(state.calibration.is_sane() && state.spending.is_sane()) {
            return Err(SavedError::Senseless);
        }
        self.services.insert(service.clone(), state);
        Ok(())
    }
}

/// By what the findings of one window are heard.
struct Hearing {
    /// Surprise that keeps the budget if every surprise is true, and how much more the service's record asks for.
    threshold: f64,
    raise: f64,
    /// Whether findings with a certainty of their own are within the budget.
    certain_granted: bool,
    /// The largest surprise that would open an anomaly but for the record.
    loudest: f64,
}

/// What is said of each series and lane in one window.
type Voices = BTreeMap<(u64, Lane), (Arc<Series>, Vec<Voice>)>;

impl Service {
    /// Of the series in hand, which are few in calm times: those that spoke in this window, and the largest score of each.
    fn readings(
        &self,
        closed: &ClosedWindow,
        verdicts: &[(Arc<Detector>, Verdict)],
    ) -> (BTreeSet<u64>, BTreeMap<u64, f64>) {
        let (mut spoke, mut scores) = (BTreeSet::new(), BTreeMap::new());
        let in_hand: BTreeSet<u64> = self.tracks.keys().map(|(key, _)| *key).collect();
        if in_hand.is_empty() {
            return (spoke, scores);
        }
        let key_of = |id: &u32| self.series.get(id).map(|known| known.key).filter(|key| in_hand.contains(key));
        spoke.extend(closed.window.ids.iter().take(closed.window.rows()).filter_map(key_of));
        for (id, score) in verdicts.iter().flat_map(|(_, verdict)| &verdict.scores) {
            if let Some(key) = key_of(id).filter(|_| score.is_finite()) {
                let largest = scores.entry(key).or_insert(*score);
                *largest = largest.max(*score);
            }
        }
        (spoke, scores)
    }

    /// Puts together what the tracks say, and tells it.
    fn tell(
        &mut self,
        settings: &AnomalySettings,
        closed: &ClosedWindow,
        steps: Vec<(TrackKey, Step)>,
        outputs: &mut VecDeque<ShardOutput>,
    ) {
        let said: Vec<(TrackKey, Said)> = steps
            .into_iter()
            .filter_map(|(key, step)| {
                let (Step::Keep(said) | Step::Drop(said)) = step;
                Some((key, said?))
            })
            .collect();
        if said.is_empty() {
            return;
        }
        let time = closed.window.end;
        for (change, anomaly) in self.families.hear(settings, closed, said) {
            outputs.push_back(ShardOutput::Anomaly { change, time, anomaly: Arc::new(anomaly) });
        }
    }

    /// What the detectors say within the budget, and takes to its record what they say.
    fn heard(
        &mut self,
        settings: &AnomalySettings,
        closed: &ClosedWindow,
        facts: &WindowFacts,
        verdicts: &[(Arc<Detector>, Verdict)],
    ) -> Voices {
        let (budget, window) = (&settings.budget, &closed.window);
        self.rests.retain(|_, until| *until > window.end);
        let threshold = budget.threshold(self.series.len(), window.end.since(window.start));
        let mut findings = verdicts.iter().flat_map(|(_, verdict)| &verdict.findings);
        let has_certain = findings
            .any(|finding| finding.severity > Severity::Info && is_certain(&finding.kind, finding.forecast.is_some()));
        let mut hearing = Hearing {
            threshold,
            raise: self.spending.raise(budget),
            certain_granted: !has_certain || self.spending.grants(budget, window),
            loudest: 0.0,
        };
        let voices = self.voices(settings, closed, facts, verdicts, &mut hearing);
        self.spending.step(budget, window, threshold, hearing.loudest);
        voices
    }

    /// What the detectors say, by series and lane, without what rests on too little.
    fn voices(
        &self,
        settings: &AnomalySettings,
        closed: &ClosedWindow,
        facts: &WindowFacts,
        verdicts: &[(Arc<Detector>, Verdict)],
        hearing: &mut Hearing,
    ) -> Voices {
        let window = &closed.window;
        let volume = |known: &Known, expected| {
            let (series, key) = (&known.series, known.key);
            self.volumes.judge(series, key, expected, window, settings.volume_windows, settings.volume_floor)
        };
        let threshold = hearing.threshold;
        let rest = |key, lane| if self.rests.contains_key(&(key, lane)) { REFRACTORY_SURPRISE } else { 0.0 };
        let is_open = |key, lane| self.tracks.get(&(key, lane)).is_some_and(Track::is_open);
        let mut voices = Voices::new();
        for (detector, verdict) in verdicts {
            for finding in &verdict.findings {
                let known = finding.ids.first().and_then(|id| self.series.get(id));
                let Some(known) = known.filter(|known| !tells_time(&known.series)) else {
                    continue;
                };
                let is_certain = is_certain(&finding.kind, finding.forecast.is_some());
                let exempt = is_certain || &*finding.kind == "missing_data";
                let volume = if exempt { Volume::Enough } else { volume(known, finding.expected) };
                if !finding.score.is_finite() || volume == Volume::TooLittle {
                    continue;
                }
                let lane = if finding.forecast.is_some() { Lane::Forecast } else { Lane::Deviation };
                let open = is_open(known.key, lane);
                if !(exempt || open || finding.score >= threshold) {
                    continue;
                }
                let matters = |ease| match (exempt, finding.observed, finding.expected) {
                    (false, Some(observed), Some(expected)) => {
                        settings.matter.matters(&known.series, observed, expected, ease)
                    }
                    _ => true,
                };
                let fully = matters(1.0);
                if !(fully || open && matters(0.5)) {
                    continue;
                }
                if fully && !exempt {
                    hearing.loudest = hearing.loudest.max(finding.score);
                    if !open && finding.score < threshold + hearing.raise + rest(known.key, lane) {
                        continue;
                    }
                }
                let entry = voices.entry((known.key, lane)).or_insert_with(|| (Arc::clone(&known.series), Vec::new()));
                let mut voice = self.finding_voice(detector, finding, &known.series, facts);
                if !fully || is_certain && !open && !hearing.certain_granted {
                    // It keeps the anomaly open and makes it no worse, or the budget allows no more than a note.
                    voice.severity = Severity::Info;
                }
                voice.uncertain = volume == Volume::Unknown;
                entry.1.push(voice);
            }
            for (id, score) in &verdict.scores {
                let high = score.is_finite() && *score >= settings.open_score;
                let known = if high { self.series.get(id) } else { None };
                let Some(known) = known.filter(|known| !tells_time(&known.series)) else {
                    continue;
                };
                let entry = (known.key, Lane::Deviation);
                let open = is_open(known.key, Lane::Deviation);
                if *score < threshold + 1.0 && !open {
                    continue;
                }
                let said = voices.get(&entry).is_some_and(|(_, said)| said.iter().any(|v| v.detector == *detector));
                if said || volume(known, None) == Volume::TooLittle {
                    continue;
                }
                let observed = window.ids.binary_search(id).ok().and_then(|row| window.values.get(row)).copied();
                // Nothing is said of what was expected, so it must at least amount to something.
                if observed.is_some_and(|value| !settings.matter.matters(&known.series, value, 0.0, 1.0)) {
                    continue;
                }
                hearing.loudest = hearing.loudest.max(*score - 1.0);
                if !open && *score < threshold + 1.0 + hearing.raise + rest(known.key, Lane::Deviation) {
                    continue;
                }
                let entry = voices.entry(entry).or_insert_with(|| (Arc::clone(&known.series), Vec::new()));
                entry.1.push(score_voice(detector, *score, observed));
            }
        }
        voices
    }

    fn finding_voice(
        &self,
        detector: &Arc<Detector>,
        finding: &Finding,
        series: &Series,
        facts: &WindowFacts,
    ) -> Voice {
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        let mut evidence = finding.evidence.clone();
        if matches!(series.kind, SeriesKind::SpanErrors | SeriesKind::SpanDuration) {
            evidence.push(("calls in the window".to_owned(), facts.signals.calls.to_string()));
        }
        let further = finding.ids.iter().skip(1).take(MAX_FURTHER).filter_map(|id| self.series.get(id));
        Voice {
            detector: Arc::clone(detector),
            kind: Arc::clone(&finding.kind),
            severity: match finding.forecast.is_none() && improves(series, finding.observed, finding.expected) {
                true => Severity::Info,
                false => finding.severity,
            },
            surprise: finding.score.clamp(0.0, 16.0),
            observed: finite(finding.observed),
            expected: finite(finding.expected),
            lower: finite(finding.lower),
            upper: finite(finding.upper),
            forecast: finding.forecast,
            summary: finding.summary.clone(),
            evidence,
            further: further.map(|known| Arc::clone(&known.series)).collect(),
            uncertain: false,
        }
    }
}

/// A score without a finding: the detector is sure that it is odd, and can't say how.
fn score_voice(detector: &Arc<Detector>, score: f64, observed: Option<f64>) -> Voice {
    Voice {
        detector: Arc::clone(detector),
        kind: "distribution".into(),
        severity: Severity::Info,
        surprise: score.clamp(0.0, 16.0),
        observed,
        expected: None,
        lower: None,
        upper: None,
        forecast: None,
        summary: String::new(),
        evidence: Vec::new(),
        further: Vec::new(),
        uncertain: false,
    }
}

/// A note of the data quality check. Silence is worth a warning; the rest makes other findings doubtful and harms nobody by
/// itself. The surprise of 4 stands for "certain, and no proof of harm".
fn quality_voice(note: &QualityNote) -> Voice {
    // Seconds of silence and numbers of streams are not in the series' unit, so only the message can carry them.
    let in_unit = matches!(note.kind, QualityKind::Stuck | QualityKind::OutOfRange);
    // Of no calls there is no quantile.
    let silent = note.kind == QualityKind::MissingData && !volume::is_quantile(&note.series);
    let severity = if silent { Severity::Warning } else { Severity::Info };
    let in_unit = |value: Option<f64>| value.filter(|value| in_unit && value.is_finite());
    Voice {
        detector: Arc::new(Detector {
            name: "data-quality".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            digest: "".into(),
        }),
        kind: Arc::from(note.kind.name()),
        severity,
        surprise: 4.0,
        observed: in_unit(note.observed),
        expected: in_unit(note.expected),
        lower: in_unit(note.lower),
        upper: in_unit(note.upper),
        forecast: None,
        summary: note.message.clone(),
        evidence: Vec::new(),
        further: Vec::new(),
        uncertain: false,
    }
}
