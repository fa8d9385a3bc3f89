//! Owns what a user can set.

use foreshock_detector::{Fault, Kind, alarm_ranges, in_range};
use serde::Deserialize;

/// JSON Schema of [`Config`].
pub(crate) const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "threshold": {"type": "number", "minimum": 2, "maximum": 15, "default": 5,
      "description": "Surprise from which a window is odd: 5 is one window in 100,000."},
    "persistence": {"type": "integer", "minimum": 1, "maximum": 100, "default": 2,
      "description": "Odd windows that make a finding."},
    "min_windows": {"type": "integer", "minimum": 10, "maximum": 100000, "default": 30,
      "description": "Windows of a series that are only learned."},
    "refractory": {"type": "integer", "minimum": 0, "maximum": 10000, "default": 6,
      "description": "Windows after the end of a finding in which twice the persistence is asked for."},
    "adapt_seconds": {"type": "number", "minimum": 60, "maximum": 31536000, "default": 3600,
      "description": "After so long a new level is taken for normal."},
    "kinds": {"type": "array", "uniqueItems": true,
      "items": {"enum": ["gauge", "rate", "quantile", "span-rate", "span-errors", "span-duration"]},
      "description": "Kinds of series to judge; all by default."}
  }
}"#;

/// What a user can set; see the JSON Schema for ranges.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Surprise from which a window is odd. 5 is one window in 100,000.
    pub threshold: f64,
    /// Odd windows that make a finding.
    pub persistence: u32,
    /// Windows of a series that are only learned.
    pub min_windows: u32,
    /// Windows after the end of a finding in which twice the persistence is asked for.
    pub refractory: u32,
    /// After so many seconds a new level is taken for normal.
    pub adapt_seconds: f64,
    /// Kinds of series to judge, named as in `wit/detector.wit`; `None` stands for all.
    pub kinds: Option<Vec<String>>,
}

impl Default for Config {
    fn default() -> Self {
        Self { threshold: 5.0, persistence: 2, min_windows: 30, refractory: 6, adapt_seconds: 3_600.0, kinds: None }
    }
}

impl Config {
    /// Checks what the schema states, for callers that did not.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let is_known = |name: &String| NAMES.iter().any(|(known, _)| known == name);
        in_range(alarm_ranges(self.threshold, self.persistence, self.refractory).into_iter().chain([
            ((10..=100_000).contains(&self.min_windows), "min_windows must be 10 to 100,000"),
            ((60.0..=31_536_000.0).contains(&self.adapt_seconds), "adapt_seconds must be 60 to 31,536,000"),
            (self.kinds.iter().flatten().all(is_known), "kinds has an unknown kind"),
        ]))
    }

    pub(crate) fn wants(&self, kind: Kind) -> bool {
        let is_wanted = |name: &String| NAMES.iter().any(|(known, its)| known == name && *its == kind);
        self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(is_wanted))
    }
}

const NAMES: [(&str, Kind); 6] = [
    ("gauge", Kind::Gauge),
    ("rate", Kind::Rate),
    ("quantile", Kind::Quantile),
    ("span-rate", Kind::SpanRate),
    ("span-errors", Kind::SpanErrors),
    ("span-duration", Kind::SpanDuration),
];
