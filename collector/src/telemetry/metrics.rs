//! Own metrics: which there are, and what they are read from.
//!
//! Almost all are read from counters that the parts keep anyway; nothing is added to the path of a request.

use super::{Telemetry, WatchedExporter};
use crate::{pipeline::counters::DetectionCounters, selfcheck::Board};
use foreshock_otlp::{
    Signal,
    export::ExporterCounters,
    receive::{ReceiverCounters, Transport},
};
use foreshock_sandbox::{FAULT_REASONS, LoadedDetector, Stats};
use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Histogram},
};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// Upper bounds of the buckets of a detector's durations; the last bucket has none.
const DURATION_BOUNDS_SECONDS: [f64; 13] =
    [10e-6, 20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 100e-3];

/// The detectors that run.
type Running = RwLock<Vec<Arc<LoadedDetector>>>;

fn read(running: &Running) -> RwLockReadGuard<'_, Vec<Arc<LoadedDetector>>> {
    running.read().unwrap_or_else(PoisonError::into_inner)
}

fn label(detector: &LoadedDetector) -> KeyValue {
    KeyValue::new("detector", detector.identity().name.to_string())
}

/// The detectors that run now, for whoever shows or tries them.
#[derive(Clone, Debug)]
pub struct WatchedDetectors {
    running: Arc<Running>,
    durations: Histogram<f64>,
}

impl WatchedDetectors {
    /// These run from now on.
    pub fn replace(&self, detectors: &[Arc<LoadedDetector>]) {
        for detector in detectors {
            let (durations, labels) = (self.durations.clone(), [label(detector)]);
            detector.stats().watch_calls(move |seconds| durations.record(seconds, &labels));
        }
        *self.running.write().unwrap_or_else(PoisonError::into_inner) = detectors.to_vec();
    }

    /// Those that run.
    #[must_use]
    pub fn current(&self) -> Vec<Arc<LoadedDetector>> {
        read(&self.running).clone()
    }
}

impl Telemetry {
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
        let counted: [(&str, &'static str, Read); 11] = [
            ("foreshock_anomalies", "Anomalies that began.", |c| c.anomalies.get()),
            ("foreshock_incidents", "Incidents that were opened.", |c| c.incidents.get()),
            ("foreshock_windows", "Windows that were closed.", |c| c.windows.get()),
            ("foreshock_service_evictions", "Services evicted to make room.", |c| c.service_evictions.get()),
            ("foreshock_series_evictions", "Series evicted to make room.", |c| c.series_evictions.get()),
            ("foreshock_template_evictions", "Log templates evicted to make room.", |c| c.template_evictions.get()),
            ("foreshock_late_items", "Points, spans and records whose window was closed before.", |c| c.late.get()),
            ("foreshock_state_kept", "Pieces of state that were written to the store.", |c| c.kept.get()),
            ("foreshock_detector_replacements", "Detectors replaced or added at run time.", |c| c.replacements.get()),
            ("foreshock_detector_replacements_failed", "Replacements that can't be used.", |c| {
                c.replacements_failed.get()
            }),
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

    /// Shows what detectors count. To be called once; which ones they are may change later.
    pub fn watch_detectors(&self, detectors: &[Arc<LoadedDetector>]) -> WatchedDetectors {
        let durations = self
            .meter
            .f64_histogram("foreshock_detector_duration_seconds")
            .with_description("How long calls of detectors took.")
            .with_unit("s")
            .with_boundaries(DURATION_BOUNDS_SECONDS.to_vec())
            .build();
        let watched = WatchedDetectors { running: Arc::default(), durations };
        watched.replace(detectors);
        let running = Arc::clone(&watched.running);
        self.counter(
            "foreshock_detector_faults".to_owned(),
            "Calls of detectors that gave no verdict.",
            move |observer| {
                for detector in read(&running).iter() {
                    for reason in FAULT_REASONS {
                        let labels = [label(detector), KeyValue::new("reason", reason.name())];
                        observer.observe(detector.stats().faults(reason), &labels);
                    }
                }
            },
        );
        type Read = fn(&Stats) -> u64;
        let counted: [(&str, &'static str, Read); 2] = [
            ("foreshock_detector_calls", "Calls of detectors.", Stats::calls),
            ("foreshock_detector_findings", "Findings in good verdicts.", Stats::findings),
        ];
        for (name, description, count) in counted {
            let running = Arc::clone(&watched.running);
            self.counter(name.to_owned(), description, move |observer| {
                for detector in read(&running).iter() {
                    observer.observe(count(detector.stats()), &[label(detector)]);
                }
            });
        }
        let levels: [(&'static str, &'static str, Read); 2] = [
            ("foreshock_detector_models", "Models that live now.", Stats::models),
            ("foreshock_detector_memory_bytes", "Memory of the models that live now.", Stats::memory_bytes),
        ];
        for (name, description, level) in levels {
            let running = Arc::clone(&watched.running);
            self.gauge(name, description, move |observer| {
                for detector in read(&running).iter() {
                    observer.observe(level(detector.stats()), &[label(detector)]);
                }
            });
        }
        watched
    }

    /// Shows what the self-checks found. To be called once.
    pub fn watch_selfcheck(&self, board: &Arc<Board>) {
        let (ratios, blind, made) = (Arc::clone(board), Arc::clone(board), Arc::clone(board));
        let description = "Checks of one service each.";
        self.counter("foreshock_selfcheck_runs".to_owned(), description, move |observer| {
            observer.observe(made.made(), &[]);
        });
        let description =
            "Share of the anomalies put into copies of windows that were seen, by the last check of each service.";
        let observe = move |observer: &dyn AsyncInstrument<f64>| {
            for (detector, kind, ratio) in ratios.ratios() {
                observer.observe(ratio, &[KeyValue::new("detector", detector), KeyValue::new("kind", kind)]);
            }
        };
        let gauge = self.meter.f64_observable_gauge("foreshock_selfcheck_detected_ratio").with_description(description);
        let _ = gauge.with_callback(observe).build();
        let description = "Checked series that a detector is blind on.";
        self.gauge("foreshock_selfcheck_blind_series", description, move |observer| {
            for (detector, reason, series) in blind.blind() {
                observer.observe(series, &[KeyValue::new("detector", detector), KeyValue::new("reason", reason)]);
            }
        });
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
}
