//! The JSON Schema of a configuration, from the struct that holds it.

use schemars::{JsonSchema, generate::SchemaSettings};

/// The JSON Schema (draft 2020-12) of a configuration, for [`crate::About::config_schema`].
///
/// It is made from the struct, so the two can't disagree: comments become descriptions, `#[serde(default)]` becomes the
/// defaults, `#[serde(deny_unknown_fields)]` forbids other keys, `#[schemars(range(min = 0, max = 1))]` gives a range.
/// Ranges are checked by the host before the detector is opened, and not by the detector's own tests.
///
/// ```
/// use foreshock_detector::config_schema;
///
/// #[derive(schemars::JsonSchema, serde::Deserialize, serde::Serialize)]
/// #[serde(default, deny_unknown_fields)]
/// struct Config {
///     /// Share of orders that may stay unpaid.
///     #[schemars(range(min = 0.0, max = 1.0))]
///     unpaid: f64,
/// }
///
/// impl Default for Config {
///     fn default() -> Self {
///         Self { unpaid: 0.25 }
///     }
/// }
///
/// let schema: serde_json::Value = serde_json::from_str(&config_schema::<Config>()).expect("JSON");
/// assert_eq!(schema["additionalProperties"], false);
/// assert_eq!(schema["properties"]["unpaid"]["default"], 0.25);
/// assert_eq!(schema["properties"]["unpaid"]["maximum"], 1.0);
/// assert_eq!(schema["properties"]["unpaid"]["description"], "Share of orders that may stay unpaid.");
/// ```
#[must_use]
pub fn config_schema<C: JsonSchema>() -> String {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<C>().as_value().to_string()
}
