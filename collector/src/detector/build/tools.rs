//! Compilers that a build needs: found, installed where a package registry has them, or named exactly.

use crate::cli::{Failure, say};
use anyhow::Context as _;
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// Where tools are installed once for all projects: `$FORESHOCK_TOOLS`, or a folder in the user's cache.
fn folder() -> Result<PathBuf, Failure> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    variable("FORESHOCK_TOOLS").or_else(|| Some(cache()?.join("foreshock/detector-tools"))).ok_or_else(|| {
        Failure::Running(anyhow::anyhow!("where may tools be installed? Set FORESHOCK_TOOLS to a folder"))
    })
}

/// Whether a program can be started.
pub(super) fn has(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Runs a command to its end and gives what it wrote to stdout; what it wrote to stderr goes into the error.
pub(super) fn run(command: &mut Command, what: &str) -> Result<Vec<u8>, Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let Output { status, stdout, stderr } =
        command.output().with_context(|| format!("{what}: `{program}` can't be started"))?;
    if status.success() {
        return Ok(stdout);
    }
    let said = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()).join("\n");
    Err(Failure::Running(anyhow::anyhow!("{what}: `{program}` failed ({status})\n{}", said.trim())))
}

/// A Python program of a package from PyPI, in a virtual environment of its own; installs it the first time.
pub(super) fn from_pypi(package: &str, version: &str, program: &str) -> Result<PathBuf, Failure> {
    let place = folder()?.join(format!("{package}-{version}"));
    let path = place.join("bin").join(program);
    let is_there = || path.is_file() && place.join(DONE).is_file();
    if is_there() {
        return Ok(path);
    }
    let _lock = lock(&place)?;
    if is_there() {
        return Ok(path);
    }
    if !has("python3", &["-m", "venv", "--help"]) {
        return Err(missing(&format!("{package} {version} comes from PyPI, and that takes `python3` with `venv`")));
    }
    say(&format!("installing {package} {version} from PyPI into {}", place.display()));
    fs::create_dir_all(&place).with_context(|| format!("`{}` can't be made", place.display()))?;
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&place), "a virtual environment")?;
    let wanted = format!("{package}=={version}");
    let pip = ["install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", &wanted];
    run(Command::new(place.join("bin/pip")).args(pip), &format!("installing {wanted}"))?;
    fs::write(place.join(DONE), "").with_context(|| format!("`{}` can't be written", place.display()))?;
    Ok(path)
}

/// A folder with a package from npm in its `node_modules`; installs it the first time.
pub(super) fn from_npm(package: &str, version: &str) -> Result<PathBuf, Failure> {
    let place = folder()?.join(format!("{}-{version}", package.rsplit('/').next().unwrap_or(package)));
    if place.join(DONE).is_file() {
        return Ok(place);
    }
    let _lock = lock(&place)?;
    if place.join(DONE).is_file() {
        return Ok(place);
    }
    for program in ["node", "npm"] {
        if !has(program, &["--version"]) {
            return Err(missing(&format!(
                "{package} {version} comes from npm, and that takes `{program}` (Node.js 20 or newer)"
            )));
        }
    }
    say(&format!("installing {package} {version} from npm into {}", place.display()));
    fs::create_dir_all(&place).with_context(|| format!("`{}` can't be made", place.display()))?;
    let wanted = format!("{package}@{version}");
    let npm = ["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"];
    run(Command::new("npm").args(npm).arg(&place).arg(&wanted).current_dir(&place), &format!("installing {wanted}"))?;
    fs::write(place.join(DONE), "").with_context(|| format!("`{}` can't be written", place.display()))?;
    Ok(place)
}

/// Waits until nobody else installs the same tool; two at once would take away each other's files.
fn lock(place: &Path) -> Result<fs::File, Failure> {
    let path = place.with_added_extension("lock");
    let parent = path.parent().unwrap_or(place);
    fs::create_dir_all(parent).with_context(|| format!("`{}` can't be made", parent.display()))?;
    let locked = fs::File::create(&path).and_then(|file| file.lock().map(|()| file));
    Ok(locked.with_context(|| format!("`{}` can't be locked", path.display()))?)
}

/// Marks a tool that was installed to its end.
const DONE: &str = ".installed";

/// What is missing, in words.
pub(super) fn missing(what: &str) -> Failure {
    Failure::Running(anyhow::anyhow!("something is missing: {what}"))
}

/// Reads what a tool wrote.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    Ok(fs::read(path).with_context(|| format!("`{}` can't be read", path.display()))?)
}

/// A scratch folder that goes when it is dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// In the project's own folder, so that it is on a disk that has room.
    pub(super) fn new(project: &Path, name: impl AsRef<OsStr>) -> Result<Self, Failure> {
        let mut folder = std::ffi::OsString::from(format!(".build-{}-", std::process::id()));
        folder.push(name.as_ref());
        let path = project.join(folder);
        fs::create_dir_all(&path).with_context(|| format!("`{}` can't be made", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two builds at once, as in a test run or a second terminal, must not install one tool over each other.
    #[test]
    fn a_tool_is_installed_by_one_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("tools/some-tool-1.2.3");
        let first = lock(&place).expect("a lock");
        let other = fs::File::open(folder.path().join("tools/some-tool-1.2.3.lock")).expect("the lock's file");
        assert!(matches!(other.try_lock(), Err(fs::TryLockError::WouldBlock)));
        drop(first);
        assert!(other.try_lock().is_ok());
    }
}
