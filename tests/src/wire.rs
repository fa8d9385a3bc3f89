//! OTLP by hand: an upstream that records the bytes it gets, and clients that send bytes as they are.

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
    sync::{Arc, Mutex, PoisonError},
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

/// What an upstream does with a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    /// Takes it.
    Take,
    /// Takes it, except for so many of its items, as a partial success.
    TakeAllBut(u8),
    /// Says UNAVAILABLE, or 503.
    Refuse,
    /// Reads it and never answers.
    Ignore,
}

/// An OTLP server, gRPC and HTTP on one port, that tells what it took. Stops when dropped.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it took, in order of arrival.
    pub received: mpsc::UnboundedReceiver<Received>,
    manner: Arc<Mutex<Manner>>,
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
        let manner = Arc::new(Mutex::new(Manner::Take));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, sender, Arc::clone(&manner)));
        Ok(Self { address, received, manner, _tasks: tasks })
    }

    /// What it does with requests from now on.
    pub fn set(&self, manner: Manner) {
        *self.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }
}

async fn accept(listener: TcpListener, sender: mpsc::UnboundedSender<Received>, manner: Arc<Mutex<Manner>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // Without it, small answers wait for the peer's delayed acknowledgement.
        let _set = stream.set_nodelay(true);
        let (sender, manner) = (sender.clone(), Arc::clone(&manner));
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, sender.clone(), Arc::clone(&manner)));
            let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            builder
                .http2()
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
    manner: Arc<Mutex<Manner>>,
) -> Result<Response<Answer>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let manner = *manner.lock().unwrap_or_else(PoisonError::into_inner);
    let is_grpc =
        parts.headers.get("content-type").is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    let all_but = match manner {
        Manner::Ignore => std::future::pending().await,
        Manner::Refuse => None,
        Manner::Take => Some(0),
        Manner::TakeAllBut(items) => Some(items),
    };
    if all_but.is_some() {
        let name = if is_grpc { "grpc-encoding" } else { "content-encoding" };
        let encoding = parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("identity");
        let compressed = !is_grpc || body.first() == Some(&1);
        let received = Received {
            at: Instant::now(),
            path: parts.uri.path().to_owned(),
            encoding: if compressed { encoding.to_owned() } else { "identity".to_owned() },
            headers: parts.headers,
            message: if is_grpc { body.slice(body.len().min(5)..) } else { body },
        };
        // The test may have stopped listening.
        let _sent = sender.send(received);
    }
    // Export*ServiceResponse.partial_success(1) { rejected(1), error_message(2) }.
    let message = match all_but {
        Some(items @ 1..=127) => vec![0x0a, 0x06, 0x08, items, 0x12, 0x02, b'n', b'o'],
        _ => Vec::new(),
    };
    if !is_grpc {
        let mut response = Response::new(Full::new(Bytes::from(message)).boxed());
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/x-protobuf"));
        if all_but.is_none() {
            *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        }
        return Ok(response);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(if all_but.is_none() { "14" } else { "0" }));
    let mut frame = BytesMut::from(&[0; 4][..]);
    frame.put_u8(u8::try_from(message.len()).unwrap_or(0));
    frame.put_slice(&message);
    let body = Full::new(frame.freeze()).with_trailers(async move { Some(Ok(trailers)) }).boxed();
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
        Ok(self.call(signal, encoding, frame).await?.code)
    }

    /// Sends one message and returns its whole status.
    ///
    /// # Errors
    /// If the connection breaks or the answer is no gRPC.
    pub async fn call(&mut self, signal: &str, encoding: &str, frame: Bytes) -> Result<Status> {
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
        let at_the_end = body.trailers().filter(|trailers| trailers.contains_key("grpc-status"));
        let headers = at_the_end.unwrap_or(&parts.headers);
        let Some(code) = headers.get("grpc-status") else { bail!("the answer has no grpc-status: {:?}", parts.status) };
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        Ok(Status {
            code: code.to_str()?.parse()?,
            message: text("grpc-message"),
            details: text("grpc-status-details-bin"),
        })
    }
}

/// How a gRPC call ended.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its number; 0 is OK.
    pub code: i32,
    /// In words, percent-encoded where they are not ASCII.
    pub message: String,
    /// `google.rpc.Status` in base64, empty if there is none.
    pub details: String,
}

/// An HTTP/1.1 POST on a connection of its own.
///
/// # Errors
/// If the connection breaks.
pub async fn post(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Response<Bytes>> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("can't connect to {address}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::post(path).header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, body) = sender.send_request(request.body(Full::new(body))?).await?.into_parts();
    Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
}

/// A message with the five bytes before it, compressed as `encoding` says (`identity`, `gzip`, `zstd`).
///
/// # Errors
/// If it is too large for gRPC.
pub fn frame(encoding: &str, message: &[u8]) -> Result<Bytes> {
    let compressed = compress(encoding, message)?;
    let mut frame = BytesMut::with_capacity(compressed.len() + 5);
    frame.put_u8(u8::from(encoding != "identity"));
    frame.put_u32(u32::try_from(compressed.len())?);
    frame.put_slice(&compressed);
    Ok(frame.freeze())
}

/// A message compressed as `encoding` says (`identity`, `gzip`, `zstd`).
///
/// # Errors
/// What the encoder says.
pub fn compress(encoding: &str, message: &[u8]) -> Result<Vec<u8>> {
    Ok(match encoding {
        "gzip" => {
            let mut encoder = flate2::read::GzEncoder::new(message, flate2::Compression::default());
            let mut out = Vec::new();
            encoder.read_to_end(&mut out)?;
            out
        }
        "zstd" => zstd::stream::encode_all(message, 1)?,
        _ => message.to_vec(),
    })
}
