//! The peers of the tests: an upstream that records, a client that sends anything, and a hop between them.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use foreshock_otlp::compression::{Compression, inflate};
use foreshock_otlp::export::{
    ClientSettings, Entrance, Exporter, ExporterHandle, ExporterSettings, Kind, RetrySettings,
};
use foreshock_otlp::receive::{self, Settings, Transport};
use foreshock_otlp::request::{Intake, Refusal, Request};
use foreshock_otlp::signal::Signal;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Everything must have happened by then; on a loaded machine it takes a small part of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Over which protocol of OTLP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wire {
    Grpc,
    Http,
}

/// Awaits `future`, or fails the test.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("took too long")
}

/// Awaits a condition that nobody announces.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::task::yield_now().await;
    }
}

// === what is sent ===

fn resource() -> Option<Resource> {
    Some(Resource {
        attributes: vec![KeyValue {
            key: "service.name".to_owned(),
            value: Some(AnyValue { value: Some(any_value::Value::StringValue("shop".to_owned())) }),
            ..KeyValue::default()
        }],
        ..Resource::default()
    })
}

/// A request with `items` items, different for each `number`, with fields that no version of OTLP knows.
pub(crate) fn sample(signal: Signal, items: usize, number: usize) -> Bytes {
    let scope = Some(InstrumentationScope { name: format!("test-{number}"), ..Default::default() });
    let names = (0..items).map(|item| format!("item {item} of request {number}"));
    let mut bytes = match signal {
        Signal::Logs => {
            let body = |text| Some(AnyValue { value: Some(any_value::Value::StringValue(text)) });
            let log_records = names.map(|name| LogRecord { body: body(name), ..Default::default() }).collect();
            let scope_logs = vec![ScopeLogs { scope, log_records, ..Default::default() }];
            let resource_logs = vec![ResourceLogs { resource: resource(), scope_logs, ..Default::default() }];
            ExportLogsServiceRequest { resource_logs }.encode_to_vec()
        }
        Signal::Traces => {
            let spans = names
                .map(|name| Span { name, trace_id: vec![1; 16], span_id: vec![2; 8], ..Default::default() })
                .collect();
            let scope_spans = vec![ScopeSpans { scope, spans, ..Default::default() }];
            let resource_spans = vec![ResourceSpans { resource: resource(), scope_spans, ..Default::default() }];
            ExportTraceServiceRequest { resource_spans }.encode_to_vec()
        }
        Signal::Metrics => {
            let value = Some(number_data_point::Value::AsDouble(1.5));
            let point = NumberDataPoint { value, ..Default::default() };
            let data = Some(metric::Data::Gauge(Gauge { data_points: vec![point] }));
            let metrics = names.map(|name| Metric { name, data: data.clone(), ..Default::default() }).collect();
            let scope_metrics = vec![ScopeMetrics { scope, metrics, ..Default::default() }];
            let resource_metrics = vec![ResourceMetrics { resource: resource(), scope_metrics, ..Default::default() }];
            ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
        }
    };
    // A second resource that holds nothing but the unknown field 1000, then the unknown field 2000 at the top.
    bytes.extend_from_slice(b"\x0a\x07\xc2\x3e\x04what");
    bytes.extend_from_slice(b"\x82\x7d\x03new");
    bytes.into()
}

pub(crate) fn compressed(plain: &Bytes, compression: Option<Compression>) -> Bytes {
    compression.map_or_else(|| plain.clone(), |compression| compression.compress(plain).unwrap().into())
}

/// A message as gRPC frames it.
pub(crate) fn framed(flag: u8, message: &[u8]) -> Bytes {
    let mut frame = BytesMut::from(&[flag][..]);
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(message);
    frame.freeze()
}

pub(crate) fn grpc_path(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    }
}

// === the client ===

/// An answer with all that it consists of.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    /// The gRPC status, from the trailers or the headers.
    pub(crate) fn status(&self) -> tonic::Status {
        let map = self.trailers.as_ref().unwrap_or(&self.headers);
        tonic::Status::from_header_map(map).expect("a gRPC status")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A client with a connection of its own.
#[derive(Clone)]
pub(crate) struct Caller {
    client: Client<HttpConnector, BoxBody<Bytes, Infallible>>,
    address: SocketAddr,
}

impl Caller {
    pub(crate) fn new(address: SocketAddr, http2: bool) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).http2_only(http2).build(tcp);
        Self { client, address }
    }

    pub(crate) async fn call(&self, request: http::Request<BoxBody<Bytes, Infallible>>) -> Answer {
        let response = soon(self.client.request(request)).await.expect("an answer");
        let (head, body) = response.into_parts();
        let body = soon(body.collect()).await.expect("a whole answer");
        Answer { code: head.status, headers: head.headers, trailers: body.trailers().cloned(), body: body.to_bytes() }
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&'static str, &str)], body: Bytes) -> Answer {
        self.call(request(self.address, path, headers, Full::new(body).boxed())).await
    }

    pub(crate) async fn grpc(&self, signal: Signal, encoding: Option<&str>, frame: Bytes) -> Answer {
        let mut headers = vec![("content-type", "application/grpc"), ("te", "trailers")];
        headers.extend(encoding.map(|name| ("grpc-encoding", name)));
        self.post(grpc_path(signal), &headers, frame).await
    }

    /// Sends what is valid, over either protocol.
    pub(crate) async fn send(
        &self,
        wire: Wire,
        signal: Signal,
        compression: Option<Compression>,
        bytes: Bytes,
    ) -> Answer {
        let encoding = compression.map(Compression::name);
        match wire {
            Wire::Grpc => self.grpc(signal, encoding, framed(u8::from(encoding.is_some()), &bytes)).await,
            Wire::Http => {
                let mut headers = vec![("content-type", "application/x-protobuf")];
                headers.extend(encoding.map(|name| ("content-encoding", name)));
                self.post(&format!("/v1/{signal}"), &headers, bytes).await
            }
        }
    }
}

pub(crate) fn request<B>(
    address: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
    body: B,
) -> http::Request<B> {
    let mut request = http::Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = format!("http://{address}{path}").parse().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
    }
    request
}

// === the upstream ===

/// A request as the upstream got it.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Recorded {
    pub(crate) fn encoding(&self) -> Option<Compression> {
        let name = if self.is_grpc() { "grpc-encoding" } else { "content-encoding" };
        let value = self.headers.get(name)?;
        Compression::from_header(value.as_bytes()).expect("a known encoding")
    }

    /// The bytes of the message as they came: compressed, without gRPC's prefix.
    pub(crate) fn message(&self) -> Bytes {
        if !self.is_grpc() {
            return self.body.clone();
        }
        let length = u32::from_be_bytes(self.body[1..5].try_into().unwrap()) as usize;
        assert_eq!(length, self.body.len() - 5);
        assert_eq!(self.body[0], u8::from(self.encoding().is_some()));
        self.body.slice(5..)
    }

    pub(crate) fn plain(&self) -> Bytes {
        match self.encoding() {
            None => self.message(),
            Some(compression) => inflate(compression, self.message(), 1 << 30).unwrap().into(),
        }
    }

    fn is_grpc(&self) -> bool {
        self.path.starts_with("/opentelemetry")
    }
}

/// What an upstream answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Ok,
    /// OK with this `Export*ServiceResponse`.
    Message(&'static [u8]),
    Grpc(tonic::Status),
    Http(u16, Vec<(&'static str, &'static str)>),
    /// Nothing, until the client goes away.
    Silence,
}

/// Decides by the request and its number, from 0, what to answer.
type Behaviour = dyn Fn(&Recorded, usize) -> Reply + Send + Sync;

/// A server that records what it gets.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) received: mpsc::UnboundedReceiver<Recorded>,
    task: JoinHandle<()>,
}

impl Upstream {
    pub(crate) async fn start(behaviour: impl Fn(&Recorded, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, received) = mpsc::unbounded_channel();
        let behaviour: Arc<Behaviour> = Arc::new(behaviour);
        let count = Arc::new(Mutex::new(0));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (sender, behaviour, count) = (sender.clone(), Arc::clone(&behaviour), Arc::clone(&count));
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        answer(request, sender.clone(), Arc::clone(&behaviour), Arc::clone(&count))
                    });
                    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, received, task }
    }

    pub(crate) async fn next(&mut self) -> Recorded {
        soon(self.received.recv()).await.expect("a request")
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    request: http::Request<Incoming>,
    sender: mpsc::UnboundedSender<Recorded>,
    behaviour: Arc<Behaviour>,
    count: Arc<Mutex<usize>>,
) -> Result<http::Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let recorded = Recorded { path: head.uri.path().to_owned(), headers: head.headers, body };
    let number = {
        let mut count = count.lock().unwrap();
        *count += 1;
        *count - 1
    };
    let is_grpc = recorded.is_grpc();
    let reply = behaviour(&recorded, number);
    let _ = sender.send(recorded);
    let message = match reply {
        Reply::Ok => &b""[..],
        Reply::Message(message) => message,
        Reply::Grpc(status) => return Ok(status.into_http::<Full<Bytes>>().map(BodyExt::boxed)),
        Reply::Http(code, headers) => {
            let mut response = http::Response::new(Full::default().boxed());
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
            for (name, value) in headers {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            return Ok(response);
        }
        Reply::Silence => std::future::pending().await,
    };
    if !is_grpc {
        let mut response = http::Response::new(Full::from(message).boxed());
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/x-protobuf"));
        return Ok(response);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(framed(0, message)).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = http::Response::new(body.boxed());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}

// === the hop ===

/// Hands requests to all exporters or to none, as the program does.
pub(crate) struct Forward(pub(crate) Vec<Entrance>);

impl Intake for Forward {
    fn accept(&self, request: Request) -> Result<(), Refusal> {
        let permits: Result<Vec<_>, _> = self.0.iter().map(|entrance| entrance.try_reserve(&request)).collect();
        for permit in permits? {
            permit.send(request.clone());
        }
        Ok(())
    }
}

/// Keeps what it gets.
#[derive(Default)]
pub(crate) struct Keep(pub(crate) Mutex<Vec<Request>>);

impl Intake for Keep {
    fn accept(&self, request: Request) -> Result<(), Refusal> {
        self.0.lock().unwrap().push(request);
        Ok(())
    }
}

/// Refuses all.
pub(crate) struct Refuse(pub(crate) Refusal);

impl Intake for Refuse {
    fn accept(&self, _: Request) -> Result<(), Refusal> {
        Err(self.0)
    }
}

/// A running receiver.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) task: JoinHandle<Result<(), receive::ServeError>>,
}

pub(crate) async fn receiver(wire: Wire, settings: Settings, intake: Arc<dyn Intake>) -> Receiver {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let shutdown = async move {
        // A test that drops the sender never stops its receiver.
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let transport = match wire {
        Wire::Grpc => Transport::Grpc,
        Wire::Http => Transport::Http,
    };
    let task = tokio::spawn(receive::serve(transport, listener, settings, intake, shutdown));
    Receiver { address, stop, task }
}

pub(crate) fn exporter_settings(wire: Wire, url: &str, compression: Option<Compression>) -> ExporterSettings {
    let mut client = ClientSettings::new(url);
    client.compression = compression;
    client.timeout = PATIENCE;
    let kind = match wire {
        Wire::Grpc => Kind::Otlp(client),
        Wire::Http => Kind::OtlpHttp(client),
    };
    let mut settings = ExporterSettings::new("test", kind);
    settings.retry = RetrySettings { initial_interval: Duration::from_millis(1), ..settings.retry };
    settings
}

pub(crate) fn exporter(wire: Wire, url: &str, compression: Option<Compression>) -> ExporterHandle {
    Exporter::spawn(exporter_settings(wire, url, compression)).unwrap()
}

/// A valid request, as an intake gets it.
pub(crate) fn received(signal: Signal, items: usize, number: usize, compression: Option<Compression>) -> Request {
    let plain = sample(signal, items, number);
    let encoded = compression.map(|compression| (compression, compressed(&plain, Some(compression))));
    Request::new(signal, items as u64, plain, encoded)
}
