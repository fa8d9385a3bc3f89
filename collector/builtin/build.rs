//! Builds the detectors of this repository for WebAssembly and turns them into components.
//!
//! Runs a second cargo with a target directory of its own, so that the two never wait for each other's lock, and with an
//! environment cleared of what the first one was told (flags, wrappers, target), so that the guests come out the same
//! under `cargo build`, `cargo clippy`, `cargo doc` and coverage tools.

use std::{
    env,
    fmt::{self, Write as _},
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// Detectors that a configuration can name as `builtin:NAME`; package `foreshock-NAME` in `detectors/NAME`.
const DETECTORS: [&str; 9] =
    ["baseline", "forecast", "isolation-forest", "joint", "log-patterns", "novelty", "shift", "spectral", "subspace"];

/// The detector that misbehaves on request, for tests.
const CHAOS: &str = "chaos";

const TARGET: &str = "wasm32-unknown-unknown";

/// Stack in the guest's linear memory. Rust's default of 1 MiB would be a sixteenth of what a model may use. The stack lies
/// below the data, so that running over its end is a trap.
const STACK_BYTES: u32 = 256 << 10;

fn main() -> Result<(), Failure> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("../..");
    let root = root.canonicalize().map_err(|error| Failure::io("can't find the workspace at", &root, &error))?;
    let guests = || DETECTORS.into_iter().chain([CHAOS]);

    // Relative to this package, so that clones which share a target folder each look at their own files.
    let above = Path::new("../..");
    for path in ["wit", "Cargo.lock", "detectors/sdk/src", "detectors/sdk/Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", above.join(path).display());
    }
    for name in guests() {
        let package = Path::new("detectors").join(name);
        let place = root.join(&package);
        for entry in fs::read_dir(&place).map_err(|error| Failure::io("can't list", &place, &error))? {
            let path = entry.map_err(|error| Failure::io("can't list", &place, &error))?.path();
            // What a guest is made of, but not its tests and benches.
            if let Some(file) = path.file_name().filter(|_| path.ends_with("src") || path.is_file()) {
                println!("cargo::rerun-if-changed={}", above.join(&package).join(file).display());
            }
        }
    }

    // Beside the output directories, not inside: cargo makes several of those, one for each set of features that the
    // dependencies happen to have, and the guests are the same for all.
    let target_dir = out.ancestors().nth(2).unwrap_or(&out).join("foreshock-guests");

    need_target()?;
    let mut list = String::new();
    for name in guests() {
        let module = build(&root, &target_dir, name)?;
        let component = componentize(&module)?;
        let path = out.join(format!("{name}.wasm"));
        fs::write(&path, component).map_err(|error| Failure::io("can't write", &path, &error))?;
        if name != CHAOS {
            writeln!(list, "    ({name:?}, include_bytes!({path:?})),").map_err(|error| Failure(error.to_string()))?;
        }
    }
    let path = out.join("components.rs");
    let source = format!("const COMPONENTS: [(&str, &[u8]); {}] = [\n{list}];\n", DETECTORS.len());
    fs::write(&path, source).map_err(|error| Failure::io("can't write", &path, &error))
}

/// Compiles one detector and gives the path of its core module.
fn build(root: &Path, target_dir: &Path, name: &str) -> Result<PathBuf, Failure> {
    let package = format!("foreshock-{name}");
    let mut cargo = Command::new(variable("CARGO")?);
    cargo.current_dir(root).args(["rustc", "--quiet", "--locked", "--lib", "--crate-type", "cdylib"]);
    cargo.args(["--profile", "detector", "--target", TARGET, "--package", &package, "--target-dir"]).arg(target_dir);
    for (key, _) in env::vars_os() {
        let told_by_the_outer_cargo = key.to_str().is_some_and(|key| !is_for_both(key));
        if told_by_the_outer_cargo {
            cargo.env_remove(&key);
        }
    }
    let mut flags = vec![
        format!("-Clink-arg=-zstack-size={STACK_BYTES}"),
        // Every runtime of components has SIMD; its relaxed part stays off.
        "-Ctarget-feature=+simd128".to_owned(),
        format!("--remap-path-prefix={}=foreshock", root.display()),
    ];
    // Panics name their places. Without this a component's digest would tell whose machine it was built on.
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    flags.extend(cargo_home.map(|home| format!("--remap-path-prefix={}=cargo", home.display())));
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    run(&mut cargo)?;
    Ok(target_dir.join(TARGET).join("detector").join(format!("{}.wasm", package.replace('-', "_"))))
}

/// Whether a variable may reach the second cargo: where it lives, how it reaches a registry, how many jobs it may run.
fn is_for_both(key: &str) -> bool {
    let flags = ["RUSTFLAGS", "RUSTDOCFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS"];
    let kept = ["CARGO_HOME", "CARGO_MAKEFLAGS"];
    let kept_groups = ["CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    let told = key.starts_with("CARGO_") || key.starts_with("__CARGO_") || flags.contains(&key);
    !told || kept.contains(&key) || kept_groups.iter().any(|group| key.starts_with(group))
}

/// Turns a core module into a component and validates it.
fn componentize(module: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = fs::read(module).map_err(|error| Failure::io("can't read", module, &error))?;
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(wit_component::ComponentEncoder::encode)
        .map_err(|error| Failure(format!("{} is no detector: {error:#}", module.display())))
}

/// Makes sure that rustc can build for WebAssembly; adds the target through rustup where that is possible.
fn need_target() -> Result<(), Failure> {
    if has_target()? {
        return Ok(());
    }
    let added = run(Command::new("rustup").args(["target", "add", TARGET]));
    if has_target()? {
        return Ok(());
    }
    let why = added.err().map_or_else(String::new, |failure| format!("\n\nTried it, but: {failure:?}"));
    Err(Failure(format!(
        "Foreshock's detectors are compiled to WebAssembly, and this Rust can't do that yet. Run\n\n    rustup target add \
         {TARGET}\n\nand build again. Without rustup, install your distribution's package with Rust's standard library \
         for {TARGET}.{why}"
    )))
}

fn has_target() -> Result<bool, Failure> {
    let mut rustc = Command::new(variable("RUSTC")?);
    let output = run(rustc.args(["--print", "target-libdir", "--target", TARGET]))?;
    let has_std = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
    };
    Ok(fs::read_dir(output.trim()).is_ok_and(|mut entries| entries.any(has_std)))
}

/// Runs a command to its end and gives what it wrote to standard output.
fn run(command: &mut Command) -> Result<String, Failure> {
    let output = command.output().map_err(|error| Failure(format!("can't run {command:?}: {error}")))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(Failure(format!("{command:?} failed ({}):\n{errors}", output.status)))
    }
}

fn variable(name: &str) -> Result<String, Failure> {
    env::var(name).map_err(|_| Failure(format!("cargo did not set {name}")))
}

/// Why there are no detectors. Cargo shows it through `Debug`, so that must be readable.
struct Failure(String);

impl Failure {
    fn io(what: &str, path: &Path, error: &io::Error) -> Self {
        Self(format!("{what} {}: {error}", path.display()))
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
