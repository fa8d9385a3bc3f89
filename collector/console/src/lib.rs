//! Foreshock's HTTP API, metrics, overview page and health check.
//!
//! | path | answer |
//! | --- | --- |
//! | `GET /` | a page with the services and incidents of the moment |
//! | `GET /incidents/{id}`, `GET /services/{name}` | a page about one of them |
//! | `GET /metrics` | own metrics as Prometheus text |
//! | `GET /api/v1/services` | `{"services": [`[`views::Service`]`]}`, by namespace and name |
//! | `GET /api/v1/incidents` | `{"incidents": [`[`views::Incident`]`]}`, latest first |
//! | `GET /api/v1/incidents/{id}` | [`views::Incident`] |
//! | `POST /api/v1/incidents/{id}/acknowledge` | body `{}`; 202, or 404 without such an open incident |
//! | `GET /api/v1/anomalies` | `{"anomalies": [`[`views::Anomaly`]`]}`, latest first |
//! | `GET /api/v1/graph` | [`views::Graph`] |
//! | `GET /api/v1/selfcheck` | `{"checks": [`[`selfcheck::Check`]`]}`, the last one of each service, by name |
//!
//! Lists take `?limit=` (1 to 1,000, default 100). Times are RFC 3339 in UTC. An error is `{"error": "..."}`.
//! A POST must be `application/json`, and where a browser states where it comes from, that must be this page. On a loopback
//! address only requests for `localhost` or an IP address are answered, so that no foreign name can be pointed here.

mod api;
mod guard;
mod health;
mod page;
pub mod selfcheck;
pub mod views;

pub use health::{Phase, Readiness, serve_health};
pub use page::escape;

use std::{future::Future, sync::Arc};
use tokio::net::TcpListener;

/// Where the console gets what it shows. Called on the async runtime's workers, so it must answer from memory.
pub trait Source: Send + Sync + 'static {
    /// Own metrics as Prometheus text (version 0.0.4).
    fn metrics(&self) -> String;
    /// All services, by namespace and name.
    fn services(&self) -> Vec<views::Service>;
    /// Incidents, latest first, at most `limit`.
    fn incidents(&self, limit: usize) -> Vec<views::Incident>;
    /// One incident by its id of 16 hexadecimal digits.
    fn incident(&self, id: &str) -> Option<views::Incident>;
    /// Anomalies, latest first, at most `limit`.
    fn anomalies(&self, limit: usize) -> Vec<views::Anomaly>;
    /// Who calls whom.
    fn graph(&self) -> views::Graph;
    /// The last self-check of each service, by name; a source may have none.
    fn checks(&self) -> Vec<selfcheck::Check> {
        Vec::new()
    }
    /// Asks for an incident to be acknowledged; it happens a moment later.
    ///
    /// # Errors
    /// [`NotAcknowledged`].
    fn acknowledge(&self, id: &str) -> Result<(), NotAcknowledged>;
}

/// Why an incident can't be acknowledged.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotAcknowledged {
    /// There is none with this id, or it is over.
    #[error("there is no open incident with this id")]
    NoSuchIncident,
    /// Too many requests wait, or detection is not running.
    #[error("not possible at the moment")]
    Busy,
}

/// Answers requests on `listener` until `shutdown`, and then finishes those that run.
///
/// # Errors
/// If the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    source: Arc<dyn Source>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let loopback = listener.local_addr()?.ip().is_loopback();
    axum::serve(listener, api::router(source, loopback)).with_graceful_shutdown(shutdown).await
}

#[cfg(test)]
mod tests;
