//! `foreshock detector`: what an author needs to write, build, check, watch and measure a detector.

mod bench;
mod build;
mod candidate;
mod chaos;
mod chart;
mod check;
mod contract;
mod feed;
mod new;
mod page;
mod playing;
mod recorded;
mod run;
mod table;

use crate::cli::Failure;
use clap::Subcommand;
use std::io::Write as _;

/// The commands of an author.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Begin a detector: a project that builds at once, with a test and a recording
    New(new::Arguments),
    /// Build the component of the project in a folder
    ///
    /// The language is told from the folder: Cargo.toml, or detector.py, detector.js or detector.c.
    Build(build::Arguments),
    /// See whether a component keeps to the contract
    ///
    /// Contract, imports, schema, equal answers in two runs, the same answers after a restart, memory and time. Exit code 1
    /// when something fails, 2 when the file is no component at all.
    Check(check::Arguments),
    /// Play a recording through one detector, and show what it says
    Run(run::Arguments),
    /// Measure time, memory and state, and how they grow with series and windows
    Bench(bench::Arguments),
    /// Feed it what goes wrong in the field: gaps, jumps in time, absurd numbers, 10,000 series
    ///
    /// Exit code 1 when it faults on anything.
    Chaos(chaos::Arguments),
}

/// Does what one of the commands says.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::New(arguments) => new::run(&arguments),
        Command::Build(arguments) => build::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Chaos(arguments) => chaos::run(&arguments),
    }
}

/// Writes what a command has to say to stdout.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever reads may stop early, as `head` does.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::Running(error.into())),
        _ => Ok(()),
    }
}
