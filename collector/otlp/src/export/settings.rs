//! What an exporter needs to know.

use std::time::Duration;

use crate::authorization::Authorization;
use crate::compression::Compression;

/// An exporter.
#[derive(Clone, Debug)]
pub struct ExporterSettings {
    /// Its name in the configuration, such as `otlp/backend`; for logs.
    pub name: String,
    /// Where it sends to.
    pub kind: Kind,
    /// What it may hold.
    pub queue: QueueSettings,
    /// What it does when the upstream says "later".
    pub retry: RetrySettings,
}

/// Where an exporter sends to.
#[derive(Clone, Debug)]
pub enum Kind {
    /// OTLP/gRPC.
    Otlp(ClientSettings),
    /// OTLP/HTTP in protobuf.
    OtlpHttp(ClientSettings),
    /// The log.
    Debug(Verbosity),
}

/// How much a debug exporter says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Verbosity {
    /// One line a request: signal, items, bytes.
    #[default]
    Basic,
    /// The request as OTLP JSON too.
    Detailed,
}

/// An upstream and how to talk to it.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// `http://host:port` or `https://host:port`, for OTLP/HTTP with an optional path to which `/v1/<signal>` is appended.
    /// Without a scheme it is `https`, or `http` if [`ClientTls::insecure`].
    pub endpoint: String,
    /// Default gzip, as the Collector's.
    pub compression: Option<Compression>,
    /// Sent with each request; names are case-insensitive.
    pub headers: Vec<(String, String)>,
    /// What is shown to the upstream, in place of a header `authorization`.
    pub authorization: Option<Authorization>,
    /// Certificates.
    pub tls: ClientTls,
    /// How long an attempt may take, connecting included. Default 5 s for gRPC and 30 s for HTTP in the Collector; here 5 s.
    pub timeout: Duration,
}

/// TLS of a client. Used where the endpoint is `https`.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// Plain text, where the endpoint has no scheme.
    pub insecure: bool,
    /// Authorities to trust, as the bytes of a PEM file, in place of the built-in (Mozilla's) ones.
    pub ca_pem: Option<Vec<u8>>,
    /// What to present to the upstream.
    pub identity: Option<Identity>,
    /// The name that the upstream's certificate must have, in place of the endpoint's host.
    pub server_name: Option<String>,
}

/// A client's certificate and key, as the bytes of PEM files.
#[derive(Clone)]
pub struct Identity {
    /// The certificate, followed by intermediate ones.
    pub cert_pem: Vec<u8>,
    /// Its private key.
    pub key_pem: Vec<u8>,
}

/// What an exporter may hold. Requests that are being sent, or that wait for a retry, count until they are settled.
#[derive(Clone, Copy, Debug)]
pub struct QueueSettings {
    /// How many requests. Default 1000.
    pub queue_size: usize,
    /// How many bytes, counted as they are held: compressed if they are sent on as they came. Default 256 MiB. A request
    /// larger than the whole bound is taken when nothing else is held, for it could never be taken otherwise.
    pub queue_size_bytes: usize,
    /// How many requests are sent at a time. Default 10.
    pub num_consumers: usize,
    /// What happens to a request that finds no room.
    pub on_full: OnFull,
}

/// What happens to a request that finds no room.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnFull {
    /// The sender keeps it and is told to come again. One full exporter so pushes back on the whole pipeline.
    #[default]
    Refuse,
    /// It is dropped for this exporter, counted and logged; the pipeline's other exporters get it.
    Drop,
}

/// What an exporter does when the upstream says "later", or says nothing.
#[derive(Clone, Copy, Debug)]
pub struct RetrySettings {
    /// Default true. If false, a retryable failure drops the request, counted and logged.
    pub enabled: bool,
    /// Wait before the first repetition. Default 5 s.
    pub initial_interval: Duration,
    /// The longest wait before jitter. Default 30 s. An upstream that asks for a longer one is obeyed.
    pub max_interval: Duration,
    /// After so long since the first attempt a request is given up. Default 300 s; zero means never.
    pub max_elapsed_time: Duration,
    /// By how much each wait is longer than the one before. Default 1.5.
    pub multiplier: f64,
    /// Each wait is spread evenly over plus and minus this fraction of itself. Default 0.5; 0 to 1.
    pub randomization: f64,
}

impl Kind {
    pub(super) fn compression(&self) -> Option<Compression> {
        match self {
            Self::Otlp(client) | Self::OtlpHttp(client) => client.compression,
            Self::Debug(_) => None,
        }
    }
}

impl ClientSettings {
    /// The defaults, for `endpoint`.
    #[must_use]
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            compression: Some(Compression::Gzip),
            headers: Vec::new(),
            authorization: None,
            tls: ClientTls::default(),
            timeout: Duration::from_secs(5),
        }
    }
}

impl ExporterSettings {
    /// The defaults, for an exporter of `kind`.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self { name: name.into(), kind, queue: QueueSettings::default(), retry: RetrySettings::default() }
    }
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { queue_size: 1000, queue_size_bytes: 256 << 20, num_consumers: 10, on_full: OnFull::default() }
    }
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            enabled: true,
            initial_interval: Duration::from_secs(5),
            max_interval: Duration::from_secs(30),
            max_elapsed_time: Duration::from_secs(300),
            multiplier: 1.5,
            randomization: 0.5,
        }
    }
}

/// Keys do not belong in logs.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}
