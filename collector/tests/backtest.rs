//! `foreshock backtest` from the outside: what it writes, and that it never looks ahead.

use serde_json::Value;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const ROWS: usize = 2_000;
/// The row at which the series of the tests jump, and for how long.
const JUMP: usize = 1_200;

/// A quiet series with a jump, and after `garbled_from` whatever else.
fn series(garbled_from: usize) -> String {
    let mut text = "timestamp,value\n".to_owned();
    for row in 0..ROWS {
        let at = jiff::Timestamp::from_second(1_700_000_000 + row as i64 * 300).expect("a time");
        let ripple = ((row * 7_919) % 97) as f64 / 10.0;
        let mut value = if (JUMP..JUMP + 40).contains(&row) { 900.0 + ripple } else { 100.0 + ripple };
        if row >= garbled_from {
            value = ((row * 104_729) % 5_003) as f64 - 2_500.0;
        }
        text.push_str(&format!("{},{value}\n", at.strftime("%Y-%m-%d %H:%M:%S")));
    }
    text
}

/// A folder in NAB's shape with one labelled series and one without labels.
fn nab(folder: &Path, garbled_from: usize) -> PathBuf {
    let data = folder.join("data/kind");
    std::fs::create_dir_all(&data).expect("a folder");
    std::fs::create_dir_all(folder.join("labels")).expect("a folder");
    std::fs::write(data.join("jump.csv"), series(garbled_from)).expect("a file");
    std::fs::write(data.join("calm.csv"), series(ROWS).replace(",9", ",1")).expect("a file");
    let at = |row: usize| jiff::Timestamp::from_second(1_700_000_000 + row as i64 * 300).expect("a time");
    let at = |row: usize| at(row).strftime("%Y-%m-%d %H:%M:%S.000000").to_string();
    let labels = format!(
        r#"{{"kind/jump.csv": [["{}", "{}"], ["{}", "{}"]], "kind/calm.csv": []}}"#,
        at(JUMP - 20),
        at(JUMP + 60),
        at(1_600),
        at(1_650)
    );
    std::fs::write(folder.join("labels/combined_windows.json"), labels).expect("a file");
    folder.to_owned()
}

fn foreshock(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_foreshock")).arg("backtest").args(arguments).output().expect("starts")
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("was written")
}

/// Everything that it promises to write is there and agrees: the event with the jump is found, the one without is missed and told,
/// each row has its line.
#[test]
fn a_labelled_folder_is_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = nab(folder.path(), ROWS);
    let place = |name: &str| folder.path().join(name).display().to_string();
    let data = data.display().to_string();
    let (json, html, scores) = (place("report.json"), place("report.html"), place("scores"));
    let output = foreshock(&["nab", "--data", &data, "--json", &json, "--html", &html, "--scores", &scores]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let report: Value = serde_json::from_str(&text(Path::new(&json))).expect("JSON");
    let of = |pointer: &str| report.pointer(pointer).unwrap_or(&Value::Null).clone();
    assert_eq!((of("/series"), of("/rows")), (Value::from(2), Value::from(2 * ROWS)), "{report:#}");
    assert_eq!(of("/first/measures/services/events"), 2);
    assert_eq!(of("/first/measures/services/found"), 1, "{report:#}");
    assert_eq!(of("/first/misses/0/series"), "kind/jump.csv");
    let naive: Vec<Value> = (0..3).map(|index| of(&format!("/naive/{index}/name"))).collect();
    assert_eq!(naive, ["random", "constant", "|dx|"]);
    for track in ["nab_fixed_threshold", "nab_threshold_fitted_to_this_data"] {
        let score = of(&format!("/first/measures/{track}/standard/score")).as_f64().expect("a score");
        assert!((1.0..=100.0).contains(&score), "{track} {score}");
    }
    assert!(said.contains("worst misses") && said.contains("NAB by its own rules"), "{said}");

    let page = text(Path::new(&html));
    assert!(
        page.starts_with("<!doctype html>") && page.contains("kind/jump.csv") && page.contains("class=right"),
        "no chart"
    );
    assert!(!page.contains("src=") && !page.contains("href="), "the page asks for something else");

    let rows = text(&Path::new(&scores).join("kind/jump.csv"));
    let rows: Vec<&str> = rows.lines().collect();
    assert_eq!((rows[0], rows.len()), ("timestamp,value,score,alarm", ROWS + 1));
    let alarms: Vec<usize> = (0..ROWS).filter(|row| rows[row + 1].ends_with(",1")).collect();
    assert!(alarms.iter().any(|row| (JUMP..JUMP + 10).contains(row)), "{alarms:?}");
    for row in &rows[1..] {
        let score: f64 = row.split(',').nth(2).expect("a score").parse().expect("a number");
        assert!((0.0..=1.0).contains(&score), "{row}");
    }
}

/// Strictly causal: whatever comes after a row changes nothing that was said up to it.
#[test]
fn the_future_changes_nothing() {
    let played = |garbled_from: usize| {
        let folder = tempfile::tempdir().expect("a folder");
        let data = nab(folder.path(), garbled_from).display().to_string();
        let scores = folder.path().join("scores");
        let output = foreshock(&["nab", "--data", &data, "--scores", &scores.display().to_string()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        text(&scores.join("kind/jump.csv"))
    };
    let (clean, garbled) = (played(ROWS), played(JUMP + 20));
    let head = |text: &str| text.lines().take(1 + JUMP + 20).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(head(&clean), head(&garbled));
    assert_ne!(clean, garbled);
}

/// Without labels it tells what would have fired; a second configuration is set beside the first, with what it changes.
#[test]
fn without_labels_two_configurations_are_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("load.csv"), series(ROWS)).expect("a file");
    let deaf = folder.path().join("deaf.yaml");
    // Detectors for another service hear nothing of this one.
    let config = foreshock::replay::DEFAULT_CONFIG.replace("services: [\"*\"]", "services: [\"another\"]");
    std::fs::write(&deaf, config).expect("a file");
    let json = folder.path().join("report.json");
    let output = foreshock(&[
        "csv",
        "--data",
        &folder.path().join("load.csv").display().to_string(),
        "--against",
        &deaf.display().to_string(),
        "--json",
        &json.display().to_string(),
    ]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        said.contains("No labels: this is what would have fired") && said.contains("false alarms gone: 1"),
        "{said}"
    );
    let report: Value = serde_json::from_str(&text(&json)).expect("JSON");
    assert_eq!(report["has_labels"], false);
    assert_eq!(report["first"]["measures"]["services"]["false_episodes"], 1, "{report:#}");
    assert_eq!(report["against"]["measures"]["services"]["false_episodes"], 0, "{report:#}");
    // What each raised stands side by side, by detector and kind.
    let raised: Vec<&str> = said.lines().skip_while(|line| *line != "What was raised").collect();
    let kinds = report["first"]["alarms"].as_object().expect("alarms by kind");
    assert!(!kinds.is_empty() && report["against"]["alarms"].as_object().is_some_and(serde_json::Map::is_empty));
    for (kind, many) in kinds {
        let row = raised.iter().find(|line| line.trim().starts_with(kind.as_str())).expect("a row for each kind");
        assert!(row.split_whitespace().rev().take(2).eq(["0", many.to_string().as_str()]), "{row}");
    }
}

/// A machine of recorded servers: five columns without a header, that at the rows `odd` leave their usual values.
fn machine(rows: usize, odd: std::ops::Range<usize>) -> String {
    let cell = |row: usize, column: usize| {
        let ripple = ((row * 7_919 + column * 104_729) % 97) as f64 / 1_000.0;
        if odd.contains(&row) && column < 4 { 5.0 + ripple } else { 0.3 + ripple }
    };
    let line = |row: usize| (0..5).map(|column| cell(row, column).to_string()).collect::<Vec<_>>().join(",");
    (0..rows).map(|row| line(row) + "\n").collect()
}

/// Recorded servers as they are published: what is learned comes before what is scored, labels are a mark a line, packed or not, and
/// the written scores are those of the scored rows.
#[test]
fn recorded_servers_learn_before_they_are_scored() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name);
    for part in ["train", "test", "test_label"] {
        std::fs::create_dir_all(place(part)).expect("a folder");
    }
    let packed = |path: &Path, text: &str| {
        let file = std::fs::File::create(path).expect("a file");
        let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        packer.write_all(text.as_bytes()).and_then(|()| packer.finish()).expect("is written");
    };
    let (rows, odd) = (700, 400..460);
    packed(&place("train/one.csv.gz"), machine(900, 0..0).trim_end());
    packed(&place("test/one.csv.gz"), &machine(rows, odd.clone()));
    let marks: String = (0..rows).map(|row| if odd.contains(&row) { "1\n" } else { "0\n" }).collect();
    std::fs::write(place("test_label/one.txt"), marks).expect("a file");
    let (data, json) = (folder.path().display().to_string(), place("report.json").display().to_string());
    let scores = place("scores");
    let words = ["csv", "--data", &data, "--json", &json, "--scores", &scores.display().to_string()];
    let output = foreshock(&words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("--step"), "{said}");

    let output = foreshock(&[&words[..], &["--step", "60"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&text(Path::new(&json))).expect("JSON");
    let of = |pointer: &str| report.pointer(pointer).unwrap_or(&Value::Null).clone();
    assert_eq!((of("/services"), of("/series"), of("/rows")), (1.into(), 5.into(), 1_600.into()), "{report:#}");
    assert_eq!(of("/first/measures/services/events"), 1);
    assert_eq!(of("/first/measures/services/found"), 1, "{report:#}");
    assert_eq!(of("/first/measures/overlap/right"), 1, "{report:#}");
    let days = of("/service_days").as_f64().expect("days");
    assert!((days - rows as f64 / 1_440.0).abs() < 1e-9, "{days}");
    let written = text(&scores.join("test/one.csv"));
    assert_eq!(written.lines().count(), rows + 1);
    let up = |row: &usize| written.lines().nth(row + 1).is_some_and(|line| line.ends_with(",1"));
    let first = (0..rows).find(up).expect("an alarm");
    assert!((400..406).contains(&first), "{first}");
    assert_eq!(text(&scores.join("test/one/column_03.csv")).lines().count(), rows + 1);
}

/// What can't be used is said with exit code 2.
#[test]
fn unusable_arguments_are_told() {
    for arguments in [&["nab", "--data", "/nowhere/at/all"][..], &["csv", "--data", ".", "--probation", "1.5"]] {
        let output = foreshock(arguments);
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
