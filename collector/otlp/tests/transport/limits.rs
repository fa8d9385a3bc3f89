//! What a receiver can be made to hold, and how it ends.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foreshock_otlp::compression::Compression;
use foreshock_otlp::receive::{InFlightBytes, Settings, Transport};
use foreshock_otlp::signal::Signal;
use http::StatusCode;
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use http_body_util::combinators::BoxBody;
use tokio::net::TcpStream;
use tonic::Code;
use tonic_types::StatusExt;

use crate::peer::*;

/// A body that the test feeds.
fn fed() -> (http_body_util::channel::Sender<Bytes, Infallible>, BoxBody<Bytes, Infallible>) {
    let (sender, body) = Channel::new(1);
    (sender, body.boxed())
}

const GRPC: [(&str, &str); 1] = [("content-type", "application/grpc")];
const PROTOBUF: [(&str, &str); 1] = [("content-type", "application/x-protobuf")];

/// A length that is announced above the limit is refused before the body comes, as RESOURCE_EXHAUSTED without RetryInfo:
/// the sender must not repeat it.
#[tokio::test]
async fn announced_length_is_refused_at_once() {
    let settings = Settings { max_message_bytes: 1000, ..Settings::default() };
    let receiver_ = receiver(Wire::Grpc, settings.clone(), Arc::new(Keep::default())).await;
    let caller = Caller::new(receiver_.address, true);
    for length in [1001_u32, u32::MAX] {
        let (mut sender, body) = fed();
        let prefix = [&[0][..], &length.to_be_bytes()[..]].concat();
        sender.send_data(prefix.into()).await.unwrap();
        let call = caller.call(request(receiver_.address, grpc_path(Signal::Logs), &GRPC, body)).await;
        let status = call.status();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.get_details_retry_info().is_none());
    }
    let status = caller.grpc(Signal::Logs, None, framed(0, &[0; 1001])).await.status();
    assert_eq!(status.code(), Code::ResourceExhausted);

    let receiver_ = receiver(Wire::Http, settings.clone(), Arc::new(Keep::default())).await;
    let caller = Caller::new(receiver_.address, true);
    let answer = caller.post("/v1/logs", &PROTOBUF, vec![0; 1001].into()).await;
    assert_eq!(answer.code, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(settings.in_flight.used(), 0);
}

/// Exactly the limit is taken.
#[tokio::test]
async fn limit_is_exact() {
    let plain = sample(Signal::Logs, 50, 0);
    let settings = Settings { max_message_bytes: plain.len(), max_plain_bytes: plain.len(), ..Settings::default() };
    for wire in [Wire::Grpc, Wire::Http] {
        let receiver = receiver(wire, settings.clone(), Arc::new(Keep::default())).await;
        let caller = Caller::new(receiver.address, true);
        for compression in [None, Some(Compression::Gzip)] {
            let answer = caller.send(wire, Signal::Logs, compression, compressed(&plain, compression)).await;
            assert_eq!(answer.code, StatusCode::OK);
            if wire == Wire::Grpc {
                assert_eq!(answer.status().code(), Code::Ok);
            }
        }
    }
}

/// A bomb is refused as too large. The budget of bytes in flight, less than the bomb, was enough: so it never took its size.
#[tokio::test]
async fn bombs_are_refused() {
    let bomb = Bytes::from(vec![0_u8; 64 << 20]);
    for compression in [Compression::Gzip, Compression::Zstd] {
        let settings =
            Settings { max_plain_bytes: 2 << 20, in_flight: InFlightBytes::new(4 << 20), ..Settings::default() };
        let bytes = compressed(&bomb, Some(compression));
        let grpc = receiver(Wire::Grpc, settings.clone(), Arc::new(Keep::default())).await;
        let caller = Caller::new(grpc.address, true);
        let answer = caller.send(Wire::Grpc, Signal::Logs, Some(compression), bytes.clone()).await;
        assert_eq!(answer.status().code(), Code::ResourceExhausted);
        let http = receiver(Wire::Http, settings.clone(), Arc::new(Keep::default())).await;
        let caller = Caller::new(http.address, false);
        let answer = caller.send(Wire::Http, Signal::Logs, Some(compression), bytes).await;
        assert_eq!(answer.code, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(settings.in_flight.used(), 0);
    }
}

/// A request that finds the budget of bytes in flight used up, by another receiver even, is told to come again; and once
/// the other has ended it is taken.
#[tokio::test]
async fn bytes_in_flight_are_bounded_across_receivers() {
    let settings = Settings { in_flight: InFlightBytes::new(10_000), ..Settings::default() };
    let keep = Arc::new(Keep::default());
    let grpc = receiver(Wire::Grpc, settings.clone(), keep.clone()).await;
    let http = receiver(Wire::Http, settings.clone(), keep.clone()).await;
    let (mut sender, body) = fed();
    let slow = Caller::new(http.address, false);
    let path = "/v1/logs";
    let address = http.address;
    let slow = tokio::spawn(async move { slow.call(request(address, path, &PROTOBUF, body)).await });
    // Field 1000, 9,000 bytes long: unknown, hence valid.
    let mut message = b"\xc2\x3e\xa8\x46".to_vec();
    message.resize(9004, 0);
    sender.send_data(message.into()).await.unwrap();
    let in_flight = settings.in_flight.clone();
    until("the first body is held", || in_flight.used() == 9004).await;

    let caller = Caller::new(grpc.address, true);
    let plain = sample(Signal::Logs, 50, 0);
    assert!(plain.len() > 996);
    let status = caller.grpc(Signal::Logs, None, framed(0, &plain)).await.status();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.get_details_retry_info().is_some());
    assert_eq!(settings.counters.failed_requests(Signal::Logs, Transport::Grpc), 1);

    drop(sender);
    assert_eq!(soon(slow).await.unwrap().code, StatusCode::OK);
    until("the budget is given back", || in_flight.used() == 0).await;
    let status = caller.grpc(Signal::Logs, None, framed(0, &plain)).await.status();
    assert_eq!(status.code(), Code::Ok);
    assert_eq!(keep.0.lock().unwrap().len(), 2);
}

/// A sender that never finishes its body is cut off, and what it held is given back.
#[tokio::test]
async fn slow_senders_are_cut_off() {
    let settings = Settings { request_timeout: Duration::from_millis(20), ..Settings::default() };
    for (wire, path, headers) in [(Wire::Grpc, grpc_path(Signal::Logs), GRPC), (Wire::Http, "/v1/logs", PROTOBUF)] {
        let receiver = receiver(wire, settings.clone(), Arc::new(Keep::default())).await;
        let caller = Caller::new(receiver.address, true);
        let (mut sender, body) = fed();
        sender.send_data(Bytes::from_static(b"\0\0\0\0\x09half")).await.unwrap();
        let answer = caller.call(request(receiver.address, path, &headers, body)).await;
        match wire {
            Wire::Grpc => assert_eq!(answer.status().code(), Code::DeadlineExceeded),
            Wire::Http => assert_eq!(answer.code, StatusCode::REQUEST_TIMEOUT),
        }
        assert_eq!(settings.in_flight.used(), 0);
    }
}

/// On shutdown the request that is being received is still taken and answered; new connections are not, and the receiver
/// ends.
#[tokio::test]
async fn shutdown_lets_requests_end() {
    for wire in [Wire::Grpc, Wire::Http] {
        let keep = Arc::new(Keep::default());
        let settings = Settings::default();
        let receiver = receiver(wire, settings.clone(), keep.clone()).await;
        let address = receiver.address;
        let plain = sample(Signal::Logs, 2, 0);
        let (path, headers, whole) = match wire {
            Wire::Grpc => (grpc_path(Signal::Logs), GRPC, framed(0, &plain)),
            Wire::Http => ("/v1/logs", PROTOBUF, plain.clone()),
        };
        let caller = Caller::new(address, wire == Wire::Grpc);
        let (mut sender, body) = fed();
        let call = tokio::spawn(async move { caller.call(request(address, path, &headers, body)).await });
        sender.send_data(whole.slice(..10)).await.unwrap();
        until("half the body is held", || settings.in_flight.used() == 10).await;

        receiver.stop.send(()).unwrap();
        let started = std::time::Instant::now();
        while TcpStream::connect(address).await.is_ok() {
            assert!(started.elapsed() < PATIENCE, "still accepts");
        }
        sender.send_data(whole.slice(10..)).await.unwrap();
        drop(sender);
        assert_eq!(soon(call).await.unwrap().code, StatusCode::OK);
        assert_eq!(keep.0.lock().unwrap()[0].plain, plain);
        soon(receiver.task).await.unwrap().unwrap();
    }
}

/// Connections that are idle, or never said a word, do not hold up the end.
#[tokio::test]
async fn shutdown_does_not_wait_for_idle_connections() {
    for wire in [Wire::Grpc, Wire::Http] {
        let settings = Settings { drain_timeout: 2 * PATIENCE, ..Settings::default() };
        let receiver = receiver(wire, settings, Arc::new(Keep::default())).await;
        let _silent = TcpStream::connect(receiver.address).await.unwrap();
        let idle = Caller::new(receiver.address, wire == Wire::Grpc);
        let answer = idle.send(wire, Signal::Logs, None, sample(Signal::Logs, 1, 0)).await;
        assert_eq!(answer.code, StatusCode::OK);
        receiver.stop.send(()).unwrap();
        soon(receiver.task).await.unwrap().unwrap();
    }
}

/// Requests that do not end within the drain timeout are cut, so that shutdown is bounded.
#[tokio::test]
async fn shutdown_is_bounded() {
    let settings = Settings { drain_timeout: Duration::from_millis(20), ..Settings::default() };
    let receiver = receiver(Wire::Http, settings.clone(), Arc::new(Keep::default())).await;
    let address = receiver.address;
    let (mut sender, body) = fed();
    let caller = Caller::new(address, true);
    let call = tokio::spawn(async move { caller.call(request(address, "/v1/logs", &PROTOBUF, body)).await });
    sender.send_data(Bytes::from_static(b"half")).await.unwrap();
    until("half the body is held", || settings.in_flight.used() == 4).await;
    receiver.stop.send(()).unwrap();
    soon(receiver.task).await.unwrap().unwrap();
    assert!(soon(call).await.is_err(), "the call was answered");
    assert_eq!(settings.in_flight.used(), 0);
}
