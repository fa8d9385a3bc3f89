//! One shard: some of the services, from their telemetry to anomalies, and what leaves it on its way to the correlator.

use crate::{
    anomaly::{Anomalies, AnomalySettings},
    event::{Anomaly, AnomalyChange},
    facts::WindowFacts,
    ingest::{Ingest, IngestCounters, IngestSettings, RestoreError, ServiceIngest},
    saved::{self, SavedError},
    time::UnixNanos,
    verdict::{DetectorHealth, Detectors},
    window::{ClosedWindow, ServiceKey},
};
use std::{collections::VecDeque, sync::Arc};

/// Version of the layout of saved states: the parts have versions of their own.
const SCHEMA: u32 = 1;

/// One thing that a shard has to say. Each belongs to one service and one point of event time.
#[derive(Clone, Debug)]
pub enum ShardOutput {
    /// A window of a service was closed. Comes before the anomalies that were seen in it.
    Window(Box<WindowFacts>),
    /// An anomaly began, went on or ended.
    Anomaly {
        /// What happened.
        change: AnomalyChange,
        /// When: the end of the window in which it was seen.
        time: UnixNanos,
        /// The anomaly after it.
        anomaly: Arc<Anomaly>,
    },
    /// A detector failed or recovered.
    Health(DetectorHealth),
    /// The service was evicted: too many services, or silent for too long.
    Forgotten {
        /// Which one.
        service: ServiceKey,
        /// When.
        time: UnixNanos,
    },
}

impl ShardOutput {
    /// The service it is about.
    #[must_use]
    pub fn service(&self) -> &ServiceKey {
        match self {
            Self::Window(facts) => &facts.service,
            Self::Anomaly { anomaly, .. } => &anomaly.service,
            Self::Health(health) => &health.service,
            Self::Forgotten { service, .. } => service,
        }
    }

    /// The point of event time it belongs to.
    #[must_use]
    pub fn time(&self) -> UnixNanos {
        match self {
            Self::Window(facts) => facts.end,
            Self::Anomaly { time, .. } | Self::Forgotten { time, .. } => *time,
            Self::Health(health) => health.time,
        }
    }
}

/// How a shard works.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShardSettings {
    /// From telemetry to windows.
    pub ingest: IngestSettings,
    /// From verdicts to anomalies.
    pub anomalies: AnomalySettings,
}

/// What a shard did so far. Every field only grows, but the number of open anomalies.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ShardCounters {
    /// What was taken in.
    pub ingest: IngestCounters,
    /// Verdicts of detectors.
    pub verdicts: u64,
    /// Anomalies open now.
    pub open_anomalies: usize,
    /// Odd series left out because too many were in hand.
    pub left_out_anomalies: u64,
}

/// Why a saved state could not be used. The service starts cold.
#[derive(Debug, thiserror::Error)]
pub enum ShardRestoreError {
    /// The whole can't be read.
    #[error("the saved state of the service can't be read")]
    Whole(#[source] SavedError),
    /// Its series and windows can't be used.
    #[error("the saved series and windows can't be used")]
    Ingest(#[source] RestoreError),
    /// Its anomalies can't be used.
    #[error("the saved anomalies can't be used")]
    Anomalies(#[source] SavedError),
}

/// Some of the services, from their telemetry to their anomalies.
///
/// The driver enters telemetry in the order of its input and ticks at defined positions of that order; after each tick it
/// polls the outputs until there are none. What comes out depends on nothing else.
#[derive(Debug)]
pub struct Shard<D> {
    ingest: Ingest,
    anomalies: Anomalies,
    detectors: D,
    outputs: VecDeque<ShardOutput>,
    now: UnixNanos,
    verdicts: u64,
}

// === impl Shard ===

impl<D: Detectors> Shard<D> {
    /// Without any service.
    #[must_use]
    pub fn new(settings: ShardSettings, detectors: D) -> Self {
        Self {
            ingest: Ingest::new(settings.ingest),
            anomalies: Anomalies::new(settings.anomalies),
            detectors,
            outputs: VecDeque::new(),
            now: UnixNanos(0),
            verdicts: 0,
        }
    }

    /// Opens a slice of telemetry of one service; see [`Ingest::enter`].
    pub fn enter(&mut self, service: &ServiceKey, received: UnixNanos) -> ServiceIngest<'_> {
        self.ingest.enter(service, received)
    }

    /// The clock says `now`: judges all windows that are closed by then, in order of their end and service.
    pub fn handle_tick(&mut self, now: UnixNanos) {
        self.now = now;
        self.ingest.handle_tick(now);
        while let Some((closed, facts)) = self.ingest.poll_closed() {
            self.judge(&closed, facts);
        }
        self.take_health();
    }

    /// The next thing to say.
    pub fn poll_output(&mut self) -> Option<ShardOutput> {
        self.outputs.pop_front()
    }

    /// Forgets a service that was evicted. Its open anomalies end; windows that are closed but not yet judged are judged
    /// first.
    pub fn forget(&mut self, service: &ServiceKey) {
        while let Some((closed, facts)) = self.ingest.poll_closed() {
            self.judge(&closed, facts);
        }
        self.ingest.forget(service);
        self.detectors.forget(service);
        self.anomalies.forget(service);
        self.take_anomalies();
        self.take_health();
        self.outputs.push_back(ShardOutput::Forgotten { service: service.clone(), time: self.now });
    }

    /// What is known of a service, without what its detectors learned; `None` if it is not known.
    #[must_use]
    pub fn snapshot(&self, service: &ServiceKey) -> Option<Vec<u8>> {
        let ingest = self.ingest.snapshot(service)?;
        Some(saved::encode(SCHEMA, &(ingest, self.anomalies.snapshot(service))))
    }

    /// Goes on from a saved state. To be called before anything of the service is entered.
    ///
    /// # Errors
    /// Where a part is of no use. The service then starts cold: a part that could be used is not kept, because anomalies
    /// know series by the ids that the windows gave them.
    pub fn restore(&mut self, service: &ServiceKey, bytes: &[u8]) -> Result<(), ShardRestoreError> {
        let (ingest, anomalies): (Vec<u8>, Option<Vec<u8>>) =
            saved::decode(SCHEMA, bytes).map_err(ShardRestoreError::Whole)?;
        self.ingest.restore(service, &ingest).map_err(ShardRestoreError::Ingest)?;
        if let Some(bytes) = anomalies
            && let Err(error) = self.anomalies.restore(service, &bytes)
        {
            self.ingest.forget(service);
            return Err(ShardRestoreError::Anomalies(error));
        }
        Ok(())
    }

    /// Services known, ascending.
    pub fn services(&self) -> impl Iterator<Item = &ServiceKey> {
        self.ingest.services()
    }

    /// The detectors, to configure, save or restore them.
    pub fn detectors_mut(&mut self) -> &mut D {
        &mut self.detectors
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> ShardCounters {
        ShardCounters {
            ingest: self.ingest.counters(),
            verdicts: self.verdicts,
            open_anomalies: self.anomalies.open_count(),
            left_out_anomalies: self.anomalies.left_out(),
        }
    }

    fn judge(&mut self, closed: &ClosedWindow, facts: WindowFacts) {
        let verdicts = self.detectors.observe(closed);
        self.verdicts += verdicts.len() as u64;
        self.anomalies.handle_window(closed, &facts, &verdicts);
        let mut notes = Vec::new();
        while let Some(note) = self.ingest.poll_quality() {
            notes.push(note);
        }
        if !notes.is_empty() {
            self.anomalies.handle_quality(closed, &notes);
        }
        self.outputs.push_back(ShardOutput::Window(Box::new(facts)));
        self.take_anomalies();
        self.take_health();
    }

    fn take_anomalies(&mut self) {
        while let Some(output) = self.anomalies.poll_output() {
            self.outputs.push_back(output);
        }
    }

    fn take_health(&mut self) {
        while let Some(health) = self.detectors.poll_health() {
            self.outputs.push_back(ShardOutput::Health(health));
        }
    }
}
