//! The author's kit as an author uses it: the real program on real components, and the templates and examples built, checked
//! and played. Components are built once each, in one target folder.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// So that no answer depends on how busy the machine is.
const PATIENT: [&str; 2] = ["--deadline", "60s"];

fn foreshock(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_foreshock"))
        .arg("detector")
        .args(arguments)
        .env_remove("FORESHOCK_LOG")
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn said(output: &Output) -> String {
    format!("{}\n{}", text(&output.stdout), text(&output.stderr))
}

fn repository() -> PathBuf {
    Path::new("..").canonicalize().expect("the repository")
}

fn example(name: &str) -> String {
    repository().join("examples/detectors").join(name).display().to_string()
}

/// Where guests are built: beside what the test itself was built into, so that a second run finds it.
fn target() -> String {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("detectors").display().to_string()
}

/// What every component must pass: all checks on a recording, and every kind of nonsense.
fn passes(component: &str, recording: &[&str], memory: &str) {
    let limits = [&PATIENT[..], &["--memory-mib", memory]].concat();
    let output = foreshock(&[&["check", component], &limits[..], recording].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(text(&output.stdout).contains("12 checks hold\n"), "{}", said(&output));
}

/// The built-in detectors are held to what authors are held to, and exit codes are what scripts rely on: 1 for a component that
/// fails, 2 for a file that is none.
#[test]
fn check_tells_good_from_bad() {
    for name in ["baseline", "isolation-forest", "joint", "log-patterns", "novelty", "shift"] {
        passes(&format!("builtin:{name}"), &[], "16");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("chaos.wasm"), foreshock_builtin::chaos()).expect("a file");
    for (act, fails) in [
        ("trap", "FAILS  trap: "),
        ("wrong-length", "FAILS  bad_verdict: "),
        ("large-score", "FAILS  bad_verdict: "),
        ("memory", "FAILS  memory: "),
        ("trap-in-snapshot", "FAILS  shop/checkout: "),
    ] {
        let config = format!(r#"{{"act":"{act}","trigger":-1}}"#);
        let output = foreshock(&["check", &path("chaos.wasm"), "--config", &config]);
        assert_eq!(output.status.code(), Some(1), "{act}: {}", said(&output));
        assert!(text(&output.stdout).contains(fails), "{act}: {}", said(&output));
    }
    let output = foreshock(&["check", &path("chaos.wasm"), "--config", r#"{"act":"dance"}"#]);
    assert!(text(&output.stdout).contains("FAILS  act: \"dance\" is not one of"), "{}", said(&output));
    assert_eq!(output.status.code(), Some(1));

    std::fs::write(path("text.wasm"), "no component").expect("a file");
    std::fs::write(path("core.wasm"), b"\0asm\x01\0\0\0").expect("a file");
    for (name, why) in [("text.wasm", "no WebAssembly"), ("core.wasm", "core module"), ("none.wasm", "can't be read")] {
        let output = foreshock(&["check", &path(name)]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", said(&output));
        assert!(text(&output.stderr).contains(why), "{name}: {}", said(&output));
    }
    assert_eq!(foreshock(&["check", "builtin:none"]).status.code(), Some(2));
    assert_eq!(foreshock(&["check", "builtin:baseline", "--config", "[]"]).status.code(), Some(2));
}

/// An import that no detector gets is named before anything runs: here a clock, in a component written byte by byte (the component
/// model's Binary.md: a type section with an instance type, an import section).
#[test]
fn foreign_imports_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("clock.wasm").display().to_string();
    let name = b"wasi:clocks/wall-clock@0.2.0";
    let mut component = b"\0asm\x0d\0\x01\0\x07\x03\x01\x42\x00\x0a".to_vec();
    let length = u8::try_from(name.len()).expect("short");
    component.extend([length + 5, 1, 0, length]);
    component.extend(name);
    component.extend([5, 0]);
    std::fs::write(&path, component).expect("a file");
    let output = foreshock(&["check", &path]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let table = text(&output.stdout);
    assert!(table.contains("FAILS  wasi:clocks/wall-clock@0.2.0; a detector may import nothing but"), "{table}");
    assert!(table.contains("FAILS  does not export `foreshock:detector/detector@0.1.0`"), "{table}");
}

/// Nonsense in, no fault out, for a built-in detector; and one that traps is caught at it, with the case named.
#[test]
fn chaos_names_what_it_breaks() {
    // To save 10,000 series takes more than the 16 MiB that a model has by default.
    let output = foreshock(&["chaos", "builtin:baseline", "--deadline", "60s", "--memory-mib", "32"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(text(&output.stdout).contains("none of 19 cases faults"), "{}", said(&output));

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("chaos.wasm").display().to_string();
    std::fs::write(&path, foreshock_builtin::chaos()).expect("a file");
    let config = r#"{"act":"trap","trigger":1e6}"#;
    let output = foreshock(&["chaos", &path, "--deadline", "60s", "--config", config]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(text(&output.stderr).contains("largest and smallest numbers"), "{}", said(&output));
}

/// A recording gives a table, a chart and a page that needs nothing from elsewhere; the same recording gives the same page.
#[test]
fn run_shows_what_it_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.html");
    let recordings = repository().join("examples/recordings/nab");
    let input = recordings.join("ec2_request_latency_system_failure.csv").display().to_string();
    let mapping = recordings.join("ec2_request_latency_system_failure.yaml").display().to_string();
    let once = || {
        let html = page.display().to_string();
        let arguments = ["run", "builtin:baseline", "--input", &input, "--csv-mapping", &mapping, "--html", &html];
        let output = foreshock(&[&arguments[..], &["--window", "5m"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        (text(&output.stdout), std::fs::read_to_string(&page).expect("a page"))
    };
    let (shown, html) = once();
    // The labelled failure at the end of the recording.
    assert!(shown.contains("2014-03-21 0"), "{shown}");
    assert!(shown.chars().any(|character| ('\u{2801}'..='\u{28ff}').contains(&character)), "{shown}");
    for part in ["<svg ", "class=\"series\"", "class=\"band\"", "class=\"score\"", "<title>2014-03-"] {
        assert!(html.contains(part), "{part} is missing");
    }
    for foreign in ["http://", "https://", "<script", "src=", "@import", "url("] {
        assert!(!html.contains(foreign), "{foreign} is in the page");
    }
    assert_eq!(once(), (shown, html));
}

/// The first thing an author sees must work: `new`, the project's own tests, `build`, `check` on its recording, and `run` finds
/// what is wrong in it. Also, a name that can't be one is refused, and nothing is overwritten.
#[test]
fn a_new_rust_project_builds_and_passes() {
    let folder = tempfile::tempdir().expect("a folder");
    let into = folder.path().display().to_string();
    let output = foreshock(&["new", "--lang", "rust", "queue-guard", "--into", &into]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let project = folder.path().join("queue-guard");
    assert_eq!(foreshock(&["new", "--lang", "rust", "queue-guard", "--into", &into]).status.code(), Some(2));
    assert_eq!(foreshock(&["new", "--lang", "rust", "Queue Guard", "--into", &into]).status.code(), Some(2));

    let tested = cargo(&project, &["test", "--quiet", "--test", "recording"]);
    assert!(tested.status.success(), "{}", said(&tested));

    let folder = project.display().to_string();
    let output = foreshock(&["build", &folder, "--target-dir", &target()]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(text(&output.stdout).contains("imports  foreshock:detector/"), "{}", said(&output));
    let component = project.join("queue-guard.wasm").display().to_string();
    let recording = project.join("recording.csv").display().to_string();
    passes(&component, &["--input", &recording], "16");
    let output = foreshock(&["run", &component, "--input", &recording]);
    let shown = text(&output.stdout);
    assert!(shown.starts_with("queue-guard 0.1.0: 240 windows"), "{}", said(&output));
    assert!(shown.contains("2026-01-05 00:30:00") && shown.contains("queue.depth is "), "{shown}");
    let output = foreshock(&["chaos", &component, "--deadline", "60s"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let output = foreshock(&["bench", &component]);
    assert!(text(&output.stdout).contains("us a window"), "{}", said(&output));
    let events = replayed(&project);
    assert!(events.contains("foreshock.anomaly.detected") && events.contains("queue-guard"), "{events}");
}

/// Plays a project's recording through the whole of Foreshock, with the project's configuration.
fn replayed(project: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_foreshock"))
        .args(["replay", "--config", "foreshock.yaml", "--input", "recording.csv", "--output", "events.jsonl"])
        .current_dir(project)
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    std::fs::read_to_string(project.join("events.jsonl")).expect("events")
}

/// The example of a rule of the business: its own tests, and the component finds in the engine's windows what they find natively,
/// at the time at which it happens, and which the built-in detector for single series does not see.
#[test]
fn the_orders_example_finds_what_single_series_hide() {
    let tested = cargo(Path::new(&example("orders")), &["test", "--quiet", "--locked", "--test", "recording"]);
    assert!(tested.status.success(), "{}", said(&tested));
    let folder = tempfile::tempdir().expect("a folder");
    let component = folder.path().join("orders.wasm").display().to_string();
    let output = foreshock(&["build", &example("orders"), "--target-dir", &target(), "--output", &component]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let (recording, mapping) = (example("orders/recording.csv"), example("orders/recording.yaml"));
    let source = ["--input", &recording, "--csv-mapping", &mapping];
    passes(&component, &source, "16");
    let findings = |module: &str| {
        let output = foreshock(&[&["run", module, "--charts", "0"], &source[..]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        text(&output.stdout)
    };
    let shown = findings(&component);
    // Cards are refused from 18:40 to 18:50.
    assert!(shown.contains("unpaid_orders") && shown.contains("2026-01-05 18:4"), "{shown}");
    let built_in = findings("builtin:baseline");
    assert!(!built_in.contains("2026-01-05 18:4"), "{built_in}");
}

/// The contract can be used by itself: a detector in which nothing of this repository is but `wit/`, not even by way of a dependency,
/// builds, passes every check, and finds what is wrong in a recording.
#[test]
fn the_contract_can_be_used_by_itself() {
    let project = Path::new(&example("wit-only")).to_owned();
    let tree = cargo(&project, &["tree", "--locked", "--prefix", "none", "--target", "wasm32-unknown-unknown"]);
    let tree = said(&tree);
    assert!(tree.contains("wit-bindgen v") && !tree.contains("foreshock"), "{tree}");
    let folder = tempfile::tempdir().expect("a folder");
    let component = folder.path().join("new-high.wasm").display().to_string();
    let output = foreshock(&["build", &example("wit-only"), "--target-dir", &target(), "--output", &component]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let recording = example("rust/recording.csv");
    passes(&component, &["--input", &recording], "16");
    let output = foreshock(&["run", &component, "--input", &recording]);
    let shown = text(&output.stdout);
    assert!(shown.contains("2026-01-05 00:30:00") && shown.contains("higher than ever before"), "{}", said(&output));
}

/// Detectors in other languages, against the published contract without the crate for authors: the template builds, imports nothing
/// but the contract, passes every check on its recording, and answers as the others do.
#[test]
fn templates_in_other_languages_build_and_pass() {
    let folder = tempfile::tempdir().expect("a folder");
    let into = folder.path().display().to_string();
    for (language, memory) in [("c", "16"), ("js", "16"), ("python", "64")] {
        let name = format!("guard-{language}");
        let output = foreshock(&["new", "--lang", language, &name, "--into", &into]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let project = folder.path().join(&name);
        let output = foreshock(&["build", &project.display().to_string()]);
        let why = text(&output.stderr);
        if output.status.code() == Some(1) && (why.contains("something is missing") || why.contains("installing")) {
            skip(language, &why);
            continue;
        }
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let component = project.join(format!("{name}.wasm")).display().to_string();
        let recording = project.join("recording.csv").display().to_string();
        passes(&component, &["--input", &recording], memory);
        let events = replayed(&project);
        assert!(events.contains("foreshock.anomaly.detected") && events.contains(&name), "{events}");
    }
}

#[expect(clippy::print_stderr, reason = "who reads the log of a test must see what it left out")]
fn skip(language: &str, why: &str) {
    eprintln!("SKIPPED {language}: its compiler can't be had here: {}", why.trim());
}

/// Runs cargo in a project, into the folder that all guests share.
fn cargo(project: &Path, arguments: &[&str]) -> Output {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (key, _) in std::env::vars_os() {
        if key
            .to_str()
            .is_some_and(|key| key.starts_with("CARGO_") && key != "CARGO_HOME" && !key.starts_with("CARGO_NET_"))
        {
            cargo.env_remove(&key);
        }
    }
    cargo.current_dir(project).args(arguments).env("CARGO_TARGET_DIR", target()).output().expect("cargo starts")
}
