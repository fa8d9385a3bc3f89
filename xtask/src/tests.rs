//! `cargo xtask test` and `cargo xtask check`: what must pass before anything lands.

use crate::{cargo, invariants, run, say, setup};
use anyhow::Result;

/// Runs every test of the workspace. With peers, the interoperability tests talk to real programs; without, they say that
/// they were skipped.
pub(crate) fn run_all(arguments: &[String]) -> Result<()> {
    setup::wasm_target()?;
    invariants::check()?;
    let mut filters = Vec::new();
    let mut with_peers = true;
    for argument in arguments {
        match argument.as_str() {
            "--no-peers" => with_peers = false,
            filter => filters.push(filter),
        }
    }
    let mut command = cargo("test");
    // One run says all that is wrong.
    command.args(["--workspace", "--locked", "--no-fail-fast"]).args(filters);
    if with_peers {
        let peers = setup::peers()?;
        command.envs(peers.variables());
    } else {
        say("without peers: the interoperability tests are left out");
        command.env("FORESHOCK_PEERS", "none");
    }
    run(&mut command)
}

/// Formatting, lints, documentation (private items too) and invariants.
pub(crate) fn check() -> Result<()> {
    setup::wasm_target()?;
    run(cargo("fmt").args(["--all", "--check"]))?;
    invariants::check()?;
    run(cargo("clippy").args(["--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]))?;
    run(cargo("doc")
        .args(["--workspace", "--no-deps", "--locked", "--document-private-items"])
        .env("RUSTDOCFLAGS", "--deny warnings"))
}
