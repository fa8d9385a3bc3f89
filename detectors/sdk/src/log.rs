//! Lines for Foreshock's own log, under the detector's name. They go nowhere when the detector runs natively.
//!
//! The host replaces control characters, cuts lines at 1,024 bytes and limits their number: log what an operator can act on,
//! never once a window.

/// Of use while developing.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// Worth knowing, needs nobody.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Somebody should look at this some day.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// The detector can't do its work.
pub fn error(message: &str) {
    write(Level::Error, message);
}

#[derive(Clone, Copy)]
enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

#[cfg(target_arch = "wasm32")]
fn write(level: Level, message: &str) {
    use crate::glue::bindings::foreshock::detector::host;
    let level = match level {
        Level::Debug => host::Level::Debug,
        Level::Info => host::Level::Info,
        Level::Warn => host::Level::Warn,
        Level::Error => host::Level::Error,
    };
    host::log(level, message);
}

#[cfg(not(target_arch = "wasm32"))]
fn write(_level: Level, _message: &str) {}
