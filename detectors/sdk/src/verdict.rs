//! What a detector answers: scores and findings.

use crate::window::Window;

/// How bad a finding is for the people who run the service. Ordered.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// Worth knowing; never opens an incident by itself.
    Info,
    /// Unusual and possibly harmful.
    #[default]
    Warning,
    /// Harm is being done to users or is about to be.
    Error,
    /// The service fails for most of its users.
    Critical,
}

/// When a value will reach a limit, if it goes on as it does. All times in nanoseconds since the Unix epoch, and
/// `window.end_ns <= earliest_ns <= reaches_ns <= latest_ns`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// The limit, finite, in the series' unit.
    pub limit: f64,
    /// When the value most probably reaches it.
    pub reaches_ns: u64,
    /// Early end of the 80 % interval.
    pub earliest_ns: u64,
    /// Late end of the 80 % interval.
    pub latest_ns: u64,
}

/// Something a person should be told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Finding {
    /// The series it was seen on, the most telling one first: 1 to 64, none twice, all open.
    pub ids: Vec<u32>,
    /// What kind of change: `spike`, `dip`, `level_shift`, `trend`, `seasonal`, `distribution`, `missing_data`,
    /// `new_log_pattern`, `log_rate`, or a name of the detector's own: 1 to 64 characters of `a-z`, `0-9`, `_` and `.`.
    pub kind: String,
    /// How bad it is.
    pub severity: Severity,
    /// Surprise on the scale of [`Verdict::scores`], 0 to 16.
    pub score: f64,
    /// What was seen, in the unit of the first series; finite.
    pub observed: Option<f64>,
    /// What was expected, in the unit of the first series; finite.
    pub expected: Option<f64>,
    /// Lower end of what would have been normal; finite, at most `upper` where both are given.
    pub lower: Option<f64>,
    /// Upper end of what would have been normal; finite.
    pub upper: Option<f64>,
    /// For predictions.
    pub forecast: Option<Forecast>,
    /// One sentence for people, at most 512 bytes, without the time and the service's name, which the host adds.
    pub summary: String,
    /// Further facts as key and value: at most 16, each key 1 to 64 bytes, each value at most 256 bytes.
    pub evidence: Vec<(String, String)>,
}

/// A detector's answer for one window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// `scores[i]` belongs to `window.ids[i]`: surprise, -log10 of the probability that a normal window looks at least as odd,
    /// 0 to 16; see [`surprise`]. NaN while warming up, or where the detector has nothing to say about this series.
    pub scores: Vec<f64>,
    /// What is worth saying aloud, at most 256 a window. Repeat a finding for as long as it holds.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Nothing to say about any series of the window: all scores are NaN.
    #[must_use]
    pub fn silent(window: &Window) -> Self {
        Self { scores: vec![f64::NAN; window.len()], findings: Vec::new() }
    }
}

/// Surprise for a tail probability: `-log10(probability)`, kept within 0 to 16. NaN gives NaN.
#[must_use]
pub fn surprise(tail_probability: f64) -> f64 {
    // `clamp` keeps NaN, and 0 gives infinity, which becomes 16.
    (-libm::log10(tail_probability)).clamp(0.0, 16.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scale is part of the contract: 2 is one window in a hundred, and no probability leaves 0 to 16.
    #[test]
    fn surprise_is_minus_log10_within_its_range() {
        assert_eq!(surprise(0.01), 2.0);
        assert_eq!(surprise(1.0), 0.0);
        assert_eq!(surprise(0.0), 16.0);
        assert_eq!(surprise(1e-300), 16.0);
        assert_eq!(surprise(1.5), 0.0);
        assert!(surprise(f64::NAN).is_nan());
    }
}
