//! The bytes that came in are the bytes that go out.

use std::collections::BTreeSet;
use std::sync::Arc;

use foreshock_otlp::compression::Compression;
use foreshock_otlp::receive::{Settings, Transport};
use foreshock_otlp::signal::Signal;
use http::StatusCode;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use tonic::codec::CompressionEncoding;

use crate::peer::*;

const COMPRESSIONS: [Option<Compression>; 3] = [None, Some(Compression::Gzip), Some(Compression::Zstd)];

/// Every way in, every way out, all signals: unknown fields survive, and compressed bytes are passed through as they came
/// where both sides agree.
#[tokio::test]
async fn every_way_through_keeps_the_bytes() {
    for in_wire in [Wire::Grpc, Wire::Http] {
        for out_wire in [Wire::Grpc, Wire::Http] {
            for out_compression in COMPRESSIONS {
                let mut upstream = Upstream::start(|_, _| Reply::Ok).await;
                let exporter = exporter(out_wire, &upstream.url(), out_compression);
                let intake = Arc::new(Forward(vec![exporter.entrance()]));
                let receiver = receiver(in_wire, Settings::default(), intake).await;
                let caller = Caller::new(receiver.address, in_wire == Wire::Grpc);
                for signal in Signal::ALL {
                    for in_compression in COMPRESSIONS {
                        let plain = sample(signal, 200, 7);
                        let bytes = compressed(&plain, in_compression);
                        let answer = caller.send(in_wire, signal, in_compression, bytes.clone()).await;
                        assert_eq!(answer.code, StatusCode::OK);
                        let recorded = upstream.next().await;
                        assert_eq!(recorded.encoding(), out_compression);
                        assert_eq!(recorded.plain(), plain);
                        if in_compression == out_compression {
                            assert_eq!(recorded.message(), bytes);
                        }
                        let path = match out_wire {
                            Wire::Grpc => grpc_path(signal).to_owned(),
                            Wire::Http => format!("/v1/{signal}"),
                        };
                        assert_eq!(recorded.path, path);
                    }
                }
            }
        }
    }
}

/// tonic's own clients are served, with every compression, and what they sent arrives.
#[tokio::test]
async fn tonic_clients_are_served() {
    let mut upstream = Upstream::start(|_, _| Reply::Ok).await;
    let exporter = exporter(Wire::Grpc, &upstream.url(), Some(Compression::Zstd));
    let intake = Arc::new(Forward(vec![exporter.entrance()]));
    let receiver = receiver(Wire::Grpc, Settings::default(), intake).await;
    let url = format!("http://{}", receiver.address);
    let channel = tonic::transport::Endpoint::new(url).unwrap().connect().await.unwrap();
    for encoding in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        let mut metrics = MetricsServiceClient::new(channel.clone());
        let mut logs = LogsServiceClient::new(channel.clone());
        let mut traces = TraceServiceClient::new(channel.clone());
        if let Some(encoding) = encoding {
            metrics = metrics.send_compressed(encoding);
            logs = logs.send_compressed(encoding);
            traces = traces.send_compressed(encoding);
        }
        let request = ExportMetricsServiceRequest::decode(sample(Signal::Metrics, 10, 0)).unwrap();
        let response = soon(metrics.export(request.clone())).await.unwrap().into_inner();
        assert!(response.partial_success.is_none());
        assert_eq!(ExportMetricsServiceRequest::decode(upstream.next().await.plain()).unwrap(), request);

        let request = ExportLogsServiceRequest::decode(sample(Signal::Logs, 10, 0)).unwrap();
        soon(logs.export(request.clone())).await.unwrap();
        assert_eq!(ExportLogsServiceRequest::decode(upstream.next().await.plain()).unwrap(), request);

        let request = ExportTraceServiceRequest::decode(sample(Signal::Traces, 10, 0)).unwrap();
        soon(traces.export(request.clone())).await.unwrap();
        assert_eq!(ExportTraceServiceRequest::decode(upstream.next().await.plain()).unwrap(), request);
    }
}

/// A hundred clients at once, each with a connection of its own: every request arrives once, and the counters agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_clients_at_once() {
    let mut upstream = Upstream::start(|_, _| Reply::Ok).await;
    let exporter = exporter(Wire::Grpc, &upstream.url(), Some(Compression::Gzip));
    let settings = Settings::default();
    let counters = Arc::clone(&settings.counters);
    let intake = Arc::new(Forward(vec![exporter.entrance()]));
    let grpc = receiver(Wire::Grpc, settings.clone(), intake.clone()).await;
    let http = receiver(Wire::Http, settings, intake).await;
    let mut clients = tokio::task::JoinSet::new();
    let mut expected = BTreeSet::new();
    for client in 0..100 {
        let wire = if client % 2 == 0 { Wire::Grpc } else { Wire::Http };
        let address = if client % 2 == 0 { grpc.address } else { http.address };
        let compression = COMPRESSIONS[client % 3];
        let requests: Vec<_> = (0..5).map(|n| sample(Signal::Logs, 20, client * 5 + n)).collect();
        expected.extend(requests.iter().cloned());
        clients.spawn(async move {
            let caller = Caller::new(address, wire == Wire::Grpc);
            for plain in requests {
                let answer = caller.send(wire, Signal::Logs, compression, compressed(&plain, compression)).await;
                assert_eq!(answer.code, StatusCode::OK);
            }
        });
    }
    soon(clients.join_all()).await;
    let mut arrived = BTreeSet::new();
    for _ in 0..500 {
        assert!(arrived.insert(upstream.next().await.plain()), "arrived twice");
    }
    assert_eq!(arrived, expected);
    for transport in Transport::ALL {
        assert_eq!(counters.accepted_items(Signal::Logs, transport), 250 * 20);
        assert_eq!(counters.failed_requests(Signal::Logs, transport), 0);
    }
    until("counted", || exporter.counters().sent_items(Signal::Logs) == 500 * 20).await;
    assert_eq!(exporter.counters().queue_bytes(), 0);
}
