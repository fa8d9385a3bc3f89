//! Owns what a user can set.

use foreshock_detector::{Fault, alarm_ranges, in_range};
use serde::Deserialize;

/// JSON Schema of [`Config`].
pub(crate) const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "contamination": {"type": "number", "minimum": 0, "maximum": 0.2, "default": 0.005,
      "description": "Share of the training windows that is taken for odd already."},
    "trees": {"type": "integer", "minimum": 8, "maximum": 256, "default": 32,
      "description": "Trees of a forest; made a multiple of 8."},
    "sample": {"type": "integer", "minimum": 16, "maximum": 1024, "default": 128,
      "description": "Windows that each tree is grown on."},
    "training_window": {"type": "integer", "minimum": 64, "maximum": 4096, "default": 720,
      "description": "Windows kept for training."},
    "minimum_samples": {"type": "integer", "minimum": 32, "maximum": 4096, "default": 60,
      "description": "Windows of a series before its first forest."},
    "retrain_every": {"type": "integer", "minimum": 10, "maximum": 100000, "default": 720,
      "description": "Windows after which a forest is grown anew."},
    "threshold": {"type": "number", "minimum": 2, "maximum": 15, "default": 5,
      "description": "Surprise from which a window is odd: 5 is one window in 100,000."},
    "persistence": {"type": "integer", "minimum": 1, "maximum": 100, "default": 2,
      "description": "Odd windows that make a finding."},
    "refractory": {"type": "integer", "minimum": 0, "maximum": 10000, "default": 6,
      "description": "Windows after the end of a finding in which twice the persistence is asked for."},
    "max_series": {"type": "integer", "minimum": 1, "maximum": 10000, "default": 500,
      "description": "Series with a forest, about 10 KB each; further ones get no score."}
  }
}"#;

/// What a user can set; see the JSON Schema for ranges.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Share of the training windows that is taken for odd already.
    pub contamination: f64,
    /// Trees of a forest.
    pub trees: u32,
    /// Windows that each tree is grown on.
    pub sample: u32,
    /// Windows kept for training.
    pub training_window: u32,
    /// Windows of a series before its first forest.
    pub minimum_samples: u32,
    /// Windows after which a forest is grown anew.
    pub retrain_every: u32,
    /// Surprise from which a window is odd.
    pub threshold: f64,
    /// Odd windows that make a finding.
    pub persistence: u32,
    /// Windows after the end of a finding in which twice the persistence is asked for.
    pub refractory: u32,
    /// Series with a forest; further ones get no score.
    pub max_series: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            contamination: 0.005,
            trees: 32,
            sample: 128,
            training_window: 720,
            minimum_samples: 60,
            retrain_every: 720,
            threshold: 5.0,
            persistence: 2,
            refractory: 6,
            max_series: 500,
        }
    }
}

impl Config {
    /// Checks what the schema states, for callers that did not, and what it can't.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let first = 32..=self.training_window;
        in_range(alarm_ranges(self.threshold, self.persistence, self.refractory).into_iter().chain([
            ((0.0..=0.2).contains(&self.contamination), "contamination must be 0 to 0.2"),
            ((8..=256).contains(&self.trees), "trees must be 8 to 256"),
            ((16..=1_024).contains(&self.sample), "sample must be 16 to 1,024"),
            ((64..=4_096).contains(&self.training_window), "training_window must be 64 to 4,096"),
            (first.contains(&self.minimum_samples), "minimum_samples must be 32 to training_window"),
            ((10..=100_000).contains(&self.retrain_every), "retrain_every must be 10 to 100,000"),
            ((1..=10_000).contains(&self.max_series), "max_series must be 1 to 10,000"),
        ]))
    }
}
