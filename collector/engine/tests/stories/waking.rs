//! What is worth waking somebody, and what is not.

use crate::shop::{Shop, What, anomaly, begins, changes, ends, series, told};
use foreshock_engine::{
    event::{Anomaly, AnomalyId, IncidentChange},
    verdict::Severity,
    window::SeriesKind,
};

/// A gauge of a service that went from `expected` to `observed`.
fn gauge(name: &str, metric: &str, unit: &str, (expected, observed): (f64, f64), start: u64) -> Anomaly {
    Anomaly {
        id: AnomalyId(xxhash_rust::xxh3::xxh3_64(format!("{name} {metric} {start}").as_bytes())),
        series: series(9, metric, unit, SeriesKind::Gauge, &[]),
        observed: Some(observed),
        expected: Some(expected),
        ..anomaly(name, What::Cpu, start, Severity::Warning)
    }
}

fn connected() -> Shop {
    let mut shop = Shop::new(&["a", "b"], &[("a", "b")]);
    shop.quiet(1, 10);
    shop
}

/// What happens in the hour after these anomalies begin at 10:08.
fn after(said: &[Anomaly]) -> Vec<IncidentChange> {
    let mut shop = connected();
    let mut events = shop.minute(10, said.iter().map(begins).collect());
    events.extend(shop.quiet(11, 70));
    changes(&events)
}

/// Bytes and system calls follow what users do, and fall whenever these rest: however many of them, in however many services and
/// for however long, they wake nobody.
#[test]
fn how_busy_a_machine_is_wakes_nobody() {
    let said = ["a", "b"].map(|name| {
        [
            gauge(name, "pod.network.receive", "By/s", (20_000.0, 900.0), 8),
            gauge(name, "pod.syscall.read", "{call}", (400.0, 3.0), 8),
            gauge(name, "pod.network.transmit", "By/s", (900.0, 90_000.0), 8),
        ]
    });
    assert_eq!(after(said.as_flattened()), []);
}

/// A level that nobody can call good or bad supports what does harm. Alone, or beside another such level, it is an event and no
/// more.
#[test]
fn without_harm_nothing_opens() {
    let level = |name| gauge(name, "cache.entries", "{entry}", (500.0, 900.0), 8);
    let memory = |name| gauge(name, "process.memory.usage", "By", (1e8, 3e8), 8);
    assert_eq!(after(&[level("a"), memory("a"), level("b")]), []);
    let slow = anomaly("a", What::Latency, 8, Severity::Warning);
    assert_eq!(after(&[slow.clone(), level("a")])[0], IncidentChange::Opened);
    assert_eq!(after(&[slow, memory("b")])[0], IncidentChange::Opened);
}

/// A resource that is almost used up does harm; the same rise far from the limit is a level.
#[test]
fn a_resource_harms_when_it_is_almost_used_up() {
    for (observed, opens) in [(0.5, false), (0.9, true)] {
        let busy = gauge("a", "process.cpu.utilization", "1", (0.2, observed), 8);
        assert_eq!(after(&[busy]).contains(&IncidentChange::Opened), opens, "{observed}");
    }
}

/// A surge and a loss of users are told before anything is slow: more requests in two connected services, or fewer. More in one
/// and fewer in the other is no such thing, and neither is one service alone.
#[test]
fn requests_that_change_in_several_services_open_an_incident() {
    let calls =
        |name: &str, observed| Anomaly { observed: Some(observed), ..anomaly(name, What::Calls, 8, Severity::Warning) };
    for (second, words) in [(40.0, Some("both get more requests")), (2.0, None)] {
        let mut shop = connected();
        let events = shop.minute(10, vec![begins(&calls("a", 40.0)), begins(&calls("b", second))]);
        let opened = told(&events, IncidentChange::Opened);
        let reason = opened.map(|incident| incident.grouping.last().cloned().unwrap_or_default());
        assert_eq!(reason.is_some(), words.is_some(), "{second}");
        assert!(reason.unwrap_or_default().contains(words.unwrap_or_default()));
    }
    assert_eq!(after(&[calls("a", 40.0)]), []);
}

/// Two oddities that begin far apart are two coincidences: what corroborates begins at about the same time.
#[test]
fn what_corroborates_begins_at_about_the_same_time() {
    for (start, opens) in [(12, true), (15, false)] {
        let mut shop = connected();
        let brief = anomaly("a", What::Latency, 8, Severity::Warning);
        let mut events = shop.minute(10, vec![begins(&brief)]);
        events.extend(shop.quiet(11, 13));
        events.extend(shop.minute(13, vec![ends(&brief, 13)]));
        events.extend(shop.quiet(14, start + 2));
        events.extend(shop.minute(start + 2, vec![begins(&anomaly("b", What::Latency, start, Severity::Warning))]));
        assert_eq!(changes(&events).contains(&IncidentChange::Opened), opens, "{start}");
    }
}

/// What wakes nobody must not keep an incident open either, nor bring it back.
#[test]
fn what_wakes_nobody_neither_holds_nor_reopens() {
    let quiet = |start| gauge("a", "pod.network.receive", "By/s", (20_000.0, 900.0), start);
    let slow = ["a", "b"].map(|name| anomaly(name, What::Latency, 8, Severity::Warning));
    let mut shop = connected();
    shop.minute(10, slow.iter().chain([&quiet(8)]).map(begins).collect());
    let mut events = shop.minute(20, slow.iter().map(|slow| ends(slow, 20)).collect());
    events.extend(shop.quiet(21, 30));
    assert!(changes(&events).contains(&IncidentChange::Resolved), "{:?}", changes(&events));
    let mut events = shop.minute(32, vec![ends(&quiet(8), 32), begins(&quiet(30))]);
    events.extend(shop.quiet(33, 60));
    assert_eq!(changes(&events), []);
}
