//! What must hold for any input, however odd.

use crate::shop::{What, anomaly, at, service};
use foreshock_engine::{
    event::{Anomaly, AnomalyChange, Event, IncidentChange, IncidentId},
    facts::{GoldenSignals, SpanFact, SpanFactKind, WindowFacts},
    incident::{Correlator, IncidentSettings, spans},
    shard::ShardOutput,
    verdict::Severity,
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const WHATS: [What; 5] = [What::Latency, What::Errors, What::Calls, What::Log, What::Cpu];
const SEVERITIES: [Severity; 4] = [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical];

/// One thing that happens in a minute.
#[derive(Clone, Debug)]
enum Step {
    Begin(usize, usize, usize),
    End(usize),
    Call(usize, usize, u64),
    Forget(usize),
    Acknowledge(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..5usize, 0..5usize, 0..4usize).prop_map(|(name, what, severity)| Step::Begin(name, what, severity)),
        5 => (0..8usize).prop_map(Step::End),
        3 => (0..5usize, 0..5usize, 0..u64::MAX).prop_map(|(from, to, id)| Step::Call(from, to, id)),
        1 => (0..5usize).prop_map(Step::Forget),
        1 => (0..3usize).prop_map(Step::Acknowledge),
        4 => (1..25u64).prop_map(Step::Wait),
    ]
}

fn window(name: &str, minute: u64, spans: Vec<SpanFact>) -> ShardOutput {
    ShardOutput::Window(Box::new(WindowFacts {
        service: service(name),
        start: at(minute - 1),
        end: at(minute),
        signals: GoldenSignals { calls: 10, ..Default::default() },
        versions: Vec::new(),
        logs: Vec::new(),
        spans,
        span_sampling: 1.0,
    }))
}

fn call(from: &str, to: &str, id: u64, minute: u64) -> [ShardOutput; 2] {
    let span = |id: u64, parent: u64, kind| SpanFact {
        trace_id: u128::from(id | 1).to_be_bytes(),
        span_id: id.to_be_bytes(),
        parent_span_id: parent.to_be_bytes(),
        operation: "op".into(),
        kind,
        start: at(minute - 1),
        duration_nanos: id,
        error: id.is_multiple_of(3),
        peer: None,
    };
    [
        window(from, minute, vec![span(id, 0, SpanFactKind::Exit)]),
        window(to, minute, vec![span(id.wrapping_add(1), id, SpanFactKind::Entry)]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the shards say: nothing panics, numbers are bounded, each opening is followed by exactly one end with exactly one
    /// trace, no trace is sent twice, and all times lie inside.
    #[test]
    fn every_opening_has_one_end_and_one_trace(steps in proptest::collection::vec(step(), 1..120)) {
        let settings = IncidentSettings { max_open: 3, max_candidates: 4, max_anomalies: 3, max_recent: 5, ..Default::default() };
        let mut correlator = Correlator::new(settings);
        let mut going_on: Vec<Anomaly> = Vec::new();
        let (mut minute, mut events) = (10, Vec::new());
        let mut ids = BTreeSet::new();
        for step in steps {
            let mut outputs = Vec::new();
            let mut to = minute + 1;
            match step {
                Step::Begin(name, what, severity) => {
                    let odd = anomaly(NAMES[name], WHATS[what], minute - 2, SEVERITIES[severity]);
                    if ids.insert(odd.id) {
                        outputs.push(ShardOutput::Anomaly { change: AnomalyChange::Detected, time: at(minute), anomaly: Arc::new(odd.clone()) });
                        going_on.push(odd);
                    }
                }
                Step::End(place) if place < going_on.len() => {
                    let mut odd = going_on.remove(place);
                    odd.last = at(minute);
                    odd.end = Some(at(minute));
                    outputs.push(ShardOutput::Anomaly { change: AnomalyChange::Ended, time: at(minute), anomaly: Arc::new(odd) });
                }
                Step::Call(from, to, id) => outputs.extend(call(NAMES[from], NAMES[to], id, minute)),
                Step::Forget(name) => outputs.push(ShardOutput::Forgotten { service: service(NAMES[name]), time: at(minute) }),
                Step::Acknowledge(place) => {
                    if let Some(incident) = correlator.open_incidents().get(place) {
                        correlator.acknowledge(incident.id, at(minute));
                    }
                }
                Step::Wait(minutes) => to = minute + minutes,
                Step::End(_) => {}
            }
            outputs.extend(NAMES[..3].iter().map(|name| window(name, minute, Vec::new())));
            correlator.handle_epoch(at(minute), outputs);
            events.extend(std::iter::from_fn(|| correlator.poll_event()));
            prop_assert!(correlator.open_incidents().len() <= 3 && correlator.recent_incidents().len() <= 5);
            prop_assert!(correlator.open_incidents().iter().all(|incident| incident.anomalies.len() <= 3));
            for quiet in minute + 1..to {
                correlator.handle_epoch(at(quiet), NAMES[..3].iter().map(|name| window(name, quiet, Vec::new())).collect());
                events.extend(std::iter::from_fn(|| correlator.poll_event()));
            }
            minute = to;
        }
        // All anomalies end, and enough time passes for everything to be resolved.
        let ended = going_on.into_iter().map(|mut odd| {
            odd.last = at(minute);
            odd.end = Some(at(minute));
            ShardOutput::Anomaly { change: AnomalyChange::Ended, time: at(minute), anomaly: Arc::new(odd) }
        });
        correlator.handle_epoch(at(minute), ended.collect());
        for later in minute + 1..minute + 45 {
            correlator.handle_epoch(at(later), NAMES.iter().map(|name| window(name, later, Vec::new())).collect());
        }
        events.extend(std::iter::from_fn(|| correlator.poll_event()));
        prop_assert!(correlator.open_incidents().is_empty());

        let mut open: BTreeMap<IncidentId, [u8; 16]> = BTreeMap::new();
        let mut awaited = BTreeSet::new();
        let mut sent = BTreeSet::new();
        for event in &events {
            match event {
                Event::Incident { change: IncidentChange::Opened | IncidentChange::Reopened, incident, .. } => {
                    prop_assert!(open.insert(incident.id, incident.trace_id).is_none(), "opened twice");
                }
                Event::Incident { change: IncidentChange::Resolved | IncidentChange::Merged, incident, .. } => {
                    prop_assert_eq!(open.remove(&incident.id), Some(incident.trace_id), "closed without being open");
                    awaited.insert(incident.trace_id);
                }
                Event::Incident { incident, .. } => prop_assert!(open.contains_key(&incident.id), "told while closed"),
                Event::Trace { incident } => {
                    prop_assert!(awaited.remove(&incident.trace_id), "a trace of nothing");
                    prop_assert!(sent.insert(incident.trace_id), "a trace twice");
                    let spans = spans(incident);
                    prop_assert!(incident.closed >= Some(incident.opened));
                    let mut ids = BTreeSet::new();
                    for span in &spans {
                        prop_assert!(ids.insert(span.span_id) && span.span_id != [0; 8] && span.trace_id != [0; 16]);
                        prop_assert!(incident.opened <= span.start && span.start <= span.end && Some(span.end) <= incident.closed);
                        prop_assert!(span.links.len() <= 32);
                    }
                }
                _ => {}
            }
        }
        prop_assert!(open.is_empty() && awaited.is_empty());
    }
}
