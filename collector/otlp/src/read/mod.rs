//! Recorded OTLP from files, for replay.
