//! C: bindings are made here, clang (or zig, which has one inside) compiles, wasm-ld links.

use super::{
    rust::componentize,
    tools::{self, missing},
};
use crate::cli::Failure;
use anyhow::Context as _;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use wit_bindgen_core::{Files, wit_parser::Resolve};

/// The version of zig that is installed from PyPI where there is no clang.
const ZIG: &str = "0.17.0";
const TARGET_CLANG: &str = "--target=wasm32";
const FLAGS: [&str; 6] = ["-O2", "-std=c11", "-Wall", "-ffreestanding", "-nostdlib", "-mbulk-memory"];
/// Below the data, so that running over its end is a trap.
const STACK: &str = "stack-size=262144";

/// A C compiler and a linker, each as a program with its first arguments.
struct Tools {
    compile: Vec<OsString>,
    link: Vec<OsString>,
}

/// Builds all C files of the folder and gives the component.
pub(super) fn build(folder: &Path) -> Result<Vec<u8>, Failure> {
    let wit = super::wit(folder)?;
    let bindings = folder.join("bindings");
    generate(&wit, &bindings)?;
    let tools = find()?;
    let scratch = tools::Scratch::new(folder, "c")?;
    let mut objects = vec![bindings.join("plugin_component_type.o")];
    let mut sources = c_files(folder)?;
    sources.push(bindings.join("plugin.c"));
    for (number, source) in sources.iter().enumerate() {
        let object = scratch.path().join(format!("{number}.o"));
        let mut compiler = command(&tools.compile);
        compiler.args(FLAGS).arg("-I").arg(folder).arg("-I").arg(&bindings);
        compiler.arg("-c").arg(source).arg("-o").arg(&object);
        tools::run(&mut compiler, &format!("compiling {}", source.display()))?;
        objects.push(object);
    }
    let module = scratch.path().join("detector.wasm");
    let mut linker = command(&tools.link);
    linker.args(["--no-entry", "--gc-sections", "--strip-debug", "--stack-first", "-z", STACK, "-o"]);
    tools::run(linker.arg(&module).args(objects), "linking")?;
    componentize(&tools::read(&module)?)
}

fn command(words: &[OsString]) -> Command {
    let mut command = Command::new(words.first().map_or_else(OsString::new, Clone::clone));
    command.args(words.iter().skip(1));
    command
}

fn c_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("`{}` can't be listed", folder.display()))?;
    let is_c = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "c");
    let is_test = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem.to_string_lossy().starts_with("test"));
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| is_c(path) && !is_test(path)).collect();
    files.sort();
    Ok(files)
}

/// Writes `plugin.h`, `plugin.c` and the object that carries the contract.
pub(super) fn generate(wit: &Path, into: &Path) -> Result<(), Failure> {
    let wrong = |error: anyhow::Error| Failure::Running(error.context(format!("`{}`", wit.display())));
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).map_err(|error| wrong(anyhow::anyhow!("{error:#}")))?;
    let world =
        resolve.select_world(&[package], Some("plugin")).map_err(|error| wrong(anyhow::anyhow!("{error:#}")))?;
    let mut files = Files::default();
    let mut generator = wit_bindgen_c::Opts::default().build();
    generator.generate(&mut resolve, world, &mut files).map_err(|error| wrong(anyhow::anyhow!("{error:#}")))?;
    std::fs::create_dir_all(into).with_context(|| format!("`{}` can't be made", into.display()))?;
    for (name, content) in files.iter() {
        let path = into.join(name);
        std::fs::write(&path, content).with_context(|| format!("`{}` can't be written", path.display()))?;
    }
    Ok(())
}

/// clang with wasm-ld, or zig, or zig from PyPI.
fn find() -> Result<Tools, Failure> {
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    if has_wasm(&clang)
        && let Some(link) = linker()
    {
        return Ok(Tools { compile: words(&[&clang, TARGET_CLANG]), link });
    }
    if tools::has("zig", &["version"]) {
        return Ok(Tools {
            compile: words(&["zig", "cc", "-target", "wasm32-freestanding"]),
            link: words(&["zig", "wasm-ld"]),
        });
    }
    let python = tools::from_pypi("ziglang", ZIG, "python").map_err(|error| match error {
        Failure::Running(error) => missing(&format!(
            "a C compiler for WebAssembly: `clang` with `wasm-ld` (packages clang and lld), or `zig`; getting zig from PyPI \
             failed too: {error:#}"
        )),
        other => other,
    })?;
    let zig = |rest: &[&str]| {
        let mut all = vec![python.clone().into_os_string()];
        all.extend(words(&["-m", "ziglang"]));
        all.extend(words(rest));
        all
    };
    Ok(Tools { compile: zig(&["cc", "-target", "wasm32-freestanding"]), link: zig(&["wasm-ld"]) })
}

/// Whether this clang can compile for WebAssembly; that of Apple can't.
fn has_wasm(clang: &str) -> bool {
    let output = Command::new(clang).arg("--print-targets").stderr(Stdio::null()).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("wasm32"))
}

/// A linker for WebAssembly: of LLVM, or the one that comes with Rust.
fn linker() -> Option<Vec<OsString>> {
    if tools::has("wasm-ld", &["--version"]) {
        return Some(vec!["wasm-ld".into()]);
    }
    let output = Command::new("rustc").args(["--print", "target-libdir"]).stderr(Stdio::null()).output().ok()?;
    let libraries = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let linker = libraries.parent()?.join("bin/rust-lld");
    linker.is_file().then(|| vec![linker.into_os_string(), "-flavor".into(), "wasm".into()])
}
