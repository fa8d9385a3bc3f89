//! Owns the mix of severities: which share of the lines are errors.

use foreshock_detector::stats::{Streak, surprise_of_many};
use serde::{Deserialize, Serialize};

const SHORT: usize = 6;
const SLOW_WINDOWS: f64 = 360.0;

/// The service's lines by severity, all templates together.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Mix {
    age: u32,
    /// Error and all lines of the last windows, newest last.
    recent: [(u32, u32); SHORT],
    /// Usual lines a window: errors, all, and those that are neither errors nor warnings.
    errors: f64,
    all: f64,
    quiet: f64,
    /// The last windows' mean of the latter.
    quiet_fast: f64,
    dispersion: f64,
    pub(crate) streak: Streak,
}

/// What is thought of the share of errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MixOpinion {
    pub(crate) score: f64,
    /// Errors in the last windows.
    pub(crate) errors: f64,
    /// Shares, 0 to 1.
    pub(crate) observed: f64,
    pub(crate) expected: f64,
}

impl Mix {
    /// How many times as many ordinary lines there are as usual, 1/3 to 3: what traffic explains.
    pub(crate) fn growth(&self) -> f64 {
        ((self.quiet_fast + 1.0) / (self.quiet + 1.0)).clamp(1.0 / 3.0, 3.0)
    }

    /// Takes one window's lines; `None` while too little is known.
    pub(crate) fn observe(&mut self, min_windows: u32, errors: u64, all: u64, quiet: u64) -> Option<MixOpinion> {
        let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        self.recent.rotate_left(1);
        self.recent[SHORT - 1] = (small(errors), small(all));
        let opinion = self.judge(min_windows);
        self.age = self.age.saturating_add(1);
        let odd = opinion.is_some_and(|opinion| opinion.score >= 3.0);
        let pace = if odd { 0.1 } else { 1.0 } * (1.0 / SLOW_WINDOWS).max(1.0 / f64::from(self.age));
        let expected = self.share() * all as f64;
        let off = errors as f64 - expected;
        let spread = (off * off / (expected + 0.2)).min(50.0 * self.dispersion.max(1.0));
        self.dispersion = (self.dispersion + pace.min(0.1) * (spread - self.dispersion)).clamp(1.0, 1e9);
        self.errors += pace * (errors as f64 - self.errors);
        self.all += pace * (all as f64 - self.all);
        self.quiet += (1.0 / SLOW_WINDOWS).max(1.0 / f64::from(self.age)) * (quiet as f64 - self.quiet);
        self.quiet_fast += 0.25_f64.max(1.0 / f64::from(self.age)) * (quiet as f64 - self.quiet_fast);
        opinion
    }

    /// The usual share of errors, with half an error that was never seen.
    fn share(&self) -> f64 {
        let known = f64::from(self.age.max(1)).min(SLOW_WINDOWS);
        ((self.errors * known + 0.5) / (self.all * known + 1.0)).min(1.0)
    }

    fn judge(&self, min_windows: u32) -> Option<MixOpinion> {
        if self.age < min_windows {
            return None;
        }
        let (errors, all) = self
            .recent
            .iter()
            .fold((0.0, 0.0), |sum, (errors, all)| (sum.0 + f64::from(*errors), sum.1 + f64::from(*all)));
        let expected = self.share();
        let by = self.dispersion.max(1.0);
        let score = (surprise_of_many(errors / by, (expected * all + 1.0) / by) - 0.301).clamp(0.0, 16.0);
        Some(MixOpinion { score, errors, observed: if all > 0.0 { errors / all } else { 0.0 }, expected })
    }
}
