//! Foreshock's own metrics, spans and log.
//!
//! Metrics are shown as Prometheus text on the console and pushed over OTLP where configured; spans and log records are
//! pushed where configured. Everything is under the scope `foreshock` of a resource with `service.name` `foreshock`, and
//! detection leaves both out, so Foreshock never feeds on itself.

mod logs;
mod metrics;

pub use metrics::WatchedDetectors;

use crate::{
    config::{self, LogFormat, Push},
    settings,
};
use anyhow::Context as _;
use foreshock_otlp::export::ExporterCounters;
use opentelemetry::{
    KeyValue,
    logs::LoggerProvider as _,
    metrics::{Meter, MeterProvider as _},
    trace::TracerProvider as _,
};
use opentelemetry_otlp::{
    LogExporter, MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig,
    tonic_types::{
        metadata::MetadataMap,
        transport::{Certificate, ClientTlsConfig, Identity},
    },
};
use opentelemetry_sdk::{
    Resource,
    logs::SdkLoggerProvider,
    metrics::{PeriodicReader, SdkMeterProvider},
    trace::{Sampler, SdkTracerProvider},
};
use std::{sync::Arc, time::Duration};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// The name under which Foreshock speaks of itself: service name and instrumentation scope.
pub const OWN_NAME: &str = "foreshock";

/// Own metrics, and where spans and log records go. Metrics stop when it is dropped.
#[derive(Debug)]
pub struct Telemetry {
    registry: prometheus::Registry,
    metrics: SdkMeterProvider,
    spans: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
    meter: Meter,
}

/// An exporter whose counters are shown.
#[derive(Clone, Debug)]
pub struct WatchedExporter {
    /// Its name in the configuration.
    pub name: String,
    /// Its counters.
    pub counters: Arc<ExporterCounters>,
    /// Most requests in its queue.
    pub capacity: u64,
}

/// The attributes by which Foreshock names itself.
#[must_use]
pub fn own_resource(extra: &[(String, String)]) -> Vec<(String, String)> {
    let mut attributes = vec![
        ("service.name".to_owned(), OWN_NAME.to_owned()),
        ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ];
    for (key, value) in extra {
        if key != "service.name" {
            attributes.retain(|(known, _)| known != key);
            attributes.push((key.clone(), value.clone()));
        }
    }
    attributes.sort();
    attributes
}

impl Telemetry {
    /// Starts own telemetry. Must be called on a tokio runtime if anything is pushed.
    ///
    /// # Errors
    /// If an endpoint can't be used.
    pub fn start(config: &config::Telemetry) -> anyhow::Result<Self> {
        let attributes = own_resource(&config.resource);
        let attributes = attributes.into_iter().map(|(key, value)| KeyValue::new(key, value));
        let resource = Resource::builder_empty().with_attributes(attributes).build();
        let registry = prometheus::Registry::new();
        let shown = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .without_units()
            .build()
            .context("own metrics can't be set up")?;
        let mut metrics = SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(shown);
        if let Some(push) = &config.metrics {
            let exporter = pushing(MetricExporter::builder().with_tonic(), &push.to)?;
            let exporter = exporter.build().context("own metrics can't be pushed")?;
            metrics = metrics.with_reader(PeriodicReader::builder(exporter).with_interval(push.interval).build());
        }
        let metrics = metrics.build();
        let spans = match &config.traces {
            None => None,
            Some(push) => {
                let exporter = pushing(SpanExporter::builder().with_tonic(), &push.to)?;
                let exporter = exporter.build().context("own spans can't be pushed")?;
                let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(push.sampling)));
                let provider = SdkTracerProvider::builder().with_resource(resource.clone()).with_sampler(sampler);
                Some(provider.with_batch_exporter(exporter).build())
            }
        };
        let logs = match &config.logs {
            None => None,
            Some(push) => {
                let exporter = pushing(LogExporter::builder().with_tonic(), push)?;
                let exporter = exporter.build().context("own log records can't be pushed")?;
                let provider = SdkLoggerProvider::builder().with_resource(resource);
                Some(provider.with_batch_exporter(exporter).build())
            }
        };
        let meter = metrics.meter(OWN_NAME);
        Ok(Self { registry, metrics, spans, logs, meter })
    }

    /// Sends Foreshock's own log to stderr and its spans to where they are configured to go. To be called once a process.
    ///
    /// # Errors
    /// If another log was installed before, or a filter can't be read.
    pub fn install(&self, config: &config::Telemetry) -> anyhow::Result<()> {
        let given = std::env::var("FORESHOCK_LOG").ok().filter(|filter| !filter.is_empty());
        let level = given.as_deref().unwrap_or(&config.level);
        // Pushing own telemetry says much that nobody needs.
        let level = if level == "info" { "info,opentelemetry=warn" } else { level };
        let filter = || EnvFilter::try_new(level).context("the log's level");
        // Spans have a filter of their own: without a place to go to none is made, and with one the log's level does not matter.
        let spans = self.spans.as_ref().map(|spans| {
            let layer = tracing_opentelemetry::layer().with_tracer(spans.tracer(OWN_NAME));
            layer.with_filter(filter_fn(|about| about.is_span() && about.target().starts_with(OWN_NAME)))
        });
        let pushed = match &self.logs {
            None => None,
            Some(logs) => {
                // What pushing itself says would be pushed again.
                let own = filter_fn(|about| about.is_event() && about.target().starts_with(OWN_NAME));
                Some(logs::Pushed::new(logs.logger(OWN_NAME)).with_filter(own).with_filter(filter()?))
            }
        };
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
        let registry = tracing_subscriber::registry().with(spans).with(pushed);
        match config.format {
            LogFormat::Text => registry.with(lines.with_filter(filter()?)).try_init(),
            LogFormat::Json => registry.with(lines.json().with_filter(filter()?)).try_init(),
        }
        .context("the log can't be set up")
    }

    /// Own metrics as Prometheus text.
    #[must_use]
    pub fn text(&self) -> String {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    /// Pushes what is left, for at most `limit`. Blocks; not for an async runtime's worker.
    pub fn shutdown(&self, limit: Duration) {
        if let Err(error) = self.metrics.shutdown_with_timeout(limit) {
            tracing::debug!(%error, "own metrics were not all pushed");
        }
        if let Some(Err(error)) = self.spans.as_ref().map(|spans| spans.shutdown_with_timeout(limit)) {
            tracing::debug!(%error, "own spans were not all pushed");
        }
        if let Some(Err(error)) = self.logs.as_ref().map(|logs| logs.shutdown_with_timeout(limit)) {
            tracing::debug!(%error, "own log records were not all pushed");
        }
    }
}

/// Where `builder`'s exporter sends to, and what it shows there.
fn pushing<B: WithExportConfig + WithTonicConfig>(builder: B, to: &Push) -> anyhow::Result<B> {
    let mut headers = http::HeaderMap::new();
    for (name, value) in &to.headers {
        let name: http::HeaderName = name.parse().context("a header's name")?;
        headers.insert(name, value.0.parse().context("a header's value")?);
    }
    let builder = builder.with_endpoint(&to.endpoint).with_metadata(MetadataMap::from_headers(headers));
    if !to.endpoint.starts_with("https://") {
        return Ok(builder);
    }
    let files = settings::client_tls(&to.tls)?;
    let mut tls = match files.ca_pem {
        Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().with_webpki_roots(),
    };
    if let Some(identity) = files.identity {
        tls = tls.identity(Identity::from_pem(identity.cert_pem, identity.key_pem));
    }
    if let Some(name) = files.server_name {
        tls = tls.domain_name(name);
    }
    Ok(builder.with_tls_config(tls))
}
