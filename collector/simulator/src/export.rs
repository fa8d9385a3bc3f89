//! What the services send: requests, and the spans and log records that are due. Metrics are in [`metrics`](crate::metrics).

use crate::{model::ServiceId, seen::Emitted, services::SERVICES};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::InstrumentationScope,
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{Metric, metric::Data},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use std::sync::Arc;

/// Version of the semantic conventions that the names are taken from.
pub(crate) const SCHEMA: &str = "https://opentelemetry.io/schemas/1.38.0";

/// One request as a service sends it.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// To the metrics service.
    Metrics(ExportMetricsServiceRequest),
    /// To the logs service.
    Logs(ExportLogsServiceRequest),
    /// To the trace service.
    Traces(ExportTraceServiceRequest),
}

/// A request, who sends it and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// Nanoseconds since the Unix epoch, simulated.
    pub at: u64,
    /// `service.name` of the sender.
    pub service: &'static str,
    /// What is sent.
    pub request: Request,
}

impl Request {
    /// The request as protobuf.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Metrics(request) => request.encode_to_vec(),
            Self::Logs(request) => request.encode_to_vec(),
            Self::Traces(request) => request.encode_to_vec(),
        }
    }

    /// Data points, log records or spans in it.
    #[must_use]
    pub fn items(&self) -> u64 {
        let items: usize = match self {
            Self::Metrics(request) => {
                let metrics = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
                metrics.flat_map(|scope| &scope.metrics).map(points).sum()
            }
            Self::Logs(request) => {
                let scopes = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
                scopes.map(|scope| scope.log_records.len()).sum()
            }
            Self::Traces(request) => {
                let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
                scopes.map(|scope| scope.spans.len()).sum()
            }
        };
        items as u64
    }
}

fn points(metric: &Metric) -> usize {
    match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
        None => 0,
    }
}

/// The scope of an instrumentation, by name and version.
pub(crate) fn scope((name, version): (&str, &str)) -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: name.to_owned(), version: version.to_owned(), ..InstrumentationScope::default() })
}

/// The scope of what a service says itself.
pub(crate) fn own_scope(service: ServiceId) -> Option<InstrumentationScope> {
    scope((&format!("shop.{}", SERVICES[service].name), SERVICES[service].version))
}

/// Takes what is due at `now` out of `pending`, grouped by resource in the order of first appearance.
fn due<T>(pending: &mut Vec<Emitted<T>>, now: u64) -> Vec<(Arc<Resource>, Vec<T>)> {
    let mut groups: Vec<(Arc<Resource>, Vec<T>)> = Vec::new();
    let mut ready: Vec<Emitted<T>> = pending.extract_if(.., |emitted| emitted.at <= now).collect();
    ready.sort_by_key(|emitted| emitted.at);
    for emitted in ready {
        match groups.iter_mut().find(|(resource, _)| Arc::ptr_eq(resource, &emitted.resource)) {
            Some((_, items)) => items.push(emitted.item),
            None => groups.push((emitted.resource, vec![emitted.item])),
        }
    }
    groups
}

/// Log records that are due; `None` if there are none.
pub(crate) fn logs(service: ServiceId, pending: &mut Vec<Emitted<LogRecord>>, now: u64) -> Option<Request> {
    let groups = due(pending, now);
    let resource_logs: Vec<_> = groups
        .into_iter()
        .map(|(resource, log_records)| ResourceLogs {
            resource: Some(Resource::clone(&resource)),
            scope_logs: vec![ScopeLogs { scope: own_scope(service), log_records, ..ScopeLogs::default() }],
            schema_url: SCHEMA.to_owned(),
        })
        .collect();
    (!resource_logs.is_empty()).then_some(Request::Logs(ExportLogsServiceRequest { resource_logs }))
}

/// Spans that are due; `None` if there are none.
pub(crate) fn spans(service: ServiceId, pending: &mut Vec<Emitted<Span>>, now: u64) -> Option<Request> {
    let groups = due(pending, now);
    let resource_spans: Vec<_> = groups
        .into_iter()
        .map(|(resource, spans)| ResourceSpans {
            resource: Some(Resource::clone(&resource)),
            scope_spans: vec![ScopeSpans {
                scope: scope(SERVICES[service].language.scope()),
                spans,
                ..ScopeSpans::default()
            }],
            schema_url: SCHEMA.to_owned(),
        })
        .collect();
    (!resource_spans.is_empty()).then_some(Request::Traces(ExportTraceServiceRequest { resource_spans }))
}
