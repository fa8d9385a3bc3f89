//! The command line as a user sees it: exit codes and output of the real program.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output},
};

fn foreshock(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_foreshock"))
        .args(arguments)
        .envs(environment.iter().copied())
        .env_remove("FORESHOCK_LOG")
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn write(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::File::create(&path).and_then(|mut file| file.write_all(content.as_bytes())).expect("a file");
    path.display().to_string()
}

/// Scripts rely on the exit codes: 0 for a good file, 2 for arguments or a configuration that can't be used.
#[test]
fn exit_codes() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = write(folder.path(), "good.yaml", foreshock::replay::DEFAULT_CONFIG);
    let output = foreshock(&["validate", "--config", &good], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("configuration is valid"), "{}", text(&output.stdout));

    let bad = write(folder.path(), "bad.yaml", &foreshock::replay::DEFAULT_CONFIG.replace("endpoint:", "endpiont:"));
    let output = foreshock(&["validate", "--config", &bad], &[]);
    assert_eq!(output.status.code(), Some(2));
    let problems = text(&output.stderr);
    assert!(problems.matches("did you mean `endpoint`?").count() == 3, "{problems}");
    assert_eq!(foreshock(&["run", "--config", &bad], &[]).status.code(), Some(2));
    assert_eq!(foreshock(&["run", "--config", "/does/not/exist"], &[]).status.code(), Some(2));
    assert_eq!(foreshock(&["run"], &[]).status.code(), Some(2));
    assert_eq!(foreshock(&["nonsense"], &[]).status.code(), Some(2));
    assert_eq!(foreshock(&["replay", "--input", "/does/not/exist"], &[]).status.code(), Some(2));
}

/// The schema of a detector's own configuration is held against the file, at the line of the key.
#[test]
fn a_detectors_schema_is_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = foreshock::replay::DEFAULT_CONFIG.replace(
        "module: builtin:isolation-forest",
        "module: builtin:isolation-forest\n    config: { contaminatoin: 0.1 }",
    );
    let path = write(folder.path(), "bad.yaml", &config);
    let output = foreshock(&["validate", "--config", &path], &[]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    let line = config.lines().position(|line| line.contains("contaminatoin")).expect("the line") + 1;
    let problems = text(&output.stderr);
    assert!(problems.contains(&format!("bad.yaml:{line}:")) && problems.contains("contaminatoin"), "{problems}");
}

/// `templates` numbers lines from 1, and lines that differ only in what varies share a template.
#[test]
fn templates() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows: String =
        (0..50).map(|i| format!("{i},connection to 10.0.0.{i} lost after {i} ms\n{i},cache is warm\n")).collect();
    let path = write(folder.path(), "log.csv", &format!("id,Content\n{rows}"));
    let output = foreshock(&["templates", "--input", &path], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((lines.len(), lines[0]), (101, "line,template_id,template"));
    let id = |line: &str| line.split(',').nth(1).map(str::to_owned);
    assert!(lines[1].starts_with("1,") && lines[1].contains("<*>"), "{}", lines[1]);
    assert!(lines.iter().skip(1).step_by(2).all(|line| id(line) == id(lines[1])));
    assert!(lines.iter().skip(2).step_by(2).all(|line| id(line) == id(lines[2])));
    assert_ne!(id(lines[1]), id(lines[2]));
    assert_eq!(foreshock(&["templates", "--input", &path, "--column", "x"], &[]).status.code(), Some(2));
}

/// A command that keeps no state leaves nothing in the folder where somebody called it; what it compiled lies in the user's cache, for
/// nobody else to enter.
#[test]
fn commands_without_state_leave_nothing_behind() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let (here, cache) = (folder.path().join("here"), folder.path().join("cache"));
    std::fs::create_dir(&here).expect("a folder");
    let config = write(folder.path(), "foreshock.yaml", foreshock::replay::DEFAULT_CONFIG);
    let rows: String =
        (0..40).map(|row| format!("2026-01-05T00:{:02}:{:02}Z,{}\n", row / 6, row % 6 * 10, row % 7)).collect();
    let data = write(folder.path(), "load.csv", &format!("timestamp,value\n{rows}"));
    let log = write(folder.path(), "log.csv", "Content\ncache is warm\n");
    for arguments in [
        &["validate", "--config", &config][..],
        &["replay", "--input", &data],
        &["backtest", "csv", "--data", &data],
        &["templates", "--input", &log],
        &["detector", "check", "builtin:baseline"],
        &["detector", "run", "builtin:baseline", "--input", &data],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_foreshock"))
            .args(arguments)
            .current_dir(&here)
            .env("XDG_CACHE_HOME", &cache)
            .env_remove("STATE_DIRECTORY")
            .output()
            .expect("the program starts");
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        let left: Vec<_> = std::fs::read_dir(&here).expect("a folder").collect();
        assert!(left.is_empty(), "{arguments:?} left {left:?}");
    }
    for code in ["foreshock/code", "foreshock/detector-code"] {
        let code = std::fs::metadata(cache.join(code)).expect("the cache is used");
        assert_eq!(code.permissions().mode() & 0o777, 0o700);
    }
}

/// A schema is a foreign text too: one that refers to itself, to a file or to a server, or whose patterns explode, is refused or of no
/// effect, but ends no program that only wanted to check a configuration against it.
#[test]
fn no_schema_of_a_detector_ends_the_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let module = folder.path().join("guest.wasm");
    for schema in [
        r##"{"$ref":"#"}"##,
        r##"{"allOf":[{"$ref":"#"}]}"##,
        r##"{"not":{"$ref":"#"}}"##,
        r##"{"$defs":{"x":{"$ref":"#/$defs/y"},"y":{"$ref":"#/$defs/x"}},"$ref":"#/$defs/x"}"##,
        r#"{"$ref":"http://127.0.0.1:1/schema.json"}"#,
        r#"{"$ref":"file:///etc/passwd"}"#,
        r#"{"$schema":"http://127.0.0.1:1/schema.json"}"#,
        r#"{"properties":{"a":{"pattern":"("}}}"#,
        r#"{"properties":{"a":{"pattern":"(a+)+$"}}}"#,
        r#"{"properties":{"a":{"pattern":"((a{1,1000}){1,1000}){1,1000}"}}}"#,
        r#"{"type":12}"#,
        r#"{"properties":{"a":{"minLength":-1,"multipleOf":1e-300}}}"#,
        "false",
    ] {
        std::fs::write(&module, foreshock_guests::answers::schema(schema)).expect("a file");
        let text = format!(
            "receivers: {{otlp: {{protocols: {{http: {{endpoint: \"127.0.0.1:0\"}}}}}}}}
exporters: {{debug: {{}}}}
detectors: {{guest: {{module: \"{}\", config: {{a: \"{}!\"}}}}}}
service: {{pipelines: {{metrics: {{receivers: [otlp], detectors: [guest], exporters: [debug]}}}}}}
",
            module.display(),
            "a".repeat(40)
        );
        let config = write(folder.path(), "foreshock.yaml", &text);
        let output = foreshock(&["validate", "--config", &config], &[]);
        assert!(
            matches!(output.status.code(), Some(0 | 2)),
            "{schema}: {:?} {}",
            output.status,
            self::text(&output.stderr)
        );
    }
}
