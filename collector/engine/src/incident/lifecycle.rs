//! What becomes of anomalies and groups from tick to tick: placing, opening, merging, telling, resolving, reopening.

use super::{
    Correlator, Held, Telling,
    case::{Case, Findings, Told, case_label, signature},
    corroboration::corroboration,
    explain::View,
    graph::Graph,
    neighbours::Neighbours,
    sign::{Worth, telling_severity, worth},
};
use crate::{
    event::{Anomaly, AnomalyChange, Event, Incident, IncidentChange, IncidentId, IncidentState, PredictionChange},
    time::UnixNanos,
    verdict::Severity,
    window::ServiceKey,
};
use std::{collections::BTreeSet, sync::Arc};

/// Open anomalies that are grouped at a time; further ones are told without an incident.
const MAX_HELD: usize = 65_536;
/// How often all groups are compared anew, in nanoseconds.
const REGROUP_NANOS: u64 = 60_000_000_000;

impl Correlator {
    /// Finds the group of an anomaly, or makes one.
    pub(super) fn place(
        &mut self,
        graph: &Graph,
        change: AnomalyChange,
        time: UnixNanos,
        mut anomaly: Arc<Anomaly>,
    ) -> Telling {
        // A namespace that all services have tells nothing.
        let namespace = &anomaly.service.namespace;
        if self.one_namespace && !namespace.is_empty() && anomaly.sentence.starts_with(&format!("{namespace}/")) {
            let bare = anomaly.sentence[namespace.len() + 1..].to_owned();
            Arc::make_mut(&mut anomaly).sentence = bare;
        }
        let before = self.memory.held.get(&anomaly.id).map(|held| held.case);
        let had_forecast = self.memory.held.get(&anomaly.id).is_some_and(|held| held.anomaly.forecast.is_some());
        let prediction = match (anomaly.forecast.is_some(), had_forecast, change) {
            (true, _, AnomalyChange::Ended) => Some(PredictionChange::Cleared),
            (true, false, _) => Some(PredictionChange::Raised),
            (false, true, _) => Some(PredictionChange::Cleared),
            _ => None,
        };
        let case = match (before, change) {
            (Some(number), _) => {
                if let Some(case) = self.memory.cases.get_mut(&number) {
                    case.update(&self.settings, Arc::clone(&anomaly), time);
                }
                Some(number)
            }
            // It began before this process knew of it, or its incident was closed over it.
            (None, AnomalyChange::Ended) => None,
            (None, AnomalyChange::Detected | AnomalyChange::Updated) if self.memory.held.len() >= MAX_HELD => None,
            (None, AnomalyChange::Detected | AnomalyChange::Updated) => Some(self.assign(graph, time, &anomaly)),
        };
        match (change, case) {
            (AnomalyChange::Ended, _) => {
                self.memory.held.remove(&anomaly.id);
            }
            (_, Some(case)) => {
                self.memory.held.insert(anomaly.id, Held { anomaly: Arc::clone(&anomaly), case });
            }
            (_, None) => {}
        }
        Telling { change, time, anomaly, case, prediction }
    }

    /// The nearest group in the graph among those near in time, open ones first, then the oldest; a resolved one that this brings
    /// back; or a new candidate.
    fn assign(&mut self, graph: &Graph, time: UnixNanos, anomaly: &Arc<Anomaly>) -> u64 {
        let mut best: Option<((bool, bool, u32, u64), String)> = None;
        for (number, case) in &self.memory.cases {
            // What is worth nothing connects no services.
            let reaches = case.tells && worth(anomaly) > Worth::Nothing || case.services.contains(&anomaly.service);
            if !reaches || !case.is_near(&self.settings, anomaly.start) {
                continue;
            }
            let Some((distance, reason)) = self.link(graph, case, &anomaly.service) else { continue };
            let late = self.is_late(case, anomaly.start);
            if late && !self.explains(graph, case, anomaly) {
                continue;
            }
            let key = (late, !case.is_open(), distance, *number);
            if best.as_ref().is_none_or(|(other, _)| key < *other) {
                let apart = anomaly.start.0.abs_diff(case.start.0);
                let when = if anomaly.start >= case.start { "after" } else { "before" };
                let apart = crate::anomaly::units::span_in_words(apart);
                best = Some((key, format!("{}: {reason}, {apart} {when} the first", case_label(anomaly))));
            }
        }
        if let Some(((.., number), reason)) = best {
            if let Some(case) = self.memory.cases.get_mut(&number) {
                case.join(&self.settings, Arc::clone(anomaly), reason, time);
            }
            return number;
        }
        self.make_room();
        let number = self.memory.next_case;
        self.memory.next_case += 1;
        let case = Case::new(&self.settings, Arc::clone(anomaly), time);
        self.memory.cases.insert(number, case);
        number
    }

    /// Whether what begins at `start` comes long after the latest growth of an open incident.
    fn is_late(&self, case: &Case, start: UnixNanos) -> bool {
        case.is_open() && start > case.latest_start.plus(self.settings.growth_nanos)
    }

    /// Whether an open incident explains an anomaly that begins long after it grew last: the same series again, or, while it
    /// goes on, the probable root cause or what depends on it. What is two severities worse is another matter, unless it
    /// is the root cause itself.
    fn explains(&self, graph: &Graph, case: &Case, anomaly: &Anomaly) -> bool {
        if case.signatures.contains(&signature(anomaly)) {
            return true;
        }
        if !case.goes_on() {
            return false;
        }
        let cause = case.findings.causes.first().map(|cause| &cause.service);
        let Some(cause) = cause else { return case.services.contains(&anomaly.service) };
        if *cause == anomaly.service {
            return true;
        }
        let far_worse = (anomaly.severity as u8).saturating_sub(case.severity as u8) >= 2;
        let history = &self.memory.history;
        let depends = || {
            let (Some(cause), Some(node)) = (history.find(cause), history.find(&anomaly.service)) else { return false };
            graph.upstream(&BTreeSet::from([cause])).contains(&node)
        };
        !far_worse && depends()
    }

    fn link(&self, graph: &Graph, case: &Case, service: &ServiceKey) -> Option<(u32, String)> {
        let links = case
            .services
            .iter()
            .filter_map(|old| graph.link(&self.memory.history, old, service, self.settings.max_distance));
        links.min_by_key(|link| link.distance).map(|link| (link.distance, link.reason))
    }

    /// Drops the candidate that was quiet longest if there are too many.
    fn make_room(&mut self) {
        let candidates = || self.memory.cases.iter().filter(|(_, case)| !case.is_open());
        if candidates().count() >= self.settings.max_candidates.max(1) {
            let quiet = candidates().min_by_key(|(number, case)| (case.latest, **number)).map(|(number, _)| *number);
            if let Some(number) = quiet {
                self.drop_case(number);
                self.memory.left_out.candidates += 1;
            }
        }
    }

    /// Takes a group out; what is left of its anomalies is grouped anew when they are told again.
    fn drop_case(&mut self, number: u64) -> Option<Case> {
        self.memory.held.retain(|_, held| held.case != number);
        self.memory.cases.remove(&number)
    }

    /// Moves clocks on, opens what is corroborated, merges what became connected, and tells what changed.
    pub(super) fn advance(&mut self, graph: &Graph, now: UnixNanos, changes: &mut Vec<Event>) {
        if self.memory.cases.is_empty() {
            return;
        }
        let services = &self.memory.services;
        let lapse = self.settings.lapse_nanos;
        for case in self.memory.cases.values_mut() {
            let clocks = case.services.iter().filter_map(|service| Some(services.get(service)?.clock(now)));
            let clock = case.clock.max(clocks.max().unwrap_or_default());
            // Now and then all groups are compared anew, because the graph learns.
            case.regroup |= clock.0 / REGROUP_NANOS != case.clock.0 / REGROUP_NANOS;
            case.clock = clock;
            let speaks = |service: &ServiceKey| {
                services.get(service).is_some_and(|known| known.clock(now).since(known.last_end) <= lapse)
            };
            case.going_on.retain(|_, (service, _)| speaks(service));
        }
        self.merge(graph, changes);
        self.open(graph, changes);
        self.merge(graph, changes);
        self.memory.cases.values_mut().for_each(|case| case.regroup = false);
        self.tell_updates(graph, changes);
        let join = self.settings.join_nanos;
        let gone = self.memory.cases.iter().filter(|(_, case)| {
            !case.is_open() && case.going_on.is_empty() && case.clock.since(case.latest.max(case.latest_start)) > join
        });
        for number in gone.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.drop_case(number);
        }
    }

    /// Opens or reopens corroborated candidates, the oldest first.
    fn open(&mut self, graph: &Graph, changes: &mut Vec<Event>) {
        let candidates: Vec<u64> =
            self.memory.cases.iter().filter(|(_, case)| !case.is_open()).map(|(number, _)| *number).collect();
        for number in candidates {
            let Some(case) = self.memory.cases.get(&number) else { continue };
            let services = &self.memory.services;
            let clock_of = |service: &ServiceKey| services.get(service).map(|known| (known.last_end, known.step));
            let earlier = self.earlier(case);
            let corroboration = corroboration(case, &self.settings, clock_of);
            let same_series = earlier.is_some_and(|(_, same_series)| same_series);
            let (reason, onset) = match (corroboration, same_series) {
                (Some(found), _) => (format!("opened because {}", found.reason), found.onset),
                (None, true) => ("reopened because the same series is odd again".to_owned(), case.start),
                (None, false) => continue,
            };
            if self.memory.cases.values().filter(|case| case.is_open()).count() >= self.settings.max_open {
                self.memory.left_out.incidents += 1;
                continue;
            }
            let revived = earlier.and_then(|(place, _)| {
                let (incident, mut old) = self.memory.recent.get(place).cloned()?;
                // It may be opened again only once; its record of the earlier time stays.
                old.signatures.clear();
                old.services.clear();
                if let Some((_, kept)) = self.memory.recent.get_mut(place) {
                    *kept = old;
                }
                Some(incident)
            });
            let Some(case) = self.memory.cases.get_mut(&number) else { continue };
            case.reasons.push(reason);
            case.onset = onset;
            case.opened = Some(case.clock);
            case.first_opened = Some(case.clock);
            case.changed = true;
            let change = match revived {
                Some(old) => {
                    case.id = old.id;
                    case.reopened = old.reopened + 1;
                    case.previous_trace = Some((old.trace_id, old.root_span_id));
                    IncidentChange::Reopened
                }
                None => IncidentChange::Opened,
            };
            self.look(number, graph);
            self.tell_incident(number, change, changes);
        }
    }

    /// A closed incident that a candidate would bring back, and whether the same series do: one of its services had the same
    /// series in it, or all of its services were in it.
    fn earlier(&self, case: &Case) -> Option<(usize, bool)> {
        let recent = self.memory.recent.iter().enumerate().rev().filter(|(_, (incident, _))| {
            let closed = incident.closed.unwrap_or_default();
            incident.state == IncidentState::Resolved && case.start.since(closed) <= self.settings.reopen_nanos
        });
        let mut same_services = None;
        for (place, (_, old)) in recent {
            if case.repeats(old) {
                return Some((place, true));
            }
            if same_services.is_none() && !old.services.is_empty() && case.services.is_subset(&old.services) {
                same_services = Some((place, false));
            }
        }
        same_services
    }

    /// Lets connected groups become one. Candidates go silently; an open one says so.
    fn merge(&mut self, graph: &Graph, changes: &mut Vec<Event>) {
        // Only what changed can be connected anew, and only with what is near it.
        let mut neighbours = Neighbours::of(self.memory.cases.iter().filter(|(_, case)| case.tells));
        let mut pairs = BTreeSet::new();
        for (number, case) in self.memory.cases.iter().filter(|(_, case)| case.tells && case.regroup) {
            pairs.extend(neighbours.pairs(*number, case, graph, &self.memory.history));
        }
        while let Some((first, second)) = pairs.pop_first() {
            let Some((stays, goes, reason)) = self.connected(graph, first, second) else { continue };
            self.take_in(graph, stays, goes, &reason, changes);
            // It has more services now, and so more that is near.
            if let Some(case) = self.memory.cases.get(&stays) {
                neighbours.add(stays, case);
                let further = neighbours.pairs(stays, case, graph, &self.memory.history);
                pairs.extend(further.into_iter().filter(|pair| *pair > (first, second)));
            }
        }
    }

    /// Which of two groups takes in the other, if they belong together, and why.
    fn connected(&self, graph: &Graph, first: u64, second: u64) -> Option<(u64, u64, String)> {
        let (a, b) = (self.memory.cases.get(&first)?, self.memory.cases.get(&second)?);
        if !(a.regroup || b.regroup) || !(a.tells && b.tells) {
            return None;
        }
        // The one that opened first stays; candidates come after all that are open.
        let order = |case: &Case, number: u64| (case.first_opened.is_none(), case.first_opened, number);
        let a_stays = order(a, first) <= order(b, second);
        let (stays, goes, into, from) = if a_stays { (first, second, a, b) } else { (second, first, b, a) };
        let apart = match (into.first_opened, from.first_opened) {
            (Some(into), Some(from)) => from.since(into),
            (Some(into), None) => from.clock.since(into),
            _ => 0,
        };
        if apart > self.settings.merge_nanos || !into.is_near(&self.settings, from.start) {
            return None;
        }
        let explained = || {
            let harm = |anomaly: &&Anomaly| telling_severity(anomaly) >= Severity::Warning;
            let mut members = from.members.values().map(|anomaly| &**anomaly).filter(harm);
            members.all(|anomaly| self.explains(graph, into, anomaly))
        };
        if self.is_late(into, from.start) && !explained() {
            return None;
        }
        let (_, reason) = from.services.iter().filter_map(|service| self.link(graph, into, service)).min()?;
        Some((stays, goes, reason))
    }

    fn take_in(&mut self, graph: &Graph, stays: u64, goes: u64, reason: &str, changes: &mut Vec<Event>) {
        let Some(from) = self.memory.cases.remove(&goes) else { return };
        self.moved.insert(goes, stays);
        for held in self.memory.held.values_mut().filter(|held| held.case == goes) {
            held.case = stays;
        }
        let Some(into) = self.memory.cases.get_mut(&stays) else { return };
        into.absorb(&self.settings, &from, &format!("merged because {reason}"));
        into.clock = into.clock.max(from.clock);
        let into_id = into.id;
        if from.is_open() {
            self.look(stays, graph);
            let incident = from.incident(IncidentState::Merged, Some(from.clock), Some(into_id));
            self.close(from, incident, IncidentChange::Merged, changes);
            self.tell_incident(stays, IncidentChange::Updated, changes);
        }
    }

    /// Looks into an incident.
    fn look(&mut self, number: u64, graph: &Graph) {
        let Some(case) = self.memory.cases.get(&number) else { return };
        let memory = &self.memory;
        let view = View {
            settings: &self.settings,
            services: &memory.services,
            history: &memory.history,
            join: &memory.join,
            graph,
            one_namespace: self.one_namespace,
        };
        let findings = view.look(case);
        if let Some(case) = self.memory.cases.get_mut(&number) {
            case.findings = findings;
            case.looked = case.clock;
            case.changed = false;
        }
    }

    /// Looks again into open incidents that changed, or whose first minutes are now complete, and tells what is news.
    fn tell_updates(&mut self, graph: &Graph, changes: &mut Vec<Event>) {
        let settled = super::cause::AFTER_NANOS + self.settings.trace_age_nanos;
        let numbers: Vec<u64> =
            self.memory.cases.iter().filter(|(_, case)| case.is_open()).map(|(number, _)| *number).collect();
        for number in numbers {
            let Some(case) = self.memory.cases.get(&number) else { continue };
            let worse = case.severity > case.told.severity;
            let due = case.clock.since(case.looked) >= self.settings.update_every_nanos;
            let young = case.looked.since(case.onset) < 2 * settled;
            if !(worse || due && (case.changed || young)) {
                continue;
            }
            self.look(number, graph);
            let Some(case) = self.memory.cases.get(&number) else { continue };
            let told = &case.told;
            let cause = case.findings.causes.first().map(|cause| &cause.service);
            let news = worse
                || case.services.len() > told.services
                || case.anomaly_count > told.anomalies
                || cause != told.cause.as_ref();
            if news {
                self.tell_incident(number, IncidentChange::Updated, changes);
            }
        }
    }

    fn tell_incident(&mut self, number: u64, change: IncidentChange, changes: &mut Vec<Event>) {
        let Some(case) = self.memory.cases.get_mut(&number) else { return };
        case.told = Told {
            time: case.clock,
            severity: case.severity,
            services: case.services.len(),
            anomalies: case.anomaly_count,
            cause: case.findings.causes.first().map(|cause| cause.service.clone()),
        };
        let incident = Arc::new(case.incident(case.state(), None, None));
        changes.push(Event::Incident { change, time: case.clock, incident });
    }

    /// Sends an anomaly's event, with the incident that holds it by now.
    pub(super) fn tell(&mut self, telling: Telling) {
        let Telling { change, time, anomaly, case, prediction } = telling;
        let mut held = self.memory.held.get(&anomaly.id).map(|held| held.case).or(case);
        // What ended in this epoch is no longer held, and its group may have become part of another one meanwhile.
        while let Some(into) = held.and_then(|number| self.moved.get(&number)) {
            held = Some(*into);
        }
        let case = held.and_then(|number| self.memory.cases.get(&number)).filter(|case| case.is_open());
        let incident: Option<(IncidentId, [u8; 16], [u8; 8])> = case.map(|case| {
            let (trace_id, span_id) = super::trace::trace_ids(case.id, case.reopened);
            (case.id, trace_id, span_id)
        });
        self.events.push_back(Event::Anomaly { change, time, anomaly: Arc::clone(&anomaly), incident });
        if let Some(change) = prediction {
            self.events.push_back(Event::Prediction { change, time, anomaly, incident });
        }
    }

    /// Resolves incidents whose anomalies ended and that were quiet for long enough.
    pub(super) fn close_quiet(&mut self, graph: &Graph, changes: &mut Vec<Event>) {
        let quiet = self.settings.quiet_nanos;
        let over = self
            .memory
            .cases
            .iter()
            .filter(|(_, case)| case.is_open() && !case.goes_on() && case.clock.since(case.latest) >= quiet);
        let numbers: Vec<u64> = over.map(|(number, _)| *number).collect();
        if numbers.is_empty() {
            return;
        }
        for number in numbers {
            self.look(number, graph);
            let Some(case) = self.drop_case(number) else { continue };
            let incident = case.incident(IncidentState::Resolved, Some(case.clock), None);
            self.close(case, incident, IncidentChange::Resolved, changes);
        }
    }

    /// Tells that an incident is over, sends its trace, and remembers it.
    fn close(&mut self, mut case: Case, incident: Incident, change: IncidentChange, changes: &mut Vec<Event>) {
        // The incident has them; reopening needs services and signatures only.
        case.members.clear();
        case.findings = Findings::default();
        case.reasons.clear();
        let told = Arc::new(incident.clone());
        changes.push(Event::Incident { change, time: case.clock, incident: Arc::clone(&told) });
        changes.push(Event::Trace { incident: told });
        self.memory.recent.push_back((incident, case));
        while self.memory.recent.len() > self.settings.max_recent.max(1) {
            self.memory.recent.pop_front();
        }
    }
}
