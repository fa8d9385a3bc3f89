//! The only crate of Foreshock that knows OTLP: receive, view, forward, encode, export.

pub mod authorization;
pub mod compression;
pub mod encode;
pub mod export;
pub mod json;
pub mod read;
pub mod receive;
pub mod request;
mod schema;
pub mod signal;
pub mod view;

pub use signal::Signal;
