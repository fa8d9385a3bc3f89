//! What detection counts about itself.

use foreshock_otlp::Signal;
use std::sync::atomic::{AtomicU64, Ordering};

/// One number that only grows, or a level that is set.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Sets it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of detection since the start of the process. Each is right by itself; together they are no snapshot.
#[derive(Debug, Default)]
pub struct DetectionCounters {
    shed: [Count; 3],
    /// Anomalies that began.
    pub anomalies: Count,
    /// Incidents that are open now.
    pub incidents_open: Count,
    /// Incidents that were opened.
    pub incidents: Count,
    /// Windows that were closed.
    pub windows: Count,
    /// Services known now.
    pub services: Count,
    /// Services that were evicted to make room.
    pub service_evictions: Count,
    /// Series that were evicted to make room.
    pub series_evictions: Count,
    /// Log templates that were evicted to make room.
    pub template_evictions: Count,
    /// Points, spans and records that came after their window was closed.
    pub late: Count,
    /// Events that an exporter had no room for and that were dropped, because the outbox was full too.
    pub events_dropped: Count,
    /// Pieces of state that were written to the store.
    pub kept: Count,
    /// Detectors that were replaced or added while it runs.
    pub replacements: Count,
    /// Replacements that can't be used, and configurations with problems: what ran before runs on.
    pub replacements_failed: Count,
    /// Events that wait in the outbox now.
    pub outbox: Count,
}

impl DetectionCounters {
    /// Items that detection did not look at, because it was behind.
    #[must_use]
    pub fn shed(&self, signal: Signal) -> u64 {
        self.shed[signal as usize].get()
    }

    /// Counts items that were not looked at.
    pub fn add_shed(&self, signal: Signal, items: u64) {
        self.shed[signal as usize].add(items);
    }
}
