//! Takes requests from the receivers: into the exporters' queues, all or nothing, and then past detection without waiting.

use super::{
    counters::DetectionCounters,
    queue::{DetectionQueue, Offer},
};
use foreshock_otlp::{
    Signal,
    export::Entrance,
    request::{Intake, Refusal, Request},
};
use std::sync::Arc;

/// Where the requests of one signal go.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// Exporters of all pipelines of the signal, each once.
    pub exporters: Vec<Entrance>,
    /// Whether a pipeline of the signal has detectors.
    pub is_detected: bool,
}

/// The intake of a running program.
#[derive(Debug)]
pub struct Forwarding {
    /// By signal, in the order of [`Signal::ALL`].
    ways: [Way; 3],
    detection: Arc<DetectionQueue>,
    counters: Arc<DetectionCounters>,
}

impl Forwarding {
    /// An intake that forwards along `ways` and offers to `detection`.
    #[must_use]
    pub fn new(ways: [Way; 3], detection: Arc<DetectionQueue>, counters: Arc<DetectionCounters>) -> Self {
        Self { ways, detection, counters }
    }

    fn way(&self, signal: Signal) -> &Way {
        let [metrics, logs, traces] = &self.ways;
        match signal {
            Signal::Metrics => metrics,
            Signal::Logs => logs,
            Signal::Traces => traces,
        }
    }
}

impl Intake for Forwarding {
    fn accept(&self, request: Request) -> Result<(), Refusal> {
        let way = self.way(request.signal);
        if way.exporters.is_empty() {
            return Err(Refusal::NotConfigured);
        }
        // All reservations before the first send: a refused sender repeats the request, which must not be doubled anywhere.
        let mut permits = Vec::with_capacity(way.exporters.len());
        for exporter in &way.exporters {
            permits.push(exporter.try_reserve(&request)?);
        }
        for permit in permits {
            permit.send(request.clone());
        }
        if way.is_detected {
            let (signal, items) = (request.signal, request.items);
            if !self.detection.offer(Offer { signal, items, plain: request.plain }) {
                self.counters.add_shed(signal, items);
            }
        }
        Ok(())
    }
}
