//! Plays requests through detection: blocking where live sheds, by the clock of the events where live looks at its own.

use super::Recorded;
use crate::{
    cli::say,
    config::Config,
    detectors::Loaded,
    live::own_encoder,
    pipeline::{
        correlate::{Correlating, Outlet},
        counters::DetectionCounters,
        dispatch::Dispatcher,
        emit::Encode,
        shard::{self, SavedDetectors, Worker},
    },
    settings,
};
use anyhow::Context as _;
use foreshock_engine::{
    UnixNanos,
    event::Event,
    incident::Correlator,
    ticks::{TickSettings, TickSource},
};
use foreshock_otlp::json;
use foreshock_sandbox::DetectorPool;
use std::{
    io::Write,
    sync::{Arc, mpsc::sync_channel},
    thread,
};

/// Slices that wait for one shard.
const SHARD_QUEUE: usize = 256;
/// Unreadable parts that are told one by one.
const TOLD: u64 = 20;

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Played {
    /// Requests that were read.
    pub requests: u64,
    /// Parts that could not be read.
    pub unreadable: u64,
    /// Windows that were closed.
    pub windows: u64,
    /// Anomalies that began.
    pub anomalies: u64,
    /// Incidents that were opened.
    pub incidents: u64,
    /// Lines that were written: one for each event and each incident trace.
    pub lines: u64,
}

/// Writes each event and each incident trace as one OTLP/JSON request on a line of its own.
struct Lines<W> {
    encode: Encode,
    out: W,
    lines: u64,
    failed: Option<std::io::Error>,
}

impl<W: Write + Send> Outlet for Lines<W> {
    fn take(&mut self, now: UnixNanos, events: Vec<Event>) {
        for event in &events {
            for request in (self.encode)(now, std::slice::from_ref(event)) {
                if self.failed.is_none() {
                    self.failed = writeln!(self.out, "{}", json::to_json(request.signal, &request.plain)).err();
                    self.lines += 1;
                }
            }
        }
    }
}

/// Plays a recording and writes what comes out. The output depends on the recording and the configuration alone, byte for
/// byte, and not on `config.detection.shards`.
///
/// # Errors
/// If a thread can't be started or fails, or the output can't be written.
pub fn play(
    config: &Config,
    loaded: &Loaded,
    recording: impl Iterator<Item = Recorded>,
    ticks: TickSettings,
    out: impl Write + Send + 'static,
) -> anyhow::Result<Played> {
    let outlet = Lines { encode: own_encoder(config), out, lines: 0, failed: None };
    let detectors = || pool(config, loaded);
    let (mut played, mut lines) = drive(config, recording, ticks, detectors, outlet)?;
    if let Some(error) = lines.failed {
        return Err(error).context("the output can't be written");
    }
    lines.out.flush().context("the output can't be written")?;
    played.lines = lines.lines;
    Ok(played)
}

/// The detectors of one shard, as a replay runs them.
pub(crate) fn pool(config: &Config, loaded: &Loaded) -> DetectorPool {
    DetectorPool::new(Arc::clone(&loaded.sandbox), loaded.detectors.clone(), settings::pool(config, true))
}

/// Plays a recording through `config.detection.shards` shards with detectors of their own each, and hands events to `outlet`, which
/// is given back.
///
/// At the end one more tick closes all windows that are still open. It lies just far enough ahead for that, so nothing else
/// is made up: anomalies and incidents that are open then stay open, and no trace is written for them.
///
/// # Errors
/// If a thread can't be started or fails.
pub(crate) fn drive<D: SavedDetectors + Send + 'static, O: Outlet + 'static>(
    config: &Config,
    recording: impl Iterator<Item = Recorded>,
    ticks: TickSettings,
    detectors: impl Fn() -> D,
    outlet: O,
) -> anyhow::Result<(Played, O)> {
    let counters = Arc::<DetectionCounters>::default();
    let shards = config.detection.shards;
    let (report, reports) = sync_channel(shards * 2);
    let (mut inputs, mut threads) = (Vec::new(), Vec::new());
    let spawn = |name: String| thread::Builder::new().name(name);
    for number in 0..shards {
        let worker = Worker::new(settings::shard(config), detectors(), Arc::clone(&counters));
        let (input, inside) = sync_channel(SHARD_QUEUE);
        let report = report.clone();
        let work = move || shard::run(worker, &inside, &report);
        threads.push(spawn(format!("shard-{number}")).spawn(work).context("a thread can't be started")?);
        inputs.push(input);
    }
    drop(report);
    let correlating = Correlating {
        correlator: Correlator::new(settings::incidents(config)),
        shards,
        outlet,
        overview: None,
        counters: Arc::clone(&counters),
        acknowledgements: None,
        keeper: None,
        snapshot_every: u64::MAX,
    };
    let correlator = spawn("correlator".to_owned()).spawn(move || correlating.run(&reports));
    let correlator = correlator.context("a thread can't be started")?;

    let mut dispatcher = Dispatcher::new(config.detection.services, inputs, Arc::clone(&counters));
    let mut clock = TickSource::new(ticks);
    let mut played = Played::default();
    let mut gone = Ok(());
    for recorded in recording {
        match recorded {
            Ok((signal, request)) => {
                played.requests += 1;
                let mut times = |time| clock.handle_time(time).map(|tick| tick.now);
                gone = dispatcher.dispatch(signal, &request, UnixNanos(0), &mut times, 0);
                if gone.is_err() {
                    break;
                }
            }
            Err(why) => {
                played.unreadable += 1;
                if played.unreadable <= TOLD {
                    say(&format!("foreshock: {why}"));
                }
            }
        }
    }
    if gone.is_ok() {
        gone = dispatcher.tick(last_tick(config, clock.now()), 0);
    }
    drop(dispatcher);
    for thread in threads {
        let name = thread.thread().name().unwrap_or_default().to_owned();
        thread.join().map_err(|_| anyhow::anyhow!("the thread {name} failed"))?;
    }
    let outlet = correlator.join().map_err(|_| anyhow::anyhow!("the correlator's thread failed"))?;
    gone?;
    played.windows = counters.windows.get();
    played.anomalies = counters.anomalies.get();
    played.incidents = counters.incidents.get();
    Ok((played, outlet))
}

/// A tick at which every service has been silent for long enough to have its windows closed.
fn last_tick(config: &Config, now: UnixNanos) -> UnixNanos {
    let nanos = |duration: std::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    now.plus(nanos(config.detection.idle)).plus(nanos(config.detection.lateness)).plus(1_000_000_000)
}
