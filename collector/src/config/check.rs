//! From what was written to what the program needs: references, files, endpoints, detectors, defaults.

use super::{
    AnomalyConfig, ClientTls, Compression, Config, Detection, DetectorConfig, Exporter, ExporterKind, IncidentConfig,
    Listener, MetricsPush, Module, Pipeline, Queue, Retry, Secret, ServerTls, Surroundings, Telemetry, TracesPush,
    Upstream,
    problem::{At, Mark, Problems, hint},
    raw::{Raw, RawDetection, RawDetector, RawEndpoint, RawExporter, RawListener, RawPipeline, RawPush, RawTls},
    yaml::Node,
};
use foreshock_otlp::Signal;
use jsonschema::error::ValidationErrorKind;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

const MIB: usize = 1 << 20;

/// Resolves everything; what could not be resolved is in `problems`, and the result is then of no use.
pub(super) fn check(raw: Raw, folder: &Path, surroundings: &Surroundings<'_>, problems: &mut Problems) -> Config {
    let mut checker = Checker { folder, surroundings, problems };
    let receiver = raw.receiver.as_ref();
    let grpc = receiver
        .and_then(|receiver| receiver.grpc.as_ref())
        .and_then(|listener| checker.listener("grpc", listener, "127.0.0.1:4317"));
    let http = receiver
        .and_then(|receiver| receiver.http.as_ref())
        .and_then(|listener| checker.listener("http", listener, "127.0.0.1:4318"));
    match receiver {
        None => checker.problems.error(raw.service, "receivers.otlp: is missing"),
        Some(receiver) if receiver.grpc.is_none() && receiver.http.is_none() => {
            checker.problems.error(receiver.mark, "receivers.otlp.protocols: takes `grpc`, `http` or both");
        }
        Some(_) => {}
    }
    let mut exporters = BTreeMap::new();
    for (name, exporter) in &raw.exporters {
        if let Some(exporter) = checker.exporter(name, exporter) {
            exporters.insert(name.value.clone(), exporter);
        }
    }
    let detectors: Vec<DetectorConfig> =
        raw.detectors.iter().filter_map(|(name, detector)| checker.detector(name, detector)).collect();
    let pipelines: Vec<Pipeline> =
        raw.pipelines.iter().filter_map(|(name, pipeline)| checker.pipeline(name, pipeline, &raw)).collect();
    if raw.pipelines.is_empty() {
        checker.problems.error(raw.service, "service.pipelines: is missing or empty; nothing would be received");
    }
    let detection = checker.detection(&raw.detection, &raw, &pipelines);
    let used = checker.used(&raw, &pipelines, &detection);
    let telemetry = checker.telemetry(&raw);
    let console = checker.endpoint("console", &raw.console, "127.0.0.1:4320");
    let health = checker.endpoint("health", &raw.health, "127.0.0.1:13133");
    let storage_is_chosen = raw.storage.is_some();
    let storage = (!raw.storage_off).then(|| match raw.storage {
        Some(path) => PathBuf::from(path.value),
        None => default_storage(surroundings),
    });
    exporters.retain(|name, _| used.contains(name));
    Config {
        grpc,
        http,
        exporters,
        detectors: detectors.into_iter().filter(|detector| used.contains(&detector.name)).collect(),
        pipelines,
        detection,
        storage,
        storage_is_chosen,
        console,
        health,
        telemetry,
        shutdown_timeout: raw.shutdown_timeout.unwrap_or(Duration::from_secs(10)),
    }
}

/// The first folder of `STATE_DIRECTORY` (set by systemd), else `foreshock-data` in the working folder.
fn default_storage(surroundings: &Surroundings<'_>) -> PathBuf {
    let given = (surroundings.env)("STATE_DIRECTORY").unwrap_or_default();
    match given.split(':').next() {
        Some(first) if !first.is_empty() => PathBuf::from(first),
        _ => PathBuf::from("foreshock-data"),
    }
}

struct Checker<'a, 's> {
    folder: &'a Path,
    surroundings: &'a Surroundings<'s>,
    problems: &'a mut Problems,
}

impl Checker<'_, '_> {
    /// A path that must lead to a file. Relative ones lead from the configuration's folder, or else from the working folder.
    fn file(&mut self, key: &str, path: &At<String>) -> PathBuf {
        let near = self.folder.join(&path.value);
        let found = if near.exists() { near } else { PathBuf::from(&path.value) };
        match std::fs::metadata(&found) {
            Ok(about) if about.is_file() => {}
            Ok(_) => self.problems.error(path.mark, format!("{key}: `{}` is not a file", path.value)),
            Err(error) => self.problems.error(path.mark, format!("{key}: `{}` can't be read: {error}", path.value)),
        }
        found
    }

    fn endpoint(&mut self, key: &str, raw: &RawEndpoint, default: &str) -> Option<String> {
        if raw.disabled {
            return None;
        }
        let Some(endpoint) = &raw.endpoint else { return Some(default.to_owned()) };
        self.address(&format!("{key}.endpoint"), endpoint);
        Some(endpoint.value.clone())
    }

    /// Checks the form `host:port`.
    fn address(&mut self, key: &str, endpoint: &At<String>) {
        if let Err(reason) = host_and_port(&endpoint.value) {
            let message =
                format!("{key}: takes `host:port`, for instance `127.0.0.1:4317`; `{}` {reason}", endpoint.value);
            self.problems.error(endpoint.mark, message);
        }
    }

    fn listener(&mut self, protocol: &str, raw: &RawListener, default: &str) -> Option<Listener> {
        let key = format!("receivers.otlp.protocols.{protocol}");
        if let Some(endpoint) = &raw.endpoint {
            self.address(&format!("{key}.endpoint"), endpoint);
        }
        let tls = raw.tls.as_ref().and_then(|tls| {
            let (Some(cert), Some(private)) = (&tls.cert_file, &tls.key_file) else {
                self.problems.error(tls.mark, format!("{key}.tls: takes `cert_file` and `key_file`"));
                return None;
            };
            Some(ServerTls {
                cert_file: self.file(&format!("{key}.tls.cert_file"), cert),
                key_file: self.file(&format!("{key}.tls.key_file"), private),
                client_ca_file: tls
                    .client_ca_file
                    .as_ref()
                    .map(|ca| self.file(&format!("{key}.tls.client_ca_file"), ca)),
            })
        });
        let bearer_token = raw.auth.as_ref().and_then(|auth| {
            let token = match (&auth.bearer_token, &auth.bearer_token_file) {
                (Some(token), None) => Some(token.clone()),
                (None, Some(path)) => {
                    let found = self.file(&format!("{key}.auth.bearer_token_file"), path);
                    let text = std::fs::read_to_string(found).ok()?;
                    Some(At { value: text.trim().to_owned(), mark: path.mark })
                }
                _ => {
                    let message = format!("{key}.auth: takes either `bearer_token` or `bearer_token_file`");
                    self.problems.error(auth.mark, message);
                    None
                }
            }?;
            if token.value.is_empty() || !token.value.bytes().all(|byte| byte.is_ascii_graphic()) {
                self.problems.error(token.mark, format!("{key}.auth: a token is visible ASCII without spaces"));
            }
            Some(Secret(token.value))
        });
        let mib = usize::try_from(raw.max_recv_msg_size_mib.unwrap_or(64)).unwrap_or(64);
        let endpoint = raw.endpoint.as_ref().map_or(default, |endpoint| &endpoint.value);
        Some(Listener { endpoint: endpoint.to_owned(), max_message_bytes: mib * MIB, tls, bearer_token })
    }

    fn exporter(&mut self, name: &At<String>, raw: &RawExporter) -> Option<Exporter> {
        let kind = name.value.split_once('/').map_or(name.value.as_str(), |(kind, _)| kind);
        let http = match kind {
            "otlp" | "otlp_grpc" => false,
            "otlphttp" | "otlp_http" => true,
            "debug" => {
                let kind = ExporterKind::Debug { detailed: raw.detailed };
                return Some(Exporter { name: name.value.clone(), kind });
            }
            other => {
                let hint = hint(other, ["otlp", "otlphttp", "debug"]);
                let message = format!("exporters.{}: there is `otlp`, `otlphttp` and `debug`{hint}", name.value);
                self.problems.error(name.mark, message);
                return None;
            }
        };
        let key = format!("exporters.{}", name.value);
        let Some(given) = &raw.endpoint else {
            self.problems.error(name.mark, format!("{key}.endpoint: is missing"));
            return None;
        };
        let insecure = raw.tls.as_ref().and_then(|tls| tls.insecure.clone());
        let endpoint = self.url(&format!("{key}.endpoint"), given, http, insecure.as_ref());
        let tls = raw.tls.as_ref().map(|tls| self.client_tls(&key, tls, &endpoint)).unwrap_or_default();
        let mut headers = Vec::new();
        for (header, value) in &raw.headers {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte);
            if header.value.is_empty() || !header.value.bytes().all(fits) {
                self.problems
                    .error(header.mark, format!("{key}.headers: `{}` can't be the name of a header", header.value));
            }
            if !value.value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
                self.problems.error(value.mark, format!("{key}.headers.{}: takes visible ASCII", header.value));
            }
            headers.push((header.value.to_ascii_lowercase(), Secret(value.value.clone())));
        }
        let retry = &raw.retry;
        if let (Some(first), Some(longest)) = (&retry.initial_interval, &retry.max_interval)
            && first.value > longest.value
        {
            let message = format!("{key}.retry_on_failure: `initial_interval` is longer than `max_interval`");
            self.problems.error(first.mark, message);
        }
        let size = |value: Option<u64>, default: usize| value.and_then(|v| usize::try_from(v).ok()).unwrap_or(default);
        let longest = retry.max_interval.as_ref().map_or(Duration::from_secs(30), |at| at.value);
        let kind = ExporterKind::Otlp(Box::new(Upstream {
            http,
            endpoint,
            compression: raw.compression.unwrap_or(Compression::Gzip),
            headers,
            tls,
            timeout: raw.timeout.unwrap_or(Duration::from_secs(if http { 30 } else { 5 })),
            queue: Queue {
                requests: size(raw.queue.queue_size, 1000),
                bytes: size(raw.queue.queue_size_mib, 64) * MIB,
                consumers: size(raw.queue.num_consumers, 10),
                drop_when_full: raw.queue.drop_when_full.unwrap_or(false),
            },
            retry: Retry {
                enabled: retry.enabled.unwrap_or(true),
                initial_interval: retry
                    .initial_interval
                    .as_ref()
                    .map_or(Duration::from_secs(5).min(longest), |at| at.value),
                max_interval: longest,
                max_elapsed_time: retry.max_elapsed_time.unwrap_or(Duration::from_secs(300)),
                multiplier: retry.multiplier.unwrap_or(1.5),
            },
        }));
        Some(Exporter { name: name.value.clone(), kind })
    }

    fn client_tls(&mut self, key: &str, tls: &RawTls, endpoint: &str) -> ClientTls {
        let identity = match (&tls.cert_file, &tls.key_file) {
            (Some(cert), Some(private)) => Some((
                self.file(&format!("{key}.tls.cert_file"), cert),
                self.file(&format!("{key}.tls.key_file"), private),
            )),
            (None, None) => None,
            _ => {
                self.problems.error(tls.mark, format!("{key}.tls: `cert_file` and `key_file` go together"));
                None
            }
        };
        let ca_file = tls.ca_file.as_ref().map(|ca| self.file(&format!("{key}.tls.ca_file"), ca));
        if endpoint.starts_with("http://") && (identity.is_some() || ca_file.is_some()) {
            self.problems
                .warning(tls.mark, format!("{key}.tls: certificates are of no use, the endpoint is plain text"));
        }
        ClientTls { ca_file, identity, server_name: tls.server_name.as_ref().map(|name| name.value.clone()) }
    }

    /// A URL from what a Collector user writes: with a scheme, or `host:port` with TLS unless `tls.insecure` is set.
    fn url(&mut self, key: &str, given: &At<String>, http: bool, insecure: Option<&At<bool>>) -> String {
        let text = given.value.trim_end_matches('/');
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (Some(scheme), rest),
            Some((scheme, _)) => {
                self.problems.error(given.mark, format!("{key}: the scheme is `http` or `https`, this is `{scheme}`"));
                return String::new();
            }
            None => (None, text),
        };
        if scheme.is_none() && http {
            self.problems.error(given.mark, format!("{key}: takes a URL, for instance `http://{text}`"));
        }
        let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
        let default_port = if scheme.is_some() && !authority.rsplit(']').next().unwrap_or("").contains(':') {
            format!("{authority}:{}", if scheme == Some("https") { 443 } else { 80 })
        } else {
            authority.to_owned()
        };
        if let Err(reason) = host_and_port(&default_port) {
            self.problems.error(given.mark, format!("{key}: `{}` {reason}", given.value));
        }
        if default_port.ends_with(":0") {
            self.problems.error(given.mark, format!("{key}: port 0 can't be connected to"));
        }
        if !http && !path.is_empty() {
            self.problems.error(given.mark, format!("{key}: OTLP/gRPC has no path, `/{path}` must go"));
        }
        match (scheme, insecure) {
            (Some("https"), Some(At { value: true, mark })) => {
                let message = format!("{key}: `https` and `tls.insecure: true` contradict each other");
                self.problems.error(*mark, message);
            }
            (Some("http"), Some(At { value: false, mark })) => {
                let message = format!("{key}: `http` and `tls.insecure: false` contradict each other");
                self.problems.error(*mark, message);
            }
            _ => {}
        }
        let plain = insecure.is_some_and(|at| at.value);
        let scheme = scheme.unwrap_or(if plain { "http" } else { "https" });
        format!("{scheme}://{rest}")
    }

    fn detector(&mut self, name: &At<String>, raw: &RawDetector) -> Option<DetectorConfig> {
        let key = format!("detectors.{}", name.value);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        if name.value.is_empty() || name.value.len() > 64 || !name.value.bytes().all(fits) {
            let message = format!("{key}: a name is 1 to 64 letters, digits, `-`, `_`, `.` and `/`");
            self.problems.error(name.mark, message);
        }
        let services = raw.services.clone().unwrap_or_else(|| vec![At { value: "*".to_owned(), mark: name.mark }]);
        if services.is_empty() {
            self.problems.warning(name.mark, format!("{key}.services: is empty, so it never runs"));
        }
        for glob in &services {
            if let Err(error) = globset::Glob::new(&glob.value) {
                self.problems
                    .error(glob.mark, format!("{key}.services: `{}` is not a glob: {}", glob.value, error.kind()));
            }
        }
        let given = raw.module.as_ref()?;
        let module = match given.value.split_once(':') {
            Some(("builtin", builtin)) => Module::Builtin(builtin.to_owned()),
            _ => Module::File(self.file(&format!("{key}.module"), given)),
        };
        let config = raw.config.as_ref().map_or_else(|| serde_json::json!({}), Node::to_json);
        if !matches!(&module, Module::File(path) if !path.is_file()) {
            match self.surroundings.modules.about(&module) {
                Ok(about) => self.schema(&key, name.mark, raw.config.as_ref(), &config, &about.config_schema),
                Err(reason) => self.problems.error(given.mark, format!("{key}.module: `{}` {reason}", given.value)),
            }
        }
        Some(DetectorConfig {
            name: name.value.clone(),
            module,
            services: services.into_iter().map(|glob| glob.value).collect(),
            config,
            memory_bytes: usize::try_from(raw.memory_mib.unwrap_or(16)).unwrap_or(16) * MIB,
            deadline: raw.deadline.unwrap_or(Duration::from_millis(100)),
        })
    }

    /// Checks a detector's configuration against its own schema; each complaint is placed at the key it is about.
    fn schema(&mut self, key: &str, name: Mark, node: Option<&Node>, config: &serde_json::Value, schema: &str) {
        let usable =
            serde_json::from_str(schema).map_err(|error| error.to_string()).and_then(|schema: serde_json::Value| {
                jsonschema::validator_for(&schema).map_err(|error| error.to_string())
            });
        match usable {
            Err(reason) => {
                self.problems
                    .error(name, format!("{key}: the component's configuration schema is of no use: {reason}"));
            }
            Ok(validator) => {
                for error in validator.iter_errors(config).take(32) {
                    let mut pointer = error.instance_path().to_string();
                    if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind()
                        && let Some(first) = unexpected.first()
                    {
                        pointer = format!("{pointer}/{first}");
                    }
                    let mark = node.map_or(name, |node| node.mark_of_pointer(&pointer));
                    let way = pointer.replace('/', ".");
                    self.problems.error(mark, format!("{key}.config{way}: {error}"));
                }
            }
        }
    }

    fn pipeline(&mut self, name: &At<String>, raw: &RawPipeline, all: &Raw) -> Option<Pipeline> {
        let key = format!("service.pipelines.{}", name.value);
        let kind = name.value.split_once('/').map_or(name.value.as_str(), |(kind, _)| kind);
        let signal = Signal::ALL.into_iter().find(|signal| signal.name() == kind);
        if signal.is_none() {
            let hint = hint(kind, Signal::ALL.map(Signal::name));
            let message =
                format!("{key}: a pipeline is `metrics`, `logs` or `traces`, with `/name` behind it if need be{hint}");
            self.problems.error(name.mark, message);
        }
        match &raw.receivers {
            Some(receivers) if !receivers.value.is_empty() => {
                for receiver in &receivers.value {
                    if receiver.value != "otlp" {
                        let hint = hint(&receiver.value, ["otlp"]);
                        let message = format!("{key}.receivers: there is no receiver `{}`{hint}", receiver.value);
                        self.problems.error(receiver.mark, message);
                    } else if all.receiver.is_none() {
                        let message = format!("{key}.receivers: `otlp` is not configured under `receivers`");
                        self.problems.error(receiver.mark, message);
                    }
                }
            }
            _ => self.problems.error(raw.mark, format!("{key}.receivers: is missing or empty; it takes `[otlp]`")),
        }
        let detectors = self.references(&key, "detectors", "detector", &raw.detectors, &names(&all.detectors));
        let exporters = match &raw.exporters {
            Some(list) if !list.value.is_empty() => {
                self.references(&key, "exporters", "exporter", &list.value, &names(&all.exporters))
            }
            _ => {
                self.problems.error(raw.mark, format!("{key}.exporters: is missing or empty"));
                Vec::new()
            }
        };
        Some(Pipeline { name: name.value.clone(), signal: signal?, detectors, exporters })
    }

    fn references(&mut self, key: &str, list: &str, what: &str, given: &[At<String>], known: &[&str]) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for reference in given {
            if !known.contains(&reference.value.as_str()) {
                let hint = hint(&reference.value, known.iter().copied());
                self.problems
                    .error(reference.mark, format!("{key}.{list}: there is no {what} `{}`{hint}", reference.value));
            } else if found.contains(&reference.value) {
                self.problems.warning(reference.mark, format!("{key}.{list}: `{}` stands here twice", reference.value));
            } else {
                found.push(reference.value.clone());
            }
        }
        found
    }

    fn detection(&mut self, raw: &RawDetection, all: &Raw, pipelines: &[Pipeline]) -> Detection {
        if let Some(window) = &raw.window
            && window.value.subsec_nanos() != 0
        {
            self.problems.error(window.mark, "detection.window: takes whole seconds");
        }
        if let (Some(open), Some(close)) = (&raw.anomalies.open_score, &raw.anomalies.close_score)
            && close.value > open.value
        {
            self.problems.error(close.mark, "detection.anomalies.close_score: must not be above `open_score`");
        }
        if let (Some(windows), Some(of)) = (&raw.anomalies.open_windows, &raw.anomalies.open_of)
            && windows.value > of.value
        {
            let message = "detection.anomalies.open_windows: must not be above `open_of`";
            self.problems.error(windows.mark, message);
        }
        let shards = match (self.surroundings.env)("FORESHOCK_SHARDS").filter(|text| !text.is_empty()) {
            Some(text) => match text.parse::<usize>().ok().filter(|shards| (1..=64).contains(shards)) {
                Some(shards) => shards,
                None => {
                    let message = format!("the environment variable FORESHOCK_SHARDS takes 1 to 64, this is `{text}`");
                    self.problems.error(all.service, message);
                    1
                }
            },
            None => {
                raw.shards.and_then(|n| usize::try_from(n).ok()).unwrap_or(self.surroundings.processors.clamp(1, 4))
            }
        };
        let size = |value: Option<u64>| value.and_then(|v| usize::try_from(v).ok());
        let count = |value: Option<u64>| value.and_then(|v| u32::try_from(v).ok());
        let mut chosen = |list: &Option<At<Vec<At<String>>>>, which: &str, signal: Signal| match list {
            Some(list) => {
                self.references("detection.exporters", which, "exporter", &list.value, &names(&all.exporters))
            }
            None => emission(pipelines, signal),
        };
        Detection {
            window: raw.window.as_ref().map_or(Duration::from_secs(10), |at| at.value),
            lateness: raw.lateness.unwrap_or(Duration::from_secs(5)),
            idle: raw.idle.unwrap_or(Duration::from_secs(30)),
            shards,
            queue_requests: size(raw.queue_requests).unwrap_or(4096),
            queue_bytes: size(raw.queue_size_mib).unwrap_or(64) * MIB,
            services: size(raw.services).unwrap_or(10_000),
            series_per_service: size(raw.series_per_service),
            streams_per_service: size(raw.streams_per_service),
            templates_per_service: size(raw.templates_per_service),
            operations_per_service: size(raw.operations_per_service),
            anomalies: AnomalyConfig {
                open_score: raw.anomalies.open_score.as_ref().map(|at| at.value),
                close_score: raw.anomalies.close_score.as_ref().map(|at| at.value),
                open_windows: count(raw.anomalies.open_windows.as_ref().map(|at| at.value)),
                open_of: count(raw.anomalies.open_of.as_ref().map(|at| at.value)),
                close_windows: count(raw.anomalies.close_windows),
                minimum_duration: raw.anomalies.minimum_duration,
                minimum_volume: raw.anomalies.minimum_volume,
                unknown_volume_windows: count(raw.anomalies.unknown_volume_windows),
                minimum_change: raw.anomalies.minimum_change,
                minimum_latency_change: raw.anomalies.minimum_latency_change,
                minimum_error_change: raw.anomalies.minimum_error_change,
                minimum_share_change: raw.anomalies.minimum_share_change,
            },
            incidents: IncidentConfig {
                join_within: raw.incidents.join_within,
                persistence_windows: count(raw.incidents.persistence_windows),
                persistence_readings: count(raw.incidents.persistence_readings),
                growth_within: raw.incidents.growth_within,
                quiet: raw.incidents.quiet,
                reopen_within: raw.incidents.reopen_within,
                merge_within: raw.incidents.merge_within,
                version_change_within: raw.incidents.version_change_within,
            },
            event_exporters: chosen(&raw.event_exporters, "events", Signal::Logs),
            trace_exporters: chosen(&raw.trace_exporters, "traces", Signal::Traces),
        }
    }

    /// Names of exporters and detectors that something uses; the others are warned about.
    fn used(&mut self, raw: &Raw, pipelines: &[Pipeline], detection: &Detection) -> BTreeSet<String> {
        let exporters: BTreeSet<&String> = pipelines
            .iter()
            .flat_map(|pipeline| &pipeline.exporters)
            .chain(&detection.event_exporters)
            .chain(&detection.trace_exporters)
            .collect();
        let detectors: BTreeSet<&String> = pipelines.iter().flat_map(|pipeline| &pipeline.detectors).collect();
        for (name, _) in &raw.exporters {
            if !exporters.contains(&name.value) {
                self.problems.warning(name.mark, format!("exporters.{}: no pipeline uses it", name.value));
            }
        }
        for (name, _) in &raw.detectors {
            if !detectors.contains(&name.value) {
                self.problems.warning(name.mark, format!("detectors.{}: no pipeline uses it", name.value));
            }
        }
        exporters.into_iter().chain(detectors).cloned().collect()
    }

    fn telemetry(&mut self, raw: &Raw) -> Telemetry {
        let telemetry = &raw.telemetry;
        let level = telemetry.level.as_ref().map_or_else(|| "info".to_owned(), |level| level.value.to_lowercase());
        if let Some(given) = &telemetry.level
            && let Err(error) = level.parse::<tracing_subscriber::filter::targets::Targets>()
        {
            let message = format!("service.telemetry.logs.level: `{}` is not a level: {error}", given.value);
            self.problems.error(given.mark, message);
        }
        let push = |checker: &mut Self, key: &str, push: &Option<RawPush>| {
            push.as_ref().and_then(|push| {
                let key = format!("service.telemetry.{key}.otlp.endpoint");
                match &push.endpoint {
                    Some(endpoint) => {
                        let plain = At { value: !endpoint.value.starts_with("https://"), mark: endpoint.mark };
                        Some(checker.url(&key, endpoint, false, Some(&plain)))
                    }
                    None => {
                        checker.problems.error(push.mark, format!("{key}: is missing"));
                        None
                    }
                }
            })
        };
        let metrics = push(self, "metrics", &telemetry.metrics).map(|endpoint| MetricsPush {
            endpoint,
            interval: telemetry.metrics.as_ref().and_then(|push| push.interval).unwrap_or(Duration::from_secs(60)),
        });
        let traces = push(self, "traces", &telemetry.traces).map(|endpoint| TracesPush {
            endpoint,
            sampling: telemetry.traces.as_ref().and_then(|push| push.sampling).unwrap_or(0.01),
        });
        let resource = telemetry.resource.iter().map(|(key, value)| (key.value.clone(), value.value.clone())).collect();
        Telemetry { level, format: telemetry.format.unwrap_or_default(), metrics, traces, resource }
    }
}

/// Where events (`Logs`) or incident traces (`Traces`) go unless the file says: to the exporters of those pipelines of the
/// signal that have detectors, else to those of all pipelines that have detectors.
fn emission(pipelines: &[Pipeline], signal: Signal) -> Vec<String> {
    let with = |only: Option<Signal>| {
        let mut found: Vec<String> = Vec::new();
        for pipeline in pipelines {
            if !pipeline.detectors.is_empty() && only.is_none_or(|signal| pipeline.signal == signal) {
                for exporter in &pipeline.exporters {
                    if !found.contains(exporter) {
                        found.push(exporter.clone());
                    }
                }
            }
        }
        found
    };
    let own = with(Some(signal));
    if own.is_empty() { with(None) } else { own }
}

fn names<T>(list: &[(At<String>, T)]) -> Vec<&str> {
    list.iter().map(|(name, _)| name.value.as_str()).collect()
}

/// Whether the text is `host:port`; the error ends a sentence that begins with the text.
fn host_and_port(text: &str) -> Result<(), &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("has no port")?;
    if host.is_empty() {
        return Err("has no host");
    }
    if host.starts_with('[') != host.ends_with(']') || (host.contains(':') && !host.starts_with('[')) {
        return Err("has an IPv6 address without brackets");
    }
    if host.bytes().any(|byte| byte.is_ascii_whitespace() || b"/@?#\\".contains(&byte)) {
        return Err("has a host that can't be");
    }
    port.parse::<u16>().map(|_| ()).map_err(|_| "has a port that is not a number from 0 to 65535")
}
