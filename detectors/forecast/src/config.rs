//! Owns what a user can set.

use foreshock_detector::{Fault, Series};
use serde::Deserialize;
use std::collections::BTreeMap;

/// JSON Schema of [`Config`].
pub(crate) const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "known_limits": {"type": "boolean", "default": true,
      "description": "Whether series with a limit of their own are followed: shares of a whole, and those whose capacity is a series beside them."},
    "limits": {"type": "array", "maxItems": 1000, "description": "Limits and objectives; the first that fits a series counts.",
      "items": {"type": "object", "additionalProperties": false, "required": ["series", "limit"],
        "properties": {
          "series": {"type": "string", "minLength": 1, "maxLength": 256,
            "description": "The metric's name; a * at its end stands for any rest."},
          "attributes": {"type": "object", "additionalProperties": {"type": "string"},
            "description": "Attributes that the series must have."},
          "limit": {"type": "number", "description": "What must not be reached, in the series' unit."},
          "from": {"type": "number", "default": 0,
            "description": "Where the resource is unused, in the series' unit; above the limit where values fall to it."}}}}
  }
}"#;

/// What a user can set; see the JSON Schema for ranges.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether series with a limit of their own are followed.
    pub known_limits: bool,
    /// Limits and objectives; the first that fits a series counts.
    pub limits: Vec<Named>,
}

/// One limit.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// The metric's name; a `*` at its end stands for any rest.
    pub series: String,
    /// Attributes that the series must have.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// What must not be reached, in the series' unit.
    pub limit: f64,
    /// Where the resource is unused, in the series' unit; above the limit where values fall to it.
    #[serde(default)]
    pub from: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { known_limits: true, limits: Vec::new() }
    }
}

impl Config {
    /// Checks what a schema can't.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        for Named { series, limit, from, .. } in &self.limits {
            if !(limit.is_finite() && from.is_finite()) || limit == from {
                return Err(Fault::BadConfig(format!("limits: `{series}` starts from {from} and ends at {limit}")));
            }
        }
        Ok(())
    }
}

impl Named {
    pub(crate) fn fits(&self, series: &Series) -> bool {
        let name = match self.series.strip_suffix('*') {
            Some(head) => series.name.starts_with(head),
            None => series.name == self.series,
        };
        name && self.attributes.iter().all(|(key, value)| series.attribute(key) == Some(value))
    }
}
