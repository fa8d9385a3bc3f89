//! What end-to-end tests and benches share: programs as child processes, and OTLP/gRPC spoken by hand, so that the bytes on
//! both sides of the hop can be compared.

pub mod foreshock;
pub mod payload;
pub mod process;
pub mod wire;
