//! The messages of OTLP as a table: what validation and JSON go by.
//!
//! Source: opentelemetry-proto 1.10 (`common`, `resource`, `logs`, `metrics`, `trace` and `collector`, all `v1`). The bodies of
//! `LogsData`, `MetricsData` and `TracesData` equal those of the three export requests, so one table serves both.

use crate::Signal;

/// One type of message.
pub(crate) struct Message {
    /// Its name in the protocol.
    pub(crate) name: &'static str,
    /// Its fields, in ascending order of the number.
    pub(crate) fields: &'static [Field],
    /// Index into `fields` plus one, by number; 0 where there is no such field.
    by_number: [u8; NUMBERS],
    /// What it adds to the number of items of a request: 1 for a data point, a log record and a span.
    pub(crate) items: u64,
    /// Whether it is `KeyValue`, of which requests mostly consist.
    pub(crate) is_pair: bool,
}

/// One more than the largest field number in OTLP.
const NUMBERS: usize = 17;

/// One field of a message.
pub(crate) struct Field {
    /// Its number on the wire.
    pub(crate) number: u8,
    /// Its name in the `.proto` file.
    pub(crate) name: &'static str,
    /// Its name in JSON.
    pub(crate) json: &'static str,
    /// Type of its value.
    pub(crate) kind: Kind,
    /// How often it occurs and whether its absence means something.
    pub(crate) label: Label,
}

/// Type of a field's value.
pub(crate) enum Kind {
    /// `bool`
    Bool,
    /// `int32`
    Int32,
    /// `sint32`
    Sint32,
    /// `uint32`
    Uint32,
    /// `int64`
    Int64,
    /// `uint64`
    Uint64,
    /// `fixed32`
    Fixed32,
    /// `fixed64`
    Fixed64,
    /// `sfixed64`
    Sfixed64,
    /// `double`
    Double,
    /// `string`
    Str,
    /// `bytes`, base64 in JSON.
    Bytes,
    /// `bytes`, hexadecimal in JSON: trace and span ids.
    Id,
    /// An enumeration with its names.
    Enum(&'static [(&'static str, i32)]),
    /// Another message.
    Message(&'static Message),
}

/// How often a field occurs.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Label {
    /// Once; absent means the type's zero.
    Plain,
    /// Once or not at all, which differs from zero.
    Optional,
    /// One of the message's alternatives; no OTLP message has more than one such group.
    Oneof,
    /// Any number of times; numbers packed.
    Repeated,
}

/// How a value stands on the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wire {
    /// Seven bits a byte.
    Varint,
    /// Eight bytes, little-endian.
    I64,
    /// A length, then so many bytes.
    Len,
    /// Begin of a group.
    StartGroup,
    /// End of a group.
    EndGroup,
    /// Four bytes, little-endian.
    I32,
}

// === impl Message ===

impl Message {
    const fn new(name: &'static str, fields: &'static [Field]) -> Self {
        let mut by_number = [0; NUMBERS];
        let mut index = 0;
        while index < fields.len() {
            by_number[fields[index].number as usize] = index as u8 + 1;
            index += 1;
        }
        Self { name, fields, by_number, items: 0, is_pair: false }
    }

    const fn item(mut self) -> Self {
        self.items = 1;
        self
    }

    const fn pair(mut self) -> Self {
        self.is_pair = true;
        self
    }

    /// The field with this number.
    #[inline]
    pub(crate) fn field(&self, number: u32) -> Option<&'static Field> {
        let index = *self.by_number.get(number as usize)?;
        self.fields.get((index as usize).wrapping_sub(1))
    }

    /// The field with this name, in camel case or as in the `.proto` file.
    pub(crate) fn field_named(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.json == name || field.name == name)
    }
}

// === impl Kind ===

impl Kind {
    /// How one value of this type stands on the wire.
    #[inline]
    pub(crate) fn wire(&self) -> Wire {
        match self {
            Self::Bool | Self::Int32 | Self::Sint32 | Self::Uint32 | Self::Int64 | Self::Uint64 | Self::Enum(_) => {
                Wire::Varint
            }
            Self::Fixed64 | Self::Sfixed64 | Self::Double => Wire::I64,
            Self::Fixed32 => Wire::I32,
            Self::Str | Self::Bytes | Self::Id | Self::Message(_) => Wire::Len,
        }
    }
}

// === impl Wire ===

impl Wire {
    /// From the three lowest bits of a key; `None` for 6 and 7, which mean nothing.
    #[inline]
    pub(crate) fn of(key: u32) -> Option<Self> {
        Some(match key & 7 {
            0 => Self::Varint,
            1 => Self::I64,
            2 => Self::Len,
            3 => Self::StartGroup,
            4 => Self::EndGroup,
            5 => Self::I32,
            _ => return None,
        })
    }

    /// Its three bits.
    pub(crate) fn bits(self) -> u32 {
        match self {
            Self::Varint => 0,
            Self::I64 => 1,
            Self::Len => 2,
            Self::StartGroup => 3,
            Self::EndGroup => 4,
            Self::I32 => 5,
        }
    }
}

/// The message that a request of this signal is.
pub(crate) fn request(signal: Signal) -> &'static Message {
    match signal {
        Signal::Metrics => &METRICS,
        Signal::Logs => &LOGS,
        Signal::Traces => &TRACES,
    }
}

// === The tables ===

const fn plain(number: u8, name: &'static str, json: &'static str, kind: Kind) -> Field {
    Field { number, name, json, kind, label: Label::Plain }
}

const fn optional(number: u8, name: &'static str, json: &'static str, kind: Kind) -> Field {
    Field { number, name, json, kind, label: Label::Optional }
}

const fn oneof(number: u8, name: &'static str, json: &'static str, kind: Kind) -> Field {
    Field { number, name, json, kind, label: Label::Oneof }
}

const fn repeated(number: u8, name: &'static str, json: &'static str, kind: Kind) -> Field {
    Field { number, name, json, kind, label: Label::Repeated }
}

static LOGS: Message = Message::new(
    "ExportLogsServiceRequest",
    &[repeated(1, "resource_logs", "resourceLogs", Kind::Message(&RESOURCE_LOGS))],
);
static METRICS: Message = Message::new(
    "ExportMetricsServiceRequest",
    &[repeated(1, "resource_metrics", "resourceMetrics", Kind::Message(&RESOURCE_METRICS))],
);
static TRACES: Message = Message::new(
    "ExportTraceServiceRequest",
    &[repeated(1, "resource_spans", "resourceSpans", Kind::Message(&RESOURCE_SPANS))],
);

// common and resource

static ANY_VALUE: Message = Message::new(
    "AnyValue",
    &[
        oneof(1, "string_value", "stringValue", Kind::Str),
        oneof(2, "bool_value", "boolValue", Kind::Bool),
        oneof(3, "int_value", "intValue", Kind::Int64),
        oneof(4, "double_value", "doubleValue", Kind::Double),
        oneof(5, "array_value", "arrayValue", Kind::Message(&ARRAY_VALUE)),
        oneof(6, "kvlist_value", "kvlistValue", Kind::Message(&KEY_VALUE_LIST)),
        oneof(7, "bytes_value", "bytesValue", Kind::Bytes),
        oneof(8, "string_value_strindex", "stringValueStrindex", Kind::Int32),
    ],
);
static ARRAY_VALUE: Message = Message::new("ArrayValue", &[repeated(1, "values", "values", Kind::Message(&ANY_VALUE))]);
static KEY_VALUE_LIST: Message =
    Message::new("KeyValueList", &[repeated(1, "values", "values", Kind::Message(&KEY_VALUE))]);
static KEY_VALUE: Message = Message::new(
    "KeyValue",
    &[
        plain(1, "key", "key", Kind::Str),
        optional(2, "value", "value", Kind::Message(&ANY_VALUE)),
        plain(3, "key_strindex", "keyStrindex", Kind::Int32),
    ],
)
.pair();
static SCOPE: Message = Message::new(
    "InstrumentationScope",
    &[
        plain(1, "name", "name", Kind::Str),
        plain(2, "version", "version", Kind::Str),
        repeated(3, "attributes", "attributes", Kind::Message(&KEY_VALUE)),
        plain(4, "dropped_attributes_count", "droppedAttributesCount", Kind::Uint32),
    ],
);
static ENTITY_REF: Message = Message::new(
    "EntityRef",
    &[
        plain(1, "schema_url", "schemaUrl", Kind::Str),
        plain(2, "type", "type", Kind::Str),
        repeated(3, "id_keys", "idKeys", Kind::Str),
        repeated(4, "description_keys", "descriptionKeys", Kind::Str),
    ],
);
static RESOURCE: Message = Message::new(
    "Resource",
    &[
        repeated(1, "attributes", "attributes", Kind::Message(&KEY_VALUE)),
        plain(2, "dropped_attributes_count", "droppedAttributesCount", Kind::Uint32),
        repeated(3, "entity_refs", "entityRefs", Kind::Message(&ENTITY_REF)),
    ],
);

// logs

static RESOURCE_LOGS: Message = Message::new(
    "ResourceLogs",
    &[
        optional(1, "resource", "resource", Kind::Message(&RESOURCE)),
        repeated(2, "scope_logs", "scopeLogs", Kind::Message(&SCOPE_LOGS)),
        plain(3, "schema_url", "schemaUrl", Kind::Str),
    ],
);
static SCOPE_LOGS: Message = Message::new(
    "ScopeLogs",
    &[
        optional(1, "scope", "scope", Kind::Message(&SCOPE)),
        repeated(2, "log_records", "logRecords", Kind::Message(&LOG_RECORD)),
        plain(3, "schema_url", "schemaUrl", Kind::Str),
    ],
);
static LOG_RECORD: Message = Message::new(
    "LogRecord",
    &[
        plain(1, "time_unix_nano", "timeUnixNano", Kind::Fixed64),
        plain(2, "severity_number", "severityNumber", Kind::Enum(SEVERITY_NUMBER)),
        plain(3, "severity_text", "severityText", Kind::Str),
        optional(5, "body", "body", Kind::Message(&ANY_VALUE)),
        repeated(6, "attributes", "attributes", Kind::Message(&KEY_VALUE)),
        plain(7, "dropped_attributes_count", "droppedAttributesCount", Kind::Uint32),
        plain(8, "flags", "flags", Kind::Fixed32),
        plain(9, "trace_id", "traceId", Kind::Id),
        plain(10, "span_id", "spanId", Kind::Id),
        plain(11, "observed_time_unix_nano", "observedTimeUnixNano", Kind::Fixed64),
        plain(12, "event_name", "eventName", Kind::Str),
    ],
)
.item();

// traces

static RESOURCE_SPANS: Message = Message::new(
    "ResourceSpans",
    &[
        optional(1, "resource", "resource", Kind::Message(&RESOURCE)),
        repeated(2, "scope_spans", "scopeSpans", Kind::Message(&SCOPE_SPANS)),
        plain(3, "schema_url", "schemaUrl", Kind::Str),
    ],
);
static SCOPE_SPANS: Message = Message::new(
    "ScopeSpans",
    &[
        optional(1, "scope", "scope", Kind::Message(&SCOPE)),
        repeated(2, "spans", "spans", Kind::Message(&SPAN)),
        plain(3, "schema_url", "schemaUrl", Kind::Str),
    ],
);
static SPAN: Message = Message::new(
    "Span",
    &[
        plain(1, "trace_id", "traceId", Kind::Id),
        plain(2, "span_id", "spanId", Kind::Id),
        plain(3, "trace_state", "traceState", Kind::Str),
        plain(4, "parent_span_id", "parentSpanId", Kind::Id),
        plain(5, "name", "name", Kind::Str),
        plain(6, "kind", "kind", Kind::Enum(SPAN_KIND)),
        plain(7, "start_time_unix_nano", "startTimeUnixNano", Kind::Fixed64),
        plain(8, "end_time_unix_nano", "endTimeUnixNano", Kind::Fixed64),
        repeated(9, "attributes", "attributes", Kind::Message(&KEY_VALUE)),
        plain(10, "dropped_attributes_count", "droppedAttributesCount", Kind::Uint32),
        repeated(11, "events", "events", Kind::Message(&SPAN_EVENT)),
        plain(12, "dropped_events_count", "droppedEventsCount", Kind::Uint32),
        repeated(13, "links", "links", Kind::Message(&SPAN_LINK)),
        plain(14, "dropped_links_count", "droppedLinksCount", Kind::Uint32),
        optional(15, "status", "status", Kind::Message(&STATUS)),
        plain(16, "flags", "flags", Kind::Fixed32),
    ],
)
.item();
static SPAN_EVENT: Message = Message::new(
    "Event",
    &[
        plain(1, "time_unix_nano", "timeUnixNano", Kind::Fixed64),
        plain(2, "name", "name", Kind::Str),
        repeated(3, "attributes", "attributes", Kind::Message(&KEY_VALUE)),
        plain(4, "dropped_attributes_count", "droppedAttributesCount", Kind::Uint32),
    ],
);
static SPAN_LINK: Message = Message::new(
    "Link",
    &[
        plain(1, "trace_id", "traceId", Kind::Id),
        plain(2, "span_id", "spanId", Kind::Id),
        plain(3, "trace_state", "traceState", Kind::Str),
        repeated(4, "attributes", "attributes", Kind::Message(&KEY_VALUE)),
        plain(5, "dropped_attributes_count", "droppedAttributesCount", Kind::Uint32),
        plain(6, "flags", "flags", Kind::Fixed32),
    ],
);
static STATUS: Message = Message::new(
    "Status",
    &[plain(2, "message", "message", Kind::Str), plain(3, "code", "code", Kind::Enum(STATUS_CODE))],
);

// metrics

static RESOURCE_METRICS: Message = Message::new(
    "ResourceMetrics",
    &[
        optional(1, "resource", "resource", Kind::Message(&RESOURCE)),
        repeated(2, "scope_metrics", "scopeMetrics", Kind::Message(&SCOPE_METRICS)),
        plain(3, "schema_url", "schemaUrl", Kind::Str),
    ],
);
static SCOPE_METRICS: Message = Message::new(
    "ScopeMetrics",
    &[
        optional(1, "scope", "scope", Kind::Message(&SCOPE)),
        repeated(2, "metrics", "metrics", Kind::Message(&METRIC)),
        plain(3, "schema_url", "schemaUrl", Kind::Str),
    ],
);
static METRIC: Message = Message::new(
    "Metric",
    &[
        plain(1, "name", "name", Kind::Str),
        plain(2, "description", "description", Kind::Str),
        plain(3, "unit", "unit", Kind::Str),
        oneof(5, "gauge", "gauge", Kind::Message(&GAUGE)),
        oneof(7, "sum", "sum", Kind::Message(&SUM)),
        oneof(9, "histogram", "histogram", Kind::Message(&HISTOGRAM)),
        oneof(10, "exponential_histogram", "exponentialHistogram", Kind::Message(&EXPONENTIAL_HISTOGRAM)),
        oneof(11, "summary", "summary", Kind::Message(&SUMMARY)),
        repeated(12, "metadata", "metadata", Kind::Message(&KEY_VALUE)),
    ],
);
static GAUGE: Message =
    Message::new("Gauge", &[repeated(1, "data_points", "dataPoints", Kind::Message(&NUMBER_DATA_POINT))]);
static SUM: Message = Message::new(
    "Sum",
    &[
        repeated(1, "data_points", "dataPoints", Kind::Message(&NUMBER_DATA_POINT)),
        plain(2, "aggregation_temporality", "aggregationTemporality", Kind::Enum(TEMPORALITY)),
        plain(3, "is_monotonic", "isMonotonic", Kind::Bool),
    ],
);
static HISTOGRAM: Message = Message::new(
    "Histogram",
    &[
        repeated(1, "data_points", "dataPoints", Kind::Message(&HISTOGRAM_DATA_POINT)),
        plain(2, "aggregation_temporality", "aggregationTemporality", Kind::Enum(TEMPORALITY)),
    ],
);
static EXPONENTIAL_HISTOGRAM: Message = Message::new(
    "ExponentialHistogram",
    &[
        repeated(1, "data_points", "dataPoints", Kind::Message(&EXPONENTIAL_HISTOGRAM_DATA_POINT)),
        plain(2, "aggregation_temporality", "aggregationTemporality", Kind::Enum(TEMPORALITY)),
    ],
);
static SUMMARY: Message =
    Message::new("Summary", &[repeated(1, "data_points", "dataPoints", Kind::Message(&SUMMARY_DATA_POINT))]);
static NUMBER_DATA_POINT: Message = Message::new(
    "NumberDataPoint",
    &[
        plain(2, "start_time_unix_nano", "startTimeUnixNano", Kind::Fixed64),
        plain(3, "time_unix_nano", "timeUnixNano", Kind::Fixed64),
        oneof(4, "as_double", "asDouble", Kind::Double),
        repeated(5, "exemplars", "exemplars", Kind::Message(&EXEMPLAR)),
        oneof(6, "as_int", "asInt", Kind::Sfixed64),
        repeated(7, "attributes", "attributes", Kind::Message(&KEY_VALUE)),
        plain(8, "flags", "flags", Kind::Uint32),
    ],
)
.item();
static HISTOGRAM_DATA_POINT: Message = Message::new(
    "HistogramDataPoint",
    &[
        plain(2, "start_time_unix_nano", "startTimeUnixNano", Kind::Fixed64),
        plain(3, "time_unix_nano", "timeUnixNano", Kind::Fixed64),
        plain(4, "count", "count", Kind::Fixed64),
        optional(5, "sum", "sum", Kind::Double),
        repeated(6, "bucket_counts", "bucketCounts", Kind::Fixed64),
        repeated(7, "explicit_bounds", "explicitBounds", Kind::Double),
        repeated(8, "exemplars", "exemplars", Kind::Message(&EXEMPLAR)),
        repeated(9, "attributes", "attributes", Kind::Message(&KEY_VALUE)),
        plain(10, "flags", "flags", Kind::Uint32),
        optional(11, "min", "min", Kind::Double),
        optional(12, "max", "max", Kind::Double),
    ],
)
.item();
static EXPONENTIAL_HISTOGRAM_DATA_POINT: Message = Message::new(
    "ExponentialHistogramDataPoint",
    &[
        repeated(1, "attributes", "attributes", Kind::Message(&KEY_VALUE)),
        plain(2, "start_time_unix_nano", "startTimeUnixNano", Kind::Fixed64),
        plain(3, "time_unix_nano", "timeUnixNano", Kind::Fixed64),
        plain(4, "count", "count", Kind::Fixed64),
        optional(5, "sum", "sum", Kind::Double),
        plain(6, "scale", "scale", Kind::Sint32),
        plain(7, "zero_count", "zeroCount", Kind::Fixed64),
        optional(8, "positive", "positive", Kind::Message(&BUCKETS)),
        optional(9, "negative", "negative", Kind::Message(&BUCKETS)),
        plain(10, "flags", "flags", Kind::Uint32),
        repeated(11, "exemplars", "exemplars", Kind::Message(&EXEMPLAR)),
        optional(12, "min", "min", Kind::Double),
        optional(13, "max", "max", Kind::Double),
        plain(14, "zero_threshold", "zeroThreshold", Kind::Double),
    ],
)
.item();
static BUCKETS: Message = Message::new(
    "Buckets",
    &[plain(1, "offset", "offset", Kind::Sint32), repeated(2, "bucket_counts", "bucketCounts", Kind::Uint64)],
);
static SUMMARY_DATA_POINT: Message = Message::new(
    "SummaryDataPoint",
    &[
        plain(2, "start_time_unix_nano", "startTimeUnixNano", Kind::Fixed64),
        plain(3, "time_unix_nano", "timeUnixNano", Kind::Fixed64),
        plain(4, "count", "count", Kind::Fixed64),
        plain(5, "sum", "sum", Kind::Double),
        repeated(6, "quantile_values", "quantileValues", Kind::Message(&VALUE_AT_QUANTILE)),
        repeated(7, "attributes", "attributes", Kind::Message(&KEY_VALUE)),
        plain(8, "flags", "flags", Kind::Uint32),
    ],
)
.item();
static VALUE_AT_QUANTILE: Message = Message::new(
    "ValueAtQuantile",
    &[plain(1, "quantile", "quantile", Kind::Double), plain(2, "value", "value", Kind::Double)],
);
static EXEMPLAR: Message = Message::new(
    "Exemplar",
    &[
        plain(2, "time_unix_nano", "timeUnixNano", Kind::Fixed64),
        oneof(3, "as_double", "asDouble", Kind::Double),
        plain(4, "span_id", "spanId", Kind::Id),
        plain(5, "trace_id", "traceId", Kind::Id),
        oneof(6, "as_int", "asInt", Kind::Sfixed64),
        repeated(7, "filtered_attributes", "filteredAttributes", Kind::Message(&KEY_VALUE)),
    ],
);

// enumerations

const SEVERITY_NUMBER: &[(&str, i32)] = &[
    ("SEVERITY_NUMBER_UNSPECIFIED", 0),
    ("SEVERITY_NUMBER_TRACE", 1),
    ("SEVERITY_NUMBER_TRACE2", 2),
    ("SEVERITY_NUMBER_TRACE3", 3),
    ("SEVERITY_NUMBER_TRACE4", 4),
    ("SEVERITY_NUMBER_DEBUG", 5),
    ("SEVERITY_NUMBER_DEBUG2", 6),
    ("SEVERITY_NUMBER_DEBUG3", 7),
    ("SEVERITY_NUMBER_DEBUG4", 8),
    ("SEVERITY_NUMBER_INFO", 9),
    ("SEVERITY_NUMBER_INFO2", 10),
    ("SEVERITY_NUMBER_INFO3", 11),
    ("SEVERITY_NUMBER_INFO4", 12),
    ("SEVERITY_NUMBER_WARN", 13),
    ("SEVERITY_NUMBER_WARN2", 14),
    ("SEVERITY_NUMBER_WARN3", 15),
    ("SEVERITY_NUMBER_WARN4", 16),
    ("SEVERITY_NUMBER_ERROR", 17),
    ("SEVERITY_NUMBER_ERROR2", 18),
    ("SEVERITY_NUMBER_ERROR3", 19),
    ("SEVERITY_NUMBER_ERROR4", 20),
    ("SEVERITY_NUMBER_FATAL", 21),
    ("SEVERITY_NUMBER_FATAL2", 22),
    ("SEVERITY_NUMBER_FATAL3", 23),
    ("SEVERITY_NUMBER_FATAL4", 24),
];
const SPAN_KIND: &[(&str, i32)] = &[
    ("SPAN_KIND_UNSPECIFIED", 0),
    ("SPAN_KIND_INTERNAL", 1),
    ("SPAN_KIND_SERVER", 2),
    ("SPAN_KIND_CLIENT", 3),
    ("SPAN_KIND_PRODUCER", 4),
    ("SPAN_KIND_CONSUMER", 5),
];
const STATUS_CODE: &[(&str, i32)] = &[("STATUS_CODE_UNSET", 0), ("STATUS_CODE_OK", 1), ("STATUS_CODE_ERROR", 2)];
const TEMPORALITY: &[(&str, i32)] = &[
    ("AGGREGATION_TEMPORALITY_UNSPECIFIED", 0),
    ("AGGREGATION_TEMPORALITY_DELTA", 1),
    ("AGGREGATION_TEMPORALITY_CUMULATIVE", 2),
];
