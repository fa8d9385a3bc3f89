//! The front door of the repository: `cargo xtask demo`, `cargo xtask test` and what else a developer needs.
//!
//! Every task sets up what it needs and says exactly what is missing where it can't.

mod invariants;
mod matrix;
mod record;
mod results;
mod setup;
mod tests;

use anyhow::{Context, Result, bail};
use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const USAGE: &str = "\
Usage: cargo xtask TASK [ARGUMENTS]

  demo [--scenario NAME] [--speed N] [--seed N]   play a story through the real program, in this terminal
  matrix [SEEDS]                                  play every story with several seeds, print how they ended
  test [--no-peers] [FILTER]                      all tests; with real peers unless told otherwise
  check                                           formatting, lints, documentation, invariants
  invariants                                      only the invariants of ARCHITECTURE.md
  peers                                           build the peers of the tests, print where they are
  build                                           the optimised program: target/release/foreshock
  record FORMAT --from PATH --to PATH [...]       turn a public data set into OTLP that `replay` reads
  results --data DIR [--output FILE] [...]        detection on public data sets, measured again: the page RESULTS.md
  calm [BUDGETS] [DETECTORS] [LINES]              play calm weeks, print how many anomalies they open for each budget
  bench [forward|latency|scale|start] [NAME]      Foreshock beside an OpenTelemetry Collector, in one run
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let task = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    match dispatch(&task, &rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("xtask {task}: {error:#}"));
            ExitCode::from(if task.is_empty() { 2 } else { 1 })
        }
    }
}

/// Does a task. Paths among its arguments lead from the folder that it is called in.
fn dispatch(task: &str, rest: &[String]) -> Result<()> {
    match task {
        "demo" => {
            setup::wasm_target()?;
            run(cargo("run").args(["--quiet", "--package", "foreshock", "--", "demo"]).args(rest))
        }
        "matrix" => matrix::run_all(rest),
        "test" => tests::run_all(rest),
        "check" => tests::check(),
        "invariants" => invariants::check(),
        "peers" => {
            for (variable, path) in setup::peers()?.variables() {
                say(&format!("{variable}={}", path.display()));
            }
            Ok(())
        }
        "build" => {
            setup::wasm_target()?;
            run(cargo("build").args(["--release", "--locked", "--package", "foreshock"]))
        }
        "bench" => {
            setup::wasm_target()?;
            let peers = setup::peers()?;
            run(cargo("build").args(["--release", "--package", "foreshock", "--package", "e2e", "--bins"]))?;
            run(Command::new(target_directory()?.join("release/load")).args(rest).envs(peers.variables()))
        }
        "calm" => {
            let budgets = if rest.is_empty() { &["0.5".to_owned()][..] } else { rest };
            let package = ["--quiet", "--release", "--package", "foreshock-measure", "--", "calm"];
            run(cargo("run").args(package).args(budgets))
        }
        "record" => record::run(rest),
        "results" => results::run_all(rest),
        "" | "help" | "--help" | "-h" => {
            say(USAGE);
            if task.is_empty() {
                bail!("which task?");
            }
            Ok(())
        }
        other => bail!("no such task: {other}\n\n{USAGE}"),
    }
}

/// The repository's top folder. Cargo says where it is when it starts this program, which may have been built for another clone that
/// shares the target folder.
fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.parent().unwrap_or(Path::new(".")).to_path_buf()
}

/// A command of the cargo that runs this task, for this repository, whatever folder it is called in.
fn cargo(command: &str) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg(command).arg("--manifest-path").arg(root().join("Cargo.toml"));
    cargo
}

/// Where cargo puts what it builds, as cargo itself says.
fn target_directory() -> Result<PathBuf> {
    let output = cargo("metadata").args(["--format-version", "1", "--no-deps"]).output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let directory = metadata["target_directory"].as_str().context("cargo metadata has no target_directory")?;
    Ok(directory.into())
}

/// Runs a command to its end and fails with its name if it fails.
fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("can't start {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{:?} {:?} ended with {status}", command.get_program(), command.get_args().collect::<Vec<_>>());
    }
    Ok(())
}

/// Writes a line to the terminal.
#[expect(clippy::print_stderr, reason = "a task talks to the person who runs it")]
fn say(line: &str) {
    eprintln!("{line}");
}
