//! The demo's scenarios through the real program: what must be found is found, and quiet stays quiet.

use anyhow::{Context, Result};
use std::process::Command;

/// Plays a scenario to its end and gives its summary.
fn summary(scenario: &str) -> Result<String> {
    let program = e2e::process::foreshock()?;
    let output = Command::new(program)
        .args(["demo", "--plain", "--speed", "600", "--seed", "1", "--scenario", scenario])
        .output()
        .context("can't run the demo")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    anyhow::ensure!(output.status.success(), "{scenario} failed: {text}");
    let (_, summary) = text.split_once("\nSummary\n").context("no summary")?;
    Ok(summary.to_owned())
}

/// An hour of ordinary life with harmless rollouts and batch jobs must not wake anybody.
#[test]
fn calm_stays_silent() -> Result<()> {
    let summary = summary("calm")?;
    assert!(summary.contains("false alarms       0 incidents"), "{summary}");
    Ok(())
}

/// Faults are found before a static threshold speaks, with the service named in which they started, and no alarm before.
#[test]
fn faults_are_found_early_and_where_they_started() -> Result<()> {
    for scenario in ["database-saturation", "deployment-drift"] {
        let summary = summary(scenario)?;
        for expected in ["incident           after", "right at the end", "earlier", "false alarms       0 incidents"] {
            assert!(summary.contains(expected), "{scenario}: no `{expected}` in\n{summary}");
        }
    }
    Ok(())
}
