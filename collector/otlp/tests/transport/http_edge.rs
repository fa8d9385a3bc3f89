//! What an OTLP/HTTP receiver answers, and to what.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foreshock_otlp::authorization::Authorization;
use foreshock_otlp::compression::Compression;
use foreshock_otlp::receive::{Settings, Transport};
use foreshock_otlp::request::Refusal;
use foreshock_otlp::signal::Signal;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Empty};
use prost::Message;

use crate::peer::*;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

async fn keeping() -> (Arc<Keep>, Receiver, Caller, Settings) {
    let keep = Arc::new(Keep::default());
    let settings = Settings::default();
    let receiver = receiver(Wire::Http, settings.clone(), keep.clone()).await;
    let caller = Caller::new(receiver.address, false);
    (keep, receiver, caller, settings)
}

/// The answer has the request's content type, over HTTP/1.1 and over HTTP/2 without TLS.
#[tokio::test]
async fn accepted_requests() {
    let (keep, receiver, caller, _) = keeping().await;
    let plain = sample(Signal::Logs, 4, 0);
    for caller in [caller, Caller::new(receiver.address, true)] {
        let answer = caller.post("/v1/logs", &[PROTOBUF], plain.clone()).await;
        assert_eq!((answer.code, answer.header("content-type")), (StatusCode::OK, PROTOBUF.1));
        assert!(answer.body.is_empty());
    }
    assert!(keep.0.lock().unwrap().iter().all(|request| request.plain == plain && request.items == 4));
}

/// JSON becomes protobuf once, and is answered in JSON.
#[tokio::test]
async fn json_becomes_protobuf() {
    let (keep, _receiver, caller, _) = keeping().await;
    let json =
        br#"{"resourceLogs":[{"scopeLogs":[{"scope":{"name":"s"},"logRecords":[{"body":{"stringValue":"hi"}}]}]}]}"#;
    let answer = caller.post("/v1/logs", &[JSON], Bytes::from_static(json)).await;
    assert_eq!((answer.code, answer.header("content-type")), (StatusCode::OK, JSON.1));
    assert_eq!(answer.body, "{}");
    let headers = [JSON, ("content-encoding", "gzip")];
    let gzipped = Compression::Gzip.compress(json).unwrap();
    assert_eq!(caller.post("/v1/logs", &headers, gzipped.into()).await.code, StatusCode::OK);
    let kept = keep.0.lock().unwrap();
    // ResourceLogs.scope_logs(2).{scope(1).name(1), log_records(2).body(5).string_value(1)}, by hand.
    let expected = b"\x0a\x0f\x12\x0d\x0a\x03\x0a\x01s\x12\x06\x2a\x04\x0a\x02hi";
    assert_eq!(kept.len(), 2);
    for request in kept.iter() {
        assert_eq!((&request.plain[..], request.items, request.encoded.is_none()), (&expected[..], 1, true));
    }
}

/// Malformed bodies are 400 with a `google.rpc.Status` in the request's format, which says where.
#[tokio::test]
async fn malformed_bodies() {
    let (keep, _receiver, caller, settings) = keeping().await;
    // A log record (field 2 of ScopeLogs, field 2 of ResourceLogs, field 1 of the request) with half a timestamp (field 1).
    let broken = Bytes::from_static(b"\x0a\x08\x12\x06\x12\x04\x09\x01\x02\x03");
    let answer = caller.post("/v1/logs", &[PROTOBUF], broken).await;
    assert_eq!((answer.code, answer.header("content-type")), (StatusCode::BAD_REQUEST, PROTOBUF.1));
    let status = tonic_types::Status::decode(answer.body).unwrap();
    assert_eq!(status.code, 3);
    assert!(status.message.contains("time_unix_nano"), "{}", status.message);

    let broken = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":true}]}]}]}"#;
    let answer = caller.post("/v1/logs", &[JSON], Bytes::from_static(broken)).await;
    assert_eq!((answer.code, answer.header("content-type")), (StatusCode::BAD_REQUEST, JSON.1));
    let status: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(status["code"], 3);
    assert!(status["message"].as_str().unwrap().contains("timeUnixNano"), "{status}");

    let headers = [PROTOBUF, ("content-encoding", "gzip")];
    let answer = caller.post("/v1/logs", &headers, Bytes::from_static(b"no gzip")).await;
    assert_eq!(answer.code, StatusCode::BAD_REQUEST);
    assert!(keep.0.lock().unwrap().is_empty());
    assert_eq!(settings.counters.failed_requests(Signal::Logs, Transport::Http), 3);
}

/// Wrong paths, methods, media types and encodings, each with the status of RFC 9110.
#[tokio::test]
async fn wrong_addresses() {
    let (_keep, receiver, caller, _) = keeping().await;
    let empty = Bytes::new;
    assert_eq!(caller.post("/v1/profiles", &[PROTOBUF], empty()).await.code, StatusCode::NOT_FOUND);
    assert_eq!(caller.post("/v1/logs/", &[PROTOBUF], empty()).await.code, StatusCode::NOT_FOUND);
    let mut get = request(receiver.address, "/v1/logs", &[PROTOBUF], Empty::new().boxed());
    *get.method_mut() = Method::GET;
    let answer = caller.call(get).await;
    assert_eq!((answer.code, answer.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
    let text = [("content-type", "text/plain")];
    assert_eq!(caller.post("/v1/logs", &text, empty()).await.code, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(caller.post("/v1/logs", &[], empty()).await.code, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let snappy = [PROTOBUF, ("content-encoding", "snappy")];
    let answer = caller.post("/v1/logs", &snappy, empty()).await;
    assert_eq!(answer.code, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(answer.header("accept-encoding"), "identity,gzip,zstd");
}

/// No room is 503 with `Retry-After` in whole seconds, rounded up.
#[tokio::test]
async fn refusals_say_when_to_come_again() {
    for (refusal, expected) in
        [(Refusal::Full { retry_after: Duration::from_millis(2500) }, "3"), (Refusal::ShuttingDown, "1")]
    {
        let receiver = receiver(Wire::Http, Settings::default(), Arc::new(Refuse(refusal))).await;
        let caller = Caller::new(receiver.address, false);
        let answer = caller.post("/v1/traces", &[PROTOBUF], sample(Signal::Traces, 1, 0)).await;
        assert_eq!(answer.code, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.header("retry-after"), expected);
    }
}

/// With credentials configured, requests without them are 401 with the scheme that is wanted.
#[tokio::test]
async fn credentials_are_wanted() {
    let bearer = Authorization::Bearer("s3cret".to_owned());
    let basic = Authorization::Basic { username: "Aladdin".to_owned(), password: "open sesame".to_owned() };
    for (wanted, scheme, shown) in
        [(bearer, "Bearer", "Bearer s3cret"), (basic, "Basic", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")]
    {
        let settings = Settings { authorization: Some(wanted), ..Settings::default() };
        let receiver = receiver(Wire::Http, settings, Arc::new(Keep::default())).await;
        let caller = Caller::new(receiver.address, false);
        for wrong in [&[PROTOBUF][..], &[PROTOBUF, ("authorization", "Bearer other")]] {
            let answer = caller.post("/v1/logs", wrong, Bytes::new()).await;
            assert_eq!(answer.code, StatusCode::UNAUTHORIZED);
            assert!(answer.header("www-authenticate").starts_with(scheme));
        }
        let headers = [PROTOBUF, ("authorization", shown)];
        assert_eq!(caller.post("/v1/logs", &headers, Bytes::new()).await.code, StatusCode::OK);
    }
}
