//! The command line.

use crate::{
    config::{self, Gravity, Loaded, Problems, Surroundings},
    detectors::Components,
};
use clap::{Parser, Subcommand};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Early, explained warnings from OpenTelemetry pipelines.
///
/// Foreshock is an OTLP hop: it stands between your services and any OTLP backend, forwards everything untouched, learns what is
/// normal for each service, and says in OTLP what is about to fail, which service it started in, and why.
#[derive(Debug, Parser)]
#[command(name = "foreshock", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed while running, 2 unusable arguments or configuration.
Environment: FORESHOCK_SHARDS sets the number of detection threads, FORESHOCK_LOG the log's filter.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Take telemetry, forward it, and look at it
    ///
    /// Runs until SIGTERM or SIGINT; then stops accepting, sends what is queued, and keeps what could not be sent and what
    /// was learned in the state folder (`storage.path`). SIGHUP has the configuration read again: detectors are replaced at
    /// once and go on from what was learned, everything else needs a restart. A component's file that changes is noticed by itself.
    Run(ConfigFile),
    /// Say everything that is wrong with a configuration, each problem with its line
    Validate(ConfigFile),
    /// Play a story: a small shop goes wrong in front of the real program
    ///
    /// A simulator sends OTLP over a loopback socket; what is shown of anomalies and incidents is what arrived at the other
    /// end. Needs no configuration, keeps nothing, and takes about two minutes. The console is at <http://127.0.0.1:4320/> meanwhile.
    Demo(crate::demo::Arguments),
    /// Play recorded telemetry through detection
    ///
    /// The clock is that of the recording, so the same input gives the same bytes, whatever the number of shards. Nothing is
    /// forwarded and no state is kept. At the end of the input all windows are closed; incidents that are open then stay open.
    Replay(crate::replay::Arguments),
    /// Measure detection on recorded data, with or without labels
    ///
    /// Plays each recording through detection by its own clock, strictly in order, and reports what was found, how late, and how
    /// many false alarms that cost, beside what chance, a constant and the size of the last step reach. Without labels it reports
    /// what would have fired. The default configuration is used where none is given.
    Backtest(crate::backtest::Arguments),
    /// Say which anomalies the detectors would see now, and on what they are blind
    ///
    /// Puts known anomalies (spike, dip, level shift, trend, variance, missing data, new log pattern) into a copy of each service's last windows,
    /// and says which detectors see them, and how late. A running instance does this on a schedule; its latest checks are shown, or
    /// with `--input` those of what is learned from a recording.
    Selfcheck(crate::selfcheck::Arguments),
    /// Find the templates of log lines
    ///
    /// Reads CSV with a header, a row a log line, and writes `line,template_id,template`, merges applied.
    Templates(crate::templates::Arguments),
    /// Write, build, check, watch and measure a detector of your own
    #[command(subcommand)]
    Detector(crate::detector::Command),
}

#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// The configuration, YAML in the shape of an OpenTelemetry Collector's
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
}

/// Why a command ended without doing its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Arguments or configuration can't be used; the text says all about it.
    Unusable(String),
    /// It failed while running.
    Running(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Running(error)
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        let errors = problems.lines(Gravity::Error).count();
        let noun = if errors == 1 { "problem" } else { "problems" };
        Self::Unusable(format!("{problems}\n{}: {errors} {noun}, the configuration can't be used", problems.file))
    }
}

/// Reads the arguments and does what they say.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(file) => load(&file.config, &Components::with_state())
            .map_err(Failure::from)
            .and_then(|loaded| crate::run::run(&loaded, &file.config)),
        Command::Validate(file) => validate(&file.config),
        Command::Demo(arguments) => crate::demo::start(arguments).map_err(Failure::from),
        Command::Replay(arguments) => crate::replay::run(&arguments),
        Command::Backtest(arguments) => crate::backtest::run(&arguments),
        Command::Selfcheck(arguments) => crate::selfcheck::run(&arguments),
        Command::Templates(arguments) => crate::templates::run(&arguments),
        Command::Detector(command) => crate::detector::run(command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Unusable(text)) => {
            say(&text);
            ExitCode::from(2)
        }
        Err(Failure::Running(error)) => {
            say(&format!("foreshock: {error:#}"));
            ExitCode::from(1)
        }
    }
}

/// Writes a line to stderr. If even that fails there is nobody to tell.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Reads a configuration with this process's environment and the components it names.
pub(crate) fn load(path: &Path, components: &Components) -> Result<Loaded, Problems> {
    config::load(path, &surroundings(components))
}

/// What this process's surroundings are.
pub(crate) fn surroundings(components: &Components) -> Surroundings<'_> {
    Surroundings {
        env: &|name| std::env::var(name).ok(),
        modules: components,
        processors: std::thread::available_parallelism().map_or(1, usize::from),
    }
}

fn validate(path: &Path) -> Result<(), Failure> {
    let loaded = load(path, &Components::default())?;
    let mut out = String::new();
    for line in loaded.warnings.lines(Gravity::Warning) {
        out.push_str(&line);
        out.push('\n');
    }
    out.push_str(&format!("{}: configuration is valid\n", path.display()));
    for pipeline in &loaded.config.pipelines {
        let detectors = if pipeline.detectors.is_empty() { "none".to_owned() } else { pipeline.detectors.join(", ") };
        let exporters = pipeline.exporters.join(", ");
        out.push_str(&format!("  {}: otlp -> detectors: {detectors} -> exporters: {exporters}\n", pipeline.name));
    }
    let detection = &loaded.config.detection;
    for (what, exporters) in [("events", &detection.event_exporters), ("incident traces", &detection.trace_exporters)] {
        if !exporters.is_empty() {
            out.push_str(&format!("  {what}: {}\n", exporters.join(", ")));
        }
    }
    std::io::stdout().lock().write_all(out.as_bytes()).map_err(|error| Failure::Running(error.into()))
}
