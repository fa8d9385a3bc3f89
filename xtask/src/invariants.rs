//! Checks the invariants that ARCHITECTURE.md states, on the dependency graph and on the source text.

use crate::{cargo, root, say};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Longest file that is still read in one go.
const MAX_LINES: usize = 600;

/// What only one crate of the workspace may depend on directly, tests and benches aside; so may those that play a peer
/// of Foreshock: the end-to-end tests, the simulator and these tasks.
const ONLY: &[(&str, &[&str])] = &[
    ("foreshock-sandbox", &["wasmtime"]),
    ("foreshock-otlp", &["prost", "tonic", "tonic-types", "opentelemetry-proto"]),
    ("foreshock-store", &["rusqlite"]),
    ("foreshock-console", &["axum"]),
];

/// What a crate must not reach, directly or through others, tests and benches aside.
const NEVER: &[(&str, &[&str])] = &[
    (
        "foreshock-engine",
        &["tokio", "prost", "tonic", "wasmtime", "opentelemetry", "opentelemetry-proto", "axum", "rusqlite"],
    ),
    ("foreshock-sandbox", &["tokio", "prost", "tonic", "axum", "rusqlite"]),
    ("foreshock-detector", &["tokio", "wasmtime", "prost", "foreshock-engine"]),
];

/// Words of clocks, randomness, threads and I/O, which the engine and the detectors must not use.
const IMPURE: &[&str] =
    &["SystemTime", "Instant::now", "std::thread", "std::net", "std::fs", "std::env", "RandomState", "rand::"];

/// Fails with every invariant that is broken.
pub(crate) fn check() -> Result<()> {
    let mut broken = Vec::new();
    dependencies(&mut broken)?;
    sources(&mut broken)?;
    if !broken.is_empty() {
        bail!("{} invariants are broken:\n  {}", broken.len(), broken.join("\n  "));
    }
    say("invariants hold");
    Ok(())
}

fn dependencies(broken: &mut Vec<String>) -> Result<()> {
    let output = cargo("metadata").args(["--format-version", "1", "--locked"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)))?;
    let graph = Graph::new(&metadata)?;
    for package in &graph.members {
        let direct = graph.direct(package);
        for (owner, names) in ONLY {
            for name in *names {
                let allowed = package == owner || matches!(package.as_str(), "e2e" | "foreshock-simulator" | "xtask");
                if direct.contains(*name) && !allowed {
                    broken.push(format!("{package} depends on {name}, which only {owner} may"));
                }
            }
        }
    }
    for (package, names) in NEVER {
        let reached = graph.reached(package);
        for name in *names {
            if reached.contains(*name) {
                broken.push(format!("{package} reaches {name}"));
            }
        }
    }
    Ok(())
}

/// Normal dependencies by package name.
struct Graph {
    members: Vec<String>,
    edges: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn new(metadata: &Value) -> Result<Self> {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let names: BTreeMap<String, String> =
            list(&metadata["packages"]).iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
        let name = |id: &Value| names.get(&text(id)).cloned().context("cargo metadata names an unknown package");
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in list(&metadata["resolve"]["nodes"]) {
            let from = edges.entry(name(&node["id"])?).or_default();
            for dependency in list(&node["deps"]) {
                if list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null()) {
                    from.insert(name(&dependency["pkg"])?);
                }
            }
        }
        let members = list(&metadata["workspace_members"]).iter().map(name).collect::<Result<_>>()?;
        Ok(Self { members, edges })
    }

    fn direct(&self, package: &str) -> BTreeSet<String> {
        self.edges.get(package).cloned().unwrap_or_default()
    }

    fn reached(&self, package: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut next = vec![package.to_owned()];
        while let Some(package) = next.pop() {
            for dependency in self.direct(&package) {
                if reached.insert(dependency.clone()) {
                    next.push(dependency);
                }
            }
        }
        reached
    }
}

fn sources(broken: &mut Vec<String>) -> Result<()> {
    let top = root();
    for folder in ["collector", "detectors", "tests", "xtask", "examples"] {
        for path in rust_files(&top.join(folder))? {
            let text = fs::read_to_string(&path)?;
            let shown = path.strip_prefix(&top).unwrap_or(&path).display().to_string();
            if !text.starts_with("//!") && !text.starts_with("#!") {
                broken.push(format!("{shown}: the first line does not say what the file owns (//!)"));
            }
            let lines = text.lines().count();
            if lines > MAX_LINES {
                broken.push(format!("{shown}: {lines} lines, more than {MAX_LINES}"));
            }
            if is_pure(&shown) {
                for word in IMPURE.iter().filter(|word| text.contains(**word)) {
                    broken.push(format!("{shown}: mentions {word}; the core takes time and randomness as arguments"));
                }
            }
        }
    }
    Ok(())
}

/// Whether a file belongs to the part that must answer the same for the same input.
fn is_pure(shown: &str) -> bool {
    let engine = shown.starts_with("collector/engine/src");
    let detector = shown.starts_with("detectors/") && shown.contains("/src/");
    engine || detector
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(rust_files(&path)?);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
