//! Reads the points of each kind of metric.

use super::{
    attributes::Run,
    cursor::{Cursor, Merged, fixed64, len, varint},
};
use foreshock_engine::{
    signal::{ExponentialBuckets, Metric, Point, PointData, Sink},
    time::UnixNanos,
};

/// Bit of a point's flags that says that there is no value.
const NO_RECORDED_VALUE: u64 = 1;

/// Lists of a point, unpacked; the same buffers serve all points.
#[derive(Default)]
pub(super) struct Lists {
    bounds: Vec<f64>,
    counts: Vec<u64>,
    negative_counts: Vec<u64>,
    quantiles: Vec<(f64, f64)>,
}

#[inline]
pub(super) fn number(bytes: &[u8], metric: &Metric<'_>, sink: &mut impl Sink) -> Option<()> {
    const START: u32 = fixed64(2);
    const TIME: u32 = fixed64(3);
    const AS_DOUBLE: u32 = fixed64(4);
    const AS_INT: u32 = fixed64(6);
    const ATTRIBUTE: u32 = len(7);
    const FLAGS: u32 = varint(8);
    let (mut start, mut time, mut value, mut flags) = (0, 0, f64::NAN, 0);
    let mut attributes = Run::new();
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        let before = cursor;
        match cursor.key()? {
            START => start = cursor.fixed64()?,
            TIME => time = cursor.fixed64()?,
            AS_DOUBLE => value = cursor.double()?,
            AS_INT => value = cursor.fixed64()?.cast_signed() as f64,
            ATTRIBUTE => {
                cursor.bytes()?;
                attributes.add(bytes, before, cursor);
            }
            FLAGS => flags = cursor.varint()?,
            other => cursor.skip(other)?,
        }
    }
    sink.point(
        metric,
        &Point {
            start: UnixNanos(start),
            time: UnixNanos(time),
            no_recorded_value: flags & NO_RECORDED_VALUE != 0,
            attributes: &attributes.of(bytes, ATTRIBUTE),
            data: PointData::Number(value),
        },
    );
    Some(())
}

impl Lists {
    pub(super) fn histogram(&mut self, bytes: &[u8], metric: &Metric<'_>, sink: &mut impl Sink) -> Option<()> {
        const START: u32 = fixed64(2);
        const TIME: u32 = fixed64(3);
        const COUNT: u32 = fixed64(4);
        const SUM: u32 = fixed64(5);
        const BUCKET_COUNTS: u32 = len(6);
        const BUCKET_COUNT: u32 = fixed64(6);
        const BOUNDS: u32 = len(7);
        const BOUND: u32 = fixed64(7);
        const ATTRIBUTE: u32 = len(9);
        const FLAGS: u32 = varint(10);
        const MIN: u32 = fixed64(11);
        const MAX: u32 = fixed64(12);
        let (mut start, mut time, mut count, mut flags) = (0, 0, 0, 0);
        let (mut sum, mut min, mut max) = (None, None, None);
        self.bounds.clear();
        self.counts.clear();
        let mut attributes = Run::new();
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            let before = cursor;
            match cursor.key()? {
                START => start = cursor.fixed64()?,
                TIME => time = cursor.fixed64()?,
                COUNT => count = cursor.fixed64()?,
                SUM => sum = Some(cursor.double()?),
                BUCKET_COUNTS => packed(cursor.bytes()?, Cursor::fixed64, &mut self.counts)?,
                BUCKET_COUNT => self.counts.push(cursor.fixed64()?),
                BOUNDS => packed(cursor.bytes()?, Cursor::double, &mut self.bounds)?,
                BOUND => self.bounds.push(cursor.double()?),
                ATTRIBUTE => {
                    cursor.bytes()?;
                    attributes.add(bytes, before, cursor);
                }
                FLAGS => flags = cursor.varint()?,
                MIN => min = Some(cursor.double()?),
                MAX => max = Some(cursor.double()?),
                other => cursor.skip(other)?,
            }
        }
        sink.point(
            metric,
            &Point {
                start: UnixNanos(start),
                time: UnixNanos(time),
                no_recorded_value: flags & NO_RECORDED_VALUE != 0,
                attributes: &attributes.of(bytes, ATTRIBUTE),
                data: PointData::Histogram { count, sum, min, max, bounds: &self.bounds, bucket_counts: &self.counts },
            },
        );
        Some(())
    }

    pub(super) fn exponential_histogram(
        &mut self,
        bytes: &[u8],
        metric: &Metric<'_>,
        sink: &mut impl Sink,
    ) -> Option<()> {
        const ATTRIBUTE: u32 = len(1);
        const START: u32 = fixed64(2);
        const TIME: u32 = fixed64(3);
        const COUNT: u32 = fixed64(4);
        const SUM: u32 = fixed64(5);
        const SCALE: u32 = varint(6);
        const ZERO_COUNT: u32 = fixed64(7);
        const POSITIVE: u32 = len(8);
        const NEGATIVE: u32 = len(9);
        const FLAGS: u32 = varint(10);
        const MIN: u32 = fixed64(12);
        const MAX: u32 = fixed64(13);
        let (mut start, mut time, mut count, mut flags, mut scale, mut zero_count) = (0, 0, 0, 0, 0, 0);
        let (mut sum, mut min, mut max) = (None, None, None);
        let (mut positive, mut negative) = (Merged::default(), Merged::default());
        let mut attributes = Run::new();
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            let before = cursor;
            match cursor.key()? {
                ATTRIBUTE => {
                    cursor.bytes()?;
                    attributes.add(bytes, before, cursor);
                }
                START => start = cursor.fixed64()?,
                TIME => time = cursor.fixed64()?,
                COUNT => count = cursor.fixed64()?,
                SUM => sum = Some(cursor.double()?),
                SCALE => scale = sint32(cursor.varint()?),
                ZERO_COUNT => zero_count = cursor.fixed64()?,
                POSITIVE => positive.add(cursor.bytes()?),
                NEGATIVE => negative.add(cursor.bytes()?),
                FLAGS => flags = cursor.varint()?,
                MIN => min = Some(cursor.double()?),
                MAX => max = Some(cursor.double()?),
                other => cursor.skip(other)?,
            }
        }
        let positive_offset = buckets(positive.bytes(), &mut self.counts)?;
        let negative_offset = buckets(negative.bytes(), &mut self.negative_counts)?;
        sink.point(
            metric,
            &Point {
                start: UnixNanos(start),
                time: UnixNanos(time),
                no_recorded_value: flags & NO_RECORDED_VALUE != 0,
                attributes: &attributes.of(bytes, ATTRIBUTE),
                data: PointData::ExponentialHistogram {
                    count,
                    sum,
                    min,
                    max,
                    scale,
                    zero_count,
                    positive: ExponentialBuckets { offset: positive_offset, counts: &self.counts },
                    negative: ExponentialBuckets { offset: negative_offset, counts: &self.negative_counts },
                },
            },
        );
        Some(())
    }

    pub(super) fn summary(&mut self, bytes: &[u8], metric: &Metric<'_>, sink: &mut impl Sink) -> Option<()> {
        const START: u32 = fixed64(2);
        const TIME: u32 = fixed64(3);
        const COUNT: u32 = fixed64(4);
        const SUM: u32 = fixed64(5);
        const QUANTILE: u32 = len(6);
        const ATTRIBUTE: u32 = len(7);
        const FLAGS: u32 = varint(8);
        let (mut start, mut time, mut count, mut flags, mut sum) = (0, 0, 0, 0, 0.0);
        self.quantiles.clear();
        let mut attributes = Run::new();
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            let before = cursor;
            match cursor.key()? {
                START => start = cursor.fixed64()?,
                TIME => time = cursor.fixed64()?,
                COUNT => count = cursor.fixed64()?,
                SUM => sum = cursor.double()?,
                QUANTILE => self.quantiles.push(quantile(cursor.bytes()?)?),
                ATTRIBUTE => {
                    cursor.bytes()?;
                    attributes.add(bytes, before, cursor);
                }
                FLAGS => flags = cursor.varint()?,
                other => cursor.skip(other)?,
            }
        }
        sink.point(
            metric,
            &Point {
                start: UnixNanos(start),
                time: UnixNanos(time),
                no_recorded_value: flags & NO_RECORDED_VALUE != 0,
                attributes: &attributes.of(bytes, ATTRIBUTE),
                data: PointData::Summary { count, sum, quantiles: &self.quantiles },
            },
        );
        Some(())
    }
}

/// Reads one side of an exponential histogram: its counts into `counts`, and its offset.
fn buckets(bytes: &[u8], counts: &mut Vec<u64>) -> Option<i32> {
    const OFFSET: u32 = varint(1);
    const BUCKET_COUNTS: u32 = len(2);
    const BUCKET_COUNT: u32 = varint(2);
    counts.clear();
    let mut offset = 0;
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        match cursor.key()? {
            OFFSET => offset = sint32(cursor.varint()?),
            BUCKET_COUNTS => packed(cursor.bytes()?, Cursor::varint, counts)?,
            BUCKET_COUNT => counts.push(cursor.varint()?),
            other => cursor.skip(other)?,
        }
    }
    Some(offset)
}

fn quantile(bytes: &[u8]) -> Option<(f64, f64)> {
    const QUANTILE: u32 = fixed64(1);
    const VALUE: u32 = fixed64(2);
    let (mut quantile, mut value) = (0.0, 0.0);
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        match cursor.key()? {
            QUANTILE => quantile = cursor.double()?,
            VALUE => value = cursor.double()?,
            other => cursor.skip(other)?,
        }
    }
    Some((quantile, value))
}

fn packed<'a, T>(bytes: &'a [u8], read: impl Fn(&mut Cursor<'a>) -> Option<T>, values: &mut Vec<T>) -> Option<()> {
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        values.push(read(&mut cursor)?);
    }
    Some(())
}

/// A `sint32` as it stands on the wire: sign in the lowest bit.
fn sint32(value: u64) -> i32 {
    let value = value as u32;
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}
