//! Doubts about data before it is scored: silent, stuck and impossible series, and metrics whose streams multiply.

use super::family::FamilyKey;
use crate::{
    quality::{QualityKind, QualityNote},
    time::UnixNanos,
    window::{Series, SeriesKind, ServiceKey},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Gaps of the learned length in a row before silence means anything.
const STEADY_GAPS: u8 = 12;
/// A series is missing after this many intervals of silence.
const MISSING_INTERVALS: f64 = 3.0;
/// Nobody wants to hear of a series that has been silent for this many intervals: it is gone for good.
const GONE_INTERVALS: f64 = 2_000.0;
/// Changes of the value before its standing still means anything.
const VARIED: u32 = 30;
/// Rows of one value, at least, before it is stuck; it also takes eight times the longest such run before.
const STUCK_ROWS: u32 = 60;
/// Windows with an impossible value before it is told, and windows without before it is taken back.
const RANGE_RAISE: u8 = 2;
const RANGE_CLEAR: u8 = 3;
/// Windows over which the usual number of streams is learned before a change means anything.
const CARDINALITY_WINDOWS: u32 = 30;
/// Streams that must have come or gone at least.
const CARDINALITY_STREAMS: f64 = 50.0;
/// A stream counts as alive for this many windows after it spoke.
pub(super) const ALIVE_WINDOWS: u64 = 30;

/// What is remembered of one series.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Watch {
    /// Index of the window in which it last spoke, plus one; 0 before the first.
    last: u64,
    value: f64,
    min: f64,
    max: f64,
    /// Learned gap between two windows in which it speaks, in windows; 0 before the first gap.
    interval: f64,
    steady: u8,
    changes: u32,
    /// Rows with the present value, and the most there ever were of one value before it.
    run: u32,
    longest_run: u32,
    /// The window in which the present run began.
    run_since: u64,
    impossible: u8,
    possible: u8,
    out_of_range_since: Option<u64>,
}

/// The number of streams of one metric.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Cardinality {
    usual: f64,
    windows: u32,
    changed_since: Option<u64>,
    /// Streams in the window being closed.
    #[serde(skip)]
    pub(super) now: u32,
}

/// Where notes of one window go.
pub(super) struct Notes<'a> {
    pub(super) service: &'a ServiceKey,
    pub(super) index: u64,
    pub(super) window_nanos: u64,
    pub(super) max: usize,
    pub(super) notes: Vec<QualityNote>,
    pub(super) omitted: u64,
}

// === impl Notes ===

impl Notes<'_> {
    fn seconds(&self, windows: f64) -> f64 {
        windows * self.window_nanos as f64 / 1e9
    }

    fn start_of(&self, window: u64) -> UnixNanos {
        UnixNanos(window.saturating_mul(self.window_nanos))
    }

    fn push(&mut self, series: &Arc<Series>, kind: QualityKind, since: u64, numbers: Numbers, message: String) {
        if self.notes.len() >= self.max {
            self.omitted += 1;
            return;
        }
        let Numbers { observed, expected, lower, upper } = numbers;
        self.notes.push(QualityNote {
            service: self.service.clone(),
            time: self.start_of(self.index + 1),
            series: Arc::clone(series),
            kind,
            since: self.start_of(since),
            observed,
            expected,
            lower,
            upper,
            message,
        });
    }
}

#[derive(Clone, Copy, Default)]
struct Numbers {
    observed: Option<f64>,
    expected: Option<f64>,
    lower: Option<f64>,
    upper: Option<f64>,
}

// === impl Watch ===

impl Watch {
    /// Whether the series has a row in window `index` already.
    pub(super) fn has_spoken(&self, index: u64) -> bool {
        self.last == index + 1
    }

    /// The series has a row in window `index`.
    pub(super) fn spoke(&mut self, index: u64, value: f64, min: f64, max: f64) {
        if self.last > 0 {
            self.learn_interval((index + 1).saturating_sub(self.last) as f64);
            if value.to_bits() == self.value.to_bits() {
                self.run = self.run.saturating_add(1);
            } else {
                self.changes = self.changes.saturating_add(1);
                self.longest_run = self.longest_run.max(self.run);
                (self.run, self.run_since) = (1, index);
            }
        } else {
            (self.run, self.run_since) = (1, index);
        }
        (self.last, self.value, self.min, self.max) = (index + 1, value, min, max);
    }

    fn learn_interval(&mut self, gap: f64) {
        if self.interval == 0.0 {
            self.interval = gap;
        }
        // An interval that is no multiple of the window gives gaps that differ by one.
        if (gap - self.interval).abs() <= 1.0 {
            self.steady = self.steady.saturating_add(1);
            self.interval += 0.125 * (gap - self.interval);
        } else {
            self.steady /= 4;
            self.interval += 0.25 * (gap - self.interval);
        }
    }

    /// Forgets how often the series speaks.
    pub(super) fn end(&mut self) {
        (self.steady, self.interval) = (0, 0.0);
    }

    /// Whether the series spoke lately, as of the close of window `index`.
    pub(super) fn speaks(&self, index: u64) -> bool {
        let silent = (index + 1).saturating_sub(self.last) as f64;
        self.last > 0 && silent <= MISSING_INTERVALS * self.interval.max(1.0)
    }

    /// Judges the series at the close of a window, whether or not it spoke. Its silence is nothing to tell where its metric is
    /// `heard` otherwise. Answers whether silence was told.
    pub(super) fn judge(&mut self, series: &Arc<Series>, heard: bool, notes: &mut Notes<'_>) -> bool {
        if self.last == 0 {
            return false;
        }
        let silent = (notes.index + 1).saturating_sub(self.last);
        if silent > 0 {
            return self.judge_silence(silent as f64, series, heard, notes);
        }
        self.judge_stuck(series, notes);
        self.judge_range(series, notes);
        false
    }

    fn judge_silence(&mut self, silent: f64, series: &Arc<Series>, heard: bool, notes: &mut Notes<'_>) -> bool {
        let interval = self.interval.max(1.0);
        if self.steady < STEADY_GAPS || silent <= MISSING_INTERVALS * interval {
            return false;
        }
        // A counter that stood still goes with its process, as that of a rare error does when a new version is rolled out.
        // Nobody misses it.
        if series.kind == SeriesKind::Rate && self.value == 0.0 {
            return false;
        }
        if silent > GONE_INTERVALS * interval {
            self.end();
            return false;
        }
        if heard {
            return false;
        }
        let (seconds, usual) = (notes.seconds(silent), notes.seconds(interval));
        let message = format!("{} sent nothing for {seconds:.0} s; it speaks every {usual:.0} s", series.name);
        let limit = notes.seconds(MISSING_INTERVALS * interval);
        let numbers =
            Numbers { observed: Some(seconds), expected: Some(usual), upper: Some(limit), ..Numbers::default() };
        notes.push(series, QualityKind::MissingData, self.last, numbers, message);
        true
    }

    fn judge_stuck(&self, series: &Arc<Series>, notes: &mut Notes<'_>) {
        // A counter that does not move and a rare quantile are normal; a measured level that freezes is not. 0 is how an
        // idle thing looks.
        let enough = STUCK_ROWS.max(self.longest_run.saturating_mul(8));
        if series.kind != SeriesKind::Gauge || self.value == 0.0 || self.changes < VARIED || self.run < enough {
            return;
        }
        let message = format!(
            "{} has been exactly {} for {:.0} s; it changed {} times before",
            series.name,
            self.value,
            notes.seconds((notes.index - self.run_since) as f64),
            self.changes
        );
        let numbers = Numbers { observed: Some(self.value), ..Numbers::default() };
        notes.push(series, QualityKind::Stuck, self.run_since, numbers, message);
    }

    fn judge_range(&mut self, series: &Arc<Series>, notes: &mut Notes<'_>) {
        let Some((lower, upper)) = possible_range(series) else { return };
        // Room for rounding.
        let slack = 1e-6 * upper.unwrap_or(1.0);
        let below = lower.filter(|lower| self.min < lower - slack).map(|_| self.min);
        let above = upper.filter(|upper| self.max > upper + slack).map(|_| self.max);
        let impossible = below.or(above);
        if impossible.is_some() {
            self.impossible = self.impossible.saturating_add(1);
            self.possible = 0;
        } else {
            self.possible = self.possible.saturating_add(1);
            self.impossible = 0;
        }
        if self.possible >= RANGE_CLEAR {
            self.out_of_range_since = None;
        }
        if self.impossible >= RANGE_RAISE && self.out_of_range_since.is_none() {
            self.out_of_range_since = Some(notes.index);
        }
        if let Some(since) = self.out_of_range_since {
            let observed = impossible.unwrap_or(self.value);
            let range = match (lower, upper) {
                (Some(lower), Some(upper)) => format!("between {lower} and {upper}"),
                (Some(lower), None) => format!("{lower} or more"),
                (None, Some(upper)) => format!("{upper} or less"),
                (None, None) => return,
            };
            let message = format!("{} is {observed}, but in its unit it can only be {range}", series.name);
            let numbers = Numbers { observed: Some(observed), lower, upper, expected: None };
            notes.push(series, QualityKind::OutOfRange, since, numbers, message);
        }
    }
}

/// Which values a series can have, by its unit and the last word of its name as the semantic conventions use them.
fn possible_range(series: &Series) -> Option<(Option<f64>, Option<f64>)> {
    if !matches!(series.kind, SeriesKind::Gauge | SeriesKind::Quantile) {
        return None;
    }
    let last_word = || series.name.rsplit(['.', '_']).next().unwrap_or_default();
    match &*series.unit {
        "1" | "" if matches!(last_word(), "utilization" | "ratio") => Some((Some(0.0), Some(1.0))),
        "%" => Some((Some(0.0), Some(100.0))),
        // A difference of times may have either sign.
        "s" | "ms" | "us" | "ns" | "min" | "h"
            if !["offset", "skew", "drift", "delta", "lag"].contains(&last_word()) =>
        {
            Some((Some(0.0), None))
        }
        "By" | "KiBy" | "MiBy" | "GiBy" | "By/s" | "bit/s" => Some((Some(0.0), None)),
        _ => None,
    }
}

// === impl Cardinality ===

impl Cardinality {
    /// Judges the number of streams at the close of a window. `series` is one of the metric's.
    pub(super) fn judge(&mut self, key: &FamilyKey, series: &Arc<Series>, notes: &mut Notes<'_>) {
        let now = f64::from(self.now);
        if self.windows == 0 {
            self.usual = now;
        }
        self.windows = self.windows.saturating_add(1);
        let differs = |factor: f64| {
            let (low, high) = if now < self.usual { (now, self.usual) } else { (self.usual, now) };
            high > factor * low && high - low >= CARDINALITY_STREAMS
        };
        // Three times as many to raise, twice as many to keep it up.
        let changed = self.windows > CARDINALITY_WINDOWS
            && if self.changed_since.is_some() { differs(2.0) } else { differs(3.0) };
        if !changed {
            self.changed_since = None;
            self.usual += (now - self.usual) / f64::from(self.windows.min(CARDINALITY_WINDOWS));
            return;
        }
        // Slowly, so that a change that lasts becomes the usual within a few hours.
        self.usual += 0.002 * (now - self.usual);
        let since = *self.changed_since.get_or_insert(notes.index);
        let usual = self.usual;
        let message = format!("{} has {now:.0} streams instead of about {usual:.0}", key.name);
        let numbers = Numbers { observed: Some(now), expected: Some(usual), ..Numbers::default() };
        notes.push(series, QualityKind::Cardinality, since, numbers, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 10_000_000_000;

    fn series(name: &str, unit: &str, kind: SeriesKind) -> Arc<Series> {
        Arc::new(Series { id: 1, name: name.into(), unit: unit.into(), kind, attributes: Vec::new() })
    }

    /// Feeds a watch the value of each window (`None`: silent) and gives the kinds of the notes of each.
    fn run(series: &Arc<Series>, values: impl IntoIterator<Item = Option<f64>>) -> Vec<Option<QualityNote>> {
        let service = ServiceKey::new("", "shop");
        let mut watch = Watch::default();
        (1..)
            .zip(values)
            .map(|(index, value)| {
                if let Some(value) = value {
                    watch.spoke(index, value, value, value);
                }
                let mut notes =
                    Notes { service: &service, index, window_nanos: WINDOW, max: 4, notes: Vec::new(), omitted: 0 };
                watch.judge(series, false, &mut notes);
                notes.notes.pop()
            })
            .collect()
    }

    /// Protects against silence that nobody notices: a series that speaks in each window is missing after the third silent
    /// one, and no longer once it is back.
    #[test]
    fn a_steady_series_goes_missing() {
        let gauge = series("queue.depth", "{item}", SeriesKind::Gauge);
        let values = (0..20).map(|i| Some(f64::from(i))).chain([None; 5]).chain([Some(1.0)]);
        let notes = run(&gauge, values);
        let missing: Vec<usize> = (0..notes.len()).filter(|&at| notes[at].is_some()).collect();
        assert_eq!(missing, [23, 24]);
        let note = notes[23].as_ref().expect("a note");
        assert_eq!((note.kind, note.observed, note.expected), (QualityKind::MissingData, Some(40.0), Some(10.0)));
        assert_eq!(note.since, UnixNanos(21 * WINDOW));
    }

    /// Protects against alarms on series that speak now and then.
    #[test]
    fn an_unsteady_series_is_not_missing() {
        let gauge = series("queue.depth", "{item}", SeriesKind::Gauge);
        let speaks = [1usize, 2, 9, 10, 25, 26, 40, 61, 62, 80];
        let notes = run(&gauge, (0..120).map(|i| speaks.contains(&i).then_some(1.0)));
        assert!(notes.iter().all(Option::is_none));
    }

    /// Protects the learned interval: one point a minute is steady, four silent minutes are not.
    #[test]
    fn learns_an_interval_longer_than_the_window() {
        let gauge = series("queue.depth", "{item}", SeriesKind::Gauge);
        let notes = run(&gauge, (0..150).map(|i| (i % 6 == 0 && i < 120).then_some(f64::from(i))));
        let first = notes.iter().position(Option::is_some);
        // Last spoke in window 114; silent for more than 18 windows in window 133.
        assert_eq!(first, Some(133));
    }

    /// Protects against a frozen sensor, and against taking a constant for one.
    #[test]
    fn a_level_that_used_to_vary_gets_stuck() {
        let gauge = series("temperature", "Cel", SeriesKind::Gauge);
        let notes = run(&gauge, (0..100).map(|i| Some(if i < 40 { f64::from(i) } else { 20.5 })));
        let first = notes.iter().position(Option::is_some);
        assert_eq!(first, Some(99));
        assert_eq!(notes[99].as_ref().map(|note| note.kind), Some(QualityKind::Stuck));
        let constant = run(&gauge, [Some(20.5); 500]);
        assert!(constant.iter().all(Option::is_none));
        let counter = series("requests", "1/s", SeriesKind::Rate);
        let idle = run(&counter, (0..300).map(|i| Some(if i < 40 { f64::from(i) } else { 0.5 })));
        assert!(idle.iter().all(Option::is_none));
    }

    /// Protects hysteresis: one impossible value is not told, two are, until three windows are fine again.
    #[test]
    fn impossible_values_are_told_with_hysteresis() {
        let ratio = series("system.memory.utilization", "1", SeriesKind::Gauge);
        let values = [0.5, 1.5, 0.5, 1.5, 1.2, 0.5, 0.5, 0.5].map(Some);
        let told: Vec<bool> = run(&ratio, values).iter().map(Option::is_some).collect();
        assert_eq!(told, [false, false, false, false, true, true, true, false]);
        let range = |name, unit| possible_range(&series(name, unit, SeriesKind::Gauge));
        assert_eq!(range("http.duration", "s"), Some((Some(0.0), None)));
        assert_eq!(range("ntp.offset", "s"), None);
        assert_eq!(range("cpu", "%"), Some((Some(0.0), Some(100.0))));
        assert_eq!(range("replicas", "1"), None);
    }

    /// Protects against label explosions going unseen.
    #[test]
    fn a_sudden_change_of_cardinality_is_told() {
        let service = ServiceKey::new("", "shop");
        let gauge = series("requests", "1/s", SeriesKind::Rate);
        let key = FamilyKey {
            name: "requests".into(),
            unit: "1".into(),
            shape: super::super::family::Shape::Rate,
            attributes: Vec::new(),
        };
        let mut cardinality = Cardinality::default();
        let mut told = Vec::new();
        for index in 0..60 {
            cardinality.now = match index {
                40..50 => 400,
                _ => 20 + u32::try_from(index % 3).unwrap_or(0),
            };
            let mut notes =
                Notes { service: &service, index, window_nanos: WINDOW, max: 4, notes: Vec::new(), omitted: 0 };
            cardinality.judge(&key, &gauge, &mut notes);
            if notes.notes.pop().is_some() {
                told.push(index);
            }
        }
        assert_eq!(told, (40..50).collect::<Vec<u64>>());
    }

    /// Protects a rollout from false alarms: the counter of a rare error stands still and goes with the old process. A
    /// counter that was busy until it fell silent is still missed.
    #[test]
    fn an_idle_counter_may_go() {
        let errors = series("http.server.errors", "{request}", SeriesKind::Rate);
        let silent_after = |last: f64| run(&errors, [Some(1.0); 20].into_iter().chain([Some(last)]).chain([None; 5]));
        assert!(silent_after(0.0).iter().all(Option::is_none));
        assert!(silent_after(2.0).iter().any(Option::is_some));
    }
}
