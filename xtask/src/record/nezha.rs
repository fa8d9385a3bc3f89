//! One day of the Nezha data set (TrainTicket on Kubernetes) as OTLP.
//!
//! Metrics come once a minute per pod, log lines and spans for the minutes around each injected fault. Times are exact.
//! What the data does not say, such as a span's status, is left out rather than guessed. Two things are inferred: a span's
//! kind, from the pod of its parent and its name; and a log record's severity and logger, from its line.

use super::{
    Options,
    otlp::{self, Item, Signal, text},
};
use crate::say;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// A column of a metrics file: its name there, the metric's name and unit, a quantile if it is one, and the factor.
type Column = (&'static str, &'static str, &'static str, Option<&'static str>, f64);

/// Names follow the semantic conventions and the kubelet receiver of the OpenTelemetry Collector where one fits; the rest
/// is under `trainticket`. Columns that are 0 throughout the data set (`PodSuccessRate(%)`, `SuccessRate(%)`) are left out.
const COLUMNS: [Column; 20] = [
    ("CpuUsage(m)", "k8s.pod.cpu.usage", "{cpu}", None, 1e-3),
    ("CpuUsageRate(%)", "k8s.pod.cpu_limit_utilization", "1", None, 1e-2),
    ("MemoryUsage(Mi)", "k8s.pod.memory.usage", "By", None, 1_048_576.0),
    ("MemoryUsageRate(%)", "k8s.pod.memory_limit_utilization", "1", None, 1e-2),
    ("SyscallRead", "trainticket.pod.syscall.read", "{call}", None, 1.0),
    ("SyscallWrite", "trainticket.pod.syscall.write", "{call}", None, 1.0),
    ("NetworkReceiveBytes", "trainticket.pod.network.receive", "By/s", None, 1.0),
    ("NetworkTransmitBytes", "trainticket.pod.network.transmit", "By/s", None, 1.0),
    ("PodClientLatencyP90(s)", "trainticket.pod.client.latency", "s", Some("0.9"), 1.0),
    ("PodClientLatencyP95(s)", "trainticket.pod.client.latency", "s", Some("0.95"), 1.0),
    ("PodClientLatencyP99(s)", "trainticket.pod.client.latency", "s", Some("0.99"), 1.0),
    ("PodServerLatencyP90(s)", "trainticket.pod.server.latency", "s", Some("0.9"), 1.0),
    ("PodServerLatencyP95(s)", "trainticket.pod.server.latency", "s", Some("0.95"), 1.0),
    ("PodServerLatencyP99(s)", "trainticket.pod.server.latency", "s", Some("0.99"), 1.0),
    ("PodWorkload(Ops)", "trainticket.pod.requests", "{request}/s", None, 1.0),
    ("NodeCpuUsageRate(%)", "k8s.node.cpu.utilization", "1", None, 1e-2),
    ("NodeMemoryUsageRate(%)", "k8s.node.memory.utilization", "1", None, 1e-2),
    ("LatencyP50(s)", "trainticket.pod.server.latency", "s", Some("0.5"), 1.0),
    ("LatencyP90(s)", "trainticket.pod.server.latency", "s", Some("0.9"), 1.0),
    ("LatencyP99(s)", "trainticket.pod.server.latency", "s", Some("0.99"), 1.0),
];

/// Part of the day and of the traces.
struct Part {
    start: u64,
    end: u64,
    traces: f64,
}

/// Reads a day's folder and writes one file.
pub(crate) fn convert(options: &Options) -> Result<()> {
    let part = Part {
        start: options.start.unwrap_or(0),
        end: options.end.unwrap_or(u64::MAX),
        traces: options.traces.unwrap_or(1.0),
    };
    let mut folders = vec![options.from.clone()];
    folders.extend(ordinary_minute(&options.from));
    let (mut points, mut records, mut spans) = (Vec::new(), Vec::new(), Vec::new());
    for path in files(&options.from.join("metric"))? {
        metrics(&path, &part, &mut points).with_context(|| path.display().to_string())?;
    }
    for folder in &folders {
        for path in files(&folder.join("log"))? {
            logs(&path, &part, &mut records).with_context(|| path.display().to_string())?;
        }
    }
    for folder in &folders {
        for path in files(&folder.join("trace"))? {
            traces(&path, &part, &mut spans).with_context(|| path.display().to_string())?;
        }
    }
    let counts = (points.len(), records.len(), spans.len());
    let items = BTreeMap::from([(Signal::Metrics, points), (Signal::Logs, records), (Signal::Traces, spans)]);
    let lines = otlp::write(&options.to, items)?;
    say(&format!(
        "{}: {lines} requests with {} metric points, {} log records, {} spans",
        options.to.display(),
        counts.0,
        counts.1,
        counts.2
    ));
    Ok(())
}

/// The data set keeps one minute of ordinary operation apart: `construct_data` beside `rca_data`.
fn ordinary_minute(day: &Path) -> Option<PathBuf> {
    let folder = day.parent()?.parent()?.join("construct_data").join(day.file_name()?);
    folder.is_dir().then_some(folder)
}

/// The CSV files of a folder, compressed or not, in order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("can't read {}", folder.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| path.to_string_lossy().ends_with(".csv") || path.to_string_lossy().ends_with(".csv.gz"));
    paths.sort();
    Ok(paths)
}

/// The rows of a file, each as a map from column to value.
fn rows(path: &Path) -> Result<impl Iterator<Item = Result<HashMap<String, String>>>> {
    let file = File::open(path)?;
    let reader: Box<dyn Read> = if path.extension().is_some_and(|extension| extension == "gz") {
        Box::new(flate2::read::GzDecoder::new(file))
    } else {
        Box::new(file)
    };
    Ok(csv::Reader::from_reader(reader).into_deserialize().map(|row| Ok(row?)))
}

fn field<'a>(row: &'a HashMap<String, String>, column: &str) -> Result<&'a str> {
    row.get(column).map(String::as_str).with_context(|| format!("no column {column}"))
}

fn nanos(row: &HashMap<String, String>, column: &str) -> Result<u64> {
    field(row, column)?.parse().with_context(|| format!("{column} is no time"))
}

/// The name of the service of a pod: the pod's name without the hashes of replica set and pod.
fn service(pod: &str) -> &str {
    pod.rsplitn(3, '-').last().unwrap_or(pod)
}

fn resource(pod: &str) -> Value {
    json!([
        text("service.name", service(pod)),
        text("service.namespace", "trainticket"),
        text("service.instance.id", pod),
        text("k8s.pod.name", pod),
    ])
}

fn metrics(path: &Path, part: &Part, items: &mut Vec<Item>) -> Result<()> {
    for row in rows(path)? {
        let row = row?;
        let time = nanos(&row, "TimeStamp")? * 1_000_000_000;
        if !(part.start..part.end).contains(&time) {
            continue;
        }
        let resource = match row.get("PodName") {
            Some(pod) => resource(pod),
            // The file of the front door has no pods.
            None => json!([text("service.name", "frontend"), text("service.namespace", "trainticket")]),
        };
        for (column, name, unit, quantile, factor) in COLUMNS {
            let Some(value) =
                row.get(column).and_then(|value| value.parse::<f64>().ok()).filter(|value| value.is_finite())
            else {
                continue;
            };
            let attributes: Vec<Value> = quantile.map(|quantile| text("quantile", quantile)).into_iter().collect();
            let point = json!({"timeUnixNano": time.to_string(), "asDouble": value * factor, "attributes": attributes});
            items.push(Item {
                time,
                resource: resource.clone(),
                scope: "nezha".to_owned(),
                body: json!({"name": name, "unit": unit, "gauge": {"dataPoints": [point]}}),
            });
        }
    }
    Ok(())
}

/// Whether a trace is kept: a share of them, chosen by the id, so that its spans and log records stay together.
fn kept(trace: &str, share: f64) -> bool {
    let Some(head) = trace.get(..8).and_then(|head| u32::from_str_radix(head, 16).ok()) else { return true };
    f64::from(head) < share * (f64::from(u32::MAX) + 1.0)
}

fn logs(path: &Path, part: &Part, items: &mut Vec<Item>) -> Result<()> {
    for row in rows(path)? {
        let row = row?;
        // As the container runtime wrote it: JSON with the line in `log` and its time in `time`.
        let written = field(&row, "Log")?;
        let parsed = serde_json::from_str::<Value>(written).unwrap_or_default();
        let time = match nanos(&row, "TimeUnixNano") {
            Ok(time) => time,
            // The columns of some rows hold garbage, taken from a time in the middle of the line.
            Err(error) => super::time(parsed["time"].as_str().ok_or(error)?)?,
        };
        let (trace, span) = (field(&row, "TraceID")?, field(&row, "SpanID")?);
        if !(part.start..part.end).contains(&time) || !kept(trace, part.traces) {
            continue;
        }
        let line = parsed["log"].as_str().unwrap_or(written).trim_end();
        let line = Line::read(line);
        let mut body = json!({
            "timeUnixNano": time.to_string(),
            "observedTimeUnixNano": time.to_string(),
            "body": {"stringValue": line.message},
        });
        if let Some((number, name)) = line.severity {
            body["severityNumber"] = json!(number);
            body["severityText"] = json!(name);
        }
        if trace.len() == 32 && span.len() == 16 {
            body["traceId"] = json!(trace);
            body["spanId"] = json!(span);
        }
        let resource = resource(field(&row, "PodName")?);
        items.push(Item { time, resource, scope: line.logger.to_owned(), body });
    }
    Ok(())
}

/// A line of TrainTicket's log: time, level, logger with line number, the ids of trace and span, and the message.
struct Line<'a> {
    severity: Option<(u32, &'a str)>,
    logger: &'a str,
    message: &'a str,
}

impl<'a> Line<'a> {
    /// Takes apart what has that form; anything else is a message without severity.
    fn read(line: &'a str) -> Self {
        Self::parts(line).unwrap_or(Self { severity: None, logger: "", message: line })
    }

    fn parts(line: &'a str) -> Option<Self> {
        let (_time, rest) = line.split_once(' ')?;
        let (level, rest) = rest.trim_start().split_once(' ')?;
        let number = match level {
            "TRACE" => 1,
            "DEBUG" => 5,
            "INFO" => 9,
            "WARN" => 13,
            "ERROR" => 17,
            "FATAL" => 21,
            _ => return None,
        };
        let (logger, rest) = rest.trim_start().split_once(' ')?;
        let (_, rest) = rest.split_once("SpanID: ")?;
        let (_span, message) = rest.split_once(' ')?;
        // Without the line number, which would make a scope of each statement.
        let logger = logger.split('#').next().unwrap_or(logger);
        Some(Self { severity: Some((number, level)), logger, message: message.trim() })
    }
}

fn traces(path: &Path, part: &Part, items: &mut Vec<Item>) -> Result<()> {
    let rows = rows(path)?.collect::<Result<Vec<_>>>()?;
    let mut pods: HashMap<(&str, &str), &str> = HashMap::new();
    for row in &rows {
        pods.insert((field(row, "TraceID")?, field(row, "SpanID")?), field(row, "PodName")?);
    }
    for row in &rows {
        let (start, end) = (nanos(row, "StartTimeUnixNano")?, nanos(row, "EndTimeUnixNano")?);
        let (trace, id, parent) = (field(row, "TraceID")?, field(row, "SpanID")?, field(row, "ParentID")?);
        if !(part.start..part.end).contains(&end) || !kept(trace, part.traces) {
            continue;
        }
        if trace.len() != 32 || id.len() != 16 {
            bail!("span {id} of trace {trace}: ids of the wrong length");
        }
        let (pod, name) = (field(row, "PodName")?, field(row, "OperationName")?);
        let parent_pod = pods.get(&(trace, parent)).copied();
        let (kind, attributes) = kind(name, pod, parent_pod);
        let mut body = json!({
            "traceId": trace,
            "spanId": id,
            "name": name,
            "kind": kind,
            "startTimeUnixNano": start.to_string(),
            "endTimeUnixNano": end.to_string(),
            "attributes": attributes,
        });
        if parent != "root" {
            body["parentSpanId"] = json!(parent);
        }
        items.push(Item { time: end, resource: resource(pod), scope: "nezha".to_owned(), body });
    }
    Ok(())
}

/// OTLP's number of a span's kind, and the attributes that its name gives away.
///
/// A span whose parent runs in another pod answers a call, and so does a route without a parent; `HTTP GET` and the like make one; so does a
/// statement on a table of the schema `ts`, as the JDBC driver's instrumentation names it. `send` and `process` hand over
/// and take messages. All else is work within the service.
fn kind(name: &str, pod: &str, parent_pod: Option<&str>) -> (u32, Vec<Value>) {
    // The numbers of `SpanKind` in opentelemetry/proto/trace/v1/trace.proto.
    const INTERNAL: u32 = 1;
    const SERVER: u32 = 2;
    const CLIENT: u32 = 3;
    const PRODUCER: u32 = 4;
    const CONSUMER: u32 = 5;
    if let Some(queue) = name.strip_suffix(" process") {
        return (CONSUMER, vec![text("messaging.system", "rabbitmq"), text("messaging.destination.name", queue)]);
    }
    if name.ends_with(" send") {
        return (PRODUCER, vec![text("messaging.system", "rabbitmq")]);
    }
    if let Some(method) = name.strip_prefix("HTTP ") {
        return (CLIENT, vec![text("http.request.method", method)]);
    }
    if let Some((verb, table)) = name.split_once(" ts.") {
        let attributes = vec![
            text("db.system.name", "mysql"),
            text("db.namespace", "ts"),
            text("db.operation.name", verb),
            text("db.collection.name", table),
        ];
        return (CLIENT, attributes);
    }
    // A parent that the file lacks says nothing, but a route is a route.
    let entry = parent_pod.map_or(name.starts_with('/'), |parent| parent != pod);
    if entry { (SERVER, vec![text("http.route", name)]) } else { (INTERNAL, Vec::new()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Services are what detectors learn, and pods come and go: the hashes must go, and nothing else.
    #[test]
    fn the_service_is_the_pod_without_its_hashes() {
        assert_eq!(service("ts-order-other-service-6cdbf9b4cc-swvb5"), "ts-order-other-service");
        assert_eq!(service("ts-ui-dashboard-5477b965f-lwprp"), "ts-ui-dashboard");
        assert_eq!(service("frontend"), "frontend");
    }

    /// Severity and message come from one line; a line of another form must be kept whole, not lost.
    #[test]
    fn lines_are_taken_apart() {
        let line = "19:39:03.272 WARN  i.s.InsidePaymentServiceImpl#71 TraceID: 8a11 SpanID: 59a2 [pay][Order status Not allowed]";
        let read = Line::read(line);
        assert_eq!(read.severity, Some((13, "WARN")));
        assert_eq!((read.logger, read.message), ("i.s.InsidePaymentServiceImpl", "[pay][Order status Not allowed]"));
        let read = Line::read("Exception in thread main");
        assert_eq!((read.severity, read.message), (None, "Exception in thread main"));
    }

    /// The service graph is made of server and client spans; a wrong kind would cut or invent an edge.
    #[test]
    fn kinds_follow_the_parent_and_the_name() {
        let kind = |name, parent| kind(name, "b-1-x", parent).0;
        assert_eq!(kind("/api/v1/orderservice/order/tickets", Some("a-1-x")), 2);
        assert_eq!(kind("/*", None), 2);
        assert_eq!(kind("OrderRepository.findById", Some("b-1-x")), 1);
        assert_eq!(kind("HTTP POST", Some("b-1-x")), 3);
        assert_eq!(kind("SELECT ts.orders", Some("b-1-x")), 3);
        assert_eq!(kind("SELECT Order", Some("b-1-x")), 1);
        assert_eq!(kind("<default> send", Some("b-1-x")), 4);
        assert_eq!(kind("food_delivery process", Some("a-1-x")), 5);
    }
}
