//! Foreshock's own metrics, spans and log.
//!
//! Metrics are read from counters that the parts keep anyway; nothing is added to the path of a request. They are shown as
//! Prometheus text on the console and pushed over OTLP where configured. The resource says `service.name` `foreshock`, and
//! detection leaves that service out, so Foreshock never feeds on itself.

use crate::{
    config::{self, LogFormat},
    pipeline::counters::DetectionCounters,
};
use anyhow::Context as _;
use foreshock_otlp::{
    Signal,
    export::ExporterCounters,
    receive::{ReceiverCounters, Transport},
};
use foreshock_sandbox::{DURATION_BOUNDS_SECONDS, FAULT_REASONS, LoadedDetector, Stats};
use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter, MeterProvider as _},
    trace::TracerProvider as _,
};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
    trace::{Sampler, SdkTracerProvider},
};
use prometheus::proto::{LabelPair, MetricFamily, MetricType};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// The name under which Foreshock speaks of itself: service name and instrumentation scope.
pub const OWN_NAME: &str = "foreshock";

/// Own metrics and where spans go. Metrics stop when it is dropped.
#[derive(Debug)]
pub struct Telemetry {
    registry: prometheus::Registry,
    metrics: SdkMeterProvider,
    spans: Option<SdkTracerProvider>,
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
            .build()
            .context("own metrics can't be set up")?;
        let mut metrics = SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(shown);
        if let Some(push) = &config.metrics {
            let exporter = opentelemetry_otlp::MetricExporter::builder()
                .with_tonic()
                .with_endpoint(&push.endpoint)
                .build()
                .context("own metrics can't be pushed")?;
            metrics = metrics.with_reader(PeriodicReader::builder(exporter).with_interval(push.interval).build());
        }
        let metrics = metrics.build();
        let spans = match &config.traces {
            None => None,
            Some(push) => {
                let exporter = opentelemetry_otlp::SpanExporter::builder()
                    .with_tonic()
                    .with_endpoint(&push.endpoint)
                    .build()
                    .context("own spans can't be pushed")?;
                let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(push.sampling)));
                let provider = SdkTracerProvider::builder().with_resource(resource).with_sampler(sampler);
                Some(provider.with_batch_exporter(exporter).build())
            }
        };
        let meter = metrics.meter(OWN_NAME);
        Ok(Self { registry, metrics, spans, meter })
    }

    /// Sends Foreshock's own log to stderr and its spans to where they are configured to go. To be called once a process.
    ///
    /// # Errors
    /// If another log was installed before, or a filter can't be read.
    pub fn install(&self, config: &config::Telemetry) -> anyhow::Result<()> {
        let given = std::env::var("FORESHOCK_LOG").ok().filter(|filter| !filter.is_empty());
        let filter = EnvFilter::try_new(given.as_deref().unwrap_or(&config.level)).context("the log's level")?;
        let spans = self.spans.as_ref().map(|spans| tracing_opentelemetry::layer().with_tracer(spans.tracer(OWN_NAME)));
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
        let registry = tracing_subscriber::registry().with(filter).with(spans);
        match config.format {
            LogFormat::Text => registry.with(lines).try_init(),
            LogFormat::Json => registry.with(lines.json()).try_init(),
        }
        .context("the log can't be set up")
    }

    /// Own metrics as Prometheus text.
    #[must_use]
    pub fn text(&self) -> String {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    /// Shows what receivers count. To be called once.
    pub fn watch_receivers(&self, counters: &Arc<ReceiverCounters>) {
        type Read = fn(&ReceiverCounters, Signal, Transport) -> u64;
        for signal in Signal::ALL {
            let shown: [(String, &'static str, Read); 3] = [
                (
                    format!("foreshock_receiver_accepted_{}", signal.items()),
                    "Items that were taken from senders.",
                    ReceiverCounters::accepted_items,
                ),
                (
                    format!("foreshock_receiver_refused_{}", signal.items()),
                    "Items that were refused for want of room; the sender was told to come again.",
                    ReceiverCounters::refused_items,
                ),
                (
                    format!("foreshock_receiver_failed_{}_requests", signal.name()),
                    "Requests that were malformed, too large, not authenticated or cut off.",
                    ReceiverCounters::failed_requests,
                ),
            ];
            for (name, description, read) in shown {
                let counters = Arc::clone(counters);
                self.counter(name, description, move |observer| {
                    for transport in Transport::ALL {
                        let labels = [KeyValue::new("receiver", "otlp"), KeyValue::new("transport", transport.name())];
                        observer.observe(read(&counters, signal, transport), &labels);
                    }
                });
            }
        }
    }

    /// Shows what exporters count. To be called once.
    pub fn watch_exporters(&self, exporters: &[WatchedExporter]) {
        type Read = fn(&ExporterCounters, Signal) -> u64;
        let label = |exporter: &WatchedExporter| [KeyValue::new("exporter", exporter.name.clone())];
        for signal in Signal::ALL {
            let shown: [(&str, &'static str, Read); 3] = [
                ("sent", "Items that the far side took.", ExporterCounters::sent_items),
                (
                    "send_failed",
                    "Items that are lost: refused for good, or given up.",
                    ExporterCounters::send_failed_items,
                ),
                ("enqueue_failed", "Items that found no room in the queue.", ExporterCounters::enqueue_failed_items),
            ];
            for (word, description, read) in shown {
                let exporters = exporters.to_vec();
                let name = format!("foreshock_exporter_{word}_{}", signal.items());
                self.counter(name, description, move |observer| {
                    for exporter in &exporters {
                        observer.observe(read(&exporter.counters, signal), &label(exporter));
                    }
                });
            }
        }
        let (size, capacity, bytes) = (exporters.to_vec(), exporters.to_vec(), exporters.to_vec());
        self.gauge("foreshock_exporter_queue_size", "Requests in the queue.", move |observer| {
            for exporter in &size {
                observer.observe(exporter.counters.queue_requests(), &label(exporter));
            }
        });
        self.gauge("foreshock_exporter_queue_capacity", "Most requests in the queue.", move |observer| {
            for exporter in &capacity {
                observer.observe(exporter.capacity, &label(exporter));
            }
        });
        self.gauge("foreshock_exporter_queue_bytes", "Bytes in the queue.", move |observer| {
            for exporter in &bytes {
                observer.observe(exporter.counters.queue_bytes(), &label(exporter));
            }
        });
    }

    /// Shows what detection counts. To be called once.
    pub fn watch_detection(&self, counters: &Arc<DetectionCounters>) {
        let shed = Arc::clone(counters);
        let description = "Items that were forwarded but not looked at, because detection was behind.";
        self.counter("foreshock_detection_shed".to_owned(), description, move |observer| {
            for signal in Signal::ALL {
                observer.observe(shed.shed(signal), &[KeyValue::new("signal", signal.name())]);
            }
        });
        type Read = fn(&DetectionCounters) -> u64;
        let counted: [(&str, &'static str, Read); 9] = [
            ("foreshock_anomalies", "Anomalies that began.", |c| c.anomalies.get()),
            ("foreshock_incidents", "Incidents that were opened.", |c| c.incidents.get()),
            ("foreshock_windows", "Windows that were closed.", |c| c.windows.get()),
            ("foreshock_service_evictions", "Services evicted to make room.", |c| c.service_evictions.get()),
            ("foreshock_series_evictions", "Series evicted to make room.", |c| c.series_evictions.get()),
            ("foreshock_template_evictions", "Log templates evicted to make room.", |c| c.template_evictions.get()),
            ("foreshock_late_items", "Points, spans and records whose window was closed before.", |c| c.late.get()),
            ("foreshock_state_kept", "Pieces of state that were written to the store.", |c| c.kept.get()),
            ("foreshock_events_dropped", "Own events lost because the outbox was full.", |c| c.events_dropped.get()),
        ];
        for (name, description, read) in counted {
            let counters = Arc::clone(counters);
            self.counter(name.to_owned(), description, move |observer| observer.observe(read(&counters), &[]));
        }
        let levels: [(&'static str, &'static str, Read); 3] = [
            ("foreshock_incidents_open", "Incidents that are open now.", |c| c.incidents_open.get()),
            ("foreshock_services", "Services known now.", |c| c.services.get()),
            ("foreshock_outbox_size", "Own events that wait for room in an exporter's queue.", |c| c.outbox.get()),
        ];
        for (name, description, read) in levels {
            let counters = Arc::clone(counters);
            self.gauge(name, description, move |observer| observer.observe(read(&counters), &[]));
        }
    }

    /// Shows what detectors count. To be called once.
    pub fn watch_detectors(&self, detectors: &[Arc<LoadedDetector>]) {
        let stats: Vec<(String, Arc<Stats>)> = detectors
            .iter()
            .map(|detector| (detector.identity().name.to_string(), Arc::clone(detector.stats())))
            .collect();
        let faults = stats.clone();
        self.counter(
            "foreshock_detector_faults".to_owned(),
            "Calls of detectors that gave no verdict.",
            move |observer| {
                for (detector, stats) in &faults {
                    for reason in FAULT_REASONS {
                        let labels =
                            [KeyValue::new("detector", detector.clone()), KeyValue::new("reason", reason.name())];
                        observer.observe(stats.faults(reason), &labels);
                    }
                }
            },
        );
        type Read = fn(&Stats) -> u64;
        let counted: [(&str, &'static str, Read); 2] = [
            ("foreshock_detector_calls", "Calls of detectors.", Stats::calls),
            ("foreshock_detector_findings", "Findings in good verdicts.", Stats::findings),
        ];
        for (name, description, read) in counted {
            let stats = stats.clone();
            self.counter(name.to_owned(), description, move |observer| {
                for (detector, stats) in &stats {
                    observer.observe(read(stats), &[KeyValue::new("detector", detector.clone())]);
                }
            });
        }
        let levels: [(&'static str, &'static str, Read); 2] = [
            ("foreshock_detector_models", "Models that live now.", Stats::models),
            ("foreshock_detector_memory_bytes", "Memory of the models that live now.", Stats::memory_bytes),
        ];
        for (name, description, read) in levels {
            let stats = stats.clone();
            self.gauge(name, description, move |observer| {
                for (detector, stats) in &stats {
                    observer.observe(read(stats), &[KeyValue::new("detector", detector.clone())]);
                }
            });
        }
        // OpenTelemetry has no histogram that is read from counters, so the durations are for Prometheus alone.
        if let Err(error) = Durations::new(stats).and_then(|durations| self.registry.register(Box::new(durations))) {
            tracing::error!(%error, "the durations of detectors are not shown");
        }
    }

    fn counter(
        &self,
        name: String,
        description: &'static str,
        read: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static,
    ) {
        let _ = self.meter.u64_observable_counter(name).with_description(description).with_callback(read).build();
    }

    fn gauge(
        &self,
        name: &'static str,
        description: &'static str,
        read: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static,
    ) {
        let _ = self.meter.u64_observable_gauge(name).with_description(description).with_callback(read).build();
    }

    /// Pushes what is left, for at most `limit`. Blocks; not for an async runtime's worker.
    pub fn shutdown(&self, limit: Duration) {
        if let Err(error) = self.metrics.shutdown_with_timeout(limit) {
            tracing::debug!(%error, "own metrics were not all pushed");
        }
        if let Some(Err(error)) = self.spans.as_ref().map(|spans| spans.shutdown_with_timeout(limit)) {
            tracing::debug!(%error, "own spans were not all pushed");
        }
    }
}

/// `foreshock_detector_duration_seconds`, read from what the sandbox counts.
struct Durations {
    description: prometheus::core::Desc,
    stats: Vec<(String, Arc<Stats>)>,
}

impl Durations {
    fn new(stats: Vec<(String, Arc<Stats>)>) -> prometheus::Result<Self> {
        let (name, help) = ("foreshock_detector_duration_seconds", "How long calls of detectors took.");
        let labels = vec!["detector".to_owned()];
        let description = prometheus::core::Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())?;
        Ok(Self { description, stats })
    }
}

impl prometheus::core::Collector for Durations {
    fn desc(&self) -> Vec<&prometheus::core::Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(self.description.fq_name.clone());
        family.set_help(self.description.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        for (detector, stats) in &self.stats {
            let durations = stats.durations();
            let mut histogram = prometheus::proto::Histogram::default();
            let (mut buckets, mut total) = (Vec::new(), 0);
            for (index, count) in durations.counts.iter().enumerate() {
                total += count;
                if let Some(bound) = DURATION_BOUNDS_SECONDS.get(index) {
                    let mut bucket = prometheus::proto::Bucket::default();
                    bucket.set_upper_bound(*bound);
                    bucket.set_cumulative_count(total);
                    buckets.push(bucket);
                }
            }
            histogram.set_bucket(buckets);
            histogram.set_sample_count(total);
            histogram.set_sample_sum(durations.sum_seconds);
            let mut label = LabelPair::default();
            label.set_name("detector".to_owned());
            label.set_value(detector.clone());
            let mut metric = prometheus::proto::Metric::default();
            metric.set_label(vec![label]);
            metric.set_histogram(histogram);
            family.mut_metric().push(metric);
        }
        vec![family]
    }
}
