//! OTLP/gRPC: the three `Export` methods, their framing and their statuses.
//!
//! Statuses follow the OTLP specification: malformed is INVALID_ARGUMENT, too large is RESOURCE_EXHAUSTED without
//! RetryInfo (not retryable), no room is UNAVAILABLE with RetryInfo.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use hyper::body::Incoming;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::admit::{Format, Gate, Rejection};
use super::body::{Announced, GRPC_PREFIX, Reply, collect};
use super::connections::Answer;
use crate::compression::Compression;
use crate::signal::Signal;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_ENCODING: &str = "grpc-encoding";
const GRPC_ACCEPT_ENCODING: &str = "grpc-accept-encoding";
const GRPC_STATUS: &str = "grpc-status";

pub(super) struct Grpc(pub(super) Gate);

impl Answer for Grpc {
    async fn answer(&self, request: Request<Incoming>) -> Response<Reply> {
        let is_grpc = request.headers().get(header::CONTENT_TYPE).is_some_and(|value| is_grpc(value.as_bytes()));
        if !is_grpc {
            let mut response = Response::new(Reply::default());
            *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return response;
        }
        let signal = match request.uri().path() {
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Signal::Metrics,
            "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Signal::Logs,
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Signal::Traces,
            _ => return Status::unimplemented("unknown method").into_http(),
        };
        if request.method() != Method::POST {
            return Status::unimplemented("gRPC methods are POSTed").into_http();
        }
        let (head, body) = request.into_parts();
        let gate = &self.0;
        match gate.watch(signal, take(gate, signal, &head.headers, body)).await {
            Ok(()) => accepted(),
            Err(rejection) => rejected(&rejection),
        }
    }
}

/// `application/grpc`, alone or with the name of the message format, or with parameters.
fn is_grpc(content_type: &[u8]) -> bool {
    match content_type.strip_prefix(b"application/grpc") {
        None => false,
        Some(rest) => rest.is_empty() || rest == b"+proto" || rest[0] == b';' || rest[0] == b' ',
    }
}

async fn take<B>(gate: &Gate, signal: Signal, headers: &HeaderMap, body: B) -> Result<(), Rejection>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    gate.authenticate(headers)?;
    let encoding = match headers.get(GRPC_ENCODING) {
        None => None,
        Some(value) => Compression::from_header(value.as_bytes()).ok_or(Rejection::UnknownEncoding)?,
    };
    let mut reservation = gate.settings.in_flight.reservation();
    let limit = gate.settings.max_message_bytes.saturating_add(GRPC_PREFIX);
    let body = collect(body, Announced::ByGrpcPrefix, limit, &mut reservation);
    let body = tokio::time::timeout(gate.settings.request_timeout, body).await.map_err(|_| Rejection::Slow)??;
    let (compression, message) = unframe(body, encoding)?;
    gate.admit(signal, Format::Protobuf, compression, message, &mut reservation).await
}

/// Takes the one message out of its frame. A message may stay uncompressed although an encoding was announced.
fn unframe(mut body: Bytes, encoding: Option<Compression>) -> Result<(Option<Compression>, Bytes), Rejection> {
    let malformed = |what: &str| Err(Rejection::Malformed(what.to_owned()));
    let Some(&[flag, a, b, c, d]) = body.first_chunk::<GRPC_PREFIX>() else {
        return malformed("gRPC frame: shorter than its prefix");
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    let given = body.len() - GRPC_PREFIX;
    if given < length {
        return malformed("gRPC frame: shorter than its prefix says");
    }
    if given > length {
        return malformed("gRPC frame: more than one message");
    }
    let compression = match (flag, encoding) {
        (0, _) => None,
        (1, Some(compression)) => Some(compression),
        (1, None) => return malformed("gRPC frame: compressed, but no grpc-encoding"),
        _ => return malformed("gRPC frame: unknown flag"),
    };
    Ok((compression, body.split_off(GRPC_PREFIX)))
}

/// An empty `Export*ServiceResponse`: all was taken.
fn accepted() -> Response<Reply> {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    let mut response = Response::new(Reply::new(Bytes::from_static(&[0; GRPC_PREFIX]), Some(trailers)));
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    response
}

fn rejected(rejection: &Rejection) -> Response<Reply> {
    let mut response = status(rejection).into_http();
    if matches!(rejection, Rejection::UnknownEncoding) {
        response.headers_mut().insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(Compression::ACCEPTED));
    }
    response
}

/// The status of OTLP/gRPC for a rejection.
pub(super) fn status(rejection: &Rejection) -> Status {
    match rejection {
        Rejection::Unauthenticated(_) => Status::unauthenticated("no valid credentials"),
        Rejection::UnknownEncoding => {
            Status::unimplemented(format!("unknown encoding, expected one of {}", Compression::ACCEPTED))
        }
        Rejection::TooLarge { limit } => Status::resource_exhausted(format!("message larger than {limit} bytes")),
        Rejection::Malformed(what) => Status::invalid_argument(what),
        Rejection::Busy { reason, retry_after, .. } => {
            Status::with_error_details(Code::Unavailable, *reason, ErrorDetails::with_retry_info(Some(*retry_after)))
        }
        Rejection::NotConfigured => Status::unimplemented("no pipeline takes this signal"),
        Rejection::Slow => Status::deadline_exceeded("the message did not arrive in time"),
        Rejection::Interrupted(what) => Status::cancelled(what),
        Rejection::Internal(what) => Status::internal(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content types that gRPC clients send, and look-alikes that are another protocol.
    #[test]
    fn content_types() {
        for yes in ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"] {
            assert!(is_grpc(yes.as_bytes()), "{yes}");
        }
        for no in ["application/grpc-web", "application/grpc+json", "application/x-protobuf", ""] {
            assert!(!is_grpc(no.as_bytes()), "{no}");
        }
    }

    /// Every shape of a frame that is not exactly one message is refused, and an uncompressed message under an announced
    /// encoding is taken.
    #[test]
    fn frames() {
        let gzip = Some(Compression::Gzip);
        let unframe = |bytes: &'static [u8], encoding| unframe(Bytes::from_static(bytes), encoding);
        let (compression, message) = unframe(b"\0\0\0\0\x02ab", None).unwrap();
        assert_eq!((compression, &message[..]), (None, &b"ab"[..]));
        assert_eq!(unframe(b"\0\0\0\0\x02ab", gzip).unwrap().0, None);
        assert_eq!(unframe(b"\x01\0\0\0\x02ab", gzip).unwrap().0, gzip);
        assert_eq!(unframe(b"\0\0\0\0\0", None).unwrap().1.len(), 0);
        let wrong: [&[u8]; 6] =
            [b"", b"\0\0\0\0", b"\0\0\0\0\x02a", b"\0\0\0\0\x01ab", b"\x02\0\0\0\x02ab", b"\0\xff\xff\xff\xffab"];
        for bytes in wrong {
            assert!(matches!(unframe(bytes, gzip), Err(Rejection::Malformed(_))), "{bytes:?}");
        }
        assert!(matches!(unframe(b"\x01\0\0\0\x02ab", None), Err(Rejection::Malformed(_))));
    }
}
