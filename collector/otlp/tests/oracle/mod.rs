//! What a sink should see of a request, worked out from prost's decoded messages, and what it does see.

use foreshock_engine::{
    signal::{AttributeValue, Attributes, LogRecord, Metric, Point, PointData, Sink, Span},
    window::ServiceKey,
};
use foreshock_otlp::{Signal, view};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    metrics::v1::{exponential_histogram_data_point::Buckets, metric::Data, number_data_point},
    resource::v1::Resource,
};
use prost::Message;
use std::fmt::{Debug, Write};

/// All that a sink sees, written down. Items by the way, and the event time of each.
#[derive(Debug, Default, PartialEq)]
pub struct Facts {
    pub lines: Vec<String>,
    pub items: u64,
    pub latest: u64,
    pub services: Vec<ServiceKey>,
}

/// Facts as the view reads them.
pub fn viewed(signal: Signal, request: &[u8]) -> Facts {
    let mut facts = Facts::default();
    let mut reader = view::Reader::default();
    for slice in view::split(signal, request) {
        let resource = &request[slice.bytes.clone()];
        facts.services.push(slice.service);
        reader.read(signal, resource, &mut facts).expect("validated");
        facts.latest = facts.latest.max(view::latest_time(signal, resource).0);
    }
    facts
}

/// Facts as prost decodes them; `None` if it refuses the bytes.
pub fn decoded(signal: Signal, request: &[u8]) -> Option<Facts> {
    let mut facts = Facts::default();
    match signal {
        Signal::Logs => logs(&ExportLogsServiceRequest::decode(request).ok()?, &mut facts),
        Signal::Traces => traces(&ExportTraceServiceRequest::decode(request).ok()?, &mut facts),
        Signal::Metrics => metrics(&ExportMetricsServiceRequest::decode(request).ok()?, &mut facts),
    }
    Some(facts)
}

impl Facts {
    fn line(&mut self, line: impl Debug) {
        self.lines.push(format!("{line:?}"));
    }
}

fn seen(attributes: &dyn Attributes) -> Vec<String> {
    let mut list = Vec::new();
    attributes.for_each(&mut |key, value| list.push(format!("{key:?} {value:?}")));
    list
}

impl Sink for Facts {
    fn resource(&mut self, attributes: &dyn Attributes) {
        self.line(("resource", seen(attributes)));
    }

    fn scope(&mut self, name: &str, version: &str) {
        self.line(("scope", name, version));
    }

    fn point(&mut self, metric: &Metric<'_>, point: &Point<'_>) {
        self.items += 1;
        self.line(("point", metric.name, metric.unit, format!("{:?}", metric.kind)));
        self.line((point.start.0, point.time.0, point.no_recorded_value, seen(point.attributes)));
        match point.data {
            PointData::Number(value) => self.line(value),
            PointData::Histogram { count, sum, min, max, bounds, bucket_counts } => {
                self.line((count, sum, min, max, bounds, bucket_counts));
            }
            PointData::ExponentialHistogram { count, sum, min, max, scale, zero_count, positive, negative } => {
                self.line((count, sum, min, max, scale, zero_count));
                self.line((positive.offset, positive.counts, negative.offset, negative.counts));
            }
            PointData::Summary { count, sum, quantiles } => self.line((count, sum, quantiles)),
        }
    }

    fn log_record(&mut self, record: &LogRecord<'_>) {
        self.items += 1;
        self.line((record.time.0, record.observed.0, record.severity_number, record.severity_text));
        self.line((record.body, record.event_name, record.trace_id, record.span_id, seen(record.attributes)));
    }

    fn span(&mut self, span: &Span<'_>) {
        self.items += 1;
        self.line((span.trace_id, span.span_id, span.parent_span_id, span.name, format!("{:?}", span.kind)));
        self.line((span.start.0, span.end.0, span.error, seen(span.attributes)));
    }
}

// === The same from prost ===

fn id<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap_or([0; N])
}

fn listed(attributes: &[KeyValue]) -> Vec<String> {
    attributes
        .iter()
        .map(|pair| {
            let value = match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
                Some(Value::StringValue(text)) => AttributeValue::Str(text),
                Some(Value::BoolValue(value)) => AttributeValue::Bool(*value),
                Some(Value::IntValue(value)) => AttributeValue::Int(*value),
                Some(Value::DoubleValue(value)) => AttributeValue::Double(*value),
                _ => AttributeValue::Other,
            };
            format!("{:?} {value:?}", pair.key)
        })
        .collect()
}

fn resource(resource: Option<&Resource>, facts: &mut Facts) {
    let attributes = resource.map_or(&[][..], |resource| &resource.attributes);
    facts.line(("resource", listed(attributes)));
    let last = |wanted: &str| {
        let text = |pair: &'_ KeyValue| match pair.value.clone()?.value? {
            Value::StringValue(text) if pair.key == wanted => Some(text),
            _ => None,
        };
        attributes.iter().rev().find_map(text).unwrap_or_default()
    };
    let name = last("service.name");
    facts
        .services
        .push(ServiceKey::new(&last("service.namespace"), if name.is_empty() { "unknown_service" } else { &name }));
}

fn scope(scope: Option<&InstrumentationScope>, facts: &mut Facts) {
    let (name, version) = scope.map_or(("", ""), |scope| (&scope.name, &scope.version));
    facts.line(("scope", name, version));
}

fn body(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        None | Some(Value::StringValueStrindex(_)) => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(value) => {
            let mut out = String::new();
            json(Some(value), &mut out);
            out
        }
    }
}

fn json(value: Option<&Value>, out: &mut String) {
    let quoted = |text: &str| serde_json::to_string(text).expect("text is JSON");
    match value {
        None | Some(Value::StringValueStrindex(_)) => out.push_str("null"),
        Some(Value::StringValue(text)) => out.push_str(&quoted(text)),
        Some(Value::BoolValue(value)) => write!(out, "{value}").expect("a string grows"),
        Some(Value::IntValue(value)) => write!(out, "{value}").expect("a string grows"),
        Some(Value::DoubleValue(value)) if value.is_nan() => out.push_str("\"NaN\""),
        Some(Value::DoubleValue(value)) if *value == f64::INFINITY => out.push_str("\"Infinity\""),
        Some(Value::DoubleValue(value)) if *value == f64::NEG_INFINITY => out.push_str("\"-Infinity\""),
        Some(Value::DoubleValue(value)) => {
            let short = format!("{value:?}");
            out.push_str(if value.to_bits() == (-0.0f64).to_bits() { &short } else { short.trim_end_matches(".0") });
        }
        Some(Value::BytesValue(bytes)) => {
            use base64::{Engine, prelude::BASE64_STANDARD};
            write!(out, "\"{}\"", BASE64_STANDARD.encode(bytes)).expect("a string grows");
        }
        Some(Value::ArrayValue(array)) => {
            out.push('[');
            for (index, item) in array.values.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                json(item.value.as_ref(), out);
            }
            out.push(']');
        }
        Some(Value::KvlistValue(list)) => {
            out.push('{');
            for (index, pair) in list.values.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                out.push_str(&quoted(&pair.key));
                out.push(':');
                json(pair.value.as_ref().and_then(|value| value.value.as_ref()), out);
            }
            out.push('}');
        }
    }
}

fn event_time(facts: &mut Facts, wanted: u64, fallback: u64) {
    facts.items += 1;
    facts.latest = facts.latest.max(if wanted == 0 { fallback } else { wanted });
}

fn logs(request: &ExportLogsServiceRequest, facts: &mut Facts) {
    for resource_logs in &request.resource_logs {
        resource(resource_logs.resource.as_ref(), facts);
        for scope_logs in &resource_logs.scope_logs {
            scope(scope_logs.scope.as_ref(), facts);
            for record in &scope_logs.log_records {
                event_time(facts, record.time_unix_nano, record.observed_time_unix_nano);
                facts.line((
                    record.time_unix_nano,
                    record.observed_time_unix_nano,
                    record.severity_number,
                    &record.severity_text,
                ));
                facts.line((
                    body(record.body.as_ref()),
                    &record.event_name,
                    id::<16>(&record.trace_id),
                    id::<8>(&record.span_id),
                    listed(&record.attributes),
                ));
            }
        }
    }
}

fn traces(request: &ExportTraceServiceRequest, facts: &mut Facts) {
    for resource_spans in &request.resource_spans {
        resource(resource_spans.resource.as_ref(), facts);
        for scope_spans in &resource_spans.scope_spans {
            scope(scope_spans.scope.as_ref(), facts);
            for span in &scope_spans.spans {
                event_time(facts, span.end_time_unix_nano, span.start_time_unix_nano);
                let kind = match span.kind {
                    1 => "Internal",
                    2 => "Server",
                    3 => "Client",
                    4 => "Producer",
                    5 => "Consumer",
                    _ => "Unspecified",
                };
                facts.line((
                    id::<16>(&span.trace_id),
                    id::<8>(&span.span_id),
                    id::<8>(&span.parent_span_id),
                    &span.name,
                    kind,
                ));
                let error = span.status.as_ref().is_some_and(|status| status.code == 2);
                facts.line((span.start_time_unix_nano, span.end_time_unix_nano, error, listed(&span.attributes)));
            }
        }
    }
}

fn metrics(request: &ExportMetricsServiceRequest, facts: &mut Facts) {
    for resource_metrics in &request.resource_metrics {
        resource(resource_metrics.resource.as_ref(), facts);
        for scope_metrics in &resource_metrics.scope_metrics {
            scope(scope_metrics.scope.as_ref(), facts);
            for metric in &scope_metrics.metrics {
                if let Some(data) = &metric.data {
                    points(&metric.name, &metric.unit, data, facts);
                }
            }
        }
    }
}

fn points(name: &str, unit: &str, data: &Data, facts: &mut Facts) {
    let temporality = |number: i32| match number {
        1 => "Delta",
        2 => "Cumulative",
        _ => "Unspecified",
    };
    macro_rules! head {
        ($kind:expr, $point:expr) => {{
            event_time(facts, $point.time_unix_nano, 0);
            facts.line(("point", name, unit, $kind));
            let absent = $point.flags & 1 == 1;
            facts.line(($point.start_time_unix_nano, $point.time_unix_nano, absent, listed(&$point.attributes)));
        }};
    }
    match data {
        Data::Gauge(gauge) => {
            for point in &gauge.data_points {
                head!("Gauge".to_owned(), point);
                facts.line(number(point.value));
            }
        }
        Data::Sum(sum) => {
            let kind = format!(
                "Sum {{ temporality: {}, monotonic: {} }}",
                temporality(sum.aggregation_temporality),
                sum.is_monotonic
            );
            for point in &sum.data_points {
                head!(kind.clone(), point);
                facts.line(number(point.value));
            }
        }
        Data::Histogram(histogram) => {
            let kind = format!("Histogram {{ temporality: {} }}", temporality(histogram.aggregation_temporality));
            for point in &histogram.data_points {
                head!(kind.clone(), point);
                facts.line((
                    point.count,
                    point.sum,
                    point.min,
                    point.max,
                    &point.explicit_bounds,
                    &point.bucket_counts,
                ));
            }
        }
        Data::ExponentialHistogram(histogram) => {
            let kind =
                format!("ExponentialHistogram {{ temporality: {} }}", temporality(histogram.aggregation_temporality));
            for point in &histogram.data_points {
                head!(kind.clone(), point);
                facts.line((point.count, point.sum, point.min, point.max, point.scale, point.zero_count));
                let none = Buckets::default();
                let (positive, negative) =
                    (point.positive.as_ref().unwrap_or(&none), point.negative.as_ref().unwrap_or(&none));
                facts.line((positive.offset, &positive.bucket_counts, negative.offset, &negative.bucket_counts));
            }
        }
        Data::Summary(summary) => {
            for point in &summary.data_points {
                head!("Summary".to_owned(), point);
                let quantiles: Vec<_> = point.quantile_values.iter().map(|pair| (pair.quantile, pair.value)).collect();
                facts.line((point.count, point.sum, quantiles));
            }
        }
    }
}

fn number(value: Option<number_data_point::Value>) -> f64 {
    match value {
        Some(number_data_point::Value::AsDouble(value)) => value,
        Some(number_data_point::Value::AsInt(value)) => value as f64,
        None => f64::NAN,
    }
}
