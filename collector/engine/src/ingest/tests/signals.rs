//! Spans, logs, resources, own output and saved states.

use super::*;
use crate::{
    facts::SpanFactKind,
    signal::{LogRecord, Span, SpanKind},
};

fn span<'a>(trace: u8, id: u8, name: &'a str, kind: SpanKind, end: f64, ms: u64, attributes: &'a List) -> Span<'a> {
    let end = at(end);
    let (trace_id, span_id) = ([trace; 16], [id; 8]);
    let start = end.minus(ms * 1_000_000);
    Span { trace_id, span_id, parent_span_id: [0; 8], name, kind, start, end, error: ms > 100, attributes }
}

fn record<'a>(time: f64, severity_number: i32, body: &'a str, event_name: &'a str) -> LogRecord<'a> {
    LogRecord {
        time: at(time),
        observed: at(NEVER),
        severity_number,
        severity_text: "",
        body,
        event_name,
        trace_id: [0; 16],
        span_id: [0; 8],
        attributes: &(),
    }
}

/// Protects span metrics: calls and errors per operation and for the service, over server and consumer spans alone.
#[test]
fn spans_become_calls_errors_and_durations() {
    let mut bench = Bench::new();
    let none = List::default();
    let database = list(&[("db.system.name", "postgresql"), ("db.namespace", "orders"), ("server.address", "db1")]);
    {
        let mut slice = bench.ingest.enter(&key("shop"), UnixNanos(0));
        slice.resource(&list(&[("service.version", "1.2"), ("host.name", "h1"), ("deployment", "prod")]));
        for id in 1..=4 {
            slice.span(&span(id, id, "GET /", SpanKind::Server, 5.0, 100 * u64::from(id / 4 + 1), &none));
        }
        slice.span(&span(4, 9, "query", SpanKind::Client, 5.0, 50, &database));
        slice.span(&span(0, 8, "broken", SpanKind::Internal, 5.0, 1, &none));
    }
    bench.finish();
    let get = |label: &str| {
        let row = bench.rows.iter().find(|row| row.label() == label);
        row.map(|row| (row.value, row.count)).unwrap_or_else(|| panic!("{label}"))
    };
    assert_eq!(get("traces.span.metrics.calls [{span}/s] SpanRate "), (0.4, 4));
    assert_eq!(get("traces.span.metrics.errors [1] SpanErrors "), (0.25, 4));
    assert_eq!(get("traces.span.metrics.calls [{span}/s] SpanRate span.kind=client,span.name=query"), (0.1, 1));
    let label =
        "traces.span.metrics.duration [s] SpanDuration foreshock.statistic=p50,span.kind=client,span.name=query";
    assert_eq!(get(label), (0.05, 1));
    let (closed, facts) = &bench.closed[0];
    assert_eq!((facts.signals.calls, facts.signals.errors), (4, 1));
    assert_eq!(facts.versions, [Arc::from("1.2")]);
    let resource: Vec<&str> = closed.resource.iter().map(|(key, _)| &**key).collect();
    assert_eq!(resource, ["deployment", "service.version"]);
    assert_eq!((facts.spans.len(), facts.span_sampling), (5, 1.0));
    let exit = facts.spans.iter().find(|span| span.kind == SpanFactKind::Exit).expect("the client span");
    assert_eq!(exit.peer.as_deref(), Some("postgresql:orders"));
}

/// Protects the joining of traces: services that keep different numbers of spans still keep the same traces first, and no
/// trace is kept in part.
#[test]
fn every_service_samples_the_same_traces() {
    let traces = |max_spans_per_window, order: &dyn Fn(u8) -> u8| {
        let mut bench = Bench::with(IngestSettings { max_spans_per_window, ..IngestSettings::default() });
        {
            let none = List::default();
            let mut slice = bench.ingest.enter(&key("shop"), UnixNanos(0));
            slice.resource(&());
            for trace in (1..=100).map(order) {
                for id in 1..=2 {
                    slice.span(&span(trace, id, "GET", SpanKind::Server, 5.0, 10, &none));
                }
            }
        }
        bench.finish();
        let facts = &bench.closed[0].1;
        let mut counts: BTreeMap<[u8; 16], usize> = BTreeMap::new();
        facts.spans.iter().for_each(|span| *counts.entry(span.trace_id).or_default() += 1);
        assert!(counts.values().all(|&count| count == 2), "{counts:?}");
        assert!((facts.span_sampling - facts.spans.len() as f64 / 200.0).abs() < 1e-12);
        counts.into_keys().collect::<Vec<_>>()
    };
    let many = traces(41, &|trace| trace);
    let few = traces(10, &|trace| 101 - trace);
    assert_eq!((many.len(), few.len()), (20, 5));
    assert!(few.iter().all(|trace| many.contains(trace)));
}

/// Protects log series: templates and severities a second, the event's name where there is no body.
#[test]
fn logs_become_templates_and_severities() {
    let mut bench = Bench::new();
    {
        let mut slice = bench.ingest.enter(&key("shop"), UnixNanos(0));
        slice.resource(&());
        for n in 0..8 {
            slice.log_record(&record(5.0, 17, &format!("connection to 10.0.0.{n} refused after {n} ms"), ""));
        }
        slice.log_record(&record(6.0, 9, "", "user.login"));
        slice.log_record(&record(6.0, 99, "", ""));
    }
    bench.finish();
    let value = |label: &str| {
        let mut rows = bench.rows.iter().filter(|row| row.label().contains(label));
        rows.next().map(|row| (row.value, row.count)).unwrap_or_else(|| panic!("{label}"))
    };
    assert_eq!(value("log.records [{record}/s] LogSeverity log.severity=error"), (0.8, 8));
    assert_eq!(value("log.records [{record}/s] LogSeverity log.severity=info"), (0.1, 1));
    assert_eq!(value("log.records [{record}/s] LogSeverity log.severity=unspecified"), (0.1, 1));
    assert_eq!(value("log.severity=error"), (0.8, 8));
    assert_eq!(value("foreshock.template.text=user.login"), (0.1, 1));
    let facts = &bench.closed[0].1;
    assert_eq!((facts.signals.log_records, facts.signals.error_log_records), (10, 8));
    let first = &facts.logs[0];
    assert_eq!((first.severity_number, first.count, first.samples.len()), (17, 8, 3));
    assert_eq!(&*first.samples[0], "connection to 10.0.0.0 refused after 0 ms");
    assert!(first.text.contains("<*>"), "{}", first.text);
}

/// Protects against feeding on own output, and that useless values are counted and do no harm.
#[test]
fn own_and_useless_input_is_counted() {
    let mut bench = Bench::new();
    let metric = Metric { name: "m", unit: "1", kind: MetricKind::Gauge };
    {
        let mut slice = bench.ingest.enter(&key("shop"), UnixNanos(0));
        slice.resource(&());
        let point = |time: f64, data| Point {
            start: at(NEVER),
            time: at(time),
            no_recorded_value: false,
            attributes: &(),
            data,
        };
        slice.scope("foreshock", "1");
        slice.point(&metric, &point(5.0, PointData::Number(1.0)));
        slice.scope("library", "1");
        slice.point(&metric, &point(5.0, PointData::Number(f64::NAN)));
        slice.point(&metric, &point(5.0, PointData::Summary { count: 1, sum: 1.0, quantiles: &[] }));
        slice.point(&metric, &point(NEVER, PointData::Number(1.0)));
        slice.point(&metric, &point(5.0, PointData::Number(2.0)));
        slice.point(&metric, &point(5.0, PointData::Number(3.0)));
    }
    bench.finish();
    let counters = bench.ingest.counters();
    assert_eq!((counters.own, counters.unusable, counters.duplicate, counters.points), (1, 3, 1, 1));
    assert_eq!(bench.rows.iter().map(|row| row.value).collect::<Vec<_>>(), [2.0]);
}

/// Protects what was learned: a service that is saved and restored in the middle gives the same rows under the same ids, and
/// describes its series anew.
#[test]
fn a_restart_changes_no_row() {
    let feed = |bench: &mut Bench, steps: std::ops::Range<u32>| {
        let kind = MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: true };
        let counter = Metric { name: "requests", unit: "1", kind };
        let none = List::default();
        for step in steps {
            let time = f64::from(step) * 4.0;
            bench.point(&counter, NEVER, time, PointData::Number(f64::from(step * step)));
            let mut slice = bench.ingest.enter(&key("shop"), UnixNanos(0));
            slice.resource(&list(&[("service.instance.id", "a"), ("service.version", "1.0")]));
            slice.span(&span(step as u8 + 1, 1, "GET", SpanKind::Server, time, u64::from(step) * 7, &none));
            slice.log_record(&record(time, 9, &format!("took {step} ms"), ""));
        }
    };
    let mut whole = Bench::new();
    feed(&mut whole, 0..20);
    whole.finish();

    let mut first = Bench::new();
    feed(&mut first, 0..9);
    first.poll();
    let bytes = first.ingest.snapshot(&key("shop")).expect("a known service");
    let mut second = Bench::new();
    second.ingest.restore(&key("shop"), &bytes).expect("a good state");
    feed(&mut second, 9..20);
    second.finish();
    let rows: Vec<Row> = first.rows.iter().chain(&second.rows).cloned().collect();
    assert_eq!(rows, whole.rows);
    assert!(second.closed[0].0.window.opened.len() >= 4);

    let mut fresh = Ingest::new(IngestSettings::default());
    let mut damaged = bytes.clone();
    damaged[40] ^= 1;
    assert_eq!(fresh.restore(&key("shop"), &damaged), Err(RestoreError::Damaged));
    assert_eq!(fresh.restore(&key("shop"), &bytes[..bytes.len() - 1]), Err(RestoreError::Damaged));
    assert_eq!(fresh.restore(&key("other"), &bytes), Err(RestoreError::Damaged));
    let mut longer = Ingest::new(IngestSettings { window_nanos: 60 * S, ..IngestSettings::default() });
    let refused = RestoreError::Window { found: 10 * S, expected: 60 * S };
    assert_eq!(longer.restore(&key("shop"), &bytes), Err(refused));
    assert_eq!(fresh.services().count(), 0);
}
