//! Events and incident traces as OTLP: under the names, resources and ids that outside checks rely on.

use foreshock_engine::{
    event::{
        Anomaly, AnomalyChange, AnomalyId, Event, Incident, IncidentChange, IncidentId, IncidentState, LogCluster,
        PredictionChange, RootCause,
    },
    incident,
    time::UnixNanos,
    verdict::{Detector, DetectorHealth, FaultReason, Forecast, Severity},
    window::{Series, SeriesKind, ServiceKey},
};
use foreshock_otlp::{
    Signal,
    encode::{self, Own},
    json, view,
};
use serde_json::Value;
use std::sync::Arc;

const TIME: UnixNanos = UnixNanos(1_700_000_000_000_000_000);

fn own() -> Own {
    Own { resource: vec![("service.version".into(), "0.1.0".into())], version: "0.1.0".into() }
}

fn anomaly(service: &str) -> Anomaly {
    Anomaly {
        id: AnomalyId(0x1f),
        service: ServiceKey::new("shop", service),
        resource: Arc::new(vec![
            ("host.name".into(), "h1".into()),
            ("service.name".into(), service.into()),
            ("service.namespace".into(), "shop".into()),
        ]),
        series: Arc::new(Series {
            id: 3,
            name: "queue.length".into(),
            unit: "{item}".into(),
            kind: SeriesKind::Gauge,
            attributes: vec![("route".into(), "/a \"b\"".into())],
        }),
        further_series: Vec::new(),
        detector: Arc::new(Detector {
            name: "baseline".into(),
            version: "1.2.3".into(),
            digest: "ab".repeat(32).into(),
        }),
        kind: "spike".into(),
        severity: Severity::Error,
        surprise: 4.0,
        observed: Some(310.0),
        expected: Some(120.5),
        lower: None,
        upper: Some(f64::INFINITY),
        forecast: None,
        start: TIME,
        last: TIME.plus(20_000_000_000),
        every_nanos: 60_000_000_000,
        unknown_volume: false,
        end: None,
        sentence: "checkout queue.length is 310".into(),
        evidence: vec![("window".into(), "10 s".into())],
    }
}

fn incident() -> Incident {
    let (trace_id, root_span_id) = incident::trace::trace_ids(IncidentId(7), 0);
    Incident {
        id: IncidentId(7),
        trace_id,
        root_span_id,
        previous_trace: None,
        state: IncidentState::Open,
        reopened: 0,
        acknowledged: None,
        severity: Severity::Critical,
        title: "checkout is slow".into(),
        sentence: "checkout p99 latency rose".into(),
        services: vec![ServiceKey::new("", "cart"), ServiceKey::new("shop", "checkout")],
        root_causes: vec![RootCause {
            service: ServiceKey::new("shop", "checkout"),
            score: 0.9,
            summary: "first".into(),
        }],
        blast_radius: vec![ServiceKey::new("", "web")],
        start: TIME,
        opened: TIME,
        closed: None,
        anomaly_count: 1,
        anomalies: vec![anomaly("checkout")],
        grouping: vec!["cart calls checkout".into()],
        version_change: Some((ServiceKey::new("shop", "checkout"), "1.7".into(), "1.8".into(), TIME)),
        logs: vec![LogCluster {
            service: ServiceKey::new("shop", "checkout"),
            text: "connection pool timeout".into(),
            terms: vec!["pool".into()],
            count: 74,
            share: 0.74,
            sample: "connection pool timeout".into(),
        }],
        exemplars: vec![([9; 16], [8; 8])],
        merged_into: None,
    }
}

/// One value by a JSON pointer into the rendered request.
fn at<'a>(json: &'a Value, pointer: &str) -> &'a Value {
    json.pointer(pointer).unwrap_or_else(|| panic!("nothing at {pointer} in {json}"))
}

/// The value of an attribute in a list of them; its only member.
fn attribute<'a>(holder: &'a Value, key: &str) -> Option<&'a Value> {
    let list = holder["attributes"].as_array()?;
    let found: Vec<_> = list.iter().filter(|pair| pair["key"] == key).collect();
    assert!(found.len() < 2, "{key} comes twice");
    found.first()?["value"].as_object()?.values().next()
}

fn rendered(events: &[Event]) -> Value {
    let bytes = encode::logs(events, &own()).expect("events");
    view::validate(Signal::Logs, &bytes).expect("valid OTLP");
    serde_json::from_str(&json::to_json(Signal::Logs, &bytes)).expect("JSON")
}

/// An anomaly speaks under the resource of its service, with the attributes of the contract and without what is not known.
#[test]
fn an_anomaly_carries_the_resource_of_its_service() {
    let held = Some((IncidentId(7), [1; 16], [2; 8]));
    let anomaly = Arc::new(anomaly("checkout"));
    let request = rendered(&[Event::Anomaly { change: AnomalyChange::Detected, time: TIME, anomaly, incident: held }]);
    let resource = at(&request, "/resourceLogs/0/resource");
    assert_eq!(attribute(resource, "service.name"), Some(&"checkout".into()));
    assert_eq!(attribute(resource, "service.namespace"), Some(&"shop".into()));
    assert_eq!(at(&request, "/resourceLogs/0/scopeLogs/0/scope/name"), "foreshock");
    assert_eq!(at(&request, "/resourceLogs/0/scopeLogs/0/scope/version"), "0.1.0");
    let record = at(&request, "/resourceLogs/0/scopeLogs/0/logRecords/0");
    assert_eq!(record["eventName"], "foreshock.anomaly.detected");
    assert_eq!(record["timeUnixNano"], "1700000000000000000");
    assert_eq!(record["severityNumber"], 17);
    assert_eq!(record["body"]["stringValue"], "checkout queue.length is 310");
    assert_eq!(record["traceId"], "01010101010101010101010101010101");
    assert_eq!(record["spanId"], "0202020202020202");
    let expected: [(&str, Value); 15] = [
        ("foreshock.anomaly.id", "000000000000001f".into()),
        ("foreshock.anomaly.kind", "spike".into()),
        ("foreshock.anomaly.score", 0.99.into()),
        ("foreshock.anomaly.severity", "error".into()),
        ("foreshock.anomaly.observed", 310.into()),
        ("foreshock.anomaly.expected", 120.5.into()),
        ("foreshock.anomaly.start", "2023-11-14T22:13:20Z".into()),
        ("foreshock.anomaly.evidence.window", "10 s".into()),
        ("foreshock.series.name", "queue.length".into()),
        ("foreshock.series.unit", "{item}".into()),
        ("foreshock.series.attributes", r#"{"route":"/a \"b\""}"#.into()),
        ("foreshock.detector.name", "baseline".into()),
        ("foreshock.detector.version", "1.2.3".into()),
        ("foreshock.detector.digest", "ab".repeat(32).into()),
        ("foreshock.incident.id", "0000000000000007".into()),
    ];
    for (key, value) in expected {
        assert_eq!(attribute(record, key), Some(&value), "{key}");
    }
    for absent in ["foreshock.anomaly.lower", "foreshock.anomaly.upper", "foreshock.prediction.limit"] {
        assert_eq!(attribute(record, absent), None, "{absent} is not known");
    }
}

/// A prediction says when the limit is reached, as times that people and machines read.
#[test]
fn a_prediction_carries_its_forecast() {
    let mut anomaly = anomaly("checkout");
    anomaly.resource = Arc::default();
    anomaly.forecast =
        Some(Forecast { limit: 100.0, reaches: TIME, earliest: TIME.minus(1_000_000_000), latest: TIME });
    let anomaly = Arc::new(anomaly);
    let request =
        rendered(&[Event::Prediction { change: PredictionChange::Raised, time: TIME, anomaly, incident: None }]);
    let record = at(&request, "/resourceLogs/0/scopeLogs/0/logRecords/0");
    assert_eq!(record["eventName"], "foreshock.prediction.raised");
    assert_eq!(attribute(record, "foreshock.prediction.limit"), Some(&100.into()));
    assert_eq!(attribute(record, "foreshock.prediction.reaches"), Some(&"2023-11-14T22:13:20Z".into()));
    assert_eq!(attribute(record, "foreshock.prediction.earliest"), Some(&"2023-11-14T22:13:19Z".into()));
    assert!(record.get("traceId").is_none());
    // The resource names the service even if its attributes did not come along.
    assert_eq!(attribute(at(&request, "/resourceLogs/0/resource"), "service.name"), Some(&"checkout".into()));
}

/// Incidents and detector health speak in Foreshock's own name; groups keep the order of the events.
#[test]
fn incidents_and_health_carry_our_own_resource() {
    let health = DetectorHealth {
        detector: anomaly("x").detector,
        service: ServiceKey::new("", "cart"),
        time: TIME,
        reason: Some(FaultReason::Deadline),
        message: "took longer than 100 ms".into(),
    };
    let detected = |service: &str| Event::Anomaly {
        change: AnomalyChange::Ended,
        time: TIME,
        anomaly: Arc::new(anomaly(service)),
        incident: None,
    };
    let events = [
        detected("checkout"),
        Event::Incident { change: IncidentChange::Opened, time: TIME, incident: Arc::new(incident()) },
        detected("cart"),
        detected("checkout"),
        Event::DetectorHealth(health),
        Event::Trace { incident: Arc::new(incident()) },
    ];
    let request = rendered(&events);
    assert_eq!(request["resourceLogs"].as_array().map(Vec::len), Some(3));
    assert_eq!(at(&request, "/resourceLogs/0/scopeLogs/0/logRecords").as_array().map(Vec::len), Some(2));
    let resource = at(&request, "/resourceLogs/1/resource");
    assert_eq!(attribute(resource, "service.name"), Some(&"foreshock".into()));
    assert_eq!(attribute(resource, "service.version"), Some(&"0.1.0".into()));
    let opened = at(&request, "/resourceLogs/1/scopeLogs/0/logRecords/0");
    assert_eq!(opened["eventName"], "foreshock.incident.opened");
    assert_eq!(opened["severityNumber"], 21);
    let services = serde_json::json!({"values": [{"stringValue": "cart"}, {"stringValue": "shop/checkout"}]});
    assert_eq!(attribute(opened, "foreshock.incident.services"), Some(&services));
    assert_eq!(attribute(opened, "foreshock.incident.state"), Some(&"open".into()));
    assert_eq!(attribute(opened, "foreshock.incident.root_cause.service"), Some(&"shop/checkout".into()));
    assert_eq!(attribute(opened, "foreshock.incident.anomaly_count"), Some(&"1".into()));
    let logs =
        serde_json::json!({"values": [{"stringValue": "shop/checkout: connection pool timeout (74 records, 74 %)"}]});
    assert_eq!(attribute(opened, "foreshock.incident.logs"), Some(&logs));
    let health = at(&request, "/resourceLogs/1/scopeLogs/0/logRecords/1");
    assert_eq!(health["eventName"], "foreshock.detector.health");
    assert_eq!(attribute(health, "foreshock.detector.fault"), Some(&"deadline".into()));
    assert!(encode::logs(&[Event::Trace { incident: Arc::new(incident()) }], &own()).is_none());
}

/// The trace of an incident: the root under our own resource, the rest under the services', tied together by ids that the
/// events carried from the start.
#[test]
fn an_incident_is_a_trace() {
    let mut incident = incident();
    incident.closed = Some(TIME.plus(60_000_000_000));
    let bytes = encode::traces(&incident::spans(&incident), &own());
    let items = view::validate(Signal::Traces, &bytes).expect("valid OTLP");
    assert_eq!(items.count, 4, "root, two services, one anomaly");
    let request: Value = serde_json::from_str(&json::to_json(Signal::Traces, &bytes)).expect("JSON");
    assert_eq!(attribute(at(&request, "/resourceSpans/0/resource"), "service.name"), Some(&"foreshock".into()));
    let root = at(&request, "/resourceSpans/0/scopeSpans/0/spans/0");
    assert_eq!(root["name"], "incident");
    assert!(root.get("parentSpanId").is_none());
    assert_eq!(root["status"]["code"], 2);
    assert_eq!(root["status"]["message"], "checkout is slow");
    assert_eq!(root["links"][0]["traceId"], "09".repeat(16));
    let opened =
        rendered(&[Event::Incident { change: IncidentChange::Opened, time: TIME, incident: Arc::new(incident) }]);
    let opened = at(&opened, "/resourceLogs/0/scopeLogs/0/logRecords/0");
    assert_eq!((&opened["traceId"], &opened["spanId"]), (&root["traceId"], &root["spanId"]));
    let names: Vec<_> = (1..3)
        .map(|index| attribute(at(&request, &format!("/resourceSpans/{index}/resource")), "service.name").cloned())
        .collect();
    assert_eq!(names, [Some("cart".into()), Some("checkout".into())]);
    let anomaly = at(&request, "/resourceSpans/2/scopeSpans/0/spans/1");
    let service = at(&request, "/resourceSpans/2/scopeSpans/0/spans/0");
    assert_eq!(service["parentSpanId"], root["spanId"]);
    assert_eq!(anomaly["parentSpanId"], service["spanId"]);
    assert_eq!(anomaly["kind"], 1);
}
