//! What an attempt to send came to, by the OTLP specification's tables.

use std::error::Error;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// What an attempt to send came to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The upstream took the request, except for `rejected` items.
    Delivered { rejected: u64, message: String },
    /// It may take it later, not before `after` if it said so.
    Retry { reason: String, after: Option<Duration> },
    /// It will never take it.
    Failed { reason: String },
    /// It will never take it like this: the method, or its encoding, is not there.
    Unsupported { reason: String },
}

/// The part that all three `Export*ServiceResponse` have in common.
#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// `ExportLogsPartialSuccess` and its two siblings.
#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

impl Outcome {
    /// No answer: the connection could not be made, or broke. The specification has clients repeat such requests.
    pub(super) fn unanswered(error: &(dyn Error + 'static)) -> Self {
        Self::Retry { reason: chain(error), after: None }
    }

    /// A fault of ours, or bytes that nobody can send.
    pub(super) fn failed(error: &(dyn Error + 'static)) -> Self {
        Self::Failed { reason: chain(error) }
    }

    /// No answer in time.
    pub(super) fn timed_out(timeout: Duration) -> Self {
        Self::Retry { reason: format!("no answer within {} ms", timeout.as_millis()), after: None }
    }

    /// From the body of a positive answer, an `Export*ServiceResponse`. One that can't be read is still a positive answer.
    pub(super) fn delivered(response: &[u8]) -> Self {
        let partial =
            ExportResponse::decode(response).ok().and_then(|response| response.partial_success).unwrap_or_default();
        Self::Delivered { rejected: u64::try_from(partial.rejected).unwrap_or(0), message: partial.error_message }
    }

    /// From a gRPC status other than OK. Source: OTLP specification, "Failures" of OTLP/gRPC: CANCELLED, DEADLINE_EXCEEDED,
    /// ABORTED, OUT_OF_RANGE, UNAVAILABLE and DATA_LOSS are retryable, RESOURCE_EXHAUSTED only with RetryInfo, all others not.
    pub(super) fn from_grpc(status: &Status) -> Self {
        let after = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let reason = format!("{:?}: {}", status.code(), status.message());
        match status.code() {
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => Self::Retry { reason, after },
            Code::ResourceExhausted if after.is_some() => Self::Retry { reason, after },
            Code::Unimplemented => Self::Unsupported { reason },
            _ => Self::Failed { reason },
        }
    }

    /// From an answer of OTLP/HTTP. Source: OTLP specification, "Failures" of OTLP/HTTP: 429, 502, 503 and 504 are retryable,
    /// all other 4xx and 5xx are not.
    pub(super) fn from_http(code: StatusCode, headers: &HeaderMap, body: &Bytes) -> Self {
        let is_protobuf = headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/x-protobuf"));
        if code.is_success() {
            return Self::delivered(if is_protobuf { body } else { b"" });
        }
        let message = if is_protobuf {
            tonic_types::Status::decode(&body[..]).map(|status| status.message).unwrap_or_default()
        } else {
            let shown = body.len().min(200);
            String::from_utf8_lossy(&body[..shown]).into_owned()
        };
        let reason = format!("{code}: {message}");
        match code.as_u16() {
            429 | 502 | 503 | 504 => Self::Retry {
                reason,
                after: headers
                    .get(header::RETRY_AFTER)
                    .and_then(|value| retry_after(value.to_str().ok()?, SystemTime::now())),
            },
            415 => Self::Unsupported { reason },
            _ => Self::Failed { reason },
        }
    }
}

/// An error and all its causes, on one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Reads `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    fn is_retry(outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Retry { .. })
    }

    /// The specification's table for gRPC, written out.
    #[test]
    fn retryable_grpc_codes() {
        let retryable = [1, 4, 10, 11, 14, 15];
        for number in 1..=16 {
            let outcome = Outcome::from_grpc(&Status::new(Code::from(number), "why"));
            assert_eq!(is_retry(&outcome), retryable.contains(&number), "{number}");
        }
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(7)));
        let status = Status::with_error_details(Code::ResourceExhausted, "later", details);
        let outcome = Outcome::from_grpc(&status);
        let Outcome::Retry { after, .. } = outcome else {
            panic!("RESOURCE_EXHAUSTED with RetryInfo is retryable: {outcome:?}");
        };
        assert_eq!(after, Some(Duration::from_secs(7)));
    }

    /// The specification's table for HTTP, written out.
    #[test]
    fn retryable_http_codes() {
        for number in 300..600 {
            let code = StatusCode::from_u16(number).unwrap();
            let outcome = Outcome::from_http(code, &HeaderMap::new(), &Bytes::new());
            assert_eq!(is_retry(&outcome), [429, 502, 503, 504].contains(&number), "{number}");
        }
    }

    /// `Retry-After` in both forms; a date in the past means now, and nonsense means no wish.
    #[test]
    fn retry_after_forms() {
        let now = httpdate::parse_http_date("Fri, 20 Nov 2026 10:00:00 GMT").unwrap();
        assert_eq!(retry_after("12", now), Some(Duration::from_secs(12)));
        let date = "Fri, 20 Nov 2026 10:00:30 GMT";
        assert_eq!(retry_after(date, now), Some(Duration::from_secs(30)));
        let past = "Fri, 20 Nov 2026 09:00:00 GMT";
        assert_eq!(retry_after(past, now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-3", now), None);
    }

    /// A partial success is read from the bytes as the specification lays them out; negative counts are not believed.
    #[test]
    fn partial_success() {
        let rejected = |bytes: &[u8]| match Outcome::delivered(bytes) {
            Outcome::Delivered { rejected, message } => (rejected, message),
            other => panic!("{other:?}"),
        };
        assert_eq!(rejected(b""), (0, String::new()));
        assert_eq!(rejected(b"\x0a\x06\x08\x03\x12\x02no"), (3, "no".to_owned()));
        let negative = b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(rejected(negative).0, 0);
        assert_eq!(rejected(b"\xff\xff").0, 0);
    }
}
