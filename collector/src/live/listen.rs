//! Opens all listeners before anything else, so that a taken port is an error at once.

use crate::config::Config;
use anyhow::Context as _;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Where a running hop listens.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Addresses {
    /// OTLP/gRPC.
    pub grpc: Option<SocketAddr>,
    /// OTLP/HTTP.
    pub http: Option<SocketAddr>,
    /// Console.
    pub console: Option<SocketAddr>,
    /// Health check.
    pub health: Option<SocketAddr>,
}

#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) grpc: Option<TcpListener>,
    pub(super) http: Option<TcpListener>,
    pub(super) console: Option<TcpListener>,
    pub(super) health: Option<TcpListener>,
}

impl Listeners {
    pub(super) async fn bind(config: &Config) -> anyhow::Result<Self> {
        let endpoint = |listener: &Option<crate::config::Listener>| listener.as_ref().map(|l| l.endpoint.clone());
        Ok(Self {
            health: bind(config.health.clone(), "health.endpoint").await?,
            grpc: bind(endpoint(&config.grpc), "receivers.otlp.protocols.grpc.endpoint").await?,
            http: bind(endpoint(&config.http), "receivers.otlp.protocols.http.endpoint").await?,
            console: bind(config.console.clone(), "console.endpoint").await?,
        })
    }

    pub(super) fn addresses(&self) -> Addresses {
        let of = |listener: &Option<TcpListener>| listener.as_ref().and_then(|listener| listener.local_addr().ok());
        Addresses { grpc: of(&self.grpc), http: of(&self.http), console: of(&self.console), health: of(&self.health) }
    }
}

async fn bind(endpoint: Option<String>, key: &str) -> anyhow::Result<Option<TcpListener>> {
    let Some(endpoint) = endpoint else { return Ok(None) };
    let listener = TcpListener::bind(&endpoint).await.with_context(|| format!("{key}: can't listen on {endpoint}"))?;
    Ok(Some(listener))
}
