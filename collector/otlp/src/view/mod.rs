//! Reads OTLP protobuf where it lies, without building objects.
