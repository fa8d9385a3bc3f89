//! The minimum-volume gate: on how many calls or records a value rests.
//!
//! The rule, over the last `windows` windows:
//! - a high quantile needs more, in each window on average: p95 five times and p99 ten times `floor`, since the 99th percentile of
//!   fewer than 100 values is their maximum;
//! - the error share and the duration of spans count only on at least `floor` calls, the error share also only with at least
//!   three failed calls;
//! - rates of calls and log records count only where at least `floor` were seen or expected;
//! - quantiles and means of a histogram count only on at least `floor` values, as the rate of its count says;
//! - everything else, new log patterns and forecasts always count.

use crate::{
    time::UnixNanos,
    window::{Series, SeriesKind, Window},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use xxhash_rust::xxh3::Xxh3Default;

/// Failed calls below which an error share says nothing.
const FAILED_FLOOR: f64 = 3.0;

/// How many calls or records stood behind one series lately.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Recent {
    /// End of the window, how many, how many of them failed.
    windows: VecDeque<(UnixNanos, f64, f64)>,
}

/// The volumes of one service's series.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Volumes {
    recent: BTreeMap<u64, Recent>,
}

/// Identifies a series by what it is rather than by its number. `without` leaves one attribute out.
pub(super) fn series_key(series: &Series, without: Option<&str>) -> u64 {
    let mut hasher = Xxh3Default::new();
    hasher.update(series.name.as_bytes());
    if without.is_none() {
        hasher.update(&[0xff, series.kind as u8]);
    }
    for (key, value) in series.attributes.iter().filter(|(key, _)| Some(&**key) != without) {
        hasher.update(&[0xff]);
        hasher.update(key.as_bytes());
        hasher.update(&[0xfe]);
        hasher.update(value.as_bytes());
    }
    hasher.digest()
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
            let statistic = series.attribute("foreshock.statistic")?;
            Some((series_key(series, Some("foreshock.statistic")), statistic == "count"))
        }
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

    /// Forgets what was known of `series`.
    pub(super) fn forget(&mut self, series: &Series, key: u64) {
        if let Some((key, true)) = volume_key(series, key) {
            self.recent.remove(&key);
        }
    }

    /// Whether a finding on `series` rests on enough. `expected` is what the finding expected, in the series' unit.
    pub(super) fn enough(
        &self,
        series: &Series,
        key: u64,
        expected: Option<f64>,
        window: &Window,
        windows: usize,
        floor: f64,
    ) -> bool {
        let Some((key, _)) = volume_key(series, key) else {
            return true;
        };
        let reach = seconds(window) * windows as f64;
        let since = window.end.minus((reach * 1e9) as u64);
        let Some(recent) = self.recent.get(&key) else {
            // A histogram whose count is not among the series can't be judged; spans and logs always tell theirs.
            return matches!(series.kind, SeriesKind::Quantile | SeriesKind::Gauge | SeriesKind::Rate);
        };
        let (many, failed, spoke) = recent
            .windows
            .iter()
            .filter(|(end, ..)| *end > since)
            .fold((0.0, 0.0, 0.0), |(many, failed, spoke), (_, m, f)| (many + m, failed + f, spoke + 1.0));
        match series.kind {
            SeriesKind::SpanErrors => many >= floor && failed >= FAILED_FLOOR,
            SeriesKind::SpanRate | SeriesKind::LogTemplate | SeriesKind::LogSeverity => {
                many.max(expected.unwrap_or(0.0) * reach) >= floor
            }
            SeriesKind::Rate => true,
            SeriesKind::SpanDuration | SeriesKind::Quantile | SeriesKind::Gauge => {
                many >= floor && many >= spoke * floor * tail_factor(series)
            }
        }
    }
}

/// How many times the floor a quantile needs in each window, so that some values lie beyond it.
fn tail_factor(series: &Series) -> f64 {
    match series.attribute("foreshock.statistic") {
        Some("p99") => 10.0,
        Some("p95") => 5.0,
        _ => 0.0,
    }
}

/// The length of a window in seconds.
fn seconds(window: &Window) -> f64 {
    window.end.since(window.start) as f64 / 1e9
}
