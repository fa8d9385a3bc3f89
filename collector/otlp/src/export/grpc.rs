//! OTLP/gRPC as a client: paths, headers, framing, statuses.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tonic::{Code, Status};

use super::client::Answer;
use super::outcome::Outcome;
use crate::signal::Signal;

const GRPC_STATUS: &str = "grpc-status";

pub(super) fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    }
}

/// Adds what every request carries. The answer is asked for uncompressed: it is empty, or a sentence.
pub(super) fn add_headers(headers: &mut HeaderMap, timeout: Duration) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity"));
    // At most eight digits and a unit (gRPC over HTTP/2, "Timeout").
    let millis = timeout.as_millis().min(99_999_999);
    if let Ok(value) = HeaderValue::from_str(&format!("{millis}m")) {
        headers.insert("grpc-timeout", value);
    }
}

/// What precedes a message of `length` bytes; `None` if that does not fit 32 bits.
pub(super) fn prefix(length: usize, compressed: bool) -> Option<Bytes> {
    let mut prefix = BytesMut::with_capacity(5);
    prefix.put_u8(u8::from(compressed));
    prefix.put_u32(u32::try_from(length).ok()?);
    Some(prefix.freeze())
}

/// Reads an answer: its status stands in the trailers, or in the headers if there is no message.
pub(super) fn outcome(answer: &Answer) -> Outcome {
    let status = answer
        .trailers
        .as_ref()
        .filter(|trailers| trailers.contains_key(GRPC_STATUS))
        .or(Some(&answer.head.headers).filter(|headers| headers.contains_key(GRPC_STATUS)))
        .and_then(Status::from_header_map)
        .unwrap_or_else(|| without_status(answer.head.status));
    if status.code() == Code::Ok {
        return Outcome::delivered(message(&answer.body));
    }
    Outcome::from_grpc(&status)
}

/// The message of an answer, or nothing where it is compressed or not a frame.
fn message(body: &[u8]) -> &[u8] {
    match body.split_at_checked(5) {
        Some(([0, ..], message)) => message,
        _ => b"",
    }
}

/// A proxy answered in the upstream's place. Source: gRPC, "HTTP to gRPC Status Code Mapping".
fn without_status(code: StatusCode) -> Status {
    let grpc = match code.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502..=504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    Status::new(grpc, format!("HTTP {code} without a gRPC status"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, headers: &[(&'static str, &'static str)]) -> Answer {
        let mut response = http::Response::new(());
        *response.status_mut() = StatusCode::from_u16(code).unwrap();
        for (name, value) in headers {
            response.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        Answer { head: response.into_parts().0, body: Bytes::new(), trailers: None }
    }

    /// A message's length stands in the prefix in network order.
    #[test]
    fn prefixes() {
        assert_eq!(&prefix(0x0102, true).unwrap()[..], b"\x01\0\0\x01\x02");
        assert_eq!(&prefix(0, false).unwrap()[..], b"\0\0\0\0\0");
        assert!(prefix(usize::MAX, false).is_none());
    }

    /// What proxies answer is mapped; no answer at all is never taken for success.
    #[test]
    fn answers_without_status() {
        assert!(matches!(outcome(&answer(503, &[])), Outcome::Retry { .. }));
        assert!(matches!(outcome(&answer(404, &[])), Outcome::Unsupported { .. }));
        assert!(matches!(outcome(&answer(200, &[])), Outcome::Failed { .. }));
        let ok = answer(200, &[("grpc-status", "0")]);
        assert!(matches!(outcome(&ok), Outcome::Delivered { rejected: 0, .. }));
        let nonsense = answer(200, &[("grpc-status", "many")]);
        assert!(matches!(outcome(&nonsense), Outcome::Failed { .. }));
    }
}
