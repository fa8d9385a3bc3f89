//! Doubts about the data itself: what a series says before anybody asks whether it is normal.

use crate::{
    time::UnixNanos,
    window::{Series, ServiceKey},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is wrong with the data of a series.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QualityKind {
    /// It spoke at a steady interval and is silent, while its service still speaks.
    MissingData,
    /// It used to vary and has been the same to the last bit for a long time.
    Stuck,
    /// Its value can't be in its unit, for instance a utilization above 1.
    OutOfRange,
    /// The number of streams behind its metric changed suddenly.
    Cardinality,
}

impl QualityKind {
    /// The kind of the anomaly: `missing_data`, `stuck`, `out_of_range` or `cardinality`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingData => "missing_data",
            Self::Stuck => "stuck",
            Self::OutOfRange => "out_of_range",
            Self::Cardinality => "cardinality",
        }
    }
}

/// One doubt about one series in one window. Repeated in every window for as long as it holds.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct QualityNote {
    /// Whose series.
    pub service: ServiceKey,
    /// End of the window in which it was noted.
    pub time: UnixNanos,
    /// Which series; not necessarily one that has a row in the window.
    pub series: Arc<Series>,
    /// What is wrong.
    pub kind: QualityKind,
    /// When it began, in event time.
    pub since: UnixNanos,
    /// What was seen, finite: seconds of silence, the stuck or impossible value, or the number of streams.
    pub observed: Option<f64>,
    /// What was expected, finite: seconds between two points, or the number of streams.
    pub expected: Option<f64>,
    /// Lower end of what is possible, finite.
    pub lower: Option<f64>,
    /// Upper end of what is possible, finite.
    pub upper: Option<f64>,
    /// One sentence for people, without the service's name and the time.
    pub message: String,
}
