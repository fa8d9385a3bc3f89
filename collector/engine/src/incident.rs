//! From anomalies to incidents: grouped over the service graph, ranked, explained.
//!
//! Anomalies that are near in time and connected in the graph form a group. A group opens as an incident once it is
//! corroborated, by several kinds of series, a metric and a log, several services or persistence; grows; may become part of an
//! older one; and is resolved when all its anomalies ended and a quiet time passed. What comes back soon reopens it.

mod case;
mod cause;
mod cause_anomalies;
mod corroboration;
mod explain;
pub mod graph;
mod histogram;
mod history;
mod join;
mod lifecycle;
mod logs;
mod neighbours;
mod services;
mod sign;
pub mod trace;
mod words;

pub use graph::Edge;
pub use services::{HealthState, ServiceHealth};
pub use trace::{IncidentSpan, SpanValue, spans};

use crate::{
    event::{Anomaly, AnomalyChange, AnomalyId, Event, Incident, IncidentChange, IncidentId, PredictionChange},
    facts::WindowFacts,
    saved::{self, SavedError},
    shard::ShardOutput,
    time::UnixNanos,
    verdict::Severity,
    window::ServiceKey,
};
use case::Case;
use graph::Graph;
use history::History;
use join::Join;
use serde::{Deserialize, Serialize};
use services::ServiceMemory;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Layout of the saved bytes.
const SCHEMA: u32 = 3;
const SECOND: u64 = 1_000_000_000;

/// How anomalies become incidents. All lengths are nanoseconds of event time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IncidentSettings {
    /// Anomalies whose starts are this near belong together if they are connected.
    pub join_nanos: u64,
    /// What begins within this time after the latest growth of an open incident belongs to it if it is connected. What begins
    /// later belongs to it only if it is explained by it.
    pub growth_nanos: u64,
    /// Anomalies whose starts are this near corroborate each other.
    pub agree_nanos: u64,
    /// Calls between two services that count as connected, 0 to 2.
    pub max_distance: u32,
    /// Windows that a single anomaly of severity warning must last to open an incident.
    pub persist_windows: u32,
    /// Readings of its series that it must last, where these come less often than windows.
    pub persist_readings: u32,
    /// Windows, or readings, by which the end of an anomaly lags behind: `AnomalySettings::close_after`.
    pub end_lag_windows: u32,
    /// An incident is resolved when this time passed after the end of its last anomaly.
    pub quiet_nanos: u64,
    /// What comes back within this time after an incident was resolved reopens it.
    pub reopen_nanos: u64,
    /// Incidents opened further apart do not merge, and an incident this old takes in only what starts near its latest
    /// anomaly.
    pub merge_nanos: u64,
    /// A change of version this long before the start is mentioned.
    pub version_nanos: u64,
    /// Updates of an incident are at least this far apart, unless its severity rises.
    pub update_every_nanos: u64,
    /// A service that is silent for this long has no open anomalies any more.
    pub lapse_nanos: u64,
    /// A trace is complete when the service that spoke last in it is this much further on.
    pub trace_age_nanos: u64,
    /// Spans held for joining; when full, the trace that ended first is finished as it is, and counted.
    pub max_trace_spans: usize,
    /// Open incidents. When full, further groups stay candidates, which is counted.
    pub max_open: usize,
    /// Candidates. When full, the one that was quiet longest is dropped, which is counted.
    pub max_candidates: usize,
    /// Anomalies kept in an incident, the strongest. Further ones are only counted.
    pub max_anomalies: usize,
    /// Closed incidents kept.
    pub max_recent: usize,
    /// Services remembered. When full, the one that was silent longest is forgotten.
    pub max_services: usize,
}

impl Default for IncidentSettings {
    fn default() -> Self {
        Self {
            join_nanos: 600 * SECOND,
            growth_nanos: 240 * SECOND,
            agree_nanos: 300 * SECOND,
            max_distance: 2,
            persist_windows: 18,
            persist_readings: 6,
            end_lag_windows: 3,
            quiet_nanos: 300 * SECOND,
            reopen_nanos: 1_800 * SECOND,
            merge_nanos: 5_400 * SECOND,
            version_nanos: 1_800 * SECOND,
            update_every_nanos: 60 * SECOND,
            lapse_nanos: 1_800 * SECOND,
            trace_age_nanos: 30 * SECOND,
            max_trace_spans: 100_000,
            max_open: 256,
            max_candidates: 1_024,
            max_anomalies: 64,
            max_recent: 256,
            max_services: 20_000,
        }
    }
}

/// What was left out for want of room, since the start.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct LeftOut {
    /// Corroborated groups that could not open, once per tick.
    pub incidents: u64,
    /// Candidates dropped.
    pub candidates: u64,
    /// Traces finished early, and spans left out.
    pub traces: u64,
    /// Cells of the history, and spans too old for it.
    pub history: u64,
}

/// An open anomaly and the group that holds it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Held {
    anomaly: Arc<Anomaly>,
    case: u64,
}

/// Everything that outlives a restart.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Memory {
    services: BTreeMap<ServiceKey, ServiceMemory>,
    history: History,
    join: Join,
    /// Candidates and open incidents in the order in which they began.
    cases: BTreeMap<u64, Case>,
    next_case: u64,
    held: BTreeMap<AnomalyId, Held>,
    /// Closed ones, the oldest first, with what is needed to reopen them.
    recent: VecDeque<(Incident, Case)>,
    last_now: UnixNanos,
    left_out: LeftOut,
}

/// Everything that crosses services: the graph, the joining of traces, and incidents.
#[derive(Debug)]
pub struct Correlator {
    settings: IncidentSettings,
    memory: Memory,
    events: VecDeque<Event>,
    /// Groups that became part of another one in the epoch in hand: which, and of which.
    moved: BTreeMap<u64, u64>,
    /// Whether all services known in the epoch in hand have the same namespace.
    one_namespace: bool,
}

/// An anomaly's event on its way out, before its incident is known.
struct Telling {
    change: AnomalyChange,
    time: UnixNanos,
    anomaly: Arc<Anomaly>,
    case: Option<u64>,
    prediction: Option<PredictionChange>,
}

impl Correlator {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(settings: IncidentSettings) -> Self {
        let memory = Memory {
            services: BTreeMap::new(),
            history: History::new(),
            join: Join::default(),
            cases: BTreeMap::new(),
            next_case: 0,
            held: BTreeMap::new(),
            recent: VecDeque::new(),
            last_now: UnixNanos(0),
            left_out: LeftOut::default(),
        };
        Self { settings, memory, events: VecDeque::new(), moved: BTreeMap::new(), one_namespace: false }
    }

    /// Takes what all shards said up to the tick `now`. Outputs of one service must come in their own order; how the services are
    /// interleaved makes no difference.
    pub fn handle_epoch(&mut self, now: UnixNanos, mut outputs: Vec<ShardOutput>) {
        let now = now.max(self.memory.last_now);
        self.memory.last_now = now;
        outputs.sort_by(|a, b| a.time().cmp(&b.time()).then_with(|| a.service().cmp(b.service())));
        // All windows of the epoch are known before any of its anomalies is judged, so that it makes no difference whose window
        // closed first.
        let windows =
            || outputs.iter().filter_map(|o| if let ShardOutput::Window(facts) = o { Some(facts) } else { None });
        windows().for_each(|facts| self.meet(facts, now));
        self.memory.history.advance(self.horizon(now));
        windows().for_each(|facts| self.observe(facts));
        self.join_traces(now);
        let idle = self.memory.cases.is_empty() && !outputs.iter().any(|o| matches!(o, ShardOutput::Anomaly { .. }));
        let graph = if idle { Graph::default() } else { Graph::new(&self.memory.history) };
        if !idle {
            let mut namespaces = self.memory.services.keys().map(|service| &service.namespace);
            let first = namespaces.next();
            self.one_namespace = namespaces.all(|namespace| Some(namespace) == first);
        }
        let mut tellings = Vec::new();
        for output in outputs {
            match output {
                ShardOutput::Window(_) => {}
                ShardOutput::Anomaly { change, time, anomaly } => {
                    tellings.push(Ok(self.place(&graph, change, time, anomaly)));
                }
                ShardOutput::Health(health) => tellings.push(Err(health)),
                ShardOutput::Forgotten { service, .. } => self.forget(&service),
            }
        }
        self.moved.clear();
        let mut changes = Vec::new();
        self.advance(&graph, now, &mut changes);
        for telling in tellings {
            match telling {
                Ok(telling) => self.tell(telling),
                Err(health) => self.events.push_back(Event::DetectorHealth(health)),
            }
        }
        self.close_quiet(&graph, &mut changes);
        self.events.extend(changes);
    }

    /// The next event for the outside.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Somebody takes an incident at tick `now`. `false` if there is no such open incident, or it was taken already.
    pub fn acknowledge(&mut self, id: IncidentId, now: UnixNanos) -> bool {
        let now = now.max(self.memory.last_now);
        let services = &self.memory.services;
        let found = self.memory.cases.values_mut().find(|case| case.id == id && case.is_open());
        let Some(case) = found.filter(|case| case.acknowledged.is_none()) else { return false };
        let clock = case.services.iter().filter_map(|service| Some(services.get(service)?.clock(now))).max();
        case.clock = case.clock.max(clock.unwrap_or_default());
        case.acknowledged = Some(case.clock);
        let incident = Arc::new(case.incident(case.state(), None, None));
        self.events.push_back(Event::Incident { change: IncidentChange::Acknowledged, time: case.clock, incident });
        true
    }

    /// All services, ascending, as of the last tick.
    #[must_use]
    pub fn services(&self) -> Vec<ServiceHealth> {
        let mut open: BTreeMap<&ServiceKey, (usize, Severity)> = BTreeMap::new();
        for held in self.memory.held.values() {
            let entry = open.entry(&held.anomaly.service).or_default();
            entry.0 += 1;
            entry.1 = entry.1.max(held.anomaly.severity);
        }
        let now = self.memory.last_now;
        let health = |(service, memory): (&ServiceKey, &ServiceMemory)| {
            let anomalies = open.get(service).copied();
            let silence = memory.clock(now).since(memory.last_end);
            let state = match anomalies.map(|(_, severity)| severity) {
                _ if silence > memory.step.saturating_mul(10).max(300 * SECOND) => HealthState::Silent,
                Some(Severity::Error | Severity::Critical) => HealthState::Failing,
                Some(Severity::Warning) => HealthState::Degraded,
                Some(Severity::Info) | None => HealthState::Healthy,
            };
            ServiceHealth {
                service: service.clone(),
                state,
                signals: memory.signals,
                step_nanos: memory.step,
                last_window: memory.last_end,
                version: memory.version.clone(),
                open_anomalies: anomalies.map_or(0, |(count, _)| count),
                severity: anomalies.map(|(_, severity)| severity),
            }
        };
        self.memory.services.iter().map(health).collect()
    }

    /// Open incidents, the oldest first.
    #[must_use]
    pub fn open_incidents(&self) -> Vec<Incident> {
        let open = self.memory.cases.values().filter(|case| case.is_open());
        open.map(|case| case.incident(case.state(), None, None)).collect()
    }

    /// Closed incidents, the latest first, at most [`IncidentSettings::max_recent`]. A reopened one appears once per closing.
    #[must_use]
    pub fn recent_incidents(&self) -> Vec<Incident> {
        self.memory.recent.iter().rev().map(|(incident, _)| incident.clone()).collect()
    }

    /// Open anomalies, by id.
    #[must_use]
    pub fn open_anomalies(&self) -> Vec<Arc<Anomaly>> {
        self.memory.held.values().map(|held| Arc::clone(&held.anomaly)).collect()
    }

    /// Who called whom in the last hour, by caller and callee.
    #[must_use]
    pub fn graph(&self) -> Vec<Edge> {
        graph::edges(&self.memory.history)
    }

    /// What was left out for want of room.
    #[must_use]
    pub fn left_out(&self) -> LeftOut {
        LeftOut { traces: self.memory.join.evicted(), history: self.memory.history.left_out(), ..self.memory.left_out }
    }

    /// All that is known, for keeping. Events that were not polled are not part of it.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        saved::encode(SCHEMA, &self.memory)
    }

    /// Goes on from what [`Correlator::snapshot`] gave.
    ///
    /// # Errors
    /// If the bytes are of another schema or can't be read.
    pub fn restore(settings: IncidentSettings, bytes: &[u8]) -> Result<Self, SavedError> {
        Ok(Self {
            settings,
            memory: saved::decode(SCHEMA, bytes)?,
            events: VecDeque::new(),
            moved: BTreeMap::new(),
            one_namespace: false,
        })
    }

    /// Event time on which services agree: the middle one of their clocks.
    fn horizon(&self, now: UnixNanos) -> UnixNanos {
        let mut clocks: Vec<UnixNanos> = self.memory.services.values().map(|known| known.clock(now)).collect();
        let middle = clocks.len() / 2;
        if clocks.is_empty() { UnixNanos(0) } else { *clocks.select_nth_unstable(middle).1 }
    }

    /// Takes what a window says of its service.
    fn meet(&mut self, facts: &WindowFacts, now: UnixNanos) {
        let memory = &mut self.memory;
        if memory.services.len() >= self.settings.max_services && !memory.services.contains_key(&facts.service) {
            let silent =
                memory.services.iter().min_by_key(|(key, known)| (known.last_end, *key)).map(|(key, _)| key.clone());
            if let Some(service) = silent {
                memory.services.remove(&service);
            }
        }
        memory.services.entry(facts.service.clone()).or_default().observe(facts, now);
    }

    /// Takes what a window adds to the last hour.
    fn observe(&mut self, facts: &WindowFacts) {
        let memory = &mut self.memory;
        let Some(node) = memory.history.observed_node(&facts.service) else { return };
        // The last instant of the window, so that it falls into the slot in which the window ends.
        let inside = facts.end.minus(1);
        let labels: Vec<(u32, u64)> = facts
            .logs
            .iter()
            .filter_map(|excerpt| {
                let mark = if excerpt.severity_number >= 17 { '!' } else { '#' };
                let label = memory.history.label(&Arc::from(format!("{mark}{}", excerpt.text)))?;
                Some((label, excerpt.count))
            })
            .collect();
        let mut left_out = 0;
        if let Some(slot) = memory.history.slot(inside) {
            *slot.requests.entry(node).or_default() += facts.signals.calls;
            for (label, count) in labels {
                if let Some(cell) = History::cell(&mut slot.logs, (node, label), &mut left_out) {
                    *cell += count;
                }
            }
        }
        memory.history.count_left_out(left_out);
        for span in &facts.spans {
            memory.join.push(&mut memory.history, node, span.clone(), self.settings.max_trace_spans);
        }
    }

    fn join_traces(&mut self, now: UnixNanos) {
        let Memory { services, history, join, .. } = &mut self.memory;
        let clocks: BTreeMap<u32, UnixNanos> = join
            .awaited()
            .into_iter()
            .filter_map(|node| {
                let known = services.get(history.service(node)?)?;
                Some((node, known.clock(now).minus(known.step)))
            })
            .collect();
        join.complete(history, self.settings.trace_age_nanos, |node| clocks.get(&node).copied());
    }

    fn forget(&mut self, service: &ServiceKey) {
        self.memory.services.remove(service);
        for case in self.memory.cases.values_mut() {
            case.going_on.retain(|_, (held, _)| held != service);
        }
        self.memory.held.retain(|_, held| held.anomaly.service != *service);
    }
}
