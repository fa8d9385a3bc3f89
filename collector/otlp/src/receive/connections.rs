//! Accepts connections, serves them, and ends them.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::body::Reply;
use super::tls::TlsError;
use super::{Settings, Transport};

/// A peer's first bytes, or its handshake, must have come by then.
const OPENING_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an HTTP/1.1 connection may be idle, or take for the head of a request. Longer than the minute between two
/// exports of an SDK's metrics.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long to wait where the system has no file descriptor left; connections that end give some back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Flow-control window of one stream: most requests fit, so that a sender need not wait for a round trip.
const STREAM_WINDOW: u32 = 1 << 20;
/// Flow-control window of a connection, and so the most that hyper buffers for it.
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Why a receiver could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its certificates are unusable.
    #[error("cannot set up TLS of the {} receiver", transport.name())]
    Tls {
        /// Which receiver.
        transport: Transport,
        /// What is wrong.
        source: TlsError,
    },
}

/// Answers requests, whatever their connection.
pub(super) trait Answer: Send + Sync + 'static {
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Reply>> + Send;
}

/// Serves `listener` until `shutdown` resolves; then stops accepting, lets running requests end, and after
/// [`Settings::drain_timeout`] cuts what is left.
pub(super) async fn serve<A: Answer>(
    listener: TcpListener,
    settings: &Settings,
    transport: Transport,
    answer: Arc<A>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let alpn: &[&[u8]] = match transport {
        Transport::Grpc => &[b"h2"],
        Transport::Http => &[b"h2", b"http/1.1"],
    };
    let tls = settings
        .tls
        .as_ref()
        .map(|tls| tls.config(alpn))
        .transpose()
        .map_err(|source| ServeError::Tls { transport, source })?
        .map(TlsAcceptor::from);
    let builder = Arc::new(builder(settings, transport));
    let room = Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let (stream, permit) = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = &mut shutdown => break,
        };
        connections.spawn(connection(
            stream,
            tls.clone(),
            Arc::clone(&builder),
            Arc::clone(&answer),
            Ending { watcher: graceful.watcher(), stopping: stopping.clone() },
            permit,
        ));
    }
    drop((listener, stop));
    if tokio::time::timeout(settings.drain_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            receiver = transport.name(),
            connections = connections.len(),
            "requests still running after the drain timeout, cutting their connections"
        );
    }
    connections.shutdown().await;
    Ok(())
}

fn builder(settings: &Settings, transport: Transport) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    if transport == Transport::Grpc {
        builder = builder.http2_only();
    }
    builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(settings.max_concurrent_streams)
        .keep_alive_interval(settings.keepalive_interval)
        .keep_alive_timeout(settings.keepalive_timeout);
    builder
}

/// Waits for room first, so that what we can't serve stays in the kernel's backlog.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let permit = match Arc::clone(room).acquire_owned().await {
        Ok(permit) => permit,
        // Nobody closes the semaphore; were it closed, no connection could ever be served.
        Err(_) => std::future::pending().await,
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot disable Nagle's algorithm");
                }
                return (stream, permit);
            }
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether the error concerns the connection to be accepted and not the listener.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

async fn connection<A: Answer>(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    builder: Arc<Builder<TokioExecutor>>,
    answer: Arc<A>,
    ending: Ending,
    _permit: OwnedSemaphorePermit,
) {
    let Ending { watcher, stopping } = ending;
    match tls {
        None => {
            // Not `readable`, which may say so of a peer that sent nothing.
            if opened(stream.peek(&mut [0]), stopping).await.is_some() {
                exchange(stream, &builder, answer, watcher).await;
            }
        }
        Some(tls) => {
            if let Some(stream) = opened(tls.accept(stream), stopping).await {
                exchange(stream, &builder, answer, watcher).await;
            }
        }
    }
}

/// How a connection learns that the receiver ends.
struct Ending {
    /// Once requests can come over it: lets them end.
    watcher: Watcher,
    /// Before: nothing is lost if it is dropped.
    stopping: watch::Receiver<()>,
}

/// Waits for a peer's first bytes, or its handshake. `None` if they do not come in time, or not before the receiver ends.
async fn opened<T>(opening: impl Future<Output = io::Result<T>>, mut stopping: watch::Receiver<()>) -> Option<T> {
    tokio::select! {
        biased;
        result = tokio::time::timeout(OPENING_TIMEOUT, opening) => match result {
            Ok(Ok(opened)) => return Some(opened),
            Ok(Err(error)) => tracing::debug!(%error, "a connection failed to open"),
            Err(_) => tracing::debug!("a connection took too long to open"),
        },
        _ = stopping.changed() => {}
    }
    None
}

async fn exchange<A: Answer>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    builder: &Builder<TokioExecutor>,
    answer: Arc<A>,
    watcher: Watcher,
) {
    let service = service_fn(move |request| {
        let answer = Arc::clone(&answer);
        async move { Ok::<_, Infallible>(answer.answer(request).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error = &*error, "connection ended");
    }
}
