//! What opens an incident, and what is said of it.

use crate::shop::{Shop, What, anomaly, at, begins, changes, ends, service, told};
use foreshock_engine::{
    event::{Anomaly, Event, IncidentChange, PredictionChange},
    incident::HealthState,
    shard::ShardOutput,
    verdict::{Forecast, Severity},
};
use std::sync::Arc;

/// The sentence of the whole product: what rose from where to where, the version before it, the logs, and how many services.
#[test]
fn one_sentence_says_it_all() {
    let mut shop = Shop::new(
        &["frontend", "checkout", "payment"],
        &[("frontend", "checkout"), ("checkout", "payment"), ("payment", "postgresql")],
    );
    shop.version.insert("checkout", "1.7.2");
    shop.quiet(1, 4);
    shop.version.insert("checkout", "1.8.0");
    shop.quiet(4, 6);
    shop.own_ms.insert("checkout", 400);
    shop.logs.insert("checkout", vec![("connection pool timeout", 74), ("could not reserve stock for order <*>", 26)]);
    let mut events = shop.quiet(6, 7);
    let checkout = anomaly("checkout", What::Latency, 5, Severity::Error);
    let frontend = anomaly("frontend", What::Latency, 5, Severity::Warning);
    let payment = anomaly("payment", What::Calls, 5, Severity::Warning);
    events.extend(shop.minute(7, vec![begins(&checkout), begins(&frontend), begins(&payment)]));
    events.extend(shop.quiet(8, 11));
    let incident = shop.correlator.open_incidents().remove(0);
    assert_eq!(
        incident.sentence,
        "checkout p99 latency rose from 120 ms to 310 ms at 10:05, 2 minutes after version 1.8.0; \
         74 % of its error logs are 'connection pool timeout'; 3 services affected."
    );
    assert_eq!(incident.title, "checkout: p99 latency is high, 2 more services affected");
    assert_eq!(incident.severity, Severity::Error);
    assert_eq!(incident.root_causes[0].service, service("checkout"));
    assert!(
        incident.root_causes[0].summary.contains("its own work on GET / takes"),
        "{}",
        incident.root_causes[0].summary
    );
    assert_eq!(incident.services, [service("checkout"), service("frontend"), service("payment")]);
    assert!(!incident.exemplars.is_empty() && incident.exemplars.len() <= 32);
    assert_eq!(changes(&events)[0], IncidentChange::Opened);
    assert!(
        incident
            .grouping
            .iter()
            .any(|reason| reason.contains("frontend calls checkout") || reason.contains("is called by")),
        "{:?}",
        incident.grouping
    );
}

/// Two services that call each other corroborate; their incident names the callee that does the damage, not the caller that
/// shows it.
#[test]
fn the_callee_that_does_the_damage_is_named() {
    let mut shop = Shop::new(&["frontend", "payment"], &[("frontend", "payment")]);
    shop.quiet(1, 10);
    shop.own_ms.insert("payment", 500);
    shop.quiet(10, 11);
    let said = vec![
        begins(&anomaly("frontend", What::Latency, 9, Severity::Error)),
        begins(&anomaly("payment", What::Latency, 9, Severity::Warning)),
    ];
    shop.minute(11, said);
    shop.quiet(12, 16);
    let incident = shop.correlator.open_incidents().remove(0);
    assert_eq!(incident.root_causes[0].service, service("payment"));
    assert!(incident.root_causes[0].score > 0.5, "{:?}", incident.root_causes);
    assert!(incident.sentence.starts_with("payment p99 latency rose"), "{}", incident.sentence);
}

/// When twice as many come in, what is slow behind the entrance is slow for that reason: the entrance is named. With the usual
/// load, the slow service is.
#[test]
fn a_surge_of_requests_is_named_before_those_who_suffer_from_it() {
    for (load, named) in [(1_800, "frontend"), (600, "stock")] {
        let mut shop = Shop::new(&["frontend", "stock"], &[("frontend", "stock")]);
        shop.quiet(1, 30);
        shop.load = load;
        shop.own_ms.insert("stock", 45);
        shop.quiet(30, 33);
        let said = vec![
            begins(&anomaly("frontend", What::Calls, 30, Severity::Warning)),
            begins(&anomaly("stock", What::Latency, 30, Severity::Warning)),
        ];
        shop.minute(33, said);
        shop.quiet(34, 38);
        let incident = shop.correlator.open_incidents().remove(0);
        assert_eq!(incident.root_causes[0].service, service(named), "{:?}", incident.root_causes);
    }
}

/// A database sends no telemetry; it must still be found behind the services that wait for it.
#[test]
fn a_slow_database_is_found_behind_its_callers() {
    let mut shop = Shop::new(
        &["frontend", "orders", "stock"],
        &[("frontend", "orders"), ("frontend", "stock"), ("orders", "postgresql"), ("stock", "postgresql")],
    );
    shop.quiet(1, 10);
    shop.own_ms.insert("postgresql", 400);
    shop.quiet(10, 11);
    let said = vec![
        begins(&anomaly("orders", What::Latency, 9, Severity::Error)),
        begins(&anomaly("stock", What::Latency, 9, Severity::Error)),
    ];
    shop.minute(11, said);
    shop.quiet(12, 16);
    let incidents = shop.correlator.open_incidents();
    assert_eq!(incidents.len(), 1, "both call the same database, so it is one incident");
    assert_eq!(incidents[0].root_causes[0].service, service("postgresql"));
    assert_eq!(incidents[0].blast_radius, [service("frontend")]);
    assert!(incidents[0].sentence.contains("it probably started in postgresql"), "{}", incidents[0].sentence);
    let far: Vec<_> = shop.correlator.graph().into_iter().filter(|edge| edge.far_side).collect();
    assert_eq!(far.len(), 2);
    assert!(far.iter().all(|edge| edge.callee == service("postgresql") && edge.calls > 0));
}

/// Services that have nothing to do with each other must not be thrown together, however near in time.
#[test]
fn unconnected_services_do_not_corroborate() {
    let mut shop = Shop::new(&["a", "b"], &[]);
    shop.quiet(1, 10);
    let said = ["a", "b"].map(|name| begins(&anomaly(name, What::Latency, 8, Severity::Error)));
    let mut events = shop.minute(10, said.to_vec());
    events.extend(shop.quiet(11, 12));
    assert_eq!(changes(&events), []);
}

/// A metric and a log of the same service corroborate; two statistics of the same kind do not.
#[test]
fn a_metric_and_a_log_open_an_incident() {
    let mut shop = Shop::new(&["a"], &[]);
    shop.quiet(1, 10);
    let events = shop.minute(10, vec![begins(&anomaly("a", What::Latency, 8, Severity::Warning))]);
    assert_eq!(changes(&events), []);
    let mut median = anomaly("a", What::Latency, 9, Severity::Warning);
    median.series = crate::shop::series(
        9,
        "traces.span.metrics.duration",
        "s",
        foreshock_engine::window::SeriesKind::SpanDuration,
        &[("foreshock.statistic", "p50")],
    );
    let events = shop.minute(11, vec![begins(&median)]);
    assert_eq!(changes(&events), []);
    let events = shop.minute(12, vec![begins(&anomaly("a", What::Log, 10, Severity::Warning))]);
    assert_eq!(changes(&events), [IncidentChange::Opened]);
    let incident = told(&events, IncidentChange::Opened).map(|incident| incident.grouping.clone()).unwrap_or_default();
    assert!(incident.iter().any(|reason| reason.contains("a metric and a log agree")), "{incident:?}");
    // The event of the anomaly that opened it carries it already.
    assert!(matches!(&events[0], Event::Anomaly { incident: Some(_), .. }));
}

/// A histogram of durations and the spans of the same requests measure the same thing: both together prove no more than one.
/// What became better proves nothing either, not even beside an error.
#[test]
fn the_same_sign_twice_and_improvements_corroborate_nothing() {
    let mut histogram = anomaly("a", What::Latency, 8, Severity::Error);
    histogram.series = crate::shop::series(
        9,
        "http.server.request.duration",
        "s",
        foreshock_engine::window::SeriesKind::Quantile,
        &[("foreshock.statistic", "p95")],
    );
    let mut less_busy = anomaly("a", What::Cpu, 8, Severity::Info);
    (less_busy.observed, less_busy.expected) = (Some(0.1), Some(0.4));
    let mut shop = Shop::new(&["a"], &[]);
    shop.quiet(1, 10);
    let said = [anomaly("a", What::Latency, 8, Severity::Error), histogram, less_busy];
    let events = shop.minute(10, said.iter().map(begins).collect());
    assert_eq!(changes(&events), []);
    let events = shop.minute(11, vec![begins(&anomaly("a", What::Errors, 10, Severity::Error))]);
    assert_eq!(changes(&events), [IncidentChange::Opened]);
}

/// One series alone must last, and worth knowing is never worth an incident.
#[test]
fn one_series_alone_must_last_and_be_a_warning() {
    for (severity, opens) in [(Severity::Info, false), (Severity::Warning, true)] {
        let mut shop = Shop::new(&["a"], &[]);
        shop.quiet(1, 10);
        let mut events = shop.minute(10, vec![begins(&anomaly("a", What::Cpu, 8, severity))]);
        events.extend(shop.quiet(11, 17));
        assert_eq!(changes(&events), [], "{severity}");
        events.extend(shop.quiet(17, 40));
        assert_eq!(changes(&events).contains(&IncidentChange::Opened), opens, "{severity}");
    }
}

/// Two oddities that are merely worth knowing stay silent, since calm services have some.
#[test]
fn info_never_opens() {
    let mut shop = Shop::new(&["a", "b"], &[("a", "b")]);
    shop.quiet(1, 10);
    let said = [("a", What::Cpu), ("a", What::Log), ("b", What::Latency)];
    let said = said.map(|(name, what)| begins(&anomaly(name, what, 8, Severity::Info)));
    let mut events = shop.minute(10, said.to_vec());
    events.extend(shop.quiet(11, 60));
    assert_eq!(changes(&events), []);
}

/// A series that is no longer sent is worth an event. It neither opens an incident nor keeps one open, since it can stay away for
/// days.
#[test]
fn doubts_about_data_neither_open_nor_hold() {
    let doubt = |what, start| Anomaly {
        detector: crate::shop::detector("data-quality"),
        kind: "missing_data".into(),
        ..anomaly("a", what, start, Severity::Warning)
    };
    let mut shop = Shop::new(&["a"], &[]);
    shop.quiet(1, 10);
    let mut events = shop.minute(10, vec![begins(&doubt(What::Cpu, 8)), begins(&doubt(What::Calls, 8))]);
    events.extend(shop.quiet(11, 40));
    assert_eq!(changes(&events), []);
    let odd = [What::Latency, What::Errors].map(|what| anomaly("a", what, 40, Severity::Error));
    shop.minute(42, odd.iter().chain([&doubt(What::Log, 40)]).map(begins).collect());
    let mut events = shop.minute(50, odd.iter().map(|odd| ends(odd, 50)).collect());
    events.extend(shop.quiet(51, 60));
    assert!(changes(&events).contains(&IncidentChange::Resolved), "{:?}", changes(&events));
}

/// A forecast is told as a prediction when it is raised and when it is cleared.
#[test]
fn predictions_are_raised_and_cleared() {
    let mut shop = Shop::new(&["a"], &[]);
    shop.quiet(1, 10);
    let mut disk = anomaly("a", What::Cpu, 8, Severity::Warning);
    disk.forecast = Some(Forecast { limit: 1.0, reaches: at(90), earliest: at(80), latest: at(100) });
    let mut events = shop.minute(10, vec![begins(&disk)]);
    events.extend(shop.minute(11, vec![ends(&disk, 14)]));
    let predictions: Vec<PredictionChange> = events
        .iter()
        .filter_map(|event| if let Event::Prediction { change, .. } = event { Some(*change) } else { None })
        .collect();
    assert_eq!(predictions, [PredictionChange::Raised, PredictionChange::Cleared]);
}

/// The page shows services at a glance: their state must follow their open anomalies and their silence.
#[test]
fn health_follows_anomalies_and_silence() {
    let mut shop = Shop::new(&["a", "b", "c"], &[]);
    shop.quiet(1, 10);
    let said = vec![
        begins(&anomaly("a", What::Cpu, 8, Severity::Error)),
        begins(&anomaly("b", What::Cpu, 8, Severity::Warning)),
    ];
    shop.minute(10, said);
    let states = |shop: &Shop| shop.correlator.services().iter().map(|health| health.state).collect::<Vec<_>>();
    assert_eq!(states(&shop), [HealthState::Failing, HealthState::Degraded, HealthState::Healthy]);
    shop.services = vec!["a", "b"];
    shop.quiet(11, 25);
    assert_eq!(states(&shop)[2], HealthState::Silent);
}

/// One sender with a wrong clock must neither resolve others' incidents nor wipe what is known of them.
#[test]
fn a_wrong_clock_harms_nobody_else() {
    let story = |ahead: Option<u64>| {
        let mut shop = Shop::new(&["a", "b", "c", "wrong"], &[("a", "b"), ("b", "c")]);
        shop.ahead.extend(ahead.map(|minutes| ("wrong", minutes)));
        shop.quiet(1, 10);
        shop.own_ms.insert("b", 300);
        shop.quiet(10, 11);
        let said = ["a", "b"].map(|name| begins(&anomaly(name, What::Latency, 9, Severity::Error)));
        let mut events = shop.minute(11, said.to_vec());
        events.extend(shop.quiet(12, 20));
        let told = events.iter().filter_map(|event| match event {
            Event::Incident { change, time, incident } => {
                Some((*change, *time, incident.services.clone(), incident.root_causes[0].service.clone()))
            }
            _ => None,
        });
        (told.collect::<Vec<_>>(), shop.correlator.graph())
    };
    assert!(!story(None).0.is_empty());
    assert_eq!(story(None), story(Some(1_440)));
}

/// What is told of an anomaly keeps the incident, and health of detectors passes through.
#[test]
fn outputs_of_an_epoch_pass_through_in_order() {
    let mut shop = Shop::new(&["a"], &[]);
    shop.quiet(1, 10);
    let health = foreshock_engine::verdict::DetectorHealth {
        detector: crate::shop::detector("x"),
        service: service("a"),
        time: at(10),
        reason: None,
        message: "works again".to_owned(),
    };
    let odd = anomaly("a", What::Cpu, 8, Severity::Warning);
    let events = shop.minute(10, vec![begins(&odd), ShardOutput::Health(health.clone())]);
    assert_eq!(events.len(), 2);
    assert!(matches!(&events[0], Event::Anomaly { anomaly, incident: None, .. } if Arc::as_ref(anomaly) == &odd));
    assert_eq!(events[1], Event::DetectorHealth(health));
}
