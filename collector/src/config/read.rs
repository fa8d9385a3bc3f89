//! Reads the file's tree into its raw form, with the types and ranges of all keys.

use super::{
    fields::Fields,
    problem::{Problems, hint},
    raw::{
        Compression, LogFormat, Raw, RawAnomalies, RawAuth, RawBasic, RawDetection, RawDetector, RawEndpoint,
        RawExporter, RawIncidents, RawLimits, RawListener, RawPipeline, RawPush, RawQueue, RawReceiver, RawRetry,
        RawTls,
    },
    yaml::{Node, Value},
};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// Reads the whole file from its tree.
pub(crate) fn read(root: &Node, problems: &mut Problems) -> Raw {
    let mut raw = Raw { service: root.mark, ..Raw::default() };
    let Some(mut top) = Fields::of(root, "", problems) else { return raw };
    if let Some(receivers) = top.fields("receivers", problems) {
        raw.receiver = read_receivers(receivers, problems);
    }
    if let Some(exporters) = top.fields("exporters", problems) {
        for (path, name, node) in exporters.named() {
            if let Some(exporter) = read_exporter(&name.value, node, &path, problems) {
                raw.exporters.push((name, exporter));
            }
        }
    }
    if let Some(detectors) = top.fields("detectors", problems) {
        for (path, name, node) in detectors.named() {
            if let Some(detector) = Fields::of(node, &path, problems).map(|fields| read_detector(fields, problems)) {
                raw.detectors.push((name, detector));
            }
        }
    }
    if let Some(detection) = top.fields("detection", problems) {
        raw.detection = read_detection(detection, problems);
    }
    if let Some(mut storage) = top.fields("storage", problems) {
        raw.storage = storage.text("path", problems);
        raw.storage_off = storage.flag("enabled", problems).is_some_and(|enabled| !enabled.value);
        storage.finish(problems);
    }
    raw.console = read_endpoint(&mut top, "console", problems);
    raw.health = read_endpoint(&mut top, "health", problems);
    top.refuse("processors", "Foreshock has no processors; run a Collector before or behind it", problems);
    top.refuse("extensions", "Foreshock has no extensions; health is under `health`", problems);
    top.refuse("connectors", "Foreshock has no connectors", problems);
    if let Some(service) = top.fields("service", problems) {
        raw.service = service.mark;
        read_service(service, &mut raw, problems);
    }
    top.finish(problems);
    raw
}

fn read_endpoint(top: &mut Fields<'_>, key: &'static str, problems: &mut Problems) -> RawEndpoint {
    let Some(mut fields) = top.fields(key, problems) else { return RawEndpoint::default() };
    let endpoint = fields.text("endpoint", problems);
    let disabled = fields.flag("enabled", problems).is_some_and(|enabled| !enabled.value);
    fields.finish(problems);
    RawEndpoint { endpoint, disabled }
}

fn read_receivers(fields: Fields<'_>, problems: &mut Problems) -> Option<RawReceiver> {
    let mut found = None;
    for (path, name, node) in fields.named() {
        if name.value != "otlp" {
            let hint = hint(&name.value, ["otlp"]);
            problems.error(name.mark, format!("{path}: the only receiver is `otlp`{hint}"));
            continue;
        }
        let Some(mut otlp) = Fields::of(node, &path, problems) else { continue };
        let mut receiver = RawReceiver { mark: name.mark, ..RawReceiver::default() };
        match otlp.fields("protocols", problems) {
            Some(mut protocols) => {
                receiver.grpc = read_listener(&mut protocols, "grpc", problems);
                receiver.http = read_listener(&mut protocols, "http", problems);
                protocols.finish(problems);
            }
            None => problems.error(name.mark, format!("{path}.protocols: is missing; it takes `grpc`, `http` or both")),
        }
        otlp.finish(problems);
        found = Some(receiver);
    }
    found
}

fn read_listener(protocols: &mut Fields<'_>, key: &'static str, problems: &mut Problems) -> Option<RawListener> {
    let path = protocols.path(key);
    let entry = protocols.entry(key)?;
    let mut fields = Fields::of(&entry.value, &path, problems)?;
    let listener = RawListener {
        endpoint: fields.text("endpoint", problems),
        max_recv_msg_size_mib: fields.whole("max_recv_msg_size_mib", 1..=1024, problems).map(|at| at.value),
        tls: fields.fields("tls", problems).map(|tls| read_tls(tls, true, problems)),
        auth: fields.fields("auth", problems).map(|auth| read_auth(auth, problems)),
    };
    fields.finish(problems);
    Some(listener)
}

fn read_auth(mut auth: Fields<'_>, problems: &mut Problems) -> RawAuth {
    let read = RawAuth {
        mark: auth.mark,
        bearer_token: auth.text("bearer_token", problems),
        bearer_token_file: auth.text("bearer_token_file", problems),
        basic: auth.fields("basic", problems).map(|mut basic| {
            let read = RawBasic {
                mark: basic.mark,
                username: basic.text("username", problems),
                password: basic.text("password", problems),
                password_file: basic.text("password_file", problems),
            };
            basic.finish(problems);
            read
        }),
    };
    auth.refuse("authenticator", "Foreshock has no extensions; give `bearer_token` or `basic` here", problems);
    auth.finish(problems);
    read
}

fn read_tls(mut fields: Fields<'_>, listener: bool, problems: &mut Problems) -> RawTls {
    let mut tls = RawTls { mark: fields.mark, ..RawTls::default() };
    tls.cert_file = fields.text("cert_file", problems);
    tls.key_file = fields.text("key_file", problems);
    if listener {
        tls.client_ca_file = fields.text("client_ca_file", problems);
        fields.refuse("ca_file", "is for exporters; a listener checks clients with `client_ca_file`", problems);
    } else {
        tls.insecure = fields.flag("insecure", problems);
        tls.ca_file = fields.text("ca_file", problems);
        tls.server_name = fields.text("server_name", problems);
        fields.refuse("server_name_override", "is called `server_name` here", problems);
        fields.refuse(
            "insecure_skip_verify",
            "certificates are always checked; give the authority as `ca_file`",
            problems,
        );
    }
    fields.finish(problems);
    tls
}

fn read_exporter(name: &str, node: &Node, path: &str, problems: &mut Problems) -> Option<RawExporter> {
    let mut fields = Fields::of(node, path, problems)?;
    let mut exporter = RawExporter::default();
    let kind = name.split_once('/').map_or(name, |(kind, _)| kind);
    if kind == "debug" {
        let words = [("basic", false), ("normal", false), ("detailed", true)];
        exporter.detailed = fields.choice("verbosity", &words, problems).is_some_and(|at| at.value);
        fields.finish(problems);
        return Some(exporter);
    }
    exporter.endpoint = fields.text("endpoint", problems);
    let words = [("none", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd)];
    exporter.compression = fields.choice("compression", &words, problems).map(|at| at.value);
    exporter.headers = fields.text_map("headers", problems);
    exporter.auth = fields.fields("auth", problems).map(|auth| read_auth(auth, problems));
    exporter.tls = fields.fields("tls", problems).map(|tls| read_tls(tls, false, problems));
    exporter.timeout = fields.duration("timeout", MS..=DAY, problems).map(|at| at.value);
    if let Some(mut queue) = fields.fields("sending_queue", problems) {
        exporter.queue = RawQueue {
            queue_size: queue.whole("queue_size", 1..=1_000_000, problems).map(|at| at.value),
            queue_size_mib: queue.whole("queue_size_mib", 1..=65_536, problems).map(|at| at.value),
            num_consumers: queue.whole("num_consumers", 1..=1024, problems).map(|at| at.value),
            drop_when_full: queue.choice("on_full", &[("refuse", false), ("drop", true)], problems).map(|at| at.value),
        };
        if queue.flag("enabled", problems).is_some_and(|enabled| !enabled.value) {
            let message =
                format!("{path}.sending_queue.enabled: the queue can't be switched off; make it small instead");
            problems.error(queue.mark, message);
        }
        queue.refuse("sizer", "the queue is bounded in requests (`queue_size`) and bytes (`queue_size_mib`)", problems);
        queue.refuse("storage", "what is unsent at a shutdown is kept under `storage.path`", problems);
        queue.finish(problems);
    }
    if let Some(mut retry) = fields.fields("retry_on_failure", problems) {
        exporter.retry = RawRetry {
            enabled: retry.flag("enabled", problems).map(|at| at.value),
            initial_interval: retry.duration("initial_interval", MS..=DAY, problems),
            max_interval: retry.duration("max_interval", MS..=DAY, problems),
            max_elapsed_time: retry
                .duration("max_elapsed_time", Duration::ZERO..=365 * DAY, problems)
                .map(|at| at.value),
            multiplier: retry.number("multiplier", 1.0..=10.0, problems).map(|at| at.value),
        };
        retry.finish(problems);
    }
    fields.finish(problems);
    Some(exporter)
}

fn read_detector(mut fields: Fields<'_>, problems: &mut Problems) -> RawDetector {
    let mut detector = RawDetector {
        module: fields.text("module", problems),
        services: fields.texts("services", problems).map(|at| at.value),
        weight: fields.number("weight", 0.01..=100.0, problems).map(|at| at.value),
        config: None,
        limits: RawLimits::default(),
    };
    if detector.module.is_none() {
        let path = fields.path("module");
        let takes = "`builtin:NAME`, the path of a component, or `oci://REGISTRY/REPOSITORY@sha256:DIGEST`";
        problems.error(fields.mark, format!("{path}: is missing; it takes {takes}"));
    }
    if let Some(node) = fields.node("config") {
        match node.value {
            Value::Map(_) => detector.config = Some(node.clone()),
            ref other => {
                let path = fields.path("config");
                problems.error(node.mark, format!("{path}: takes a mapping, this is {}", other.noun()));
            }
        }
    }
    if let Some(mut limits) = fields.fields("limits", problems) {
        let mut whole = |key, range| limits.whole(key, range, problems).map(|at| at.value);
        detector.limits = RawLimits {
            memory_mib: whole("memory_mib", 1..=4096),
            answer_kib: whole("answer_kib", 64..=65_536),
            state_kib: whole("state_kib", 1..=65_536),
            findings: whole("findings", 0..=256),
            log_lines_per_second: whole("log_lines_per_second", 0..=1000),
            deadline: limits.duration("deadline", MS..=Duration::from_secs(60), problems).map(|at| at.value),
        };
        limits.finish(problems);
    }
    fields.finish(problems);
    detector
}

fn read_detection(mut fields: Fields<'_>, problems: &mut Problems) -> RawDetection {
    let mut raw = RawDetection {
        window: fields.duration("window", SECOND..=DAY, problems),
        lateness: fields.duration("lateness", Duration::ZERO..=DAY, problems).map(|at| at.value),
        idle: fields.duration("idle", SECOND..=DAY, problems).map(|at| at.value),
        shards: fields.whole("shards", 1..=64, problems).map(|at| at.value),
        selfcheck_every: fields.duration("selfcheck_every", Duration::ZERO..=DAY, problems).map(|at| at.value),
        false_alarms_per_service_day: fields
            .number("false_alarms_per_service_day", 0.001..=1000.0, problems)
            .map(|at| at.value),
        ..RawDetection::default()
    };
    if let Some(mut queue) = fields.fields("queue", problems) {
        raw.queue_requests = queue.whole("requests", 1..=1_000_000, problems).map(|at| at.value);
        raw.queue_size_mib = queue.whole("size_mib", 1..=65_536, problems).map(|at| at.value);
        queue.finish(problems);
    }
    if let Some(mut limits) = fields.fields("limits", problems) {
        raw.services = limits.whole("services", 1..=1_000_000, problems).map(|at| at.value);
        raw.series_per_service = limits.whole("series_per_service", 1..=100_000, problems).map(|at| at.value);
        raw.streams_per_service = limits.whole("streams_per_service", 1..=1_000_000, problems).map(|at| at.value);
        raw.templates_per_service = limits.whole("templates_per_service", 1..=100_000, problems).map(|at| at.value);
        raw.operations_per_service = limits.whole("operations_per_service", 1..=10_000, problems).map(|at| at.value);
        limits.finish(problems);
    }
    if let Some(mut anomalies) = fields.fields("anomalies", problems) {
        raw.anomalies = RawAnomalies {
            open_score: anomalies.number("open_score", 0.5..=16.0, problems),
            close_score: anomalies.number("close_score", 0.0..=16.0, problems),
            open_windows: anomalies.whole("open_windows", 1..=64, problems),
            open_of: anomalies.whole("open_of", 1..=64, problems),
            close_windows: anomalies.whole("close_windows", 1..=1000, problems).map(|at| at.value),
            refractory_windows: anomalies.whole("refractory_windows", 0..=10_000, problems).map(|at| at.value),
            minimum_duration: anomalies.duration("minimum_duration", Duration::ZERO..=DAY, problems).map(|at| at.value),
            minimum_volume: anomalies.number("minimum_volume", 0.0..=1e9, problems).map(|at| at.value),
            unknown_volume_windows: anomalies.whole("unknown_volume_windows", 1..=1000, problems).map(|at| at.value),
            minimum_change: anomalies.number("minimum_change", 0.0..=1e6, problems).map(|at| at.value),
            minimum_latency_change: anomalies
                .duration("minimum_latency_change", Duration::ZERO..=DAY, problems)
                .map(|at| at.value),
            minimum_error_change: anomalies.number("minimum_error_change", 0.0..=1.0, problems).map(|at| at.value),
            minimum_share_change: anomalies.number("minimum_share_change", 0.0..=1.0, problems).map(|at| at.value),
        };
        anomalies.finish(problems);
    }
    if let Some(mut incidents) = fields.fields("incidents", problems) {
        let any = Duration::ZERO..=30 * DAY;
        raw.incidents = RawIncidents {
            join_within: incidents.duration("join_within", any.clone(), problems).map(|at| at.value),
            persistence_windows: incidents.whole("persistence_windows", 1..=1000, problems).map(|at| at.value),
            persistence_readings: incidents.whole("persistence_readings", 1..=1000, problems).map(|at| at.value),
            growth_within: incidents.duration("growth_within", any.clone(), problems).map(|at| at.value),
            quiet: incidents.duration("quiet", any.clone(), problems).map(|at| at.value),
            reopen_within: incidents.duration("reopen_within", any.clone(), problems).map(|at| at.value),
            merge_within: incidents.duration("merge_within", any.clone(), problems).map(|at| at.value),
            version_change_within: incidents.duration("version_change_within", any, problems).map(|at| at.value),
        };
        incidents.finish(problems);
    }
    if let Some(mut exporters) = fields.fields("exporters", problems) {
        raw.event_exporters = exporters.texts("events", problems);
        raw.trace_exporters = exporters.texts("traces", problems);
        exporters.finish(problems);
    }
    fields.finish(problems);
    raw
}

fn read_service(mut service: Fields<'_>, raw: &mut Raw, problems: &mut Problems) {
    raw.shutdown_timeout =
        service.duration("shutdown_timeout", MS..=Duration::from_secs(3600), problems).map(|at| at.value);
    if let Some(pipelines) = service.fields("pipelines", problems) {
        for (path, name, node) in pipelines.named() {
            let Some(mut fields) = Fields::of(node, &path, problems) else { continue };
            let pipeline = RawPipeline {
                mark: name.mark,
                receivers: fields.texts("receivers", problems),
                detectors: fields.texts("detectors", problems).map(|at| at.value).unwrap_or_default(),
                exporters: fields.texts("exporters", problems),
            };
            fields.refuse("processors", "Foreshock has no processors; `detectors` is what it has", problems);
            fields.finish(problems);
            raw.pipelines.push((name, pipeline));
        }
    }
    if let Some(mut telemetry) = service.fields("telemetry", problems) {
        if let Some(mut logs) = telemetry.fields("logs", problems) {
            raw.telemetry.level = logs.text("level", problems);
            let words = [("text", LogFormat::Text), ("console", LogFormat::Text), ("json", LogFormat::Json)];
            raw.telemetry.format = logs.choice("format", &words, problems).map(|at| at.value);
            raw.telemetry.logs = read_push(&mut logs, "logs", problems);
            logs.finish(problems);
        }
        for (key, push) in [("metrics", &mut raw.telemetry.metrics), ("traces", &mut raw.telemetry.traces)] {
            if let Some(mut signal) = telemetry.fields(key, problems) {
                *push = read_push(&mut signal, key, problems);
                signal.finish(problems);
            }
        }
        raw.telemetry.resource = telemetry.text_map("resource", problems);
        telemetry.finish(problems);
    }
    service.refuse("extensions", "Foreshock has no extensions; health is under `health`", problems);
    service.finish(problems);
}

/// What stands under `otlp` of own metrics, traces or logs.
fn read_push(signal: &mut Fields<'_>, which: &str, problems: &mut Problems) -> Option<RawPush> {
    let mut otlp = signal.fields("otlp", problems)?;
    let mut push = RawPush {
        mark: otlp.mark,
        endpoint: otlp.text("endpoint", problems),
        headers: otlp.text_map("headers", problems),
        tls: otlp.fields("tls", problems).map(|tls| read_tls(tls, false, problems)),
        ..RawPush::default()
    };
    match which {
        "metrics" => push.interval = otlp.duration("interval", SECOND..=DAY, problems).map(|at| at.value),
        "traces" => push.sampling = otlp.number("sampling", 0.0..=1.0, problems).map(|at| at.value),
        _ => {}
    }
    otlp.finish(problems);
    Some(push)
}
