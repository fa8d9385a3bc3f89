//! Owns what a user can set.

use foreshock_detector::Fault;
use serde::Deserialize;

/// JSON Schema of [`Config`].
pub(crate) const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "threshold": {"type": "number", "minimum": 2, "maximum": 15, "default": 4,
      "description": "Surprise from which a window is odd: 4 is one window in 10,000."},
    "persistence": {"type": "integer", "minimum": 1, "maximum": 100, "default": 1,
      "description": "Odd windows that make a finding."},
    "min_windows": {"type": "integer", "minimum": 50, "maximum": 100000, "default": 200,
      "description": "Windows of a series that are only learned."},
    "refractory": {"type": "integer", "minimum": 0, "maximum": 10000, "default": 60,
      "description": "Windows after the end of a finding in which twice the persistence is asked for."},
    "max_series": {"type": "integer", "minimum": 1, "maximum": 20000, "default": 2000,
      "description": "Series followed for each service; further ones get no score."}
  }
}"#;

/// What a user can set; see the JSON Schema for ranges.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Surprise from which a window is odd.
    pub threshold: f64,
    /// Odd windows that make a finding.
    pub persistence: u32,
    /// Windows of a series that are only learned.
    pub min_windows: u32,
    /// Windows after the end of a finding in which twice the persistence is asked for.
    pub refractory: u32,
    /// Series followed for each service.
    pub max_series: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { threshold: 4.0, persistence: 1, min_windows: 200, refractory: 60, max_series: 2_000 }
    }
}

impl Config {
    /// Checks what the schema states, for callers that did not.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let problem = if !(2.0..=15.0).contains(&self.threshold) {
            "threshold must be 2 to 15"
        } else if !(1..=100).contains(&self.persistence) {
            "persistence must be 1 to 100"
        } else if !(50..=100_000).contains(&self.min_windows) {
            "min_windows must be 50 to 100,000"
        } else if self.refractory > 10_000 {
            "refractory must be at most 10,000"
        } else if !(1..=20_000).contains(&self.max_series) {
            "max_series must be 1 to 20,000"
        } else {
            return Ok(());
        };
        Err(Fault::BadConfig(problem.to_owned()))
    }
}
