//! Windows through a detector, with what came back and what it cost.

use super::candidate::Ready;
use foreshock_engine::{
    verdict::{DetectorHealth, Detectors as _, FaultReason, Verdict},
    window::ClosedWindow,
};
use foreshock_sandbox::DetectorPool;
use std::time::{Duration, Instant};

/// What came of one window.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    /// `None` if the detector was not shown the window, or failed on it.
    pub(super) verdict: Option<Verdict>,
    /// Faults and recoveries.
    pub(super) health: Vec<DetectorHealth>,
    /// How long the call took, with what the host does around it.
    pub(super) took: Duration,
}

/// Several windows in a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Played {
    pub(super) judged: Vec<Judged>,
    /// The most memory that one model had, in bytes.
    pub(super) memory: u64,
}

impl Played {
    /// The first fault, in words.
    pub(super) fn first_fault(&self) -> Option<String> {
        let mut faults = self.judged.iter().flat_map(|judged| &judged.health);
        faults.find_map(fault)
    }

    pub(super) fn findings(&self) -> usize {
        self.judged.iter().filter_map(|judged| judged.verdict.as_ref()).map(|verdict| verdict.findings.len()).sum()
    }

    /// The answers as text. Numbers are written so that different bits give different text, and a verdict has no NaN.
    pub(super) fn answers(&self) -> Vec<String> {
        self.judged.iter().map(|judged| format!("{:?}", judged.verdict)).collect()
    }

    /// How long the longest call took.
    pub(super) fn longest(&self) -> Duration {
        self.judged.iter().map(|judged| judged.took).max().unwrap_or_default()
    }

    /// How long a call took in the middle of all.
    pub(super) fn median(&self) -> Duration {
        let mut times: Vec<Duration> = self.judged.iter().map(|judged| judged.took).collect();
        times.sort();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }
}

/// A fault in words, with what helps; `None` for a recovery.
pub(super) fn fault(health: &DetectorHealth) -> Option<String> {
    let reason = health.reason?;
    let help = match reason {
        FaultReason::Memory => " (`--memory-mib` gives it more, `limits.memory_mib` in a configuration does)",
        FaultReason::Deadline => " (`--deadline` gives it more, `limits.deadline` in a configuration does)",
        _ => "",
    };
    Some(format!("{}: {}{help}", reason.name(), health.message))
}

/// Feeds windows to a pool, in order.
pub(super) fn feed<'a>(
    ready: &Ready,
    pool: &mut DetectorPool,
    windows: impl IntoIterator<Item = &'a ClosedWindow>,
) -> Played {
    let stats = ready.detector.stats();
    let mut played = Played::default();
    for window in windows {
        let began = Instant::now();
        let verdict = pool.observe(window).pop().map(|(_, verdict)| verdict);
        let took = began.elapsed();
        let health = std::iter::from_fn(|| pool.poll_health()).collect();
        let models = stats.models().max(1);
        played.memory = played.memory.max(stats.memory_bytes() / models);
        played.judged.push(Judged { verdict, health, took });
    }
    played
}
