//! A small shop that tells stories: builders for series, anomalies, windows and spans.

use foreshock_engine::{
    UnixNanos,
    event::{Anomaly, AnomalyChange, AnomalyId, Event, IncidentChange},
    facts::{GoldenSignals, LogExcerpt, SpanFact, SpanFactKind, WindowFacts},
    incident::{Correlator, IncidentSettings},
    shard::ShardOutput,
    verdict::{Detector, Severity},
    window::{Series, SeriesKind, ServiceKey},
};
use std::{collections::BTreeMap, sync::Arc};

/// 2026-03-02, 10:00 UTC.
const BEGIN: u64 = 1_772_445_600;

/// `minutes` after 10:00.
pub(crate) fn at(minutes: u64) -> UnixNanos {
    UnixNanos((BEGIN + 60 * minutes) * 1_000_000_000)
}

pub(crate) fn service(name: &str) -> ServiceKey {
    ServiceKey::new("", name)
}

pub(crate) fn detector(name: &str) -> Arc<Detector> {
    Arc::new(Detector { name: name.into(), version: "0.1.0".into(), digest: "ab".repeat(32).into() })
}

pub(crate) fn series(id: u32, name: &str, unit: &str, kind: SeriesKind, attributes: &[(&str, &str)]) -> Arc<Series> {
    let attributes = attributes.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    Arc::new(Series { id, name: name.into(), unit: unit.into(), kind, attributes })
}

/// What is odd in an anomaly.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum What {
    Latency,
    Errors,
    Calls,
    Log,
    Cpu,
}

fn what_series(what: What) -> Arc<Series> {
    let duration = "traces.span.metrics.duration";
    match what {
        What::Latency => series(1, duration, "s", SeriesKind::SpanDuration, &[("foreshock.statistic", "p99")]),
        What::Errors => series(2, "traces.span.metrics.errors", "1", SeriesKind::SpanErrors, &[]),
        What::Calls => series(3, "traces.span.metrics.calls", "{span}/s", SeriesKind::SpanRate, &[]),
        What::Log => series(
            4,
            "log.template",
            "{record}/s",
            SeriesKind::LogTemplate,
            &[("foreshock.template.text", "connection pool timeout"), ("log.severity", "error")],
        ),
        What::Cpu => series(5, "system.cpu.utilization", "1", SeriesKind::Gauge, &[]),
    }
}

/// An anomaly of a service that began at `start`, in minutes.
pub(crate) fn anomaly(name: &str, what: What, start: u64, severity: Severity) -> Anomaly {
    let (kind, observed, expected) = match what {
        What::Latency => ("level_shift", Some(0.31), Some(0.12)),
        What::Errors => ("spike", Some(0.2), Some(0.01)),
        What::Calls => ("spike", Some(40.0), Some(10.0)),
        What::Log => ("new_log_pattern", None, None),
        What::Cpu => ("level_shift", Some(0.97), Some(0.2)),
    };
    Anomaly {
        id: AnomalyId(xxhash(name, what, start)),
        service: service(name),
        resource: Arc::new(vec![("service.name".into(), name.into())]),
        series: what_series(what),
        further_series: Vec::new(),
        detector: detector("baseline"),
        kind: kind.into(),
        severity,
        surprise: 5.0,
        observed,
        expected,
        lower: None,
        upper: None,
        forecast: None,
        start: at(start),
        last: at(start + 2),
        every_nanos: 60_000_000_000,
        unknown_volume: false,
        end: None,
        sentence: format!("{name} is odd"),
        evidence: Vec::new(),
    }
}

fn xxhash(name: &str, what: What, start: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64(format!("{name} {what:?} {start}").as_bytes())
}

/// What a shard says when an anomaly begins: two windows after its start.
pub(crate) fn begins(anomaly: &Anomaly) -> ShardOutput {
    let time = anomaly.last;
    ShardOutput::Anomaly { change: AnomalyChange::Detected, time, anomaly: Arc::new(anomaly.clone()) }
}

/// What a shard says when it ends: its last odd window was three windows before `minute`.
pub(crate) fn ends(anomaly: &Anomaly, minute: u64) -> ShardOutput {
    let mut anomaly = anomaly.clone();
    anomaly.last = at(minute - 3).max(anomaly.last);
    anomaly.end = Some(anomaly.last);
    ShardOutput::Anomaly { change: AnomalyChange::Ended, time: at(minute), anomaly: Arc::new(anomaly) }
}

/// Services, who calls whom, and how they do.
pub(crate) struct Shop {
    pub(crate) correlator: Correlator,
    pub(crate) calls: Vec<(&'static str, &'static str)>,
    pub(crate) services: Vec<&'static str>,
    /// Milliseconds of own work a request, 20 unless told.
    pub(crate) own_ms: BTreeMap<&'static str, u64>,
    pub(crate) version: BTreeMap<&'static str, &'static str>,
    /// Calls a minute of every service, 600 unless told.
    pub(crate) load: u64,
    /// Logs a minute: template and count. Those that begin with `slow` are warnings, all others errors.
    pub(crate) logs: BTreeMap<&'static str, Vec<(&'static str, u64)>>,
    /// Minutes by which a service's clock is ahead.
    pub(crate) ahead: BTreeMap<&'static str, u64>,
    /// Whether the outputs of an epoch come in another order of the services.
    pub(crate) shuffled: bool,
}

impl Shop {
    /// Services `names`; those that nobody calls answer the users.
    pub(crate) fn new(names: &[&'static str], calls: &[(&'static str, &'static str)]) -> Self {
        Self {
            correlator: Correlator::new(IncidentSettings::default()),
            calls: calls.to_vec(),
            services: names.to_vec(),
            own_ms: BTreeMap::new(),
            version: BTreeMap::new(),
            load: 600,
            logs: BTreeMap::new(),
            ahead: BTreeMap::new(),
            shuffled: false,
        }
    }

    /// Lets the minutes `from..to` pass without anything odd.
    pub(crate) fn quiet(&mut self, from: u64, to: u64) -> Vec<Event> {
        (from..to).flat_map(|minute| self.minute(minute, Vec::new())).collect()
    }

    /// The window that ends at `minute`, with what the shards say of it.
    pub(crate) fn minute(&mut self, minute: u64, said: Vec<ShardOutput>) -> Vec<Event> {
        let mut outputs = self.windows(minute);
        outputs.extend(said);
        if self.shuffled {
            // Another order of the services; each service's own order stays.
            outputs.sort_by_key(|output| std::cmp::Reverse(output.service().clone()));
        }
        self.correlator.handle_epoch(at(minute), outputs);
        std::iter::from_fn(|| self.correlator.poll_event()).collect()
    }

    fn windows(&self, minute: u64) -> Vec<ShardOutput> {
        let mut spans: BTreeMap<&str, Vec<SpanFact>> = BTreeMap::new();
        for request in 0..20u64 {
            for name in &self.services {
                if !self.calls.iter().any(|(_, callee)| callee == name) {
                    let start = at(minute).minus((55 - 2 * request) * 1_000_000_000);
                    let trace = trace_id(name, minute, request);
                    self.visit(name, trace, 0, &mut 0, start, &mut spans);
                }
            }
        }
        let window = |name: &&'static str| {
            let shift = self.ahead.get(name).copied().unwrap_or(0);
            let logs = self.logs.get(name).map_or(&[][..], Vec::as_slice);
            let severity_number = |text: &str| if text.starts_with("slow") { 13 } else { 17 };
            let errors = logs.iter().filter(|(text, _)| severity_number(text) == 17);
            let error_log_records = errors.map(|(_, count)| count).sum();
            let mut facts = WindowFacts {
                service: service(name),
                start: at(minute + shift - 1),
                end: at(minute + shift),
                signals: GoldenSignals {
                    calls: self.load,
                    error_log_records,
                    log_records: logs.iter().map(|(_, count)| count).sum(),
                    ..Default::default()
                },
                versions: self.version.get(name).map(|version| (*version).into()).into_iter().collect(),
                logs: logs
                    .iter()
                    .map(|(text, count)| LogExcerpt {
                        template: xxhash_rust::xxh3::xxh3_64(text.as_bytes()),
                        text: (*text).into(),
                        severity_number: severity_number(text),
                        count: *count,
                        samples: vec![(*text).into()],
                    })
                    .collect(),
                spans: spans.get(name).cloned().unwrap_or_default(),
                span_sampling: 1.0,
            };
            facts.spans.sort_by_key(|span| (span.trace_id, span.span_id));
            ShardOutput::Window(Box::new(facts))
        };
        self.services.iter().map(window).collect()
    }

    /// Spans of one visit and all it calls, one after the other; gives its end.
    fn visit(
        &self,
        name: &'static str,
        trace_id: [u8; 16],
        parent: u64,
        next: &mut u64,
        start: UnixNanos,
        spans: &mut BTreeMap<&str, Vec<SpanFact>>,
    ) -> UnixNanos {
        *next += 1;
        let id = *next;
        let own = self.own_ms.get(name).copied().unwrap_or(20) * 1_000_000;
        let mut time = start.plus(own / 2);
        for (_, callee) in self.calls.iter().filter(|(caller, _)| *caller == name) {
            *next += 1;
            let call = *next;
            let began = time;
            let far = !self.services.contains(callee);
            time = match far {
                true => time.plus(self.own_ms.get(callee).copied().unwrap_or(20) * 1_000_000),
                false => self.visit(callee, trace_id, call, next, time.plus(500_000), spans).plus(500_000),
            };
            let peer = far.then(|| (*callee).into());
            spans.entry(name).or_default().push(span(
                trace_id,
                call,
                id,
                SpanFactKind::Exit,
                (began, time),
                "call",
                peer,
            ));
        }
        let end = time.plus(own / 2);
        spans.entry(name).or_default().push(span(
            trace_id,
            id,
            parent,
            SpanFactKind::Entry,
            (start, end),
            "GET /",
            None,
        ));
        end
    }
}

fn trace_id(name: &str, minute: u64, request: u64) -> [u8; 16] {
    xxhash_rust::xxh3::xxh3_128(format!("{name} {minute} {request}").as_bytes()).to_be_bytes()
}

fn span(
    trace_id: [u8; 16],
    id: u64,
    parent: u64,
    kind: SpanFactKind,
    (start, end): (UnixNanos, UnixNanos),
    operation: &str,
    peer: Option<Arc<str>>,
) -> SpanFact {
    SpanFact {
        trace_id,
        span_id: id.to_be_bytes(),
        parent_span_id: parent.to_be_bytes(),
        operation: operation.into(),
        kind,
        start,
        duration_nanos: end.since(start),
        error: false,
        peer,
    }
}

/// What happened to incidents, in order.
pub(crate) fn changes(events: &[Event]) -> Vec<IncidentChange> {
    let change = |event: &Event| if let Event::Incident { change, .. } = event { Some(*change) } else { None };
    events.iter().filter_map(change).collect()
}

/// The last incident that was told with this change.
pub(crate) fn told(events: &[Event], wanted: IncidentChange) -> Option<Arc<foreshock_engine::event::Incident>> {
    events.iter().rev().find_map(|event| match event {
        Event::Incident { change, incident, .. } if *change == wanted => Some(Arc::clone(incident)),
        _ => None,
    })
}
