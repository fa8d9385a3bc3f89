//! OTLP/JSON to protobuf and back, by the table of the messages.

pub(crate) mod text;
