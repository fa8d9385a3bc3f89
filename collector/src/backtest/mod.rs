//! `foreshock backtest`: detection on recorded data, measured.
//!
//! Each recording goes through the engine that live traffic goes through, by the recording's own clock; nothing looks ahead. What was
//! said is set beside labels, where there are any, by the measures of `foreshock-scoring`.

mod cases;
mod html;
mod labels;
mod report;
mod scores;
mod session;
mod tables;
mod tap;
mod text;

use crate::{
    cli::{Failure, say},
    detectors, replay,
};
use anyhow::Context as _;
use cases::Case;
use labels::Labels;
use report::Run;
use session::{Outcome, Stage};
use std::{
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// What the data is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Format {
    /// The Numenta Anomaly Benchmark's tree: CSV files with `timestamp,value`, labels in `labels/combined_windows.json`
    Nab,
    /// CSV files, each a service with a series a column; or a folder with `train`, `test` and `test_label`
    Csv,
    /// OTLP as JSON lines or protobuf
    Otlp,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Nab => "nab",
            Self::Csv => "csv",
            Self::Otlp => "otlp",
        }
    }
}

/// The arguments of `foreshock backtest`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// What the data is
    #[arg(value_name = "FORMAT")]
    pub format: Format,
    /// The data: a folder, or a single recording
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// When something was really wrong: JSON (name to a list of windows or times) or CSV (`start,end` or `timestamp,label`); for `nab` by
    /// default the one beside the data
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// The configuration; by default all built-in detectors for all services
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A second configuration, to see what it would change
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Where to write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Where to write the report as a page with charts
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Where to write one CSV file a series, `timestamp,value,score,alarm`, in the tree of the data
    #[arg(long, value_name = "DIR")]
    pub scores: Option<PathBuf>,
    /// What the columns of CSV files mean, as for `replay`
    #[arg(long, value_name = "FILE")]
    pub csv_mapping: Option<PathBuf>,
    /// Seconds between rows, for CSV files without a column of times
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub step: Option<u64>,
    /// The share of each recording that only warms up and is not scored, 0 to 1; `nab` has a rule of its own
    #[arg(long, value_name = "SHARE", default_value_t = 0.15)]
    pub probation: f64,
}

/// Plays everything and reports.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if !(0.0..1.0).contains(&arguments.probation) {
        return Err(Failure::Unusable("foreshock: --probation takes a share from 0 to less than 1".to_owned()));
    }
    let (cases, labels) = cases::find(arguments)?;
    if arguments.labels.is_some() && labels.is_empty() {
        say("foreshock: the file of labels has none");
    }
    let first = play(arguments, &cases, &labels, arguments.config.as_deref())?;
    let against = arguments.against.as_deref();
    let second = against.map(|path| play(arguments, &cases, &labels, Some(path))).transpose()?;
    let report = report::report(arguments.format, arguments.data.display().to_string(), &first, second.as_ref());
    let write = |path: &Path, text: String| {
        std::fs::write(path, text).with_context(|| format!("`{}` can't be written", path.display()))
    };
    if let Some(path) = &arguments.json {
        write(path, serde_json::to_string_pretty(&report).context("the report can't be written")? + "\n")?;
    }
    if let Some(path) = &arguments.html {
        write(path, html::page(&report, &first))?;
    }
    if let Some(folder) = &arguments.scores {
        scores::write(folder, arguments.format, &first.all())?;
    }
    let text = text::text(&report);
    std::io::stdout().lock().write_all(text.as_bytes()).context("the report can't be written")?;
    Ok(())
}

/// Plays all cases with one configuration, as many at once as there are processors.
fn play(arguments: &Arguments, cases: &[Case], labels: &Labels, config: Option<&Path>) -> Result<Run, Failure> {
    let name = config.map_or_else(|| "default configuration".to_owned(), |path| path.display().to_string());
    let config = replay::load(config)?;
    let loaded = detectors::load(&config, detectors::cache_folder())?;
    let (format, probation) = (arguments.format, arguments.probation);
    let stage = Stage { format, config: &config, loaded: &loaded, labels, probation };
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<anyhow::Result<Outcome>>>> = Mutex::new(cases.iter().map(|_| None).collect());
    let shown = std::io::stderr().is_terminal();
    let worker = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(index) else { return };
            let outcome = stage.play(case);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done[index] = Some(outcome);
            let many = done.iter().flatten().count();
            if shown {
                let end = if many == cases.len() { "\n" } else { "" };
                let _ = write!(std::io::stderr().lock(), "\r{many} of {} recordings{end}", cases.len());
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from).min(cases.len());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(worker);
        }
    });
    let mut outcomes = Vec::new();
    let mut first_error = None;
    for outcome in done.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten() {
        match outcome {
            Ok(outcome) => outcomes.push(outcome),
            // One recording that can't be read spoils no other.
            Err(error) => {
                say(&format!("foreshock: {error:#}"));
                first_error.get_or_insert(error);
            }
        }
    }
    match (outcomes.is_empty(), first_error) {
        (true, Some(error)) => Err(Failure::Running(error)),
        (false, Some(_)) if outcomes.iter().all(|outcome| outcome.series.is_empty()) => {
            Err(Failure::Running(anyhow::anyhow!("nothing of the data could be played")))
        }
        _ => Ok(Run { config: name, outcomes }),
    }
}
