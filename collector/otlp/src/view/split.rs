//! Cuts a request by resource, names the service of each, and finds the times in it.

use super::{
    attributes::RawAttributes,
    cursor::{Cursor, Merged, fixed64, len},
};
use crate::Signal;
use foreshock_engine::{
    signal::{AttributeValue, Attributes},
    time::UnixNanos,
    window::ServiceKey,
};
use std::{ops::Range, sync::Arc};

/// The name of a service that does not say its name.
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// One resource with all that comes from it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResourceSlice {
    /// Whose it is.
    pub service: ServiceKey,
    /// Where in the request the content of its `ResourceMetrics`, `ResourceLogs` or `ResourceSpans` lies.
    pub bytes: Range<usize>,
}

/// The resources of a request, in their order; ends early where the bytes are malformed. See [`split`].
#[derive(Clone)]
pub struct Split<'a> {
    request: &'a [u8],
    cursor: Cursor<'a>,
}

/// Cuts a request by resource. The same for all signals, whose requests have the same outer shape.
///
/// The service is the last text attribute `service.namespace` and `service.name` of the resource; without a name, or with an
/// empty one, it is [`UNKNOWN_SERVICE`].
#[must_use]
pub fn split(_signal: Signal, request: &[u8]) -> Split<'_> {
    Split { request, cursor: Cursor::new(request) }
}

impl Iterator for Split<'_> {
    type Item = ResourceSlice;

    fn next(&mut self) -> Option<ResourceSlice> {
        const RESOURCE: u32 = len(1);
        while !self.cursor.is_empty() {
            let Some(resource) = (match self.cursor.key()? {
                RESOURCE => Some(self.cursor.bytes()?),
                other => {
                    self.cursor.skip(other)?;
                    None
                }
            }) else {
                continue;
            };
            let end = self.request.len() - self.cursor.rest().len();
            return Some(ResourceSlice { service: service(resource), bytes: end - resource.len()..end });
        }
        None
    }
}

/// The service that a `ResourceMetrics`, `ResourceLogs` or `ResourceSpans` is about.
fn service(resource_slice: &[u8]) -> ServiceKey {
    let mut resource = Merged::default();
    each(resource_slice, len(1), |piece| {
        resource.add(piece);
        Some(())
    });
    let (mut namespace, mut name) = (None, None);
    RawAttributes::within(resource.bytes(), 1).for_each(&mut |key, value| match (key, value) {
        ("service.namespace", AttributeValue::Str(text)) => {
            namespace = Some(Arc::<str>::from(text));
        }
        ("service.name", AttributeValue::Str(text)) => name = Some(Arc::<str>::from(text)),
        _ => {}
    });
    ServiceKey {
        namespace: namespace.unwrap_or_default(),
        name: name.filter(|name| !name.is_empty()).unwrap_or_else(|| UNKNOWN_SERVICE.into()),
    }
}

/// The smallest and the largest event time in the content of one `ResourceMetrics`, `ResourceLogs` or `ResourceSpans`;
/// `None` if no item has a time. Times of 0 mean "not known" and are passed over.
///
/// The event time is `time_unix_nano` for points; for log records too, or else the observed time; the end for spans, or else
/// the start. Nothing but times is read, and nothing is checked: a sender may claim any time.
#[must_use]
pub fn times(signal: Signal, resource: &[u8]) -> Option<(UnixNanos, UnixNanos)> {
    const SCOPES: u32 = len(2);
    const ITEMS: u32 = len(2);
    const POINTS: u32 = len(1);
    let mut range = None;
    let mut take = |time: u64| {
        if time != 0 {
            let (earliest, latest) = range.get_or_insert((UnixNanos(time), UnixNanos(time)));
            *earliest = UnixNanos(time).min(*earliest);
            *latest = UnixNanos(time).max(*latest);
        }
        Some(())
    };
    each(resource, SCOPES, |scope| {
        each(scope, ITEMS, |item| match signal {
            Signal::Logs => take(first_of(item, fixed64(1), fixed64(11))?),
            Signal::Traces => take(first_of(item, fixed64(8), fixed64(7))?),
            Signal::Metrics => {
                let mut metric = Cursor::new(item);
                while !metric.is_empty() {
                    match metric.key()? {
                        super::reader::GAUGE
                        | super::reader::SUM
                        | super::reader::HISTOGRAM
                        | super::reader::EXPONENTIAL_HISTOGRAM
                        | super::reader::SUMMARY => {
                            each(metric.bytes()?, POINTS, |point| take(first_of(point, fixed64(3), fixed64(3))?))?;
                        }
                        other => metric.skip(other)?,
                    }
                }
                Some(())
            }
        })
    });
    range
}

/// The largest event time in the content of one `ResourceMetrics`, `ResourceLogs` or `ResourceSpans`, 0 if there is none.
/// See [`times`].
#[must_use]
pub fn latest_time(signal: Signal, resource: &[u8]) -> UnixNanos {
    times(signal, resource).map(|(_, latest)| latest).unwrap_or_default()
}

/// The value of the field with key `wanted`, or of the one with key `fallback` where that is 0 or absent.
#[inline]
fn first_of(item: &[u8], wanted: u32, fallback: u32) -> Option<u64> {
    let (mut found, mut second) = (0, 0);
    let mut cursor = Cursor::new(item);
    while !cursor.is_empty() {
        let key = cursor.key()?;
        if key == wanted {
            found = cursor.fixed64()?;
        } else if key == fallback {
            second = cursor.fixed64()?;
        } else {
            cursor.skip(key)?;
        }
    }
    Some(if found == 0 { second } else { found })
}

/// Calls `visit` with the content of each field of this key; stops where the bytes are malformed or `visit` says so.
#[inline]
fn each<'a>(message: &'a [u8], wanted: u32, mut visit: impl FnMut(&'a [u8]) -> Option<()>) -> Option<()> {
    let mut cursor = Cursor::new(message);
    while !cursor.is_empty() {
        let key = cursor.key()?;
        if key == wanted {
            visit(cursor.bytes()?)?;
        } else {
            cursor.skip(key)?;
        }
    }
    Some(())
}
