//! The trace of a closed incident, as plain data.

use crate::{
    anomaly::words::series_label,
    event::{Anomaly, Incident, IncidentId, IncidentState},
    time::UnixNanos,
    verdict::Severity,
    window::ServiceKey,
};
use std::{collections::BTreeMap, sync::Arc};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Links of the root span.
pub const MAX_EXEMPLARS: usize = 32;

/// The value of an attribute of an incident's span.
#[derive(Clone, Debug, PartialEq)]
pub enum SpanValue {
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A finite number.
    Double(f64),
    /// Several texts.
    Texts(Vec<String>),
}

impl From<&str> for SpanValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// One span of an incident's trace. Times lie within those of its parent.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentSpan {
    /// The same for all spans of the incident; never all zero.
    pub trace_id: [u8; 16],
    /// Unique within the trace; never all zero.
    pub span_id: [u8; 8],
    /// `None` for the root span.
    pub parent: Option<[u8; 8]>,
    /// `incident`, the service's name, or the kind of the anomaly.
    pub name: String,
    /// Whose resource it carries; `None` for the root span, which carries Foreshock's own.
    pub service: Option<ServiceKey>,
    /// The service's resource attributes, empty where not known.
    pub resource: Arc<Vec<(Arc<str>, Arc<str>)>>,
    /// When it began.
    pub start: UnixNanos,
    /// When it ended, not before `start`.
    pub end: UnixNanos,
    /// Whether the status is an error rather than unset.
    pub status_error: bool,
    /// Flat attributes under the names that the events use.
    pub attributes: Vec<(&'static str, SpanValue)>,
    /// The earlier trace of a reopened incident, then traces seen meanwhile, at most [`MAX_EXEMPLARS`]: trace id and span id.
    pub links: Vec<([u8; 16], [u8; 8])>,
}

/// Trace id and span id of the root span for an incident that was reopened `reopened` times. Never zero.
#[must_use]
pub fn trace_ids(id: IncidentId, reopened: u32) -> ([u8; 16], [u8; 8]) {
    let mut input = [0; 12];
    input[..8].copy_from_slice(&id.0.to_be_bytes());
    input[8..].copy_from_slice(&reopened.to_be_bytes());
    let mut trace_id = [0; 16];
    trace_id[..8].copy_from_slice(&hash(&input, 1));
    trace_id[8..].copy_from_slice(&hash(&input, 2));
    (trace_id, hash(&input, 3))
}

/// Eight bytes that are not all zero.
fn hash(input: &[u8], seed: u64) -> [u8; 8] {
    xxh3_64_with_seed(input, seed).max(1).to_be_bytes()
}

/// All spans of an incident: the root, then for each affected service, ascending, its span and those of its anomalies.
///
/// Meant for a closed incident; for one that is still open all ends are the latest time it knows of.
#[must_use]
pub fn spans(incident: &Incident) -> Vec<IncidentSpan> {
    let mut by_service: BTreeMap<&ServiceKey, Vec<&Anomaly>> = BTreeMap::new();
    for service in &incident.services {
        by_service.entry(service).or_default();
    }
    for anomaly in &incident.anomalies {
        by_service.entry(&anomaly.service).or_default().push(anomaly);
    }
    let latest = incident.anomalies.iter().map(|anomaly| anomaly.end.unwrap_or(anomaly.last)).max();
    let start = incident.opened;
    let end = incident.closed.or(latest).unwrap_or(start).max(start);
    let mut spans = vec![root(incident, start, end)];
    for (service, anomalies) in by_service {
        let span_id = hash(&[&incident.root_span_id[..], service.to_string().as_bytes()].concat(), 4);
        let inside = |time: UnixNanos| time.clamp(start, end);
        let first = anomalies.iter().map(|anomaly| inside(anomaly.start)).min().unwrap_or(start);
        let last = anomalies.iter().map(|anomaly| inside(anomaly.end.unwrap_or(end))).max().unwrap_or(end);
        let worst = anomalies.iter().map(|anomaly| anomaly.severity).max().unwrap_or_default();
        let resource = anomalies.last().map(|anomaly| Arc::clone(&anomaly.resource)).unwrap_or_default();
        let span = |span_id, parent, name: String, start, end, severity: Severity, attributes| IncidentSpan {
            trace_id: incident.trace_id,
            span_id,
            parent: Some(parent),
            name,
            service: Some(service.clone()),
            resource: Arc::clone(&resource),
            start,
            end,
            status_error: severity >= Severity::Error,
            attributes,
            links: Vec::new(),
        };
        let mut attributes = vec![
            ("foreshock.incident.id", SpanValue::Text(incident.id.to_string())),
            ("foreshock.incident.anomaly_count", SpanValue::Int(anomalies.len() as i64)),
        ];
        if let Some(cause) = incident.root_causes.iter().find(|cause| cause.service == *service) {
            attributes.push(("foreshock.incident.root_cause.score", SpanValue::Double(cause.score)));
            attributes.push(("foreshock.incident.root_cause.summary", SpanValue::Text(cause.summary.clone())));
        }
        spans.push(span(span_id, incident.root_span_id, service.to_string(), first, last, worst, attributes));
        for anomaly in &anomalies {
            let id = hash(&[&incident.root_span_id[..], &anomaly.id.0.to_be_bytes()].concat(), 5);
            let start = inside(anomaly.start);
            let end = inside(anomaly.end.unwrap_or(end)).max(start);
            let attributes = anomaly_attributes(anomaly);
            spans.push(span(id, span_id, anomaly.kind.to_string(), start, end, anomaly.severity, attributes));
        }
    }
    spans
}

fn root(incident: &Incident, start: UnixNanos, end: UnixNanos) -> IncidentSpan {
    let texts = |services: &[ServiceKey]| SpanValue::Texts(services.iter().map(ToString::to_string).collect());
    let mut attributes = vec![
        ("foreshock.incident.id", SpanValue::Text(incident.id.to_string())),
        ("foreshock.incident.state", incident.state.name().into()),
        ("foreshock.incident.severity", incident.severity.name().into()),
        ("foreshock.incident.title", SpanValue::Text(incident.title.clone())),
        ("foreshock.incident.summary", SpanValue::Text(incident.sentence.clone())),
        ("foreshock.incident.services", texts(&incident.services)),
        ("foreshock.incident.blast_radius.services", texts(&incident.blast_radius)),
        ("foreshock.incident.anomaly_count", SpanValue::Int(i64::try_from(incident.anomaly_count).unwrap_or(i64::MAX))),
    ];
    if let Some(cause) = incident.root_causes.first() {
        attributes.push(("foreshock.incident.root_cause.service", SpanValue::Text(cause.service.to_string())));
        attributes.push(("foreshock.incident.root_cause.summary", SpanValue::Text(cause.summary.clone())));
        attributes.push(("foreshock.incident.root_cause.score", SpanValue::Double(cause.score)));
    }
    if let Some(other) = incident.merged_into {
        attributes.push(("foreshock.incident.merged_into", SpanValue::Text(other.to_string())));
    }
    IncidentSpan {
        trace_id: incident.trace_id,
        span_id: incident.root_span_id,
        parent: None,
        name: "incident".to_owned(),
        service: None,
        resource: Arc::default(),
        start,
        end,
        // Corroborated harm, or somebody took it: both confirm it. A warning that went by is left unset.
        status_error: incident.severity >= Severity::Error
            || incident.acknowledged.is_some()
            || incident.state == IncidentState::Acknowledged,
        attributes,
        links: incident
            .previous_trace
            .into_iter()
            .chain(incident.exemplars.iter().copied())
            .take(MAX_EXEMPLARS)
            .collect(),
    }
}

fn anomaly_attributes(anomaly: &Anomaly) -> Vec<(&'static str, SpanValue)> {
    let mut attributes = vec![
        ("foreshock.anomaly.id", SpanValue::Text(anomaly.id.to_string())),
        ("foreshock.anomaly.kind", (&*anomaly.kind).into()),
        ("foreshock.anomaly.score", SpanValue::Double(anomaly.score())),
        ("foreshock.anomaly.severity", anomaly.severity.name().into()),
        ("foreshock.anomaly.summary", SpanValue::Text(anomaly.sentence.clone())),
        ("foreshock.series.name", (&*anomaly.series.name).into()),
        ("foreshock.series.label", SpanValue::Text(series_label(&anomaly.series))),
        ("foreshock.series.unit", (&*anomaly.series.unit).into()),
        ("foreshock.detector.name", (&*anomaly.detector.name).into()),
    ];
    for (key, value) in [
        ("foreshock.anomaly.observed", anomaly.observed),
        ("foreshock.anomaly.expected", anomaly.expected),
        ("foreshock.anomaly.lower", anomaly.lower),
        ("foreshock.anomaly.upper", anomaly.upper),
    ] {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            attributes.push((key, SpanValue::Double(value)));
        }
    }
    attributes
}
