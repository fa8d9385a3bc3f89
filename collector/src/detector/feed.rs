//! Made-up windows of one service: the same numbers on every machine.

use foreshock_engine::{
    UnixNanos,
    window::{ClosedWindow, Series, SeriesKind, ServiceKey, Window},
};
use std::{collections::BTreeMap, sync::Arc};

/// 2026-01-05 00:00 UTC, a Monday.
const EPOCH_NS: u64 = 1_767_571_200_000_000_000;

/// One row: series, value, smallest, largest, count.
pub(super) type Row = (u32, f64, f64, f64, u64);

/// Makes the windows of one service.
pub(super) struct Feed {
    step_ns: u64,
    next_ns: u64,
    open: BTreeMap<u32, Arc<Series>>,
    opened: Vec<Arc<Series>>,
    closed: Vec<u32>,
    noise: Noise,
}

impl Feed {
    /// Begins at midnight of a Monday.
    pub(super) fn new(step_ns: u64) -> Self {
        let next_ns = EPOCH_NS - EPOCH_NS % step_ns.max(1);
        Self { step_ns, next_ns, open: BTreeMap::new(), opened: Vec::new(), closed: Vec::new(), noise: Noise(0x5eed) }
    }

    /// Opens a series such as services have with the next window.
    pub(super) fn open(&mut self, id: u32, kind: SeriesKind) {
        let (name, unit, attributes): (&str, &str, Vec<(&str, String)>) = match kind {
            SeriesKind::Gauge => ("queue.depth", "{message}", vec![("queue", format!("q{id}"))]),
            SeriesKind::Rate => ("orders.placed", "{order}/s", vec![("region", format!("r{id}"))]),
            SeriesKind::Quantile => (
                "http.server.duration",
                "s",
                vec![("foreshock.statistic", "p95".to_owned()), ("route", format!("/{id}"))],
            ),
            SeriesKind::SpanRate => ("traces.span.metrics.calls", "{span}/s", vec![("span.name", format!("op {id}"))]),
            SeriesKind::SpanErrors => ("traces.span.metrics.errors", "1", vec![("span.name", format!("op {id}"))]),
            SeriesKind::SpanDuration => (
                "traces.span.metrics.duration",
                "s",
                vec![("foreshock.statistic", "p95".to_owned()), ("span.name", format!("op {id}"))],
            ),
            SeriesKind::LogTemplate => (
                "log.template",
                "{record}/s",
                vec![
                    ("foreshock.template.text", format!("request {id} took <*> ms")),
                    ("log.severity", "info".to_owned()),
                ],
            ),
            SeriesKind::LogSeverity => ("log.records", "{record}/s", vec![("log.severity", format!("s{id}"))]),
        };
        let attributes = attributes.iter().map(|(key, value)| (Arc::from(*key), Arc::from(value.as_str()))).collect();
        self.open_series(Series { id, name: name.into(), unit: unit.into(), kind, attributes });
    }

    /// Opens a series with the next window, or describes an open one anew.
    pub(super) fn open_series(&mut self, series: Series) {
        let series = Arc::new(series);
        self.open.insert(series.id, Arc::clone(&series));
        self.opened.retain(|other| other.id != series.id);
        self.opened.push(series);
    }

    /// Closes a series with the next window.
    pub(super) fn close(&mut self, id: u32) {
        if self.open.remove(&id).is_some() {
            self.opened.retain(|series| series.id != id);
            self.closed.push(id);
        }
    }

    /// How many series are open.
    pub(super) fn series(&self) -> impl Iterator<Item = (u32, SeriesKind)> {
        self.open.values().map(|series| (series.id, series.kind))
    }

    /// Lets time pass in which the service says nothing.
    pub(super) fn skip(&mut self, windows: u64) {
        self.next_ns = self.next_ns.saturating_add(self.step_ns.saturating_mul(windows));
    }

    /// The next window with these rows, in ascending order of the id.
    pub(super) fn window(&mut self, rows: &[Row]) -> ClosedWindow {
        let start = UnixNanos(self.next_ns);
        self.next_ns = self.next_ns.saturating_add(self.step_ns);
        let mut opened = std::mem::take(&mut self.opened);
        opened.sort_by_key(|series| series.id);
        ClosedWindow {
            service: ServiceKey::new("shop", "checkout"),
            resource: Arc::new(vec![
                ("service.name".into(), "checkout".into()),
                ("service.namespace".into(), "shop".into()),
            ]),
            window: Window {
                start,
                end: UnixNanos(self.next_ns),
                opened,
                closed: std::mem::take(&mut self.closed),
                ids: rows.iter().map(|row| row.0).collect(),
                values: rows.iter().map(|row| row.1).collect(),
                minima: rows.iter().map(|row| row.2).collect(),
                maxima: rows.iter().map(|row| row.3).collect(),
                counts: rows.iter().map(|row| row.4).collect(),
            },
        }
    }

    /// The next window with an ordinary value of each open series, times `factor` where that keeps the kind's range.
    pub(super) fn ordinary(&mut self, factor: f64) -> ClosedWindow {
        let series: Vec<(u32, SeriesKind)> = self.series().collect();
        let rows: Vec<Row> = series.into_iter().map(|(id, kind)| self.ordinary_row(id, kind, factor)).collect();
        self.window(&rows)
    }

    /// An ordinary value of one series.
    pub(super) fn ordinary_row(&mut self, id: u32, kind: SeriesKind, factor: f64) -> Row {
        let (level, wobble) = match kind {
            SeriesKind::Gauge => (200.0, 10.0),
            SeriesKind::Rate | SeriesKind::SpanRate => (40.0, 3.0),
            SeriesKind::Quantile | SeriesKind::SpanDuration => (0.25, 0.02),
            SeriesKind::SpanErrors => (0.02, 0.005),
            SeriesKind::LogTemplate | SeriesKind::LogSeverity => (5.0, 1.0),
        };
        let mut value = (level + wobble * self.noise.spread()).max(0.0) * factor;
        if kind == SeriesKind::SpanErrors {
            value = value.min(1.0);
        }
        let half = value / 10.0;
        let max = if kind == SeriesKind::SpanErrors { value } else { value + half };
        (id, value, value - half, max, 1 + self.noise.below(400))
    }
}

/// Seeded noise (SplitMix64, Steele, Lea and Flood 2014).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// Around 0 with deviation 1: the sum of twelve even numbers between 0 and 1, less six.
    fn spread(&mut self) -> f64 {
        (0..12).map(|_| (self.next() >> 11) as f64 / (1_u64 << 53) as f64).sum::<f64>() - 6.0
    }
}
