//! Owns what a user can set.

use foreshock_detector::Fault;
use serde::Deserialize;

/// JSON Schema of [`Config`].
pub(crate) const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "threshold": {"type": "number", "minimum": 2, "maximum": 100, "default": 8,
      "description": "How many times its habitual oddness a service must reach. 6.5 is balanced, 8 quiet. It rises by itself up to twice where a service reaches it every day."},
    "min_windows": {"type": "integer", "minimum": 100, "maximum": 100000, "default": 300,
      "description": "Windows of a service that are only learned."},
    "related_series": {"type": "integer", "minimum": 0, "maximum": 100, "default": 60,
      "description": "Series of which is learned how they go together; further ones are judged by themselves. Takes about 40 bytes for each pair."},
    "max_series": {"type": "integer", "minimum": 1, "maximum": 10000, "default": 1000,
      "description": "Series followed for each service."}
  }
}"#;

/// What a user can set; see the JSON Schema for ranges.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many times its habitual oddness a service must reach.
    pub threshold: f64,
    /// Windows of a service that are only learned.
    pub min_windows: u32,
    /// Series of which is learned how they go together.
    pub related_series: u32,
    /// Series followed for each service.
    pub max_series: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { threshold: 8.0, min_windows: 300, related_series: 60, max_series: 1_000 }
    }
}

impl Config {
    /// Checks what the schema states, for callers that did not.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let problem = if !(2.0..=100.0).contains(&self.threshold) {
            "threshold must be 2 to 100"
        } else if !(100..=100_000).contains(&self.min_windows) {
            "min_windows must be 100 to 100,000"
        } else if self.related_series > 100 {
            "related_series must be at most 100"
        } else if !(1..=10_000).contains(&self.max_series) {
            "max_series must be 1 to 10,000"
        } else {
            return Ok(());
        };
        Err(Fault::BadConfig(problem.to_owned()))
    }
}
