//! OTLP/HTTP as a client: paths and headers.

use http::{HeaderMap, HeaderValue, header};

use crate::signal::Signal;

pub(super) fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => "/v1/metrics",
        Signal::Logs => "/v1/logs",
        Signal::Traces => "/v1/traces",
    }
}

pub(super) fn add_headers(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
}
