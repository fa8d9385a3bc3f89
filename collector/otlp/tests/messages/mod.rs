//! Strategies for arbitrary OTLP messages, and mutations of their bytes.

use foreshock_otlp::Signal;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
        summary_data_point::ValueAtQuantile,
    },
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Event, Link},
    },
};
use proptest::{collection::vec, option, prelude::*};
use prost::Message;

/// An arbitrary request of one signal, encoded by prost.
pub fn request() -> impl Strategy<Value = (Signal, Vec<u8>)> {
    prop_oneof![
        logs().prop_map(|message| (Signal::Logs, message.encode_to_vec())),
        metrics().prop_map(|message| (Signal::Metrics, message.encode_to_vec())),
        traces().prop_map(|message| (Signal::Traces, message.encode_to_vec())),
    ]
}

/// One change of the bytes of a message.
#[derive(Clone, Debug)]
pub enum Mutation {
    /// Cut off what follows a place.
    Truncate(prop::sample::Index),
    /// Change one byte.
    Replace(prop::sample::Index, u8),
    /// Put bytes in front of a place.
    Insert(prop::sample::Index, Vec<u8>),
    /// Take bytes out.
    Remove(prop::sample::Index, usize),
    /// Append the message to itself: every field comes twice.
    Double,
    /// Append an unknown field or a stray group.
    Append(Vec<u8>),
    /// Wrap the whole in the first field of a request once more.
    Wrap,
}

pub fn mutation() -> impl Strategy<Value = Mutation> {
    let piece = prop_oneof![
        Just(vec![0xf8, 0x01, 0x07]),                   // unknown number 31, varint
        Just(vec![0xfa, 0x01, 0x02, 0x00, 0xff]),       // unknown number 31, bytes
        Just(vec![0xfb, 0x01, 0x08, 0x01, 0xfc, 0x01]), // group 31 with a field
        Just(vec![0xfb, 0x01, 0xf4, 0x01]),             // group 31, ended under another number
        Just(vec![0x0a, 0x00]),                         // field 1, empty
        Just(vec![0x12, 0x02, 0x12, 0x00]),             // field 2 with an empty field 2
        Just(vec![0x8a, 0x80, 0x00, 0x00]),             // field 1 with an overlong key, empty
        Just(vec![0x06]),                               // wire type 6
        Just(vec![0x80; 10]),
        vec(any::<u8>(), 1..6),
    ];
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Mutation::Truncate),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (any::<prop::sample::Index>(), piece.clone()).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        (any::<prop::sample::Index>(), 1usize..4).prop_map(|(at, count)| Mutation::Remove(at, count)),
        Just(Mutation::Double),
        piece.prop_map(Mutation::Append),
        Just(Mutation::Wrap),
    ]
}

impl Mutation {
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Append(piece) => bytes.extend_from_slice(piece),
            Self::Double => bytes.extend_from_within(..),
            Self::Wrap => {
                let mut wrapped = vec![0x0a];
                prost::encode_length_delimiter(bytes.len(), &mut wrapped).expect("a vector grows");
                wrapped.append(bytes);
                *bytes = wrapped;
            }
            _ if bytes.is_empty() => {}
            Self::Truncate(at) => bytes.truncate(at.index(bytes.len())),
            Self::Replace(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Self::Insert(at, piece) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, piece.iter().copied());
            }
            Self::Remove(at, count) => {
                let at = at.index(bytes.len());
                let end = (at + count).min(bytes.len());
                bytes.drain(at..end);
            }
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("service.name".to_owned()),
        Just("service.namespace".to_owned()),
        "[a-z.\"\\\\/\n\u{1}é\u{1f525}]{0,12}",
    ]
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_map(|value| if value.is_nan() { f64::NAN } else { value }),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        (-1000i32..1000).prop_map(|value| f64::from(value) / 8.0),
    ]
}

fn id(length: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(any::<u8>(), length), 1 => vec(any::<u8>(), 0..20)]
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        3 => text().prop_map(|value| Some(Value::StringValue(value))),
        1 => any::<bool>().prop_map(|value| Some(Value::BoolValue(value))),
        1 => any::<i64>().prop_map(|value| Some(Value::IntValue(value))),
        1 => double().prop_map(|value| Some(Value::DoubleValue(value))),
        1 => vec(any::<u8>(), 0..5).prop_map(|value| Some(Value::BytesValue(value))),
        1 => any::<i32>().prop_map(|value| Some(Value::StringValueStrindex(value))),
        1 => Just(None),
    ]
    .prop_map(|value| AnyValue { value });
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3)
                .prop_map(|values| AnyValue { value: Some(Value::ArrayValue(ArrayValue { values })) }),
            vec((text(), inner), 0..3).prop_map(|pairs| AnyValue {
                value: Some(Value::KvlistValue(KeyValueList {
                    values: pairs
                        .into_iter()
                        .map(|(key, value)| KeyValue { key, value: Some(value), key_strindex: 0 })
                        .collect()
                }))
            }),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec(
        (text(), option::of(any_value()), prop_oneof![9 => Just(0), 1 => any::<i32>()])
            .prop_map(|(key, value, key_strindex)| KeyValue { key, value, key_strindex }),
        0..4,
    )
}

fn resource() -> impl Strategy<Value = Option<Resource>> {
    let entity = (text(), text(), vec(text(), 0..3), vec(text(), 0..3)).prop_map(
        |(schema_url, r#type, id_keys, description_keys)| EntityRef { schema_url, r#type, id_keys, description_keys },
    );
    option::of((attributes(), any::<u32>(), vec(entity, 0..2)).prop_map(
        |(attributes, dropped_attributes_count, entity_refs)| Resource {
            attributes,
            dropped_attributes_count,
            entity_refs,
        },
    ))
}

fn scope() -> impl Strategy<Value = Option<InstrumentationScope>> {
    option::of((text(), text(), attributes(), any::<u32>()).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    ))
}

prop_compose! {
    fn log_record()(
        (time_unix_nano, observed_time_unix_nano) in any::<(u64, u64)>(),
        severity_number in prop_oneof![0..25i32, any::<i32>()],
        (severity_text, event_name) in (text(), text()),
        body in option::of(any_value()),
        attributes in attributes(),
        (dropped_attributes_count, flags) in any::<(u32, u32)>(),
        trace_id in id(16),
        span_id in id(8),
    ) -> LogRecord {
        LogRecord {
            time_unix_nano, observed_time_unix_nano, severity_number, severity_text, body, attributes,
            dropped_attributes_count, flags, trace_id, span_id, event_name,
        }
    }
}

fn logs() -> impl Strategy<Value = ExportLogsServiceRequest> {
    let scopes = vec(
        (scope(), vec(log_record(), 0..4), text()).prop_map(|(scope, log_records, schema_url)| ScopeLogs {
            scope,
            log_records,
            schema_url,
        }),
        0..3,
    );
    vec(
        (resource(), scopes, text()).prop_map(|(resource, scope_logs, schema_url)| ResourceLogs {
            resource,
            scope_logs,
            schema_url,
        }),
        0..3,
    )
    .prop_map(|resource_logs| ExportLogsServiceRequest { resource_logs })
}

prop_compose! {
    fn span()(
        (trace_id, span_id, parent_span_id) in (id(16), id(8), id(8)),
        (trace_state, name) in (text(), text()),
        kind in prop_oneof![0..6i32, any::<i32>()],
        (start_time_unix_nano, end_time_unix_nano) in any::<(u64, u64)>(),
        attributes in attributes(),
        (dropped_attributes_count, dropped_events_count, dropped_links_count, flags) in any::<(u32, u32, u32, u32)>(),
        events in vec((any::<u64>(), text(), attributes(), any::<u32>()).prop_map(
            |(time_unix_nano, name, attributes, dropped_attributes_count)|
            Event { time_unix_nano, name, attributes, dropped_attributes_count }), 0..2),
        links in vec((id(16), id(8), text(), attributes(), any::<(u32, u32)>()).prop_map(
            |(trace_id, span_id, trace_state, attributes, (dropped_attributes_count, flags))|
            Link { trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags }), 0..2),
        status in option::of((text(), 0..4i32).prop_map(|(message, code)| Status { message, code })),
    ) -> Span {
        Span {
            trace_id, span_id, trace_state, parent_span_id, flags, name, kind, start_time_unix_nano,
            end_time_unix_nano, attributes, dropped_attributes_count, events, dropped_events_count, links,
            dropped_links_count, status,
        }
    }
}

fn traces() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scopes = vec(
        (scope(), vec(span(), 0..4), text()).prop_map(|(scope, spans, schema_url)| ScopeSpans {
            scope,
            spans,
            schema_url,
        }),
        0..3,
    );
    vec(
        (resource(), scopes, text()).prop_map(|(resource, scope_spans, schema_url)| ResourceSpans {
            resource,
            scope_spans,
            schema_url,
        }),
        0..3,
    )
    .prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

fn exemplars() -> impl Strategy<Value = Vec<Exemplar>> {
    let value = option::of(prop_oneof![
        double().prop_map(exemplar::Value::AsDouble),
        any::<i64>().prop_map(exemplar::Value::AsInt)
    ]);
    vec(
        (attributes(), any::<u64>(), id(8), id(16), value).prop_map(
            |(filtered_attributes, time_unix_nano, span_id, trace_id, value)| Exemplar {
                filtered_attributes,
                time_unix_nano,
                span_id,
                trace_id,
                value,
            },
        ),
        0..2,
    )
}

prop_compose! {
    fn number_point()(
        attributes in attributes(),
        (start_time_unix_nano, time_unix_nano) in any::<(u64, u64)>(),
        exemplars in exemplars(),
        flags in 0..3u32,
        value in option::of(prop_oneof![
            double().prop_map(number_data_point::Value::AsDouble),
            any::<i64>().prop_map(number_data_point::Value::AsInt),
        ]),
    ) -> NumberDataPoint {
        NumberDataPoint { attributes, start_time_unix_nano, time_unix_nano, exemplars, flags, value }
    }
}

prop_compose! {
    fn histogram_point()(
        attributes in attributes(),
        (start_time_unix_nano, time_unix_nano, count) in any::<(u64, u64, u64)>(),
        (sum, min, max) in (option::of(double()), option::of(double()), option::of(double())),
        bucket_counts in vec(any::<u64>(), 0..5),
        explicit_bounds in vec(double(), 0..5),
        exemplars in exemplars(),
        flags in 0..3u32,
    ) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes, start_time_unix_nano, time_unix_nano, count, sum, bucket_counts, explicit_bounds, exemplars,
            flags, min, max,
        }
    }
}

fn buckets() -> impl Strategy<Value = Option<Buckets>> {
    option::of(
        (any::<i32>(), vec(any::<u64>(), 0..5)).prop_map(|(offset, bucket_counts)| Buckets { offset, bucket_counts }),
    )
}

prop_compose! {
    fn exponential_point()(
        attributes in attributes(),
        (start_time_unix_nano, time_unix_nano, count, zero_count) in any::<(u64, u64, u64, u64)>(),
        (sum, min, max, zero_threshold) in (option::of(double()), option::of(double()), option::of(double()), double()),
        scale in any::<i32>(),
        (positive, negative) in (buckets(), buckets()),
        exemplars in exemplars(),
        flags in 0..3u32,
    ) -> ExponentialHistogramDataPoint {
        ExponentialHistogramDataPoint {
            attributes, start_time_unix_nano, time_unix_nano, count, sum, scale, zero_count, positive, negative, flags,
            exemplars, min, max, zero_threshold,
        }
    }
}

prop_compose! {
    fn summary_point()(
        attributes in attributes(),
        (start_time_unix_nano, time_unix_nano, count) in any::<(u64, u64, u64)>(),
        sum in double(),
        quantile_values in vec((double(), double())
            .prop_map(|(quantile, value)| ValueAtQuantile { quantile, value }), 0..3),
        flags in 0..3u32,
    ) -> SummaryDataPoint {
        SummaryDataPoint { attributes, start_time_unix_nano, time_unix_nano, count, sum, quantile_values, flags }
    }
}

fn data() -> impl Strategy<Value = Option<Data>> {
    let temporality = || prop_oneof![0..3i32, any::<i32>()];
    option::weighted(
        0.95,
        prop_oneof![
            vec(number_point(), 0..3).prop_map(|data_points| Data::Gauge(Gauge { data_points })),
            (vec(number_point(), 0..3), temporality(), any::<bool>()).prop_map(
                |(data_points, aggregation_temporality, is_monotonic)| Data::Sum(Sum {
                    data_points,
                    aggregation_temporality,
                    is_monotonic
                })
            ),
            (vec(histogram_point(), 0..3), temporality()).prop_map(|(data_points, aggregation_temporality)| {
                Data::Histogram(Histogram { data_points, aggregation_temporality })
            }),
            (vec(exponential_point(), 0..3), temporality()).prop_map(|(data_points, aggregation_temporality)| {
                Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality })
            }),
            vec(summary_point(), 0..3).prop_map(|data_points| Data::Summary(Summary { data_points })),
        ],
    )
}

fn metrics() -> impl Strategy<Value = ExportMetricsServiceRequest> {
    let metric = (text(), text(), text(), attributes(), data())
        .prop_map(|(name, description, unit, metadata, data)| Metric { name, description, unit, metadata, data });
    let scopes = vec(
        (scope(), vec(metric, 0..3), text()).prop_map(|(scope, metrics, schema_url)| ScopeMetrics {
            scope,
            metrics,
            schema_url,
        }),
        0..3,
    );
    vec(
        (resource(), scopes, text()).prop_map(|(resource, scope_metrics, schema_url)| ResourceMetrics {
            resource,
            scope_metrics,
            schema_url,
        }),
        0..3,
    )
    .prop_map(|resource_metrics| ExportMetricsServiceRequest { resource_metrics })
}
