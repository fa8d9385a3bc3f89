//! Interoperability: real programs of other projects before and behind Foreshock. What needs no such program belongs in
//! `promises.rs`.

use super::{PATIENCE, repository};
use anyhow::{Context, Result, ensure};
use e2e::{
    foreshock::{Foreshock, Setup},
    process::{self, Program},
    wire::{Received, Upstream},
};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use prost::Message;
use std::{collections::BTreeMap, net::SocketAddr, process::Command, time::Duration};
use tempfile::TempDir;

const LARGEST: u64 = 64 << 20;

/// Items by signal in what an upstream got, without what Foreshock says itself.
fn count(received: &Received, counts: &mut BTreeMap<&'static str, usize>) -> Result<()> {
    let plain = received.plain(LARGEST)?;
    let (signal, items) = if received.path.contains(".metrics.") {
        let request = ExportMetricsServiceRequest::decode(&*plain)?;
        let metrics = request
            .resource_metrics
            .iter()
            .flat_map(|resource| &resource.scope_metrics)
            .flat_map(|scope| &scope.metrics);
        ("metrics", metrics.count())
    } else if received.path.contains(".logs.") {
        let request = ExportLogsServiceRequest::decode(&*plain)?;
        let scopes = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
        let foreign = scopes.filter(|scope| scope.scope.as_ref().is_none_or(|scope| scope.name != "foreshock"));
        ("logs", foreign.map(|scope| scope.log_records.len()).sum())
    } else {
        let request = ExportTraceServiceRequest::decode(&*plain)?;
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        let foreign = scopes.filter(|scope| scope.scope.as_ref().is_none_or(|scope| scope.name != "foreshock"));
        ("traces", foreign.map(|scope| scope.spans.len()).sum())
    };
    *counts.entry(signal).or_default() += items;
    Ok(())
}

/// Reads the upstream until it has `items` of a signal, or patience ends.
async fn wait_for_items(
    upstream: &mut Upstream,
    counts: &mut BTreeMap<&'static str, usize>,
    signal: &str,
    items: usize,
) -> Result<()> {
    while counts.get(signal).copied().unwrap_or(0) < items {
        let received = tokio::time::timeout(PATIENCE, upstream.received.recv())
            .await
            .with_context(|| format!("waiting for {items} {signal}, got {counts:?}"))?
            .context("the upstream ended")?;
        count(&received, counts)?;
    }
    Ok(())
}

fn collector(file: &str, grpc: SocketAddr, variables: &[(&str, SocketAddr)]) -> Result<Option<Program>> {
    let Some(path) = process::peer("FORESHOCK_PEER_COLLECTOR")? else { return Ok(None) };
    let mut command = Command::new(path);
    command.arg("--config").arg(repository().join("otel-config").join(file));
    command.env("COLLECTOR_GRPC", grpc.to_string()).env("COLLECTOR_HTTP", process::free_address()?.to_string());
    command.envs(variables.iter().map(|(name, address)| (*name, address.to_string())));
    let mut program = Program::start(file, &mut command)?;
    program.wait_for_port(grpc, PATIENCE)?;
    Ok(Some(program))
}

/// Protects the pairing with the Collector on both sides: what the project's own generator sends through
/// Collector, Foreshock and Collector arrives in full, with the files of `otel-config/` as they are.
#[tokio::test(flavor = "multi_thread")]
async fn telemetry_passes_collector_foreshock_collector_in_full() -> Result<()> {
    let Some(telemetrygen) = process::peer("FORESHOCK_PEER_TELEMETRYGEN")? else { return Ok(()) };
    let folder = TempDir::new()?;
    let mut upstream = Upstream::start().await?;
    let after = process::free_address()?;
    let Some(_after) = collector("collector-after.yaml", after, &[("BACKEND_GRPC", upstream.address)])? else {
        return Ok(());
    };
    let foreshock =
        Foreshock::start(&Setup { compression: "gzip".to_owned(), ..Setup::detecting(after) }, folder.path())?;
    let before = process::free_address()?;
    let Some(_before) = collector("collector-before.yaml", before, &[("FORESHOCK_GRPC", foreshock.grpc)])? else {
        return Ok(());
    };

    let mut counts = BTreeMap::new();
    for (signal, option) in [("logs", "--logs"), ("metrics", "--metrics"), ("traces", "--traces")] {
        let status = Command::new(&telemetrygen)
            .args([
                signal,
                "--otlp-insecure",
                "--otlp-endpoint",
                &before.to_string(),
                option,
                "500",
                "--workers",
                "1",
                "--rate",
                "0",
            ])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()?;
        ensure!(status.success(), "telemetrygen {signal} ended with {status}");
        // telemetrygen's trace is two spans.
        let items = if signal == "traces" { 1000 } else { 500 };
        wait_for_items(&mut upstream, &mut counts, signal, items).await?;
    }
    ensure!(counts == BTreeMap::from([("logs", 500), ("metrics", 500), ("traces", 1000)]), "{counts:?}");
    Ok(())
}

/// Sends 300 spans, 300 log records and some metrics by the SDK of another language, over gRPC and over HTTP, and sees that
/// nothing is lost or refused.
async fn sdk_sends_through_foreshock(command: impl Fn() -> Command) -> Result<()> {
    let folder = TempDir::new()?;
    let mut upstream = Upstream::start().await?;
    let foreshock = Foreshock::start(&Setup::detecting(upstream.address), folder.path())?;
    for (protocol, endpoint) in [("grpc", foreshock.grpc), ("http", foreshock.http)] {
        let endpoint = format!("http://{endpoint}");
        let output = command().args([protocol, &endpoint, "300"]).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && said.contains("flushed"), "{protocol}: {said}");
        let mut counts = BTreeMap::new();
        wait_for_items(&mut upstream, &mut counts, "traces", 300).await?;
        wait_for_items(&mut upstream, &mut counts, "logs", 300).await?;
        wait_for_items(&mut upstream, &mut counts, "metrics", 2).await?;
        ensure!(counts["traces"] == 300 && counts["logs"] == 300, "{protocol}: {counts:?}");
    }
    ensure!(foreshock.metric("foreshock_receiver_refused_spans_total")? == 0.0);
    Ok(())
}

/// Protects what applications in Python do: gRPC, and HTTP with protobuf and gzip.
#[tokio::test(flavor = "multi_thread")]
async fn python_sdk_sends_through_foreshock() -> Result<()> {
    let Some(python) = process::peer("FORESHOCK_PEER_PYTHON")? else { return Ok(()) };
    sdk_sends_through_foreshock(|| {
        let mut command = Command::new(&python);
        command.arg(repository().join("tests/peers/client.py"));
        command
    })
    .await
}

/// Protects what applications in JavaScript do: gRPC with gzip, and HTTP with JSON and gzip.
#[tokio::test(flavor = "multi_thread")]
async fn node_sdk_sends_through_foreshock() -> Result<()> {
    let Some(folder) = process::peer("FORESHOCK_PEER_NODE")? else { return Ok(()) };
    sdk_sends_through_foreshock(|| {
        let mut command = Command::new("node");
        command.arg(folder.join("client.mjs"));
        command
    })
    .await
}

/// Protects the shape of incident traces: a real trace backend takes those of the recorded TrainTicket faults, and shows
/// each as one tree with a root span `incident` and services and anomalies below it.
#[test]
fn jaeger_shows_incidents_as_traces() -> Result<()> {
    let Some(jaeger) = process::peer("FORESHOCK_PEER_JAEGER")? else { return Ok(()) };
    let (otlp, query) = (process::free_address()?, process::free_address()?);
    let mut command = Command::new(jaeger);
    command
        .arg(format!("--collector.otlp.grpc.host-port={}", process::free_address()?))
        .arg(format!("--collector.otlp.http.host-port={otlp}"))
        .arg(format!("--collector.grpc-server.host-port={}", process::free_address()?))
        .arg(format!("--collector.http-server.host-port={}", process::free_address()?))
        .arg(format!("--query.http-server.host-port={query}"))
        .arg(format!("--query.grpc-server.host-port={}", process::free_address()?))
        .arg(format!("--admin.http.host-port={}", process::free_address()?))
        .env("SPAN_STORAGE_TYPE", "memory");
    let mut jaeger = Program::start("jaeger", &mut command)?;
    jaeger.wait_for_port(otlp, PATIENCE)?;
    jaeger.wait_for_port(query, PATIENCE)?;

    let folder = TempDir::new()?;
    let events = folder.path().join("events.jsonl");
    let replay = Command::new(process::foreshock()?)
        .args(["replay", "--input"])
        .arg(repository().join("examples/recordings/trainticket"))
        .arg("--output")
        .arg(&events)
        .output()?;
    ensure!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
    let events = std::fs::read_to_string(events)?;
    let traces: Vec<&str> = events.lines().filter(|line| line.contains("\"resourceSpans\"")).collect();
    ensure!(!traces.is_empty(), "no incident of the recording was closed");
    for line in traces {
        process::http_post_json(otlp, "/v1/traces", line)?;
        let sent: serde_json::Value = serde_json::from_str(line)?;
        let id = sent["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"].as_str().context("no trace id")?;
        let spans = spans_in_jaeger(query, id)?;
        let is_child = |span: &&serde_json::Value| {
            span["references"].as_array().is_some_and(|all| all.iter().any(|one| one["refType"] == "CHILD_OF"))
        };
        let roots: Vec<_> = spans.iter().filter(|span| !is_child(span)).collect();
        ensure!(roots.len() == 1 && roots[0]["operationName"] == "incident", "{roots:?}");
        ensure!(spans.len() >= 3, "an incident has a service and an anomaly below its root: {spans:?}");
    }
    Ok(())
}

/// The spans of a trace, once Jaeger has it.
fn spans_in_jaeger(query: SocketAddr, trace: &str) -> Result<Vec<serde_json::Value>> {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let found = process::http_get(query, &format!("/api/traces/{trace}"));
        let found: serde_json::Value = serde_json::from_str(found.as_deref().unwrap_or("null"))?;
        if let Some(spans) = found["data"][0]["spans"].as_array() {
            return Ok(spans.clone());
        }
        ensure!(std::time::Instant::now() < deadline, "Jaeger does not show trace {trace}: {found}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Protects the files that people copy: the Collector accepts each of them.
#[test]
fn collector_accepts_the_files_of_otel_config() -> Result<()> {
    let Some(path) = process::peer("FORESHOCK_PEER_COLLECTOR")? else { return Ok(()) };
    for file in ["collector-before.yaml", "collector-after.yaml"] {
        let output = Command::new(&path)
            .args(["validate", "--config"])
            .arg(repository().join("otel-config").join(file))
            .output()?;
        ensure!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
