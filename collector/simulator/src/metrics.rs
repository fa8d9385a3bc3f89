//! The metrics of the services, under the names and units of the semantic conventions.

use crate::{
    export::{Request, SCHEMA, own_scope, scope},
    instance::{DISK_BYTES, Instance, NANOS, flag, text, whole},
    measure::{Distribution, SCALE, SECONDS},
    model::{Entry, Language, ServiceId},
    services::{SERVICES, SHIPPING},
};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::KeyValue,
    metrics::v1::{
        AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
        HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point::Value,
    },
    resource::v1::Resource,
};

const MIB: f64 = 1024.0 * 1024.0;
const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

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
                    scope: scope(SERVICES[service].language.runtime_scope()),
                    metrics: runtime(service, instance, at),
                    ..ScopeMetrics::default()
                },
                ScopeMetrics {
                    scope: own_scope(service),
                    metrics: business(service, instance, at, lag.filter(|_| slot == 0)),
                    ..ScopeMetrics::default()
                },
            ];
            scope_metrics.retain(|scope| !scope.metrics.is_empty());
            ResourceMetrics {
                resource: Some(Resource::clone(&instance.resource)),
                scope_metrics,
                schema_url: SCHEMA.to_owned(),
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
        let points = instance.external.iter().map(|((peer, status, error), values)| {
            let mut attributes =
                vec![text("http.request.method", "POST"), text("server.address", peer), whole("server.port", 443)];
            if *status > 0 {
                attributes.push(whole("http.response.status_code", i64::from(*status)));
            }
            attributes.extend(error.as_ref().map(|error| text("error.type", error)));
            (attributes, values)
        });
        metrics.push(at.seconds("http.client.request.duration", exponential, points));
    }
    let topic = |operation, topic| {
        vec![
            text("messaging.system", "kafka"),
            text("messaging.operation.name", operation),
            text("messaging.destination.name", topic),
        ]
    };
    if !instance.consumed.is_empty() {
        let points = instance.consumed.iter().filter_map(|(&(operation, error), values)| {
            let Entry::Consume { topic: name } = about.operations[operation].entry else {
                return None;
            };
            let mut attributes = topic("process", name);
            attributes.extend(error.map(|error| text("error.type", error)));
            Some((attributes, values))
        });
        metrics.push(at.seconds("messaging.process.duration", exponential, points));
    }
    if !instance.sent.is_empty() {
        let points = instance.sent.iter().map(|(&name, &count)| (topic("send", name), count)).collect();
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
        let points = instance.queries.iter().map(|(&(verb, table), values)| (pool.attributes(verb, table), values));
        metrics.push(at.seconds("db.client.operation.duration", exponential, points));
    }
    metrics
}

/// The process and its runtime.
fn runtime(service: ServiceId, instance: &Instance, at: At) -> Vec<Metric> {
    let about = &SERVICES[service];
    let memory = instance.memory_mib(service);
    let busy = instance.utilization.clamp(0.0, 1.0);
    let mut metrics = vec![
        at.sum("process.memory.usage", "By", false, vec![(Vec::new(), (memory * MIB) as u64)]),
        match about.language {
            Language::Java => at.gauge("jvm.cpu.recent_utilization", "1", vec![(Vec::new(), busy)]),
            _ => at.gauge("process.cpu.utilization", "1", vec![(vec![text("cpu.mode", "user")], busy)]),
        },
        at.gauge(
            "process.uptime",
            "s",
            vec![(Vec::new(), (at.now - instance.started.min(at.now)) as f64 / NANOS as f64)],
        ),
        at.sum("k8s.container.memory.limit", "By", false, vec![(Vec::new(), (about.memory_limit_mib * MIB) as u64)]),
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
            let state = || vec![flag("jvm.thread.daemon", true), text("jvm.thread.state", "runnable")];
            metrics.push(at.sum("jvm.thread.count", "{thread}", false, vec![(state(), threads)]));
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
