//! What the correlator remembers of each service: its clock, last signals, versions and logs.

use crate::{
    facts::{GoldenSignals, LogExcerpt, WindowFacts},
    time::UnixNanos,
    verdict::Severity,
    window::ServiceKey,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Stretches of logs kept per service.
const MAX_LOG_STRETCHES: usize = 90;
/// Windows that end within the same stretch are kept as one, in nanoseconds.
const STRETCH_NANOS: u64 = 30_000_000_000;
/// How long logs are kept, in nanoseconds.
const LOG_NANOS: u64 = 2_700_000_000_000;
/// Templates counted in one stretch.
const MAX_COUNTED: usize = 64;
/// Templates known per service. When full, the one not seen for longest is forgotten.
const MAX_TEMPLATES: usize = 256;
/// A version not seen for this long is news when it comes back, in nanoseconds.
const VERSION_MEMORY_NANOS: u64 = 600_000_000_000;
/// Versions known per service.
const MAX_VERSIONS: usize = 32;

/// A change of version: old, new, when.
pub(super) type VersionChange = (Arc<str>, Arc<str>, UnixNanos);

/// The logs of one stretch of time.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct LogStretch {
    /// End of its latest window.
    pub(super) end: UnixNanos,
    pub(super) windows: u32,
    pub(super) error_records: u64,
    /// Records by template.
    pub(super) counts: BTreeMap<u64, u64>,
}

/// What is known of a log template; its text stands here once, however often it is counted.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct KnownTemplate {
    pub(super) text: Arc<str>,
    /// The latest sample.
    pub(super) sample: Arc<str>,
    pub(super) severity_number: i32,
    last: UnixNanos,
}

/// One service as its windows showed it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct ServiceMemory {
    /// End of its latest window.
    pub(super) last_end: UnixNanos,
    /// When that arrived, by the ticks.
    seen: UnixNanos,
    /// Length of its windows in nanoseconds.
    pub(super) step: u64,
    pub(super) signals: GoldenSignals,
    pub(super) logs: VecDeque<LogStretch>,
    pub(super) templates: BTreeMap<u64, KnownTemplate>,
    versions: BTreeMap<Arc<str>, UnixNanos>,
    pub(super) version: Option<Arc<str>>,
    pub(super) changes: VecDeque<VersionChange>,
}

impl ServiceMemory {
    /// Takes the facts of a window that arrived at tick `now`.
    pub(super) fn observe(&mut self, facts: &WindowFacts, now: UnixNanos) {
        if facts.end >= self.last_end {
            self.last_end = facts.end;
            self.seen = now;
            self.signals = facts.signals;
        }
        self.step = facts.end.since(facts.start);
        for version in facts.versions.iter().take(MAX_VERSIONS) {
            let recent = self.versions.get(version).is_some_and(|last| facts.end.since(*last) <= VERSION_MEMORY_NANOS);
            if let (false, Some(old)) = (recent, &self.version) {
                if old != version {
                    self.changes.push_back((Arc::clone(old), Arc::clone(version), facts.start));
                    while self.changes.len() > 8 {
                        self.changes.pop_front();
                    }
                    self.version = Some(Arc::clone(version));
                }
            } else if self.version.is_none() {
                self.version = Some(Arc::clone(version));
            }
            self.versions.insert(Arc::clone(version), facts.end);
        }
        if self.versions.len() > MAX_VERSIONS {
            self.versions.retain(|_, last| facts.end.since(*last) <= VERSION_MEMORY_NANOS);
            while self.versions.len() > MAX_VERSIONS {
                self.versions.pop_first();
            }
        }
        if !facts.logs.is_empty() || facts.signals.error_log_records > 0 {
            self.remember_logs(facts.end, facts.signals.error_log_records, &facts.logs);
        }
    }

    /// Takes the logs of the window that ends at `end`.
    pub(super) fn remember_logs(&mut self, end: UnixNanos, error_records: u64, excerpts: &[LogExcerpt]) {
        let stretch = |end: UnixNanos| end.minus(1).0 / STRETCH_NANOS;
        match self.logs.back_mut() {
            Some(last) if stretch(last.end) == stretch(end) => {
                last.end = last.end.max(end);
                last.windows += 1;
            }
            _ => self.logs.push_back(LogStretch { end, windows: 1, ..Default::default() }),
        }
        let Some(last) = self.logs.back_mut() else { return };
        last.error_records += error_records;
        for excerpt in excerpts.iter().take(MAX_COUNTED) {
            if last.counts.len() >= MAX_COUNTED && !last.counts.contains_key(&excerpt.template) {
                continue;
            }
            *last.counts.entry(excerpt.template).or_default() += excerpt.count;
            let sample = excerpt.samples.first().unwrap_or(&excerpt.text);
            let known = self.templates.entry(excerpt.template).or_insert_with(|| KnownTemplate {
                text: Arc::clone(&excerpt.text),
                sample: Arc::clone(sample),
                severity_number: excerpt.severity_number,
                last: end,
            });
            (known.text, known.sample) = (Arc::clone(&excerpt.text), Arc::clone(sample));
            (known.severity_number, known.last) = (excerpt.severity_number, known.last.max(end));
        }
        let now = self.logs.back().map_or(end, |last| last.end);
        self.templates.retain(|_, known| now.since(known.last) <= LOG_NANOS);
        while self.templates.len() > MAX_TEMPLATES {
            let oldest = self.templates.iter().min_by_key(|(id, known)| (known.last, **id)).map(|(id, _)| *id);
            let Some(oldest) = oldest else { break };
            self.templates.remove(&oldest);
        }
        while self.logs.len() > MAX_LOG_STRETCHES
            || self.logs.front().is_some_and(|stretch| now.since(stretch.end) > LOG_NANOS)
        {
            self.logs.pop_front();
        }
    }

    /// Event time of the service at tick `now`: the end of its latest window, and what passed since it arrived.
    ///
    /// Ticks count the wall clock where traffic is live, so a clock of the source that is off, or a recording sent long after
    /// it was made, moves neither forward nor back what happens to its anomalies.
    pub(super) fn clock(&self, now: UnixNanos) -> UnixNanos {
        self.last_end.plus(now.since(self.seen))
    }
}

/// How a service does, for people.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// No open anomaly of severity warning or worse.
    Healthy,
    /// An open anomaly of severity warning.
    Degraded,
    /// An open anomaly of severity error or critical.
    Failing,
    /// No window for ten steps and at least five minutes.
    Silent,
}

impl HealthState {
    /// Lower-case name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Failing => "failing",
            Self::Silent => "silent",
        }
    }
}

/// One service, for the terminal and the page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceHealth {
    /// Which service.
    pub service: ServiceKey,
    /// How it does.
    pub state: HealthState,
    /// Requests, errors and duration in its latest window.
    pub signals: GoldenSignals,
    /// Length of that window in nanoseconds.
    pub step_nanos: u64,
    /// End of that window.
    pub last_window: UnixNanos,
    /// The version that came last.
    pub version: Option<Arc<str>>,
    /// Open anomalies.
    pub open_anomalies: usize,
    /// The worst of them.
    pub severity: Option<Severity>,
}
