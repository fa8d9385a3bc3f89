//! The only crate of Foreshock that knows OTLP: receive, view, forward, encode, export.

pub mod signal;
mod schema;
pub mod view;
pub mod json;
pub mod encode;
pub mod read;

pub use signal::Signal;
