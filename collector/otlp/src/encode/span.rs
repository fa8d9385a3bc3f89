//! Spans of an incident's trace.

use super::attributes::List;
use foreshock_engine::incident::{IncidentSpan, SpanValue};
use opentelemetry_proto::tonic::trace::v1::{
    Span, Status,
    span::{Link, SpanKind},
    status::StatusCode,
};

/// Sampled, and the parent is known to be in the same process.
const FLAGS: u32 = 0x101;

pub(super) fn span(incident_span: &IncidentSpan) -> Span {
    let mut list = List::default();
    for (key, value) in &incident_span.attributes {
        match value {
            SpanValue::Text(text) => list.text(key, text),
            SpanValue::Int(value) => list.int(key, *value),
            SpanValue::Double(value) => list.double(key, *value),
            SpanValue::Texts(texts) => list.texts(key, texts),
        }
    }
    let links = incident_span.links.iter().map(|(trace_id, span_id)| Link {
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_vec(),
        ..Link::default()
    });
    Span {
        trace_id: incident_span.trace_id.to_vec(),
        span_id: incident_span.span_id.to_vec(),
        parent_span_id: incident_span.parent.map(Vec::from).unwrap_or_default(),
        flags: FLAGS,
        name: incident_span.name.clone(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: incident_span.start.0,
        end_time_unix_nano: incident_span.end.0,
        attributes: list.0,
        links: links.collect(),
        status: incident_span
            .status_error
            .then(|| Status { message: message(incident_span), code: StatusCode::Error.into() }),
        ..Span::default()
    }
}

/// What people read beside the error: the incident's title or the anomaly's sentence.
fn message(incident_span: &IncidentSpan) -> String {
    let text = incident_span.attributes.iter().find_map(|(key, value)| match value {
        SpanValue::Text(text) if matches!(*key, "foreshock.incident.title" | "foreshock.anomaly.summary") => Some(text),
        _ => None,
    });
    text.cloned().unwrap_or_default()
}
