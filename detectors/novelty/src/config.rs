//! Owns what a user can set.

use crate::{member::Shape, scale::Map};
use foreshock_detector::settings::Setting;
use serde::Deserialize;
use std::ops::RangeInclusive;

/// How many members vote.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Four members on plain values.
    Light,
    /// Eight members, four of them on values with their far ends drawn in.
    #[default]
    Full,
}

impl Setting for Form {
    fn schema(&self, _: Option<&RangeInclusive<Self>>) -> String {
        r#""enum": ["light", "full"], "default": "full""#.to_owned()
    }
}

foreshock_detector::settings! {
    /// What a user can set.
    pub struct Config {
        /// light: four members, about 6 KB a series. full: eight members, about 12 KB a series, fewer false alarms.
        pub form: Form = Form::Full;
        /// Mean vote of the members from which a series is odd. 0.38 is balanced, 0.46 to 0.5 quiet.
        pub threshold: f64 = 0.42, in 0.1..=2.0;
        /// Rows of a series that are only learned: windows, or as many as are gathered into one.
        pub warmup_windows: u32 = 250, in 120..=4_000;
        /// Shorter windows are gathered into rows of so many seconds, each the mean of its windows.
        pub row_seconds: u32 = 300, in 0..=86_400;
        /// Rows after which learning is repeated for the last time, each time for courses twice as long. The longest
        /// course is about a thirteenth of them.
        pub full_windows: u32 = 750, in 120..=4_000;
        /// Series followed for each service; further ones get no score. Mind the detector's memory limit.
        pub max_series: u32 = 400, in 1..=10_000;
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

    /// Prototypes of one member. Those with longer contexts take twice the room each, and have half as many.
    pub(crate) fn capacity(shape: Shape) -> u8 {
        if shape.levels > 4 { 32 } else { 64 }
    }
}
