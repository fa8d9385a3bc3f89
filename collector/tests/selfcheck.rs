//! `foreshock selfcheck` from the outside: on a recording, and asked of a running instance.

use serde_json::Value;
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Rows of 10 s.
const ROWS: usize = 900;

fn foreshock(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_foreshock")).arg("selfcheck").args(arguments).output().expect("starts")
}

/// A recording with a series that moves a little and one that stands still.
fn recording(folder: &Path, rows: usize) -> PathBuf {
    let mut text = "timestamp,load,limit\n".to_owned();
    for row in 0..rows {
        let at = jiff::Timestamp::from_second(1_700_000_000 + row as i64 * 10).expect("a time");
        let ripple = ((row * 7_919) % 97) as f64 / 10.0;
        let _ = writeln!(text, "{},{},64", at.strftime("%Y-%m-%d %H:%M:%S"), 100.0 + ripple);
    }
    let path = folder.join("web.csv");
    std::fs::write(&path, text).expect("a file");
    path
}

fn trial<'a>(list: &'a Value, kind: &str) -> &'a Value {
    list.as_array().into_iter().flatten().find(|trial| trial["kind"] == kind).unwrap_or(&Value::Null)
}

/// What was learned from a recording sees what everybody would see, says how late, and the series that stands still is not passed over.
#[test]
fn a_recording_is_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = recording(folder.path(), ROWS).display().to_string();
    let output = foreshock(&["--input", &path, "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let check = &said["checks"][0];
    let detectors = check["detectors"].as_array().expect("detectors");
    let baseline =
        detectors.iter().find(|detector| detector["detector"] == "baseline").expect("it is in the default set");
    for (list, kind) in [
        (&baseline["trials"], "spike"),
        (&baseline["trials"], "level_shift"),
        (&check["anomalies"], "level_shift"),
        (&check["anomalies"], "missing_data"),
    ] {
        let trial = trial(list, kind);
        assert_eq!(trial["detected"], trial["tried"], "{kind}: {check:#}");
        let delay = trial["delay_seconds"].as_f64().expect("a delay");
        assert!((10.0..=120.0).contains(&delay), "{kind}: {delay}");
    }
    let logs =
        detectors.iter().find(|detector| detector["detector"] == "log-patterns").expect("it is in the default set");
    assert_eq!(logs["trials"], Value::Array(Vec::new()), "there are no logs");

    let output = foreshock(&["--input", &path]);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["baseline", "data-quality", "an anomaly opens", "missing", "blind"] {
        assert!(table.contains(part), "{part}\n{table}");
    }
}

/// A detector that has not seen enough is told to be blind, not to see nothing; and a recording of too little is refused.
#[test]
fn those_that_warm_up_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = recording(folder.path(), 50).display().to_string();
    let output = foreshock(&["--input", &path, "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let detectors = said["checks"][0]["detectors"].as_array().expect("detectors");
    let slow = detectors.iter().find(|detector| detector["detector"] == "novelty").expect("in the default set");
    assert!(slow["blind"].as_array().expect("a list").iter().any(|blind| blind["reason"] == "warming_up"), "{slow:#}");

    let path = recording(folder.path(), 20).display().to_string();
    let output = foreshock(&["--input", &path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("fewer than 41 windows"));
}

/// Nobody there is an error that names the address, not an empty table.
#[test]
fn an_instance_that_is_not_there_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let output = foreshock(&["--console", &free.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&free.to_string()));
}
