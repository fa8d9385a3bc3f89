//! Reads OTLP protobuf where it lies, without building objects.
//!
//! A request is checked once with [`validate`], cut by resource with [`split`], and each resource is walked once with
//! [`read`], which hands every data point, log record and span to a sink as borrowed views.

mod attributes;
mod body;
mod cursor;
mod points;
mod reader;
mod split;
mod validate;

pub(crate) use cursor::{Cursor, MAX_DEPTH, Merged};
pub use reader::{Reader, read};
pub use split::{ResourceSlice, Split, UNKNOWN_SERVICE, latest_time, split, times};
pub use validate::{Items, Problem, ViewError, validate};
