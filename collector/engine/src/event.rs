//! What comes out: anomalies, incidents and the traces of incidents, still without a wire format.

use crate::{
    time::UnixNanos,
    verdict::{Detector, DetectorHealth, Forecast, Severity},
    window::{Series, ServiceKey},
};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// Derived from what is seen, where, by whom and when it began: the same input gives the same id.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct AnomalyId(pub u64);

/// Derived from the first anomaly of the incident.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct IncidentId(pub u64);

impl fmt::Display for AnomalyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A deviation of one service that lasts.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Anomaly {
    /// Stable.
    pub id: AnomalyId,
    /// Which service.
    pub service: ServiceKey,
    /// The service's resource attributes.
    pub resource: Arc<Vec<(Arc<str>, Arc<str>)>>,
    /// The most telling series.
    pub series: Arc<Series>,
    /// Others that the finding names.
    pub further_series: Vec<Arc<Series>>,
    /// Who says so.
    pub detector: Arc<Detector>,
    /// What kind of change.
    pub kind: Arc<str>,
    /// How bad, at its worst so far.
    pub severity: Severity,
    /// Surprise, 0 to 16, at its worst so far.
    pub surprise: f64,
    /// What was seen at the worst.
    pub observed: Option<f64>,
    /// What was expected then.
    pub expected: Option<f64>,
    /// Lower end of normal then.
    pub lower: Option<f64>,
    /// Upper end of normal then.
    pub upper: Option<f64>,
    /// For predictions.
    pub forecast: Option<Forecast>,
    /// Start of the first odd window.
    pub start: UnixNanos,
    /// End of the last odd window so far.
    pub last: UnixNanos,
    /// Time between the last two readings of the series, in nanoseconds; at least the length of a window.
    pub every_nanos: u64,
    /// Whether it is about a quantile of nobody knows how many values, which one slow call can move.
    pub unknown_volume: bool,
    /// Set once it ended.
    pub end: Option<UnixNanos>,
    /// One sentence for people, with service, values, bounds and since when.
    pub sentence: String,
    /// Further facts.
    pub evidence: Vec<(String, String)>,
}

impl Anomaly {
    /// Score for people, 0 to 1: `1 - 10^-(surprise/2)`, so 2 is 0.9, 4 is 0.99 and 16 is 1.
    #[must_use]
    pub fn score(&self) -> f64 {
        1.0 - 10f64.powf(-self.surprise / 2.0)
    }
}

/// What happened to an anomaly.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum AnomalyChange {
    /// It began.
    Detected,
    /// It became worse, or still goes on.
    Updated,
    /// It is over.
    Ended,
}

/// What happened to a prediction.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum PredictionChange {
    /// A limit will be reached.
    Raised,
    /// It will not, or was.
    Cleared,
}

/// Where an incident stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IncidentState {
    /// Nobody has taken it.
    Open,
    /// Somebody has.
    Acknowledged,
    /// All its anomalies ended and the quiet time passed.
    Resolved,
    /// It became part of another one.
    Merged,
}

impl IncidentState {
    /// Lower-case name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
            Self::Merged => "merged",
        }
    }
}

/// What happened to an incident.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum IncidentChange {
    /// It was corroborated.
    Opened,
    /// It grew, became worse, or its explanation changed.
    Updated,
    /// Somebody took it.
    Acknowledged,
    /// It became part of another one.
    Merged,
    /// Its cause came back soon after it was resolved.
    Reopened,
    /// It is over.
    Resolved,
}

/// A group of log records seen around an incident.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct LogCluster {
    /// Which service logged them.
    pub service: ServiceKey,
    /// The template that stands for the group.
    pub text: Arc<str>,
    /// Its words that tell it from the other groups, most telling first.
    pub terms: Vec<String>,
    /// Records in the group.
    pub count: u64,
    /// Share of the service's error records in the incident's time, 0 to 1.
    pub share: f64,
    /// One body as it came.
    pub sample: Arc<str>,
}

/// Why a service is thought to be where it started.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RootCause {
    /// Which service.
    pub service: ServiceKey,
    /// Score among all candidates, 0 to 1.
    pub score: f64,
    /// The reason, in words.
    pub summary: String,
}

/// An incident as it stands.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Incident {
    /// Stable.
    pub id: IncidentId,
    /// Trace under which its spans will be sent; derived from the id and the number of reopenings.
    pub trace_id: [u8; 16],
    /// Span id of the root span `incident`.
    pub root_span_id: [u8; 8],
    /// The earlier trace, when it was reopened.
    pub previous_trace: Option<([u8; 16], [u8; 8])>,
    /// Where it stands.
    pub state: IncidentState,
    /// How often it was reopened.
    pub reopened: u32,
    /// When somebody took it, since it was opened or reopened last.
    pub acknowledged: Option<UnixNanos>,
    /// The worst of its anomalies.
    pub severity: Severity,
    /// A short title.
    pub title: String,
    /// One sentence that says it all.
    pub sentence: String,
    /// Services with anomalies in it, ascending.
    pub services: Vec<ServiceKey>,
    /// Candidates for where it started, the most probable first.
    pub root_causes: Vec<RootCause>,
    /// Services that depend on the affected ones, directly or not, ascending.
    pub blast_radius: Vec<ServiceKey>,
    /// Start of the earliest anomaly.
    pub start: UnixNanos,
    /// When it was opened, or reopened last.
    pub opened: UnixNanos,
    /// When it was resolved or merged.
    pub closed: Option<UnixNanos>,
    /// How many anomalies it holds.
    pub anomaly_count: u64,
    /// The anomalies, in order of start and id, bounded in number.
    pub anomalies: Vec<Anomaly>,
    /// Why its anomalies belong together, one reason each.
    pub grouping: Vec<String>,
    /// The last change of version shortly before the start: service, old, new, when.
    pub version_change: Option<(ServiceKey, Arc<str>, Arc<str>, UnixNanos)>,
    /// Dominant log clusters, most records first.
    pub logs: Vec<LogCluster>,
    /// Slow or failing traces seen meanwhile, at most 32: trace id and span id.
    pub exemplars: Vec<([u8; 16], [u8; 8])>,
    /// The incident that took this one in.
    pub merged_into: Option<IncidentId>,
}

/// One event for the outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// `foreshock.anomaly.*`
    Anomaly {
        /// What happened.
        change: AnomalyChange,
        /// When, in event time.
        time: UnixNanos,
        /// The anomaly after it.
        anomaly: Arc<Anomaly>,
        /// Incident that holds it, with its trace id and root span id.
        incident: Option<(IncidentId, [u8; 16], [u8; 8])>,
    },
    /// `foreshock.prediction.*`
    Prediction {
        /// What happened.
        change: PredictionChange,
        /// When, in event time.
        time: UnixNanos,
        /// The anomaly that carries the forecast.
        anomaly: Arc<Anomaly>,
        /// Incident that holds it, with its trace id and root span id.
        incident: Option<(IncidentId, [u8; 16], [u8; 8])>,
    },
    /// `foreshock.incident.*`
    Incident {
        /// What happened.
        change: IncidentChange,
        /// When, in event time.
        time: UnixNanos,
        /// The incident after it.
        incident: Arc<Incident>,
    },
    /// The finished trace of an incident, sent once, when it closes.
    Trace {
        /// The incident after it closed.
        incident: Arc<Incident>,
    },
    /// `foreshock.detector.health`
    DetectorHealth(DetectorHealth),
}
