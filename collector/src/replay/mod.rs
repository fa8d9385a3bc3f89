//! `foreshock replay`: recorded telemetry through the same dispatcher, shards and correlator as live, by the recording's clock.

pub(crate) mod csv;
pub(crate) mod mapping;
mod play;

pub use play::{Played, play};
pub(crate) use play::{drive, pool};

use crate::{
    cli::{Failure, say, surroundings},
    config::{self, Config, Gravity},
    detectors::{self, Components, chain},
};
use anyhow::Context as _;
use bytes::Bytes;
use foreshock_engine::ticks::TickSettings;
use foreshock_otlp::{Signal, read};
use std::{
    ffi::OsStr,
    fs::File,
    io::{BufWriter, IsTerminal as _, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The configuration for those who give none.
pub const DEFAULT_CONFIG: &str = include_str!("../../../otel-config/foreshock.yaml");
/// How often progress is shown.
const PROGRESS: Duration = Duration::from_millis(500);
/// Rows of a CSV file may be this far apart.
pub(crate) const CSV_MAX_JUMP_NANOS: u64 = 400 * 86_400 * 1_000_000_000;

/// The arguments of `foreshock replay`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The configuration; by default all built-in detectors for all services
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A recording: OTLP JSON lines, OTLP protobuf, a folder of such files, or CSV
    #[arg(long, short, value_name = "PATH")]
    pub input: PathBuf,
    /// Where to write events and incident traces as OTLP JSON lines; by default to stdout
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What the columns of a CSV file mean, as YAML; by default each column of numbers is a metric of the service that is
    /// named like the file
    #[arg(long, value_name = "FILE")]
    pub csv_mapping: Option<PathBuf>,
}

/// One request of a recording; the error is about a part that could not be read, after which the recording goes on.
pub type Recorded = Result<(Signal, Bytes), String>;

/// Plays a recording to its end and sums it up on stderr.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = load(arguments.config.as_deref())?;
    let (recording, ticks) = open(&arguments.input, arguments.csv_mapping.as_deref())?;
    let out: Box<dyn Write + Send> = match &arguments.output {
        Some(path) => Box::new(File::create(path).with_context(|| format!("`{}` can't be written", path.display()))?),
        None => Box::new(std::io::stdout()),
    };
    let loaded = detectors::load(&config, detectors::cache_folder())?;
    let began = Instant::now();
    let recording = Shown { recording, requests: 0, last: began, on: std::io::stderr().is_terminal() };
    let played = play(&config, &loaded, recording, ticks, BufWriter::new(out))?;
    let Played { requests, unreadable, anomalies, incidents, lines, .. } = played;
    say(&format!(
        "replayed {requests} requests in {:.1} s: {anomalies} anomalies, {incidents} incidents, {lines} lines written",
        began.elapsed().as_secs_f64()
    ));
    if unreadable > 0 {
        say(&format!("{unreadable} parts of the recording could not be read and were left out"));
    }
    if requests == 0 && unreadable > 0 {
        return Err(Failure::Running(anyhow::anyhow!("nothing of the recording could be read")));
    }
    Ok(())
}

/// Opens a recording: CSV where the name says so, else OTLP. With it, by which ticks it is to be played.
pub(crate) fn open(
    input: &Path,
    csv_mapping: Option<&Path>,
) -> Result<(Box<dyn Iterator<Item = Recorded>>, TickSettings), Failure> {
    let is_csv = input.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(OsStr::new("csv")));
    if !is_csv && csv_mapping.is_some() {
        return Err(Failure::Unusable("foreshock: --csv-mapping is for an input that ends in `.csv`".to_owned()));
    }
    let unusable = |why: String| Failure::Unusable(format!("foreshock: {}: {why}", input.display()));
    if is_csv {
        let mapping = mapping::load(csv_mapping, input)?;
        let rows = csv::open(input, mapping).map_err(unusable)?;
        return Ok((Box::new(rows), TickSettings { max_jump_nanos: CSV_MAX_JUMP_NANOS, ..TickSettings::default() }));
    }
    let recording = read::open(input).map_err(|error| unusable(chain(&error)))?;
    let requests = recording.map(|record| match record {
        Ok(record) => Ok((record.signal, record.request)),
        Err(error) => Err(chain(&error)),
    });
    Ok((Box::new(requests), TickSettings::default()))
}

/// The configuration at `path`, or the default one.
pub(crate) fn load(path: Option<&Path>) -> Result<Config, Failure> {
    let components = Components::default();
    let loaded = match path {
        Some(path) => config::load(path, &surroundings(&components))?,
        None => config::parse("(default)", Path::new(""), DEFAULT_CONFIG, &surroundings(&components))?,
    };
    for line in loaded.warnings.lines(Gravity::Warning) {
        say(&line);
    }
    Ok(loaded.config)
}

/// A recording that shows on a terminal how far it is.
struct Shown {
    recording: Box<dyn Iterator<Item = Recorded>>,
    requests: u64,
    last: Instant,
    on: bool,
}

impl Iterator for Shown {
    type Item = Recorded;

    fn next(&mut self) -> Option<Recorded> {
        let next = self.recording.next();
        self.requests += 1;
        if self.on && (next.is_none() || self.last.elapsed() >= PROGRESS) {
            self.last = Instant::now();
            let end = if next.is_none() { "\n" } else { "" };
            let _ = write!(std::io::stderr().lock(), "\r{} requests{end}", self.requests);
        }
        next
    }
}
