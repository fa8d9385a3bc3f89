//! One service's check: copies of its models get windows like those of late, with and without an anomaly in them.

use super::inject::{self, Kind, Target, middle};
use crate::pipeline::shard::{SavedDetectors, Silent};
use bytes::Bytes;
use foreshock_console::selfcheck::{Blind, Check, DetectorCheck, Trial};
use foreshock_engine::{
    UnixNanos,
    anomaly::Anomalies,
    event::AnomalyChange,
    facts::{GoldenSignals, WindowFacts},
    ingest::IngestSettings,
    shard::{Shard, ShardOutput, ShardSettings},
    signal::{Metric, MetricKind, Point, PointData, Sink as _},
    verdict::{Detectors as _, Verdict},
    window::{ClosedWindow, Series, SeriesKind, ServiceKey, Window},
};
use foreshock_sandbox::{DetectorPool, LoadedDetector, PoolSettings, Sandbox};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Live windows that are copied of a service.
pub(crate) const WINDOWS: usize = 41;
/// Windows before an anomaly is put in, with which the gates of minimum volume fill.
const SETTLE: usize = 10;
/// Series that anomalies are put into, at most.
const MOST_TARGETS: usize = 4;
/// Score that is worth a finding.
const OPEN_SCORE: f64 = 6.0;
/// Windows of steady readings after which silence means something, and then some.
const STEADY: u64 = 40;

/// What is copied of a service.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// Whose.
    pub(crate) service: ServiceKey,
    /// The open series at the end of the last window.
    pub(crate) series: Vec<Series>,
    /// What the detectors had learned then, as [`crate::pipeline::shard::SavedDetectors::snapshot`] gives it.
    pub(crate) models: Bytes,
    /// The last windows, the newest last.
    pub(crate) windows: Vec<ClosedWindow>,
}

/// What a check is made with.
#[derive(Clone, Debug)]
pub(crate) struct Checker {
    /// Has room for one model more of each detector.
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) pool: PoolSettings,
    pub(crate) shard: ShardSettings,
}

/// What was said of the targets in each window of one run.
#[derive(Debug, Default)]
struct Heard {
    /// By detector, target and window: found odd.
    odd: BTreeSet<(usize, u32, usize)>,
    /// By detector and series: has a score in some window.
    scored: BTreeSet<(usize, u32)>,
    /// Detectors that answered.
    answered: BTreeSet<usize>,
    /// The first window in which an anomaly of a series was opened.
    opened: BTreeMap<u32, usize>,
}

impl Heard {
    /// What a detector says of a window.
    fn take(&mut self, detector: usize, verdict: &Verdict, window: usize) {
        self.answered.insert(detector);
        for (id, score) in verdict.scores.iter().filter(|(_, score)| score.is_finite()) {
            self.scored.insert((detector, *id));
            if *score >= OPEN_SCORE {
                self.odd.insert((detector, *id, window));
            }
        }
        for id in verdict.findings.iter().flat_map(|finding| &finding.ids) {
            self.odd.insert((detector, *id, window));
        }
    }
}

/// One anomaly that was put in.
struct Put {
    kind: Kind,
    id: u32,
    series_kind: SeriesKind,
    heard: Heard,
}

impl Checker {
    /// Checks these detectors on a service, of which they make models of their own. What they count, they count of this, so where others
    /// count on them they must be [apart](LoadedDetector::apart). `None` if too little is known of the service: fewer than [`WINDOWS`]
    /// windows, or no series that speaks in most of them.
    pub(crate) fn check(&self, detectors: &[Arc<LoadedDetector>], recorded: &Recorded) -> Option<Check> {
        let last = recorded.windows.last()?;
        if recorded.windows.len() < WINDOWS {
            return None;
        }
        let windows = continued(recorded);
        let targets = targets(recorded);
        if targets.is_empty() {
            return None;
        }
        let run = |put: Option<(Kind, &Target)>| self.run(detectors, recorded, &windows, put);
        let control = run(None);
        let mut puts = Vec::new();
        for target in &targets {
            for kind in Kind::VALUES {
                let series_kind = target.series.kind;
                puts.push(Put { kind, id: target.series.id, series_kind, heard: run(Some((kind, target))) });
            }
        }
        // A service that never logs has no use for a watch over its logs.
        if recorded.series.iter().any(|series| matches!(series.kind, SeriesKind::LogTemplate | SeriesKind::LogSeverity))
        {
            let pattern = Target::new(&inject::new_pattern(free_id(recorded)), &[0.0])?;
            let heard = run(Some((Kind::NewLogPattern, &pattern)));
            let (id, series_kind) = (pattern.series.id, SeriesKind::LogTemplate);
            puts.push(Put { kind: Kind::NewLogPattern, id, series_kind, heard });
        }
        let step = last.window.end.since(last.window.start);
        let seconds = step as f64 / 1e9;
        let silences: Vec<Option<usize>> = targets
            .iter()
            .filter(|target| can_be_missing(target))
            .map(|target| self.silence(recorded, target, step))
            .collect();

        let mut detectors: Vec<DetectorCheck> = detectors
            .iter()
            .filter(|detector| detector.is_for(&recorded.service))
            .enumerate()
            .map(|(index, detector)| judge(index, detector, &control, &puts, &targets, seconds))
            .collect();
        let missing = trial(Kind::MissingData, &silences, seconds);
        let quality = missing.clone().into_iter().collect();
        detectors.push(DetectorCheck { detector: "data-quality".to_owned(), trials: quality, blind: Vec::new() });
        let kinds = Kind::VALUES.into_iter().chain([Kind::NewLogPattern]);
        let opened =
            |put: &Put| put.heard.opened.get(&put.id).filter(|_| !control.opened.contains_key(&put.id)).copied();
        let anomalies = kinds.filter_map(|kind| {
            let seen: Vec<_> = puts.iter().filter(|put| put.kind == kind).map(opened).collect();
            trial(kind, &seen, seconds)
        });
        Some(Check {
            service: recorded.service.to_string(),
            checked: last.window.end.to_string(),
            window_seconds: seconds,
            series: targets.iter().map(|target| name(&target.series)).collect(),
            anomalies: anomalies.chain(missing).collect(),
            detectors,
        })
    }

    /// Lets copies of the models judge `windows`, with an anomaly in them or without.
    fn run(
        &self,
        detectors: &[Arc<LoadedDetector>],
        recorded: &Recorded,
        windows: &[ClosedWindow],
        put: Option<(Kind, &Target)>,
    ) -> Heard {
        let mut pool = DetectorPool::new(Arc::clone(&self.sandbox), detectors.to_vec(), self.pool.clone());
        let mut heard = Heard::default();
        if SavedDetectors::restore(&mut pool, &recorded.service, &recorded.models).is_err() {
            return heard;
        }
        let mut anomalies = Anomalies::new(self.shard.anomalies).with_weights(pool.weights());
        let names: Vec<Arc<str>> = detectors
            .iter()
            .filter(|detector| detector.is_for(&recorded.service))
            .map(|detector| Arc::clone(&detector.identity().name))
            .collect();
        let of = windows.len() - SETTLE;
        for (index, window) in windows.iter().enumerate() {
            let mut closed = window.clone();
            if let (Some((kind, target)), Some(at)) = (put, index.checked_sub(SETTLE)) {
                match kind {
                    Kind::NewLogPattern => inject::add_lines(&target.series, &mut closed.window, at == 0),
                    _ => inject::alter(kind, target, &mut closed.window, at, of),
                }
            }
            let verdicts = pool.observe(&closed);
            for (detector, verdict) in &verdicts {
                if let Some(which) = names.iter().position(|name| *name == detector.name) {
                    heard.take(which, verdict, index);
                }
            }
            if index == 0 {
                // The anomalies start without any series; the models were told theirs when they were opened.
                closed.window.opened.extend(recorded.series.iter().cloned().map(Arc::new));
            }
            anomalies.handle_window(&closed, &facts(&closed), &verdicts);
            while let Some(output) = anomalies.poll_output() {
                if let ShardOutput::Anomaly { change: AnomalyChange::Detected, anomaly, .. } = output {
                    heard.opened.entry(anomaly.series.id).or_insert(index);
                }
            }
        }
        heard
    }

    /// After how many windows of silence on the target the engine's own watch tells it.
    fn silence(&self, recorded: &Recorded, target: &Target, step: u64) -> Option<usize> {
        let ingest = IngestSettings { window_nanos: step, ..self.shard.ingest };
        let mut shard = Shard::new(ShardSettings { ingest, ..self.shard }, Silent::default());
        let start = recorded.windows.first()?.window.start;
        for window in 0..STEADY + (WINDOWS - SETTLE) as u64 {
            let now = start.plus(window * step + step / 2);
            let mut slice = shard.enter(&recorded.service, now);
            slice.resource(&());
            let mut say = |name: &str, unit: &str| {
                let metric = Metric { name, unit, kind: MetricKind::Gauge };
                // It must vary, or it is a doubt of another kind.
                let data = PointData::Number((window % 7) as f64);
                slice.point(
                    &metric,
                    &Point { start: UnixNanos(0), time: now, no_recorded_value: false, attributes: &(), data },
                );
            };
            say("foreshock.selfcheck.beside", "{reading}");
            if window < STEADY {
                say(&target.series.name, "{reading}");
            }
            drop(slice);
            shard.handle_tick(now);
            while let Some(output) = shard.poll_output() {
                if let ShardOutput::Anomaly { change: AnomalyChange::Detected, anomaly, time } = output
                    && &*anomaly.kind == "missing_data"
                {
                    let silent = time.since(start.plus(STEADY * step)) / step.max(1);
                    return Some(SETTLE + silent.saturating_sub(1) as usize);
                }
            }
        }
        None
    }
}

/// Windows as they could go on: the recorded ones in the opposite order, so that the first follows the last without a jump.
fn continued(recorded: &Recorded) -> Vec<ClosedWindow> {
    let Some(last) = recorded.windows.last() else { return Vec::new() };
    let step = last.window.end.since(last.window.start);
    let open: BTreeSet<u32> = recorded.series.iter().map(|series| series.id).collect();
    let again = recorded.windows.iter().rev().skip(1).enumerate();
    again
        .map(|(index, closed)| {
            let before = &closed.window;
            let start = last.window.end.plus(step * index as u64);
            let mut window = Window { start, end: start.plus(step), ..Window::default() };
            for row in (0..before.rows()).filter(|row| open.contains(&before.ids[*row])) {
                window.ids.push(before.ids[row]);
                window.values.push(before.values[row]);
                window.minima.push(before.minima[row]);
                window.maxima.push(before.maxima[row]);
                window.counts.push(before.counts[row]);
            }
            ClosedWindow { service: closed.service.clone(), resource: Arc::clone(&closed.resource), window }
        })
        .collect()
}

/// One series of each of several kinds: of those that speak in nearly all windows, the one with most behind it.
fn targets(recorded: &Recorded) -> Vec<Target> {
    let mut values: BTreeMap<u32, (Vec<f64>, u64)> = BTreeMap::new();
    for window in recorded.windows.iter().map(|closed| &closed.window) {
        for row in 0..window.rows() {
            let known = values.entry(window.ids[row]).or_default();
            known.0.push(window.values[row]);
            known.1 = known.1.saturating_add(window.counts[row]);
        }
    }
    let often = recorded.windows.len() * 9 / 10;
    let mut best: BTreeMap<usize, (u64, &Series)> = BTreeMap::new();
    for series in &recorded.series {
        let rank = match series.kind {
            SeriesKind::SpanDuration | SeriesKind::Quantile => 0,
            SeriesKind::SpanRate => 1,
            SeriesKind::Gauge => 2,
            SeriesKind::Rate => 3,
            SeriesKind::SpanErrors => 4,
            SeriesKind::LogTemplate | SeriesKind::LogSeverity => continue,
        };
        let Some((seen, counts)) = values.get(&series.id).filter(|(seen, _)| seen.len() >= often) else { continue };
        // One that moves says more than one that stands still.
        let moves = seen.windows(2).filter(|pair| pair[0].to_bits() != pair[1].to_bits()).count() as u64;
        let worth = moves.saturating_mul(1 << 40).saturating_add(*counts);
        if best.get(&rank).is_none_or(|(known, _)| worth > *known) {
            best.insert(rank, (worth, series));
        }
    }
    let chosen = best.into_values().take(MOST_TARGETS);
    chosen.filter_map(|(_, series)| Target::new(&Arc::new(series.clone()), &values.get(&series.id)?.0)).collect()
}

fn can_be_missing(target: &Target) -> bool {
    matches!(target.series.kind, SeriesKind::Gauge | SeriesKind::Rate | SeriesKind::Quantile)
}

/// A number above those of all series.
fn free_id(recorded: &Recorded) -> u32 {
    recorded.series.iter().map(|series| series.id).max().map_or(1, |most| most.saturating_add(1))
}

/// What one detector saw; `index` counts those that are for the service.
fn judge(
    index: usize,
    detector: &LoadedDetector,
    control: &Heard,
    puts: &[Put],
    targets: &[Target],
    seconds: f64,
) -> DetectorCheck {
    let about = detector.about();
    let seen = |put: &Put| {
        let first = |window: &usize| {
            put.heard.odd.contains(&(index, put.id, *window)) && !control.odd.contains(&(index, put.id, *window))
        };
        (SETTLE..WINDOWS).find(first)
    };
    let all = Kind::VALUES.into_iter().chain([Kind::NewLogPattern]);
    let trials = all.filter_map(|kind| {
        let of = puts.iter().filter(|put| put.kind == kind && about.wants(put.series_kind));
        trial(kind, &of.map(seen).collect::<Vec<_>>(), seconds)
    });
    let (mut broken, mut warming_up, mut flat) = (0, 0, 0);
    for target in targets.iter().filter(|target| about.wants(target.series.kind)) {
        let id = target.series.id;
        let saw = || puts.iter().any(|put| put.id == id && seen(put).is_some());
        if !control.answered.contains(&index) {
            broken += 1;
        } else if !control.scored.contains(&(index, id)) && !saw() {
            warming_up += 1;
        } else if target.is_flat() && !saw() {
            flat += 1;
        }
    }
    let blind = [("warming_up", warming_up), ("flat", flat), ("broken", broken)];
    let blind = blind.into_iter().filter(|(_, series)| *series > 0);
    DetectorCheck {
        detector: detector.identity().name.to_string(),
        trials: trials.collect(),
        blind: blind.map(|(reason, series)| Blind { reason: reason.to_owned(), series }).collect(),
    }
}

/// Sums up in which window each anomaly of a kind was seen; `None` where there was none.
fn trial(kind: Kind, seen: &[Option<usize>], seconds: f64) -> Option<Trial> {
    let delays: Vec<f64> =
        seen.iter().flatten().map(|window| (window + 1).saturating_sub(SETTLE) as f64 * seconds).collect();
    (!seen.is_empty()).then(|| Trial {
        kind: kind.name().to_owned(),
        tried: seen.len() as u64,
        detected: delays.len() as u64,
        delay_seconds: middle(delays),
    })
}

fn name(series: &Series) -> String {
    let attributes: Vec<String> = series.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if attributes.is_empty() { series.name.to_string() } else { format!("{}{{{}}}", series.name, attributes.join(",")) }
}

fn facts(closed: &ClosedWindow) -> WindowFacts {
    WindowFacts {
        service: closed.service.clone(),
        start: closed.window.start,
        end: closed.window.end,
        signals: GoldenSignals::default(),
        versions: Vec::new(),
        logs: Vec::new(),
        spans: Vec::new(),
        span_sampling: 1.0,
    }
}
