//! What a model is opened with, what it leaves behind, and how it fails.

use crate::window::Kind;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;

/// What a detector is.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// 1 to 64 characters of `a-z`, `0-9` and `-`.
    pub name: &'static str,
    /// Semantic version of the detector; `env!("CARGO_PKG_VERSION")` serves well.
    pub version: &'static str,
    /// JSON Schema (draft 2020-12) of the configuration object, at most 64 KiB. The host checks a user's configuration
    /// against it, so forbid what [`crate::Detector::Config`] would not read (`additionalProperties: false`).
    pub config_schema: String,
    /// Version of the layout of the saved state. Raise it whenever the layout changes.
    pub state_schema: u32,
    /// How many windows a fresh model needs before its scores mean anything.
    pub warmup_windows: u32,
    /// The kinds of series it wants to see, none twice. Empty means all.
    pub kinds: Vec<Kind>,
}

/// What a model is opened with.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup<C> {
    /// `service.name`, prefixed by `service.namespace` and a slash where there is one.
    pub service: String,
    /// The service's resource attributes as known when the model was opened, in ascending order of their keys.
    pub resource_attributes: Vec<(String, String)>,
    /// The configuration.
    pub config: C,
    /// The only source of randomness: derived from the service and the detector's name.
    pub seed: u64,
    /// The length of a window in nanoseconds, 1 second to 1 day.
    pub step_ns: u64,
}

impl<C> Setup<C> {
    /// The length of a window in seconds.
    #[must_use]
    pub fn step_seconds(&self) -> f64 {
        self.step_ns as f64 / 1e9
    }
}

impl Setup<String> {
    /// Reads the configuration from its JSON text; an empty text is an empty object.
    ///
    /// # Errors
    /// [`Fault::BadConfig`] with the place and the reason.
    pub fn parse<C: DeserializeOwned>(self) -> Result<Setup<C>, Fault> {
        let text = if self.config.trim().is_empty() { "{}" } else { &self.config };
        let config = serde_json::from_str(text).map_err(|error| Fault::BadConfig(error.to_string()))?;
        Ok(Setup {
            service: self.service,
            resource_attributes: self.resource_attributes,
            config,
            seed: self.seed,
            step_ns: self.step_ns,
        })
    }
}

/// What a model has learned, for keeping.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct State {
    /// [`About::state_schema`] of the writer.
    pub schema: u32,
    /// Opaque to the host.
    pub bytes: Vec<u8>,
}

impl State {
    /// Writes `value` with postcard (<https://postcard.jamesmunns.com/wire-format>), which is compact and the same on every
    /// machine.
    ///
    /// # Errors
    /// [`Fault::Internal`] if the value has a shape that postcard can't write, for instance a sequence of unknown length.
    pub fn encode(schema: u32, value: &impl Serialize) -> Result<Self, Fault> {
        // Measured first: a buffer that doubles as it grows would take twice the room, in a memory that is limited.
        let wrong = |error| Fault::Internal(format!("the state can't be written: {error}"));
        let size = postcard::serialize_with_flavor(value, postcard::ser_flavors::Size::default()).map_err(wrong)?;
        let mut bytes = vec![0; size];
        let written = postcard::to_slice(value, &mut bytes).map_err(wrong)?.len();
        bytes.truncate(written);
        Ok(Self { schema, bytes })
    }

    /// Reads what [`State::encode`] wrote under the same `schema`.
    ///
    /// # Errors
    /// [`Fault::BadState`] for another schema, for bytes that don't decode and for bytes left over.
    pub fn decode<T: DeserializeOwned>(&self, schema: u32) -> Result<T, Fault> {
        if self.schema != schema {
            return Err(Fault::BadState(format!("the state has schema {}, this version reads {schema}", self.schema)));
        }
        match postcard::take_from_bytes(&self.bytes) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(Fault::BadState(format!("{} bytes are left over", rest.len()))),
            Err(error) => Err(Fault::BadState(format!("the state can't be read: {error}"))),
        }
    }
}

/// Why a call could not be answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The configuration passes the schema but makes no sense; says why and where.
    BadConfig(String),
    /// The saved state is of no use to this version; the host opens a fresh model.
    BadState(String),
    /// Anything else. The host treats it as it treats a trap.
    Internal(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadConfig(why) => write!(f, "bad configuration: {why}"),
            Self::BadState(why) => write!(f, "bad saved state: {why}"),
            Self::Internal(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    struct Learned {
        mean: f64,
        names: Vec<String>,
    }

    /// What a model keeps must come back bit for bit, and a state of another layout must never be taken for one of this.
    #[test]
    fn states_round_trip_and_others_are_refused() {
        let learned = Learned { mean: 0.1 + 0.2, names: vec!["a".into(), "é".into()] };
        let state = State::encode(7, &learned).unwrap();
        assert_eq!(state.decode::<Learned>(7).unwrap(), learned);

        assert!(matches!(state.decode::<Learned>(8), Err(Fault::BadState(why)) if why.contains("schema 7")));
        let longer = State { schema: 7, bytes: [&state.bytes[..], &[0]].concat() };
        assert!(
            matches!(longer.decode::<Learned>(7), Err(Fault::BadState(why)) if why.contains("1 bytes are left over"))
        );
        let shorter = State { schema: 7, bytes: state.bytes[..5].to_vec() };
        assert!(matches!(shorter.decode::<Learned>(7), Err(Fault::BadState(_))));
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Config {
        share: f64,
    }

    impl Default for Config {
        fn default() -> Self {
            Self { share: 0.25 }
        }
    }

    /// No configuration means the defaults; a key that nobody reads is an error that names it.
    #[test]
    fn configuration_has_defaults_and_refuses_unknown_keys() {
        let setup = |config: &str| Setup {
            service: "shop/cart".into(),
            resource_attributes: vec![],
            config: config.to_owned(),
            seed: 1,
            step_ns: 1_500_000_000,
        };
        assert_eq!(setup("").parse::<Config>().unwrap().config, Config { share: 0.25 });
        assert_eq!(setup("{}").parse::<Config>().unwrap().step_seconds(), 1.5);
        assert_eq!(setup(r#"{"share":0.5}"#).parse::<Config>().unwrap().config, Config { share: 0.5 });
        assert!(
            matches!(setup(r#"{"shar":1}"#).parse::<Config>(), Err(Fault::BadConfig(why)) if why.contains("`shar`"))
        );
    }
}
