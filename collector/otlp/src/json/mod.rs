//! OTLP/JSON to protobuf and back, by the table of the messages.
//!
//! Source: OTLP specification 1.10, "JSON Protobuf Encoding", and protobuf's JSON mapping where that one is silent.

mod parser;
pub(crate) mod text;
mod to_json;
mod to_protobuf;

pub use parser::Problem;
pub use to_json::to_json;
pub use to_protobuf::{JsonError, signal, to_protobuf};
