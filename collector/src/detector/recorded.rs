//! The windows of a recording: those that the product makes, before any detector sees them.

use super::candidate::Ready;
use crate::{
    cli::{Failure, say},
    replay::{self, Recorded},
};
use foreshock_engine::{
    UnixNanos,
    ingest::IngestSettings,
    shard::{Shard, ShardSettings},
    ticks::{TickSettings, TickSource},
    verdict::{Detector, DetectorHealth, Detectors, Verdict},
    window::{ClosedWindow, ServiceKey},
};
use foreshock_otlp::view;
use globset::{Glob, GlobMatcher};
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

/// Rows that are kept of a recording; what follows is left out.
const MOST_ROWS: usize = 4_000_000;
/// Services whose windows are made; telemetry of further ones is left out.
const MOST_SERVICES: usize = 1_000;
/// Unreadable parts that are told one by one.
const TOLD: u64 = 5;

/// Which recording, and what of it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Source {
    /// A recording: OTLP JSON lines, OTLP protobuf, a folder of such files, or CSV
    #[arg(long, short, value_name = "PATH")]
    pub input: PathBuf,
    /// What the columns of a CSV file mean, as for `foreshock replay`
    #[arg(long, value_name = "FILE")]
    pub csv_mapping: Option<PathBuf>,
    /// Only services of this name; `*` stands for anything
    #[arg(long, value_name = "GLOB", default_value = "*")]
    pub service: String,
}

/// Keeps windows instead of judging them.
#[derive(Debug)]
struct Keep {
    windows: Vec<ClosedWindow>,
    rows: usize,
    services: GlobMatcher,
}

impl Detectors for Keep {
    fn observe(&mut self, closed: &ClosedWindow) -> Vec<(Arc<Detector>, Verdict)> {
        if self.rows < MOST_ROWS && self.services.is_match(&*closed.service.name) {
            self.rows += closed.window.rows() + 1;
            self.windows.push(closed.clone());
        }
        Vec::new()
    }

    fn poll_health(&mut self) -> Option<DetectorHealth> {
        None
    }

    fn forget(&mut self, _service: &ServiceKey) {}
}

/// The windows of a recording in the order in which they close.
///
/// # Errors
/// If it can't be opened, or nothing of it could be read.
pub(super) fn windows(source: &Source, ready: &Ready) -> Result<Vec<ClosedWindow>, Failure> {
    let (recording, ticks) = replay::open(&source.input, source.csv_mapping.as_deref())?;
    let services = Glob::new(&source.service)
        .map_err(|error| Failure::Unusable(format!("foreshock: --service: {error}")))?
        .compile_matcher();
    let windows = of(recording, ticks, ready.step_ns, services)?;
    if windows.is_empty() {
        let why = format!("{}: there is no window of a service `{}` in it", source.input.display(), source.service);
        return Err(Failure::Running(anyhow::anyhow!(why)));
    }
    Ok(windows)
}

/// The windows of requests.
///
/// # Errors
/// If nothing could be read.
pub(super) fn of(
    recording: impl Iterator<Item = Recorded>,
    ticks: TickSettings,
    step_ns: u64,
    services: GlobMatcher,
) -> Result<Vec<ClosedWindow>, Failure> {
    let ingest = IngestSettings { window_nanos: step_ns, ..IngestSettings::default() };
    let settings = ShardSettings { ingest, ..ShardSettings::default() };
    let mut shard = Shard::new(settings, Keep { windows: Vec::new(), rows: 0, services });
    let mut reader = view::Reader::default();
    let mut clock = TickSource::new(ticks);
    let (mut read, mut unreadable) = (0_u64, 0_u64);
    let mut known = BTreeSet::new();
    let tick = |shard: &mut Shard<Keep>, now| {
        shard.handle_tick(now);
        while shard.poll_output().is_some() {}
    };
    for recorded in recording {
        let (signal, request) = match recorded {
            Ok(request) => request,
            Err(why) => {
                unreadable += 1;
                if unreadable <= TOLD {
                    say(&format!("foreshock: {why}"));
                }
                continue;
            }
        };
        read += 1;
        for slice in view::split(signal, &request) {
            if !known.contains(&slice.service) && known.len() >= MOST_SERVICES {
                continue;
            }
            known.insert(slice.service.clone());
            let bytes = request.slice(slice.bytes);
            let span = view::times(signal, &bytes);
            if let Some(due) = span.and_then(|(earliest, _)| clock.handle_time(earliest)) {
                tick(&mut shard, due.now);
            }
            let mut sink = shard.enter(&slice.service, UnixNanos(0));
            // A part that can't be read is left out, as by the product.
            unreadable += u64::from(reader.read(signal, &bytes, &mut sink).is_err());
            drop(sink);
            if let Some(due) = span.and_then(|(_, latest)| clock.handle_time(latest)) {
                tick(&mut shard, due.now);
            }
        }
    }
    tick(&mut shard, clock.now().plus(ingest.idle_nanos).plus(ingest.lateness_nanos).plus(1_000_000_000));
    if unreadable > 0 {
        say(&format!("{unreadable} parts of the recording could not be read and were left out"));
    }
    if read == 0 {
        return Err(Failure::Running(anyhow::anyhow!("nothing of the recording could be read")));
    }
    let kept = shard.detectors_mut();
    if kept.rows >= MOST_ROWS {
        say("the recording is long: only its beginning is played");
    }
    Ok(std::mem::take(&mut kept.windows))
}
