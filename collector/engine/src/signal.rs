//! What flows in: telemetry as borrowed views, and the sink that takes it.
//!
//! The reader of a wire format walks its bytes once and calls a [`Sink`]; nothing is built in between. Every value is as the
//! sender wrote it, so the sink checks what it uses: times may be 0, numbers may be NaN, ids may be zero.

use crate::time::UnixNanos;

/// One value of an attribute, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AttributeValue<'a> {
    /// Text.
    Str(&'a str),
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// Bytes, an array, a list of pairs, or nothing: of no use as a series' attribute.
    Other,
}

/// A set of attributes that is read only when somebody asks.
pub trait Attributes {
    /// A hash of the encoded attributes as they stand, without decoding them. Equal bytes give equal hashes in every
    /// process; the same attributes in another order give another one.
    fn raw_hash(&self) -> u64;

    /// Calls `visit` for each attribute in the order in which they were sent, keys possibly twice.
    fn for_each(&self, visit: &mut dyn FnMut(&str, AttributeValue<'_>));

    /// The value of the last attribute named `key` that is text.
    fn text(&self, key: &str) -> Option<String> {
        let mut found = None;
        self.for_each(&mut |name, value| {
            if let (true, AttributeValue::Str(text)) = (name == key, value) {
                found = Some(text.to_owned());
            }
        });
        found
    }
}

/// No attributes.
impl Attributes for () {
    fn raw_hash(&self) -> u64 {
        0
    }

    fn for_each(&self, _visit: &mut dyn FnMut(&str, AttributeValue<'_>)) {}
}

/// Attributes at hand as a list, for tests and for CSV.
impl Attributes for [(String, String)] {
    fn raw_hash(&self) -> u64 {
        let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
        for (key, value) in self {
            hasher.update(key.as_bytes());
            hasher.update(&[0xff]);
            hasher.update(value.as_bytes());
            hasher.update(&[0xfe]);
        }
        hasher.digest()
    }

    fn for_each(&self, visit: &mut dyn FnMut(&str, AttributeValue<'_>)) {
        for (key, value) in self {
            visit(key, AttributeValue::Str(value));
        }
    }
}

/// Whether a sum counts from a fixed start or from the point before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Temporality {
    /// Not stated, or a number this version does not know.
    Unspecified,
    /// Each point counts what happened since the point before.
    Delta,
    /// Each point counts what happened since `start`.
    Cumulative,
}

/// What the points of a metric are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MetricKind {
    /// Levels.
    Gauge,
    /// Counts that are added up.
    Sum {
        /// From where each point counts.
        temporality: Temporality,
        /// Whether it only ever grows, resets aside.
        monotonic: bool,
    },
    /// Distributions over explicit buckets.
    Histogram {
        /// From where each point counts.
        temporality: Temporality,
    },
    /// Distributions over exponential buckets.
    ExponentialHistogram {
        /// From where each point counts.
        temporality: Temporality,
    },
    /// Quantiles computed by the sender.
    Summary,
}

/// A metric, without its points.
#[derive(Clone, Copy, Debug)]
pub struct Metric<'a> {
    /// Its name, possibly empty.
    pub name: &'a str,
    /// UCUM unit, possibly empty.
    pub unit: &'a str,
    /// What its points are.
    pub kind: MetricKind,
}

/// One side of an exponential histogram.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExponentialBuckets<'a> {
    /// Index of the first bucket: bucket `i` holds values in `(base^(offset+i), base^(offset+i+1)]`,
    /// with `base = 2^(2^-scale)` (OTLP metrics data model, "ExponentialHistogram").
    pub offset: i32,
    /// How many values fell into each bucket.
    pub counts: &'a [u64],
}

/// What a point says.
#[derive(Clone, Copy, Debug)]
pub enum PointData<'a> {
    /// A point of a gauge or a sum.
    Number(f64),
    /// A point of a histogram. `bucket_counts` is empty or one longer than `bounds`; the reader does not check.
    Histogram {
        /// How many values.
        count: u64,
        /// Their sum, if sent.
        sum: Option<f64>,
        /// The smallest, if sent.
        min: Option<f64>,
        /// The largest, if sent.
        max: Option<f64>,
        /// Upper bounds of all buckets but the last, ascending.
        bounds: &'a [f64],
        /// Values per bucket.
        bucket_counts: &'a [u64],
    },
    /// A point of an exponential histogram.
    ExponentialHistogram {
        /// How many values.
        count: u64,
        /// Their sum, if sent.
        sum: Option<f64>,
        /// The smallest, if sent.
        min: Option<f64>,
        /// The largest, if sent.
        max: Option<f64>,
        /// Resolution; see [`ExponentialBuckets::offset`].
        scale: i32,
        /// Values counted as zero.
        zero_count: u64,
        /// Values above zero.
        positive: ExponentialBuckets<'a>,
        /// Values below zero, by their magnitude.
        negative: ExponentialBuckets<'a>,
    },
    /// A point of a summary.
    Summary {
        /// How many values.
        count: u64,
        /// Their sum.
        sum: f64,
        /// Pairs of quantile (0 to 1) and value.
        quantiles: &'a [(f64, f64)],
    },
}

/// One point of a metric.
#[derive(Clone, Copy)]
pub struct Point<'a> {
    /// Start of what a sum or distribution covers; 0 if not known.
    pub start: UnixNanos,
    /// When it was measured; 0 if not known.
    pub time: UnixNanos,
    /// Set where the sender says that there is no value (`NoRecordedValue`, a stale series). `data` means nothing then.
    pub no_recorded_value: bool,
    /// Its attributes.
    pub attributes: &'a dyn Attributes,
    /// Its value.
    pub data: PointData<'a>,
}

/// One log record.
#[derive(Clone, Copy)]
pub struct LogRecord<'a> {
    /// When it happened; 0 if not known.
    pub time: UnixNanos,
    /// When it was collected; 0 if not known.
    pub observed: UnixNanos,
    /// 1 to 24 as in OTLP; 0 or anything else if not known.
    pub severity_number: i32,
    /// The sender's own name of the severity, possibly empty.
    pub severity_text: &'a str,
    /// The body, if it is text; for a structured body the reader renders compact JSON.
    pub body: &'a str,
    /// Name of the event, possibly empty.
    pub event_name: &'a str,
    /// All zero if not part of a trace.
    pub trace_id: [u8; 16],
    /// All zero if not part of a span.
    pub span_id: [u8; 8],
    /// Its attributes.
    pub attributes: &'a dyn Attributes,
}

/// On which side of a call a span is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SpanKind {
    /// Not stated, or a number this version does not know.
    Unspecified,
    /// Work within a service.
    Internal,
    /// Answers a call.
    Server,
    /// Makes a call.
    Client,
    /// Hands a message over.
    Producer,
    /// Takes a message.
    Consumer,
}

/// One span.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    /// All zero if broken.
    pub trace_id: [u8; 16],
    /// All zero if broken.
    pub span_id: [u8; 8],
    /// All zero for a root span.
    pub parent_span_id: [u8; 8],
    /// What it does; low cardinality is hoped for, not promised.
    pub name: &'a str,
    /// Its side of a call.
    pub kind: SpanKind,
    /// When it began; 0 if not known.
    pub start: UnixNanos,
    /// When it ended; 0 if not known, possibly before `start`.
    pub end: UnixNanos,
    /// Whether its status is an error.
    pub error: bool,
    /// Its attributes.
    pub attributes: &'a dyn Attributes,
}

/// Takes telemetry of one service, in the order in which it stands in the request.
pub trait Sink {
    /// All that follows, up to the next call, comes from this resource.
    fn resource(&mut self, attributes: &dyn Attributes);
    /// All that follows, up to the next call, comes from this instrumentation scope.
    fn scope(&mut self, name: &str, version: &str);
    /// One point of a metric.
    fn point(&mut self, metric: &Metric<'_>, point: &Point<'_>);
    /// One log record.
    fn log_record(&mut self, record: &LogRecord<'_>);
    /// One span.
    fn span(&mut self, span: &Span<'_>);
}
