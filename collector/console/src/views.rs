//! The shapes of the API's JSON, made from the engine's types.

use foreshock_engine::{
    event,
    incident::{self, HealthState, ServiceHealth},
    time::UnixNanos,
    verdict::Severity,
    window::ServiceKey,
};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// How a service is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// No open anomaly of severity warning or worse.
    Healthy,
    /// The worst open anomaly is a warning.
    Degraded,
    /// There is an open anomaly of severity error or critical.
    Failing,
    /// It has said nothing for a while.
    Silent,
}

/// A service and its last window.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Service {
    /// `namespace/name`, or `name`.
    pub service: String,
    /// How it is.
    pub health: Health,
    /// End of its last closed window, RFC 3339.
    pub last_window: String,
    /// Server and consumer spans a second.
    pub calls_per_second: f64,
    /// Share of them with an error, 0 to 1; `null` without calls.
    pub error_ratio: Option<f64>,
    /// Median duration in seconds.
    pub p50_seconds: Option<f64>,
    /// 95th percentile in seconds.
    pub p95_seconds: Option<f64>,
    /// 99th percentile in seconds.
    pub p99_seconds: Option<f64>,
    /// Log records a second.
    pub log_records_per_second: f64,
    /// Those of severity error or fatal.
    pub error_log_records_per_second: f64,
    /// `service.version` as last seen.
    pub version: Option<String>,
    /// Anomalies that are open now.
    pub open_anomalies: u64,
    /// Open incident that it is part of, 16 hexadecimal digits.
    pub incident: Option<String>,
    /// Calls of detectors for this service that gave no verdict, since the start; empty where all is well.
    pub detector_faults: Vec<DetectorFaults>,
}

/// Calls of one detector for one service that gave no verdict, for one reason.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DetectorFaults {
    /// Its name in the configuration.
    pub detector: String,
    /// As the label `reason` of `foreshock_detector_faults_total`.
    pub reason: String,
    /// How many.
    pub faults: u64,
}

/// An anomaly.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Anomaly {
    /// 16 hexadecimal digits.
    pub id: String,
    /// `namespace/name`, or `name`.
    pub service: String,
    /// What kind of change.
    pub kind: String,
    /// `info`, `warning`, `error` or `critical`.
    pub severity: String,
    /// 0 to 1.
    pub score: f64,
    /// Name of the series it was seen on.
    pub series: String,
    /// The series' unit.
    pub unit: String,
    /// The series' attributes, ascending.
    pub attributes: Vec<(String, String)>,
    /// The detector's name in the configuration.
    pub detector: String,
    /// What was seen, in the series' unit.
    pub observed: Option<f64>,
    /// What was expected.
    pub expected: Option<f64>,
    /// Lower end of normal.
    pub lower: Option<f64>,
    /// Upper end of normal.
    pub upper: Option<f64>,
    /// RFC 3339.
    pub start: String,
    /// RFC 3339; `null` while it goes on.
    pub end: Option<String>,
    /// One sentence that says it all.
    pub sentence: String,
    /// Further facts.
    pub evidence: Vec<(String, String)>,
}

/// Why a service is thought to be where it started.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RootCause {
    /// `namespace/name`, or `name`.
    pub service: String,
    /// 0 to 1.
    pub score: f64,
    /// The reason, in words.
    pub summary: String,
}

/// A group of log records around an incident.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct LogCluster {
    /// Who logged them.
    pub service: String,
    /// The template that stands for the group.
    pub text: String,
    /// Words that tell it from other groups.
    pub terms: Vec<String>,
    /// Records in it.
    pub count: u64,
    /// Share of the service's error records, 0 to 1.
    pub share: f64,
    /// One body as it came.
    pub sample: String,
}

/// An incident.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Incident {
    /// 16 hexadecimal digits.
    pub id: String,
    /// `open`, `acknowledged`, `resolved` or `merged`.
    pub state: String,
    /// `info`, `warning`, `error` or `critical`.
    pub severity: String,
    /// A short title.
    pub title: String,
    /// One sentence that says it all.
    pub sentence: String,
    /// Services with anomalies in it.
    pub services: Vec<String>,
    /// Candidates for where it started, the most probable first.
    pub root_causes: Vec<RootCause>,
    /// Services that depend on the affected ones.
    pub blast_radius: Vec<String>,
    /// Start of the earliest anomaly, RFC 3339.
    pub start: String,
    /// When it was opened, RFC 3339.
    pub opened: String,
    /// When it was resolved or merged, RFC 3339.
    pub closed: Option<String>,
    /// How many anomalies it holds.
    pub anomaly_count: u64,
    /// The anomalies, by start and id, bounded in number.
    pub anomalies: Vec<Anomaly>,
    /// Why its anomalies belong together.
    pub grouping: Vec<String>,
    /// Change of version shortly before the start: service, old, new, when.
    pub version_change: Option<(String, String, String, String)>,
    /// Dominant log clusters.
    pub logs: Vec<LogCluster>,
    /// Trace id of its trace, 32 hexadecimal digits.
    pub trace_id: String,
    /// Span id of the root span, 16 hexadecimal digits.
    pub root_span_id: String,
    /// Slow or failing traces seen meanwhile: trace id and span id.
    pub exemplars: Vec<(String, String)>,
    /// The incident that took this one in.
    pub merged_into: Option<String>,
}

/// Who calls whom.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Graph {
    /// All services, ascending.
    pub services: Vec<String>,
    /// Calls, by caller and callee.
    pub edges: Vec<Edge>,
}

/// Calls from one service to another.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Edge {
    /// Who calls.
    pub caller: String,
    /// Who is called: a service, or a database or the like that sends no telemetry.
    pub callee: String,
    /// Whether the callee is known only by what its callers say of it.
    pub far_side: bool,
    /// Sampled calls in the last hour.
    pub calls: u64,
    /// Those that failed on either side.
    pub errors: u64,
    /// Mean duration in seconds.
    pub mean_seconds: f64,
    /// End of the latest call, RFC 3339.
    pub last_seen: String,
}

/// `16` or `32` hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn names(services: &[ServiceKey]) -> Vec<String> {
    services.iter().map(ToString::to_string).collect()
}

fn pairs<A: ToString, B: ToString>(list: &[(A, B)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
}

impl Service {
    /// The service as the correlator knows it, the open incident that it is part of, and what its detectors failed at.
    #[must_use]
    pub fn new(
        health: &ServiceHealth,
        incident: Option<event::IncidentId>,
        detector_faults: Vec<DetectorFaults>,
    ) -> Self {
        let ratio = |count: u64, of: f64| if of > 0.0 { count as f64 / of } else { 0.0 };
        let seconds = health.step_nanos as f64 / 1e9;
        let signals = &health.signals;
        Self {
            service: health.service.to_string(),
            health: match health.state {
                HealthState::Healthy => Health::Healthy,
                HealthState::Degraded => Health::Degraded,
                HealthState::Failing => Health::Failing,
                HealthState::Silent => Health::Silent,
            },
            last_window: health.last_window.to_string(),
            calls_per_second: ratio(signals.calls, seconds),
            error_ratio: (signals.calls > 0).then(|| ratio(signals.errors, signals.calls as f64)),
            p50_seconds: signals.p50_seconds,
            p95_seconds: signals.p95_seconds,
            p99_seconds: signals.p99_seconds,
            log_records_per_second: ratio(signals.log_records, seconds),
            error_log_records_per_second: ratio(signals.error_log_records, seconds),
            version: health.version.as_ref().map(ToString::to_string),
            open_anomalies: health.open_anomalies as u64,
            incident: incident.map(|id| id.to_string()),
            detector_faults,
        }
    }
}

impl From<&incident::Edge> for Edge {
    fn from(edge: &incident::Edge) -> Self {
        Self {
            caller: edge.caller.to_string(),
            callee: edge.callee.to_string(),
            far_side: edge.far_side,
            calls: edge.calls,
            errors: edge.errors,
            mean_seconds: edge.mean_seconds,
            last_seen: edge.last_seen.to_string(),
        }
    }
}

impl From<&event::Anomaly> for Anomaly {
    fn from(anomaly: &event::Anomaly) -> Self {
        Self {
            id: anomaly.id.to_string(),
            service: anomaly.service.to_string(),
            kind: anomaly.kind.to_string(),
            severity: anomaly.severity.name().to_owned(),
            score: anomaly.score(),
            series: anomaly.series.name.to_string(),
            unit: anomaly.series.unit.to_string(),
            attributes: pairs(&anomaly.series.attributes),
            detector: anomaly.detector.name.to_string(),
            observed: anomaly.observed,
            expected: anomaly.expected,
            lower: anomaly.lower,
            upper: anomaly.upper,
            start: anomaly.start.to_string(),
            end: anomaly.end.map(|end| end.to_string()),
            sentence: anomaly.sentence.clone(),
            evidence: anomaly.evidence.clone(),
        }
    }
}

impl From<&event::Incident> for Incident {
    fn from(incident: &event::Incident) -> Self {
        let when = |time: Option<UnixNanos>| time.map(|time| time.to_string());
        Self {
            id: incident.id.to_string(),
            state: incident.state.name().to_owned(),
            severity: Severity::name(incident.severity).to_owned(),
            title: incident.title.clone(),
            sentence: incident.sentence.clone(),
            services: names(&incident.services),
            root_causes: incident
                .root_causes
                .iter()
                .map(|cause| RootCause {
                    service: cause.service.to_string(),
                    score: cause.score,
                    summary: cause.summary.clone(),
                })
                .collect(),
            blast_radius: names(&incident.blast_radius),
            start: incident.start.to_string(),
            opened: incident.opened.to_string(),
            closed: when(incident.closed),
            anomaly_count: incident.anomaly_count,
            anomalies: incident.anomalies.iter().map(Anomaly::from).collect(),
            grouping: incident.grouping.clone(),
            version_change: incident.version_change.as_ref().map(|(service, old, new, time)| {
                (service.to_string(), old.to_string(), new.to_string(), time.to_string())
            }),
            logs: incident
                .logs
                .iter()
                .map(|cluster| LogCluster {
                    service: cluster.service.to_string(),
                    text: cluster.text.to_string(),
                    terms: cluster.terms.clone(),
                    count: cluster.count,
                    share: cluster.share,
                    sample: cluster.sample.to_string(),
                })
                .collect(),
            trace_id: hex(&incident.trace_id),
            root_span_id: hex(&incident.root_span_id),
            exemplars: incident.exemplars.iter().map(|(trace, span)| (hex(trace), hex(span))).collect(),
            merged_into: incident.merged_into.map(|id| id.to_string()),
        }
    }
}
