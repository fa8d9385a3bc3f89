//! The messages of OTLP 1.x as a table: what validation and JSON go by.
