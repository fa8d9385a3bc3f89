//! Bounds, push-back, isolation between exporters, and the end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foreshock_otlp::compression::Compression;
use foreshock_otlp::export::{Exporter, ExporterHandle, Kind, NoRoom, OnFull, Verbosity};
use foreshock_otlp::receive::Settings;
use foreshock_otlp::request::Request;
use foreshock_otlp::signal::Signal;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::peer::*;

const GZIP: Option<Compression> = Some(Compression::Gzip);

fn send(exporter: &ExporterHandle, request: &Request) -> Result<(), NoRoom> {
    exporter.entrance().try_reserve(request).map(|permit| permit.send(request.clone()))
}

/// An upstream that says "later" until the switch is thrown.
async fn gated() -> (Upstream, watch::Sender<bool>) {
    let (open, is_open) = watch::channel(false);
    let upstream =
        Upstream::start(
            move |_, _| {
                if *is_open.borrow() { Reply::Ok } else { Reply::Grpc(Status::unavailable("closed")) }
            },
        )
        .await;
    (upstream, open)
}

/// A full queue pushes back to the sender with RetryInfo; the sender repeats, and in the end every request has arrived once.
#[tokio::test]
async fn full_queue_pushes_back_and_loses_nothing() {
    let (mut upstream, open) = gated().await;
    let mut settings = exporter_settings(Wire::Grpc, &upstream.url(), GZIP);
    settings.queue.queue_size = 3;
    settings.queue.num_consumers = 2;
    settings.retry.max_interval = Duration::from_millis(5);
    let exporter = Exporter::spawn(settings).unwrap();
    let receiver = receiver(Wire::Grpc, Settings::default(), Arc::new(Forward(vec![exporter.entrance()]))).await;
    let caller = Caller::new(receiver.address, true);
    let mut refused = Vec::new();
    for number in 0..10 {
        let plain = sample(Signal::Logs, 5, number);
        let status = caller.send(Wire::Grpc, Signal::Logs, GZIP, compressed(&plain, GZIP)).await.status();
        if number < 3 {
            assert_eq!(status.code(), Code::Ok);
        } else {
            assert_eq!(status.code(), Code::Unavailable);
            assert!(status.get_details_retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
            refused.push(plain);
        }
    }
    let counters = exporter.counters();
    assert_eq!((counters.queue_requests(), counters.enqueue_failed_items(Signal::Logs)), (3, 35));
    open.send(true).unwrap();
    for plain in refused {
        loop {
            let status = caller.send(Wire::Grpc, Signal::Logs, GZIP, compressed(&plain, GZIP)).await.status();
            if status.code() == Code::Ok {
                break;
            }
            assert_eq!(status.code(), Code::Unavailable);
        }
    }
    until("all sent", || counters.sent_items(Signal::Logs) == 50).await;
    assert_eq!(counters.send_failed_items(Signal::Logs), 0);
    let mut arrived = BTreeSet::new();
    while let Ok(request) = upstream.received.try_recv() {
        arrived.insert(request.plain());
    }
    assert_eq!(arrived, (0..10).map(|number| sample(Signal::Logs, 5, number)).collect());
}

/// An upstream that never answers does not hold up the exporter beside it.
#[tokio::test]
async fn slow_exporter_does_not_stall_the_other() {
    let stuck = Upstream::start(|_, _| Reply::Silence).await;
    let mut quick = Upstream::start(|_, _| Reply::Ok).await;
    let slow = exporter(Wire::Grpc, &stuck.url(), GZIP);
    let fast = exporter(Wire::Http, &quick.url(), GZIP);
    let intake = Arc::new(Forward(vec![slow.entrance(), fast.entrance()]));
    let receiver = receiver(Wire::Http, Settings::default(), intake).await;
    let caller = Caller::new(receiver.address, false);
    for number in 0..50 {
        let plain = sample(Signal::Logs, 5, number);
        caller.send(Wire::Http, Signal::Logs, GZIP, compressed(&plain, GZIP)).await;
        assert_eq!(quick.next().await.plain(), plain);
    }
    assert_eq!(slow.counters().queue_requests(), 50);
    until("the fast one is done", || fast.counters().sent_items(Signal::Logs) == 250).await;
}

/// A request that one exporter refuses reaches none, so that its repetition doubles nothing. One that drops instead lets it
/// pass to the other.
#[tokio::test]
async fn all_exporters_or_none() {
    for on_full in [OnFull::Refuse, OnFull::Drop] {
        let stuck = Upstream::start(|_, _| Reply::Silence).await;
        let mut quick = Upstream::start(|_, _| Reply::Ok).await;
        let mut settings = exporter_settings(Wire::Grpc, &stuck.url(), GZIP);
        settings.queue.queue_size = 1;
        settings.queue.on_full = on_full;
        let full = Exporter::spawn(settings).unwrap();
        let free = exporter(Wire::Grpc, &quick.url(), GZIP);
        let intake = Forward(vec![free.entrance(), full.entrance()]);
        let results: Vec<_> = (0..3)
            .map(|number| {
                use foreshock_otlp::request::Intake;
                intake.accept(received(Signal::Logs, 1, number, GZIP)).is_ok()
            })
            .collect();
        let arrives = match on_full {
            OnFull::Refuse => 1,
            OnFull::Drop => 3,
        };
        assert_eq!(results, [true, arrives == 3, arrives == 3]);
        let mut arrived = BTreeSet::new();
        for _ in 0..arrives {
            arrived.insert(quick.next().await.plain());
        }
        assert_eq!(arrived, (0..arrives).map(|number| sample(Signal::Logs, 1, number)).collect());
        until("settled", || free.counters().queue_requests() == 0).await;
        assert_eq!(free.counters().sent_items(Signal::Logs), arrives as u64);
        assert_eq!(full.counters().enqueue_failed_items(Signal::Logs), 2);
        assert_eq!(full.counters().queue_requests(), 1);
    }
}

/// Bytes are bounded too, counted as they are held: compressed where they are passed through. One request always fits.
#[tokio::test]
async fn bytes_are_bounded() {
    let stuck = Upstream::start(|_, _| Reply::Silence).await;
    let request = received(Signal::Logs, 100, 0, GZIP);
    let encoded = request.encoded.as_ref().unwrap().1.len();
    assert!(encoded * 3 < request.plain.len());
    for (compression, held) in
        [(GZIP, encoded), (None, request.plain.len()), (Some(Compression::Zstd), request.plain.len())]
    {
        for (bound, fits) in [(held * 2, 2), (held * 2 - 1, 1), (1, 1)] {
            let mut settings = exporter_settings(Wire::Grpc, &stuck.url(), compression);
            settings.queue.queue_size_bytes = bound;
            let exporter = Exporter::spawn(settings).unwrap();
            let taken = (0..3).filter(|_| send(&exporter, &request).is_ok()).count();
            assert_eq!((taken, exporter.counters().queue_bytes()), (fits, (fits * held) as u64));
        }
    }
}

/// Room that was reserved and not used is given back.
#[tokio::test]
async fn unused_permits_are_given_back() {
    let upstream = Upstream::start(|_, _| Reply::Ok).await;
    let mut settings = exporter_settings(Wire::Grpc, &upstream.url(), GZIP);
    settings.queue.queue_size = 1;
    let exporter = Exporter::spawn(settings).unwrap();
    let request = received(Signal::Logs, 1, 0, GZIP);
    let permit = exporter.entrance().try_reserve(&request).unwrap();
    assert!(matches!(exporter.entrance().try_reserve(&request), Err(NoRoom::Full { .. })));
    drop(permit);
    assert_eq!(exporter.counters().queue_bytes(), 0);
    send(&exporter, &request).unwrap();
}

/// A drain sends what is queued; afterwards the entrance is closed.
#[tokio::test]
async fn drain_sends_what_is_queued() {
    let (mut upstream, open) = gated().await;
    let mut settings = exporter_settings(Wire::Grpc, &upstream.url(), GZIP);
    // A retry would come long after the test's patience: only the drain makes it come at once.
    settings.retry.initial_interval = Duration::from_secs(100);
    let exporter = Exporter::spawn(settings).unwrap();
    let entrance = exporter.entrance();
    for number in 0..20 {
        send(&exporter, &received(Signal::Logs, 1, number, GZIP)).unwrap();
    }
    for _ in 0..10 {
        upstream.next().await;
    }
    open.send(true).unwrap();
    let leftover = soon(exporter.drain(Instant::now() + PATIENCE)).await;
    assert!(leftover.requests.is_empty());
    let mut arrived = BTreeSet::new();
    while let Ok(request) = upstream.received.try_recv() {
        arrived.insert(request.plain());
    }
    assert_eq!(arrived.len(), 20);
    let late = received(Signal::Logs, 1, 0, GZIP);
    assert!(matches!(entrance.try_reserve(&late), Err(NoRoom::Closed)));
}

/// What can't be sent by the deadline is handed back, byte for byte: queued, waiting for a retry, and on its way.
#[tokio::test]
async fn drain_hands_back_the_rest() {
    for silent in [true, false] {
        let mut upstream =
            Upstream::start(move |_, _| if silent { Reply::Silence } else { Reply::Grpc(Status::unavailable("down")) })
                .await;
        let exporter = exporter(Wire::Grpc, &upstream.url(), GZIP);
        let requests: Vec<_> =
            (0..15).map(|number| received(Signal::Logs, 2, number, [GZIP, None][number % 2])).collect();
        for request in &requests {
            send(&exporter, request).unwrap();
        }
        for _ in 0..10 {
            upstream.next().await;
        }
        let leftover = soon(exporter.drain(Instant::now() + Duration::from_millis(50))).await;
        assert_eq!(leftover.exporter, "test");
        let key =
            |request: &Request| (request.plain.clone(), request.encoded.clone().map(|(_, bytes)| bytes), request.items);
        let back: BTreeSet<(Bytes, Option<Bytes>, u64)> = leftover.requests.iter().map(key).collect();
        assert_eq!(leftover.requests.len(), 15);
        assert_eq!(back, requests.iter().map(key).collect());
    }
}

/// The debug exporter takes everything and keeps nothing.
#[tokio::test]
async fn debug_exporter_takes_all() {
    for verbosity in [Verbosity::Basic, Verbosity::Detailed] {
        let settings = foreshock_otlp::export::ExporterSettings::new("debug", Kind::Debug(verbosity));
        let exporter = Exporter::spawn(settings).unwrap();
        send(&exporter, &received(Signal::Metrics, 4, 0, GZIP)).unwrap();
        let counters = exporter.counters();
        assert!(soon(exporter.drain(Instant::now() + PATIENCE)).await.requests.is_empty());
        assert_eq!(counters.sent_items(Signal::Metrics), 4);
    }
}
