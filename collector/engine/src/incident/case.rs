//! One group of anomalies: a candidate until it is corroborated, an incident from then on.

use super::{
    IncidentSettings,
    sign::{Worth, is_sure_harm, telling_severity, worth},
    trace,
};
use crate::{
    anomaly::words::series_label,
    event::{Anomaly, AnomalyId, Incident, IncidentId, IncidentState, LogCluster, RootCause},
    time::UnixNanos,
    verdict::Severity,
    window::ServiceKey,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use xxhash_rust::xxh3::Xxh3Default;

/// Series remembered for reopening.
const MAX_SIGNATURES: usize = 512;
/// Reasons for grouping that are kept.
const MAX_REASONS: usize = 32;

/// What was found out about an incident.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Findings {
    pub(super) title: String,
    pub(super) sentence: String,
    pub(super) causes: Vec<RootCause>,
    pub(super) blast_radius: Vec<ServiceKey>,
    pub(super) version_change: Option<(ServiceKey, Arc<str>, Arc<str>, UnixNanos)>,
    pub(super) logs: Vec<LogCluster>,
    pub(super) exemplars: Vec<([u8; 16], [u8; 8])>,
}

/// What the last event said.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Told {
    pub(super) time: UnixNanos,
    pub(super) severity: Severity,
    pub(super) services: usize,
    pub(super) anomalies: u64,
    pub(super) cause: Option<ServiceKey>,
}

/// A group of anomalies.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Case {
    pub(super) id: IncidentId,
    /// When it was opened or reopened; `None` for a candidate.
    pub(super) opened: Option<UnixNanos>,
    /// When it was opened first.
    pub(super) first_opened: Option<UnixNanos>,
    pub(super) reopened: u32,
    pub(super) previous_trace: Option<([u8; 16], [u8; 8])>,
    pub(super) acknowledged: Option<UnixNanos>,
    /// The strongest anomalies since it was opened or reopened.
    pub(super) members: BTreeMap<AnomalyId, Arc<Anomaly>>,
    /// Those that have not ended, with their service and severity.
    pub(super) going_on: BTreeMap<AnomalyId, (ServiceKey, Severity)>,
    /// All services since it was opened or reopened.
    pub(super) services: BTreeSet<ServiceKey>,
    pub(super) anomaly_count: u64,
    /// Service and series of its anomalies.
    pub(super) signatures: BTreeSet<(ServiceKey, u64)>,
    pub(super) reasons: Vec<String>,
    pub(super) start: UnixNanos,
    /// When what opened it began, which can be later than its first anomaly.
    pub(super) onset: UnixNanos,
    pub(super) latest_start: UnixNanos,
    /// End of the latest odd window of an anomaly worth a warning.
    pub(super) latest: UnixNanos,
    pub(super) severity: Severity,
    /// Whether any of its anomalies is worth something; else it has to do with its own service only.
    pub(super) tells: bool,
    /// Event time as far as its services are known; never goes back.
    pub(super) clock: UnixNanos,
    /// Whether something changed since it was looked into.
    pub(super) changed: bool,
    /// Whether it is to be compared with other groups again.
    pub(super) regroup: bool,
    pub(super) looked: UnixNanos,
    pub(super) findings: Findings,
    pub(super) told: Told,
}

/// Which series it is, within a service.
pub(super) fn signature(anomaly: &Anomaly) -> (ServiceKey, u64) {
    let series = &anomaly.series;
    let mut hasher = Xxh3Default::new();
    hasher.update(series.name.as_bytes());
    hasher.update(&[0xff, series.kind as u8]);
    for (key, value) in &series.attributes {
        for part in [key, value] {
            hasher.update(&[0xff]);
            hasher.update(part.as_bytes());
        }
    }
    (anomaly.service.clone(), hasher.digest())
}

impl Case {
    /// A candidate with its first anomaly.
    ///
    /// Its id derives from that anomaly and from when it was told, since an anomaly can outlive an incident and begin another.
    pub(super) fn new(settings: &IncidentSettings, anomaly: Arc<Anomaly>, time: UnixNanos) -> Self {
        let mut hasher = Xxh3Default::new();
        hasher.update(b"incident");
        hasher.update(&anomaly.id.0.to_le_bytes());
        hasher.update(&time.0.to_le_bytes());
        let mut case = Self {
            id: IncidentId(hasher.digest()),
            opened: None,
            first_opened: None,
            reopened: 0,
            previous_trace: None,
            acknowledged: None,
            members: BTreeMap::new(),
            going_on: BTreeMap::new(),
            services: BTreeSet::new(),
            anomaly_count: 0,
            signatures: BTreeSet::new(),
            reasons: Vec::new(),
            start: anomaly.start,
            onset: anomaly.start,
            latest_start: anomaly.start,
            latest: anomaly.last,
            severity: anomaly.severity,
            tells: false,
            clock: time,
            changed: true,
            regroup: true,
            looked: UnixNanos(0),
            findings: Findings::default(),
            told: Told::default(),
        };
        let reason = format!("{}: first, {}", case_label(&anomaly), crate::anomaly::units::clock(anomaly.start));
        case.join(settings, anomaly, reason, time);
        case
    }

    pub(super) fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// Takes an anomaly in.
    pub(super) fn join(&mut self, settings: &IncidentSettings, anomaly: Arc<Anomaly>, reason: String, time: UnixNanos) {
        self.anomaly_count += 1;
        self.services.insert(anomaly.service.clone());
        if self.signatures.len() < MAX_SIGNATURES {
            self.signatures.insert(signature(&anomaly));
        }
        if self.reasons.len() < MAX_REASONS {
            self.reasons.push(reason);
        }
        self.start = self.start.min(anomaly.start);
        // Trifles and doubts are no growth of an incident.
        if !self.is_open() || telling_severity(&anomaly) >= Severity::Warning {
            self.latest_start = self.latest_start.max(anomaly.start);
        }
        self.update(settings, anomaly, time);
    }

    /// Takes what became of one of its anomalies.
    pub(super) fn update(&mut self, settings: &IncidentSettings, anomaly: Arc<Anomaly>, time: UnixNanos) {
        self.clock = self.clock.max(time);
        if telling_severity(&anomaly) >= Severity::Warning {
            self.latest = self.latest.max(anomaly.last);
        }
        self.tells |= worth(&anomaly) > Worth::Nothing;
        self.changed |= anomaly.end.is_none();
        self.regroup |= anomaly.end.is_none();
        if anomaly.severity > self.severity {
            self.severity = anomaly.severity;
        }
        match anomaly.end {
            Some(_) => self.going_on.remove(&anomaly.id),
            None => self.going_on.insert(anomaly.id, (anomaly.service.clone(), telling_severity(&anomaly))),
        };
        self.members.insert(anomaly.id, anomaly);
        while self.members.len() > settings.max_anomalies.max(1) {
            let weakest = self.members.values().min_by(|a, b| {
                a.severity.cmp(&b.severity).then(a.surprise.total_cmp(&b.surprise)).then(b.id.cmp(&a.id))
            });
            let Some(weakest) = weakest.map(|anomaly| anomaly.id) else { break };
            self.members.remove(&weakest);
        }
    }

    /// Takes all of `other` in.
    pub(super) fn absorb(&mut self, settings: &IncidentSettings, other: &Self, reason: &str) {
        let count = self.anomaly_count + other.anomaly_count;
        // Not all members without an end go on: of a service that was forgotten or fell silent, nobody will tell the end.
        let mut going_on = std::mem::take(&mut self.going_on);
        going_on.extend(other.going_on.clone());
        for anomaly in other.members.values() {
            let time = self.clock.max(other.clock);
            self.join(settings, Arc::clone(anomaly), String::new(), time);
            self.reasons.pop_if(|reason| reason.is_empty());
        }
        self.anomaly_count = count;
        self.going_on = going_on;
        self.services.extend(other.services.iter().cloned());
        let room = MAX_REASONS.saturating_sub(self.reasons.len());
        self.reasons.extend(other.reasons.iter().chain([&reason.to_owned()]).take(room).cloned());
        self.start = self.start.min(other.start);
        self.latest_start = self.latest_start.max(other.latest_start);
        self.latest = self.latest.max(other.latest);
        self.severity = self.severity.max(other.severity);
        self.changed = true;
        self.regroup = true;
    }

    /// Whether any anomaly worth a warning has not ended. Lesser ones do not keep an incident open.
    pub(super) fn goes_on(&self) -> bool {
        self.going_on.values().any(|(_, severity)| *severity >= Severity::Warning)
    }

    /// Whether an anomaly that starts at `start` is near in time.
    ///
    /// While it is young, it is near until its anomalies ended; later only near the start of its latest anomaly, so that an
    /// incident that never ends does not take in everything.
    pub(super) fn is_near(&self, settings: &IncidentSettings, start: UnixNanos) -> bool {
        let young = self.first_opened.is_none_or(|opened| self.clock.since(opened) <= settings.merge_nanos);
        let until = match (young, self.goes_on()) {
            (true, true) => self.clock.max(self.latest),
            (true, false) => self.latest.max(self.latest_start),
            (false, _) => self.latest_start,
        };
        start <= until.plus(settings.join_nanos) && start.plus(settings.join_nanos) >= self.start
    }

    /// Whether a series that did harm in `old` does harm again. Doubts about the data come back for ever.
    pub(super) fn repeats(&self, old: &Self) -> bool {
        self.members.values().any(|anomaly| is_sure_harm(anomaly) && old.signatures.contains(&signature(anomaly)))
    }

    /// The incident as it stands.
    pub(super) fn incident(
        &self,
        state: IncidentState,
        closed: Option<UnixNanos>,
        into: Option<IncidentId>,
    ) -> Incident {
        let (trace_id, root_span_id) = trace::trace_ids(self.id, self.reopened);
        let mut anomalies: Vec<Anomaly> = self.members.values().map(|anomaly| (**anomaly).clone()).collect();
        anomalies.sort_by_key(|anomaly| (anomaly.start, anomaly.id));
        Incident {
            id: self.id,
            trace_id,
            root_span_id,
            previous_trace: self.previous_trace,
            state,
            reopened: self.reopened,
            acknowledged: self.acknowledged,
            severity: self.severity,
            title: self.findings.title.clone(),
            sentence: self.findings.sentence.clone(),
            services: self.services.iter().cloned().collect(),
            root_causes: self.findings.causes.clone(),
            blast_radius: self.findings.blast_radius.clone(),
            start: self.start,
            opened: self.opened.unwrap_or(self.clock),
            closed,
            anomaly_count: self.anomaly_count,
            anomalies,
            grouping: self.reasons.clone(),
            version_change: self.findings.version_change.clone(),
            logs: self.findings.logs.clone(),
            exemplars: self.findings.exemplars.clone(),
            merged_into: into,
        }
    }

    /// Its state while it is open.
    pub(super) fn state(&self) -> IncidentState {
        if self.acknowledged.is_some() { IncidentState::Acknowledged } else { IncidentState::Open }
    }
}

/// An anomaly in a few words, for reasons.
pub(super) fn case_label(anomaly: &Anomaly) -> String {
    format!("{} {}", anomaly.service, series_label(&anomaly.series))
}
