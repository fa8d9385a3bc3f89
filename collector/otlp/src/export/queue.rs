//! The bounded queue in front of an exporter.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use super::counters::ExporterCounters;
use super::settings::{OnFull, QueueSettings};
use crate::compression::Compression;
use crate::request::{Held, Refusal, Request};

/// What a sender is told to wait when a queue is full: long enough to be of use, short against its own timeout.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where requests enter an exporter.
#[derive(Clone, Debug)]
pub struct Entrance {
    queue: Arc<Queue>,
}

/// Room for one request, given back unless used.
#[derive(Debug)]
#[must_use = "room that is not used is given back"]
pub struct Permit {
    queue: Arc<Queue>,
    /// `None`: there was no room, and the request is to be dropped.
    bytes: Option<usize>,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoRoom {
    /// As many requests or bytes are held as may be.
    #[error("queue full")]
    Full {
        /// When to come again.
        retry_after: Duration,
    },
    /// The exporter is being drained.
    #[error("exporter is ending")]
    Closed,
}

impl From<NoRoom> for Refusal {
    fn from(reason: NoRoom) -> Self {
        match reason {
            NoRoom::Full { retry_after } => Self::Full { retry_after },
            NoRoom::Closed => Self::ShuttingDown,
        }
    }
}

/// The queue itself. A std mutex: it is held for a few instructions, and never across an await.
#[derive(Debug)]
pub(super) struct Queue {
    name: String,
    compression: Option<Compression>,
    settings: QueueSettings,
    counters: Arc<ExporterCounters>,
    state: Mutex<State>,
    /// One permit per waiting request; closed once no request can come any more.
    waiting: Semaphore,
    permits_returned: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Entry>,
    /// Held: permits, waiting requests, and requests in the hands of consumers.
    requests: usize,
    bytes: usize,
    permits: usize,
    closed: bool,
    abandoned: bool,
    /// The last request found no room and was dropped. Only the first of a row is logged.
    dropping: bool,
}

/// A request and the room it takes.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) held: Held,
    bytes: usize,
}

// === impl Entrance ===

impl Entrance {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }

    /// The exporter's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.queue.name
    }

    /// Reserves room for `request`. To send to several exporters, reserve in all before sending to any.
    ///
    /// # Errors
    /// [`NoRoom`]. With [`OnFull::Drop`] a full queue gives a permit all the same; sending by it drops and counts.
    pub fn try_reserve(&self, request: &Request) -> Result<Permit, NoRoom> {
        let queue = &self.queue;
        let bytes = Held::size_of(request, queue.compression);
        let mut state = queue.state();
        if state.closed {
            return Err(NoRoom::Closed);
        }
        let fits = state.requests < queue.settings.queue_size
            && (state.requests == 0 || state.bytes.saturating_add(bytes) <= queue.settings.queue_size_bytes);
        if !fits && queue.settings.on_full == OnFull::Refuse {
            drop(state);
            queue.counters.add_enqueue_failed(request.signal, request.items);
            return Err(NoRoom::Full { retry_after: RETRY_AFTER });
        }
        state.permits += 1;
        if !fits && !state.dropping {
            tracing::warn!(exporter = queue.name, "queue full, dropping requests until there is room");
        }
        state.dropping = !fits;
        if fits {
            state.requests += 1;
            state.bytes += bytes;
            queue.publish(&state);
        }
        Ok(Permit { queue: Arc::clone(queue), bytes: fits.then_some(bytes) })
    }
}

// === impl Permit ===

impl Permit {
    /// Enqueues `request`, the one that room was reserved for.
    pub fn send(mut self, request: Request) {
        let (signal, items) = (request.signal, request.items);
        let Some(bytes) = self.bytes else {
            self.queue.counters.add_enqueue_failed(signal, items);
            return;
        };
        let held = Held::new(request, self.queue.compression);
        let mut state = self.queue.state();
        if state.abandoned {
            drop(state);
            self.queue.counters.add_enqueue_failed(signal, items);
            tracing::error!(exporter = self.queue.name, %signal, items, "dropped a request that came after the drain");
            return;
        }
        state.waiting.push_back(Entry { held, bytes });
        drop(state);
        self.bytes = None;
        self.queue.waiting.add_permits(1);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.permits -= 1;
        if let Some(bytes) = self.bytes {
            state.requests -= 1;
            state.bytes -= bytes;
            self.queue.publish(&state);
        }
        if state.closed && state.permits == 0 {
            self.queue.permits_returned.notify_waiters();
        }
    }
}

// === impl Queue ===

impl Queue {
    pub(super) fn new(name: String, compression: Option<Compression>, settings: QueueSettings) -> Self {
        Self {
            name,
            compression,
            settings,
            counters: Arc::default(),
            state: Mutex::default(),
            waiting: Semaphore::new(0),
            permits_returned: Notify::new(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn counters(&self) -> Arc<ExporterCounters> {
        Arc::clone(&self.counters)
    }

    pub(super) fn count_retry(&self) {
        self.counters.add_retry();
    }

    /// The oldest waiting request; `None` once the queue is closed and empty.
    pub(super) async fn next(&self) -> Option<Entry> {
        match self.waiting.acquire().await {
            Ok(permit) => permit.forget(),
            // Closed: what is left is taken without permits.
            Err(_) => return self.state().waiting.pop_front(),
        }
        self.state().waiting.pop_front()
    }

    /// Gives the room of a settled request back.
    pub(super) fn settle(&self, bytes: usize) {
        let mut state = self.state();
        state.requests -= 1;
        state.bytes -= bytes;
        self.publish(&state);
    }

    /// Refuses new reservations, waits until those given are used or returned, and lets [`Queue::next`] end.
    pub(super) async fn close(&self) {
        loop {
            let returned = self.permits_returned.notified();
            {
                let mut state = self.state();
                state.closed = true;
                if state.permits == 0 {
                    break;
                }
            }
            returned.await;
        }
        self.waiting.close();
    }

    /// As [`Queue::close`], without waiting.
    pub(super) fn close_now(&self) {
        self.state().closed = true;
        self.waiting.close();
    }

    /// What nobody took. Whatever is sent afterwards is dropped, counted and logged.
    pub(super) fn take_rest(&self) -> Vec<Held> {
        let mut state = self.state();
        state.abandoned = true;
        state.waiting.drain(..).map(|entry| entry.held).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, state: &State) {
        let counters = &self.counters;
        counters.queue_requests.store(state.requests as u64, Ordering::Relaxed);
        counters.queue_bytes.store(state.bytes as u64, Ordering::Relaxed);
    }
}

impl Entry {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
