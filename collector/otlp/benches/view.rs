//! The byte view beside prost: what it costs to look at requests of 1,000 items as detection does. Varies: signal and reader.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use foreshock_engine::signal::{Attributes, LogRecord, Metric, Point, PointData, Sink, Span};
use foreshock_otlp::{Signal, json, view};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{metric::Data, number_data_point},
};
use prost::Message;
use std::hint::black_box;
use xxhash_rust::xxh3::Xxh3Default;

const ITEMS: u64 = 1000;

/// A request as an SDK in a web service would send it: one resource, one scope, four attributes an item.
fn request(signal: Signal) -> Vec<u8> {
    let resource = r#""resource":{"attributes":[{"key":"service.name","value":{"stringValue":"checkout"}},{"key":"service.namespace","value":{"stringValue":"shop"}},{"key":"service.version","value":{"stringValue":"1.8.0"}},{"key":"host.name","value":{"stringValue":"node-17.example.com"}}]}"#;
    let scope = r#""scope":{"name":"io.example.http","version":"2.4.1"}"#;
    let items: Vec<String> = (0..ITEMS).map(|index| item(signal, index)).collect();
    let items = items.join(",");
    let document = match signal {
        Signal::Logs => {
            format!(r#"{{"resourceLogs":[{{{resource},"scopeLogs":[{{{scope},"logRecords":[{items}]}}]}}]}}"#)
        }
        Signal::Traces => {
            format!(r#"{{"resourceSpans":[{{{resource},"scopeSpans":[{{{scope},"spans":[{items}]}}]}}]}}"#)
        }
        Signal::Metrics => format!(
            r#"{{"resourceMetrics":[{{{resource},"scopeMetrics":[{{{scope},"metrics":[{{"name":"http.server.active_requests","unit":"{{request}}","sum":{{"aggregationTemporality":2,"dataPoints":[{items}]}}}}]}}]}}]}}"#
        ),
    };
    json::to_protobuf(signal, document.as_bytes()).expect("valid").to_vec()
}

fn item(signal: Signal, index: u64) -> String {
    let time = 1_700_000_000_000_000_000 + index * 1_000_000;
    let attributes = format!(
        r#""attributes":[{{"key":"http.request.method","value":{{"stringValue":"GET"}}}},{{"key":"http.route","value":{{"stringValue":"/api/v1/products/{}"}}}},{{"key":"http.response.status_code","value":{{"intValue":"200"}}}},{{"key":"server.address","value":{{"stringValue":"shop.example.com"}}}}]"#,
        index % 50
    );
    let ids = format!(r#""traceId":"{:032x}","spanId":"{:016x}""#, u128::from(index) << 64 | 7, index + 1);
    match signal {
        Signal::Logs => format!(
            r#"{{"timeUnixNano":"{time}","severityNumber":9,"severityText":"INFO","body":{{"stringValue":"order {index} accepted for customer 4711, 3 items, total 129.90 EUR"}},{attributes},{ids},"observedTimeUnixNano":"{time}"}}"#
        ),
        Signal::Traces => format!(
            r#"{{{ids},"parentSpanId":"00000000000000ff","name":"GET /api/v1/products","kind":2,"startTimeUnixNano":"{time}","endTimeUnixNano":"{}",{attributes},"status":{{}}}}"#,
            time + 3_000_000
        ),
        Signal::Metrics => {
            format!(
                r#"{{"startTimeUnixNano":"1699999000000000000","timeUnixNano":"{time}","asInt":"{index}",{attributes}}}"#
            )
        }
    }
}

/// Takes what detection takes: times, values, lengths of texts, and a hash over the attributes.
#[derive(Default)]
struct Sum(u64);

impl Sum {
    fn add(&mut self, value: u64) {
        self.0 = self.0.wrapping_mul(31).wrapping_add(value);
    }
}

impl Sink for Sum {
    fn resource(&mut self, attributes: &dyn Attributes) {
        self.add(attributes.raw_hash());
    }

    fn scope(&mut self, name: &str, version: &str) {
        self.add((name.len() + version.len()) as u64);
    }

    fn point(&mut self, metric: &Metric<'_>, point: &Point<'_>) {
        self.add(metric.name.len() as u64 ^ point.start.0 ^ point.time.0);
        if let PointData::Number(value) = point.data {
            self.add(value.to_bits());
        }
        self.add(point.attributes.raw_hash());
    }

    fn log_record(&mut self, record: &LogRecord<'_>) {
        self.add(record.time.0 ^ u64::from(record.severity_number.cast_unsigned()));
        self.add((record.body.len() + record.severity_text.len()) as u64);
        self.add(record.attributes.raw_hash());
    }

    fn span(&mut self, span: &Span<'_>) {
        self.add(span.start.0 ^ span.end.0 ^ u64::from(span.trace_id[0]) ^ u64::from(span.span_id[0]));
        self.add(span.name.len() as u64 + u64::from(span.error));
        self.add(span.attributes.raw_hash());
    }
}

fn viewed(signal: Signal, request: &[u8], reader: &mut view::Reader) -> u64 {
    let mut sum = Sum::default();
    for slice in view::split(signal, request) {
        reader.read(signal, &request[slice.bytes], &mut sum).expect("valid");
    }
    sum.0
}

fn hash(attributes: &[KeyValue]) -> u64 {
    let mut hasher = Xxh3Default::new();
    for pair in attributes {
        hasher.update(pair.key.as_bytes());
        match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Value::StringValue(text)) => hasher.update(text.as_bytes()),
            Some(Value::IntValue(value)) => hasher.update(&value.to_le_bytes()),
            _ => {}
        }
    }
    hasher.digest()
}

fn decoded(signal: Signal, request: &[u8]) -> u64 {
    let mut sum = Sum::default();
    match signal {
        Signal::Logs => {
            let request = ExportLogsServiceRequest::decode(request).expect("valid");
            for scope in request.resource_logs.iter().flat_map(|resource| &resource.scope_logs) {
                for record in &scope.log_records {
                    sum.add(record.time_unix_nano ^ u64::from(record.severity_number.cast_unsigned()));
                    if let Some(Value::StringValue(body)) = record.body.as_ref().and_then(|body| body.value.as_ref()) {
                        sum.add((body.len() + record.severity_text.len()) as u64);
                    }
                    sum.add(hash(&record.attributes));
                }
            }
        }
        Signal::Traces => {
            let request = ExportTraceServiceRequest::decode(request).expect("valid");
            for scope in request.resource_spans.iter().flat_map(|resource| &resource.scope_spans) {
                for span in &scope.spans {
                    sum.add(span.start_time_unix_nano ^ span.end_time_unix_nano ^ u64::from(span.trace_id[0]));
                    sum.add(span.name.len() as u64);
                    sum.add(hash(&span.attributes));
                }
            }
        }
        Signal::Metrics => {
            let request = ExportMetricsServiceRequest::decode(request).expect("valid");
            for scope in request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics) {
                for metric in &scope.metrics {
                    let Some(Data::Sum(data)) = &metric.data else { continue };
                    for point in &data.data_points {
                        sum.add(metric.name.len() as u64 ^ point.start_time_unix_nano ^ point.time_unix_nano);
                        if let Some(number_data_point::Value::AsInt(value)) = point.value {
                            sum.add((value as f64).to_bits());
                        }
                        sum.add(hash(&point.attributes));
                    }
                }
            }
        }
    }
    sum.0
}

fn readers(criterion: &mut Criterion) {
    for signal in Signal::ALL {
        let request = request(signal);
        assert_eq!(view::validate(signal, &request).expect("valid").count, ITEMS);
        let mut group = criterion.benchmark_group(signal.name());
        group.throughput(Throughput::Elements(ITEMS));
        let mut reader = view::Reader::default();
        group.bench_function("view", |bencher| bencher.iter(|| viewed(signal, black_box(&request), &mut reader)));
        group.bench_function("prost", |bencher| bencher.iter(|| decoded(signal, black_box(&request))));
        group.bench_function("validate", |bencher| bencher.iter(|| view::validate(signal, black_box(&request))));
        group.bench_function("split", |bencher| bencher.iter(|| view::split(signal, black_box(&request)).count()));
        group.bench_function("times", |bencher| {
            bencher.iter(|| {
                view::split(signal, black_box(&request))
                    .map(|slice| view::latest_time(signal, &request[slice.bytes]).0)
                    .max()
            });
        });
        let document = json::to_json(signal, &request);
        group.bench_function("from JSON", |bencher| {
            bencher.iter(|| json::to_protobuf(signal, black_box(document.as_bytes())));
        });
        group.finish();
    }
}

criterion_group!(benches, readers);
criterion_main!(benches);
