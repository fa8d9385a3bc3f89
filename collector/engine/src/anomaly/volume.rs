//! The minimum-volume gate: on how many calls or records a value rests.
//!
//! The rule, over the last `windows` windows:
//! - a high quantile needs more, in each window on average: p90 twice, p95 five times and p99 ten times `floor`, since the 99th
//!   percentile of fewer than 100 values is their maximum;
//! - the error share and the duration of spans count only on at least `floor` calls, the error share also only with at least
//!   three failed calls;
//! - rates of calls and log records count only where at least `floor` were seen or expected;
//! - quantiles and means of a histogram or summary count only on at least `floor` values, as the rate of its count says;
//! - quantiles that the sender made (gauges with an attribute `quantile`) have no count of their own. What stands for it is, in
//!   this order: a counter of the same name with `_count` or `.count` behind it; the calls that the service answers, as its
//!   spans or a rate of requests say. They need as many over all these windows together, since nobody knows over which time
//!   the sender took the quantile. Where nothing tells a number, the volume is unknown: see
//!   `AnomalySettings::unknown_volume_windows`. So it is where the quantile is about calls that the service makes itself, of
//!   which those that it answers say only whether there can be many;
//! - everything else, new log patterns and forecasts always count.

use crate::{
    facts::WindowFacts,
    time::UnixNanos,
    window::{Series, SeriesKind, Window},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use xxhash_rust::xxh3::Xxh3Default;

/// Failed calls below which an error share says nothing.
const FAILED_FLOOR: f64 = 3.0;
/// The attribute by which senders tell their quantiles apart, as Prometheus has it.
const QUANTILE: &str = "quantile";
const STATISTIC: &str = "foreshock.statistic";

/// Whether a value rests on enough.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Volume {
    Enough,
    TooLittle,
    /// It is a quantile of nobody knows how many values.
    Unknown,
}

/// How many calls or records stood behind one series lately.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Recent {
    /// End of the window, how many, how many of them failed.
    windows: VecDeque<(UnixNanos, f64, f64)>,
}

/// The calls that a service answered in one window.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Answered {
    end: UnixNanos,
    /// As its spans say; sums up.
    spans: f64,
    /// As its rates of requests say, a second. They may speak less often than once a window.
    rate: Option<f64>,
}

/// The volumes of one service's series.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Volumes {
    recent: BTreeMap<u64, Recent>,
    answered: VecDeque<Answered>,
}

/// Identifies a series by what it is rather than by its number.
pub(super) fn series_key(series: &Series) -> u64 {
    let mut hasher = Xxh3Default::new();
    hasher.update(series.name.as_bytes());
    hasher.update(&[0xff, series.kind as u8]);
    hash_attributes(&mut hasher, series, |_| true);
    hasher.digest()
}

/// Identifies what all statistics of a metric have in common.
fn family_key(series: &Series, name: &str) -> u64 {
    let mut hasher = Xxh3Default::new();
    hasher.update(name.as_bytes());
    hash_attributes(&mut hasher, series, |key| key != STATISTIC && key != QUANTILE);
    hasher.digest()
}

fn hash_attributes(hasher: &mut Xxh3Default, series: &Series, counts: impl Fn(&str) -> bool) {
    for (key, value) in series.attributes.iter().filter(|(key, _)| counts(key)) {
        hasher.update(&[0xff]);
        hasher.update(key.as_bytes());
        hasher.update(&[0xfe]);
        hasher.update(value.as_bytes());
    }
}

/// Under which key the volume of `series` is kept, and whether it is the one that tells it.
fn volume_key(series: &Series, key: u64) -> Option<(u64, bool)> {
    match series.kind {
        SeriesKind::SpanErrors
        | SeriesKind::SpanDuration
        | SeriesKind::SpanRate
        | SeriesKind::LogTemplate
        | SeriesKind::LogSeverity => Some((key, true)),
        SeriesKind::Rate | SeriesKind::Quantile | SeriesKind::Gauge => {
            if let Some(statistic) = series.attribute(STATISTIC) {
                return Some((family_key(series, &series.name), statistic == "count"));
            }
            if is_senders_quantile(series) {
                return Some((family_key(series, &series.name), false));
            }
            let counted = series.name.strip_suffix("_count").or_else(|| series.name.strip_suffix(".count"))?;
            (series.kind == SeriesKind::Rate).then(|| (family_key(series, counted), true))
        }
    }
}

/// Whether the sender took the quantile, and of how much it does not say.
fn is_senders_quantile(series: &Series) -> bool {
    matches!(series.kind, SeriesKind::Gauge | SeriesKind::Quantile) && series.attribute(QUANTILE).is_some()
}

/// Whether it is a quantile, by whomever it was taken.
pub(super) fn is_quantile(series: &Series) -> bool {
    series.kind == SeriesKind::Quantile || is_senders_quantile(series)
}

/// Whether it is a rate of calls that the service answers.
fn tells_answered(series: &Series) -> bool {
    match (series.kind, series.attribute(STATISTIC)) {
        (SeriesKind::Rate, Some("count")) => series.name.contains("server"),
        (SeriesKind::Rate | SeriesKind::Gauge, None) => {
            let per_second =
                series.unit.strip_suffix("/s").or((series.kind == SeriesKind::Rate).then_some(&*series.unit));
            matches!(per_second, Some("{request}" | "{call}")) && !series.name.contains("client")
        }
        _ => false,
    }
}

impl Volumes {
    /// Takes one row of a window.
    pub(super) fn observe(&mut self, series: &Series, key: u64, window: &Window, row: usize, windows: usize) {
        let Some((key, true)) = volume_key(series, key) else {
            return;
        };
        let (value, count) = (window.values[row], window.counts[row] as f64);
        let (many, failed) = match series.kind {
            SeriesKind::SpanErrors => (count, (value * count).round()),
            SeriesKind::Rate => (value * seconds(window), 0.0),
            _ => (count, 0.0),
        };
        let recent = &mut self.recent.entry(key).or_default().windows;
        recent.push_back((window.end, many, failed));
        while recent.len() > windows {
            recent.pop_front();
        }
    }

    /// Takes how many calls the service answered in a window; `rows` are its series and their values.
    pub(super) fn observe_answered<'a>(
        &mut self,
        facts: &WindowFacts,
        window: &Window,
        rows: impl Iterator<Item = (&'a Series, f64)>,
        windows: usize,
    ) {
        let rates = rows.filter(|(series, value)| value.is_finite() && tells_answered(series));
        let rate = rates.fold(None, |sum: Option<f64>, (_, value)| Some(sum.unwrap_or(0.0) + value.max(0.0)));
        if facts.signals.calls > 0 || rate.is_some() {
            self.answered.push_back(Answered { end: window.end, spans: facts.signals.calls as f64, rate });
        }
        while self.answered.len() > windows {
            self.answered.pop_front();
        }
    }

    /// Forgets what was known of `series`.
    pub(super) fn forget(&mut self, series: &Series, key: u64) {
        if let Some((key, true)) = volume_key(series, key) {
            self.recent.remove(&key);
        }
    }

    /// Whether a finding on `series` rests on enough. `expected` is what the finding expected, in the series' unit.
    pub(super) fn judge(
        &self,
        series: &Series,
        key: u64,
        expected: Option<f64>,
        window: &Window,
        windows: usize,
        floor: f64,
    ) -> Volume {
        let Some((key, _)) = volume_key(series, key) else {
            return Volume::Enough;
        };
        let reach = seconds(window) * windows as f64;
        let since = window.end.minus((reach * 1e9) as u64);
        let verdict = |enough: bool| if enough { Volume::Enough } else { Volume::TooLittle };
        let Some(recent) = self.recent.get(&key) else {
            // Spans and logs always tell how many they are, and so do our own histograms.
            return match (series.kind, is_senders_quantile(series)) {
                (_, true) => match self.answered(since, reach) {
                    Some(answered) if answered < floor * tail_factor(series).max(1.0) => Volume::TooLittle,
                    Some(_) if !series.name.contains("client") => Volume::Enough,
                    _ => Volume::Unknown,
                },
                (SeriesKind::Quantile | SeriesKind::Gauge | SeriesKind::Rate, false) => Volume::Enough,
                _ => Volume::TooLittle,
            };
        };
        let (many, failed, spoke) = recent
            .windows
            .iter()
            .filter(|(end, ..)| *end > since)
            .fold((0.0, 0.0, 0.0), |(many, failed, spoke), (_, m, f)| (many + m, failed + f, spoke + 1.0));
        verdict(match series.kind {
            SeriesKind::SpanErrors => many >= floor && failed >= FAILED_FLOOR,
            SeriesKind::SpanRate | SeriesKind::LogTemplate | SeriesKind::LogSeverity => {
                many.max(expected.unwrap_or(0.0) * reach) >= floor
            }
            SeriesKind::Rate => true,
            _ if is_senders_quantile(series) => many >= floor * tail_factor(series).max(1.0),
            SeriesKind::SpanDuration | SeriesKind::Quantile | SeriesKind::Gauge => {
                many >= floor && many >= spoke * floor * tail_factor(series)
            }
        })
    }

    /// Calls that the service answered since `since`, `reach` seconds ago, by whichever tells more; `None` if nothing tells.
    fn answered(&self, since: UnixNanos, reach: f64) -> Option<f64> {
        let recent = || self.answered.iter().filter(|answered| answered.end > since);
        let spans: f64 = recent().map(|answered| answered.spans).sum();
        let rates: Vec<f64> = recent().filter_map(|answered| answered.rate).collect();
        if self.answered.is_empty() {
            return None;
        }
        Some(spans.max(rates.iter().sum::<f64>() / rates.len().max(1) as f64 * reach))
    }
}

/// How many times the floor a quantile needs in each window, so that some values lie beyond it.
fn tail_factor(series: &Series) -> f64 {
    let share = match (series.attribute(QUANTILE), series.attribute(STATISTIC)) {
        (Some(quantile), _) => quantile.parse().ok(),
        (None, Some(name)) => name.strip_prefix('p').and_then(|percent| percent.parse::<f64>().ok()).map(|p| p / 100.0),
        (None, None) => None,
    };
    match share {
        Some(share) if share >= 0.99 => 10.0,
        Some(share) if share >= 0.95 => 5.0,
        Some(share) if share >= 0.9 => 2.0,
        _ => 0.0,
    }
}

/// The length of a window in seconds.
fn seconds(window: &Window) -> f64 {
    window.end.since(window.start) as f64 / 1e9
}
