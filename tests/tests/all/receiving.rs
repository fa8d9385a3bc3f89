//! What the receivers take, what they refuse, and with which words and numbers.

use super::{PATIENCE, SHAPE, next, now_nanos};
use anyhow::{Result, ensure};
use bytes::Bytes;
use e2e::{
    foreshock::{Foreshock, Setup, elsewhere},
    payload,
    wire::{self, Client, Manner, Upstream},
};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
        metric::Data, number_data_point::Value as Number,
    },
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status},
};
use prost::Message;
use std::collections::BTreeSet;
use tempfile::TempDir;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
const OK: i32 = 0;
const INVALID_ARGUMENT: i32 = 3;
const RESOURCE_EXHAUSTED: i32 = 8;
const UNAVAILABLE: i32 = 14;

/// Protects every way in: HTTP with protobuf in each encoding arrives as it came, and JSON, plain and gzipped, as the
/// protobuf that says the same.
#[tokio::test(flavor = "multi_thread")]
async fn http_takes_protobuf_and_json() -> Result<()> {
    let folder = TempDir::new()?;
    let mut upstream = Upstream::start().await?;
    let foreshock = Foreshock::start(&Setup::forwarding(upstream.address), folder.path())?;
    for signal in ["metrics", "logs", "traces"] {
        let path = format!("/v1/{signal}");
        for encoding in ["identity", "gzip", "zstd"] {
            let message = payload::batch(signal, SHAPE, 3, now_nanos());
            let body = Bytes::from(wire::compress(encoding, &message)?);
            let answer = wire::post(foreshock.http, &path, &[PROTOBUF, ("content-encoding", encoding)], body).await?;
            ensure!(answer.status() == 200 && answer.body().is_empty(), "{signal} {encoding}: {answer:?}");
            ensure!(answer.headers()["content-type"] == PROTOBUF.1);
            ensure!(next(&mut upstream).await?.message == message, "{signal} {encoding}: the message changed");
        }
    }
    let json = br#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
        "scopeLogs":[{"logRecords":[{"timeUnixNano":"1700000000000000000","severityNumber":9,"body":{"stringValue":"hi"},
        "traceId":"5b8efff798038103d269b633813fc60c","fieldOfALaterVersion":1}]}]}]}"#;
    for encoding in ["identity", "gzip"] {
        let body = Bytes::from(wire::compress(encoding, json)?);
        let answer = wire::post(foreshock.http, "/v1/logs", &[JSON, ("content-encoding", encoding)], body).await?;
        ensure!(answer.status() == 200 && answer.body() == "{}", "{answer:?}");
        let taken = ExportLogsServiceRequest::decode(&*next(&mut upstream).await?.message)?;
        let record = &taken.resource_logs[0].scope_logs[0].log_records[0];
        ensure!((record.time_unix_nano, record.severity_number) == (1_700_000_000_000_000_000, 9), "{record:?}");
        ensure!(record.trace_id[..4] == [0x5b, 0x8e, 0xff, 0xf7], "{record:?}");
    }
    Ok(())
}

/// Protects memory and senders: more than the configured size, on the wire or only once decompressed, is refused with the
/// status that says "do not repeat", and a bomb never takes its size.
#[tokio::test(flavor = "multi_thread")]
async fn messages_beyond_the_limit_are_refused() -> Result<()> {
    let folder = TempDir::new()?;
    let mut upstream = Upstream::start().await?;
    let config = format!(
        "receivers:\n  otlp:\n    protocols:\n      grpc: {{ endpoint: \"127.0.0.1:0\", max_recv_msg_size_mib: 1 }}\n      \
         http: {{ endpoint: \"127.0.0.1:0\", max_recv_msg_size_mib: 1 }}\n{}exporters:\n  otlp: {{ endpoint: \"http://{}\", \
         compression: none }}\n{}",
        elsewhere(folder.path()),
        upstream.address,
        super::pipelines("otlp", "")
    );
    let foreshock = Foreshock::start_with(&config, folder.path(), &[])?;
    let mut client = Client::connect(foreshock.grpc).await?;
    let (_, before) = foreshock.program.resident_mib()?;
    let bomb = vec![0_u8; 256 << 20];
    let large = vec![0_u8; (1 << 20) + 1];
    for (encoding, message) in [("gzip", &bomb), ("zstd", &bomb), ("identity", &large)] {
        let status = client.call("logs", encoding, wire::frame(encoding, message)?).await?;
        ensure!(status.code == RESOURCE_EXHAUSTED && status.details.is_empty(), "{encoding}: {status:?}");
        let headers = [PROTOBUF, ("content-encoding", encoding)];
        let body = Bytes::from(wire::compress(encoding, message)?);
        let answer = wire::post(foreshock.http, "/v1/logs", &headers, body).await?;
        ensure!(answer.status() == 413 && !answer.headers().contains_key("retry-after"), "{encoding}: {answer:?}");
    }
    let (_, after) = foreshock.program.resident_mib()?;
    ensure!(after - before < 64.0, "bombs of 256 MiB took {} MiB", after - before);

    // Exactly the limit is taken: a request that is one unknown field, number 1, of a mebibyte less key and length.
    let mut message = vec![0xfa, 0x7c, 0xfb, 0xff, 0x3f];
    message.resize(1 << 20, 0);
    ensure!(client.send("logs", "gzip", wire::frame("gzip", &message)?).await? == OK);
    ensure!(next(&mut upstream).await?.message == message);
    Ok(())
}

/// Protects senders from repeating what can never be taken: malformed is INVALID_ARGUMENT or 400, with the field named.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_name_the_field() -> Result<()> {
    let folder = TempDir::new()?;
    let upstream = Upstream::start().await?;
    let foreshock = Foreshock::start(&Setup::forwarding(upstream.address), folder.path())?;
    let mut client = Client::connect(foreshock.grpc).await?;
    // ResourceLogs.scope_logs.log_records.time_unix_nano, cut off.
    let broken = Bytes::from_static(b"\x0a\x08\x12\x06\x12\x04\x09\x01\x02\x03");
    let status = client.call("logs", "identity", wire::frame("identity", &broken)?).await?;
    ensure!(status.code == INVALID_ARGUMENT && status.message.contains("time_unix_nano"), "{status:?}");
    let answer = wire::post(foreshock.http, "/v1/logs", &[PROTOBUF], broken).await?;
    ensure!(answer.status() == 400 && answer.headers()["content-type"] == PROTOBUF.1, "{answer:?}");
    ensure!(answer.body().windows(14).any(|window| window == b"time_unix_nano"), "{answer:?}");
    let broken = Bytes::from_static(br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":[]}]}]}]}"#);
    let answer = wire::post(foreshock.http, "/v1/logs", &[JSON], broken).await?;
    let status: serde_json::Value = serde_json::from_slice(answer.body())?;
    ensure!(answer.status() == 400 && status["code"] == INVALID_ARGUMENT, "{answer:?}");
    ensure!(status["message"].as_str().is_some_and(|text| text.contains("timeUnixNano")), "{status}");
    ensure!(foreshock.metric("foreshock_receiver_failed_logs_requests_total")? == 3.0);
    Ok(())
}

/// Protects back-pressure: a full queue is UNAVAILABLE with RetryInfo, or 503 with `Retry-After`, for every signal; nothing of
/// what was refused is kept, and what was taken arrives once the upstream is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_says_when_to_come_again() -> Result<()> {
    let folder = TempDir::new()?;
    let mut upstream = Upstream::start().await?;
    upstream.set(Manner::Refuse);
    let config = format!(
        "{}exporters:\n  otlp:\n    endpoint: http://{}\n    compression: none\n    sending_queue: {{ queue_size: 3 }}\n    \
         retry_on_failure: {{ initial_interval: 10ms, max_interval: 10ms }}\n{}",
        e2e::foreshock::preamble(folder.path()),
        upstream.address,
        super::pipelines("otlp", "")
    );
    let foreshock = Foreshock::start_with(&config, folder.path(), &[])?;
    let mut client = Client::connect(foreshock.grpc).await?;
    for sequence in 0..3 {
        let message = payload::batch("logs", SHAPE, sequence, now_nanos());
        ensure!(client.send("logs", "identity", wire::frame("identity", &message)?).await? == OK);
    }
    for signal in ["metrics", "logs", "traces"] {
        let message = payload::batch(signal, SHAPE, 99, now_nanos());
        let status = client.call(signal, "identity", wire::frame("identity", &message)?).await?;
        // google.rpc.Status with details of the type google.rpc.RetryInfo: that word in base64, wherever it begins.
        let has_retry_info =
            ["UmV0cnlJbmZv", "JldHJ5SW5mb", "SZXRyeUluZm"].iter().any(|word| status.details.contains(word));
        ensure!(status.code == UNAVAILABLE && has_retry_info, "{signal}: {status:?}");
        let answer = wire::post(foreshock.http, &format!("/v1/{signal}"), &[PROTOBUF], message.into()).await?;
        let wait = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        ensure!(answer.status() == 503 && wait.is_some_and(|wait| wait >= 1), "{signal}: {answer:?}");
    }
    ensure!(foreshock.metric("foreshock_receiver_refused_spans_total")? == 400.0);
    upstream.set(Manner::Take);
    let mut arrived = BTreeSet::new();
    while arrived.len() < 3 {
        arrived.extend(payload::sequence(&next(&mut upstream).await?.message));
    }
    ensure!(arrived == BTreeSet::from([0, 1, 2]), "{arrived:?}");
    foreshock.wait(PATIENCE, |foreshock| {
        foreshock.metric("foreshock_exporter_queue_size").is_ok_and(|waiting| waiting == 0.0)
    })?;
    ensure!(upstream.received.try_recv().is_err(), "what was refused arrived all the same");
    Ok(())
}

/// Protects requests with parts that mean nothing: metrics without points, values that are no numbers, unknown enums, times
/// of zero, empty resources. They are taken, forwarded as they are, and detection goes on.
#[tokio::test(flavor = "multi_thread")]
async fn useless_parts_never_break_a_request() -> Result<()> {
    let folder = TempDir::new()?;
    let mut upstream = Upstream::start().await?;
    let foreshock = Foreshock::start(&Setup::detecting(upstream.address), folder.path())?;
    let mut client = Client::connect(foreshock.grpc).await?;
    for (signal, message) in [("metrics", useless_metrics()), ("logs", useless_logs()), ("traces", useless_spans())] {
        for _ in 0..2 {
            ensure!(client.send(signal, "identity", wire::frame("identity", &message)?).await? == OK, "{signal}");
            ensure!(next(&mut upstream).await?.message == message, "{signal}: the message changed");
        }
        ensure!(client.send(signal, "identity", wire::frame("identity", b"")?).await? == OK, "{signal}: empty");
        ensure!(next(&mut upstream).await?.message.is_empty());
    }
    let long_ago = now_nanos() - 600_000_000_000;
    for sequence in 0..20 {
        let message = payload::batch("metrics", SHAPE, sequence, long_ago + sequence * 10_000_000_000);
        ensure!(client.send("metrics", "identity", wire::frame("identity", &message)?).await? == OK);
    }
    foreshock
        .wait(PATIENCE, |foreshock| foreshock.metric("foreshock_windows_total").is_ok_and(|windows| windows >= 40.0))
}

fn useless_metrics() -> Vec<u8> {
    let point = |value| NumberDataPoint { value, time_unix_nano: 0, ..NumberDataPoint::default() };
    let numbers = vec![
        point(Some(Number::AsDouble(f64::NAN))),
        point(Some(Number::AsDouble(f64::NEG_INFINITY))),
        point(Some(Number::AsInt(i64::MIN))),
        point(None),
        NumberDataPoint { time_unix_nano: u64::MAX, start_time_unix_nano: u64::MAX, flags: u32::MAX, ..point(None) },
    ];
    let uneven = HistogramDataPoint {
        bucket_counts: vec![u64::MAX, u64::MAX, 1],
        explicit_bounds: vec![f64::NAN, -1.0, -2.0, 7.0],
        count: u64::MAX,
        sum: Some(f64::NAN),
        ..HistogramDataPoint::default()
    };
    let metric = |name: &str, data| Metric { name: name.to_owned(), data, ..Metric::default() };
    let metrics = vec![
        metric("", None),
        metric("no.points", Some(Data::Gauge(Gauge::default()))),
        metric("numbers", Some(Data::Gauge(Gauge { data_points: numbers.clone() }))),
        metric(
            "unknown.temporality",
            Some(Data::Sum(Sum { data_points: numbers, aggregation_temporality: 77, is_monotonic: true })),
        ),
        metric("uneven", Some(Data::Histogram(Histogram { data_points: vec![uneven], aggregation_temporality: -1 }))),
    ];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }, ScopeMetrics::default()];
    ExportMetricsServiceRequest {
        resource_metrics: vec![
            ResourceMetrics { scope_metrics, ..ResourceMetrics::default() },
            ResourceMetrics::default(),
        ],
    }
    .encode_to_vec()
}

fn useless_logs() -> Vec<u8> {
    let log_records = vec![
        LogRecord::default(),
        LogRecord { severity_number: 99, trace_id: vec![1], span_id: vec![0; 100], ..LogRecord::default() },
        LogRecord { time_unix_nano: u64::MAX, severity_number: i32::MIN, ..LogRecord::default() },
    ];
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }, ScopeLogs::default()];
    let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }, ResourceLogs::default()];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

fn useless_spans() -> Vec<u8> {
    let spans = vec![
        Span::default(),
        Span {
            kind: 42,
            start_time_unix_nano: u64::MAX,
            end_time_unix_nano: 1,
            status: Some(Status { code: -7, ..Status::default() }),
            ..Span::default()
        },
    ];
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }, ScopeSpans::default()];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }, ResourceSpans::default()];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// Protects many senders at once: forty, over both protocols and in every compression, each with a connection of its own.
/// Every request arrives, and once.
#[tokio::test(flavor = "multi_thread")]
async fn many_clients_at_once() -> Result<()> {
    let folder = TempDir::new()?;
    let mut upstream = Upstream::start().await?;
    let setup = Setup { compression: "zstd".to_owned(), ..Setup::detecting(upstream.address) };
    let foreshock = Foreshock::start(&setup, folder.path())?;
    let (grpc, http) = (foreshock.grpc, foreshock.http);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..40_u64 {
        let encoding = ["identity", "gzip", "zstd"][client as usize % 3];
        clients.spawn(async move {
            let mut connection = Client::connect(grpc).await?;
            for request in 0..10 {
                let message = payload::batch("logs", SHAPE, client * 10 + request, now_nanos());
                if client % 2 == 0 {
                    ensure!(connection.send("logs", encoding, wire::frame(encoding, &message)?).await? == OK);
                } else {
                    let headers = [PROTOBUF, ("content-encoding", encoding)];
                    let body = wire::compress(encoding, &message)?.into();
                    ensure!(wire::post(http, "/v1/logs", &headers, body).await?.status() == 200);
                }
            }
            Ok(())
        });
    }
    let mut arrived = Vec::new();
    while arrived.len() < 400 {
        arrived.extend(payload::sequence(&next(&mut upstream).await?.plain(4000)?));
    }
    for done in clients.join_all().await {
        done?;
    }
    arrived.sort_unstable();
    ensure!(arrived == (0..400).collect::<Vec<u64>>(), "{arrived:?}");
    ensure!(foreshock.metric("foreshock_receiver_accepted_log_records_total")? == 400.0 * 200.0);
    Ok(())
}
