//! What an OTLP/gRPC receiver answers to what it should not get.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foreshock_otlp::authorization::Authorization;
use foreshock_otlp::compression::Compression;
use foreshock_otlp::receive::{Settings, Transport};
use foreshock_otlp::request::Refusal;
use foreshock_otlp::signal::Signal;
use http::StatusCode;
use tonic::Code;
use tonic_types::StatusExt;

use crate::peer::*;

async fn keeping() -> (Arc<Keep>, Receiver, Caller, Settings) {
    let keep = Arc::new(Keep::default());
    let settings = Settings::default();
    let receiver = receiver(Wire::Grpc, settings.clone(), keep.clone()).await;
    let caller = Caller::new(receiver.address, true);
    (keep, receiver, caller, settings)
}

/// Broken frames are INVALID_ARGUMENT, so that nobody repeats them, and never reach the intake.
#[tokio::test]
async fn broken_frames() {
    let (keep, _receiver, caller, settings) = keeping().await;
    let plain = sample(Signal::Logs, 3, 0);
    let whole = framed(0, &plain);
    let two = Bytes::from([&whole[..], &whole[..]].concat());
    let wrong = [
        (None, Bytes::new()),
        (None, whole.slice(..4)),
        (None, whole.slice(..whole.len() - 1)),
        (None, two),
        (None, framed(2, &plain)),
        (None, framed(1, &plain)),
        (Some("gzip"), framed(1, &plain)),
        (Some("zstd"), framed(1, &plain)),
        (None, framed(0, b"\xff\xff\xff")),
    ];
    let count = wrong.len() as u64 + 1;
    for (encoding, frame) in wrong {
        let status = caller.grpc(Signal::Logs, encoding, frame).await.status();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(!status.message().is_empty());
    }
    // A log record (field 2 of ScopeLogs, field 2 of ResourceLogs, field 1 of the request) with half a timestamp (field 1).
    let frame = framed(0, b"\x0a\x08\x12\x06\x12\x04\x09\x01\x02\x03");
    let status = caller.grpc(Signal::Logs, None, frame).await.status();
    assert_eq!(status.code(), Code::InvalidArgument);
    let path = "resource_logs[0].scope_logs[0].log_records[0].time_unix_nano";
    assert!(status.message().starts_with(path), "{status}");
    assert!(keep.0.lock().unwrap().is_empty());
    assert_eq!(settings.counters.failed_requests(Signal::Logs, Transport::Grpc), count);
    assert_eq!(settings.in_flight.used(), 0);
}

/// A message may stay uncompressed although the call announces an encoding (gRPC, "Compression"), and an empty request is valid.
#[tokio::test]
async fn uncompressed_message_under_an_encoding() {
    let (keep, _receiver, caller, _) = keeping().await;
    let plain = sample(Signal::Traces, 3, 0);
    let status = caller.grpc(Signal::Traces, Some("gzip"), framed(0, &plain)).await.status();
    assert_eq!(status.code(), Code::Ok);
    let status = caller.grpc(Signal::Traces, None, framed(0, b"")).await.status();
    assert_eq!(status.code(), Code::Ok);
    let kept = keep.0.lock().unwrap();
    assert_eq!((kept[0].items, &kept[0].plain, &kept[0].encoded), (3, &plain, &None));
    assert_eq!((kept[1].items, kept[1].plain.len()), (0, 0));
}

/// An unknown encoding is UNIMPLEMENTED and says what is known (gRPC, "Compression"); so are unknown methods.
#[tokio::test]
async fn unknown_encodings_and_methods() {
    let (_keep, _receiver, caller, _) = keeping().await;
    let answer = caller.grpc(Signal::Logs, Some("snappy"), framed(1, b"x")).await;
    assert_eq!(answer.status().code(), Code::Unimplemented);
    assert_eq!(answer.header("grpc-accept-encoding"), "identity,gzip,zstd");
    let headers = [("content-type", "application/grpc")];
    let path = "/opentelemetry.proto.collector.logs.v1.LogsService/Import";
    let answer = caller.post(path, &headers, framed(0, b"")).await;
    assert_eq!(answer.status().code(), Code::Unimplemented);
    let headers = [("content-type", "application/json")];
    let answer = caller.post(grpc_path(Signal::Logs), &headers, Bytes::new()).await;
    assert_eq!(answer.code, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

/// No room is UNAVAILABLE with RetryInfo that carries the intake's wish, and is counted as refused items.
#[tokio::test]
async fn refusals_say_when_to_come_again() {
    let retry_after = Duration::from_millis(2500);
    let settings = Settings::default();
    let counters = Arc::clone(&settings.counters);
    let intake = Arc::new(Refuse(Refusal::Full { retry_after }));
    let receiver = receiver(Wire::Grpc, settings, intake).await;
    let caller = Caller::new(receiver.address, true);
    let plain = sample(Signal::Metrics, 5, 0);
    let gzip = Some(Compression::Gzip);
    let status = caller.send(Wire::Grpc, Signal::Metrics, gzip, compressed(&plain, gzip)).await.status();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(retry_after));
    assert_eq!(counters.refused_items(Signal::Metrics, Transport::Grpc), 5);
    assert_eq!(counters.failed_requests(Signal::Metrics, Transport::Grpc), 0);
    assert_eq!(counters.accepted_items(Signal::Metrics, Transport::Grpc), 0);
}

/// With credentials configured, requests without them, or with others, are UNAUTHENTICATED.
#[tokio::test]
async fn credentials_are_wanted() {
    let keep = Arc::new(Keep::default());
    let authorization = Some(Authorization::Bearer("s3cret".to_owned()));
    let settings = Settings { authorization, ..Settings::default() };
    let receiver = receiver(Wire::Grpc, settings, keep.clone()).await;
    let caller = Caller::new(receiver.address, true);
    let frame = framed(0, &sample(Signal::Logs, 1, 0));
    for (authorization, expected) in [
        (None, Code::Unauthenticated),
        (Some("Bearer wrong"), Code::Unauthenticated),
        (Some("Bearer s3cret"), Code::Ok),
    ] {
        let mut headers = vec![("content-type", "application/grpc")];
        headers.extend(authorization.map(|value| ("authorization", value)));
        let answer = caller.post(grpc_path(Signal::Logs), &headers, frame.clone()).await;
        assert_eq!(answer.status().code(), expected);
    }
    assert_eq!(keep.0.lock().unwrap().len(), 1);
}
