//! What an open incident takes in and what it does not, and how it is worded.

use crate::shop::{Shop, What, anomaly, at, begins, changes, ends, series, told};
use foreshock_engine::{
    UnixNanos,
    event::{Anomaly, AnomalyChange, Event, IncidentChange},
    facts::{GoldenSignals, LogExcerpt, WindowFacts},
    incident::{Correlator, IncidentSettings},
    shard::ShardOutput,
    verdict::Severity,
    window::{SeriesKind, ServiceKey},
};
use std::sync::Arc;

/// `a` calls `b` and `c`; `b` is slow from 10:08 on and stays so, and `a` shows it.
fn slow_b() -> Shop {
    let mut shop = Shop::new(&["a", "b", "c"], &[("a", "b"), ("a", "c")]);
    shop.quiet(1, 8);
    shop.own_ms.insert("b", 500);
    shop.quiet(8, 10);
    let said = [("b", What::Latency), ("b", What::Errors), ("a", What::Latency)]
        .map(|(name, what)| begins(&anomaly(name, what, 8, Severity::Error)));
    let events = shop.minute(10, said.to_vec());
    assert_eq!(changes(&events), [IncidentChange::Opened]);
    shop
}

fn two(name: &str, start: u64) -> Vec<ShardOutput> {
    [What::Latency, What::Errors].iter().map(|what| begins(&anomaly(name, *what, start, Severity::Error))).collect()
}

/// A second fault while the first goes on is an incident of its own, though both are connected through their caller. What begins
/// soon after the first belongs to it.
#[test]
fn a_later_fault_is_not_swallowed_by_an_open_incident() {
    for (start, opened) in [(10, 0), (24, 1)] {
        let mut shop = slow_b();
        let mut events = shop.quiet(11, start + 2);
        events.extend(shop.minute(start + 2, two("c", start)));
        events.extend(shop.quiet(start + 3, start + 8));
        let count = changes(&events).iter().filter(|change| **change == IncidentChange::Opened).count();
        assert_eq!(count, opened, "{start}");
        assert_eq!(shop.correlator.open_incidents().len(), 1 + opened, "{start}");
    }
}

/// What the open incident explains stays in it however late: the same series again, its root cause, and what depends on that.
#[test]
fn what_an_open_incident_explains_belongs_to_it() {
    for (name, what) in [("b", What::Cpu), ("a", What::Errors), ("a", What::Latency)] {
        let mut shop = slow_b();
        shop.quiet(11, 26);
        let before = shop.correlator.open_incidents()[0].clone();
        assert_eq!(&*before.root_causes[0].service.name, "b");
        shop.minute(26, vec![begins(&anomaly(name, what, 24, Severity::Error))]);
        shop.quiet(27, 32);
        let open = shop.correlator.open_incidents();
        assert_eq!((open.len(), open[0].anomaly_count), (1, before.anomaly_count + 1), "{name} {what:?}");
    }
}

/// An anomaly that ends while its group becomes part of another one is told with the incident that has it now.
#[test]
fn what_ends_in_the_epoch_of_a_merge_keeps_its_incident() {
    let mut met = 0;
    for end in 12..18 {
        let mut shop = Shop::new(&["a", "b"], &[]);
        shop.quiet(1, 10);
        shop.minute(10, two("a", 8));
        shop.minute(11, two("b", 9));
        let first = shop.correlator.open_incidents()[0].id;
        shop.calls.push(("a", "b"));
        shop.quiet(12, end);
        let events = shop.minute(end, vec![ends(&anomaly("b", What::Latency, 9, Severity::Error), end)]);
        if changes(&events).contains(&IncidentChange::Merged) {
            met += 1;
            let told = events.iter().find_map(|event| match event {
                Event::Anomaly { change: AnomalyChange::Ended, incident, .. } => {
                    Some(incident.map(|incident| incident.0))
                }
                _ => None,
            });
            assert_eq!(told, Some(Some(first)));
        }
    }
    assert_eq!(met, 1, "one of these minutes is that of the merge");
}

/// Silence comes back for ever: it must not bring a resolved incident back.
#[test]
fn doubts_about_data_reopen_nothing() {
    let doubt = |start| Anomaly {
        detector: crate::shop::detector("data-quality"),
        kind: "missing_data".into(),
        ..anomaly("b", What::Calls, start, Severity::Warning)
    };
    let mut shop = slow_b();
    shop.minute(11, vec![begins(&doubt(9))]);
    let odd = [("b", What::Latency), ("b", What::Errors), ("a", What::Latency)];
    let mut said: Vec<_> = odd.iter().map(|(n, w)| ends(&anomaly(n, *w, 8, Severity::Error), 14)).collect();
    said.push(ends(&doubt(9), 14));
    shop.own_ms.clear();
    shop.minute(14, said);
    let events = shop.quiet(15, 25);
    assert!(changes(&events).contains(&IncidentChange::Resolved), "{:?}", changes(&events));
    let mut events = shop.minute(27, vec![begins(&doubt(25))]);
    events.extend(shop.quiet(28, 40));
    assert_eq!(changes(&events), []);
}

/// A series that speaks once in six windows has not lasted after three readings.
#[test]
fn persistence_counts_readings_where_they_are_rare() {
    for (every, minutes_until) in [(60, 21), (300, 45)] {
        let mut shop = Shop::new(&["a"], &[]);
        shop.quiet(1, 10);
        let odd = Anomaly { every_nanos: every * 1_000_000_000, ..anomaly("a", What::Cpu, 8, Severity::Warning) };
        let mut events = shop.minute(10, vec![begins(&odd)]);
        events.extend(shop.quiet(11, 8 + minutes_until));
        assert_eq!(changes(&events), [], "{every}");
        assert_eq!(changes(&shop.quiet(8 + minutes_until, 12 + minutes_until))[0], IncidentChange::Opened, "{every}");
    }
}

const THROWN: &str = "Servlet.service() for servlet [dispatcherServlet] in context with path [<*>] threw exception \
                      [Request processing failed; nested exception is java.lang.NullPointerException] with root cause";

/// A new pattern that makes up the errors is said once, and cut at a word.
#[test]
fn a_log_text_is_said_once_and_cut() {
    let mut shop = Shop::new(&["a"], &[]);
    shop.quiet(1, 10);
    shop.logs.insert("a", vec![(THROWN, 40)]);
    let mut pattern = anomaly("a", What::Log, 9, Severity::Error);
    let attributes = [("foreshock.template.text", THROWN), ("log.severity", "error")];
    pattern.series = series(4, "log.template", "{record}/s", SeriesKind::LogTemplate, &attributes);
    let said = [pattern, anomaly("a", What::Cpu, 9, Severity::Warning)];
    shop.quiet(10, 11);
    let events = shop.minute(11, said.iter().map(begins).collect());
    let incident = told(&events, IncidentChange::Opened).expect("a metric and a log agree");
    assert_eq!(
        incident.sentence,
        "a logs the new pattern 'Servlet.service() for servlet [dispatcherServlet] in context with path [<*>]…' since 10:09, \
         which is 100 % of its error logs; 1 service affected."
    );
}

/// Errors that come as often as ever are not what an incident is about; lines that come more often are, be they no errors.
#[test]
fn what_the_logs_say_is_what_changed_in_them() {
    const USUAL: (&str, u64) = ("card <*> refused", 5);
    let mut shop = Shop::new(&["a"], &[]);
    shop.logs.insert("a", vec![USUAL]);
    shop.quiet(1, 10);
    shop.logs.insert("a", vec![USUAL, ("slow query on <*>", 30)]);
    shop.quiet(10, 11);
    let said = [anomaly("a", What::Latency, 9, Severity::Error), anomaly("a", What::Cpu, 9, Severity::Warning)];
    let events = shop.minute(11, said.iter().map(begins).collect());
    let incident = told(&events, IncidentChange::Opened).expect("two kinds of series agree");
    assert!(
        incident.sentence.contains("; it logs 'slow query on <*>' more than before (60 times); "),
        "{}",
        incident.sentence
    );
    assert!(!incident.sentence.contains("refused"), "{}", incident.sentence);
}

fn named(namespace: &str, name: &str, minute: u64) -> ShardOutput {
    ShardOutput::Window(Box::new(WindowFacts {
        service: ServiceKey::new(namespace, name),
        start: at(minute - 1),
        end: at(minute),
        signals: GoldenSignals { calls: 10, ..Default::default() },
        versions: Vec::new(),
        logs: Vec::<LogExcerpt>::new(),
        spans: Vec::new(),
        span_sampling: 1.0,
    }))
}

/// A namespace that all services have tells nothing; where there are two, names without them would be ambiguous.
#[test]
fn a_common_namespace_is_left_out_of_sentences() {
    for (other, start) in [("shop", "pay p99 latency rose"), ("bank", "shop/pay p99 latency rose")] {
        let mut correlator = Correlator::new(IncidentSettings::default());
        for minute in 1..10 {
            correlator.handle_epoch(at(minute), vec![named("shop", "pay", minute), named(other, "cart", minute)]);
        }
        let odd = |what| {
            let odd = anomaly("pay", what, 8, Severity::Error);
            Arc::new(Anomaly { service: ServiceKey::new("shop", "pay"), sentence: "shop/pay is odd".to_owned(), ..odd })
        };
        let said = [What::Latency, What::Errors].map(|what| {
            let time: UnixNanos = at(10);
            ShardOutput::Anomaly { change: AnomalyChange::Detected, time, anomaly: odd(what) }
        });
        correlator
            .handle_epoch(at(10), [vec![named("shop", "pay", 10), named(other, "cart", 10)], said.to_vec()].concat());
        let events: Vec<Event> = std::iter::from_fn(|| correlator.poll_event()).collect();
        let incident = told(&events, IncidentChange::Opened).expect("two kinds of series agree");
        assert!(incident.sentence.starts_with(start), "{}", incident.sentence);
        assert_eq!(incident.title.starts_with("shop/"), other == "bank", "{}", incident.title);
        let Some(Event::Anomaly { anomaly, .. }) = events.first() else { panic!("the anomaly is told first") };
        assert_eq!(anomaly.sentence.starts_with("shop/"), other == "bank", "{}", anomaly.sentence);
    }
}
