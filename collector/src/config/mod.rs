//! Configuration: from a file to what the program needs.
//!
//! A file goes through three steps: [`yaml`] reads it into a tree with marks and puts environment variables in, `read` checks
//! keys, types and ranges, `check` resolves references, files and detectors. Each step reports all that it finds, so one run
//! of `foreshock validate` shows every problem with its line.

mod check;
pub(crate) mod fields;
mod problem;
mod raw;
mod read;
pub mod yaml;

pub use self::{
    problem::{At, Gravity, Mark, Problem, Problems},
    raw::{Compression, LogFormat},
};

use foreshock_otlp::Signal;
use foreshock_registry::Reference;
use foreshock_sandbox::Limits;
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

/// What the program needs to run. Every reference in it leads somewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// OTLP/gRPC listener, if any.
    pub grpc: Option<Listener>,
    /// OTLP/HTTP listener, if any.
    pub http: Option<Listener>,
    /// Exporters that some pipeline or the emission uses, by name.
    pub exporters: BTreeMap<String, Exporter>,
    /// Detectors that some pipeline uses, in the order of the file.
    pub detectors: Vec<DetectorConfig>,
    /// Pipelines, in the order of the file.
    pub pipelines: Vec<Pipeline>,
    /// Windows, queues, limits and thresholds.
    pub detection: Detection,
    /// Folder of the state; `None` keeps nothing across a restart.
    pub storage: Option<PathBuf>,
    /// Whether the file names that folder. One that it does not name may be missing at run time, with a warning.
    pub storage_is_chosen: bool,
    /// `host:port` of the console; `None` where it is switched off.
    pub console: Option<String>,
    /// `host:port` of the health check; `None` where it is switched off.
    pub health: Option<String>,
    /// Foreshock's own telemetry.
    pub telemetry: Telemetry,
    /// How long a shutdown may take.
    pub shutdown_timeout: Duration,
}

/// One listener of the receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// `host:port`; port 0 takes a free one.
    pub endpoint: String,
    /// Largest message in bytes, decompressed. Default 64 MiB.
    pub max_message_bytes: usize,
    /// Certificate, key and authority of clients; `None` means plain text.
    pub tls: Option<ServerTls>,
    /// What a sender must show; `None` lets everybody in.
    pub credentials: Option<Credentials>,
}

/// What stands in an `authorization` header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Credentials {
    /// A bearer token.
    Bearer(Secret),
    /// A name without a colon, and a password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
    },
}

/// Text that must not be shown.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// TLS of a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerTls {
    /// PEM file with the certificate chain.
    pub cert_file: PathBuf,
    /// PEM file with the key.
    pub key_file: PathBuf,
    /// PEM file with the authorities of clients; set, every client needs a certificate.
    pub client_ca_file: Option<PathBuf>,
}

/// TLS of an exporter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientTls {
    /// PEM file with the authorities of the far side; `None` takes the usual public ones.
    pub ca_file: Option<PathBuf>,
    /// PEM files with our own certificate chain and key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name to expect in the far side's certificate; `None` takes the host of the endpoint.
    pub server_name: Option<String>,
}

/// One exporter.
#[derive(Clone, Debug, PartialEq)]
pub struct Exporter {
    /// Its name as in the file, for instance `otlp/backend`.
    pub name: String,
    /// What it speaks.
    pub kind: ExporterKind,
}

/// What an exporter speaks.
#[derive(Clone, Debug, PartialEq)]
pub enum ExporterKind {
    /// OTLP to a far side.
    Otlp(Box<Upstream>),
    /// Counts, or with `detailed` prints, what it gets to Foreshock's own log.
    Debug {
        /// Whether items are shown.
        detailed: bool,
    },
}

/// A far side that takes OTLP.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Whether it is OTLP/HTTP; else OTLP/gRPC.
    pub http: bool,
    /// URL with scheme `http` or `https`; for OTLP/HTTP without `/v1/...`.
    pub endpoint: String,
    /// Default gzip.
    pub compression: Compression,
    /// Names in lower case.
    pub headers: Vec<(String, Secret)>,
    /// What is shown to the far side.
    pub credentials: Option<Credentials>,
    /// Only of use with `https`.
    pub tls: ClientTls,
    /// How long one attempt may take. Default 5 s over gRPC, 30 s over HTTP.
    pub timeout: Duration,
    /// Its queue.
    pub queue: Queue,
    /// What is done when it fails.
    pub retry: Retry,
}

/// A sending queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Queue {
    /// Most requests. Default 1,000.
    pub requests: usize,
    /// Most bytes. Default 64 MiB.
    pub bytes: usize,
    /// Sends at the same time. Default 10.
    pub consumers: usize,
    /// Whether a full queue drops what comes (and counts it) instead of pushing back to the sender. Default false.
    pub drop_when_full: bool,
}

/// What is done when sending fails in a way that may pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// Whether it is tried again. Default true.
    pub enabled: bool,
    /// First wait. Default 5 s.
    pub initial_interval: Duration,
    /// Longest wait. Default 30 s.
    pub max_interval: Duration,
    /// When to give up and drop, from the first attempt; zero means never. Default 5 min.
    pub max_elapsed_time: Duration,
    /// Growth of the wait. Default 1.5.
    pub multiplier: f64,
}

/// Where a detector's component comes from.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Module {
    /// Comes with the program.
    Builtin(String),
    /// A file.
    File(PathBuf),
    /// In an OCI registry, by digest.
    Oci(Reference),
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(name) => write!(f, "builtin:{name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Oci(reference) => reference.fmt(f),
        }
    }
}

/// One detector.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectorConfig {
    /// Its name as in the file.
    pub name: String,
    /// Its component.
    pub module: Module,
    /// Globs over `service.name`, or over `namespace/name` where they hold a slash. Default `*`.
    pub services: Vec<String>,
    /// Its own configuration, a JSON object that its schema accepts.
    pub config: serde_json::Value,
    /// How much it counts where several detectors have an opinion on the same series. Default 1.
    pub weight: f64,
    /// What it may use.
    pub limits: Limits,
}

/// One pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Its name as in the file, for instance `logs/audit`.
    pub name: String,
    /// What flows through it.
    pub signal: Signal,
    /// Names of detectors.
    pub detectors: Vec<String>,
    /// Names of exporters; at least one.
    pub exporters: Vec<String>,
}

/// How detection works.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// Length of a window. Default 10 s.
    pub window: Duration,
    /// How late data may come. Default 5 s.
    pub lateness: Duration,
    /// How long a service is silent before its open windows are closed. Default 30 s.
    pub idle: Duration,
    /// Threads; a service lives on one. Default: the number of processors, at most 4. `FORESHOCK_SHARDS` goes before the file.
    pub shards: usize,
    /// Most requests that wait for detection; more are shed. Default 4,096.
    pub queue_requests: usize,
    /// Most bytes that wait for detection. Default 64 MiB.
    pub queue_bytes: usize,
    /// Most services. Default 10,000.
    pub services: usize,
    /// Most series of one service. Default: the engine's.
    pub series_per_service: Option<usize>,
    /// Most streams (series of single instances) of one service. Default: the engine's.
    pub streams_per_service: Option<usize>,
    /// Most log templates of one service. Default: the engine's.
    pub templates_per_service: Option<usize>,
    /// Most operations of one service that spans are told apart by. Default: the engine's.
    pub operations_per_service: Option<usize>,
    /// How often each shard checks one of its services; zero never does. Default 15 min.
    pub selfcheck_every: Duration,
    /// The budget of false alarms, of one service in one day. Default: the engine's.
    pub false_alarms_per_service_day: Option<f64>,
    /// When anomalies open and end.
    pub anomalies: AnomalyConfig,
    /// When incidents open and end.
    pub incidents: IncidentConfig,
    /// Exporters of events.
    pub event_exporters: Vec<String>,
    /// Exporters of incident traces.
    pub trace_exporters: Vec<String>,
}

/// When anomalies open and end. What is `None` is as the engine has it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AnomalyConfig {
    /// Surprise (0 to 16) from which a window is odd.
    pub open_score: Option<f64>,
    /// Surprise below which a window is calm again; at most `open_score`.
    pub close_score: Option<f64>,
    /// Odd windows before an anomaly opens, out of the last `open_of`.
    pub open_windows: Option<u32>,
    /// See `open_windows`.
    pub open_of: Option<u32>,
    /// Calm windows in a row before it ends.
    pub close_windows: Option<u32>,
    /// Windows after its end in which its series needs more to open another one.
    pub refractory_windows: Option<u32>,
    /// How long an anomaly lasts at least.
    pub minimum_duration: Option<Duration>,
    /// Spans or records a window below which series made from them are not judged.
    pub minimum_volume: Option<f64>,
    /// Windows in a row in which a quantile of an unknown number of values must be odd to be worth a warning. Default 6.
    pub unknown_volume_windows: Option<u32>,
    /// How much larger or smaller than expected a value must be to matter, as a ratio less 1; times and rates twice that.
    /// Default 0.25.
    pub minimum_change: Option<f64>,
    /// How far from what was expected a time must be. Default 5 ms.
    pub minimum_latency_change: Option<Duration>,
    /// How far from what was expected a share of failed calls must be, 0 to 1. Default 0.01.
    pub minimum_error_change: Option<f64>,
    /// How far from what was expected another share of a whole must be, 0 to 1. Default 0.05.
    pub minimum_share_change: Option<f64>,
}

/// When incidents open and end. What is `None` is as the engine has it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct IncidentConfig {
    /// How far apart two anomalies of one incident may begin.
    pub join_within: Option<Duration>,
    /// How many windows a lone anomaly must last to open an incident.
    pub persistence_windows: Option<u32>,
    /// How many readings it must last, where these come less often than windows. Default 6.
    pub persistence_readings: Option<u32>,
    /// How long after its latest growth an open incident takes in what is connected with it but not explained by it.
    /// Default 4 minutes.
    pub growth_within: Option<Duration>,
    /// Quiet time before an incident is resolved.
    pub quiet: Option<Duration>,
    /// How long after that it is reopened instead of a new one opened.
    pub reopen_within: Option<Duration>,
    /// Incidents opened further apart do not merge.
    pub merge_within: Option<Duration>,
    /// How long before an incident's start a version change counts.
    pub version_change_within: Option<Duration>,
}

/// Foreshock's own telemetry.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// Filter in the manner of `tracing_subscriber::EnvFilter`; default `info`. The variable `FORESHOCK_LOG` goes before it.
    pub level: String,
    /// Lines for people, or JSON.
    pub format: LogFormat,
    /// Where own metrics are pushed.
    pub metrics: Option<MetricsPush>,
    /// Where own spans are pushed.
    pub traces: Option<TracesPush>,
    /// Where own log records are pushed, beside the lines on stderr.
    pub logs: Option<Push>,
    /// Attributes beside `service.name`, `service.version` and `service.instance.id`.
    pub resource: Vec<(String, String)>,
}

/// An OTLP/gRPC endpoint that takes own telemetry.
#[derive(Clone, Debug, PartialEq)]
pub struct Push {
    /// URL with scheme `http` or `https`.
    pub endpoint: String,
    /// Names in lower case.
    pub headers: Vec<(String, Secret)>,
    /// Only of use with `https`.
    pub tls: ClientTls,
}

/// Where own metrics are pushed.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsPush {
    /// Where to.
    pub to: Push,
    /// How often. Default 60 s.
    pub interval: Duration,
}

/// Where own spans are pushed.
#[derive(Clone, Debug, PartialEq)]
pub struct TracesPush {
    /// Where to.
    pub to: Push,
    /// Share of traces that are kept, 0 to 1. Default 0.01.
    pub sampling: f64,
}

/// What a component says about itself, as far as the configuration needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModuleAbout {
    /// Name and version.
    pub title: String,
    /// JSON Schema of its configuration.
    pub config_schema: String,
}

/// Looks components up. The configuration does not know how they are run.
pub trait Modules {
    /// Told before the first component is asked: how many models the configuration comes to, the most memory of one in bytes, and the
    /// folder of the state.
    fn expect(&self, _models: usize, _memory_bytes: usize, _storage: Option<&Path>) {}

    /// What a component says about itself; the error is a sentence for people.
    ///
    /// # Errors
    /// If the component is not there or can't be used.
    fn about(&self, module: &Module) -> Result<ModuleAbout, String>;
}

/// What reading a configuration needs from outside.
pub struct Surroundings<'a> {
    /// Looks an environment variable up.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Looks components up.
    pub modules: &'a dyn Modules,
    /// Number of processors.
    pub processors: usize,
}

/// A configuration that can be used, with the warnings that came up.
#[derive(Debug)]
pub struct Loaded {
    /// What the program needs.
    pub config: Config,
    /// Warnings only.
    pub warnings: Problems,
}

/// Reads and checks the file at `path`.
///
/// # Errors
/// All problems of the file; a file that can't be read is one problem in line 1.
pub fn load(path: &Path, surroundings: &Surroundings<'_>) -> Result<Loaded, Problems> {
    let name = path.display().to_string();
    let refuse = |message: String| {
        let mut problems = Problems::new(&name);
        problems.error(Mark { line: 1, column: 1 }, message);
        problems
    };
    let size = std::fs::metadata(path).map_err(|error| refuse(format!("can't be read: {error}")))?.len();
    if size > yaml::LARGEST_FILE {
        return Err(refuse(format!("is {size} bytes long; at most {} are read", yaml::LARGEST_FILE)));
    }
    let text = std::fs::read_to_string(path).map_err(|error| refuse(format!("can't be read: {error}")))?;
    parse(&name, path.parent().unwrap_or(Path::new("")), &text, surroundings)
}

/// Reads and checks `text`. `file` is the name in messages, `folder` the place from which relative paths lead.
///
/// # Errors
/// All problems of the text.
pub fn parse(file: &str, folder: &Path, text: &str, surroundings: &Surroundings<'_>) -> Result<Loaded, Problems> {
    let mut problems = Problems::new(file);
    let config = match yaml::parse(text, surroundings.env, &mut problems) {
        Some(root) => {
            let raw = read::read(&root, &mut problems);
            Some(check::check(&raw, folder, surroundings, &mut problems))
        }
        None => {
            if !problems.has_errors() {
                problems.error(Mark { line: 1, column: 1 }, "the file is empty");
            }
            None
        }
    };
    match config {
        Some(config) if !problems.has_errors() => Ok(Loaded { config, warnings: problems }),
        _ => Err(problems),
    }
}

#[cfg(test)]
mod tests;
