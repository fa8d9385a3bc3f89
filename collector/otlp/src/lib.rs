//! The only crate of Foreshock that knows OTLP: receive, view, forward, encode, export.

pub mod encode;
pub mod json;
pub mod read;
mod schema;
pub mod signal;
pub mod view;

pub use signal::Signal;
