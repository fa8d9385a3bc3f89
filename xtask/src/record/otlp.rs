//! OTLP as JSON lines: each line is one export request of one signal, in order of time.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

/// Items whose times fall into the same interval of this length go into one request.
const BATCH_NANOS: u64 = 10_000_000_000;

/// The signals, in the order in which requests of the same interval are written.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Signal {
    Metrics,
    Logs,
    Traces,
}

/// One metric point, log record or span. Metric points of the same metric are put together.
#[derive(Debug)]
pub(crate) struct Item {
    /// Nanoseconds since the epoch; decides about the order.
    pub(crate) time: u64,
    /// Attributes of its resource as OTLP JSON; equal ones are sent once per request.
    pub(crate) resource: Value,
    /// Name of its scope.
    pub(crate) scope: String,
    /// A whole metric with one point, a log record, or a span.
    pub(crate) body: Value,
}

/// An attribute that is text, as OTLP JSON.
pub(crate) fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// Writes `items` of one or more signals as lines, sorted by time; compressed with gzip if `path` ends in `.gz`.
/// Answers the number of lines.
pub(crate) fn write(path: &Path, items: BTreeMap<Signal, Vec<Item>>) -> Result<usize> {
    let mut batches: BTreeMap<(u64, Signal), Vec<Item>> = BTreeMap::new();
    for (signal, items) in items {
        for item in items {
            batches.entry((item.time / BATCH_NANOS, signal)).or_default().push(item);
        }
    }
    let context = || format!("can't write {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(context)?;
    }
    let file = BufWriter::new(File::create(path).with_context(context)?);
    let mut writer: Box<dyn Write> = if path.extension().is_some_and(|extension| extension == "gz") {
        // No name and no time in the header, so that the same input gives the same file.
        Box::new(flate2::write::GzEncoder::new(file, flate2::Compression::best()))
    } else {
        Box::new(file)
    };
    let lines = batches.len();
    for ((_, signal), mut batch) in batches {
        batch.sort_by_key(|item| item.time);
        serde_json::to_writer(&mut writer, &request(signal, batch)).with_context(context)?;
        writer.write_all(b"\n").with_context(context)?;
    }
    writer.flush().with_context(context)?;
    Ok(lines)
}

/// One export request.
fn request(signal: Signal, items: Vec<Item>) -> Value {
    let (resources, scopes, bodies) = match signal {
        Signal::Metrics => ("resourceMetrics", "scopeMetrics", "metrics"),
        Signal::Logs => ("resourceLogs", "scopeLogs", "logRecords"),
        Signal::Traces => ("resourceSpans", "scopeSpans", "spans"),
    };
    // Keyed by their text, so that the order of resources does not depend on anything but the data.
    let mut grouped: BTreeMap<String, (Value, BTreeMap<String, Vec<Value>>)> = BTreeMap::new();
    for item in items {
        let group = grouped.entry(item.resource.to_string()).or_insert_with(|| (item.resource, BTreeMap::new()));
        group.1.entry(item.scope).or_default().push(item.body);
    }
    let list: Vec<Value> = grouped
        .into_values()
        .map(|(attributes, scoped)| {
            let list: Vec<Value> =
                scoped.into_iter().map(|(name, items)| json!({"scope": {"name": name}, bodies: items})).collect();
            json!({"resource": {"attributes": attributes}, scopes: list})
        })
        .collect();
    json!({resources: list})
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// A replay reads lines one after the other as time goes on: they must come in order of time, with each item once,
    /// and equal resources together.
    #[test]
    fn lines_are_in_order_and_complete() {
        let item = |seconds: u64, service: &str, body: u64| Item {
            time: seconds * 1_000_000_000,
            resource: json!([text("service.name", service)]),
            scope: "test".to_owned(),
            body: json!(body),
        };
        let folder = std::env::temp_dir().join(format!("foreshock-record-{}", std::process::id()));
        let path = folder.join("lines.jsonl.gz");
        let spans = vec![item(25, "b", 4), item(3, "b", 1), item(1, "a", 2), item(2, "b", 3)];
        let logs = vec![item(24, "a", 9)];
        let lines = write(&path, BTreeMap::from([(Signal::Traces, spans), (Signal::Logs, logs)])).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        assert_eq!(lines, 3);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["resourceSpans"][0]["scopeSpans"][0]["spans"], json!([2]));
        assert_eq!(lines[0]["resourceSpans"][1]["scopeSpans"][0]["spans"], json!([3, 1]));
        assert_eq!(lines[1]["resourceLogs"][0]["scopeLogs"][0]["logRecords"], json!([9]));
        assert_eq!(lines[2]["resourceSpans"][0]["scopeSpans"][0]["spans"], json!([4]));
    }
}
