//! What the hop costs for a request of 1,000 log records: compression in, compression out.
//!
//! One thread runs a client, the receiver, the exporter and an upstream that throws everything away, over loopback: the time
//! of an iteration is nearly the CPU time of all four. Compression happens on a blocking thread and is waited for.

#![expect(clippy::unwrap_used, reason = "a bench that fails may panic")]

#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../tests/transport/peer.rs"]
mod peer;

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use foreshock_otlp::compression::Compression;
use foreshock_otlp::receive::Settings;
use foreshock_otlp::signal::Signal;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use peer::{Caller, Forward, Reply, Upstream, Wire, compressed, exporter, receiver, sample};
use prost::Message;

const RECORDS: usize = 1000;
const WAYS: [(Option<Compression>, Option<Compression>); 5] = [
    (None, None),
    (Some(Compression::Gzip), Some(Compression::Gzip)),
    (Some(Compression::Zstd), Some(Compression::Zstd)),
    (Some(Compression::Gzip), Some(Compression::Zstd)),
    (Some(Compression::Zstd), Some(Compression::Gzip)),
];

/// Records that differ as real ones do: ids, times, durations, a few routes.
fn logs() -> Bytes {
    let mut request = ExportLogsServiceRequest::decode(sample(Signal::Logs, 0, 0)).unwrap();
    let text = |text: String| Some(AnyValue { value: Some(any_value::Value::StringValue(text)) });
    let attribute =
        |key: &str, value: String| KeyValue { key: key.to_owned(), value: text(value), ..KeyValue::default() };
    let record = |number: u64| {
        let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let id = [noise.to_le_bytes(), noise.rotate_left(17).to_be_bytes()].concat();
        LogRecord {
            time_unix_nano: 1_795_000_000_000_000_000 + number * 1_234_567,
            severity_number: 9,
            body: text(format!("GET /api/cart/{} took {} ms for user {}", number % 7, noise % 900, noise % 10_007)),
            attributes: vec![
                attribute("http.route", format!("/api/cart/{}", number % 7)),
                attribute("http.response.status_code", format!("{}", 200 + noise % 5)),
                attribute("thread.name", format!("worker-{}", noise % 16)),
                attribute("user.id", format!("{:08x}", noise as u32)),
            ],
            span_id: id[..8].to_vec(),
            trace_id: id,
            ..LogRecord::default()
        }
    };
    request.resource_logs[0].scope_logs[0].log_records = (0..RECORDS as u64).map(record).collect();
    request.encode_to_vec().into()
}

fn forward(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let plain = logs();
    let mut group = criterion.benchmark_group("forward 1000 log records");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for (incoming, outgoing) in WAYS {
        let name = |compression: Option<Compression>| compression.map_or("none", Compression::name);
        let id = BenchmarkId::from_parameter(format!("{} to {}", name(incoming), name(outgoing)));
        let mut way = None;
        group.bench_function(id, |bencher| {
            let (upstream, _exporter, _receiver, caller, bytes) = way.get_or_insert_with(|| {
                runtime.block_on(async {
                    let upstream = Upstream::start(|_, _| Reply::Ok).await;
                    let exporter = exporter(Wire::Grpc, &upstream.url(), outgoing);
                    let intake = Arc::new(Forward(vec![exporter.entrance()]));
                    let receiver = receiver(Wire::Grpc, Settings::default(), intake).await;
                    let caller = Caller::new(receiver.address, true);
                    (upstream, exporter, receiver, caller, compressed(&plain, incoming))
                })
            });
            bencher.iter(|| {
                runtime.block_on(async {
                    let answer = caller.send(Wire::Grpc, Signal::Logs, incoming, bytes.clone()).await;
                    black_box((answer, upstream.next().await));
                });
            });
        });
    }
    group.finish();
}

/// The same without sockets: what compression alone costs, and what it saves.
fn compress(criterion: &mut Criterion) {
    let plain = logs();
    let mut group = criterion.benchmark_group("compress 1000 log records");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for compression in [Compression::Gzip, Compression::Zstd] {
        let bytes = compressed(&plain, Some(compression));
        let id = BenchmarkId::from_parameter(format!("{compression} ({} to {} bytes)", plain.len(), bytes.len()));
        group.bench_function(id, |bencher| bencher.iter(|| compression.compress(black_box(&plain)).unwrap()));
    }
    group.finish();
}

criterion_group!(benches, forward, compress);
criterion_main!(benches);
