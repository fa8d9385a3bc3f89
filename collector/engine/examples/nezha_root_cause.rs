//! How often the correlator names the faulty service: replays the faults of a Nezha data set (TrainTicket, Yu et al. 2023).
//!
//! `cargo run --release -p foreshock-engine --example nezha_root_cause -- DIR [LATE_SECONDS]`, where DIR holds `construct_data`
//! and `rca_data` with gzipped CSV files. Each fault gets a fresh correlator: the day's fault-free minute, moved to four minutes
//! before the fault; then the three minutes of the fault; and anomalies of latency and errors on the services that users call,
//! with which any detector would have begun. Gauges beyond their third quartile by three interquartile ranges become
//! anomalies as well. LATE_SECONDS tells the correlator a start that is late by so much.

use flate2::read::GzDecoder;
use foreshock_engine::{
    UnixNanos,
    event::{Anomaly, AnomalyChange, AnomalyId},
    facts::{GoldenSignals, LogExcerpt, SpanFact, SpanFactKind, WindowFacts},
    incident::{Correlator, IncidentSettings},
    shard::ShardOutput,
    verdict::{Detector, Severity},
    window::{Series, SeriesKind, ServiceKey},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

const SECOND: u64 = 1_000_000_000;
const STEP: u64 = 15 * SECOND;

/// A span with the service it belongs to.
type Spans = Vec<(String, SpanFact)>;
/// Time, service, template, whether it is an error.
type Logs = Vec<(UnixNanos, String, String, bool)>;
/// Service, metric, time in seconds, value.
type Gauges = BTreeMap<(String, &'static str), Vec<(u64, f64)>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("give the folder of the data set")?);
    let late: u64 = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let mut out = std::io::stdout().lock();
    let (mut cases, mut first, mut third) = (0, 0, 0);
    for day in entries(&folder.join("rca_data"))? {
        let name = day.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let normal = folder.join("construct_data").join(&name);
        let normal_spans = entries(&normal.join("trace"))?;
        let normal_logs = entries(&normal.join("log"))?;
        let gauges = read_gauges(&day.join("metric"))?;
        let faults: serde_json::Value =
            serde_json::from_reader(File::open(day.join(format!("{name}-fault_list.json")))?)?;
        for fault in
            faults.as_object().into_iter().flat_map(|hours| hours.values()).filter_map(|v| v.as_array()).flatten()
        {
            let text = |key: &str| fault[key].as_str().unwrap_or_default();
            let start = seconds_of(text("inject_time"))?;
            let minute = start - start % 60;
            let files = |kind: &str| (0..3).map(|i| (kind.to_owned(), minute + 60 * i)).collect::<Vec<_>>();
            let path = |(kind, minute): (String, u64)| {
                day.join(&kind).join(format!("{:02}_{:02}_{kind}.csv.gz", minute / 3_600 % 24, minute / 60 % 60))
            };
            let traces: Vec<PathBuf> = files("trace").into_iter().map(path).collect();
            let logs: Vec<PathBuf> = files("log").into_iter().map(path).collect();
            let causes = replay(&Fault {
                normal: (read_spans(&normal_spans)?, read_logs(&normal_logs)?),
                faulty: (read_spans(&traces)?, read_logs(&logs)?),
                gauges: &gauges,
                minute,
                told: start + late,
            });
            let faulty = service_of(text("inject_pod"));
            let place = causes.iter().position(|(service, ..)| *service == faulty);
            cases += 1;
            first += usize::from(place == Some(0));
            third += usize::from(place.is_some_and(|place| place < 3));
            let place = place.map_or("-".to_owned(), |place| (place + 1).to_string());
            writeln!(out, "{} {:<16} {faulty:<28} place {place}", text("inject_time"), text("inject_type"))?;
            for (service, score, reason) in causes.iter().take(2) {
                writeln!(out, "    {score:.2} {service}: {reason}")?;
            }
        }
    }
    let share = |count: usize| count as f64 / f64::from(u32::try_from(cases.max(1)).unwrap_or(u32::MAX));
    writeln!(out, "{cases} faults, told {late} s late: top-1 {:.2}, top-3 {:.2}", share(first), share(third))?;
    Ok(())
}

/// One fault and what was recorded around it.
struct Fault<'a> {
    normal: (Spans, Logs),
    faulty: (Spans, Logs),
    gauges: &'a Gauges,
    /// The minute of the fault, in seconds.
    minute: u64,
    /// The start that the correlator is told, in seconds.
    told: u64,
}

/// Service, score and reason of each candidate, the first first.
fn replay(fault: &Fault<'_>) -> Vec<(String, f64, String)> {
    let (normal_spans, normal_logs) = &fault.normal;
    let normal_minute =
        normal_spans.iter().map(|(_, span)| span.start.0).min().unwrap_or(0) / (60 * SECOND) * 60 * SECOND;
    let moved = |time: UnixNanos| UnixNanos((time.0 + (fault.minute - 240) * SECOND).saturating_sub(normal_minute));
    let mut spans: Spans = normal_spans.clone();
    spans.iter_mut().for_each(|(_, span)| span.start = moved(span.start));
    spans.extend(fault.faulty.0.iter().cloned());
    let mut logs: Logs = normal_logs.clone();
    logs.iter_mut().for_each(|log| log.0 = moved(log.0));
    logs.extend(fault.faulty.1.iter().cloned());

    let mut correlator = Correlator::new(IncidentSettings::default());
    let (begin, end) = (UnixNanos((fault.minute - 240) * SECOND), UnixNanos((fault.minute + 330) * SECOND));
    let mut windows: BTreeMap<(u64, &str), WindowFacts> = BTreeMap::new();
    let services: BTreeSet<&str> =
        spans.iter().map(|(service, _)| service.as_str()).chain(logs.iter().map(|log| log.1.as_str())).collect();
    let mut at = begin;
    while at < end {
        for service in &services {
            windows.insert((at.0 / STEP, service), empty(service, at));
        }
        at = at.plus(STEP);
    }
    for (service, span) in &spans {
        if let Some(window) = windows.get_mut(&(span.start.plus(span.duration_nanos).0 / STEP, service.as_str())) {
            window.signals.calls += u64::from(span.kind == SpanFactKind::Entry);
            window.spans.push(span.clone());
        }
    }
    let mut counts: BTreeMap<(u64, &str, &str, bool), u64> = BTreeMap::new();
    for (time, service, template, error) in &logs {
        *counts.entry((time.0 / STEP, service, template, *error)).or_default() += 1;
    }
    for ((index, service, template, error), count) in counts {
        let Some(window) = windows.get_mut(&(index, service)) else { continue };
        window.signals.error_log_records += if error { count } else { 0 };
        window.logs.push(LogExcerpt {
            template: xxhash_rust::xxh3::xxh3_64(template.as_bytes()),
            text: template.into(),
            severity_number: if error { 17 } else { 9 },
            count,
            samples: Vec::new(),
        });
    }
    let told = UnixNanos(fault.told * SECOND).floor_to(STEP);
    let entries: BTreeSet<&str> = fault
        .faulty
        .0
        .iter()
        .filter(|(_, span)| span.parent_span_id == [0; 8])
        .map(|(service, _)| service.as_str())
        .collect();
    let mut anomalies: Vec<Anomaly> = Vec::new();
    for service in entries {
        anomalies.push(anomaly(service, "traces.span.metrics.duration", SeriesKind::SpanDuration, told, [None; 3]));
        anomalies.push(anomaly(service, "traces.span.metrics.errors", SeriesKind::SpanErrors, told, [None; 3]));
    }
    anomalies.extend(gauge_anomalies(fault, told));
    let mut at = begin;
    while at < end {
        let mut outputs: Vec<ShardOutput> = Vec::new();
        for (_, mut facts) in windows.extract_if(.., |(index, _), _| *index == at.0 / STEP) {
            facts.spans.sort_by_key(|span| (span.trace_id, span.span_id));
            outputs.push(ShardOutput::Window(Box::new(facts)));
        }
        at = at.plus(STEP);
        if at == told.plus(2 * STEP) {
            outputs.extend(anomalies.drain(..).map(|anomaly| ShardOutput::Anomaly {
                change: AnomalyChange::Detected,
                time: at,
                anomaly: Arc::new(anomaly),
            }));
        }
        correlator.handle_epoch(at, outputs);
    }
    let incident = correlator.open_incidents().into_iter().max_by_key(|incident| incident.services.len());
    let causes = incident.map(|incident| incident.root_causes).unwrap_or_default();
    causes.into_iter().map(|cause| (cause.service.to_string(), cause.score, cause.summary)).collect()
}

fn empty(service: &str, start: UnixNanos) -> WindowFacts {
    WindowFacts {
        service: ServiceKey::new("", service),
        start,
        end: start.plus(STEP),
        signals: GoldenSignals::default(),
        versions: Vec::new(),
        logs: Vec::new(),
        spans: Vec::new(),
        span_sampling: 1.0,
    }
}

fn anomaly(service: &str, name: &str, kind: SeriesKind, start: UnixNanos, values: [Option<f64>; 3]) -> Anomaly {
    let series = Series { id: 1, name: name.into(), unit: "%".into(), kind, attributes: Vec::new() };
    Anomaly {
        id: AnomalyId(xxhash_rust::xxh3::xxh3_64(format!("{service} {name}").as_bytes())),
        service: ServiceKey::new("", service),
        resource: Arc::default(),
        series: Arc::new(series),
        further_series: Vec::new(),
        detector: Arc::new(Detector { name: "example".into(), version: "0.1.0".into(), digest: "".into() }),
        kind: "level_shift".into(),
        severity: Severity::Error,
        surprise: 5.0,
        observed: values[0],
        expected: values[1],
        lower: None,
        upper: values[2],
        forecast: None,
        start,
        last: start.plus(2 * STEP),
        every_nanos: 60_000_000_000,
        unknown_volume: false,
        end: None,
        sentence: String::new(),
        evidence: Vec::new(),
    }
}

/// CPU and memory far above the hour before.
fn gauge_anomalies(fault: &Fault<'_>, told: UnixNanos) -> Vec<Anomaly> {
    let mut found = Vec::new();
    for ((service, metric), points) in fault.gauges {
        let within = |from: u64, to: u64| {
            let mut values: Vec<f64> =
                points.iter().filter(|(time, _)| (from..to).contains(time)).map(|(_, value)| *value).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let before = within(fault.told.saturating_sub(3_600), fault.told - 120);
        let after = within(fault.told, fault.told + 180);
        if before.len() < 5 || after.is_empty() {
            continue;
        }
        let quartile = |part: usize| before[(before.len() - 1) * part / 4];
        let range = (quartile(3) - quartile(1)).max(0.05 * quartile(2)).max(2.0);
        let observed = after[after.len() / 2];
        if observed > quartile(3) + 3.0 * range {
            // Bounds are three deviations from the middle, and the interquartile range is 1.35 of them.
            let values = [Some(observed), Some(quartile(2)), Some(quartile(2) + range / 0.45)];
            found.push(anomaly(service, metric, SeriesKind::Gauge, told, values));
        }
    }
    found
}

fn entries(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The rows of a gzipped CSV file by column name; none if there is no such file.
fn rows(path: &Path) -> Outcome<Vec<BTreeMap<String, String>>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(GzDecoder::new(File::open(path)?));
    let headers = reader.headers()?.clone();
    let named =
        |record: csv::StringRecord| headers.iter().map(str::to_owned).zip(record.iter().map(str::to_owned)).collect();
    Ok(reader.records().filter_map(Result::ok).map(named).collect())
}

/// `ts-order-service` of the pod `ts-order-service-5b67c48447-fj8b7`.
fn service_of(pod: &str) -> String {
    let mut parts: Vec<&str> = pod.split('-').collect();
    if parts.len() > 2 {
        parts.truncate(parts.len() - 2);
    }
    parts.join("-")
}

/// Spans with their sides of a call told by their place: what enters a service is an entry, what leads to another is an exit.
fn read_spans(paths: &[PathBuf]) -> Outcome<Spans> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(rows(path)?);
    }
    let text = |row: &BTreeMap<String, String>, key: &str| row.get(key).cloned().unwrap_or_default();
    let service: BTreeMap<String, String> =
        all.iter().map(|row| (text(row, "SpanID"), service_of(&text(row, "PodName")))).collect();
    let leaves: BTreeSet<String> = all
        .iter()
        .filter(|row| {
            service.get(&text(row, "ParentID")).is_some_and(|parent| *parent != service_of(&text(row, "PodName")))
        })
        .map(|row| text(row, "ParentID"))
        .collect();
    let mut seen = BTreeSet::new();
    let mut spans = Vec::new();
    for row in &all {
        let (id, parent, own) = (text(row, "SpanID"), text(row, "ParentID"), service_of(&text(row, "PodName")));
        let (Ok(trace), Ok(number)) = (u128::from_str_radix(&text(row, "TraceID"), 16), u64::from_str_radix(&id, 16))
        else {
            continue;
        };
        let (Ok(start), Ok(end)) =
            (text(row, "StartTimeUnixNano").parse::<u64>(), text(row, "EndTimeUnixNano").parse::<u64>())
        else {
            continue;
        };
        if !seen.insert(number) {
            continue;
        }
        let kind = match service.get(&parent) {
            Some(caller) if *caller == own && leaves.contains(&id) => SpanFactKind::Exit,
            Some(caller) if *caller == own => SpanFactKind::Inner,
            _ => SpanFactKind::Entry,
        };
        let parent = if service.contains_key(&parent) { u64::from_str_radix(&parent, 16).unwrap_or(0) } else { 0 };
        spans.push((
            own,
            SpanFact {
                trace_id: trace.to_be_bytes(),
                span_id: number.to_be_bytes(),
                parent_span_id: parent.to_be_bytes(),
                operation: text(row, "OperationName").into(),
                kind,
                start: UnixNanos(start),
                duration_nanos: end.saturating_sub(start),
                error: false,
                peer: None,
            },
        ));
    }
    Ok(spans)
}

fn read_logs(paths: &[PathBuf]) -> Outcome<Logs> {
    let mut logs = Vec::new();
    for path in paths {
        for row in rows(path)? {
            let text = |key: &str| row.get(key).map_or("", String::as_str);
            let Ok(time) = text("TimeUnixNano").parse::<u64>() else { continue };
            let wrapped: Option<serde_json::Value> = serde_json::from_str(text("Log")).ok();
            let line = wrapped.as_ref().and_then(|value| value["log"].as_str()).unwrap_or(text("Log"));
            let error = ["ERROR", "FATAL", "xception", "BasicErrorController"].iter().any(|word| line.contains(word));
            logs.push((UnixNanos(time), service_of(text("PodName")), template_of(line), error));
        }
    }
    Ok(logs)
}

/// The line without its time, ids, numbers and bracketed parameters.
fn template_of(line: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    let mut skip = false;
    for word in line.split_whitespace() {
        if std::mem::take(&mut skip) {
            continue;
        }
        if matches!(word, "TraceID:" | "SpanID:") {
            skip = true;
        } else if word.contains('#') {
            words.push(word);
        } else if word.contains(|c: char| c.is_ascii_digit()) {
            words.push("<*>");
        } else {
            words.push(word);
        }
    }
    let mut text = words.join(" ");
    // A bracket with a key and a value holds parameters, and so does all behind it.
    if let Some(colon) = text.find(": ").or_else(|| text.find('='))
        && let Some(open) = text[..colon].rfind('[')
    {
        text.truncate(open);
    }
    text.chars().take(100).collect()
}

fn read_gauges(folder: &Path) -> Outcome<Gauges> {
    let mut gauges = Gauges::new();
    for path in entries(folder)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(pod) = name.strip_suffix("_metric.csv.gz") else { continue };
        for row in rows(&path)? {
            let Some(time) = row.get("Time").and_then(|time| seconds_of(time.get(..19)?).ok()) else { continue };
            for (column, metric) in
                [("CpuUsageRate(%)", "system.cpu.utilization"), ("MemoryUsageRate(%)", "system.memory.utilization")]
            {
                if let Some(value) =
                    row.get(column).and_then(|value| value.parse::<f64>().ok()).filter(|value| value.is_finite())
                {
                    gauges.entry((service_of(pod), metric)).or_default().push((time, value));
                }
            }
        }
    }
    Ok(gauges)
}

/// Seconds since the epoch of `2023-01-30 11:51:46`, UTC.
fn seconds_of(text: &str) -> Outcome<u64> {
    let time: jiff::civil::DateTime = text.replace(' ', "T").parse()?;
    Ok(u64::try_from(time.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp().as_second())?)
}
