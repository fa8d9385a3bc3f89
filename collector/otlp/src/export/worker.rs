//! A consumer: takes requests off the queue, sends them, waits, tries again, and settles them.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{Instrument, field};

use super::client::{ClientError, Protocol, Upstream};
use super::debug;
use super::outcome::Outcome;
use super::queue::Queue;
use super::retry::Backoff;
use super::settings::{ExporterSettings, Kind, RetrySettings, Verbosity};
use crate::request::Held;

/// Where an exporter stands in its life.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Phase {
    /// Requests come in and go out.
    Running,
    /// No more come in; those that wait for a retry are tried at once.
    Draining,
    /// The deadline has come: all is handed back as it stands.
    Stopped,
}

/// Sends to whatever an exporter sends to.
#[derive(Debug)]
pub(super) enum Sender {
    Upstream(Box<Upstream>),
    Debug(Verbosity),
}

/// How a request ended.
enum Settled {
    Sent {
        rejected: u64,
        message: String,
    },
    Lost {
        reason: String,
    },
    /// The deadline came first.
    Left,
}

impl Sender {
    pub(super) fn new(settings: &ExporterSettings) -> Result<Self, ClientError> {
        let upstream = |protocol, client| Upstream::new(protocol, client).map(Box::new);
        Ok(match &settings.kind {
            Kind::Otlp(client) => Self::Upstream(upstream(Protocol::Grpc, client)?),
            Kind::OtlpHttp(client) => Self::Upstream(upstream(Protocol::Http, client)?),
            Kind::Debug(verbosity) => Self::Debug(*verbosity),
        })
    }

    async fn send(&self, held: &Held, exporter: &str) -> Outcome {
        match self {
            Self::Upstream(upstream) => upstream.send(held, exporter).await,
            Self::Debug(verbosity) => debug::log(held, *verbosity, exporter),
        }
    }
}

/// Runs until the queue is closed and empty, or the phase is [`Phase::Stopped`]; gives back what it had in hand then.
///
/// A consumer waits out the retries of its request. While an upstream is down it so gets as many attempts as there are
/// consumers, however many requests wait.
pub(super) async fn consume(
    queue: Arc<Queue>,
    sender: Arc<Sender>,
    retry: RetrySettings,
    number: u64,
    mut phase: watch::Receiver<Phase>,
) -> Vec<Held> {
    let mut taken = 0_u64;
    while *phase.borrow() != Phase::Stopped {
        let Some(entry) = queue.next().await else {
            break;
        };
        taken += 1;
        let seed = number.rotate_right(16) ^ taken;
        let backoff = Backoff::new(retry, Instant::now(), seed);
        let settled = deliver(&queue, &sender, &entry.held, backoff, &mut phase).await;
        let bytes = entry.bytes();
        let held = entry.held;
        let (signal, items) = (held.signal, held.items);
        let counters = queue.counters();
        let exporter = queue.name();
        match settled {
            Settled::Sent { rejected, message } => {
                let rejected = rejected.min(items);
                counters.add_sent(signal, items - rejected);
                counters.add_send_failed(signal, rejected);
                if rejected > 0 || !message.is_empty() {
                    tracing::warn!(exporter, %signal, items, rejected, message, "partial success");
                }
            }
            Settled::Lost { reason } => {
                counters.add_send_failed(signal, items);
                tracing::error!(exporter, %signal, items, reason, "dropped a request");
            }
            Settled::Left => return vec![held],
        }
        queue.settle(bytes);
    }
    Vec::new()
}

async fn deliver(
    queue: &Queue,
    sender: &Sender,
    held: &Held,
    mut backoff: Backoff,
    phase: &mut watch::Receiver<Phase>,
) -> Settled {
    let exporter = queue.name();
    loop {
        let seen = *phase.borrow_and_update();
        let span = tracing::debug_span!(
            "export",
            otel.kind = "client",
            exporter,
            signal = %held.signal,
            items = held.items,
            otel.status_code = field::Empty,
            error.message = field::Empty,
        );
        let outcome = tokio::select! {
            outcome = sender.send(held, exporter).instrument(span.clone()) => outcome,
            () = reached(phase.clone(), Phase::Stopped) => return Settled::Left,
        };
        if let Outcome::Failed { reason } | Outcome::Unsupported { reason } | Outcome::Retry { reason, .. } = &outcome {
            span.record("otel.status_code", "ERROR").record("error.message", reason);
        }
        drop(span);
        let (reason, after) = match outcome {
            Outcome::Delivered { rejected, message } => {
                return Settled::Sent { rejected, message };
            }
            Outcome::Failed { reason } | Outcome::Unsupported { reason } => {
                return Settled::Lost { reason };
            }
            Outcome::Retry { reason, after } => (reason, after),
        };
        let Some(wait) = backoff.next(Instant::now(), after) else {
            return Settled::Lost { reason };
        };
        tracing::warn!(exporter, signal = %held.signal, wait_ms = wait.as_millis(), reason, "cannot send, will retry");
        // The next phase ends the wait: a drain tries again at once, its deadline hands back.
        let next_phase = match seen {
            Phase::Running => Phase::Draining,
            Phase::Draining | Phase::Stopped => Phase::Stopped,
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = reached(phase.clone(), next_phase) => {}
        }
        if *phase.borrow() == Phase::Stopped {
            return Settled::Left;
        }
        queue.count_retry();
    }
}

/// Resolves once `phase` is at least `wanted`, or nobody can say any more.
async fn reached(mut phase: watch::Receiver<Phase>, wanted: Phase) {
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}
