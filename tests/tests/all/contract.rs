//! Names and shapes that others rely on: events, attributes, incident traces, metrics, ports, commands.

use super::{SHAPE, next, now_nanos, repository};
use anyhow::{Context, Result, ensure};
use e2e::{
    foreshock::{Foreshock, Setup},
    payload, process,
    wire::{self, Client, Upstream},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};
use tempfile::TempDir;

const EVENTS: [&str; 12] = [
    "foreshock.anomaly.detected",
    "foreshock.anomaly.updated",
    "foreshock.anomaly.ended",
    "foreshock.incident.opened",
    "foreshock.incident.updated",
    "foreshock.incident.acknowledged",
    "foreshock.incident.merged",
    "foreshock.incident.reopened",
    "foreshock.incident.resolved",
    "foreshock.prediction.raised",
    "foreshock.prediction.cleared",
    "foreshock.detector.health",
];

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

/// Attributes by key; an integer, which OTLP writes as text, is text here too.
fn attributes(of: &Value) -> BTreeMap<String, Value> {
    let pairs = list(of, "attributes").filter_map(|attribute| {
        let value = attribute["value"].as_object()?.values().next()?.clone();
        Some((attribute["key"].as_str()?.to_owned(), value))
    });
    pairs.collect()
}

/// What the recorded shop gives: records and spans, each with its resource's attributes.
struct Given {
    records: Vec<(BTreeMap<String, Value>, Value)>,
    spans: Vec<(BTreeMap<String, Value>, Value)>,
}

fn replay() -> Result<Given> {
    let folder = TempDir::new()?;
    let output = folder.path().join("events.jsonl");
    let ended = Command::new(process::foreshock()?)
        .args(["replay", "--config"])
        .arg(repository().join("otel-config/foreshock.yaml"))
        .arg("--input")
        .arg(repository().join("examples/recordings/trainticket"))
        .arg("--output")
        .arg(&output)
        .output()?;
    ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let mut given = Given { records: Vec::new(), spans: Vec::new() };
    for line in std::fs::read_to_string(&output)?.lines() {
        let value: Value = serde_json::from_str(line)?;
        for (resources, scopes, items, into) in [
            ("resourceLogs", "scopeLogs", "logRecords", &mut given.records),
            ("resourceSpans", "scopeSpans", "spans", &mut given.spans),
        ] {
            for resource in list(&value, resources) {
                for scope in list(resource, scopes) {
                    ensure!(scope["scope"]["name"] == "foreshock", "another scope: {scope}");
                    into.extend(list(scope, items).map(|item| (attributes(&resource["resource"]), item.clone())));
                }
            }
        }
    }
    Ok(given)
}

/// Protects those who read events: names, severities, times, flat attributes and resources are as documented, and every event of
/// an incident carries the incident's trace and root span.
#[test]
fn events_have_the_documented_shape() -> Result<()> {
    let given = replay()?;
    let mut names = BTreeSet::new();
    let mut roots: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for (resource, record) in &given.records {
        let name = record["eventName"].as_str().context("no event name")?;
        ensure!(EVENTS.contains(&name), "unknown event {name}");
        names.insert(name);
        let of = attributes(record);
        let has = |key: &str| of.get(key).with_context(|| format!("{key} is missing: {record}"));
        ensure!(record["body"]["stringValue"].as_str().is_some_and(|body| body.split(' ').count() >= 4), "{record}");
        ensure!(record["timeUnixNano"].as_str().is_some_and(|time| time.len() == 19), "{record}");
        ensure!(list(record, "attributes").all(|one| one["value"].get("kvlistValue").is_none()), "nested: {record}");
        let severity = |word: &Value| match word.as_str() {
            Some("info") => Some(9),
            Some("warning") => Some(13),
            Some("error") => Some(17),
            Some("critical") => Some(21),
            _ => None,
        };
        if name.starts_with("foreshock.anomaly.") {
            for key in ["id", "kind", "score", "severity", "observed", "expected"] {
                has(&format!("foreshock.anomaly.{key}"))?;
            }
            for key in ["series.name", "series.unit", "series.attributes", "detector.name", "detector.version"] {
                has(&format!("foreshock.{key}"))?;
            }
            ensure!(record["severityNumber"].as_i64() == severity(has("foreshock.anomaly.severity")?), "{record}");
            let digest = has("foreshock.detector.digest")?.as_str().unwrap_or_default();
            ensure!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{record}");
            ensure!(resource.get("service.name").is_some_and(|service| service != "foreshock"), "{resource:?}");
        }
        if name.starts_with("foreshock.incident.") {
            for key in ["id", "state", "severity", "title", "services", "anomaly_count"] {
                has(&format!("foreshock.incident.{key}"))?;
            }
            for key in ["root_cause.service", "root_cause.summary", "blast_radius.services"] {
                has(&format!("foreshock.incident.{key}"))?;
            }
            ensure!(record["severityNumber"].as_i64() == severity(has("foreshock.incident.severity")?), "{record}");
            ensure!(resource.get("service.name").is_some_and(|service| service == "foreshock"), "{resource:?}");
        }
        if let Some(incident) = of.get("foreshock.incident.id").and_then(Value::as_str) {
            let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
            ensure!(text("traceId").len() == 32 && text("spanId").len() == 16, "no trace: {record}");
            roots.entry(incident.to_owned()).or_default().insert((text("traceId"), text("spanId")));
        }
    }
    for name in [
        "foreshock.anomaly.detected",
        "foreshock.anomaly.ended",
        "foreshock.incident.opened",
        "foreshock.incident.resolved",
    ] {
        ensure!(names.contains(name), "the recording gives no {name}");
    }
    ensure!(!roots.is_empty() && roots.values().all(|traces| traces.len() == 1), "{roots:?}");
    for traces in roots.values() {
        for (trace, root) in traces {
            let found = given.spans.iter().filter(|(_, span)| span["traceId"] == **trace && span["spanId"] == **root);
            ensure!(found.count() == 1, "the span {root} that events point to is not there");
        }
    }
    Ok(())
}

/// Protects those who look at incident traces: one root `incident` from opening to closing, a child for each service under that
/// service's resource, anomalies below, few links, no span twice.
#[test]
fn incident_traces_have_the_documented_shape() -> Result<()> {
    let given = replay()?;
    let mut traces: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for entry in &given.spans {
        let (trace, id) =
            (entry.1["traceId"].as_str().context("no trace")?, entry.1["spanId"].as_str().context("no id")?);
        ensure!(ids.insert((trace, id)), "span {id} comes twice");
        traces.entry(trace).or_default().push(entry);
    }
    ensure!(!traces.is_empty(), "no incident was closed");
    let mut errors = 0;
    for spans in traces.values() {
        let parent = |span: &Value| span["parentSpanId"].as_str().unwrap_or_default().to_owned();
        let roots: Vec<_> = spans.iter().filter(|(_, span)| parent(span).is_empty()).collect();
        ensure!(roots.len() == 1 && roots[0].1["name"] == "incident", "{roots:?}");
        let root = &roots[0].1;
        ensure!(roots[0].0["service.name"] == "foreshock", "{:?}", roots[0].0);
        ensure!(list(root, "links").count() <= 32, "{root}");
        let status = &root["status"]["code"];
        ensure!(*status == 2 || status.is_null(), "neither an error nor unset: {root}");
        errors += usize::from(*status == 2);
        let times = |span: &Value| (span["startTimeUnixNano"].to_string(), span["endTimeUnixNano"].to_string());
        ensure!(times(root).0 < times(root).1, "{root}");
        let children: Vec<_> = spans.iter().filter(|(_, span)| parent(span) == root["spanId"]).collect();
        let of_root = attributes(root);
        let services = of_root["foreshock.incident.services"]["values"].as_array().map_or(0, Vec::len);
        ensure!(children.len() == services, "{} children for {services} services", children.len());
        for (resource, child) in children {
            ensure!(resource["service.name"] != "foreshock", "{child}");
            let anomalies = spans.iter().filter(|(_, span)| parent(span) == child["spanId"]).count();
            ensure!(anomalies >= 1, "no anomaly below {child}");
        }
    }
    ensure!(errors > 0, "no incident of the recording counts as confirmed");
    Ok(())
}

/// Protects dashboards: the metrics on the console's `/metrics` have the documented names, kinds and labels, and count what passed;
/// the health check answers 200; the page and the API answer.
#[tokio::test(flavor = "multi_thread")]
async fn console_and_health_have_the_documented_shape() -> Result<()> {
    let folder = TempDir::new()?;
    let mut upstream = Upstream::start().await?;
    let foreshock = Foreshock::start(&Setup::detecting(upstream.address), folder.path())?;
    let mut client = Client::connect(foreshock.grpc).await?;
    for signal in ["metrics", "logs", "traces"] {
        let message = payload::batch(signal, SHAPE, 0, now_nanos());
        ensure!(client.send(signal, "identity", wire::frame("identity", &message)?).await? == 0);
        next(&mut upstream).await?;
    }
    foreshock.wait(super::PATIENCE, |foreshock| {
        foreshock.metric("foreshock_exporter_queue_size").is_ok_and(|waiting| waiting == 0.0)
    })?;
    let metrics = process::http_get(foreshock.console, "/metrics")?;
    for (name, kind, value) in [
        ("foreshock_receiver_accepted_metric_points_total", "counter", Some(200.0)),
        ("foreshock_receiver_accepted_log_records_total", "counter", Some(200.0)),
        ("foreshock_receiver_accepted_spans_total", "counter", Some(200.0)),
        ("foreshock_receiver_refused_log_records_total", "counter", Some(0.0)),
        ("foreshock_exporter_sent_log_records_total", "counter", Some(200.0)),
        ("foreshock_exporter_sent_spans_total", "counter", Some(200.0)),
        ("foreshock_exporter_send_failed_spans_total", "counter", Some(0.0)),
        ("foreshock_exporter_queue_size", "gauge", Some(0.0)),
        ("foreshock_detector_faults_total", "counter", Some(0.0)),
        ("foreshock_detection_shed_total", "counter", Some(0.0)),
        ("foreshock_anomalies_total", "counter", None),
        ("foreshock_incidents_open", "gauge", None),
    ] {
        ensure!(metrics.contains(&format!("# TYPE {name} {kind}\n")), "no {kind} {name} in\n{metrics}");
        if let Some(value) = value {
            ensure!(process::prometheus_sum(&metrics, name) == value, "{name} is not {value} in\n{metrics}");
        }
    }
    ensure!(metrics.contains("transport=\"grpc\"") && metrics.contains("exporter=\"otlp\""), "{metrics}");
    ensure!(process::http_get(foreshock.health, "/").is_ok());
    ensure!(process::http_get(foreshock.console, "/")?.contains("Foreshock"));
    for path in ["services", "incidents", "anomalies", "graph"] {
        let answer = process::http_get(foreshock.console, &format!("/api/v1/{path}"))?;
        let _json: Value = serde_json::from_str(&answer).with_context(|| format!("{path}: {answer}"))?;
    }
    Ok(())
}

/// Protects those who rely on the documented ports and defaults: the file that comes with Foreshock is valid as it is, and so is
/// one without a single endpoint, which means localhost and the documented ports.
#[test]
fn defaults_are_the_documented_ones() -> Result<()> {
    let shipped = Command::new(process::foreshock()?)
        .args(["validate", "--config"])
        .arg(repository().join("otel-config/foreshock.yaml"))
        .output()?;
    ensure!(shipped.status.code() == Some(0), "{}", String::from_utf8_lossy(&shipped.stderr));
    let said = String::from_utf8_lossy(&shipped.stdout);
    ensure!(!said.contains("warning") && said.contains("configuration is valid"), "{said}");

    // Each default is shown by what collides with it.
    let folder = TempDir::new()?;
    let file = folder.path().join("defaults.yaml");
    for (key, port) in [("grpc", 4317), ("http", 4318), ("console", 4320), ("health", 13133)] {
        let protocols = match key {
            "grpc" => format!("grpc: , http: {{ endpoint: \"localhost:{port}\" }}"),
            "http" => format!("http: , grpc: {{ endpoint: \"localhost:{port}\" }}"),
            _ => format!("grpc: {{ endpoint: \"localhost:{port}\" }}"),
        };
        let text = format!(
            "receivers: {{ otlp: {{ protocols: {{ {protocols} }} }} }}\nexporters: {{ debug: {{}} }}\n\
             service: {{ pipelines: {{ logs: {{ receivers: [otlp], exporters: [debug] }} }} }}\n"
        );
        std::fs::write(&file, text)?;
        let output = Command::new(process::foreshock()?).args(["validate", "--config"]).arg(&file).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(2), "{key}: {said}");
        ensure!(
            said.contains(&format!("127.0.0.1:{port}")) || said.contains(&format!("localhost:{port}")),
            "{key}: {said}"
        );
        ensure!(said.contains("is taken by"), "{key}: {said}");
    }
    Ok(())
}

/// Protects scripts: every documented command is there and explains itself.
#[test]
fn documented_commands_are_there() -> Result<()> {
    for command in ["run", "validate", "demo", "replay", "templates"] {
        let output = Command::new(process::foreshock()?).args([command, "--help"]).output()?;
        ensure!(output.status.success(), "{command}");
        ensure!(String::from_utf8_lossy(&output.stdout).contains("Usage: foreshock"), "{command}");
    }
    Ok(())
}
