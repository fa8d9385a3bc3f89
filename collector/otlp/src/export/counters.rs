//! What exporters count.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::signal::Signal;

/// Counters of one exporter since the start of the process, and the levels of its queue. Relaxed atomics: each is right by
/// itself, and they are not a snapshot of one moment.
#[derive(Debug, Default)]
pub struct ExporterCounters {
    sent: [AtomicU64; 3],
    send_failed: [AtomicU64; 3],
    enqueue_failed: [AtomicU64; 3],
    retries: AtomicU64,
    pub(super) queue_requests: AtomicU64,
    pub(super) queue_bytes: AtomicU64,
}

impl ExporterCounters {
    /// Items that the upstream took.
    #[must_use]
    pub fn sent_items(&self, signal: Signal) -> u64 {
        self.sent[signal as usize].load(Ordering::Relaxed)
    }

    /// Items that are lost: refused by the upstream for good (wholly or in a partial success), or given up after retries.
    #[must_use]
    pub fn send_failed_items(&self, signal: Signal) -> u64 {
        self.send_failed[signal as usize].load(Ordering::Relaxed)
    }

    /// Items that found no room: refused to the sender, or dropped, by [`OnFull`](super::OnFull).
    #[must_use]
    pub fn enqueue_failed_items(&self, signal: Signal) -> u64 {
        self.enqueue_failed[signal as usize].load(Ordering::Relaxed)
    }

    /// Attempts beyond the first.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Requests held now: queued, being sent, or waiting for a retry.
    #[must_use]
    pub fn queue_requests(&self) -> u64 {
        self.queue_requests.load(Ordering::Relaxed)
    }

    /// Bytes held now.
    #[must_use]
    pub fn queue_bytes(&self) -> u64 {
        self.queue_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn add_sent(&self, signal: Signal, items: u64) {
        self.sent[signal as usize].fetch_add(items, Ordering::Relaxed);
    }

    pub(super) fn add_send_failed(&self, signal: Signal, items: u64) {
        self.send_failed[signal as usize].fetch_add(items, Ordering::Relaxed);
    }

    pub(super) fn add_enqueue_failed(&self, signal: Signal, items: u64) {
        self.enqueue_failed[signal as usize].fetch_add(items, Ordering::Relaxed);
    }

    pub(super) fn add_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }
}
