//! `foreshock selfcheck`: would the detectors see something, if something happened now?
//!
//! Copies of a service's models get windows like its last ones, once as they are and once with each kind of anomaly in them. What is
//! found only with the anomaly was seen; what no detector sees is a blind spot that is better known before it is needed.
//!
//! `run` does this on a schedule, a service at a time, on a thread of its own. The models that work are copied, never touched.

mod board;
mod inject;
mod recorder;
mod text;
mod trial;

pub use board::Board;
pub(crate) use recorder::InTurn;
pub(crate) use trial::{Checker, Recorded};

use crate::{
    cli::{Failure, say},
    detectors,
    pipeline::overheard::Overheard,
    replay, settings,
    telemetry::WatchedDetectors,
};
use anyhow::{Context as _, bail};
use foreshock_console::selfcheck::Check;
use foreshock_engine::{UnixNanos, event::Event};
use recorder::{AtTheEnd, Ends};
use serde::Deserialize;
use std::{
    io::{Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    path::PathBuf,
    sync::{Arc, PoisonError, mpsc::Receiver},
    time::Duration,
};

/// How long a running instance may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes.
const LONGEST_ANSWER: u64 = 64 << 20;

/// The arguments of `foreshock selfcheck`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Check what was learned from a recording, as for `replay`, instead of asking a running instance
    #[arg(long, short, value_name = "PATH")]
    pub input: Option<PathBuf>,
    /// With --input: the configuration; by default all built-in detectors for all services
    #[arg(long, short, value_name = "FILE", requires = "input")]
    pub config: Option<PathBuf>,
    /// With --input: what the columns of a CSV file mean, as for `replay`
    #[arg(long, value_name = "FILE", requires = "input")]
    pub csv_mapping: Option<PathBuf>,
    /// With --input: services that are checked, the first in the recording
    #[arg(long, value_name = "N", default_value_t = 20, requires = "input", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub services: u16,
    /// The console of the running instance whose latest checks are shown
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4320", conflicts_with = "input")]
    pub console: String,
    /// Write JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// What a console answers.
#[derive(Debug, Deserialize)]
struct Answer {
    checks: Vec<Check>,
}

/// Checks, or asks for checks, and shows them.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let checks = match &arguments.input {
        Some(_) => recorded(arguments)?,
        None => asked(&arguments.console)?,
    };
    let shown = match arguments.json {
        true => {
            serde_json::to_string_pretty(&serde_json::json!({ "checks": checks }))
                .context("the checks can't be written")?
                + "\n"
        }
        false => text::table(&checks),
    };
    std::io::stdout().lock().write_all(shown.as_bytes()).context("the checks can't be written")?;
    Ok(())
}

/// Plays a recording and checks its services as they are at its end.
fn recorded(arguments: &Arguments) -> Result<Vec<Check>, Failure> {
    let Some(input) = &arguments.input else { return Ok(Vec::new()) };
    let config = replay::load(arguments.config.as_deref())?;
    let (recording, ticks) = replay::open(input, arguments.csv_mapping.as_deref())?;
    let loaded = detectors::load(&config, detectors::cache_folder())?;
    let ends = Ends::default();
    let most = usize::from(arguments.services);
    let at_the_end = || Overheard::new(replay::pool(&config, &loaded), AtTheEnd::new(most, Arc::clone(&ends)));
    let (_played, _outlet) = replay::drive(&config, recording, ticks, at_the_end, |_: UnixNanos, _: Vec<Event>| {})?;
    let checker = Checker {
        sandbox: Arc::clone(&loaded.sandbox),
        pool: settings::pool(&config, true),
        shard: settings::shard(&config),
    };
    let ends = std::mem::take(&mut *ends.lock().unwrap_or_else(PoisonError::into_inner));
    let (mut checks, mut left_out) = (Vec::new(), 0);
    for recorded in ends.values().take(most) {
        match checker.check(&loaded.detectors, recorded) {
            Some(check) => checks.push(check),
            None => left_out += 1,
        }
    }
    if left_out > 0 {
        let least = trial::WINDOWS;
        say(&format!(
            "{left_out} services were left out: fewer than {least} windows, or no series that speaks in most of them"
        ));
    }
    if checks.is_empty() {
        return Err(Failure::Running(anyhow::anyhow!("{}: nothing in it could be checked", input.display())));
    }
    Ok(checks)
}

/// The latest checks of a running instance.
fn asked(console: &str) -> anyhow::Result<Vec<Check>> {
    let body = get(console, "/api/v1/selfcheck").with_context(|| format!("the console at {console} can't be asked"))?;
    let answer: Answer = serde_json::from_slice(&body)
        .with_context(|| format!("{console} answers, but is no console of this version"))?;
    if answer.checks.is_empty() {
        bail!("{console} has made no check yet; `detection.selfcheck_every` says how often it does");
    }
    Ok(answer.checks)
}

/// The body of a successful answer. HTTP/1.0, so that it comes in one piece and ends with the connection.
fn get(address: &str, path: &str) -> anyhow::Result<Vec<u8>> {
    let to = address.to_socket_addrs()?.next().context("the address leads nowhere")?;
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("no HTTP answer")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("it answers `{status}`");
    }
    Ok(answer.split_off(end + 4))
}

/// Works off what is recorded until nobody records any more.
pub(crate) fn work(checker: &Checker, running: &WatchedDetectors, recorded: &Receiver<Recorded>, board: &Board) {
    for recorded in recorded {
        // Asked each time, for detectors are replaced while they run.
        let detectors: Vec<_> = running.current().iter().map(|detector| Arc::new(detector.apart())).collect();
        match checker.check(&detectors, &recorded) {
            Some(check) => {
                for detector in &check.detectors {
                    let broken = detector.blind.iter().any(|blind| blind.reason == "broken");
                    if broken {
                        tracing::warn!(service = %recorded.service, detector = detector.detector, "self-check: the detector gives no answer");
                    }
                }
                board.put(check);
            }
            None => tracing::debug!(service = %recorded.service, "self-check: too little is known of the service"),
        }
    }
}
