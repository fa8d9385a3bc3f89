//! Forecasts on generated cases: the detector by itself, and the same cases through the whole engine.

use super::Bench;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{ffi::OsString, fs, process::Command};

/// Figures of both ways.
pub(super) struct Forecasts {
    pub(super) seed: u64,
    pub(super) cases: u64,
    pub(super) alone: Value,
    pub(super) engine: Value,
}

/// Generates the cases of a seed, `cases` of each kind, and measures.
pub(super) fn measure(bench: &Bench, seed: u64, cases: u64) -> Result<Forecasts> {
    let folder = bench.folder.join("forecasts");
    if folder.exists() {
        // Cases of another seed would be measured too.
        fs::remove_dir_all(&folder)?;
    }
    let accuracy = |more: &[OsString]| -> Result<String> {
        let output = Command::new(&bench.accuracy).args([seed.to_string(), cases.to_string()]).args(more).output()?;
        if !output.status.success() {
            bail!("accuracy: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    };
    let figures = |text: String| serde_json::from_str(&text).context("the figures of accuracy");
    let alone = figures(accuracy(&["--json".into()])?)?;
    accuracy(&["--write".into(), folder.clone().into()])?;
    let report = bench.backtest("csv", &folder.join("cases"), None, Some(&folder.join("forecast.yaml")))?;
    let told = folder.join("report.json");
    fs::write(&told, report.to_string())?;
    let engine = figures(accuracy(&["--json".into(), "--told".into(), told.into()])?)?;
    Ok(Forecasts { seed, cases, alone, engine })
}
