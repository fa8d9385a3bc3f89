//! What the services send: their counters and levels as metrics, and the spans and log records that are due.

use crate::{
    instance::{DISK_BYTES, Instance, NANOS, text, whole},
    measure::{Distribution, SCALE, SECONDS},
    model::{Entry, Language, ServiceId},
    services::{SERVICES, SHIPPING},
    walk::Emitted,
};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{InstrumentationScope, KeyValue},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
        HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point::Value,
    },
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use std::sync::Arc;

const MIB: f64 = 1024.0 * 1024.0;
const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

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

fn scope(name: &str) -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: name.to_owned(),
        version: "2.24.0".to_owned(),
        ..InstrumentationScope::default()
    })
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
            scope_logs: vec![ScopeLogs {
                scope: scope(&format!("shop.{}", SERVICES[service].name)),
                log_records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
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
            ..ResourceSpans::default()
        })
        .collect();
    (!resource_spans.is_empty()).then_some(Request::Traces(ExportTraceServiceRequest { resource_spans }))
}

/// All metrics of all instances of a service. `lag` is the number of messages that wait for it, for consumers.
pub(crate) fn metrics(
    service: ServiceId,
    instances: &[Instance],
    now: u64,
    lag: Option<(&'static str, usize)>,
) -> Request {
    let running = instances.iter().enumerate().filter(|(_, instance)| instance.down_until <= now);
    let resource_metrics = running
        .map(|(slot, instance)| {
            let at = At { start: instance.started, now };
            let mut scope_metrics = vec![
                ScopeMetrics {
                    scope: scope(SERVICES[service].language.scope()),
                    metrics: requests(service, instance, at),
                    ..ScopeMetrics::default()
                },
                ScopeMetrics {
                    scope: scope("runtime"),
                    metrics: runtime(service, instance, at),
                    ..ScopeMetrics::default()
                },
                ScopeMetrics {
                    scope: scope(&format!("shop.{}", SERVICES[service].name)),
                    metrics: business(service, instance, at, lag.filter(|_| slot == 0)),
                    ..ScopeMetrics::default()
                },
            ];
            scope_metrics.retain(|scope| !scope.metrics.is_empty());
            ResourceMetrics {
                resource: Some(Resource::clone(&instance.resource)),
                scope_metrics,
                ..ResourceMetrics::default()
            }
        })
        .collect();
    Request::Metrics(ExportMetricsServiceRequest { resource_metrics })
}

/// The interval that points cover.
#[derive(Clone, Copy)]
struct At {
    start: u64,
    now: u64,
}

impl At {
    fn number(self, attributes: Vec<KeyValue>, value: Value) -> NumberDataPoint {
        NumberDataPoint {
            attributes,
            start_time_unix_nano: self.start,
            time_unix_nano: self.now,
            value: Some(value),
            ..NumberDataPoint::default()
        }
    }

    fn gauge(self, name: &str, unit: &str, points: Vec<(Vec<KeyValue>, f64)>) -> Metric {
        let data_points = points
            .into_iter()
            .map(|(attributes, value)| NumberDataPoint {
                start_time_unix_nano: 0,
                ..self.number(attributes, Value::AsDouble(value))
            })
            .collect();
        metric(name, unit, Data::Gauge(Gauge { data_points }))
    }

    /// A sum of whole numbers: a counter if `is_monotonic`, else a level that is added up over instances.
    fn sum(self, name: &str, unit: &str, is_monotonic: bool, points: Vec<(Vec<KeyValue>, u64)>) -> Metric {
        let data_points = points
            .into_iter()
            .map(|(attributes, value)| self.number(attributes, Value::AsInt(i64::try_from(value).unwrap_or(i64::MAX))))
            .collect();
        metric(name, unit, Data::Sum(Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic }))
    }

    fn seconds<'a>(
        self,
        name: &str,
        exponential: bool,
        points: impl Iterator<Item = (Vec<KeyValue>, &'a Distribution)>,
    ) -> Metric {
        let data = if exponential {
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points: points.map(|(attributes, values)| self.exponential(attributes, values)).collect(),
                aggregation_temporality: CUMULATIVE,
            })
        } else {
            Data::Histogram(Histogram {
                data_points: points.map(|(attributes, values)| self.explicit(attributes, values)).collect(),
                aggregation_temporality: CUMULATIVE,
            })
        };
        metric(name, "s", data)
    }

    fn explicit(self, attributes: Vec<KeyValue>, values: &Distribution) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes,
            start_time_unix_nano: self.start,
            time_unix_nano: self.now,
            count: values.count,
            sum: Some(values.sum),
            bucket_counts: values.explicit(),
            explicit_bounds: SECONDS.to_vec(),
            min: Some(values.min),
            max: Some(values.max),
            ..HistogramDataPoint::default()
        }
    }

    fn exponential(self, attributes: Vec<KeyValue>, values: &Distribution) -> ExponentialHistogramDataPoint {
        let (offset, bucket_counts) = values.exponential();
        ExponentialHistogramDataPoint {
            attributes,
            start_time_unix_nano: self.start,
            time_unix_nano: self.now,
            count: values.count,
            sum: Some(values.sum),
            scale: SCALE,
            positive: Some(Buckets { offset, bucket_counts }),
            min: Some(values.min),
            max: Some(values.max),
            ..ExponentialHistogramDataPoint::default()
        }
    }
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), unit: unit.to_owned(), data: Some(data), ..Metric::default() }
}

/// Requests served, messages, queries and the connection pool.
fn requests(service: ServiceId, instance: &Instance, at: At) -> Vec<Metric> {
    let about = &SERVICES[service];
    let exponential = about.language.exponential();
    let mut metrics = Vec::new();
    if !instance.server.is_empty() {
        let points = instance.server.iter().filter_map(|(&(operation, status), values)| {
            let Entry::Http { method, route } = about.operations[operation].entry else {
                return None;
            };
            let mut attributes = vec![
                text("http.request.method", method),
                text("http.route", route),
                text("url.scheme", "http"),
                whole("http.response.status_code", i64::from(status)),
            ];
            if status >= 500 {
                attributes.push(text("error.type", &status.to_string()));
            }
            Some((attributes, values))
        });
        metrics.push(at.seconds("http.server.request.duration", exponential, points));
    }
    if !instance.external.is_empty() {
        let points = instance.external.iter().map(|(&(peer, status, error), values)| {
            let mut attributes =
                vec![text("http.request.method", "POST"), text("server.address", peer), whole("server.port", 443)];
            if status > 0 {
                attributes.push(whole("http.response.status_code", i64::from(status)));
            }
            if let Some(error) = error {
                attributes.push(text("error.type", error));
            }
            (attributes, values)
        });
        metrics.push(at.seconds("http.client.request.duration", exponential, points));
    }
    let topic = |topic| vec![text("messaging.system", "kafka"), text("messaging.destination.name", topic)];
    if !instance.consumed.is_empty() {
        let points = instance.consumed.iter().filter_map(|(&(operation, failed), values)| {
            let Entry::Consume { topic: name } = about.operations[operation].entry else {
                return None;
            };
            let mut attributes = topic(name);
            if failed {
                attributes.push(text("error.type", "500"));
            }
            Some((attributes, values))
        });
        metrics.push(at.seconds("messaging.process.duration", exponential, points));
    }
    if !instance.sent.is_empty() {
        let points = instance.sent.iter().map(|(&name, &count)| (topic(name), count)).collect();
        metrics.push(at.sum("messaging.client.sent.messages", "{message}", true, points));
    }
    if let Some(pool) = &about.pool {
        let name = || text("db.client.connection.pool.name", pool.database);
        let state = |state| vec![name(), text("db.client.connection.state", state)];
        let used = instance.connections_used(at.now) as u64;
        let size = pool.size as u64;
        let counts = vec![(state("used"), used), (state("idle"), size - used)];
        metrics.push(at.sum("db.client.connection.count", "{connection}", false, counts));
        metrics.push(at.sum("db.client.connection.max", "{connection}", false, vec![(vec![name()], size)]));
        metrics.push(at.sum(
            "db.client.connection.timeouts",
            "{timeout}",
            true,
            vec![(vec![name()], instance.pool_timeouts)],
        ));
        let waits = [(vec![name()], &instance.pool_wait)];
        metrics.push(at.seconds("db.client.connection.wait_time", exponential, waits.into_iter()));
        let points = instance.queries.iter().map(|(&(verb, table), values)| {
            let attributes = vec![
                text("db.system.name", pool.system),
                text("db.namespace", pool.database),
                text("db.operation.name", verb),
                text("db.collection.name", table),
            ];
            (attributes, values)
        });
        metrics.push(at.seconds("db.client.operation.duration", exponential, points));
    }
    metrics
}

/// The process and its runtime.
fn runtime(service: ServiceId, instance: &Instance, at: At) -> Vec<Metric> {
    let about = &SERVICES[service];
    let memory = instance.memory_mib(service);
    let mut metrics = vec![
        at.sum("process.memory.usage", "By", false, vec![(Vec::new(), (memory * MIB) as u64)]),
        at.gauge("process.cpu.utilization", "1", vec![(Vec::new(), instance.utilization.clamp(0.0, 1.0))]),
        at.gauge(
            "process.uptime",
            "s",
            vec![(Vec::new(), (at.now - instance.started.min(at.now)) as f64 / NANOS as f64)],
        ),
        at.sum("k8s.container.memory_limit", "By", false, vec![(Vec::new(), (about.memory_limit_mib * MIB) as u64)]),
    ];
    match about.language {
        Language::Java => {
            let old = || vec![text("jvm.memory.type", "heap"), text("jvm.memory.pool.name", "G1 Old Gen")];
            let eden = || vec![text("jvm.memory.type", "heap"), text("jvm.memory.pool.name", "G1 Eden Space")];
            let young = about.memory_mib * 0.25 * instance.heap_phase;
            let tenured = memory - about.memory_mib * 0.45;
            let limit = about.memory_limit_mib - about.memory_mib * 0.45;
            let bytes = |mib: f64| (mib.max(0.0) * MIB) as u64;
            let used = vec![(old(), bytes(tenured)), (eden(), bytes(young))];
            metrics.push(at.sum("jvm.memory.used", "By", false, used));
            metrics.push(at.sum("jvm.memory.limit", "By", false, vec![(old(), bytes(limit))]));
            let gc = || vec![text("jvm.gc.name", "G1 Young Generation"), text("jvm.gc.action", "end of minor GC")];
            metrics.push(at.seconds("jvm.gc.duration", true, [(gc(), &instance.gc)].into_iter()));
            let threads = 38 + (instance.utilization * 40.0) as u64;
            metrics.push(at.sum("jvm.thread.count", "{thread}", false, vec![(Vec::new(), threads)]));
        }
        Language::Go => {
            let goroutines = 24 + (instance.utilization * 300.0) as u64;
            metrics.push(at.sum("go.goroutine.count", "{goroutine}", false, vec![(Vec::new(), goroutines)]));
        }
        Language::Node => {
            let busy = (instance.utilization * 1.1).clamp(0.0, 1.0);
            metrics.push(at.gauge("nodejs.eventloop.utilization", "1", vec![(Vec::new(), busy)]));
        }
        Language::DotNet => {
            let threads = 12 + (instance.utilization * 20.0) as u64;
            metrics.push(at.sum("dotnet.thread_pool.thread.count", "{thread}", false, vec![(Vec::new(), threads)]));
        }
    }
    if service == SHIPPING {
        let device =
            || vec![text("system.device", "/dev/nvme1n1"), text("system.filesystem.mountpoint", "/var/lib/shipping")];
        let state = |state| {
            let mut attributes = device();
            attributes.push(text("system.filesystem.state", state));
            attributes
        };
        let used = (instance.disk_share * DISK_BYTES) as u64;
        metrics.push(at.gauge("system.filesystem.utilization", "1", vec![(state("used"), instance.disk_share)]));
        let usage = vec![(state("used"), used), (state("free"), DISK_BYTES as u64 - used)];
        metrics.push(at.sum("system.filesystem.usage", "By", false, usage));
        metrics.push(at.sum("system.filesystem.limit", "By", false, vec![(device(), DISK_BYTES as u64)]));
    }
    metrics
}

/// What the shop itself counts.
fn business(service: ServiceId, instance: &Instance, at: At, lag: Option<(&'static str, usize)>) -> Vec<Metric> {
    let mut metrics: Vec<Metric> = instance
        .counted
        .iter()
        .map(|(name, count)| at.sum(name, "{event}", true, vec![(Vec::new(), *count)]))
        .collect();
    if let Some((topic, waiting)) = lag {
        let attributes = vec![text("group", SERVICES[service].name), text("topic", topic)];
        metrics.push(at.gauge("kafka.consumer_group.lag_sum", "{message}", vec![(attributes, waiting as f64)]));
    }
    metrics
}
