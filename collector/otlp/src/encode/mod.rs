//! Events and incidents as OTLP.
