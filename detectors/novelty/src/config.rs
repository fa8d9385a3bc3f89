//! Owns what a user can set.

use crate::{member::Shape, scale::Map};
use foreshock_detector::Fault;
use serde::Deserialize;

/// JSON Schema of [`Config`].
pub(crate) const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "form": {"enum": ["light", "full"], "default": "light",
      "description": "light: four members, about 9 KB a series. full: eight members, about 19 KB a series, fewer false alarms."},
    "threshold": {"type": "number", "minimum": 0.1, "maximum": 2, "default": 0.46,
      "description": "Mean vote of the members from which a series is odd. 0.38 is balanced, 0.46 to 0.5 quiet."},
    "warmup_windows": {"type": "integer", "minimum": 120, "maximum": 4000, "default": 250,
      "description": "Windows of a series that are only learned."},
    "full_windows": {"type": "integer", "minimum": 120, "maximum": 4000, "default": 750,
      "description": "Windows after which learning is repeated for the last time, each time for courses twice as long. The longest course is about a thirteenth of them."},
    "max_series": {"type": "integer", "minimum": 1, "maximum": 10000, "default": 400,
      "description": "Series followed for each service; further ones get no score. Mind the detector's memory limit."}
  }
}"#;

/// How many members vote.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Four members on plain values.
    #[default]
    Light,
    /// Eight members, four of them on values with their far ends drawn in.
    Full,
}

/// What a user can set; see the JSON Schema for ranges.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many members vote.
    pub form: Form,
    /// Mean vote of the members from which a series is odd.
    pub threshold: f64,
    /// Windows of a series that are only learned.
    pub warmup_windows: u32,
    /// Windows with which the members are trained for the last time, after some times with half as many; each time they look
    /// at courses twice as long.
    pub full_windows: u32,
    /// Series followed for each service.
    pub max_series: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { form: Form::Light, threshold: 0.46, warmup_windows: 250, full_windows: 750, max_series: 400 }
    }
}

const fn shape(map: Map, levels: usize, contexts: usize) -> Shape {
    Shape { map, levels, contexts }
}

const LIGHT: [Shape; 4] =
    [shape(Map::Plain, 4, 13), shape(Map::Plain, 4, 20), shape(Map::Plain, 4, 26), shape(Map::Plain, 4, 40)];

const FULL: [Shape; 8] = [
    shape(Map::Log, 4, 13),
    shape(Map::Log, 4, 20),
    shape(Map::Log, 4, 40),
    shape(Map::Log, 8, 13),
    shape(Map::Plain, 4, 13),
    shape(Map::Plain, 4, 20),
    shape(Map::Plain, 4, 40),
    shape(Map::Plain, 8, 13),
];

impl Form {
    pub(crate) fn shapes(self) -> &'static [Shape] {
        match self {
            Self::Light => &LIGHT,
            Self::Full => &FULL,
        }
    }

    /// Prototypes of one member.
    pub(crate) fn capacity(self) -> usize {
        match self {
            Self::Light => 64,
            Self::Full => 80,
        }
    }
}

impl Config {
    /// Checks what the schema states, for callers that did not.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let problem = if !(0.1..=2.0).contains(&self.threshold) {
            "threshold must be 0.1 to 2"
        } else if !(120..=4_000).contains(&self.warmup_windows) {
            "warmup_windows must be 120 to 4,000"
        } else if !(120..=4_000).contains(&self.full_windows) {
            "full_windows must be 120 to 4,000"
        } else if !(1..=10_000).contains(&self.max_series) {
            "max_series must be 1 to 10,000"
        } else {
            return Ok(());
        };
        Err(Fault::BadConfig(problem.to_owned()))
    }
}
