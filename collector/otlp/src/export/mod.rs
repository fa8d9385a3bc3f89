//! Sends requests on: a bounded queue, consumers that retry, and a client per kind of exporter.
//!
//! The program reserves room in *all* exporters of a pipeline before it sends to any ([`Entrance::try_reserve`]), so that a
//! sender that is refused may repeat its request without doubling it anywhere. Delivery is at least once: a request whose
//! answer was lost is sent again.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

mod client;
mod counters;
mod debug;
mod grpc;
mod http;
mod outcome;
mod queue;
mod retry;
mod settings;
mod worker;

pub use client::ClientError;
pub use counters::ExporterCounters;
pub use queue::{Entrance, NoRoom, Permit};
pub use settings::{
    ClientSettings, ClientTls, ExporterSettings, Identity, Kind, OnFull, QueueSettings, RetrySettings, Verbosity,
};

use crate::request::{Held, Request};
use queue::Queue;
use worker::{Phase, Sender};

/// Starts exporters.
#[derive(Debug)]
pub struct Exporter;

/// A running exporter: its consumers, until it is drained or dropped. Dropping it aborts them and loses what they hold.
#[derive(Debug)]
pub struct ExporterHandle {
    queue: Arc<Queue>,
    phase: watch::Sender<Phase>,
    consumers: JoinSet<Vec<Held>>,
}

/// What an exporter could not send by its deadline.
#[derive(Debug)]
pub struct Leftover {
    /// The exporter's name.
    pub exporter: String,
    /// The requests, oldest first as far as known. Those that were on their way when the deadline came may have arrived.
    pub requests: Vec<Request>,
}

impl Exporter {
    /// Starts the consumers of an exporter on the current tokio runtime. Connections are made when first needed, so an
    /// upstream that is down is no error here.
    ///
    /// # Errors
    /// [`ClientError`] for an endpoint, a header or a certificate that can't be used.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn(settings: ExporterSettings) -> Result<ExporterHandle, ClientError> {
        let sender = Arc::new(Sender::new(&settings)?);
        let queue = Arc::new(Queue::new(settings.name, settings.kind.compression(), settings.queue));
        let (phase, _) = watch::channel(Phase::Running);
        let mut consumers = JoinSet::new();
        for number in 0..settings.queue.num_consumers.max(1) {
            consumers.spawn(worker::consume(
                Arc::clone(&queue),
                Arc::clone(&sender),
                settings.retry,
                number as u64,
                phase.subscribe(),
            ));
        }
        Ok(ExporterHandle { queue, phase, consumers })
    }
}

impl ExporterHandle {
    /// The exporter's name, as in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        self.queue.name()
    }

    /// Where requests go in. Cheap to clone and to keep.
    #[must_use]
    pub fn entrance(&self) -> Entrance {
        Entrance::new(Arc::clone(&self.queue))
    }

    /// What the exporter counts.
    #[must_use]
    pub fn counters(&self) -> Arc<ExporterCounters> {
        self.queue.counters()
    }

    /// Takes no more requests, sends what is queued, and gives back what could not be sent by `deadline`. Requests that wait
    /// for a retry are tried again at once.
    pub async fn drain(mut self, deadline: Instant) -> Leftover {
        self.phase.send_replace(Phase::Draining);
        let mut held = Vec::new();
        let ended = tokio::time::timeout_at(deadline, async {
            self.queue.close().await;
            join(&mut self.consumers, &mut held).await;
        })
        .await;
        if ended.is_err() {
            self.phase.send_replace(Phase::Stopped);
            self.queue.close_now();
            join(&mut self.consumers, &mut held).await;
        }
        held.extend(self.queue.take_rest());
        let exporter = self.queue.name().to_owned();
        let mut requests = Vec::with_capacity(held.len());
        for held in held {
            let (signal, items) = (held.signal, held.items);
            match held.into_request() {
                Ok(request) => requests.push(request),
                Err(error) => {
                    self.queue.counters().add_send_failed(signal, items);
                    tracing::error!(exporter, %signal, items, error = &error as &dyn std::error::Error, "dropped a request while draining");
                }
            }
        }
        Leftover { exporter, requests }
    }
}

/// Waits for all consumers and collects what they still hold.
async fn join(consumers: &mut JoinSet<Vec<Held>>, held: &mut Vec<Held>) {
    while let Some(ended) = consumers.join_next().await {
        match ended {
            Ok(rest) => held.extend(rest),
            Err(error) => tracing::error!(%error, "a consumer of an exporter ended early"),
        }
    }
}
