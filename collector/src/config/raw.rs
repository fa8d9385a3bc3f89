//! A configuration as it was written: types and ranges are right, references and files are not looked at yet.

use super::{
    problem::{At, Mark},
    yaml::Node,
};
use foreshock_sandbox::Limits;
use std::time::Duration;

/// The whole file.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    /// `receivers.otlp`, if there.
    pub(crate) receiver: Option<RawReceiver>,
    /// `exporters`, in the order of the file.
    pub(crate) exporters: Vec<(At<String>, RawExporter)>,
    /// `detectors`, in the order of the file.
    pub(crate) detectors: Vec<(At<String>, RawDetector)>,
    /// `detection`.
    pub(crate) detection: RawDetection,
    /// `storage.path`.
    pub(crate) storage: Option<At<String>>,
    /// `storage.enabled: false`.
    pub(crate) storage_off: bool,
    /// `console.endpoint`.
    pub(crate) console: RawEndpoint,
    /// `health.endpoint`.
    pub(crate) health: RawEndpoint,
    /// `service.pipelines`, in the order of the file.
    pub(crate) pipelines: Vec<(At<String>, RawPipeline)>,
    /// Where `service` or the file begins, for complaints about what is missing there.
    pub(crate) service: Mark,
    /// `service.telemetry`.
    pub(crate) telemetry: RawTelemetry,
    /// `service.shutdown_timeout`.
    pub(crate) shutdown_timeout: Option<Duration>,
}

/// An endpoint that may be absent, written, or switched off with `enabled: false`.
#[derive(Debug, Default)]
pub(crate) struct RawEndpoint {
    /// As written.
    pub(crate) endpoint: Option<At<String>>,
    /// Whether it was switched off.
    pub(crate) disabled: bool,
}

/// `receivers.otlp`.
#[derive(Debug, Default)]
pub(crate) struct RawReceiver {
    /// Where it stands.
    pub(crate) mark: Mark,
    /// `protocols.grpc`.
    pub(crate) grpc: Option<RawListener>,
    /// `protocols.http`.
    pub(crate) http: Option<RawListener>,
}

/// One listener of the receiver.
#[derive(Debug, Default)]
pub(crate) struct RawListener {
    /// `host:port`.
    pub(crate) endpoint: Option<At<String>>,
    /// Largest message, decompressed.
    pub(crate) max_recv_msg_size_mib: Option<u64>,
    /// `tls`.
    pub(crate) tls: Option<RawTls>,
    /// `auth`.
    pub(crate) auth: Option<RawAuth>,
}

/// `auth` of a listener or an exporter.
#[derive(Debug, Default)]
pub(crate) struct RawAuth {
    /// Where it stands.
    pub(crate) mark: Mark,
    /// The token itself.
    pub(crate) bearer_token: Option<At<String>>,
    /// A file that holds it.
    pub(crate) bearer_token_file: Option<At<String>>,
    /// `basic`.
    pub(crate) basic: Option<RawBasic>,
}

/// `auth.basic`.
#[derive(Debug, Default)]
pub(crate) struct RawBasic {
    /// Where it stands.
    pub(crate) mark: Mark,
    /// The name.
    pub(crate) username: Option<At<String>>,
    /// The password itself.
    pub(crate) password: Option<At<String>>,
    /// A file that holds it.
    pub(crate) password_file: Option<At<String>>,
}

/// `tls` of a listener or an exporter.
#[derive(Debug, Default)]
pub(crate) struct RawTls {
    /// Where it stands.
    pub(crate) mark: Mark,
    /// No TLS at all (exporters).
    pub(crate) insecure: Option<At<bool>>,
    /// Authorities of the far side.
    pub(crate) ca_file: Option<At<String>>,
    /// Own certificate.
    pub(crate) cert_file: Option<At<String>>,
    /// Own key.
    pub(crate) key_file: Option<At<String>>,
    /// Name to expect (exporters).
    pub(crate) server_name: Option<At<String>>,
    /// Authorities of clients (listeners).
    pub(crate) client_ca_file: Option<At<String>>,
}

/// Compression of what is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Compression {
    /// As it is.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// One of `exporters`.
#[derive(Debug, Default)]
pub(crate) struct RawExporter {
    /// Where the far side is.
    pub(crate) endpoint: Option<At<String>>,
    /// `compression`.
    pub(crate) compression: Option<Compression>,
    /// `headers`.
    pub(crate) headers: Vec<(At<String>, At<String>)>,
    /// `auth`.
    pub(crate) auth: Option<RawAuth>,
    /// `tls`.
    pub(crate) tls: Option<RawTls>,
    /// `timeout`.
    pub(crate) timeout: Option<Duration>,
    /// `sending_queue`.
    pub(crate) queue: RawQueue,
    /// `retry_on_failure`.
    pub(crate) retry: RawRetry,
    /// `verbosity` of `debug`.
    pub(crate) detailed: bool,
}

/// `sending_queue`.
#[derive(Debug, Default)]
pub(crate) struct RawQueue {
    /// Most requests.
    pub(crate) queue_size: Option<u64>,
    /// Most bytes.
    pub(crate) queue_size_mib: Option<u64>,
    /// Sends at the same time.
    pub(crate) num_consumers: Option<u64>,
    /// Whether a full queue drops (true) or pushes back.
    pub(crate) drop_when_full: Option<bool>,
}

/// `retry_on_failure`.
#[derive(Debug, Default)]
pub(crate) struct RawRetry {
    /// Whether to try again at all.
    pub(crate) enabled: Option<bool>,
    /// First wait.
    pub(crate) initial_interval: Option<At<Duration>>,
    /// Longest wait.
    pub(crate) max_interval: Option<At<Duration>>,
    /// When to give up; 0 means never.
    pub(crate) max_elapsed_time: Option<Duration>,
    /// Growth of the wait.
    pub(crate) multiplier: Option<f64>,
}

/// One of `detectors`.
#[derive(Debug)]
pub(crate) struct RawDetector {
    /// `builtin:NAME`, a path, or `oci://...`.
    pub(crate) module: Option<At<String>>,
    /// Globs over service names.
    pub(crate) services: Option<Vec<At<String>>>,
    /// How much it counts beside others.
    pub(crate) weight: Option<f64>,
    /// Configuration of the detector.
    pub(crate) config: Option<Node>,
    /// `limits`.
    pub(crate) limits: RawLimits,
}

/// A detector's `limits`.
#[derive(Debug, Default)]
pub(crate) struct RawLimits {
    /// `memory_mib`.
    pub(crate) memory_mib: Option<u64>,
    /// `answer_kib`.
    pub(crate) answer_kib: Option<u64>,
    /// `state_kib`.
    pub(crate) state_kib: Option<u64>,
    /// `findings`.
    pub(crate) findings: Option<u64>,
    /// `log_lines_per_second`.
    pub(crate) log_lines_per_second: Option<u64>,
    /// `deadline`.
    pub(crate) deadline: Option<Duration>,
}

impl RawLimits {
    /// With defaults for what is not given.
    pub(crate) fn or_defaults(&self) -> Limits {
        let usual = Limits::default();
        let bytes = |given: Option<u64>, unit: usize, usual: usize| {
            given.and_then(|given| usize::try_from(given).ok()).map_or(usual, |given| given.saturating_mul(unit))
        };
        let lines = self.log_lines_per_second.and_then(|lines| u32::try_from(lines).ok());
        Limits {
            memory_bytes: bytes(self.memory_mib, 1 << 20, usual.memory_bytes),
            answer_bytes: bytes(self.answer_kib, 1 << 10, usual.answer_bytes),
            state_bytes: bytes(self.state_kib, 1 << 10, usual.state_bytes),
            findings: bytes(self.findings, 1, usual.findings),
            log_lines_per_second: lines.unwrap_or(usual.log_lines_per_second),
            deadline: self.deadline.unwrap_or(usual.deadline),
        }
    }
}

/// One of `service.pipelines`.
#[derive(Debug, Default)]
pub(crate) struct RawPipeline {
    /// Where it stands.
    pub(crate) mark: Mark,
    /// `receivers`.
    pub(crate) receivers: Option<At<Vec<At<String>>>>,
    /// `detectors`.
    pub(crate) detectors: Vec<At<String>>,
    /// `exporters`.
    pub(crate) exporters: Option<At<Vec<At<String>>>>,
}

/// `detection`.
#[derive(Debug, Default)]
pub(crate) struct RawDetection {
    /// `window`.
    pub(crate) window: Option<At<Duration>>,
    /// `lateness`.
    pub(crate) lateness: Option<Duration>,
    /// `idle`.
    pub(crate) idle: Option<Duration>,
    /// `shards`.
    pub(crate) shards: Option<u64>,
    /// `queue.requests`.
    pub(crate) queue_requests: Option<u64>,
    /// `queue.size_mib`.
    pub(crate) queue_size_mib: Option<u64>,
    /// `limits.services`.
    pub(crate) services: Option<u64>,
    /// `limits.series_per_service`.
    pub(crate) series_per_service: Option<u64>,
    /// `limits.templates_per_service`.
    pub(crate) templates_per_service: Option<u64>,
    /// `limits.streams_per_service`.
    pub(crate) streams_per_service: Option<u64>,
    /// `limits.operations_per_service`.
    pub(crate) operations_per_service: Option<u64>,
    /// `false_alarms_per_service_day`.
    pub(crate) false_alarms_per_service_day: Option<f64>,
    /// `selfcheck_every`.
    pub(crate) selfcheck_every: Option<Duration>,
    /// `anomalies`.
    pub(crate) anomalies: RawAnomalies,
    /// `incidents`.
    pub(crate) incidents: RawIncidents,
    /// `exporters.events`.
    pub(crate) event_exporters: Option<At<Vec<At<String>>>>,
    /// `exporters.traces`.
    pub(crate) trace_exporters: Option<At<Vec<At<String>>>>,
}

/// `detection.anomalies`.
#[derive(Debug, Default)]
pub(crate) struct RawAnomalies {
    /// Surprise from which a window is odd.
    pub(crate) open_score: Option<At<f64>>,
    /// Surprise below which a window is calm again.
    pub(crate) close_score: Option<At<f64>>,
    /// Odd windows before an anomaly opens,
    pub(crate) open_windows: Option<At<u64>>,
    /// out of so many.
    pub(crate) open_of: Option<At<u64>>,
    /// Calm windows before it ends.
    pub(crate) close_windows: Option<u64>,
    /// Windows after its end in which its series needs more to open another one.
    pub(crate) refractory_windows: Option<u64>,
    /// How long an anomaly lasts at least.
    pub(crate) minimum_duration: Option<Duration>,
    /// Spans a window below which span series are not judged.
    pub(crate) minimum_volume: Option<f64>,
    /// Odd windows in a row from which a quantile of unknown volume is worth a warning.
    pub(crate) unknown_volume_windows: Option<u64>,
    /// What a deviation must amount to: ratio less 1,
    pub(crate) minimum_change: Option<f64>,
    /// of times,
    pub(crate) minimum_latency_change: Option<Duration>,
    /// of error shares,
    pub(crate) minimum_error_change: Option<f64>,
    /// of other shares of a whole.
    pub(crate) minimum_share_change: Option<f64>,
}

/// `detection.incidents`.
#[derive(Debug, Default)]
pub(crate) struct RawIncidents {
    /// How far apart two anomalies of one incident may begin.
    pub(crate) join_within: Option<Duration>,
    /// How many windows a lone anomaly must last to open an incident.
    pub(crate) persistence_windows: Option<u64>,
    /// How many readings it must last.
    pub(crate) persistence_readings: Option<u64>,
    /// How long after its latest growth an open incident takes in what it does not explain.
    pub(crate) growth_within: Option<Duration>,
    /// Quiet time before an incident is resolved.
    pub(crate) quiet: Option<Duration>,
    /// How long after that it is reopened instead of a new one opened.
    pub(crate) reopen_within: Option<Duration>,
    /// How long two incidents may merge.
    pub(crate) merge_within: Option<Duration>,
    /// How long before its start a version change counts.
    pub(crate) version_change_within: Option<Duration>,
}

/// How Foreshock's own log looks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `service.telemetry`.
#[derive(Debug, Default)]
pub(crate) struct RawTelemetry {
    /// `logs.level`.
    pub(crate) level: Option<At<String>>,
    /// `logs.format`.
    pub(crate) format: Option<LogFormat>,
    /// `logs.otlp`.
    pub(crate) logs: Option<RawPush>,
    /// `metrics.otlp`.
    pub(crate) metrics: Option<RawPush>,
    /// `traces.otlp`.
    pub(crate) traces: Option<RawPush>,
    /// `resource`.
    pub(crate) resource: Vec<(At<String>, At<String>)>,
}

/// Where own telemetry goes.
#[derive(Debug, Default)]
pub(crate) struct RawPush {
    /// Where it stands.
    pub(crate) mark: Mark,
    /// URL of an OTLP/gRPC endpoint.
    pub(crate) endpoint: Option<At<String>>,
    /// `headers`.
    pub(crate) headers: Vec<(At<String>, At<String>)>,
    /// `tls`.
    pub(crate) tls: Option<RawTls>,
    /// How often metrics are sent.
    pub(crate) interval: Option<Duration>,
    /// Share of traces that are kept, 0 to 1.
    pub(crate) sampling: Option<f64>,
}
