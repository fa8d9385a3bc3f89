//! One shard: windows, detectors and anomalies of its services, on a thread of its own.

use super::{
    counters::DetectionCounters,
    saved::{self, DETECTORS, SERVICE},
};
use crate::detectors::chain;
use bytes::Bytes;
use foreshock_engine::{
    UnixNanos,
    ingest::IngestCounters,
    shard::{Shard, ShardOutput, ShardSettings},
    ticks::Tick,
    verdict::{Detector, DetectorHealth, Detectors, Verdict},
    window::{ClosedWindow, ServiceKey},
};
use foreshock_otlp::{Signal, view};
use foreshock_sandbox::LoadedDetector;
use foreshock_store::State;
use std::{
    collections::BTreeSet,
    ops::Bound,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender},
    },
};

/// What a shard is told, in this order of the input.
#[derive(Debug)]
pub enum ToShard {
    /// Telemetry of one service.
    Slice {
        /// What it carries.
        signal: Signal,
        /// Whose it is.
        service: ServiceKey,
        /// The content of one `ResourceMetrics`, `ResourceLogs` or `ResourceSpans`.
        bytes: Bytes,
        /// When it was received; 0 if that means nothing, as in a replay.
        received: UnixNanos,
    },
    /// The service was evicted.
    Forget(ServiceKey),
    /// Go on from what was kept.
    Restore(ServiceKey, Vec<State>),
    /// Run these detectors from each service's next window on.
    Replace(Arc<[Arc<LoadedDetector>]>),
    /// The clock moved on. Answered by one [`Report`].
    Tick {
        /// The clock.
        tick: Tick,
        /// How many services to give snapshots of at most; [`usize::MAX`] at the end of a run.
        snapshots: usize,
    },
}

/// What a shard says at a tick.
#[derive(Debug)]
pub struct Report {
    /// Which tick.
    pub tick: Tick,
    /// All that was seen since the tick before, in the order in which the shard saw it.
    pub outputs: Vec<ShardOutput>,
    /// Pieces for the store.
    pub snapshots: Vec<State>,
    /// Services whose pieces are to be removed from the store.
    pub forgotten: Vec<ServiceKey>,
    /// Whether the pieces are the last ones, which must not be left out.
    pub is_last: bool,
}

/// What runs detectors and can be saved: the sandbox, or in tests anything else.
pub trait SavedDetectors: Detectors {
    /// What was learned about a service, as bytes; `None` if nothing was.
    fn snapshot(&mut self, service: &ServiceKey) -> Option<Vec<u8>>;

    /// Goes on from what [`SavedDetectors::snapshot`] gave.
    ///
    /// # Errors
    /// In words, if the bytes are of no use.
    fn restore(&mut self, service: &ServiceKey, bytes: &[u8]) -> Result<(), String>;

    /// Runs these detectors from each service's next window on.
    fn replace(&mut self, detectors: &[Arc<LoadedDetector>]);
}

/// Detectors that never have anything to say, for a shard whose own watch over its series is all that is wanted.
#[derive(Debug, Default)]
pub(crate) struct Silent {
    /// What they learned about every service.
    pub(crate) learned: Option<Vec<u8>>,
}

impl Detectors for Silent {
    fn observe(&mut self, _closed: &ClosedWindow) -> Vec<(Arc<Detector>, Verdict)> {
        Vec::new()
    }

    fn poll_health(&mut self) -> Option<DetectorHealth> {
        None
    }

    fn forget(&mut self, _service: &ServiceKey) {}
}

impl SavedDetectors for Silent {
    fn snapshot(&mut self, _service: &ServiceKey) -> Option<Vec<u8>> {
        self.learned.clone()
    }

    fn restore(&mut self, _service: &ServiceKey, _bytes: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn replace(&mut self, _detectors: &[Arc<LoadedDetector>]) {}
}

/// A shard and what the driver knows of it.
pub struct Worker<D> {
    shard: Shard<D>,
    reader: view::Reader,
    counters: Arc<DetectionCounters>,
    /// What was counted when the counters were last brought up to date.
    counted: IngestCounters,
    /// What a service that was forgotten left to say, until the next tick.
    outputs: Vec<ShardOutput>,
    forgotten: Vec<ServiceKey>,
    /// Services that changed since their last snapshot.
    changed: BTreeSet<ServiceKey>,
    /// Where the last round of snapshots stopped.
    last_snapshot: Option<ServiceKey>,
    now: UnixNanos,
}

impl<D: SavedDetectors> Worker<D> {
    /// Without any service.
    #[must_use]
    pub fn new(settings: ShardSettings, detectors: D, counters: Arc<DetectionCounters>) -> Self {
        Self {
            shard: Shard::new(settings, detectors),
            reader: view::Reader::default(),
            counters,
            counted: IngestCounters::default(),
            outputs: Vec::new(),
            forgotten: Vec::new(),
            changed: BTreeSet::new(),
            last_snapshot: None,
            now: UnixNanos(0),
        }
    }

    /// Takes one message; a tick is answered.
    pub fn handle(&mut self, message: ToShard) -> Option<Report> {
        match message {
            ToShard::Slice { signal, service, bytes, received } => {
                let mut sink = self.shard.enter(&service, received);
                if let Err(error) = self.reader.read(signal, &bytes, &mut sink) {
                    // Receivers validate, so this is about recordings alone.
                    tracing::warn!(%service, %signal, %error, "telemetry that can't be read was left out");
                }
                drop(sink);
                self.changed.insert(service);
                None
            }
            ToShard::Forget(service) => {
                self.shard.forget(&service);
                self.take_outputs();
                self.changed.remove(&service);
                self.forgotten.push(service);
                None
            }
            ToShard::Restore(service, states) => {
                self.restore(&service, &states);
                None
            }
            ToShard::Replace(detectors) => {
                self.shard.detectors_mut().replace(&detectors);
                None
            }
            ToShard::Tick { tick, snapshots } => {
                self.now = tick.now;
                self.shard.handle_tick(tick.now);
                self.take_outputs();
                self.count();
                Some(Report {
                    tick,
                    outputs: std::mem::take(&mut self.outputs),
                    snapshots: self.snapshots(snapshots),
                    forgotten: std::mem::take(&mut self.forgotten),
                    is_last: snapshots == usize::MAX,
                })
            }
        }
    }

    fn take_outputs(&mut self) {
        while let Some(output) = self.shard.poll_output() {
            match &output {
                ShardOutput::Health(health) => {
                    if let Some(reason) = health.reason {
                        tracing::warn!(detector = %health.detector.name, service = %health.service, reason = reason.name(), "{}", health.message);
                    }
                }
                ShardOutput::Window(facts) => {
                    self.changed.insert(facts.service.clone());
                }
                ShardOutput::Anomaly { .. } | ShardOutput::Forgotten { .. } => {}
            }
            self.outputs.push(output);
        }
    }

    fn restore(&mut self, service: &ServiceKey, states: &[State]) {
        let piece = |kind: &str| states.iter().find(|state| state.kind == kind);
        let Some(whole) = piece(SERVICE) else { return };
        // Detectors know series by the ids that the windows gave them, so without those they start cold too.
        let restored = self.shard.restore(service, &whole.bytes).map_err(|error| chain(&error)).and_then(|()| {
            piece(DETECTORS).map_or(Ok(()), |state| self.shard.detectors_mut().restore(service, &state.bytes))
        });
        if let Err(reason) = restored {
            tracing::warn!(%service, reason, "what was learned can't be used, starting cold");
        }
    }

    /// Pieces of up to `most` services that changed, going round so that each has its turn.
    fn snapshots(&mut self, most: usize) -> Vec<State> {
        let mut pieces = Vec::new();
        for _ in 0..most.min(self.changed.len()) {
            let next = self
                .last_snapshot
                .as_ref()
                .and_then(|last| self.changed.range::<ServiceKey, _>((Bound::Excluded(last), Bound::Unbounded)).next());
            let Some(service) = next.or_else(|| self.changed.first()).cloned() else { break };
            self.changed.remove(&service);
            let now = self.now.0;
            if let Some(bytes) = self.shard.snapshot(&service) {
                pieces.push(saved::piece(SERVICE, Some(&service), bytes, now));
            }
            if let Some(bytes) = self.shard.detectors_mut().snapshot(&service) {
                pieces.push(saved::piece(DETECTORS, Some(&service), bytes, now));
            }
            self.last_snapshot = Some(service);
        }
        pieces
    }

    /// Brings the shared counters up to date.
    fn count(&mut self) {
        let (now, before) = (self.shard.counters().ingest, self.counted);
        self.counters.windows.add(now.windows - before.windows);
        self.counters.late.add(now.late - before.late);
        self.counters.series_evictions.add(now.evicted_series - before.evicted_series);
        self.counters.template_evictions.add(now.evicted_templates - before.evicted_templates);
        self.counted = now;
    }
}

/// Runs a shard until nobody can tell it anything more, or nobody listens.
pub fn run<D: SavedDetectors>(mut shard: Worker<D>, input: &Receiver<ToShard>, output: &SyncSender<Report>) {
    for message in input {
        if let Some(report) = shard.handle(message)
            && output.send(report).is_err()
        {
            return;
        }
    }
}
