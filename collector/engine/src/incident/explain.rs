//! Looks into an incident: where it started and why, which logs and traces belong to it, whom it touches.

use super::{
    IncidentSettings,
    case::{Case, Findings},
    cause::{self, Candidate},
    cause_anomalies::Prior,
    graph::Graph,
    history::{History, NodeId},
    join::Join,
    logs,
    services::ServiceMemory,
    trace::MAX_EXEMPLARS,
    words::{self, Story},
};
use crate::{
    event::{Anomaly, RootCause},
    time::UnixNanos,
    window::ServiceKey,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Root causes that are kept.
const MAX_CAUSES: usize = 5;
/// Services whose logs are grouped.
const MAX_LOG_SERVICES: usize = 8;
/// Log groups that are kept.
const MAX_CLUSTERS: usize = 8;
/// How long before the start logs are compared with, in nanoseconds.
const LOGS_BEFORE_NANOS: u64 = 1_800_000_000_000;
/// A candidate that is neither affected nor known by such a score is not worth a mention.
const MIN_SCORE: f64 = 0.02;

/// What there is to look at.
pub(super) struct View<'a> {
    pub(super) settings: &'a IncidentSettings,
    pub(super) services: &'a BTreeMap<ServiceKey, ServiceMemory>,
    pub(super) history: &'a History,
    pub(super) join: &'a Join,
    pub(super) graph: &'a Graph,
    /// Whether all services have the same namespace.
    pub(super) one_namespace: bool,
}

impl View<'_> {
    /// All that can be said of `case` now.
    pub(super) fn look(&self, case: &Case) -> Findings {
        let version_change = self.version_change(case);
        let causes = self.causes(case);
        let logs = self.logs(case, causes.first());
        let affected: BTreeSet<NodeId> =
            case.services.iter().filter_map(|service| self.history.find(service)).collect();
        let mut blast_radius: Vec<ServiceKey> =
            self.graph.upstream(&affected).into_iter().filter_map(|node| self.history.service(node)).cloned().collect();
        blast_radius.sort();
        let nodes: Vec<NodeId> = affected.into_iter().collect();
        let exemplars = self.join.notable(&nodes, case.start, case.clock, MAX_EXEMPLARS);
        let anomalies = || case.members.values().map(|anomaly| &**anomaly);
        let lead: Option<&Anomaly> = words::lead(anomalies(), causes.first().map(|cause| &cause.service));
        let (title, sentence) = lead.map_or_else(Default::default, |lead| {
            let story = Story {
                lead,
                services: case.services.len(),
                cause: causes.first(),
                version: version_change.as_ref(),
                logs: &logs,
                one_namespace: self.one_namespace,
            };
            (words::title(&story), words::sentence(&story))
        });
        Findings { title, sentence, causes, blast_radius, version_change, logs, exemplars }
    }

    /// The latest change of version of an affected service, or of one that it calls, shortly before the start.
    fn version_change(&self, case: &Case) -> Option<(ServiceKey, Arc<str>, Arc<str>, UnixNanos)> {
        let mut near: BTreeSet<&ServiceKey> = case.services.iter().collect();
        let nodes = case.services.iter().filter_map(|service| self.history.find(service));
        near.extend(nodes.flat_map(|node| self.graph.callees(node)).filter_map(|node| self.history.service(node)));
        near.into_iter()
            .filter_map(|service| {
                let (old, new, when) = self.change_before(service, case.start)?;
                Some((service.clone(), old, new, when))
            })
            .max_by(|a, b| {
                (case.services.contains(&a.0), a.3).cmp(&(case.services.contains(&b.0), b.3)).then(b.0.cmp(&a.0))
            })
    }

    /// A change in the first odd window counts as well: the window's start is not earlier than the change.
    fn change_before(&self, service: &ServiceKey, start: UnixNanos) -> Option<(Arc<str>, Arc<str>, UnixNanos)> {
        let memory = self.services.get(service)?;
        let until = start.plus(memory.step);
        let recent = |when: UnixNanos| when <= until && start.since(when) <= self.settings.version_nanos;
        memory.changes.iter().rev().find(|(_, _, when)| recent(*when)).cloned()
    }

    fn causes(&self, case: &Case) -> Vec<RootCause> {
        let mut priors: BTreeMap<NodeId, Prior> = BTreeMap::new();
        // What was odd long before is no sign of where it started, unless it is what was foretold.
        let early = case.onset.minus(self.settings.agree_nanos);
        let signs = case.members.values().filter(|anomaly| anomaly.start >= early || anomaly.forecast.is_some());
        for anomaly in signs {
            let service = &anomaly.service;
            let Some(node) = self.history.find(service) else { continue };
            let prior = priors.entry(node).or_default();
            prior.anomalies.push(Arc::clone(anomaly));
            if prior.version.is_none() {
                let change = self.change_before(service, case.start);
                prior.version = change.map(|(_, new, when)| (new, case.start.since(when)));
            }
        }
        let affected: BTreeSet<NodeId> =
            case.services.iter().filter_map(|service| self.history.find(service)).collect();
        // A cause lies among the affected services and all that they call; a surge comes from the other side.
        let (callees, callers) = (self.graph.downstream(&affected), self.graph.upstream(&affected));
        let possible = |candidate: &Candidate| {
            let node = &candidate.node;
            affected.contains(node) || callees.contains(node) || candidate.surges && callers.contains(node)
        };
        let candidates = cause::rank(self.history, case.onset, case.clock, &priors);
        let candidates = candidates.into_iter().filter(|c| possible(c) && c.score >= MIN_SCORE);
        candidates.take(MAX_CAUSES).filter_map(|candidate| self.named(&candidate)).collect()
    }

    fn named(&self, candidate: &Candidate) -> Option<RootCause> {
        let service = self.history.service(candidate.node)?.clone();
        Some(RootCause { service, score: candidate.score.clamp(0.0, 1.0), summary: candidate.reasons.join("; ") })
    }

    /// The dominant groups of logs of the affected services, the root cause's first.
    fn logs(&self, case: &Case, cause: Option<&RootCause>) -> Vec<crate::event::LogCluster> {
        let cause = cause.map(|cause| &cause.service);
        let mut services: Vec<&ServiceKey> = case.services.iter().chain(cause).collect();
        services.sort_by_key(|service| (Some(*service) != cause, *service));
        services.dedup();
        let mut clusters: Vec<crate::event::LogCluster> = services
            .into_iter()
            .take(MAX_LOG_SERVICES)
            .filter_map(|service| Some((service, self.services.get(service)?)))
            .flat_map(|(service, memory)| logs::clusters(service, memory, (case.start, case.clock), LOGS_BEFORE_NANOS))
            .collect();
        clusters.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (&a.service, &a.text).cmp(&(&b.service, &b.text))));
        clusters.truncate(MAX_CLUSTERS);
        clusters
    }
}
