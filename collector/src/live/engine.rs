//! Detection's threads: the dispatcher, the shards, the correlator, the emission and the store's writer.

use super::{KeeperInput, keeper, replace::Detectors};
use crate::{
    config::Config,
    detectors::Loaded,
    pipeline::{
        clock::Clock,
        correlate::{Correlating, Keep},
        counters::DetectionCounters,
        dispatch::{Dispatcher, ShardGone},
        emit::{Emission, Encode, Exporting, Target},
        overheard::Overheard,
        overview::Overview,
        queue::{DetectionQueue, Taken},
        saved::Kept,
        shard::{self, Worker},
    },
    selfcheck::{self, Board, Checker, InTurn},
    settings,
    telemetry::{WatchedDetectors, own_resource},
};
use anyhow::Context as _;
use foreshock_engine::{
    UnixNanos,
    event::{Event, IncidentId},
    incident::{self, Correlator},
};
use foreshock_otlp::{
    Signal,
    encode::{self, Own},
    request::Request,
};
use foreshock_sandbox::DetectorPool;
use foreshock_store::Store;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};
use tokio::time::Instant;

/// Slices that wait for one shard.
const SHARD_QUEUE: usize = 256;
/// Batches of events that wait for the emission.
const EMISSION_QUEUE: usize = 256;
/// Rounds of pieces that wait for the store.
const KEEPER_QUEUE: usize = 64;
/// Between two ticks.
const SECOND: u64 = 1_000_000_000;
/// Each service's state, and the correlator's, is kept about once in so many ticks.
const SNAPSHOT_TICKS: usize = 60;

/// What detection is started with.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) loaded: &'a Loaded,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) queue: Arc<DetectionQueue>,
    pub(super) counters: Arc<DetectionCounters>,
    pub(super) overview: Arc<Overview>,
    pub(super) acknowledgements: Receiver<IncidentId>,
    pub(super) store: Option<Arc<Store>>,
    pub(super) targets: Vec<Target>,
    pub(super) kept: Kept,
    pub(super) board: Arc<Board>,
    /// The detectors that run now, for the self-check.
    pub(super) running: WatchedDetectors,
    /// Detectors to run instead.
    pub(super) replacements: Receiver<Detectors>,
}

/// The threads.
#[derive(Debug)]
pub(super) struct Engine {
    hurry: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    emission: JoinHandle<Emission>,
}

/// Turns events into requests under Foreshock's own resource.
#[must_use]
pub fn own_encoder(config: &Config) -> Encode {
    let own = Own { resource: own_resource(&config.telemetry.resource), version: env!("CARGO_PKG_VERSION").to_owned() };
    Box::new(move |_now: UnixNanos, events: &[Event]| {
        let mut requests = Vec::new();
        if let Some(bytes) = encode::logs(events, &own) {
            let items = events.iter().filter(|event| !matches!(event, Event::Trace { .. })).count();
            requests.push(Request::new(Signal::Logs, items as u64, bytes, None));
        }
        for event in events {
            if let Event::Trace { incident } = event {
                let spans = incident::spans(incident);
                let bytes = encode::traces(&spans, &own);
                requests.push(Request::new(Signal::Traces, spans.len() as u64, bytes, None));
            }
        }
        requests
    })
}

impl Engine {
    /// Starts all threads, restored from what was kept.
    pub(super) fn start(parts: Parts<'_>) -> anyhow::Result<Self> {
        let config = parts.config;
        let hurry = Arc::<AtomicBool>::default();
        let mut threads = Vec::new();
        let incidents = settings::incidents(config);
        let correlator = match parts.kept.correlator.as_deref().map(|bytes| Correlator::restore(incidents, bytes)) {
            None => Correlator::new(incidents),
            Some(Ok(correlator)) => correlator,
            Some(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "kept incidents can't be used, starting cold");
                Correlator::new(incidents)
            }
        };

        let keeper: Option<KeeperInput> = match parts.store.clone() {
            None => None,
            Some(store) => {
                let (sender, input) = sync_channel::<Keep>(KEEPER_QUEUE);
                let counters = Arc::clone(&parts.counters);
                threads.push(spawn("store".to_owned(), move || keeper::run(&store, &input, &counters))?);
                Some(sender)
            }
        };
        let (requests, requested) = sync_channel::<Request>(EMISSION_QUEUE);
        let emission = Emission::new(parts.targets, parts.store, Arc::clone(&parts.counters));
        let emission = Builder::new().name("emission".to_owned()).spawn(move || emission.run(&requested));
        let emission = emission.context("a thread can't be started")?;

        let (checks, to_check) = sync_channel(1);
        let checker = Checker {
            sandbox: Arc::clone(&parts.loaded.sandbox),
            pool: settings::pool(config, false),
            shard: settings::shard(config),
        };
        let (board, running) = (parts.board, parts.running);
        threads.push(spawn("selfcheck".to_owned(), move || selfcheck::work(&checker, &running, &to_check, &board))?);
        let shards = config.detection.shards;
        let every = u64::try_from(config.detection.selfcheck_every.as_nanos()).unwrap_or(u64::MAX);
        let (report, reports) = sync_channel(shards * 2);
        let mut inputs = Vec::new();
        for number in 0..shards {
            let pool = DetectorPool::new(
                Arc::clone(&parts.loaded.sandbox),
                parts.loaded.detectors.clone(),
                settings::pool(config, false),
            );
            let pool = Overheard::new(pool, InTurn::new(every, checks.clone()));
            let shard = Worker::new(settings::shard(config), pool, Arc::clone(&parts.counters));
            let (input, inside) = sync_channel(SHARD_QUEUE);
            let report = report.clone();
            threads.push(spawn(format!("shard-{number}"), move || shard::run(shard, &inside, &report))?);
            inputs.push(input);
        }
        drop((report, checks));
        let correlating = Correlating {
            correlator,
            shards,
            outlet: Exporting { encode: own_encoder(config), requests },
            overview: Some(parts.overview),
            counters: Arc::clone(&parts.counters),
            acknowledgements: Some(parts.acknowledgements),
            keeper,
            snapshot_every: SNAPSHOT_TICKS as u64,
        };
        threads.push(spawn("correlator".to_owned(), move || drop(correlating.run(&reports)))?);

        let dispatcher = Dispatcher::new(config.detection.services, inputs, Arc::clone(&parts.counters));
        let driver = Driver {
            dispatcher,
            queue: parts.queue,
            clock: parts.clock,
            counters: parts.counters,
            hurry: Arc::clone(&hurry),
            shards,
            replacements: parts.replacements,
        };
        let kept = parts.kept;
        threads.push(spawn("dispatcher".to_owned(), move || driver.run(kept))?);
        Ok(Self { hurry, threads, emission })
    }

    /// Waits until what was queued is through; after `patience` the rest of it is shed. `None` if the emission failed.
    pub(super) async fn finish(self, patience: Instant) -> Option<Emission> {
        let hurry = Arc::clone(&self.hurry);
        let timer = tokio::spawn(async move {
            tokio::time::sleep_until(patience).await;
            hurry.store(true, Ordering::Release);
        });
        let ended = tokio::task::spawn_blocking(move || {
            for thread in self.threads {
                let name = thread.thread().name().unwrap_or_default().to_owned();
                if thread.join().is_err() {
                    tracing::error!(thread = name, "a thread of detection failed");
                }
            }
            self.emission.join().ok()
        })
        .await;
        timer.abort();
        ended.ok().flatten()
    }
}

/// A thread of detection.
pub(super) fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    let run = move || {
        yield_to_forwarding();
        work();
    };
    Builder::new().name(name).spawn(run).context("a thread can't be started")
}

/// Lets the calling thread have a processor where forwarding does not want it: about a tenth of one that both want.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the standard library knows no priorities")]
fn yield_to_forwarding() {
    const NICE: libc::c_int = 10;
    // SAFETY: three numbers and no memory. On Linux a niceness belongs to a thread, and 0 is the calling one (setpriority(2), notes).
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) } != 0 {
        let error = std::io::Error::last_os_error();
        tracing::debug!(%error, "detection has the same priority as forwarding");
    }
}

#[cfg(not(target_os = "linux"))]
fn yield_to_forwarding() {}

/// How many services each shard gives snapshots of at a tick, so that each has its turn in [`SNAPSHOT_TICKS`]; one more than
/// there need be, for shards do not have exactly as many services as each other.
fn snapshots_a_tick(services: usize, shards: usize) -> usize {
    services.div_ceil(shards.max(1) * SNAPSHOT_TICKS) + 1
}

/// The dispatcher's thread.
struct Driver {
    dispatcher: Dispatcher,
    queue: Arc<DetectionQueue>,
    clock: Arc<dyn Clock>,
    counters: Arc<DetectionCounters>,
    hurry: Arc<AtomicBool>,
    shards: usize,
    replacements: Receiver<Detectors>,
}

impl Driver {
    fn run(mut self, kept: Kept) {
        if self.work(kept).is_err() {
            tracing::error!("detection has stopped because a shard failed; forwarding goes on");
            while let Taken::Offer(offer) = self.queue.take(Duration::from_secs(3600)) {
                self.counters.add_shed(offer.signal, offer.items);
            }
        }
    }

    fn work(&mut self, kept: Kept) -> Result<(), ShardGone> {
        self.dispatcher.restore(kept)?;
        let mut due = self.clock.now().floor_to(SECOND).plus(SECOND);
        loop {
            let now = self.clock.now();
            // A clock that was set back must not stop the ticks.
            if now >= due || due.since(now) > 2 * SECOND {
                let second = now.floor_to(SECOND);
                self.dispatcher.tick(second, snapshots_a_tick(self.dispatcher.services(), self.shards))?;
                due = second.plus(SECOND);
                // Windows are judged at ticks, so that this is between two windows, and for all shards the same two.
                if let Some(detectors) = self.replacements.try_iter().last() {
                    self.dispatcher.replace(&detectors)?;
                }
            }
            match self.queue.take(self.clock.until(due)) {
                Taken::Nothing => {}
                Taken::Closed => break,
                Taken::Offer(offer) if self.hurry.load(Ordering::Acquire) => {
                    self.counters.add_shed(offer.signal, offer.items);
                }
                Taken::Offer(offer) => {
                    // 0 would mean a recording.
                    let received = self.clock.now().max(UnixNanos(1));
                    self.dispatcher.dispatch(offer.signal, &offer.plain, received, &mut |_| None, 0)?;
                }
            }
        }
        self.dispatcher.tick(self.clock.now(), usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::shard::{Silent, ToShard};
    use foreshock_engine::{shard::ShardSettings, ticks::Tick, window::ServiceKey};
    use foreshock_otlp::{json, view};
    use std::collections::BTreeMap;

    /// The README promises that a crash loses a minute of what was learned at most: a service that speaks all the time has its turn
    /// once in 60 ticks, however many services there are.
    #[test]
    fn every_service_has_its_turn_within_a_minute() {
        let body = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"load","gauge":{"dataPoints":[{"timeUnixNano":"1767571200000000000","asDouble":1}]}}]}]}]}"#;
        let request = json::to_protobuf(Signal::Metrics, body.as_bytes()).expect("OTLP");
        let slice = view::split(Signal::Metrics, &request).next().expect("one resource");
        let bytes = request.slice(slice.bytes);
        for services in [1_usize, 2, 59, 60, 61, 180, 700] {
            let detectors = Silent { learned: Some(vec![1]) };
            let mut worker = Worker::new(ShardSettings::default(), detectors, Arc::default());
            let keys: Vec<_> = (0..services).map(|number| ServiceKey::new("", &format!("s{number}"))).collect();
            let mut last: BTreeMap<String, u64> = BTreeMap::new();
            for epoch in 1..=4 * SNAPSHOT_TICKS as u64 {
                let now = UnixNanos(1_767_571_200_000_000_000 + epoch * SECOND);
                for service in keys.iter().cloned() {
                    let bytes = bytes.clone();
                    worker.handle(ToShard::Slice { signal: Signal::Metrics, service, bytes, received: now });
                }
                let tick = Tick { epoch, now };
                let snapshots = snapshots_a_tick(services, 1);
                let report = worker.handle(ToShard::Tick { tick, snapshots }).expect("a report");
                for state in report.snapshots {
                    last.insert(state.service, epoch);
                }
                if epoch >= SNAPSHOT_TICKS as u64 {
                    assert_eq!(last.len(), services);
                    let oldest = last.values().min().copied().unwrap_or(0);
                    assert!(
                        epoch - oldest < SNAPSHOT_TICKS as u64,
                        "{services} services: {epoch} ticks, one of {oldest}"
                    );
                }
            }
        }
    }
}
