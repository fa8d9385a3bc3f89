//! Recordings: what the Collector's file exporter writes is read back, in the order of time, and what is broken is named.

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use foreshock_otlp::{
    Signal, json,
    read::{self, OpenError, Problem},
};
use std::{fs, io::Write, path::Path};

/// One log record at this time, as OTLP/JSON on one line.
fn log(time: u64, text: &str) -> String {
    format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"timeUnixNano":"{time}","body":{{"stringValue":"{text}"}}}}]}}]}}]}}"#
    )
}

fn span(time: u64) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"name":"s","endTimeUnixNano":"{time}"}}]}}]}}]}}"#)
}

fn protobuf(signal: Signal, json: &str) -> Bytes {
    json::to_protobuf(signal, json.as_bytes()).expect("valid")
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    fs::write(folder.join(name), content).expect("a file in a temporary folder");
}

/// What a recording gives: requests rendered as JSON, errors as place and cause, all without the folder.
fn all(path: &Path) -> Vec<String> {
    let tell = |item: Result<read::Record, read::Unreadable>| match item {
        Ok(record) => json::to_json(record.signal, &record.request),
        Err(error) => {
            let name = error.place.path.file_name().expect("a name").to_string_lossy().into_owned();
            format!("{name}:{}: {}", error.place.line, error.problem)
        }
    };
    read::open(path).expect("a recording").map(tell).collect()
}

/// JSON lines, all signals mixed, as they come from several pipelines into one file; broken lines cost themselves only.
#[test]
fn reads_json_lines_past_broken_ones() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = [
        log(1, "a"),
        String::new(),
        r#"{"resourceLogs":[{"scopeLogs"#.into(),
        log(2, "b } \\\" {"),
        "garbage".into(),
        r#"{"other":[]}"#.into(),
        span(3),
    ];
    write(folder.path(), "x.jsonl", lines.join("\n"));
    let path = folder.path().join("x.jsonl");
    assert_eq!(
        all(&path),
        [
            log(1, "a"),
            "x.jsonl:3: not OTLP/JSON".into(),
            log(2, "b } \\\" {"),
            "x.jsonl:5: not OTLP/JSON".into(),
            "x.jsonl:6: no member that tells the signal, such as `resourceLogs`".into(),
            span(3),
        ]
    );
    let mut recording = read::open(&path).expect("a recording");
    assert_eq!(recording.by_ref().filter(Result::is_err).count(), 3);
    assert_eq!(recording.unreadable(), 3);
}

/// A document that a person laid out over several lines is one request.
#[test]
fn reads_json_over_several_lines() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pretty = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        serde_json::to_string_pretty(&value).expect("JSON")
    };
    write(folder.path(), "x.json", format!("{}\n{}\n{}\n", pretty(&log(1, "a")), log(2, "b"), pretty(&span(3))));
    let records: Vec<_> = read::open(folder.path()).expect("a recording").map(|item| item.expect("sound")).collect();
    let lines: Vec<_> = records.iter().map(|record| (record.signal, record.place.line)).collect();
    assert_eq!(lines, [(Signal::Logs, 1), (Signal::Logs, 19), (Signal::Traces, 20)]);
}

/// The file exporter's protobuf, compressed or not, and single messages; the signal by the name or by the content.
#[test]
fn reads_protobuf() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let framed = |messages: &[Bytes]| {
        let mut out = Vec::new();
        for message in messages {
            out.extend_from_slice(&(message.len() as u32).to_be_bytes());
            out.extend_from_slice(message);
        }
        out
    };
    let logs = [protobuf(Signal::Logs, &log(5, "a")), protobuf(Signal::Logs, &log(7, "b"))];
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&framed(&logs)).expect("memory");
    write(folder.path(), "my-logs.pb.gz", gzip.finish().expect("memory"));
    let zstd = zstd::encode_all(&protobuf(Signal::Traces, &span(6))[..], 1).expect("memory");
    write(folder.path(), "one.binpb.zst", zstd);
    assert_eq!(all(folder.path()), [log(5, "a"), span(6), log(7, "b")]);

    let mut broken = framed(&logs[..1]);
    broken.extend_from_slice(&framed(&[Bytes::from_static(b"\xff\xff")]));
    broken.extend_from_slice(&framed(&logs[1..]));
    broken.extend_from_slice(&[0, 0, 0, 9, 1]);
    write(folder.path(), "broken-logs.bin", broken);
    let problem = "not an export request in protobuf";
    assert_eq!(
        all(&folder.path().join("broken-logs.bin")),
        [
            log(5, "a"),
            format!("broken-logs.bin:2: {problem}"),
            log(7, "b"),
            "broken-logs.bin:4: ends within a request".into(),
        ]
    );
    // A resource alone could be any signal.
    write(folder.path(), "any.pb", b"\x0a\x02\x0a\x00");
    let mut recording = read::open(&folder.path().join("any.pb")).expect("a recording");
    assert!(matches!(recording.next(), Some(Err(error)) if matches!(error.problem, Problem::AmbiguousSignal)));
}

/// Files that were written side by side are replayed in the order in which things happened, whatever the folder's order.
#[test]
fn merges_files_by_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("b")).expect("a folder");
    let lines = |list: &[(u64, &str)]| list.iter().map(|(time, text)| log(*time, text) + "\n").collect::<String>();
    write(folder.path(), "c.jsonl", lines(&[(1, "c1"), (5, "c5"), (4, "c4"), (9, "c9")]));
    write(&folder.path().join("b"), "b.jsonl", lines(&[(2, "b2"), (5, "b5"), (0, "b0"), (6, "b6")]));
    write(folder.path(), "a.jsonl", lines(&[(5, "a5")]));
    write(folder.path(), "README.md", "not a recording");
    let order: Vec<_> = all(folder.path())
        .iter()
        .filter_map(|line| Some(line.split_once("stringValue\":\"")?.1.split_once('"')?.0.to_owned()))
        .collect();
    assert_eq!(order, ["c1", "b2", "a5", "b5", "b0", "c5", "c4", "b6", "c9"]);
}

/// A path that holds no recording is an error that says so, not an empty replay.
#[test]
fn refuses_what_is_not_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    assert!(matches!(read::open(folder.path()).map(drop), Err(OpenError::Empty { .. })));
    assert!(matches!(read::open(&folder.path().join("no.json")).map(drop), Err(OpenError::Io { .. })));
    write(folder.path(), "broken.json.gz", b"\x1f\x8b\x08\x00not gzip");
    let broken = folder.path().join("broken.json.gz");
    let items: Vec<_> = match read::open(&broken) {
        Ok(recording) => recording.map(|item| item.is_err()).collect(),
        Err(OpenError::Io { .. }) => vec![true],
        Err(other) => panic!("{other}"),
    };
    assert_eq!(items, [true]);
}
