//! What receivers count.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::signal::Signal;

/// How a request came.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Transport {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP, protobuf or JSON.
    Http,
}

/// Counters since the start of the process, by signal and transport. Relaxed atomics: each is right by itself, and they are
/// not a snapshot of one moment.
#[derive(Debug, Default)]
pub struct ReceiverCounters {
    cells: [[Cell; 2]; 3],
}

#[derive(Debug, Default)]
struct Cell {
    accepted_items: AtomicU64,
    refused_items: AtomicU64,
    failed_requests: AtomicU64,
}

impl Transport {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Grpc, Self::Http];

    /// `grpc` or `http`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }
}

impl ReceiverCounters {
    /// Items that the intake took.
    #[must_use]
    pub fn accepted_items(&self, signal: Signal, transport: Transport) -> u64 {
        self.cell(signal, transport).accepted_items.load(Ordering::Relaxed)
    }

    /// Items that the intake refused. The sender was told to come again.
    #[must_use]
    pub fn refused_items(&self, signal: Signal, transport: Transport) -> u64 {
        self.cell(signal, transport).refused_items.load(Ordering::Relaxed)
    }

    /// Requests that never reached the intake: malformed, too large, not authenticated, cut off, or over the budget of bytes
    /// in flight. Requests and not items, for nobody knows how many items they held.
    #[must_use]
    pub fn failed_requests(&self, signal: Signal, transport: Transport) -> u64 {
        self.cell(signal, transport).failed_requests.load(Ordering::Relaxed)
    }

    pub(super) fn add_accepted(&self, signal: Signal, transport: Transport, items: u64) {
        self.cell(signal, transport).accepted_items.fetch_add(items, Ordering::Relaxed);
    }

    pub(super) fn add_refused(&self, signal: Signal, transport: Transport, items: u64) {
        self.cell(signal, transport).refused_items.fetch_add(items, Ordering::Relaxed);
    }

    pub(super) fn add_failed(&self, signal: Signal, transport: Transport) {
        self.cell(signal, transport).failed_requests.fetch_add(1, Ordering::Relaxed);
    }

    fn cell(&self, signal: Signal, transport: Transport) -> &Cell {
        &self.cells[signal as usize][transport as usize]
    }
}
