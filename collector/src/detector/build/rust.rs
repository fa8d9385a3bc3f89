//! Rust: cargo makes a core module, which becomes a component here.

use super::tools::{self, missing};
use crate::cli::Failure;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const TARGET: &str = "wasm32-unknown-unknown";
/// Stack in the guest's memory. Rust's default of 1 MiB is a sixteenth of what a model may use.
const STACK_BYTES: u32 = 256 << 10;

/// Builds the project's package; gives its name and the component.
pub(super) fn build(folder: &Path, target_dir: Option<&Path>) -> Result<(String, Vec<u8>), Failure> {
    if !tools::has("cargo", &["--version"]) {
        return Err(missing("`cargo`; get Rust from https://rustup.rs"));
    }
    need_target(folder)?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(folder).stderr(Stdio::inherit());
    cargo.args(["rustc", "--quiet", "--lib", "--crate-type", "cdylib", "--release", "--target", TARGET]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    if let Some(target_dir) = target_dir {
        cargo.arg("--target-dir").arg(target_dir);
    }
    // A cargo that runs this one says things that are not for the guest.
    for (key, _) in std::env::vars_os() {
        if key
            .to_str()
            .is_some_and(|key| key.starts_with("CARGO_") && key != "CARGO_HOME" && !key.starts_with("CARGO_NET_"))
        {
            cargo.env_remove(&key);
        }
    }
    cargo.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", format!("-Clink-arg=-zstack-size={STACK_BYTES}"));
    let output = cargo.output().map_err(|error| Failure::Running(error.into()))?;
    if !output.status.success() {
        return Err(Failure::Running(anyhow::anyhow!("cargo failed ({}); what it said stands above", output.status)));
    }
    let (name, module) = artifact(&output.stdout).ok_or_else(|| {
        Failure::Running(anyhow::anyhow!("cargo made no module; is there a library in this package?"))
    })?;
    let module = tools::read(&module)?;
    Ok((name, componentize(&module)?))
}

/// Makes a component of a core module that has the contract in it.
pub(super) fn componentize(module: &[u8]) -> Result<Vec<u8>, Failure> {
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(wit_component::ComponentEncoder::encode)
        .map_err(|error| Failure::Running(anyhow::anyhow!("the module can't become a component: {error:#}")))
}

/// The last module that cargo says it made, and the name of its target.
fn artifact(messages: &[u8]) -> Option<(String, PathBuf)> {
    let text = String::from_utf8_lossy(messages);
    let mut artifacts =
        text.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter_map(|message| {
            let files = message["filenames"].as_array()?;
            let module = files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm"))?;
            Some((message["target"]["name"].as_str()?.replace('_', "-"), PathBuf::from(module)))
        });
    artifacts.next()
}

/// Makes sure that rustc can build for WebAssembly; adds the target through rustup where that is possible.
fn need_target(folder: &Path) -> Result<(), Failure> {
    let has_target = || {
        let rustc = Command::new("rustc")
            .current_dir(folder)
            .args(["--print", "target-libdir", "--target", TARGET])
            .stderr(Stdio::null())
            .output();
        let Ok(output) = rustc else { return false };
        let libraries = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let is_std = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libstd-");
        std::fs::read_dir(libraries).is_ok_and(|entries| entries.flatten().any(is_std))
    };
    if has_target() || (tools::has("rustup", &["target", "add", TARGET]) && has_target()) {
        return Ok(());
    }
    Err(missing(&format!("Rust's standard library for WebAssembly; run `rustup target add {TARGET}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cargo's messages name the module; anything else among them must not be taken for it.
    #[test]
    fn the_module_is_found_among_cargos_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"serde"},"filenames":["/t/libserde.rlib"]}"#,
            "\nnot json\n",
            r#"{"reason":"compiler-artifact","target":{"name":"my_detector"},"filenames":["/t/my_detector.wasm"]}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let found = artifact(messages.as_bytes());
        assert_eq!(found, Some(("my-detector".to_owned(), PathBuf::from("/t/my_detector.wasm"))));
        assert_eq!(artifact(b""), None);
    }
}
