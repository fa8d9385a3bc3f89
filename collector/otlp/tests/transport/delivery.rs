//! What an exporter makes of what its upstream answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foreshock_otlp::authorization::Authorization;
use foreshock_otlp::compression::Compression;
use foreshock_otlp::export::{Exporter, ExporterHandle, ExporterSettings, Kind};
use foreshock_otlp::signal::Signal;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::peer::*;

const GZIP: Option<Compression> = Some(Compression::Gzip);
const BOTH: [Wire; 2] = [Wire::Grpc, Wire::Http];

fn send(exporter: &ExporterHandle, number: usize) {
    let request = received(Signal::Logs, 10, number, GZIP);
    exporter.entrance().try_reserve(&request).unwrap().send(request);
}

async fn settled(exporter: &ExporterHandle) {
    let counters = exporter.counters();
    until("the queue is empty", || counters.queue_requests() == 0).await;
    assert_eq!(counters.queue_bytes(), 0);
}

fn encoded(request: &Recorded) -> bool {
    request.encoding().is_some()
}

/// An upstream without the compression gets the plain bytes, at once and from then on.
#[tokio::test]
async fn upstream_without_the_compression() {
    for wire in BOTH {
        let mut upstream = Upstream::start(move |request, _| match (encoded(request), wire) {
            (false, _) => Reply::Ok,
            (true, Wire::Grpc) => Reply::Grpc(Status::unimplemented("no decompressor")),
            (true, Wire::Http) => Reply::Http(415, vec![]),
        })
        .await;
        let exporter = exporter(wire, &upstream.url(), GZIP);
        send(&exporter, 0);
        assert!(encoded(&upstream.next().await));
        let plain = upstream.next().await;
        assert_eq!((plain.encoding(), plain.message()), (None, sample(Signal::Logs, 10, 0)));
        settled(&exporter).await;
        send(&exporter, 1);
        let plain = upstream.next().await;
        assert_eq!((plain.encoding(), plain.message()), (None, sample(Signal::Logs, 10, 1)));
        settled(&exporter).await;
        assert_eq!(exporter.counters().sent_items(Signal::Logs), 20);
        assert_eq!(exporter.counters().send_failed_items(Signal::Logs), 0);
    }
}

/// A method that is not there at all is a permanent failure, and says nothing about the upstream's compressions.
#[tokio::test]
async fn upstream_without_the_method() {
    let missing = Arc::new(AtomicBool::new(true));
    let is_missing = Arc::clone(&missing);
    let mut upstream = Upstream::start(move |_, _| {
        if is_missing.load(Ordering::SeqCst) { Reply::Grpc(Status::unimplemented("no such method")) } else { Reply::Ok }
    })
    .await;
    let exporter = exporter(Wire::Grpc, &upstream.url(), GZIP);
    send(&exporter, 0);
    assert!(encoded(&upstream.next().await));
    assert!(!encoded(&upstream.next().await));
    settled(&exporter).await;
    assert_eq!(exporter.counters().send_failed_items(Signal::Logs), 10);
    missing.store(false, Ordering::SeqCst);
    send(&exporter, 1);
    assert!(encoded(&upstream.next().await));
}

/// Retryable answers are retried until the request is taken; it is the same request each time.
#[tokio::test]
async fn retryable_answers_are_retried() {
    for wire in BOTH {
        let mut upstream = Upstream::start(move |_, number| match (number, wire) {
            (0 | 1, Wire::Grpc) => Reply::Grpc(Status::unavailable("later")),
            (0, Wire::Http) => Reply::Http(503, vec![]),
            (1, Wire::Http) => Reply::Http(429, vec![]),
            _ => Reply::Ok,
        })
        .await;
        let exporter = exporter(wire, &upstream.url(), GZIP);
        send(&exporter, 0);
        for _ in 0..3 {
            assert_eq!(upstream.next().await.plain(), sample(Signal::Logs, 10, 0));
        }
        settled(&exporter).await;
        let counters = exporter.counters();
        assert_eq!((counters.sent_items(Signal::Logs), counters.retries()), (10, 2));
    }
}

/// An upstream's wish is honoured although the own back-off would be shorter.
#[tokio::test]
async fn wishes_are_honoured() {
    let wish = Duration::from_millis(300);
    let status =
        Status::with_error_details(Code::ResourceExhausted, "slow down", ErrorDetails::with_retry_info(Some(wish)));
    let first = move |number, reply| if number == 0 { reply } else { Reply::Ok };
    let grpc = Upstream::start(move |_, number| first(number, Reply::Grpc(status.clone()))).await;
    let http = Upstream::start(move |_, number| first(number, Reply::Http(429, vec![("retry-after", "1")]))).await;
    for (wire, mut upstream, wish) in [(Wire::Grpc, grpc, wish), (Wire::Http, http, Duration::from_secs(1))] {
        let exporter = exporter(wire, &upstream.url(), GZIP);
        send(&exporter, 0);
        upstream.next().await;
        let refused = Instant::now();
        upstream.next().await;
        // The upstream records before it answers; the wait begins after.
        assert!(refused.elapsed() >= wish, "{:?}", refused.elapsed());
    }
}

/// What will never be taken is counted as failed and not sent again, and the next request is not held up.
#[tokio::test]
async fn permanent_failures_are_counted() {
    for wire in BOTH {
        let mut upstream = Upstream::start(move |_, number| match (number, wire) {
            (0, Wire::Grpc) => Reply::Grpc(Status::resource_exhausted("too large")),
            (0, Wire::Http) => Reply::Http(400, vec![]),
            _ => Reply::Ok,
        })
        .await;
        let exporter = exporter(wire, &upstream.url(), GZIP);
        send(&exporter, 0);
        assert_eq!(upstream.next().await.plain(), sample(Signal::Logs, 10, 0));
        settled(&exporter).await;
        send(&exporter, 1);
        assert_eq!(upstream.next().await.plain(), sample(Signal::Logs, 10, 1));
        settled(&exporter).await;
        let counters = exporter.counters();
        assert_eq!((counters.sent_items(Signal::Logs), counters.send_failed_items(Signal::Logs)), (10, 10));
    }
}

/// A partial success counts the rejected items as failed, and no more than there were.
#[tokio::test]
async fn partial_success_is_counted() {
    for wire in BOTH {
        // partial_success(1) { rejected(1): 3 }, then { rejected: 99 }.
        let upstream = Upstream::start(|_, number| {
            Reply::Message(if number == 0 { b"\x0a\x02\x08\x03" } else { b"\x0a\x02\x08\x63" })
        })
        .await;
        let exporter = exporter(wire, &upstream.url(), GZIP);
        let counters = exporter.counters();
        send(&exporter, 0);
        settled(&exporter).await;
        assert_eq!((counters.sent_items(Signal::Logs), counters.send_failed_items(Signal::Logs)), (7, 3));
        send(&exporter, 1);
        settled(&exporter).await;
        assert_eq!((counters.sent_items(Signal::Logs), counters.send_failed_items(Signal::Logs)), (7, 13));
    }
}

/// A request is given up when its time is over, and counted; one whose exporter does not retry at once.
#[tokio::test]
async fn requests_are_given_up() {
    for (enabled, attempts) in [(true, 2), (false, 1)] {
        let mut upstream = Upstream::start(|_, _| Reply::Grpc(Status::unavailable("never"))).await;
        let mut settings = exporter_settings(Wire::Grpc, &upstream.url(), GZIP);
        settings.retry.enabled = enabled;
        settings.retry.max_elapsed_time = Duration::from_millis(100);
        settings.retry.initial_interval = Duration::from_millis(10);
        let exporter = Exporter::spawn(settings).unwrap();
        send(&exporter, 0);
        for _ in 0..attempts {
            upstream.next().await;
        }
        settled(&exporter).await;
        let counters = exporter.counters();
        assert_eq!((counters.sent_items(Signal::Logs), counters.send_failed_items(Signal::Logs)), (0, 10));
        assert_eq!(counters.retries() > 0, enabled);
    }
}

/// An attempt without an answer ends by the timeout and is retried; so is one whose upstream is not there yet.
#[tokio::test]
async fn silence_is_retried() {
    for wire in BOTH {
        let mut upstream = Upstream::start(|_, number| if number == 0 { Reply::Silence } else { Reply::Ok }).await;
        let mut settings = exporter_settings(wire, &upstream.url(), GZIP);
        let (Kind::Otlp(client) | Kind::OtlpHttp(client)) = &mut settings.kind else {
            panic!("no client");
        };
        client.timeout = Duration::from_millis(200);
        let exporter = Exporter::spawn(settings).unwrap();
        send(&exporter, 0);
        for _ in 0..2 {
            upstream.next().await;
        }
        settled(&exporter).await;
        assert_eq!(exporter.counters().sent_items(Signal::Logs), 10);
    }
}

/// Configured headers and credentials, gRPC's own and the user agent are on the wire.
#[tokio::test]
async fn headers_are_sent() {
    for wire in BOTH {
        let mut upstream = Upstream::start(|_, _| Reply::Ok).await;
        let mut settings: ExporterSettings = exporter_settings(wire, &upstream.url(), GZIP);
        let (Kind::Otlp(client) | Kind::OtlpHttp(client)) = &mut settings.kind else {
            panic!("no client");
        };
        client.headers = vec![("X-Tenant".to_owned(), "shop".to_owned())];
        client.authorization = Some(Authorization::Bearer("s3cret".to_owned()));
        let exporter = Exporter::spawn(settings).unwrap();
        send(&exporter, 0);
        let headers = upstream.next().await.headers;
        assert_eq!(headers["x-tenant"], "shop");
        assert_eq!(headers["authorization"], "Bearer s3cret");
        assert!(headers["user-agent"].to_str().unwrap().starts_with("foreshock/"));
        match wire {
            Wire::Grpc => {
                assert_eq!(
                    (&headers["content-type"], &headers["te"]),
                    (&"application/grpc".parse().unwrap(), &"trailers".parse().unwrap())
                );
                assert_eq!(headers["grpc-timeout"], "30000m");
            }
            Wire::Http => assert_eq!(headers["content-type"], "application/x-protobuf"),
        }
    }
}
