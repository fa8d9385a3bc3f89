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
      "description": "Surprise of the cumulative sum from which a change is told."},
    "min_windows": {"type": "integer", "minimum": 20, "maximum": 100000, "default": 60,
      "description": "Windows of a series that are only learned."},
    "memory_windows": {"type": "integer", "minimum": 50, "maximum": 100000, "default": 360,
      "description": "Windows over which the reference level and spread forget."},
    "tell_windows": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 6,
      "description": "Windows for which a change is told. One that turns back within them is dropped."},
    "max_series": {"type": "integer", "minimum": 1, "maximum": 20000, "default": 10000,
      "description": "Series followed for each service; further ones get no score."}
  }
}"#;

/// What a user can set; see the JSON Schema for ranges.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Surprise of the cumulative sum from which a change is told.
    pub threshold: f64,
    /// Windows of a series that are only learned.
    pub min_windows: u32,
    /// Windows over which the reference level and spread forget.
    pub memory_windows: u32,
    /// Windows for which a change is told.
    pub tell_windows: u32,
    /// Series followed for each service.
    pub max_series: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { threshold: 4.0, min_windows: 60, memory_windows: 360, tell_windows: 6, max_series: 10_000 }
    }
}

impl Config {
    /// Checks what the schema states, for callers that did not.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let problem = if !(2.0..=15.0).contains(&self.threshold) {
            "threshold must be 2 to 15"
        } else if !(20..=100_000).contains(&self.min_windows) {
            "min_windows must be 20 to 100,000"
        } else if !(50..=100_000).contains(&self.memory_windows) {
            "memory_windows must be 50 to 100,000"
        } else if !(1..=1_000).contains(&self.tell_windows) {
            "tell_windows must be 1 to 1,000"
        } else if !(1..=20_000).contains(&self.max_series) {
            "max_series must be 1 to 20,000"
        } else {
            return Ok(());
        };
        Err(Fault::BadConfig(problem.to_owned()))
    }
}
