//! The exporter that writes to the log.

use super::outcome::Outcome;
use super::settings::Verbosity;
use crate::json;
use crate::request::Held;

/// Logs one request.
pub(super) fn log(held: &Held, verbosity: Verbosity, exporter: &str) -> Outcome {
    let plain = match held.body(None) {
        Ok(plain) => plain,
        Err(error) => return Outcome::failed(&error),
    };
    let (signal, items) = (held.signal, held.items);
    match verbosity {
        Verbosity::Basic => {
            tracing::info!(exporter, %signal, items, bytes = plain.len(), "request");
        }
        Verbosity::Detailed => {
            let json = json::to_json(signal, &plain);
            tracing::info!(exporter, %signal, items, bytes = plain.len(), json, "request");
        }
    }
    Outcome::delivered(b"")
}
