//! The health check: 200 when ready, 503 before and after.

use axum::{Router, http::StatusCode, routing::get};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};
use tokio::net::TcpListener;

/// Where the process stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// State is being restored, listeners are being opened.
    Starting,
    /// Telemetry is taken.
    Ready,
    /// No more telemetry is taken; what is queued is being sent.
    Draining,
}

/// The phase, shared between who sets it and who is asked.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

impl Readiness {
    /// Sets the phase.
    pub fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }

    /// The phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }
}

/// Answers `GET /` on `listener` until `shutdown`.
///
/// # Errors
/// If the listener fails for good.
pub async fn serve_health(
    listener: TcpListener,
    readiness: Readiness,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let answer = move || {
        let phase = readiness.phase();
        async move {
            match phase {
                Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
                Phase::Ready => (StatusCode::OK, "ready\n"),
                Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            }
        }
    };
    axum::serve(listener, Router::new().route("/", get(answer))).with_graceful_shutdown(shutdown).await
}
