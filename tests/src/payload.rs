//! Batches of telemetry for benches: like what applications send, the same for every run.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data,
        number_data_point::Value as Number,
    },
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;

/// Name of the instrumentation scope, whose version is the batch's number as 16 digits: the one place where a message may
/// differ from the next without its streams being others. A Collector writes a message's fields in another order, so the
/// version may stand before or behind the name.
pub const SEQUENCE: &str = "bench.sequence";

/// What a batch holds.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Items in a batch.
    pub items: u64,
    /// Services in a batch, each with a resource of its own.
    pub services: u64,
    /// Number of the first service.
    pub first_service: u64,
}

/// One encoded export request: the `sequence`-th batch, with `nanos` as the time of its items.
#[must_use]
pub fn batch(signal: &str, shape: Shape, sequence: u64, nanos: u64) -> Vec<u8> {
    let items = shape.items / shape.services.max(1);
    let services = shape.first_service..shape.first_service + shape.services;
    match signal {
        "metrics" => ExportMetricsServiceRequest {
            resource_metrics: services.map(|service| metrics(service, items, sequence, nanos)).collect(),
        }
        .encode_to_vec(),
        "logs" => ExportLogsServiceRequest {
            resource_logs: services.map(|service| logs(service, items, sequence, nanos)).collect(),
        }
        .encode_to_vec(),
        _ => ExportTraceServiceRequest {
            resource_spans: services.map(|service| spans(service, items, sequence, nanos)).collect(),
        }
        .encode_to_vec(),
    }
}

/// The number of the batch with these bytes: 16 digits, close before or behind the scope's name.
#[must_use]
pub fn sequence(message: &[u8]) -> Option<u64> {
    let at = message.windows(SEQUENCE.len()).position(|window| window == SEQUENCE.as_bytes())?;
    let around = message.get(at.saturating_sub(24)..message.len().min(at + SEQUENCE.len() + 24))?;
    let digits = around.windows(16).find(|window| window.iter().all(u8::is_ascii_digit))?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn metrics(service: u64, items: u64, sequence: u64, nanos: u64) -> ResourceMetrics {
    let start = nanos - nanos % 3_600_000_000_000;
    let points = |metric: u64, count: u64| -> Vec<NumberDataPoint> {
        (0..count)
            .map(|index| NumberDataPoint {
                attributes: vec![
                    text("http.request.method", ["GET", "POST", "PUT", "DELETE"][mix(index) as usize % 4]),
                    text("http.route", &format!("/api/v1/resource/{}", index / 4)),
                    text("http.response.status_code", ["200", "404", "500"][index as usize % 3]),
                    text("server.address", &format!("host-{}.example", index % 8)),
                ],
                start_time_unix_nano: start,
                time_unix_nano: nanos,
                value: Some(if metric.is_multiple_of(2) {
                    Number::AsDouble(50.0 + (mix(sequence ^ (index << 20) ^ metric) % 1000) as f64 / 100.0)
                } else {
                    let grown = sequence * 1000 + mix(sequence ^ (index << 20) ^ metric) % 500;
                    Number::AsInt(i64::try_from(grown).unwrap_or(i64::MAX))
                }),
                ..NumberDataPoint::default()
            })
            .collect()
    };
    // Five metrics, gauges and counters in turn.
    let per_metric = items.div_ceil(5).max(1);
    let metrics = (0..items.div_ceil(per_metric))
        .map(|metric| {
            let count = per_metric.min(items - metric * per_metric);
            let data = if metric.is_multiple_of(2) {
                Data::Gauge(Gauge { data_points: points(metric, count) })
            } else {
                Data::Sum(Sum { data_points: points(metric, count), aggregation_temporality: 2, is_monotonic: true })
            };
            Metric {
                name: format!("bench.metric.{metric}"),
                unit: "1".to_owned(),
                data: Some(data),
                ..Metric::default()
            }
        })
        .collect();
    ResourceMetrics {
        resource: Some(resource(service)),
        scope_metrics: vec![ScopeMetrics { scope: Some(scope(sequence)), metrics, ..ScopeMetrics::default() }],
        ..ResourceMetrics::default()
    }
}

fn logs(service: u64, items: u64, sequence: u64, nanos: u64) -> ResourceLogs {
    let log_records = (0..items)
        .map(|index| {
            let number = mix(sequence ^ (index << 24));
            let body = match index % 5 {
                0 => format!("GET /api/v1/orders/{} 200 in {} ms", number % 100_000, number % 300),
                1 => format!("order {} accepted for customer {:08x}", number % 1_000_000, number & 0xffff_ffff),
                2 => format!("cache miss for key user:{} in region eu-{}", number % 5000, number % 3),
                3 => format!(
                    "connected to 10.0.{}.{}:5432 after {} attempts",
                    number % 255,
                    number % 200,
                    number % 4 + 1
                ),
                _ => format!("payment provider answered with code {} for request {:016x}", number % 7, number),
            };
            LogRecord {
                time_unix_nano: nanos + index,
                observed_time_unix_nano: nanos + index,
                severity_number: if index % 50 == 0 { 17 } else { 9 },
                severity_text: if index % 50 == 0 { "ERROR".to_owned() } else { "INFO".to_owned() },
                body: Some(AnyValue { value: Some(Value::StringValue(body)) }),
                attributes: vec![
                    text("thread.name", &format!("worker-{}", index % 16)),
                    text("code.function.name", "com.example.shop.OrderService.accept"),
                ],
                trace_id: mix(number).to_be_bytes().repeat(2),
                span_id: mix(number + 1).to_be_bytes().to_vec(),
                ..LogRecord::default()
            }
        })
        .collect();
    ResourceLogs {
        resource: Some(resource(service)),
        scope_logs: vec![ScopeLogs { scope: Some(scope(sequence)), log_records, ..ScopeLogs::default() }],
        ..ResourceLogs::default()
    }
}

fn spans(service: u64, items: u64, sequence: u64, nanos: u64) -> ResourceSpans {
    let spans = (0..items)
        .map(|index| {
            let number = mix(sequence ^ (index << 24) ^ (service << 48));
            Span {
                trace_id: [mix(number).to_be_bytes(), mix(number + 7).to_be_bytes()].concat(),
                span_id: mix(number + 1).to_be_bytes().to_vec(),
                name: format!("GET /api/v1/resource/{}", index % 20),
                kind: 2,
                start_time_unix_nano: nanos - 1_000_000 * (10 + number % 90),
                end_time_unix_nano: nanos,
                attributes: vec![
                    text("http.request.method", "GET"),
                    text("http.route", &format!("/api/v1/resource/{}", index % 20)),
                    text("url.scheme", "https"),
                ],
                ..Span::default()
            }
        })
        .collect();
    ResourceSpans {
        resource: Some(resource(service)),
        scope_spans: vec![ScopeSpans { scope: Some(scope(sequence)), spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

fn resource(service: u64) -> Resource {
    Resource {
        attributes: vec![
            text("service.name", &format!("service-{service}")),
            text("service.version", "1.4.2"),
            text("service.instance.id", "a1b2c3d4"),
            text("deployment.environment.name", "production"),
        ],
        ..Resource::default()
    }
}

fn scope(sequence: u64) -> InstrumentationScope {
    let version = format!("{sequence:016}");
    InstrumentationScope { name: SEQUENCE.to_owned(), version, ..InstrumentationScope::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    }
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
