//! Foreshock's own metrics, spans and log records: that a peer gets them, and that they are not taken for a service's.

use super::{PATIENCE, SHAPE, next, now_nanos, pipelines};
use anyhow::{Context, Result, ensure};
use e2e::{
    foreshock::{Foreshock, THREE, preamble},
    payload, process,
    wire::{self, Client, Upstream},
};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::metric::Data,
    resource::v1::Resource,
};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use tempfile::TempDir;

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()?;
    if let Value::StringValue(text) = value { Some(text) } else { None }
}

fn is_own(resource: Option<&Resource>, scope: Option<&InstrumentationScope>) -> Result<()> {
    let service = resource.and_then(|resource| text(&resource.attributes, "service.name"));
    ensure!(service == Some("foreshock"), "{resource:?}");
    ensure!(scope.is_some_and(|scope| scope.name == "foreshock"), "{scope:?}");
    ensure!(resource.and_then(|resource| text(&resource.attributes, "deployment.environment.name")) == Some("test"));
    Ok(())
}

/// What a peer has got so far.
#[derive(Default)]
struct Got {
    /// Metrics by name, with whether they are histograms.
    metrics: BTreeMap<String, bool>,
    spans: BTreeSet<String>,
    children: BTreeSet<String>,
    logs: Vec<String>,
}

impl Got {
    fn take(&mut self, path: &str, message: &[u8]) -> Result<()> {
        if path == wire::export_path("metrics") {
            for resource in ExportMetricsServiceRequest::decode(message)?.resource_metrics {
                for scope in resource.scope_metrics {
                    is_own(resource.resource.as_ref(), scope.scope.as_ref())?;
                    let metrics = scope.metrics.into_iter();
                    self.metrics
                        .extend(metrics.map(|metric| (metric.name, matches!(metric.data, Some(Data::Histogram(_))))));
                }
            }
        } else if path == wire::export_path("traces") {
            for resource in ExportTraceServiceRequest::decode(message)?.resource_spans {
                for scope in resource.scope_spans {
                    is_own(resource.resource.as_ref(), scope.scope.as_ref())?;
                    for span in scope.spans {
                        if !span.parent_span_id.is_empty() {
                            self.children.insert(span.name.clone());
                        }
                        self.spans.insert(span.name);
                    }
                }
            }
        } else {
            for resource in ExportLogsServiceRequest::decode(message)?.resource_logs {
                for scope in resource.scope_logs {
                    is_own(resource.resource.as_ref(), scope.scope.as_ref())?;
                    let bodies = scope.log_records.into_iter().filter_map(|record| record.body?.value);
                    self.logs.extend(bodies.filter_map(|value| match value {
                        Value::StringValue(text) => Some(text),
                        _ => None,
                    }));
                }
            }
        }
        Ok(())
    }

    fn has_all(&self) -> bool {
        ["foreshock_receiver_accepted_metric_points", "foreshock_detector_faults", "foreshock_detection_shed"]
            .iter()
            .all(|name| self.metrics.contains_key(*name))
            && self.metrics.get("foreshock_detector_duration_seconds") == Some(&true)
            && ["receive", "export", "window", "detector"].iter().all(|name| self.spans.contains(*name))
            && self.children.contains("detector")
            && self.logs.iter().any(|line| line.contains("cannot send, will retry"))
    }
}

/// Protects operators: metrics, spans and log records go where `service.telemetry` says, with the header asked for, all under
/// the resource and the scope `foreshock`; the durations of detectors are a histogram there and on the console.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_gets_metrics_spans_and_log_records() -> Result<()> {
    let folder = TempDir::new()?;
    let (upstream, mut peer) = (Upstream::start().await?, Upstream::start().await?);
    let push = |more: &str| format!("{{ endpoint: \"{}\", headers: {{ X-Tenant: ops }}{more} }}", peer.address);
    let detectors: String = THREE.iter().map(|name| format!("  {name}: {{ module: \"builtin:{name}\" }}\n")).collect();
    let config = format!(
        "{}exporters:\n  otlp: {{ endpoint: \"http://{}\" }}\n  otlp/dead: {{ endpoint: \"http://{}\" }}\n\
         detectors:\n{detectors}{}  telemetry:\n    metrics: {{ otlp: {} }}\n    traces: {{ otlp: {} }}\n    logs: {{ otlp: {} }}\n    \
         resource: {{ deployment.environment.name: test }}\n",
        preamble(folder.path()),
        upstream.address,
        process::free_address()?,
        pipelines("otlp, otlp/dead", &THREE.join(", ")),
        push(", interval: 1s"),
        push(", sampling: 1"),
        push(""),
    );
    let foreshock = Foreshock::start_with(&config, folder.path(), &[])?;
    let mut client = Client::connect(foreshock.grpc).await?;
    let long_ago = now_nanos() - 600_000_000_000;
    for sequence in 0..30 {
        let message = payload::batch("metrics", SHAPE, sequence, long_ago + sequence * 10_000_000_000);
        ensure!(client.send("metrics", "identity", wire::frame("identity", &message)?).await? == 0);
    }
    let mut got = Got::default();
    while !got.has_all() {
        let received = next(&mut peer).await.with_context(|| format!("{:?} {:?}", got.metrics, got.spans))?;
        ensure!(received.headers.get("x-tenant").is_some_and(|tenant| tenant == "ops"), "{:?}", received.headers);
        got.take(&received.path, &received.message)?;
    }
    let metrics = process::http_get(foreshock.console, "/metrics")?;
    for sample in [
        "foreshock_detector_duration_seconds_bucket{detector=\"baseline\"",
        "foreshock_detector_duration_seconds_count{detector=\"isolation-forest\"",
        "foreshock_detector_faults_total{detector=\"baseline\",reason=\"trap\"",
    ] {
        ensure!(metrics.lines().any(|line| line.starts_with(sample)), "no {sample} in\n{metrics}");
    }
    Ok(())
}

/// Protects against feeding on oneself: what Foreshock pushes to its own receiver is forwarded like anything else and makes no
/// service; so are events about a service, which carry that service's resource, under the scope `foreshock`.
#[tokio::test(flavor = "multi_thread")]
async fn own_telemetry_is_forwarded_and_not_looked_at() -> Result<()> {
    let folder = TempDir::new()?;
    let mut upstream = Upstream::start().await?;
    let receiver = process::free_address()?;
    let detectors: String = THREE.iter().map(|name| format!("  {name}: {{ module: \"builtin:{name}\" }}\n")).collect();
    let push = |more: &str| format!("{{ otlp: {{ endpoint: \"{receiver}\"{more} }} }}");
    let config = format!(
        "{}exporters:\n  otlp: {{ endpoint: \"http://{}\", compression: none }}\ndetectors:\n{detectors}{}  telemetry:\n    metrics: {}\n    traces: {}\n    logs: {}\n    \
         resource: {{ deployment.environment.name: test }}\ndetection: {{ window: 1s, lateness: 0s, idle: 1s }}\n",
        preamble(folder.path()).replacen("127.0.0.1:0", &receiver.to_string(), 1),
        upstream.address,
        pipelines("otlp", &THREE.join(", ")),
        push(", interval: 1s"),
        push(", sampling: 1"),
        push(""),
    );
    let foreshock = Foreshock::start_with(&config, folder.path(), &[])?;
    let value = |text: &str| Some(AnyValue { value: Some(Value::StringValue(text.to_owned())) });
    let attribute = |key: &str, text: &str| KeyValue { key: key.to_owned(), value: value(text), ..KeyValue::default() };
    let event = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource { attributes: vec![attribute("service.name", "shop")], ..Resource::default() }),
            scope_logs: vec![ScopeLogs {
                scope: Some(InstrumentationScope { name: "foreshock".to_owned(), ..InstrumentationScope::default() }),
                log_records: vec![LogRecord {
                    time_unix_nano: now_nanos(),
                    event_name: "foreshock.anomaly.detected".to_owned(),
                    body: value("shop is odd"),
                    ..LogRecord::default()
                }],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
    .encode_to_vec();
    let mut client = Client::connect(foreshock.grpc).await?;
    ensure!(client.send("logs", "identity", wire::frame("identity", &event)?).await? == 0);

    // Three rounds of own metrics, and spans about receiving them, come round and go on.
    let (mut metrics, mut spans, mut events) = (0, 0, 0);
    while metrics < 3 || spans < 1 || events < 1 {
        let received = next(&mut upstream).await?;
        if received.message == event {
            events += 1;
        } else {
            let mut got = Got::default();
            got.take(&received.path, &received.message)?;
            metrics += usize::from(!got.metrics.is_empty());
            spans += usize::from(!got.spans.is_empty());
        }
    }
    // A service that is somebody else's is looked at, so detection is awake.
    let message = payload::batch("metrics", SHAPE, 0, now_nanos() - 5_000_000_000);
    ensure!(client.send("metrics", "identity", wire::frame("identity", &message)?).await? == 0);
    foreshock
        .wait(PATIENCE, |foreshock| foreshock.metric("foreshock_windows_total").is_ok_and(|windows| windows >= 4.0))?;
    // The four of the batch, and the one that the event is about; Foreshock is none.
    ensure!(foreshock.metric("foreshock_services")? <= 5.0, "Foreshock looks at itself");
    Ok(())
}
