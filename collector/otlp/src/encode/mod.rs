//! Events as OTLP log records and incidents as OTLP traces, under the instrumentation scope `foreshock`.
//!
//! Event names are `foreshock.anomaly.{detected,updated,ended}`, `foreshock.prediction.{raised,cleared}`,
//! `foreshock.incident.{opened,updated,acknowledged,merged,reopened,resolved}` and `foreshock.detector.health`. Time and observed
//! time are event time, the body is one sentence, severity is `info` 9, `warning` 13, `error` 17 or `critical` 21. Trace id and
//! span id are those of the incident's root span, known before the trace is sent. Anomalies and predictions carry the resource
//! of the service they are about, incidents and health Foreshock's own.
//!
//! An attribute whose value is not known is left out. Times are RFC 3339 in UTC, ids 16 hexadecimal digits, services `name` or
//! `namespace/name`; doubles are finite.
//!
//! | attribute | type | on | meaning |
//! | --- | --- | --- | --- |
//! | `foreshock.anomaly.id` | text | anomaly, prediction | stable; the same input gives the same id |
//! | `foreshock.anomaly.kind` | text | anomaly, prediction | kind of change |
//! | `foreshock.anomaly.score` | double | anomaly, prediction | 0 to 1, for people |
//! | `foreshock.anomaly.surprise` | double | anomaly, prediction | 0 to 16, -log10 of the tail probability |
//! | `foreshock.anomaly.severity` | text | anomaly, prediction | `info`, `warning`, `error`, `critical` |
//! | `foreshock.anomaly.observed`, `.expected`, `.lower`, `.upper` | double | anomaly, prediction | at its worst, in the series' unit |
//! | `foreshock.anomaly.start`, `.last`, `.end` | text | anomaly, prediction | first odd window's start, last one's end, when it ended |
//! | `foreshock.anomaly.evidence.<key>` | text | anomaly, prediction | further facts from the detector |
//! | `foreshock.series.name`, `.unit`, `.kind` | text | anomaly, prediction | the most telling series |
//! | `foreshock.series.attributes` | text | anomaly, prediction | its attributes as a JSON object |
//! | `foreshock.series.further` | texts | anomaly, prediction | names of the other series that the finding names |
//! | `foreshock.detector.name`, `.version`, `.digest` | text | anomaly, prediction, health | who says so; SHA-256 of the component |
//! | `foreshock.detector.service` | text | health | for which service |
//! | `foreshock.detector.state` | text | health | `healthy` or `failed` |
//! | `foreshock.detector.fault` | text | health | `trap`, `deadline`, `memory`, `bad_verdict`, `bad_state`, `refused` |
//! | `foreshock.prediction.limit` | double | prediction | in the series' unit |
//! | `foreshock.prediction.reaches`, `.earliest`, `.latest` | text | prediction | when, and the 80 % interval |
//! | `foreshock.incident.id` | text | incident; anomaly and prediction held by one | stable |
//! | `foreshock.incident.state` | text | incident | `open`, `acknowledged`, `resolved`, `merged` |
//! | `foreshock.incident.severity`, `.title` | text | incident | the worst of its anomalies; a short title |
//! | `foreshock.incident.services` | texts | incident | services with anomalies in it, ascending |
//! | `foreshock.incident.root_cause.service`, `.summary` | text | incident | where it probably started, and why |
//! | `foreshock.incident.root_cause.score` | double | incident | 0 to 1 |
//! | `foreshock.incident.root_cause.candidates` | texts | incident | all candidates, the most probable first |
//! | `foreshock.incident.blast_radius.services` | texts | incident | services that depend on the affected ones |
//! | `foreshock.incident.anomaly_count` | int | incident | how many anomalies it holds |
//! | `foreshock.incident.anomaly_ids` | texts | incident | their ids, as far as they are kept |
//! | `foreshock.incident.start`, `.opened`, `.acknowledged`, `.closed` | text | incident | times |
//! | `foreshock.incident.reopened` | int | incident | how often; left out when never |
//! | `foreshock.incident.grouping` | texts | incident | why its anomalies belong together |
//! | `foreshock.incident.version_change.service`, `.from`, `.to`, `.time` | text | incident | the last one shortly before |
//! | `foreshock.incident.logs` | texts | incident | dominant log clusters: `service: template (n records, m %)` |
//! | `foreshock.incident.merged_into` | text | incident | id of the incident that took it in |
//! | `foreshock.incident.previous_trace_id` | text | incident | trace of the incident before it was reopened, 32 digits |

mod attributes;
mod event;
mod span;

use attributes::Resources;
use bytes::Bytes;
use foreshock_engine::{event::Event, incident::IncidentSpan};
use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::InstrumentationScope,
    logs::v1::{ResourceLogs, ScopeLogs},
    trace::v1::{ResourceSpans, ScopeSpans},
};
use prost::Message;

/// The instrumentation scope of all that Foreshock says about others. What comes in under it is Foreshock's own output.
pub const SCOPE: &str = "foreshock";

/// Who speaks: Foreshock's own resource and version.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Own {
    /// Resource attributes; `service.name` is `foreshock` unless it is among them.
    pub resource: Vec<(String, String)>,
    /// Version of the scope.
    pub version: String,
}

impl Own {
    fn scope(&self) -> Option<InstrumentationScope> {
        Some(InstrumentationScope { name: SCOPE.into(), version: self.version.clone(), ..Default::default() })
    }
}

/// The events as one `ExportLogsServiceRequest`, grouped by resource in the order of first appearance and in their own order
/// within. [`Event::Trace`] is no log record and is left out; `None` if nothing remains.
#[must_use]
pub fn logs(events: &[Event], own: &Own) -> Option<Bytes> {
    let mut resources = Resources::new(own);
    for event in events {
        if let Some((about, record)) = event::record(event) {
            resources.add(about, record);
        }
    }
    let resource_logs: Vec<_> = resources
        .finish()
        .map(|(resource, log_records)| ResourceLogs {
            resource: Some(resource),
            scope_logs: vec![ScopeLogs { scope: own.scope(), log_records, schema_url: String::new() }],
            schema_url: String::new(),
        })
        .collect();
    (!resource_logs.is_empty()).then(|| ExportLogsServiceRequest { resource_logs }.encode_to_vec().into())
}

/// The spans of closed incidents as one `ExportTraceServiceRequest`, grouped by resource like [`logs`]. All spans are of kind
/// internal and sampled; the status is an error or unset.
#[must_use]
pub fn traces(spans: &[IncidentSpan], own: &Own) -> Bytes {
    let mut resources = Resources::new(own);
    for incident_span in spans {
        let about = incident_span.service.as_ref().map(|service| (service, &**incident_span.resource));
        resources.add(about, span::span(incident_span));
    }
    let resource_spans = resources
        .finish()
        .map(|(resource, spans)| ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans { scope: own.scope(), spans, schema_url: String::new() }],
            schema_url: String::new(),
        })
        .collect();
    ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
}
