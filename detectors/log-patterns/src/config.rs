//! Owns what a user can set.

use foreshock_detector::{Fault, alarm_ranges, in_range};
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
      "description": "Odd windows that make a finding about a rate."},
    "warmup_windows": {"type": "integer", "minimum": 10, "maximum": 100000, "default": 60,
      "description": "Windows of a service in which every pattern is taken for known."},
    "min_windows": {"type": "integer", "minimum": 10, "maximum": 100000, "default": 60,
      "description": "Windows of a pattern before its rate is judged."},
    "novel_windows": {"type": "integer", "minimum": 2, "maximum": 100000, "default": 60,
      "description": "Windows for which a pattern is new."},
    "refractory": {"type": "integer", "minimum": 0, "maximum": 10000, "default": 6,
      "description": "Windows after the end of a finding in which twice the persistence is asked for."},
    "burst": {"type": "integer", "minimum": 2, "maximum": 64, "default": 4,
      "description": "So many new patterns at once are told as one."}
  }
}"#;

/// What a user can set; see the JSON Schema for ranges.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Surprise from which a window is odd.
    pub threshold: f64,
    /// Odd windows that make a finding about a rate.
    pub persistence: u32,
    /// Windows of a service in which every pattern is taken for known.
    pub warmup_windows: u32,
    /// Windows of a pattern before its rate is judged.
    pub min_windows: u32,
    /// Windows for which a pattern is new.
    pub novel_windows: u32,
    /// Windows after the end of a finding in which twice the persistence is asked for.
    pub refractory: u32,
    /// So many new patterns at once are told as one.
    pub burst: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threshold: 5.0,
            persistence: 2,
            warmup_windows: 60,
            min_windows: 60,
            novel_windows: 60,
            refractory: 6,
            burst: 4,
        }
    }
}

impl Config {
    /// Checks what the schema states, for callers that did not.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let windows = 10..=100_000;
        let known = windows.contains(&self.warmup_windows) && windows.contains(&self.min_windows);
        in_range(alarm_ranges(self.threshold, self.persistence, self.refractory).into_iter().chain([
            (known, "warmup_windows and min_windows must be 10 to 100,000"),
            ((2..=100_000).contains(&self.novel_windows), "novel_windows must be 2 to 100,000"),
            ((2..=64).contains(&self.burst), "burst must be 2 to 64"),
        ]))
    }
}
