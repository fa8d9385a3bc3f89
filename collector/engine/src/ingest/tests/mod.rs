//! Telemetry in, rows out: what the tests of this module share.

mod metrics;
mod properties;
mod signals;
mod times;

use super::*;
use crate::{
    signal::AttributeValue,
    window::{Series, SeriesKind},
};
use std::{collections::BTreeMap, sync::Arc};

/// A second.
pub(super) const S: u64 = 1_000_000_000;
/// A start of a window.
pub(super) const T: u64 = 1_700_000_000 * S;

/// Attributes as a list.
#[derive(Clone, Debug, Default)]
pub(super) struct List(pub(super) Vec<(String, String)>);

impl Attributes for List {
    fn raw_hash(&self) -> u64 {
        self.0.as_slice().raw_hash()
    }

    fn for_each(&self, visit: &mut dyn FnMut(&str, AttributeValue<'_>)) {
        self.0.as_slice().for_each(visit);
    }
}

pub(super) fn list(pairs: &[(&str, &str)]) -> List {
    List(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
}

pub(super) fn key(name: &str) -> ServiceKey {
    ServiceKey::new("", name)
}

/// One row of a window.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// Start of the window, in seconds after [`T`].
    pub(super) start: i64,
    pub(super) service: ServiceKey,
    pub(super) series: Arc<Series>,
    pub(super) value: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) count: u64,
}

impl Row {
    /// Name, kind and attributes, but not the id.
    pub(super) fn label(&self) -> String {
        let series = &self.series;
        let attributes: Vec<String> = series.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{} [{}] {:?} {}", series.name, series.unit, series.kind, attributes.join(","))
    }
}

/// An ingest with its rows so far.
pub(super) struct Bench {
    pub(super) ingest: Ingest,
    pub(super) rows: Vec<Row>,
    pub(super) closed: Vec<(ClosedWindow, WindowFacts)>,
    known: BTreeMap<(ServiceKey, u32), Arc<Series>>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(IngestSettings::default())
    }

    pub(super) fn with(settings: IngestSettings) -> Self {
        Self { ingest: Ingest::new(settings), rows: Vec::new(), closed: Vec::new(), known: BTreeMap::new() }
    }

    /// Sends one point of service `shop`, instance `a`; times in seconds after [`T`].
    pub(super) fn point(&mut self, metric: &Metric<'_>, start: f64, time: f64, data: PointData<'_>) {
        self.instance_point("a", metric, start, time, data);
    }

    pub(super) fn instance_point(
        &mut self,
        instance: &str,
        metric: &Metric<'_>,
        start: f64,
        time: f64,
        data: PointData<'_>,
    ) {
        let mut slice = self.ingest.enter(&key("shop"), UnixNanos(0));
        slice.resource(&list(&[("service.instance.id", instance), ("service.version", "1.0")]));
        slice.scope("library", "");
        let (start, time) = (at(start), at(time));
        slice.point(metric, &Point { start, time, no_recorded_value: false, attributes: &(), data });
    }

    /// Takes what is closed.
    pub(super) fn poll(&mut self) {
        while let Some((closed, facts)) = self.ingest.poll_closed() {
            let window = &closed.window;
            assert!(window.ids.is_sorted_by(|left, right| left < right), "ids ascend");
            for series in &window.opened {
                self.known.insert((closed.service.clone(), series.id), Arc::clone(series));
            }
            for id in &window.closed {
                self.known.remove(&(closed.service.clone(), *id));
            }
            for (at, id) in window.ids.iter().enumerate() {
                let series = self.known.get(&(closed.service.clone(), *id)).expect("a series that was opened");
                let start = i64::try_from(window.start.0).unwrap_or(i64::MAX) - i64::try_from(T).unwrap_or(0);
                let (value, min, max) = (window.values[at], window.minima[at], window.maxima[at]);
                assert!(value.is_finite() && min.is_finite() && max.is_finite(), "finite: {value} {min} {max}");
                assert!(min <= value && value <= max, "in order: {min} {value} {max}");
                assert!(window.counts[at] > 0, "spoke");
                let start = start / i64::try_from(S).unwrap_or(1);
                let count = window.counts[at];
                let service = closed.service.clone();
                self.rows.push(Row { start, service, series: Arc::clone(series), value, min, max, count });
            }
            self.closed.push((closed, facts));
        }
    }

    /// Closes everything, as a clock that goes on does.
    pub(super) fn finish(&mut self) {
        let now = UnixNanos(T + 1_000_000 * S);
        self.ingest.handle_tick(now);
        self.ingest.handle_tick(now.plus(60 * S));
        self.poll();
    }

    /// Closes everything and gives (start, value) of the series with this kind and statistic (empty: none).
    pub(super) fn values(&mut self, kind: SeriesKind, statistic: &str) -> Vec<(i64, f64)> {
        self.finish();
        let of = |row: &&Row| {
            row.series.kind == kind && row.series.attribute("foreshock.statistic").unwrap_or_default() == statistic
        };
        self.rows.iter().filter(of).map(|row| (row.start, row.value)).collect()
    }
}

/// Seconds after [`T`]; negative ones far below mean "not known".
pub(super) fn at(seconds: f64) -> UnixNanos {
    if seconds <= -1e6 { UnixNanos(0) } else { UnixNanos((T as i64 + (seconds * 1e9) as i64) as u64) }
}

/// Not known.
pub(super) const NEVER: f64 = -1e9;

pub(super) fn near(got: &[(i64, f64)], expected: &[(i64, f64)]) {
    let same = got.len() == expected.len()
        && got
            .iter()
            .zip(expected)
            .all(|(left, right)| left.0 == right.0 && (left.1 - right.1).abs() <= 1e-9 * right.1.abs().max(1.0));
    assert!(same, "{got:?} instead of {expected:?}");
}
