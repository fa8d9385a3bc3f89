//! OTLP/HTTP: `POST /v1/{metrics,logs,traces}` in protobuf and JSON, over HTTP/1.1 and HTTP/2.
//!
//! Statuses follow the OTLP specification: malformed is 400 with a `google.rpc.Status` in the request's format, no room is
//! 503 with `Retry-After`. 415, 413, 405, 404, 401 and 408 are as in RFC 9110.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use hyper::body::Incoming;
use prost::Message;
use serde::Serialize;

use super::admit::{Format, Gate, Rejection};
use super::body::{Announced, Reply, collect};
use super::connections::Answer;
use super::grpc;
use crate::compression::Compression;
use crate::signal::Signal;

pub(super) struct Http(pub(super) Gate);

impl Answer for Http {
    async fn answer(&self, request: Request<Incoming>) -> Response<Reply> {
        let signal = match request.uri().path() {
            "/v1/metrics" => Signal::Metrics,
            "/v1/logs" => Signal::Logs,
            "/v1/traces" => Signal::Traces,
            _ => return empty(StatusCode::NOT_FOUND),
        };
        if request.method() != Method::POST {
            let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        let (head, body) = request.into_parts();
        let gate = &self.0;
        let Some(format) = head.headers.get(header::CONTENT_TYPE).and_then(format_of) else {
            gate.settings.counters.add_failed(signal, gate.transport);
            return empty(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        };
        match gate.watch(signal, take(gate, signal, format, &head.headers, body)).await {
            Ok(()) => accepted(format),
            Err(rejection) => rejected(format, &rejection),
        }
    }
}

fn format_of(content_type: &HeaderValue) -> Option<Format> {
    let value = content_type.as_bytes();
    let essence = value.split(|&byte| byte == b';').next().unwrap_or(value);
    let essence = essence.trim_ascii();
    if essence.eq_ignore_ascii_case(b"application/x-protobuf") {
        Some(Format::Protobuf)
    } else if essence.eq_ignore_ascii_case(b"application/json") {
        Some(Format::Json)
    } else {
        None
    }
}

fn content_type(format: Format) -> HeaderValue {
    HeaderValue::from_static(match format {
        Format::Protobuf => "application/x-protobuf",
        Format::Json => "application/json",
    })
}

async fn take<B>(gate: &Gate, signal: Signal, format: Format, headers: &HeaderMap, body: B) -> Result<(), Rejection>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    gate.authenticate(headers)?;
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    let compression = match (encodings.next(), encodings.next()) {
        (None, _) => None,
        (Some(value), None) => Compression::from_header(value.as_bytes()).ok_or(Rejection::UnknownEncoding)?,
        (Some(_), Some(_)) => return Err(Rejection::UnknownEncoding),
    };
    let mut reservation = gate.settings.in_flight.reservation();
    let announced = Announced::ByHeader(body.size_hint().exact());
    let limit = gate.settings.max_message_bytes;
    let body = collect(body, announced, limit, &mut reservation);
    let body = tokio::time::timeout(gate.settings.request_timeout, body).await.map_err(|_| Rejection::Slow)??;
    gate.admit(signal, format, compression, body, &mut reservation).await
}

/// An empty `Export*ServiceResponse`: all was taken.
fn accepted(format: Format) -> Response<Reply> {
    let body = match format {
        Format::Protobuf => Bytes::new(),
        Format::Json => Bytes::from_static(b"{}"),
    };
    let mut response = Response::new(Reply::new(body, None));
    response.headers_mut().insert(header::CONTENT_TYPE, content_type(format));
    response
}

fn empty(code: StatusCode) -> Response<Reply> {
    let mut response = Response::new(Reply::default());
    *response.status_mut() = code;
    response
}

/// `google.rpc.Status` as JSON, without details: the specification lets servers leave them out.
#[derive(Serialize)]
struct JsonStatus<'a> {
    code: i32,
    message: &'a str,
}

fn rejected(format: Format, rejection: &Rejection) -> Response<Reply> {
    let status = grpc::status(rejection);
    let code = status.code() as i32;
    let body = match format {
        Format::Protobuf => {
            tonic_types::Status { code, message: status.message().to_owned(), details: Vec::new() }.encode_to_vec()
        }
        Format::Json => serde_json::to_vec(&JsonStatus { code, message: status.message() }).unwrap_or_default(),
    };
    let mut response = Response::new(Reply::new(body.into(), None));
    *response.status_mut() = http_status(rejection);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type(format));
    match rejection {
        Rejection::Busy { retry_after, .. } => {
            headers.insert(header::RETRY_AFTER, whole_seconds(*retry_after).into());
        }
        Rejection::UnknownEncoding => {
            let accepted = HeaderValue::from_static(Compression::ACCEPTED);
            headers.insert(header::ACCEPT_ENCODING, accepted);
        }
        Rejection::Unauthenticated(challenge) => {
            headers.insert(header::WWW_AUTHENTICATE, challenge.clone());
        }
        _ => {}
    }
    response
}

fn http_status(rejection: &Rejection) -> StatusCode {
    match rejection {
        Rejection::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
        Rejection::UnknownEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Rejection::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Rejection::Malformed(_) | Rejection::Interrupted(_) => StatusCode::BAD_REQUEST,
        Rejection::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Rejection::NotConfigured => StatusCode::NOT_FOUND,
        Rejection::Slow => StatusCode::REQUEST_TIMEOUT,
        Rejection::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// `Retry-After` counts whole seconds; rounded up, and at least one.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000).clamp(1, u128::from(u32::MAX)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parameters and case do not matter; other types are not taken for one of ours.
    #[test]
    fn formats() {
        let format = |value: &'static str| format_of(&HeaderValue::from_static(value));
        assert_eq!(format("application/x-protobuf"), Some(Format::Protobuf));
        assert_eq!(format("Application/JSON; charset=utf-8"), Some(Format::Json));
        assert_eq!(format("application/jsonp"), None);
        assert_eq!(format("text/plain"), None);
    }

    /// A wait never shrinks to "now" by rounding.
    #[test]
    fn retry_after_rounds_up() {
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1001)), 2);
        assert_eq!(whole_seconds(Duration::from_secs(7)), 7);
    }
}
