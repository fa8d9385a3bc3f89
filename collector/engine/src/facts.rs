//! What the shard of a service tells the correlator about each closed window, beside the anomalies.

use crate::{signal::SpanKind, time::UnixNanos, window::ServiceKey};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Requests, errors and duration of a service in one window, over its server and consumer spans.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct GoldenSignals {
    /// Server and consumer spans that ended in the window.
    pub calls: u64,
    /// Those with an error.
    pub errors: u64,
    /// Median duration in seconds; `None` without calls.
    pub p50_seconds: Option<f64>,
    /// 95th percentile in seconds.
    pub p95_seconds: Option<f64>,
    /// 99th percentile in seconds.
    pub p99_seconds: Option<f64>,
    /// Log records.
    pub log_records: u64,
    /// Log records of severity error or fatal.
    pub error_log_records: u64,
}

/// One log template as it was seen in one window.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct LogExcerpt {
    /// Stable id of the template: a hash of its founding signature.
    pub template: u64,
    /// The template's text, variable parts as `<*>`.
    pub text: Arc<str>,
    /// OTLP severity number of most of its records, 0 if unknown.
    pub severity_number: i32,
    /// Records in this window, 1 or more.
    pub count: u64,
    /// Up to three bodies as they came, cut at 512 bytes.
    pub samples: Vec<Arc<str>>,
}

/// What remains of a span for joining both sides of a call and for the service graph.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SpanFact {
    /// Never all zero.
    pub trace_id: [u8; 16],
    /// Never all zero.
    pub span_id: [u8; 8],
    /// All zero for a root span.
    pub parent_span_id: [u8; 8],
    /// The operation: the span's name, capped in number per service.
    pub operation: Arc<str>,
    /// Its side of a call.
    pub kind: SpanFactKind,
    /// When it began.
    pub start: UnixNanos,
    /// How long it took, in nanoseconds.
    pub duration_nanos: u64,
    /// Whether its status is an error.
    pub error: bool,
    /// For client and producer spans: the far side as its attributes name it (`peer.service`, `db.namespace` with
    /// `db.system.name`, `messaging.destination.name`, `server.address`), where there is no span of the far side.
    pub peer: Option<Arc<str>>,
}

/// [`SpanKind`] without the cases that make no difference here.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum SpanFactKind {
    /// Answers a call or takes a message.
    Entry,
    /// Makes a call or hands a message over.
    Exit,
    /// Work within a service.
    Inner,
}

impl From<SpanKind> for SpanFactKind {
    fn from(kind: SpanKind) -> Self {
        match kind {
            SpanKind::Server | SpanKind::Consumer => Self::Entry,
            SpanKind::Client | SpanKind::Producer => Self::Exit,
            SpanKind::Internal | SpanKind::Unspecified => Self::Inner,
        }
    }
}

/// What one service did in one window, for the correlator.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct WindowFacts {
    /// Whose window.
    pub service: ServiceKey,
    /// Inclusive.
    pub start: UnixNanos,
    /// Exclusive.
    pub end: UnixNanos,
    /// Requests, errors, duration.
    pub signals: GoldenSignals,
    /// Values of `service.version` seen, ascending.
    pub versions: Vec<Arc<str>>,
    /// Templates seen, the most telling first (severity, then count), bounded in number.
    pub logs: Vec<LogExcerpt>,
    /// A sample of the spans that ended in the window, in ascending order of trace id and span id: those traces whose
    /// hashed id is smallest, so that all services keep the same traces.
    pub spans: Vec<SpanFact>,
    /// Which share of the spans is in `spans`, above 0 and up to 1.
    pub span_sampling: f64,
}
