//! What the shop promises: the same bytes for the same seed, telemetry that fits together, and stories that really happen.

use foreshock_simulator::{Export, Plan, Request, Scenario, Shop};
use opentelemetry_proto::tonic::{
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{AggregationTemporality, Metric, metric::Data, number_data_point},
    resource::v1::Resource,
    trace::v1::{Span, span::SpanKind},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// 2026-09-21T14:13:20Z, a Monday.
const START: u64 = 1_790_000_000_000_000_000;
const MINUTE: u64 = 60_000_000_000;

fn short(lead_in: u64, ramp: u64, hold: u64) -> Plan {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    Plan { lead_in: minutes(lead_in), ramp: minutes(ramp), hold: minutes(hold), recovery: Duration::ZERO }
}

fn play(scenario: Scenario, seed: u64, plan: Plan) -> (Shop, Vec<Export>) {
    let mut shop = Shop::with_plan(scenario, seed, START, plan);
    let exports = shop.step(plan.total());
    (shop, exports)
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

fn spans(exports: &[Export]) -> impl Iterator<Item = (&'static str, &Span)> {
    exports.iter().flat_map(|export| {
        let resources = match &export.request {
            Request::Traces(request) => request.resource_spans.as_slice(),
            _ => &[],
        };
        let scopes = resources.iter().flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| &scope.spans).map(|span| (export.service, span))
    })
}

fn metrics(exports: &[Export]) -> impl Iterator<Item = (&Resource, &Metric)> {
    let requests = exports.iter().filter_map(|export| match &export.request {
        Request::Metrics(request) => Some(request),
        _ => None,
    });
    requests.flat_map(|request| &request.resource_metrics).flat_map(|resource| {
        let about = resource.resource.as_ref().expect("every export has a resource");
        resource.scope_metrics.iter().flat_map(|scope| &scope.metrics).map(move |metric| (about, metric))
    })
}

fn log_bodies(exports: &[Export], service: &str) -> Vec<(u64, String)> {
    let requests =
        exports.iter().filter(|export| export.service == service).filter_map(|export| match &export.request {
            Request::Logs(request) => Some(request),
            _ => None,
        });
    let records = requests.flat_map(|request| &request.resource_logs).flat_map(|resource| &resource.scope_logs);
    records
        .flat_map(|scope| &scope.log_records)
        .filter_map(|record| match record.body.as_ref()?.value.as_ref()? {
            Value::StringValue(body) => Some((record.time_unix_nano, body.clone())),
            _ => None,
        })
        .collect()
}

/// 95th percentile in seconds, share of errors and number of server spans of a service that ended between two minutes.
fn golden(exports: &[Export], service: &str, from: u64, to: u64) -> (f64, f64, usize) {
    let range = START + from * MINUTE..START + to * MINUTE;
    let (mut seconds, mut errors) = (Vec::new(), 0);
    for (_, span) in spans(exports).filter(|(of, span)| *of == service && range.contains(&span.end_time_unix_nano)) {
        if span.kind == SpanKind::Server as i32 {
            seconds.push((span.end_time_unix_nano - span.start_time_unix_nano) as f64 / 1e9);
            errors += usize::from(span.status.as_ref().is_some_and(|status| status.code == 2));
        }
    }
    seconds.sort_by(f64::total_cmp);
    let n = seconds.len();
    if n == 0 {
        return (0.0, 0.0, 0);
    }
    (seconds[n * 95 / 100], errors as f64 / n as f64, n)
}

/// Largest value of a metric of numbers per minute, over all points of a service.
fn highest(exports: &[Export], service: &str, name: &str, from: u64, to: u64) -> f64 {
    let range = START + from * MINUTE..START + to * MINUTE;
    let points = metrics(exports).filter(|(resource, metric)| {
        metric.name == name && text(&resource.attributes, "service.name").as_deref() == Some(service)
    });
    let numbers = points.flat_map(|(_, metric)| match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.clone(),
        Some(Data::Sum(sum)) => sum.data_points.clone(),
        _ => Vec::new(),
    });
    numbers
        .filter(|point| range.contains(&point.time_unix_nano))
        .map(|point| match point.value {
            Some(number_data_point::Value::AsDouble(value)) => value,
            Some(number_data_point::Value::AsInt(value)) => value as f64,
            None => 0.0,
        })
        .fold(0.0, f64::max)
}

/// Everything that compares two runs rests on this: one seed, one sequence of bytes, however time is sliced; and another
/// seed gives another one.
#[test]
fn the_same_seed_gives_the_same_bytes() {
    let plan = short(2, 1, 1);
    let bytes = |seed, slice: Duration| {
        let mut shop = Shop::with_plan(Scenario::DatabaseSaturation, seed, START, plan);
        let mut bytes = Vec::new();
        while shop.elapsed() < plan.total() {
            for export in shop.step(slice) {
                bytes.extend(export.at.to_be_bytes());
                bytes.extend(export.request.encode());
            }
        }
        bytes
    };
    let whole = bytes(7, Duration::from_secs(60));
    assert!(whole.len() > 1_000_000, "{}", whole.len());
    assert!(whole == bytes(7, Duration::from_millis(250)), "slices of time change the output");
    assert!(whole != bytes(8, Duration::from_secs(60)), "the seed has no effect");
}

/// Rates are differences of cumulative values, so a counter that falls without a new start time would be read as a reset.
/// Covers instances that are replaced, too: the leaking service is killed and starts again.
#[test]
fn counters_never_fall_while_their_start_stays() {
    let plan = short(2, 5, 3);
    let (_, exports) = play(Scenario::MemoryLeak, 3, plan);
    let mut last: BTreeMap<String, (u64, f64)> = BTreeMap::new();
    let mut restarted = 0;
    let mut check = |key: String, start: u64, value: f64| {
        if let Some((before, old)) = last.insert(key.clone(), (start, value)) {
            assert!(start == before && value >= old, "{key}: {old} then {value}");
        }
    };
    let mut instances = BTreeSet::new();
    for (resource, metric) in metrics(&exports) {
        let instance = text(&resource.attributes, "service.instance.id").unwrap();
        if text(&resource.attributes, "service.name").as_deref() == Some("recommendation")
            && instances.insert(instance.clone())
        {
            restarted += 1;
        }
        let key = |attributes: &[KeyValue]| format!("{instance} {} {attributes:?}", metric.name);
        match metric.data.as_ref().unwrap() {
            Data::Sum(sum) if sum.is_monotonic => {
                assert_eq!(sum.aggregation_temporality, AggregationTemporality::Cumulative as i32);
                for point in &sum.data_points {
                    let Some(number_data_point::Value::AsInt(value)) = point.value else {
                        panic!("counters are whole numbers")
                    };
                    check(key(&point.attributes), point.start_time_unix_nano, value as f64);
                }
            }
            Data::Histogram(histogram) => {
                for point in &histogram.data_points {
                    assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
                    check(key(&point.attributes), point.start_time_unix_nano, point.count as f64);
                }
            }
            Data::ExponentialHistogram(histogram) => {
                for point in &histogram.data_points {
                    assert_eq!(point.positive.as_ref().unwrap().bucket_counts.iter().sum::<u64>(), point.count);
                    check(key(&point.attributes), point.start_time_unix_nano, point.count as f64);
                }
            }
            _ => {}
        }
    }
    assert!(restarted > 2, "nobody ran out of memory");
}

/// The service graph is built from pairs of client and server spans. Each call to a service that answers must have its
/// other side in the same trace, lying within it unless the caller gave up, and each entry its caller.
#[test]
fn both_sides_of_every_call_are_there() {
    let plan = short(1, 4, 3);
    let (_, exports) = play(Scenario::DependencyOutage, 5, plan);
    let entries: BTreeMap<_, _> = spans(&exports)
        .filter(|(_, span)| span.kind == SpanKind::Server as i32 || span.kind == SpanKind::Consumer as i32)
        .map(|(service, span)| ((span.trace_id.clone(), span.parent_span_id.clone()), (service, span)))
        .collect();
    let exits: BTreeSet<_> = spans(&exports)
        .filter(|(_, span)| span.kind == SpanKind::Client as i32 || span.kind == SpanKind::Producer as i32)
        .map(|(_, span)| (span.trace_id.clone(), span.span_id.clone()))
        .collect();
    let services: BTreeSet<_> = Shop::services().into_iter().collect();
    let settled = START + (plan.total().as_secs() - 40) * 1_000_000_000;
    let mut calls = 0;
    for (_, span) in spans(&exports).filter(|(_, span)| span.kind == SpanKind::Client as i32) {
        let peer = text(&span.attributes, "server.address").expect("clients name the far side");
        if !services.contains(peer.as_str()) || span.end_time_unix_nano > settled {
            continue;
        }
        calls += 1;
        let (service, far) =
            entries.get(&(span.trace_id.clone(), span.span_id.clone())).expect("the call has no other side");
        assert_eq!(*service, peer);
        let gave_up = text(&span.attributes, "error.type").as_deref() == Some("timeout");
        assert!(far.start_time_unix_nano >= span.start_time_unix_nano);
        assert!(gave_up || far.end_time_unix_nano <= span.end_time_unix_nano);
    }
    assert!(calls > 1_000, "{calls}");
    for (key, (_, span)) in entries.iter().filter(|(key, _)| !key.1.is_empty()) {
        assert!(
            span.end_time_unix_nano > settled || exits.contains(key),
            "{} has a parent that is not there",
            span.name
        );
    }
}

/// What `truth` says must really be seen in the telemetry that is sent: at the root, and at those who are affected by
/// latency or errors. And the static thresholds must come after the start, or the comparison is void.
#[test]
fn every_truth_is_visible_in_the_telemetry() {
    for (scenario, plan) in [
        (Scenario::DeploymentDrift, short(5, 8, 4)),
        (Scenario::DatabaseSaturation, short(5, 6, 4)),
        (Scenario::MemoryLeak, short(5, 6, 4)),
        (Scenario::DiskFilling, short(5, 6, 4)),
        (Scenario::DependencyOutage, short(5, 2, 4)),
        (Scenario::TrafficSurge, short(5, 4, 4)),
    ] {
        let (shop, exports) = play(scenario, 11, plan);
        let truth = scenario.truth(&plan).unwrap();
        let (fault, end) = (plan.lead_in.as_secs() / 60, plan.total().as_secs() / 60);
        let peak = fault + plan.ramp.as_secs() / 60;
        let mut told = String::new();
        for service in truth.affected {
            let before = golden(&exports, service, 0, fault);
            // Around full strength: a process that was killed for its memory is well again soon after.
            let after = golden(&exports, service, peak - 1, peak + 3);
            told += &format!(
                "\n  {service}: p95 {:.3} -> {:.3} s, errors {:.3} -> {:.3}",
                before.0, after.0, before.1, after.1
            );
            told += &format!(", calls a minute {} -> {}", before.2 as u64 / fault, after.2 / 4);
            let slower = after.0 > 1.25 * before.0;
            let failing = after.1 > before.1 + 0.01;
            let busier = after.2 as f64 / 4.0 > 2.0 * before.2 as f64 / fault as f64;
            assert!(slower || failing || busier, "{scenario}: {service} shows nothing{told}");
        }
        let crossing =
            shop.threshold_crossing().cloned().unwrap_or_else(|| panic!("{scenario}: no threshold spoke{told}"));
        assert!(crossing.after > plan.lead_in, "{scenario}: {crossing:?} before the fault");
        match scenario {
            Scenario::DeploymentDrift | Scenario::DatabaseSaturation => {
                let why = log_bodies(&exports, truth.root);
                assert!(
                    why.iter().any(|(_, body)| body.starts_with("connection pool timeout after ")),
                    "{scenario}: logs don't say why"
                );
            }
            Scenario::MemoryLeak => {
                let before = highest(&exports, truth.root, "process.memory.usage", 0, fault);
                let after = highest(&exports, truth.root, "process.memory.usage", fault, end);
                assert!(after > 2.0 * before, "{before} -> {after}");
            }
            Scenario::DiskFilling => {
                assert!(highest(&exports, truth.root, "system.filesystem.utilization", 0, fault) < 0.65);
                assert!(highest(&exports, truth.root, "system.filesystem.utilization", fault, end) > 0.99);
            }
            Scenario::DependencyOutage => {
                let why = log_bodies(&exports, truth.root);
                assert!(why.iter().filter(|(_, body)| body.starts_with("gave up on bank-gateway")).count() > 20);
            }
            Scenario::TrafficSurge | Scenario::Calm => {}
        }
        println!("{scenario}: {crossing:?}{told}");
    }
}

/// Calm is the measure of false alarms, so nothing in it may be a fault: no threshold is crossed, latency and errors of
/// every service with traffic stay where they were, while versions do change.
#[test]
fn calm_stays_flat() {
    let plan = short(12, 18, 0);
    for seed in [1, 2, 3] {
        let (shop, exports) = play(Scenario::Calm, seed, plan);
        assert_eq!(Scenario::Calm.truth(&plan), None);
        assert_eq!(shop.threshold_crossing(), None);
        for service in ["frontend", "checkout", "cart", "payment", "catalog", "inventory", "recommendation"] {
            let (before, after) = (golden(&exports, service, 0, 12), golden(&exports, service, 12, 30));
            assert!((0.8..1.25).contains(&(after.0 / before.0)), "{service}: {before:?} -> {after:?}");
            assert!(after.1 < 0.015, "{service}: {after:?}");
        }
        let versions: BTreeSet<_> = metrics(&exports)
            .filter(|(resource, _)| text(&resource.attributes, "service.name").as_deref() == Some("catalog"))
            .filter_map(|(resource, _)| text(&resource.attributes, "service.version"))
            .collect();
        assert_eq!(versions.len(), 2);
    }
}

/// The names on the command line lead back to their scenario, and a wrong one is answered with all that there are.
#[test]
fn names_are_read_back() {
    for scenario in Scenario::ALL {
        assert_eq!(scenario.name().parse(), Ok(scenario));
    }
    let error = "disk-full".parse::<Scenario>().unwrap_err();
    assert!(error.to_string().contains("disk-filling"), "{error}");
}

/// An incident can only be resolved if its fault ends: some minutes after it was mended, every affected service must be as
/// fast, as sound and as busy as before, or the demo would show an incident that never closes.
#[test]
fn what_was_mended_is_well_again() {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    for scenario in Scenario::ALL.into_iter().filter(|scenario| *scenario != Scenario::Calm) {
        let plan = Plan { recovery: minutes(10), ..short(5, 4, 2) };
        let (_, exports) = play(scenario, 11, plan);
        let truth = scenario.truth(&plan).unwrap();
        assert_eq!(truth.ends_after, minutes(11));
        assert!(!scenario.cure().is_empty());
        for service in truth.affected {
            let (before, after) = (golden(&exports, service, 0, 5), golden(&exports, service, 16, 21));
            let told = format!("{scenario}: {service}: {before:?} -> {after:?}");
            assert!((0.7..1.4).contains(&(after.0 / before.0)), "{told}");
            assert!(after.1 < before.1 + 0.01, "{told}");
            assert!((0.7..1.4).contains(&(after.2 as f64 / before.2 as f64)), "{told}");
        }
        let disk = highest(&exports, "shipping", "system.filesystem.utilization", 16, 21);
        assert!((0.5..0.6).contains(&disk), "{scenario}: the volume of shipping is at {disk}");
        let memory = highest(&exports, "recommendation", "process.memory.usage", 16, 21);
        assert!(memory < 480.0 * 1024.0 * 1024.0, "{scenario}: recommendation uses {memory} bytes");
    }
}

/// What people see in the demo they will look for in their own backend: the attributes that the semantic conventions require
/// must be on every resource, span and record, and an error must say what it was in the form of its kind.
#[test]
fn names_are_those_of_the_semantic_conventions() {
    let (_, exports) = play(Scenario::DatabaseSaturation, 4, short(2, 4, 2));
    let required = |attributes: &[KeyValue], keys: &[&str], of: &str| {
        for key in keys {
            assert!(attributes.iter().any(|attribute| attribute.key == *key), "{of} lacks {key}");
        }
    };
    let (mut errors, mut kinds) = (0, BTreeSet::new());
    for (service, span) in spans(&exports) {
        let of = format!("{service}: {}", span.name);
        let keys: &[&str] = match span.kind() {
            SpanKind::Server => {
                &["http.request.method", "http.route", "url.path", "url.scheme", "http.response.status_code"]
            }
            SpanKind::Client if text(&span.attributes, "db.system.name").is_some() => {
                &["db.namespace", "db.operation.name", "db.query.text", "server.address", "server.port"]
            }
            SpanKind::Client => &["http.request.method", "url.full", "server.address", "server.port"],
            SpanKind::Producer | SpanKind::Consumer => &[
                "messaging.system",
                "messaging.operation.name",
                "messaging.operation.type",
                "messaging.destination.name",
            ],
            _ => &[],
        };
        kinds.insert(span.kind);
        required(&span.attributes, keys, &of);
        let failed = span.status.as_ref().is_some_and(|status| status.code == 2);
        assert_eq!(failed, text(&span.attributes, "error.type").is_some(), "{of}");
        if failed && span.kind() == SpanKind::Server {
            errors += 1;
            assert_eq!(
                text(&span.attributes, "error.type"),
                text(&span.attributes, "http.response.status_code"),
                "{of}"
            );
        }
    }
    assert!(errors > 100 && kinds.len() == 5, "{errors} {kinds:?}");
    for (resource, metric) in metrics(&exports) {
        required(
            &resource.attributes,
            &[
                "service.name",
                "service.namespace",
                "service.version",
                "service.instance.id",
                "deployment.environment.name",
            ],
            &metric.name,
        );
        assert!(!metric.unit.is_empty(), "{} has no unit", metric.name);
    }
    let records = exports.iter().flat_map(|export| match &export.request {
        Request::Logs(request) => request.resource_logs.as_slice(),
        _ => &[],
    });
    let records = records.flat_map(|resource| &resource.scope_logs).flat_map(|scope| &scope.log_records);
    let (mut thrown, mut all) = (0, 0);
    for record in records {
        all += 1;
        assert!(matches!(
            (record.severity_number, record.severity_text.as_str()),
            (9, "INFO") | (13, "WARN") | (17, "ERROR")
        ));
        if record.severity_number == 17 {
            thrown += 1;
            required(&record.attributes, &["exception.type", "exception.message"], "an error record");
        }
    }
    assert!(thrown > 50 && all > 1_000, "{thrown} of {all}");
}
