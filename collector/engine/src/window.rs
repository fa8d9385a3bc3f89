//! A closed window of one service, in the shape in which detectors get it, and the series it speaks of.

use crate::time::UnixNanos;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// Which service: `service.namespace` (possibly empty) and `service.name`.
///
/// Ordered by namespace, then name; every place that handles several services at once does so in this order.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ServiceKey {
    /// `service.namespace`, empty if there is none.
    pub namespace: Arc<str>,
    /// `service.name`; `unknown_service` if there is none.
    pub name: Arc<str>,
}

impl ServiceKey {
    /// A key from its parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ServiceKey {
    /// `name`, or `namespace/name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

/// What the values of a series mean; see `kind` in `wit/detector.wit`, which has the same cases.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeriesKind {
    /// A measured level.
    Gauge,
    /// A counter's rate, per second.
    Rate,
    /// A quantile of a distribution.
    Quantile,
    /// Spans a second.
    SpanRate,
    /// Share of spans with an error, 0 to 1.
    SpanErrors,
    /// A quantile of span duration, in seconds.
    SpanDuration,
    /// Log records a second that follow one template.
    LogTemplate,
    /// Log records a second of one severity range.
    LogSeverity,
}

impl SeriesKind {
    /// All, in the order of the contract (`wit/detector.wit`).
    pub const ALL: [Self; 8] = [
        Self::Gauge,
        Self::Rate,
        Self::Quantile,
        Self::SpanRate,
        Self::SpanErrors,
        Self::SpanDuration,
        Self::LogTemplate,
        Self::LogSeverity,
    ];
}

/// A series of a service: the same measurement from all of its instances together.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Series {
    /// Unique within the service at any time.
    pub id: u32,
    /// Name; see `series.name` in `wit/detector.wit`.
    pub name: Arc<str>,
    /// UCUM unit of the values, possibly empty.
    pub unit: Arc<str>,
    /// What the values mean.
    pub kind: SeriesKind,
    /// In ascending order of the keys.
    pub attributes: Vec<(Arc<str>, Arc<str>)>,
}

impl Series {
    /// The value of one attribute.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| &**name == key).map(|(_, value)| &**value)
    }
}

/// What one service did in one window of time; see `window` in `wit/detector.wit` for the meaning of each column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    /// Inclusive.
    pub start: UnixNanos,
    /// Exclusive.
    pub end: UnixNanos,
    /// New series, and known ones whose description changed, in ascending order of the id.
    pub opened: Vec<Arc<Series>>,
    /// Series that went away, in ascending order of the id.
    pub closed: Vec<u32>,
    /// Series that spoke, ascending.
    pub ids: Vec<u32>,
    /// One finite value per id.
    pub values: Vec<f64>,
    /// Smallest sample per id.
    pub minima: Vec<f64>,
    /// Largest sample per id.
    pub maxima: Vec<f64>,
    /// Points, spans or records per id, 1 or more.
    pub counts: Vec<u64>,
}

impl Window {
    /// How many rows there are: the length of the shortest column.
    #[must_use]
    pub fn rows(&self) -> usize {
        let columns = [self.values.len(), self.minima.len(), self.maxima.len(), self.counts.len()];
        columns.into_iter().fold(self.ids.len(), usize::min)
    }
}

/// A closed window with what only the host sees.
#[derive(Clone, Debug)]
pub struct ClosedWindow {
    /// Whose window.
    pub service: ServiceKey,
    /// The service's resource attributes as last seen, ascending by key, without those that name one instance.
    pub resource: Arc<Vec<(Arc<str>, Arc<str>)>>,
    /// What detectors get.
    pub window: Window,
}
