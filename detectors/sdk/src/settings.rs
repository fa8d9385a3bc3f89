//! Owns what a user can set on a detector, said once: the name, the meaning, the default and the range of each setting.

use crate::{Fault, Kind};
use serde::{Deserialize, Deserializer, de::Error};
use std::{fmt::Display, ops::RangeInclusive};

/// Declares the configuration of a detector: a struct with one field for each setting, its defaults, its JSON Schema and the check of
/// its ranges, which so can't disagree.
///
/// Comments become descriptions. `schema()` is for [`crate::About::config_schema`]; `check()` is for [`crate::Detector::open`], since not every
/// caller has the schema at hand. Keys that are not declared are refused. A setting's type implements [`Setting`]: integers, numbers, switches and
/// [`Kinds`] do. The crate that uses it depends on `serde`. For nested configurations derive the schema instead ([`crate::config_schema`]).
///
/// ```
/// foreshock_detector::settings! {
///     /// What a user can set.
///     pub struct Config {
///         /// Surprise from which a window is odd.
///         pub threshold: f64 = 5.0, in 2.0..=15.0;
///         /// Odd windows that make a finding.
///         pub persistence: u32 = 2, in 1..=100;
///         /// Whether weekends are told from other days.
///         pub weekends: bool = true;
///     }
/// }
///
/// let schema: serde_json::Value = serde_json::from_str(&Config::schema()).expect("JSON");
/// assert_eq!(schema["properties"]["threshold"]["maximum"], 15.0);
/// assert_eq!(schema["properties"]["persistence"]["description"], "Odd windows that make a finding.");
/// assert_eq!(schema["properties"]["weekends"]["default"], true);
///
/// let config: Config = serde_json::from_str(r#"{"threshold": 17}"#).expect("the keys are known");
/// assert_eq!(config.persistence, 2);
/// assert_eq!(config.check().unwrap_err().to_string(), "bad configuration: threshold must be 2 to 15, not 17");
/// ```
#[macro_export]
macro_rules! settings {
    (
        $(#[doc = $about:literal])*
        $vis:vis struct $name:ident {
            $($(#[doc = $words:literal])+ $its:vis $field:ident: $type:ty = $default:expr $(, in $range:expr)?;)*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, ::serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        $vis struct $name {
            $($(#[doc = $words])+ $(#[doc = concat!(" In `", stringify!($range), "`.")])? $its $field: $type,)*
        }

        impl ::core::default::Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $name {
            /// The JSON Schema (draft 2020-12) of this configuration.
            #[must_use]
            $vis fn schema() -> ::std::string::String {
                let default = Self::default();
                let mut schema = $crate::settings::Schema::default();
                $(schema.property(
                    stringify!($field),
                    concat!($($words),+),
                    &$crate::settings::Setting::schema(&default.$field, None$(.or(Some(&($range))))?),
                );)*
                schema.finish()
            }

            /// Whether each setting is in its range.
            ///
            /// # Errors
            /// [`Fault::BadConfig`]($crate::Fault::BadConfig) that names the first one that is not, its range and its value.
            $vis fn check(&self) -> ::core::result::Result<(), $crate::Fault> {
                $($($crate::settings::in_range(stringify!($field), &self.$field, &($range))?;)?)*
                Ok(())
            }
        }
    };
}

/// A type that a setting of [`settings!`](crate::settings!) can have.
pub trait Setting: Sized {
    /// The members of its JSON Schema, without braces, for this default and range: `"type": "integer", "default": 3`.
    fn schema(&self, range: Option<&RangeInclusive<Self>>) -> String;
}

macro_rules! numbers {
    ($($type:ty: $word:literal),*) => {$(
        impl Setting for $type {
            fn schema(&self, range: Option<&RangeInclusive<Self>>) -> String {
                let bounds = range.map_or(String::new(), |range| {
                    format!(r#", "minimum": {}, "maximum": {}"#, range.start(), range.end())
                });
                format!(r#""type": "{}", "default": {self}{bounds}"#, $word)
            }
        }
    )*};
}

numbers!(f64: "number", u32: "integer", u64: "integer");

impl Setting for bool {
    fn schema(&self, _: Option<&RangeInclusive<Self>>) -> String {
        format!(r#""type": "boolean", "default": {self}"#)
    }
}

/// Which kinds of series a detector judges. In JSON a list of the names of `wit/detector.wit`, or `null` for all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Kinds(Option<Vec<Kind>>);

impl Kinds {
    /// All kinds.
    #[must_use]
    pub const fn all() -> Self {
        Self(None)
    }

    /// Whether this kind is one of them.
    #[must_use]
    pub fn contain(&self, kind: Kind) -> bool {
        self.0.as_ref().is_none_or(|kinds| kinds.contains(&kind))
    }
}

impl<'de> Deserialize<'de> for Kinds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(names) = Option::<Vec<String>>::deserialize(deserializer)? else { return Ok(Self::all()) };
        let kind = |name: &String| Kind::ALL.into_iter().find(|kind| kind.name() == name);
        let unknown =
            |name: &String| D::Error::custom(format!("`{}` is no kind of series", crate::words::cut(name, 40)));
        names
            .iter()
            .map(|name| kind(name).ok_or_else(|| unknown(name)))
            .collect::<Result<_, _>>()
            .map(|kinds| Self(Some(kinds)))
    }
}

impl Setting for Kinds {
    fn schema(&self, _: Option<&RangeInclusive<Self>>) -> String {
        let names: Vec<String> = Kind::ALL.iter().map(|kind| format!("\"{}\"", kind.name())).collect();
        format!(r#""type": ["array", "null"], "uniqueItems": true, "items": {{"enum": [{}]}}"#, names.join(", "))
    }
}

/// Whether a setting is in its range. NaN is in none.
///
/// # Errors
/// [`Fault::BadConfig`] that names the setting, its range and its value.
pub fn in_range<T: PartialOrd + Display>(name: &str, value: &T, range: &RangeInclusive<T>) -> Result<(), Fault> {
    if range.contains(value) {
        return Ok(());
    }
    Err(Fault::BadConfig(format!("{name} must be {} to {}, not {value}", range.start(), range.end())))
}

/// A JSON Schema as it is written, property by property.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    properties: Vec<String>,
}

impl Schema {
    /// Adds one property: its name, its description and the other members of its schema.
    pub fn property(&mut self, name: &str, description: &str, members: &str) {
        let description = serde_json::Value::from(description.trim());
        self.properties.push(format!(r#"    "{name}": {{{members}, "description": {description}}}"#));
    }

    /// The schema of an object with these properties and no others.
    #[must_use]
    pub fn finish(&self) -> String {
        let properties = self.properties.join(",\n");
        format!(
            "{{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n  \"type\": \"object\",\n  \
             \"additionalProperties\": false,\n  \"properties\": {{\n{properties}\n  }}\n}}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    settings! {
        /// One setting of each type.
        struct Config {
            /// A "number",
            /// on two lines.
            share: f64 = 0.25, in 0.0..=1.0;
            /// A count.
            most: u32 = 7, in 1..=9;
            /// A switch.
            on: bool = true;
            /// Kinds to judge.
            kinds: Kinds = Kinds::all();
        }
    }

    fn checked(text: &str) -> Result<Config, String> {
        let config: Config = serde_json::from_str(text).map_err(|error| error.to_string())?;
        config.check().map(|()| config).map_err(|fault| fault.to_string())
    }

    /// The ends of a range belong to it, what lies outside is named with its range, and no unknown key or kind passes.
    #[test]
    fn what_is_out_of_range_is_named() {
        assert_eq!(checked("{}"), Ok(Config::default()));
        assert!(checked(r#"{"share": 0, "most": 9, "kinds": null}"#).is_ok());
        let refused = |text, part: &str| match checked(text) {
            Err(why) => assert!(why.contains(part), "{why}"),
            Ok(config) => panic!("{config:?}"),
        };
        refused(r#"{"share": 1.5}"#, "share must be 0 to 1, not 1.5");
        refused(r#"{"most": 0}"#, "most must be 1 to 9, not 0");
        refused(r#"{"mosst": 3}"#, "`mosst`");
        refused(r#"{"kinds": ["gauges"]}"#, "`gauges` is no kind of series");
        assert!(in_range("share", &f64::NAN, &(0.0..=1.0)).is_err());
    }

    /// Only the kinds that were named are judged; without a list all are.
    #[test]
    fn kinds_are_those_of_the_contract() {
        let config = checked(r#"{"kinds": ["rate", "span-errors"]}"#).expect("both are kinds");
        assert!(config.kinds.contain(Kind::SpanErrors) && !config.kinds.contain(Kind::Gauge));
        assert!(Kind::ALL.into_iter().all(|kind| Config::default().kinds.contain(kind)));
    }

    /// The schema is JSON, whatever stands in the comments, and says what the struct says.
    #[test]
    fn the_schema_says_what_the_struct_says() {
        let schema: serde_json::Value = serde_json::from_str(&Config::schema()).expect("JSON");
        assert_eq!(schema["additionalProperties"], false);
        let share = &schema["properties"]["share"];
        assert_eq!((&share["default"], &share["minimum"]), (&0.25.into(), &0.into()));
        assert_eq!(share["description"], "A \"number\", on two lines.");
        assert_eq!(schema["properties"]["most"]["type"], "integer");
        assert_eq!(schema["properties"]["kinds"]["items"]["enum"][3], "span-rate");
    }
}
