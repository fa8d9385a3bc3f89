//! OTLP/gRPC by hand: an upstream that records the bytes it gets, and a client that sends bytes as they are.

use anyhow::{Context, Result, bail};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2::SendRequest, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    convert::Infallible,
    io::Read,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

/// Path of a signal's Export method.
#[must_use]
pub fn export_path(signal: &str) -> &'static str {
    match signal {
        "metrics" => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        "logs" => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        _ => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    }
}

/// One request as the upstream got it.
#[derive(Clone, Debug)]
pub struct Received {
    /// When its last byte was there.
    pub at: Instant,
    /// The method's path.
    pub path: String,
    /// Value of `grpc-encoding`, `identity` if there is none.
    pub encoding: String,
    /// Value of each header.
    pub headers: HeaderMap,
    /// The message without the five bytes before it, still compressed if it was.
    pub message: Bytes,
}

impl Received {
    /// The first `limit` bytes of the message, decompressed.
    ///
    /// # Errors
    /// If they are not what `grpc-encoding` says.
    pub fn plain(&self, limit: u64) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        match self.encoding.as_str() {
            "gzip" => flate2::read::MultiGzDecoder::new(&*self.message).take(limit).read_to_end(&mut plain)?,
            "zstd" => zstd::stream::read::Decoder::new(&*self.message)?.take(limit).read_to_end(&mut plain)?,
            _ => (&*self.message).take(limit).read_to_end(&mut plain)?,
        };
        Ok(plain)
    }
}

/// A gRPC server that accepts everything and tells what it got. Stops when dropped.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it got, in order of arrival.
    pub received: mpsc::UnboundedReceiver<Received>,
    refusing: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start() -> Result<Self> {
        Self::start_on("127.0.0.1:0".parse()?).await
    }

    /// Listens on the given address.
    ///
    /// # Errors
    /// If it is taken.
    pub async fn start_on(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (sender, received) = mpsc::unbounded_channel();
        let refusing = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, sender, Arc::clone(&refusing)));
        Ok(Self { address, received, refusing, _tasks: tasks })
    }

    /// While set, every request is answered UNAVAILABLE and not recorded.
    pub fn refuse(&self, refusing: bool) {
        self.refusing.store(refusing, Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, sender: mpsc::UnboundedSender<Received>, refusing: Arc<AtomicBool>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // Without it, small answers wait for the peer's delayed acknowledgement.
        let _set = stream.set_nodelay(true);
        let (sender, refusing) = (sender.clone(), Arc::clone(&refusing));
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, sender.clone(), Arc::clone(&refusing)));
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder
                .initial_stream_window_size(4 << 20)
                .initial_connection_window_size(16 << 20)
                .max_frame_size(1 << 20);
            // A peer that goes away ends its connection with an error; nothing is to be done about it.
            let _end = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Answer = http_body_util::combinators::BoxBody<Bytes, Infallible>;

async fn answer(
    request: Request<Incoming>,
    sender: mpsc::UnboundedSender<Received>,
    refusing: Arc<AtomicBool>,
) -> Result<Response<Answer>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut trailers = HeaderMap::new();
    let refused = refusing.load(Ordering::SeqCst);
    trailers.insert("grpc-status", HeaderValue::from_static(if refused { "14" } else { "0" }));
    if !refused {
        let encoding = parts.headers.get("grpc-encoding").and_then(|value| value.to_str().ok()).unwrap_or("identity");
        let compressed = body.first() == Some(&1);
        let received = Received {
            at: Instant::now(),
            path: parts.uri.path().to_owned(),
            encoding: if compressed { encoding.to_owned() } else { "identity".to_owned() },
            headers: parts.headers,
            message: body.slice(body.len().min(5)..),
        };
        // The test may have stopped listening.
        let _sent = sender.send(received);
    }
    let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(async move { Some(Ok(trailers)) }).boxed();
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}

/// A connection that sends messages as they are.
#[derive(Clone)]
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// If nothing listens there.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("can't connect to {address}"))?;
        stream.set_nodelay(true)?;
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(1 << 20).max_frame_size(1 << 20);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, authority: address.to_string() })
    }

    /// Sends one message and returns its gRPC status.
    ///
    /// # Errors
    /// If the connection breaks or the answer is no gRPC.
    pub async fn send(&mut self, signal: &str, encoding: &str, frame: Bytes) -> Result<i32> {
        let mut request = Request::post(format!("http://{}{}", self.authority, export_path(signal)))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if encoding != "identity" {
            request = request.header("grpc-encoding", encoding);
        }
        self.sender.ready().await?;
        let response = self.sender.send_request(request.body(Full::new(frame))?).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?;
        let status =
            body.trailers().and_then(|trailers| trailers.get("grpc-status")).or(parts.headers.get("grpc-status"));
        let Some(status) = status else { bail!("the answer has no grpc-status: {:?}", parts.status) };
        Ok(status.to_str()?.parse()?)
    }
}

/// A message with the five bytes before it, compressed as `encoding` says (`identity`, `gzip`, `zstd`).
///
/// # Errors
/// If it is too large for gRPC.
pub fn frame(encoding: &str, message: &[u8]) -> Result<Bytes> {
    let compressed = match encoding {
        "gzip" => {
            let mut encoder = flate2::read::GzEncoder::new(message, flate2::Compression::default());
            let mut out = Vec::new();
            encoder.read_to_end(&mut out)?;
            out
        }
        "zstd" => zstd::stream::encode_all(message, 1)?,
        _ => message.to_vec(),
    };
    let mut frame = BytesMut::with_capacity(compressed.len() + 5);
    frame.put_u8(u8::from(encoding != "identity"));
    frame.put_u32(u32::try_from(compressed.len())?);
    frame.put_slice(&compressed);
    Ok(frame.freeze())
}
