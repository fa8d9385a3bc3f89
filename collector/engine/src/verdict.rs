//! What a detector answers, after its numbers were checked.

use crate::{calibration::Weights, time::UnixNanos, window::ServiceKey};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// How bad something is for the people who run the service. Ordered.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    #[default]
    Info,
    /// Unusual and possibly harmful.
    Warning,
    /// Harm is being done, or is about to be.
    Error,
    /// The service fails for most of its users.
    Critical,
}

impl Severity {
    /// OTLP severity number: 9, 13, 17 or 21.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Info => 9,
            Self::Warning => 13,
            Self::Error => 17,
            Self::Critical => 21,
        }
    }

    /// `info`, `warning`, `error` or `critical`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When a value will reach a limit; see `forecast` in `wit/detector.wit`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Forecast {
    /// The limit, finite, in the series' unit.
    pub limit: f64,
    /// When it is most probably reached.
    pub reaches: UnixNanos,
    /// Early end of the 80 % interval.
    pub earliest: UnixNanos,
    /// Late end of the 80 % interval.
    pub latest: UnixNanos,
}

/// Something a person should be told; see `finding` in `wit/detector.wit`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Finding {
    /// Series, the most telling first; at least one.
    pub ids: Vec<u32>,
    /// What kind of change.
    pub kind: Arc<str>,
    /// How bad.
    pub severity: Severity,
    /// Surprise, 0 to 16.
    pub score: f64,
    /// What was seen; finite.
    pub observed: Option<f64>,
    /// What was expected; finite.
    pub expected: Option<f64>,
    /// Lower end of normal; finite.
    pub lower: Option<f64>,
    /// Upper end of normal; finite.
    pub upper: Option<f64>,
    /// For predictions.
    pub forecast: Option<Forecast>,
    /// One sentence for people.
    pub summary: String,
    /// Further facts.
    pub evidence: Vec<(String, String)>,
}

/// A detector's checked answer for one window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Surprise per series of the window as the detector saw it, in ascending order of the id, 0 to 16; series without an
    /// opinion are left out.
    pub scores: Vec<(u32, f64)>,
    /// What is worth saying aloud.
    pub findings: Vec<Finding>,
}

/// Who says so.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Detector {
    /// The name under which it stands in the configuration.
    pub name: Arc<str>,
    /// The version it states.
    pub version: Arc<str>,
    /// SHA-256 of the component, 64 hexadecimal digits.
    pub digest: Arc<str>,
}

/// Why a detector gave no verdict.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultReason {
    /// The guest trapped, or answered `internal`.
    Trap,
    /// A call took longer than its deadline.
    Deadline,
    /// The memory limit was hit.
    Memory,
    /// A verdict broke the contract.
    BadVerdict,
    /// A saved state could not be used.
    BadState,
    /// The component or its configuration was refused.
    Refused,
}

impl FaultReason {
    /// The value of the label `reason`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::BadVerdict => "bad_verdict",
            Self::BadState => "bad_state",
            Self::Refused => "refused",
        }
    }
}

/// A change in a detector's health for one service.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DetectorHealth {
    /// Which detector.
    pub detector: Arc<Detector>,
    /// For which service.
    pub service: ServiceKey,
    /// When, in event time.
    pub time: UnixNanos,
    /// `None` when it works again.
    pub reason: Option<FaultReason>,
    /// What happened and what is done about it, for people.
    pub message: String,
}

/// Runs the detectors of the services of one shard.
///
/// The engine's driver calls it once for each closed window, in order of time per service. Implementations must answer the
/// same for the same calls, whatever else runs.
pub trait Detectors {
    /// Judges one window with every detector that is configured for the service. Answers in the order of the
    /// configuration; a detector that failed or is paused is left out. What happened to it comes from
    /// [`Detectors::poll_health`].
    fn observe(&mut self, closed: &crate::window::ClosedWindow) -> Vec<(Arc<Detector>, Verdict)>;

    /// How much each of them counts where several have an opinion; 1 for those that are not named. Asked once.
    fn weights(&self) -> Weights {
        Weights::new()
    }

    /// The next change of a detector's health, if any.
    fn poll_health(&mut self) -> Option<DetectorHealth>;

    /// Forgets a service that was evicted.
    fn forget(&mut self, service: &ServiceKey);
}
