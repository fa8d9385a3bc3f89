//! Sets up a fresh machine: the wasm target and the peers of the tests.

use crate::{root, run, say};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const WASM_TARGET: &str = "wasm32-unknown-unknown";
const COLLECTOR_BUILDER: &str = "go.opentelemetry.io/collector/cmd/builder@v0.160.0";
/// An OCI registry that is small enough to build in seconds, and keeps what it is given in memory.
const REGISTRY: &str = "github.com/google/go-containerregistry/cmd/registry@v0.22.1";
const TELEMETRYGEN: &str = "github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen@v0.161.0";
/// Modules whose sums the public checksum database may lack; `tests/peers/jaeger/go.sum` pins them instead.
const NO_SUM_DATABASE: &str = "go.opentelemetry.io/*,github.com/open-telemetry/*,github.com/jaegertracing/*";

/// Programs that the tests talk to.
pub(crate) struct Peers {
    collector: PathBuf,
    telemetrygen: PathBuf,
    registry: PathBuf,
    jaeger: PathBuf,
    python: PathBuf,
    /// Empty where Node.js is not installed.
    node: PathBuf,
}

impl Peers {
    /// Names under which the tests look for the peers.
    pub(crate) fn variables(&self) -> [(&'static str, &Path); 6] {
        [
            ("FORESHOCK_PEER_COLLECTOR", &self.collector),
            ("FORESHOCK_PEER_TELEMETRYGEN", &self.telemetrygen),
            ("FORESHOCK_PEER_REGISTRY", &self.registry),
            ("FORESHOCK_PEER_JAEGER", &self.jaeger),
            ("FORESHOCK_PEER_PYTHON", &self.python),
            ("FORESHOCK_PEER_NODE", &self.node),
        ]
    }
}

/// Makes sure that detectors can be compiled.
pub(crate) fn wasm_target() -> Result<()> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().context("rustc is missing")?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    if sysroot.join("lib/rustlib").join(WASM_TARGET).is_dir() {
        return Ok(());
    }
    say(&format!("adding the target {WASM_TARGET}"));
    run(Command::new("rustup").args(["target", "add", WASM_TARGET])).with_context(|| {
        format!("detectors are compiled for {WASM_TARGET}; install it with `rustup target add {WASM_TARGET}`")
    })
}

/// Builds the peers that are not there yet, into the user's cache.
pub(crate) fn peers() -> Result<Peers> {
    let folder = cache()?.join("peers");
    fs::create_dir_all(&folder)?;
    Ok(Peers {
        collector: collector(&folder)?,
        telemetrygen: installed(&folder, "telemetrygen", TELEMETRYGEN)?,
        registry: installed(&folder, "registry", REGISTRY)?,
        jaeger: jaeger(&folder)?,
        python: python(&folder)?,
        node: node(&folder)?,
    })
}

/// `$XDG_CACHE_HOME/foreshock` or `~/.cache/foreshock`.
fn cache() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME") {
        Some(path) if !path.is_empty() => PathBuf::from(path),
        _ => PathBuf::from(std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache"),
    };
    Ok(base.join("foreshock"))
}

/// The OpenTelemetry Collector of `tests/peers/collector.yaml`. Its folder is named after that file's contents, so that
/// a changed file means a new build.
fn collector(folder: &Path) -> Result<PathBuf> {
    let manifest = root().join("tests/peers/collector.yaml");
    let text = fs::read_to_string(&manifest)?;
    let output = folder.join(format!("otelcol-{:08x}", fingerprint(&text)));
    let program = output.join("otelcol");
    if program.is_file() {
        return Ok(program);
    }
    say("building the OpenTelemetry Collector (some minutes, once)");
    fs::create_dir_all(&output)?;
    let placed = output.join("builder.yaml");
    fs::write(&placed, text.replace("output_path: otelcol", &format!("output_path: {}", output.display())))?;
    run(go()?.args(["run", COLLECTOR_BUILDER, "--config"]).arg(&placed))?;
    Ok(program)
}

/// A program that Go builds by itself: `name`, from `package@version`.
fn installed(folder: &Path, name: &str, package: &str) -> Result<PathBuf> {
    let version = package.rsplit('@').next().unwrap_or_default();
    let output = folder.join(format!("{name}-{version}"));
    let program = output.join(name);
    if !program.is_file() {
        say(&format!("building {name} (once)"));
        fs::create_dir_all(&output)?;
        run(go()?.args(["install", package]).env("GOBIN", &output))?;
    }
    Ok(program)
}

/// Jaeger, all in one process, with its store in memory.
fn jaeger(folder: &Path) -> Result<PathBuf> {
    let module = root().join("tests/peers/jaeger");
    let text = fs::read_to_string(module.join("go.mod"))?;
    let program = folder.join(format!("jaeger-{:08x}", fingerprint(&text)));
    if !program.is_file() {
        say("building Jaeger (some minutes, once)");
        let package = "github.com/jaegertracing/jaeger/cmd/all-in-one";
        run(go()?
            .current_dir(&module)
            .args(["build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o"])
            .arg(&program)
            .arg(package)
            .env("GONOSUMDB", NO_SUM_DATABASE))?;
    }
    Ok(program)
}

/// A Python with the OpenTelemetry SDK.
fn python(folder: &Path) -> Result<PathBuf> {
    let requirements = root().join("tests/peers/requirements.txt");
    let output = folder.join(format!("python-{:08x}", fingerprint(&fs::read_to_string(&requirements)?)));
    let program = output.join("bin/python");
    let done = output.join("installed");
    if !done.is_file() {
        say("installing the OpenTelemetry SDK for Python (once)");
        run(Command::new("python3").args(["-m", "venv"]).arg(&output))
            .context("the interoperability tests need Python 3 with venv: apt-get install python3-venv")?;
        run(Command::new(&program)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(&requirements))?;
        fs::write(done, "")?;
    }
    Ok(program)
}

/// A folder with the OpenTelemetry SDK for Node.js and the client that uses it. Optional, because few people have Node.js.
fn node(folder: &Path) -> Result<PathBuf> {
    let found = Command::new("node").arg("--version").output().ok().filter(|output| output.status.success());
    let version = found.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < 20) {
        say("without Node.js 20 or newer: the test of its OpenTelemetry SDK is left out");
        return Ok(PathBuf::new());
    }
    let source = root().join("tests/peers/node");
    let lock = fs::read_to_string(source.join("package-lock.json"))?;
    let output = folder.join(format!("node-{:08x}", fingerprint(&lock)));
    let done = output.join("installed");
    if !done.is_file() {
        say("installing the OpenTelemetry SDK for Node.js (once)");
        fs::create_dir_all(&output)?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source.join(file), output.join(file))?;
        }
        run(Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(&output))
        .context("the test of the OpenTelemetry SDK for Node.js needs npm beside node")?;
        fs::write(done, "")?;
    }
    // Modules are looked up from where the importing file lies.
    fs::copy(source.join("client.mjs"), output.join("client.mjs"))?;
    Ok(output)
}

fn go() -> Result<Command> {
    let found = Command::new("go").arg("version").stdout(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        bail!(
            "the interoperability tests need Go 1.25 or newer: https://go.dev/dl (or run `cargo xtask test --no-peers`)"
        );
    }
    let mut command = Command::new("go");
    command.env("GOFLAGS", "");
    Ok(command)
}

/// FNV-1a, 32 bits: enough to tell two versions of a small file apart.
fn fingerprint(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
