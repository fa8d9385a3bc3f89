//! The running hop: everything is started here, from top to bottom, and stopped in the opposite order.

mod engine;
mod keeper;
mod listen;
mod replace;
mod spool;

pub use engine::own_encoder;
pub use listen::Addresses;
pub use replace::Reloaded;

use crate::{
    config::{self, Config},
    detectors::{self, Loaded},
    pipeline::{
        clock::Clock,
        correlate::Keep,
        counters::DetectionCounters,
        emit::Target,
        intake::{Forwarding, Way},
        overview::{ConsoleSource, Overview},
        queue::DetectionQueue,
        saved::Kept,
    },
    selfcheck::Board,
    settings,
    telemetry::{Telemetry, WatchedExporter},
};
use anyhow::Context as _;
use engine::Engine;
use foreshock_console::{Phase, Readiness};
use foreshock_engine::event::IncidentId;
use foreshock_otlp::{
    Signal,
    export::{Exporter, ExporterHandle},
    receive::{self, InFlightBytes, ReceiverCounters, Transport},
    request::Intake,
};
use foreshock_store::Store;
use listen::Listeners;
use replace::{Ask, Replacer};
use spool::Spool;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::Instant,
};

/// Acknowledgements that wait for the correlator.
const MOST_ACKNOWLEDGEMENTS: usize = 64;

/// A running hop. Dropping it without [`Live::stop`] loses what is queued.
#[derive(Debug)]
pub struct Live {
    addresses: Addresses,
    readiness: Readiness,
    /// Set to stop the receivers.
    stop_receivers: watch::Sender<bool>,
    /// Set to stop the console and the health check.
    stop_pages: watch::Sender<bool>,
    receivers: JoinSet<()>,
    pages: JoinSet<()>,
    failures: mpsc::Receiver<String>,
    exporters: Vec<ExporterHandle>,
    engine: Engine,
    /// Where a configuration is read again.
    reload: std::sync::mpsc::Sender<Ask>,
    spool: Option<Spool>,
    store: Option<Arc<Store>>,
    telemetry: Arc<Telemetry>,
    detection: Arc<DetectionQueue>,
    counters: Arc<DetectionCounters>,
    overview: Arc<Overview>,
    shutdown_timeout: Duration,
}

/// How a stop went.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stopped {
    /// Requests that were not sent, by exporter; kept for the next start where `kept`.
    pub unsent: BTreeMap<String, usize>,
    /// Whether what was not sent lies in the store.
    pub kept: bool,
    /// Own events that wait in the store for room in an exporter's queue.
    pub events: usize,
}

impl Live {
    /// Opens the listeners, restores what was kept, and starts to take telemetry.
    ///
    /// # Errors
    /// If a port is taken, a certificate or a detector can't be used, or the state folder can't be.
    pub async fn start(config: &Config, clock: Arc<dyn Clock>, telemetry: Arc<Telemetry>) -> anyhow::Result<Self> {
        let readiness = Readiness::default();
        let mut listeners = Listeners::bind(config).await?;
        let addresses = listeners.addresses();
        let (stop_pages, pages_stopped) = watch::channel(false);
        let (stop_receivers, receivers_stopped) = watch::channel(false);
        let (failure, failures) = mpsc::channel(8);
        let mut pages = JoinSet::new();
        if let Some(listener) = listeners.health.take() {
            let serve = foreshock_console::serve_health(listener, readiness.clone(), until(pages_stopped.clone()));
            pages.spawn(watched("the health check", failure.clone(), serve));
        }

        let store = store(config).await?;
        let loaded = load(config, store.is_some()).await?;
        let overview = Arc::new(Overview::default());
        let kept = remember(store.as_ref(), &overview).await?;
        let exporters = start_exporters(config)?;
        let receiver_counters = Arc::<ReceiverCounters>::default();
        let counters = Arc::<DetectionCounters>::default();
        telemetry.watch_receivers(&receiver_counters);
        telemetry.watch_exporters(&watch(&exporters));
        telemetry.watch_detection(&counters);
        let running = telemetry.watch_detectors(&loaded.detectors);
        let board = Arc::<Board>::default();
        telemetry.watch_selfcheck(&board);

        let detection = Arc::new(DetectionQueue::new(config.detection.queue_requests, config.detection.queue_bytes));
        let (acknowledge, acknowledgements) = std::sync::mpsc::sync_channel::<IncidentId>(MOST_ACKNOWLEDGEMENTS);
        let targets = targets(config, &exporters);
        let (orders, replacements) = std::sync::mpsc::sync_channel(1);
        let engine = Engine::start(engine::Parts {
            config,
            loaded: &loaded,
            clock: Arc::clone(&clock),
            queue: Arc::clone(&detection),
            counters: Arc::clone(&counters),
            overview: Arc::clone(&overview),
            acknowledgements,
            store: store.clone(),
            targets,
            kept,
            board: Arc::clone(&board),
            running: running.clone(),
            replacements,
        })?;
        let (reload, asks) = std::sync::mpsc::channel();
        let replacer = Replacer::new(config.clone(), loaded, orders, running.clone(), Arc::clone(&counters));
        // Not waited for: it ends when the hop is dropped, or when what it compiles is done.
        engine::spawn("replacer".to_owned(), move || replacer.run(&asks))?;

        let ways = Signal::ALL.map(|signal| way(config, signal, &exporters));
        let intake: Arc<dyn Intake> = Arc::new(Forwarding::new(ways, Arc::clone(&detection), Arc::clone(&counters)));
        let spool = store.as_ref().map(|store| {
            let entrances = exporters.values().map(|(handle, _)| (handle.entrance(), handle.counters())).collect();
            Spool::start(Arc::clone(store), entrances)
        });
        let in_flight = InFlightBytes::default();
        let drain = config.shutdown_timeout.div_f64(2.0).min(Duration::from_secs(5));
        let mut receivers = JoinSet::new();
        for (transport, what, listener, about) in [
            (Transport::Grpc, "the OTLP/gRPC receiver", listeners.grpc.take(), &config.grpc),
            (Transport::Http, "the OTLP/HTTP receiver", listeners.http.take(), &config.http),
        ] {
            if let (Some(listener), Some(about)) = (listener, about) {
                let settings = settings::receiver(about, &in_flight, &receiver_counters, drain)?;
                let stop = until(receivers_stopped.clone());
                let serve = receive::serve(transport, listener, settings, Arc::clone(&intake), stop);
                receivers.spawn(watched(what, failure.clone(), serve));
            }
        }
        if let Some(listener) = listeners.console.take() {
            let shown = Arc::clone(&telemetry);
            let source = ConsoleSource {
                overview: Arc::clone(&overview),
                metrics: Box::new(move || shown.text()),
                acknowledge,
                board,
                detectors: running,
            };
            let serve = foreshock_console::serve(listener, Arc::new(source), until(pages_stopped));
            pages.spawn(watched("the console", failure, serve));
        }
        readiness.set(Phase::Ready);
        let exporters = exporters.into_values().map(|(handle, _)| handle).collect();
        let shutdown_timeout = config.shutdown_timeout;
        Ok(Self {
            addresses,
            readiness,
            stop_receivers,
            stop_pages,
            receivers,
            pages,
            failures,
            exporters,
            engine,
            reload,
            spool,
            store,
            telemetry,
            detection,
            counters,
            overview,
            shutdown_timeout,
        })
    }

    /// Where it listens: the addresses asked for, with real port numbers.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// What detection counts.
    #[must_use]
    pub fn counters(&self) -> &Arc<DetectionCounters> {
        &self.counters
    }

    /// What the console shows.
    #[must_use]
    pub fn overview(&self) -> &Arc<Overview> {
        &self.overview
    }

    /// Blocks until detection was offered `requests` requests since the start and has handed all of them to the shards, so that
    /// what comes next comes after them. Answers false if that takes longer than `patience`. Requests that were shed do not count.
    #[must_use]
    pub fn wait_for_detection(&self, requests: u64, patience: Duration) -> bool {
        self.detection.wait_until_handled(requests, patience)
    }

    /// Lets detection look at its clock, for a clock that is set by hand.
    pub fn wake_detection(&self) {
        self.detection.nudge();
    }

    /// Has the configuration read again, on a thread of its own, and what it says of detectors applied. The receiver gets what became of
    /// it, which is also written to Foreshock's own log.
    pub fn reload(&self, config: PathBuf) -> oneshot::Receiver<Reloaded> {
        let (answer, answered) = oneshot::channel();
        let _ = self.reload.send(Ask { config, answer });
        answered
    }

    /// Waits until a part that should run for ever ends; says which one, and why.
    pub async fn failed(&mut self) -> String {
        match self.failures.recv().await {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }

    /// Stops accepting, lets detection finish, drains the exporters, and keeps what is left, all within the configured time.
    pub async fn stop(mut self) -> Stopped {
        let deadline = Instant::now() + self.shutdown_timeout;
        self.readiness.set(Phase::Draining);
        self.stop_receivers.send_replace(true);
        while self.receivers.join_next().await.is_some() {}
        if let Some(spool) = &mut self.spool {
            spool.pause().await;
        }

        self.detection.close();
        let emission = self.engine.finish(deadline - self.shutdown_timeout.div_f64(2.0)).await;
        let mut drains = JoinSet::new();
        for exporter in self.exporters {
            drains.spawn(exporter.drain(deadline));
        }
        let mut leftovers = Vec::new();
        while let Some(drained) = drains.join_next().await {
            match drained {
                Ok(leftover) => leftovers.push(leftover),
                Err(error) => tracing::error!(%error, "an exporter did not drain"),
            }
        }
        let unsent: BTreeMap<String, usize> = leftovers
            .iter()
            .filter(|leftover| !leftover.requests.is_empty())
            .map(|leftover| (leftover.exporter.clone(), leftover.requests.len()))
            .collect();
        let store = self.store.take();
        let spool = self.spool.take();
        let (kept, events) = tokio::task::spawn_blocking(move || {
            let kept = match (&store, spool) {
                (Some(store), Some(spool)) => spool.finish(store, leftovers),
                _ => false,
            };
            (kept, emission.map_or(0, crate::pipeline::emit::Emission::finish))
        })
        .await
        .unwrap_or((false, 0));

        self.stop_pages.send_replace(true);
        let pages = async { while self.pages.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(1), pages).await;
        let telemetry = Arc::clone(&self.telemetry);
        let _ = tokio::task::spawn_blocking(move || telemetry.shutdown(Duration::from_secs(1))).await;
        Stopped { unsent, kept, events }
    }
}

/// Ends when `stop` is set.
async fn until(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopped| *stopped).await;
}

/// Reports a server that fails.
async fn watched<E: std::error::Error>(
    what: &'static str,
    failure: mpsc::Sender<String>,
    serve: impl Future<Output = Result<(), E>>,
) {
    if let Err(error) = serve.await {
        let _ = failure.send(format!("{what} failed: {}", detectors::chain(&error))).await;
    }
}

/// The store of the configured folder; `None` if no state is kept.
async fn store(config: &Config) -> anyhow::Result<Option<Arc<Store>>> {
    let Some(folder) = config.storage.clone() else { return Ok(None) };
    match tokio::task::spawn_blocking(move || open_store(&folder)).await? {
        Err(error) if !config.storage_is_chosen => {
            let reason = format!("{error:#}");
            tracing::warn!(reason, "no state is kept across a restart; `storage.path` chooses a folder");
            Ok(None)
        }
        opened => opened.map(Some),
    }
}

fn open_store(folder: &std::path::Path) -> anyhow::Result<Arc<Store>> {
    let opened = Store::open(folder)?;
    if let Some(aside) = opened.aside {
        tracing::warn!(
            reason = aside.reason,
            kept_as = %aside.path.display(),
            "the state file can't be used and was moved aside; starting cold"
        );
    }
    Ok(Arc::new(opened.store))
}

/// Loads the detectors. Where no state is kept, because the folder can't be used or nobody wants one, code is compiled at each start.
async fn load(config: &Config, keeps_state: bool) -> anyhow::Result<Loaded> {
    let config = config.clone();
    let code_folder = config.storage.as_deref().filter(|_| keeps_state).map(detectors::code_folder);
    tokio::task::spawn_blocking(move || detectors::load(&config, code_folder)).await?
}

/// What the store has from the last run; what the console shows of it goes to the overview.
async fn remember(store: Option<&Arc<Store>>, overview: &Arc<Overview>) -> anyhow::Result<Kept> {
    let Some(store) = store.cloned() else { return Ok(Kept::default()) };
    let overview = Arc::clone(overview);
    let read = move || {
        keeper::remember(&store, &overview);
        keeper::kept(&store)
    };
    Ok(tokio::task::spawn_blocking(read).await?)
}

/// By name, each with the capacity of its queue in requests.
type Exporters = BTreeMap<String, (ExporterHandle, u64)>;

fn start_exporters(config: &Config) -> anyhow::Result<Exporters> {
    let start = |exporter: &config::Exporter| {
        let settings = settings::exporter(exporter)?;
        let capacity = settings.queue.queue_size as u64;
        anyhow::Ok((Exporter::spawn(settings)?, capacity))
    };
    let named = |exporter: &config::Exporter| {
        let started = start(exporter).with_context(|| format!("exporter `{}`", exporter.name))?;
        anyhow::Ok((exporter.name.clone(), started))
    };
    config.exporters.values().map(named).collect()
}

/// What own metrics tell of exporters.
fn watch(exporters: &Exporters) -> Vec<WatchedExporter> {
    let watched = |(name, (handle, capacity)): (&String, &(ExporterHandle, u64))| WatchedExporter {
        name: name.clone(),
        counters: handle.counters(),
        capacity: *capacity,
    };
    exporters.iter().map(watched).collect()
}

/// The exporters of all pipelines of a signal, each once.
fn way(config: &Config, signal: Signal, exporters: &Exporters) -> Way {
    let mut names: Vec<&String> = Vec::new();
    let mut is_detected = false;
    for pipeline in config.pipelines.iter().filter(|pipeline| pipeline.signal == signal) {
        is_detected |= !pipeline.detectors.is_empty();
        for name in &pipeline.exporters {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let entrances = names.iter().filter_map(|name| exporters.get(*name)).map(|(handle, _)| handle.entrance()).collect();
    Way { exporters: entrances, is_detected }
}

/// Who takes events and incident traces.
fn targets(config: &Config, exporters: &Exporters) -> Vec<Target> {
    let (events, traces) = (&config.detection.event_exporters, &config.detection.trace_exporters);
    exporters
        .iter()
        .filter(|(name, _)| events.contains(name) || traces.contains(name))
        .map(|(name, (handle, capacity))| Target {
            entrance: handle.entrance(),
            counters: handle.counters(),
            capacity: *capacity,
            events: events.contains(name),
            traces: traces.contains(name),
        })
        .collect()
}

/// The channel to the store's thread.
type KeeperInput = std::sync::mpsc::SyncSender<Keep>;
