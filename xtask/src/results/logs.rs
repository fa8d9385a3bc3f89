//! Log templates against LogHub's, system by system, with one configuration.

use super::{Bench, folders};
use anyhow::{Context, Result};
use flate2::read::MultiGzDecoder;
use serde_json::Value;
use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// What came of one system.
pub(super) struct System {
    pub(super) name: String,
    /// Whether the corrected truth was there.
    pub(super) is_corrected: bool,
    pub(super) accuracy: f64,
    pub(super) lines: f64,
    pub(super) learning: f64,
    pub(super) warm: f64,
}

/// Reads all systems of `folder`, with the truth of `corrected` for those that have one there.
pub(super) fn measure(bench: &Bench, folder: &Path, corrected: Option<&Path>) -> Result<Vec<System>> {
    folders(folder)?.iter().map(|system| one(bench, system, corrected)).collect()
}

fn one(bench: &Bench, system: &Path, corrected: Option<&Path>) -> Result<System> {
    let name = system.file_name().map(|name| name.to_string_lossy().into_owned()).context("a system has a name")?;
    let better = corrected.map(|folder| structured(&folder.join(&name))).transpose()?.flatten();
    let is_corrected = better.is_some();
    let packed = match better {
        Some(path) => path,
        None => structured(system)?.with_context(|| format!("{} has no *structured*.csv", system.display()))?,
    };
    let (input, json) = (bench.folder.join("lines.csv"), bench.folder.join("templates.json"));
    let mut file = File::open(&packed).with_context(|| packed.display().to_string())?;
    let mut plain = File::create(&input)?;
    match packed.extension().is_some_and(|extension| extension == "gz") {
        true => io::copy(&mut MultiGzDecoder::new(file), &mut plain)?,
        false => io::copy(&mut file, &mut plain)?,
    };
    let output = bench.folder.join("templates.csv");
    let word = OsStr::new;
    bench.foreshock(&[
        word("templates"),
        word("--input"),
        input.as_os_str(),
        word("--output"),
        output.as_os_str(),
        word("--column"),
        word("Content"),
        word("--truth"),
        word("EventTemplate"),
        word("--report"),
        json.as_os_str(),
    ])?;
    let report: Value = serde_json::from_str(&fs::read_to_string(&json)?)?;
    let number = |key: &str| report[key].as_f64().with_context(|| format!("{name}: the report has no {key}"));
    Ok(System {
        is_corrected,
        accuracy: number("grouping_accuracy")?,
        lines: number("lines")?,
        learning: number("lines_per_second_learning")?,
        warm: number("lines_per_second_warm")?,
        name,
    })
}

/// The file of a system's lines and their templates.
fn structured(folder: &Path) -> Result<Option<PathBuf>> {
    if !folder.is_dir() {
        return Ok(None);
    }
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.sort();
    let is_wanted = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.contains("structured") && (name.ends_with(".csv") || name.ends_with(".csv.gz"))
    };
    Ok(files.into_iter().find(is_wanted))
}
