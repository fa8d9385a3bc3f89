//! How an incident lives: resolving, reopening, merging, acknowledging, and surviving a restart.

use crate::shop::{Shop, What, anomaly, at, begins, changes, ends, service, told};
use foreshock_engine::{
    event::{Anomaly, Event, Incident, IncidentChange, IncidentState},
    incident::{Correlator, IncidentSettings, spans},
    shard::ShardOutput,
    verdict::Severity,
};
use std::sync::Arc;

fn traces(events: &[Event]) -> Vec<Arc<Incident>> {
    let trace = |event: &Event| if let Event::Trace { incident } = event { Some(Arc::clone(incident)) } else { None };
    events.iter().filter_map(trace).collect()
}

/// Two anomalies of connected services, ten minutes in.
fn pair(start: u64) -> [Anomaly; 2] {
    ["a", "b"].map(|name| anomaly(name, What::Latency, start, Severity::Error))
}

fn connected() -> Shop {
    let mut shop = Shop::new(&["a", "b"], &[("a", "b")]);
    shop.quiet(1, 10);
    shop
}

/// One incident from `start` to the end of its anomalies ten minutes later; gives all events until it is resolved.
fn incident(shop: &mut Shop, start: u64) -> Vec<Event> {
    let pair = pair(start);
    let mut events = shop.quiet(start, start + 2);
    events.extend(shop.minute(start + 2, pair.iter().map(begins).collect()));
    events.extend(shop.quiet(start + 3, start + 10));
    events.extend(shop.minute(start + 10, pair.iter().map(|odd| ends(odd, start + 10)).collect()));
    events.extend(shop.quiet(start + 11, start + 13));
    events
}

/// An incident ends once, after the quiet time, with one trace whose spans lie inside.
#[test]
fn resolves_once_with_one_trace() {
    let mut shop = connected();
    let mut events = incident(&mut shop, 10);
    events.extend(shop.quiet(23, 40));
    let seen = changes(&events);
    assert_eq!(seen.first(), Some(&IncidentChange::Opened));
    assert_eq!(seen.iter().filter(|change| **change == IncidentChange::Resolved).count(), 1);
    let closed = traces(&events);
    assert_eq!(closed.len(), 1);
    let incident = &closed[0];
    // The last odd window ended at 10:17; five quiet minutes later.
    assert_eq!((incident.opened, incident.closed), (at(12), Some(at(22))));
    assert_eq!(incident.state, IncidentState::Resolved);
    let spans = spans(incident);
    assert_eq!(spans.len(), 5, "a root, two services, two anomalies");
    assert!(spans.iter().all(|span| span.trace_id == incident.trace_id && span.start <= span.end));
    assert!(spans.iter().all(|span| incident.opened <= span.start && Some(span.end) <= incident.closed));
    let root = &spans[0];
    assert_eq!((root.span_id, root.parent, root.name.as_str()), (incident.root_span_id, None, "incident"));
    for span in &spans[1..] {
        let parent = spans.iter().find(|other| Some(other.span_id) == span.parent).expect("the parent is in the trace");
        assert!(parent.start <= span.start && span.end <= parent.end, "{} outlives {}", span.name, parent.name);
    }
    assert!(shop.correlator.open_incidents().is_empty());
    assert_eq!(shop.correlator.recent_incidents().len(), 1);
}

/// What comes back soon is the same incident with a new trace linked to the old one; later it is a new incident.
#[test]
fn reopens_within_half_an_hour_and_not_later() {
    let mut shop = connected();
    let first = incident(&mut shop, 10);
    let second = incident(&mut shop, 40);
    let third = incident(&mut shop, 100);
    let (first, second, third) = (traces(&first), traces(&second), traces(&third));
    assert_eq!((first.len(), second.len(), third.len()), (1, 1, 1));
    assert_eq!(first[0].id, second[0].id);
    assert_eq!((first[0].reopened, second[0].reopened, third[0].reopened), (0, 1, 0));
    assert_ne!(first[0].trace_id, second[0].trace_id);
    assert_eq!(second[0].previous_trace, Some((first[0].trace_id, first[0].root_span_id)));
    assert!(spans(&second[0])[0].links.contains(&(first[0].trace_id, first[0].root_span_id)));
    assert_ne!(second[0].id, third[0].id);
    assert_eq!(third[0].previous_trace, None);
}

/// The same series again is enough to reopen, without waiting for corroboration.
#[test]
fn the_same_series_reopens_at_once() {
    let mut shop = connected();
    incident(&mut shop, 10);
    let events = shop.minute(30, vec![begins(&anomaly("b", What::Latency, 28, Severity::Warning))]);
    assert_eq!(changes(&events), [IncidentChange::Reopened]);
    // Another service is another matter.
    let mut shop = Shop::new(&["a", "b", "c"], &[("a", "b")]);
    shop.quiet(1, 10);
    incident(&mut shop, 10);
    let events = shop.minute(30, vec![begins(&anomaly("c", What::Latency, 28, Severity::Warning))]);
    assert_eq!(changes(&events), []);
}

/// Incidents that turn out to be connected become one: the older stays, the younger says so and sends its trace.
#[test]
fn connected_incidents_merge_into_the_older() {
    let mut shop = Shop::new(&["a", "b"], &[]);
    shop.quiet(1, 10);
    let two = |name: &str, start| [What::Latency, What::Errors].map(|what| anomaly(name, what, start, Severity::Error));
    let mut events = shop.minute(10, two("a", 8).iter().map(begins).collect());
    events.extend(shop.minute(11, two("b", 9).iter().map(begins).collect()));
    assert_eq!(changes(&events), [IncidentChange::Opened, IncidentChange::Opened]);
    let ids: Vec<_> = shop.correlator.open_incidents().iter().map(|incident| incident.id).collect();
    shop.calls.push(("a", "b"));
    let events = shop.quiet(12, 16);
    let merged = told(&events, IncidentChange::Merged).expect("they are connected now");
    assert_eq!((merged.id, merged.merged_into), (ids[1], Some(ids[0])));
    assert_eq!(traces(&events).len(), 1);
    let open = shop.correlator.open_incidents();
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].id, open[0].anomaly_count), (ids[0], 4));
    assert_eq!(open[0].services, [service("a"), service("b")]);
}

/// What a service had when it was forgotten has ended, and does not go on again in the incident that takes its own in: nobody would
/// ever tell the end, and the incident would never be resolved.
#[test]
fn what_was_forgotten_does_not_go_on_in_a_merged_incident() {
    let mut shop = Shop::new(&["a", "b"], &[]);
    shop.quiet(1, 10);
    let two = |name: &str, start| [What::Latency, What::Errors].map(|what| anomaly(name, what, start, Severity::Error));
    let (older, younger) = (two("a", 8), two("b", 9));
    shop.minute(10, older.iter().map(begins).collect());
    shop.minute(11, younger.iter().map(begins).collect());
    shop.calls.push(("a", "b"));
    let mut events = shop.minute(12, vec![ShardOutput::Forgotten { service: service("b"), time: at(12) }]);
    events.extend(shop.quiet(13, 16));
    assert!(told(&events, IncidentChange::Merged).is_some(), "they are connected now");
    shop.minute(16, older.iter().map(|odd| ends(odd, 16)).collect());
    let events = shop.quiet(17, 30);
    assert!(told(&events, IncidentChange::Resolved).is_some());
    assert!(shop.correlator.open_incidents().is_empty());
}

/// Taking an incident is told once and kept until it is resolved.
#[test]
fn acknowledged_once_until_resolved() {
    let mut shop = connected();
    let said = pair(10).iter().map(begins).collect();
    shop.minute(12, said);
    let id = shop.correlator.open_incidents()[0].id;
    assert!(shop.correlator.acknowledge(id, at(13)));
    assert!(!shop.correlator.acknowledge(id, at(13)));
    let events = shop.quiet(14, 15);
    assert_eq!(changes(&events)[0], IncidentChange::Acknowledged);
    assert_eq!(shop.correlator.open_incidents()[0].state, IncidentState::Acknowledged);
    let said = pair(10).iter().map(|odd| ends(odd, 16)).collect();
    let mut events = shop.minute(16, said);
    events.extend(shop.quiet(17, 30));
    assert_eq!(told(&events, IncidentChange::Resolved).map(|incident| incident.acknowledged), Some(Some(at(13))));
}

/// A service that falls silent for good must not keep an incident open for ever.
#[test]
fn silence_ends_an_incident_at_last() {
    let mut shop = connected();
    shop.services.push("c");
    shop.minute(12, pair(10).iter().map(begins).collect());
    shop.services = vec!["c"];
    shop.calls.clear();
    let events = shop.quiet(13, 60);
    assert_eq!(changes(&events).iter().filter(|change| **change == IncidentChange::Resolved).count(), 1);
}

/// The answer must not depend on which shard came first.
#[test]
fn the_order_of_services_within_an_epoch_makes_no_difference() {
    let story = |shuffled: bool| {
        let mut shop = Shop::new(&["a", "b", "c", "d"], &[("a", "b"), ("b", "c"), ("a", "d"), ("c", "db")]);
        shop.shuffled = shuffled;
        let mut events = shop.quiet(1, 10);
        events.extend(incident(&mut shop, 10));
        let said: Vec<_> =
            ["d", "c", "a"].iter().map(|name| begins(&anomaly(name, What::Errors, 40, Severity::Error))).collect();
        events.extend(shop.minute(42, said));
        events.extend(shop.quiet(43, 50));
        events
    };
    let events = story(false);
    assert!(changes(&events).len() >= 3);
    assert!(events == story(true));
}

/// A restart in the middle of a story must not change how it goes on.
#[test]
fn a_restart_changes_nothing() {
    let rest = |shop: &mut Shop| {
        let pair = pair(10);
        let mut events = shop.quiet(13, 20);
        events.extend(shop.minute(20, pair.iter().map(|odd| ends(odd, 20)).collect()));
        events.extend(shop.quiet(21, 40));
        events.extend(incident(shop, 40));
        events
    };
    let begin = || {
        let mut shop = connected();
        shop.minute(12, pair(10).iter().map(begins).collect());
        shop
    };
    let mut steady = begin();
    let mut restarted = begin();
    let bytes = restarted.correlator.snapshot();
    restarted.correlator = Correlator::restore(IncidentSettings::default(), &bytes).expect("it was just written");
    let events = rest(&mut steady);
    assert!(changes(&events).contains(&IncidentChange::Reopened));
    assert!(events == rest(&mut restarted));
    assert!(Correlator::restore(IncidentSettings::default(), &bytes[1..]).is_err());
}
