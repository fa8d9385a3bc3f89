//! Receives OTLP over gRPC and HTTP, and hands each valid request to an [`Intake`].
//!
//! Both transports share one accept loop (`connections`), one way to collect a body (`body`) and one way from a body
//! to the intake (`admit`); `grpc` and `http` only translate to and from their protocol. No framework stands
//! between hyper and the handler, so a request is one task, one copy of its body into a buffer of the right size, and
//! one decompression.
//!
//! The copy is deliberate: hyper's chunks are slices of its read buffers, and a queue of small requests would pin large
//! buffers for as long as an upstream is down.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::authorization::Authorization;
use crate::request::Intake;

mod admit;
mod body;
mod connections;
mod counters;
mod grpc;
mod http;
mod in_flight;
pub(crate) mod tls;

pub use connections::ServeError;
pub use counters::{ReceiverCounters, Transport};
pub use in_flight::InFlightBytes;
pub use tls::{ServerTls, TlsError};

/// What a receiver needs to know; the same for both transports.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Largest message as it comes over the wire, in bytes, before decompression. Default 4 MiB, as the Collector's
    /// `max_recv_msg_size_mib`. More is RESOURCE_EXHAUSTED or 413, which senders do not repeat.
    pub max_message_bytes: usize,
    /// Largest message after decompression, in bytes. Default 64 MiB. A bomb is stopped here, and the buffer that
    /// decompression fills never has room for more.
    pub max_plain_bytes: usize,
    /// What all requests that are being received may hold together. Share one between receivers.
    pub in_flight: InFlightBytes,
    /// Certificate and key. Default none: plain text.
    pub tls: Option<ServerTls>,
    /// If set, requests must show it. Compared in constant time.
    pub authorization: Option<Authorization>,
    /// Connections at a time. Default 4096. Beyond it, new ones wait in the kernel's backlog.
    pub max_connections: usize,
    /// HTTP/2 streams at a time on one connection. Default 256.
    pub max_concurrent_streams: u32,
    /// How often an HTTP/2 peer is pinged. Default 60 s; `None` never.
    pub keepalive_interval: Option<Duration>,
    /// How long a ping may stay unanswered before the connection is closed. Default 20 s.
    pub keepalive_timeout: Duration,
    /// How long the body of a request may take to arrive. Default 30 s. It bounds what a slow sender can hold.
    pub request_timeout: Duration,
    /// How long requests may take to finish after shutdown began. Default 5 s; then connections are cut.
    pub drain_timeout: Duration,
    /// Where to count.
    pub counters: Arc<ReceiverCounters>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_message_bytes: 4 << 20,
            max_plain_bytes: 64 << 20,
            in_flight: InFlightBytes::default(),
            tls: None,
            authorization: None,
            max_connections: 4096,
            max_concurrent_streams: 256,
            keepalive_interval: Some(Duration::from_secs(60)),
            keepalive_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
            counters: Arc::default(),
        }
    }
}

/// Serves OTLP over `transport` on `listener` until `shutdown` resolves and running requests have ended: OTLP/gRPC over HTTP/2,
/// or OTLP/HTTP over HTTP/1.1 and HTTP/2, with or without TLS.
///
/// # Errors
/// [`ServeError`] at the start, if the certificates are unusable. Nothing that a peer does ends the receiver.
pub async fn serve(
    transport: Transport,
    listener: TcpListener,
    settings: Settings,
    intake: Arc<dyn Intake>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let gate = admit::Gate { settings: settings.clone(), transport, intake };
    match transport {
        Transport::Grpc => {
            connections::serve(listener, &settings, transport, Arc::new(grpc::Grpc(gate)), shutdown).await
        }
        Transport::Http => {
            connections::serve(listener, &settings, transport, Arc::new(http::Http(gate)), shutdown).await
        }
    }
}
