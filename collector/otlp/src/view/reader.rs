//! Reads one resource's telemetry and hands it to a sink, item by item.

use super::{
    attributes::{RawAttributes, Run},
    body,
    cursor::{Cursor, Merged, fixed64, len, varint},
    points,
    validate::{ViewError, validate_resource},
};
use crate::Signal;
use foreshock_engine::{
    signal::{LogRecord, Metric, MetricKind, Sink, Span, SpanKind, Temporality},
    time::UnixNanos,
};

pub(super) const GAUGE: u32 = len(5);
pub(super) const SUM: u32 = len(7);
pub(super) const HISTOGRAM: u32 = len(9);
pub(super) const EXPONENTIAL_HISTOGRAM: u32 = len(10);
pub(super) const SUMMARY: u32 = len(11);

/// Reads the content of `ResourceMetrics`, `ResourceLogs` or `ResourceSpans` messages. Holds the buffers into which lists of
/// buckets and structured bodies are unpacked, so that keeping one saves allocations.
#[derive(Default)]
pub struct Reader {
    lists: points::Lists,
    body: String,
}

/// [`Reader::read`] with a new reader.
///
/// # Errors
/// As there.
pub fn read(signal: Signal, resource: &[u8], sink: &mut impl Sink) -> Result<(), ViewError> {
    Reader::default().read(signal, resource, sink)
}

impl Reader {
    /// Calls `sink` with the resource, then with each scope and its items, in the order in which they lie in `resource`, the
    /// range that [`split`](super::split()) gave.
    ///
    /// Fields that come twice count as protobuf says: the last number or text, all pieces of a message as one. A point
    /// without a value is a number that is NaN. Whole numbers become `f64`, exact up to 2^53. Ids of the wrong length are
    /// all zero. Of a metric with several kinds of data the last kind counts.
    ///
    /// # Errors
    /// Where the bytes are malformed; the sink has seen what comes before. It cannot happen after
    /// [`validate`](super::validate()) accepted the request. Path and offset count from the start of `resource`.
    pub fn read(&mut self, signal: Signal, resource: &[u8], sink: &mut impl Sink) -> Result<(), ViewError> {
        if self.read_resource(signal, resource, sink).is_some() {
            return Ok(());
        }
        // What stopped the reader is something that validation names. It has the last word if it sees no fault.
        validate_resource(signal, resource).map(drop)
    }

    fn read_resource(&mut self, signal: Signal, bytes: &[u8], sink: &mut impl Sink) -> Option<()> {
        const RESOURCE: u32 = len(1);
        const SCOPES: u32 = len(2);
        const ATTRIBUTES: u32 = 1;
        // The resource may lie behind what comes from it, so it is looked for first.
        let mut resource = Merged::default();
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            match cursor.key()? {
                RESOURCE => resource.add(cursor.bytes()?),
                other => cursor.skip(other)?,
            }
        }
        sink.resource(&RawAttributes::within(resource.bytes(), ATTRIBUTES));
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            match cursor.key()? {
                SCOPES => self.read_scope(signal, cursor.bytes()?, sink)?,
                other => cursor.skip(other)?,
            }
        }
        Some(())
    }

    fn read_scope(&mut self, signal: Signal, bytes: &[u8], sink: &mut impl Sink) -> Option<()> {
        const SCOPE: u32 = len(1);
        const ITEMS: u32 = len(2);
        const NAME: u32 = len(1);
        const VERSION: u32 = len(2);
        let mut scope = Merged::default();
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            match cursor.key()? {
                SCOPE => scope.add(cursor.bytes()?),
                other => cursor.skip(other)?,
            }
        }
        let (mut name, mut version) = ("", "");
        let mut cursor = Cursor::new(scope.bytes());
        while !cursor.is_empty() {
            match cursor.key()? {
                NAME => name = cursor.text()?,
                VERSION => version = cursor.text()?,
                other => cursor.skip(other)?,
            }
        }
        sink.scope(name, version);
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            match cursor.key()? {
                ITEMS => {
                    let item = cursor.bytes()?;
                    match signal {
                        Signal::Metrics => self.read_metric(item, sink)?,
                        Signal::Logs => self.read_log_record(item, sink)?,
                        Signal::Traces => read_span(item, sink)?,
                    }
                }
                other => cursor.skip(other)?,
            }
        }
        Some(())
    }

    #[inline]
    fn read_log_record(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Option<()> {
        const TIME: u32 = fixed64(1);
        const SEVERITY_NUMBER: u32 = varint(2);
        const SEVERITY_TEXT: u32 = len(3);
        const BODY: u32 = len(5);
        const ATTRIBUTE: u32 = len(6);
        const TRACE_ID: u32 = len(9);
        const SPAN_ID: u32 = len(10);
        const OBSERVED: u32 = fixed64(11);
        const EVENT_NAME: u32 = len(12);
        let (mut time, mut observed, mut severity_number) = (0, 0, 0);
        let (mut severity_text, mut event_name) = ("", "");
        let (mut trace_id, mut span_id) = ([0; 16], [0; 8]);
        let mut body = Merged::default();
        let mut attributes = Run::new();
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            let before = cursor;
            match cursor.key()? {
                TIME => time = cursor.fixed64()?,
                SEVERITY_NUMBER => severity_number = int32(cursor.varint()?),
                SEVERITY_TEXT => severity_text = cursor.text()?,
                BODY => body.add(cursor.bytes()?),
                ATTRIBUTE => {
                    cursor.bytes()?;
                    attributes.add(bytes, before, cursor);
                }
                TRACE_ID => trace_id = id(cursor.bytes()?),
                SPAN_ID => span_id = id(cursor.bytes()?),
                OBSERVED => observed = cursor.fixed64()?,
                EVENT_NAME => event_name = cursor.text()?,
                other => cursor.skip(other)?,
            }
        }
        sink.log_record(&LogRecord {
            time: UnixNanos(time),
            observed: UnixNanos(observed),
            severity_number,
            severity_text,
            body: body::text(body.bytes(), &mut self.body),
            event_name,
            trace_id,
            span_id,
            attributes: &attributes.of(bytes, ATTRIBUTE),
        });
        Some(())
    }

    #[inline]
    fn read_metric(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Option<()> {
        const NAME: u32 = len(1);
        const UNIT: u32 = len(3);
        let (mut name, mut unit) = ("", "");
        let mut data = Merged::default();
        let mut data_key = 0;
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            match cursor.key()? {
                NAME => name = cursor.text()?,
                UNIT => unit = cursor.text()?,
                key @ (GAUGE | SUM | HISTOGRAM | EXPONENTIAL_HISTOGRAM | SUMMARY) => {
                    if key != data_key {
                        data = Merged::default();
                        data_key = key;
                    }
                    data.add(cursor.bytes()?);
                }
                other => cursor.skip(other)?,
            }
        }
        let data = data.bytes();
        let (temporality, monotonic) = aggregation(data)?;
        let kind = match data_key {
            GAUGE => MetricKind::Gauge,
            SUM => MetricKind::Sum { temporality, monotonic },
            HISTOGRAM => MetricKind::Histogram { temporality },
            EXPONENTIAL_HISTOGRAM => MetricKind::ExponentialHistogram { temporality },
            SUMMARY => MetricKind::Summary,
            _ => return Some(()),
        };
        let metric = Metric { name, unit, kind };
        match kind {
            MetricKind::Gauge | MetricKind::Sum { .. } => {
                each_point(data, |point| points::number(point, &metric, sink))
            }
            MetricKind::Histogram { .. } => each_point(data, |point| self.lists.histogram(point, &metric, sink)),
            MetricKind::ExponentialHistogram { .. } => {
                each_point(data, |point| self.lists.exponential_histogram(point, &metric, sink))
            }
            MetricKind::Summary => each_point(data, |point| self.lists.summary(point, &metric, sink)),
        }
    }
}

/// Temporality and monotonicity, wherever in a `Sum` or a histogram they lie. Other kinds of data lack both.
#[inline]
fn aggregation(data: &[u8]) -> Option<(Temporality, bool)> {
    const TEMPORALITY: u32 = varint(2);
    const MONOTONIC: u32 = varint(3);
    let (mut temporality, mut monotonic) = (0, false);
    let mut cursor = Cursor::new(data);
    while !cursor.is_empty() {
        match cursor.key()? {
            TEMPORALITY => temporality = int32(cursor.varint()?),
            MONOTONIC => monotonic = cursor.varint()? != 0,
            other => cursor.skip(other)?,
        }
    }
    let temporality = match temporality {
        1 => Temporality::Delta,
        2 => Temporality::Cumulative,
        _ => Temporality::Unspecified,
    };
    Some((temporality, monotonic))
}

#[inline]
fn each_point(data: &[u8], mut visit: impl FnMut(&[u8]) -> Option<()>) -> Option<()> {
    const POINTS: u32 = len(1);
    let mut cursor = Cursor::new(data);
    while !cursor.is_empty() {
        match cursor.key()? {
            POINTS => visit(cursor.bytes()?)?,
            other => cursor.skip(other)?,
        }
    }
    Some(())
}

#[inline]
fn read_span(bytes: &[u8], sink: &mut impl Sink) -> Option<()> {
    const TRACE_ID: u32 = len(1);
    const SPAN_ID: u32 = len(2);
    const PARENT_SPAN_ID: u32 = len(4);
    const NAME: u32 = len(5);
    const KIND: u32 = varint(6);
    const START: u32 = fixed64(7);
    const END: u32 = fixed64(8);
    const ATTRIBUTE: u32 = len(9);
    const STATUS: u32 = len(15);
    let (mut trace_id, mut span_id, mut parent_span_id) = ([0; 16], [0; 8], [0; 8]);
    let (mut name, mut kind, mut start, mut end, mut status) = ("", 0, 0, 0, 0);
    let mut attributes = Run::new();
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        let before = cursor;
        match cursor.key()? {
            TRACE_ID => trace_id = id(cursor.bytes()?),
            SPAN_ID => span_id = id(cursor.bytes()?),
            PARENT_SPAN_ID => parent_span_id = id(cursor.bytes()?),
            NAME => name = cursor.text()?,
            KIND => kind = int32(cursor.varint()?),
            START => start = cursor.fixed64()?,
            END => end = cursor.fixed64()?,
            ATTRIBUTE => {
                cursor.bytes()?;
                attributes.add(bytes, before, cursor);
            }
            // Pieces of a status merge: a later one changes the code only if it has one.
            STATUS => status = status_code(cursor.bytes()?)?.unwrap_or(status),
            other => cursor.skip(other)?,
        }
    }
    sink.span(&Span {
        trace_id,
        span_id,
        parent_span_id,
        name,
        kind: match kind {
            1 => SpanKind::Internal,
            2 => SpanKind::Server,
            3 => SpanKind::Client,
            4 => SpanKind::Producer,
            5 => SpanKind::Consumer,
            _ => SpanKind::Unspecified,
        },
        start: UnixNanos(start),
        end: UnixNanos(end),
        error: status == STATUS_CODE_ERROR,
        attributes: &attributes.of(bytes, ATTRIBUTE),
    });
    Some(())
}

const STATUS_CODE_ERROR: i32 = 2;

#[inline]
fn status_code(status: &[u8]) -> Option<Option<i32>> {
    const CODE: u32 = varint(3);
    let mut code = None;
    let mut cursor = Cursor::new(status);
    while !cursor.is_empty() {
        match cursor.key()? {
            CODE => code = Some(int32(cursor.varint()?)),
            other => cursor.skip(other)?,
        }
    }
    Some(code)
}

/// An `int32` or an enumeration as it stands on the wire: the lower half of 64 bits.
#[inline(always)]
fn int32(value: u64) -> i32 {
    value as i32
}

/// An id of `N` bytes; all zero if it has another length.
#[inline(always)]
fn id<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap_or([0; N])
}
