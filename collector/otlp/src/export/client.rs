//! One upstream over HTTP: connections, TLS, headers, timeouts, and what is known of its encodings.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::ring;

use super::outcome::Outcome;
use super::settings::{ClientSettings, ClientTls};
use super::{grpc, http as otlp_http};
use crate::compression::Compression;
use crate::receive::TlsError;
use crate::receive::tls::{certificates, roots};
use crate::request::{Held, RecodeError};
use crate::signal::Signal;

/// Compressing or decompressing more than this is left to a thread that may block; it takes about a millisecond.
const INLINE_RECODE: usize = 16 * 1024;
/// Answers are tiny; of a larger one the rest is not read.
const ANSWER_LIMIT: usize = 64 * 1024;
/// How often an idle HTTP/2 connection is pinged, and how long the answer may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));

/// Why a client can't be made from its settings.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not a URL of the expected form.
    #[error("cannot use the endpoint `{endpoint}`: {reason}")]
    Endpoint {
        /// As configured.
        endpoint: String,
        /// What is wrong.
        reason: String,
    },
    /// Not a header, or not its value.
    #[error("cannot use the header `{name}`")]
    Header {
        /// As configured. The value may be a secret and is not shown.
        name: String,
    },
    /// Neither a host name nor an address.
    #[error("cannot use the server name `{name}`")]
    ServerName {
        /// As configured.
        name: String,
    },
    /// Certificates that can't be used.
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
}

/// OTLP over which protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Protocol {
    Grpc,
    Http,
}

/// One upstream.
#[derive(Debug)]
pub(super) struct Upstream {
    client: Client<HttpsConnector<HttpConnector>, Payload>,
    protocol: Protocol,
    uris: [Uri; 3],
    headers: HeaderMap,
    compression: Option<Compression>,
    timeout: Duration,
    /// Set once the upstream took plain what it had refused compressed.
    refuses_compression: AtomicBool,
}

// === impl Upstream ===

impl Upstream {
    pub(super) fn new(protocol: Protocol, settings: &ClientSettings) -> Result<Self, ClientError> {
        let base = Base::parse(&settings.endpoint, settings.tls.insecure)?;
        let uris = Signal::ALL.map(|signal| match protocol {
            Protocol::Grpc => base.at("", grpc::path(signal)),
            Protocol::Http => base.at(&base.path, otlp_http::path(signal)),
        });
        let [metrics, logs, traces] = uris;
        let mut headers = HeaderMap::new();
        let agent = concat!("foreshock/", env!("CARGO_PKG_VERSION"));
        headers.insert(http::header::USER_AGENT, HeaderValue::from_static(agent));
        match protocol {
            Protocol::Grpc => grpc::add_headers(&mut headers, settings.timeout),
            Protocol::Http => otlp_http::add_headers(&mut headers),
        }
        for (name, value) in &settings.headers {
            let invalid = || ClientError::Header { name: name.clone() };
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| invalid())?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        if let Some(authorization) = &settings.authorization {
            let invalid = || ClientError::Header { name: http::header::AUTHORIZATION.to_string() };
            headers.insert(http::header::AUTHORIZATION, authorization.header().ok_or_else(invalid)?);
        }
        Ok(Self {
            client: client(protocol, settings)?,
            protocol,
            uris: [metrics?, logs?, traces?],
            headers,
            compression: settings.compression,
            timeout: settings.timeout,
            refuses_compression: AtomicBool::new(false),
        })
    }

    /// Makes one attempt. Where the upstream lacks the compression, a second one without: and if that is taken, all further
    /// requests go without.
    pub(super) async fn send(&self, held: &Held, exporter: &str) -> Outcome {
        let compression = self.compression.filter(|_| !self.refuses_compression.load(Ordering::Relaxed));
        let outcome = self.attempt(held, compression).await;
        let (Outcome::Unsupported { .. }, Some(refused)) = (&outcome, compression) else {
            return outcome;
        };
        let plain = self.attempt(held, None).await;
        if let Outcome::Delivered { .. } = plain {
            self.refuses_compression.store(true, Ordering::Relaxed);
            tracing::warn!(exporter, compression = %refused, "upstream lacks the compression, sending without from now on");
        }
        plain
    }

    async fn attempt(&self, held: &Held, compression: Option<Compression>) -> Outcome {
        let body = match recode(held, compression).await {
            Ok(body) => body,
            Err(error) => return Outcome::failed(&error),
        };
        let payload = match self.protocol {
            Protocol::Grpc => match grpc::prefix(body.len(), compression.is_some()) {
                Some(prefix) => Payload::new(Some(prefix), body),
                None => {
                    return Outcome::Failed { reason: "message larger than 4 GiB".to_owned() };
                }
            },
            Protocol::Http => Payload::new(None, body),
        };
        let mut request = Request::new(payload);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uris[held.signal as usize].clone();
        *request.headers_mut() = self.headers.clone();
        if let Some(compression) = compression {
            let name = match self.protocol {
                Protocol::Grpc => HeaderName::from_static("grpc-encoding"),
                Protocol::Http => http::header::CONTENT_ENCODING,
            };
            let value = HeaderValue::from_static(compression.name());
            request.headers_mut().insert(name, value);
        }
        match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::timed_out(self.timeout),
        }
    }

    async fn exchange(&self, request: Request<Payload>) -> Outcome {
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => return Outcome::unanswered(&error),
        };
        let answer = match Answer::read(response).await {
            Ok(answer) => answer,
            Err(error) => return Outcome::unanswered(&*error),
        };
        match self.protocol {
            Protocol::Grpc => grpc::outcome(&answer),
            Protocol::Http => Outcome::from_http(answer.head.status, &answer.head.headers, &answer.body),
        }
    }
}

/// Brings a held request into the form in which it is sent, on another thread if that is work.
async fn recode(held: &Held, compression: Option<Compression>) -> Result<Bytes, RecodeError> {
    if !held.is_work(compression, INLINE_RECODE) {
        return held.body(compression);
    }
    let held = held.clone();
    match tokio::task::spawn_blocking(move || held.body(compression)).await {
        Ok(result) => result,
        Err(error) => Err(std::io::Error::other(error).into()),
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: http::response::Parts,
    pub(super) body: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

impl Answer {
    async fn read(response: Response<Incoming>) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_LIMIT).collect().await?;
        let trailers = body.trailers().cloned();
        Ok(Self { head, body: body.to_bytes(), trailers })
    }
}

/// The body of a request: gRPC's prefix if any, and the message. Both are sent from where they lie.
#[derive(Debug)]
pub(super) struct Payload {
    prefix: Option<Bytes>,
    message: Option<Bytes>,
}

impl Payload {
    fn new(prefix: Option<Bytes>, message: Bytes) -> Self {
        Self { prefix, message: Some(message).filter(|message| !message.is_empty()) }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.prefix.take().or_else(|| self.message.take());
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.prefix.is_none() && self.message.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact((length(&self.prefix) + length(&self.message)) as u64)
    }
}

/// The parts of an endpoint.
struct Base {
    endpoint: String,
    scheme: Scheme,
    authority: Authority,
    path: String,
}

impl Base {
    fn parse(endpoint: &str, insecure: bool) -> Result<Self, ClientError> {
        let invalid = |reason: &str| ClientError::Endpoint { endpoint: endpoint.to_owned(), reason: reason.to_owned() };
        let full = match (endpoint.contains("://"), insecure) {
            (true, _) => endpoint.to_owned(),
            (false, true) => format!("http://{endpoint}"),
            (false, false) => format!("https://{endpoint}"),
        };
        let uri: Uri = full.parse().map_err(|error: http::uri::InvalidUri| invalid(&error.to_string()))?;
        let parts = uri.into_parts();
        let scheme = parts.scheme.ok_or_else(|| invalid("no scheme"))?;
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(invalid("neither http nor https"));
        }
        let authority = parts.authority.ok_or_else(|| invalid("no host"))?;
        let path = parts.path_and_query;
        if path.as_ref().is_some_and(|path| path.query().is_some()) {
            return Err(invalid("queries are not supported"));
        }
        let path = path.as_ref().map_or("", PathAndQuery::path);
        Ok(Self { endpoint: endpoint.to_owned(), scheme, authority, path: path.trim_end_matches('/').to_owned() })
    }

    fn at(&self, base: &str, path: &str) -> Result<Uri, ClientError> {
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(format!("{base}{path}"))
            .build()
            .map_err(|error| ClientError::Endpoint { endpoint: self.endpoint.clone(), reason: error.to_string() })
    }
}

fn client(
    protocol: Protocol,
    settings: &ClientSettings,
) -> Result<Client<HttpsConnector<HttpConnector>, Payload>, ClientError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(settings.timeout));
    let mut connector = HttpsConnectorBuilder::new().with_tls_config(tls_config(&settings.tls)?).https_or_http();
    if let Some(name) = &settings.tls.server_name {
        let name = ServerName::try_from(name.clone()).map_err(|_| ClientError::ServerName { name: name.clone() })?;
        connector = connector.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let connector = match protocol {
        Protocol::Grpc => connector.enable_http2().wrap_connector(tcp),
        Protocol::Http => connector.enable_all_versions().wrap_connector(tcp),
    };
    let (interval, timeout) = KEEPALIVE;
    Ok(Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_only(protocol == Protocol::Grpc)
        .http2_keep_alive_interval(interval)
        .http2_keep_alive_timeout(timeout)
        .build(connector))
}

impl ClientTls {
    /// Whether a client could use it.
    ///
    /// # Errors
    /// [`TlsError`] if not.
    pub fn check(&self) -> Result<(), TlsError> {
        tls_config(self).map(drop)
    }
}

fn tls_config(tls: &ClientTls) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Certificate)?;
    let builder = match &tls.ca_pem {
        Some(pem) => builder.with_root_certificates(roots(pem)?),
        None => builder.with_webpki_roots(),
    };
    match &tls.identity {
        None => Ok(builder.with_no_client_auth()),
        Some(identity) => {
            let chain = certificates(&identity.cert_pem, "client certificate")?;
            let key = PrivateKeyDer::from_pem_slice(&identity.key_pem)
                .map_err(|source| TlsError::Pem { what: "client's private key", source })?;
            builder.with_client_auth_cert(chain, key).map_err(TlsError::Certificate)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Endpoints as Collector users write them.
    #[test]
    fn endpoints() {
        let at = |endpoint, insecure| {
            let base = Base::parse(endpoint, insecure)?;
            base.at(&base.path, "/v1/logs").map(|uri| uri.to_string())
        };
        assert_eq!(at("backend:4317", true).unwrap(), "http://backend:4317/v1/logs");
        assert_eq!(at("backend:4317", false).unwrap(), "https://backend:4317/v1/logs");
        assert_eq!(at("http://[::1]:4318/", false).unwrap(), "http://[::1]:4318/v1/logs");
        assert_eq!(at("https://b/otlp/", true).unwrap(), "https://b/otlp/v1/logs");
        for wrong in ["", "ftp://b", "http://", "http://b/?x=1", "http://a b"] {
            assert!(at(wrong, true).is_err(), "{wrong}");
        }
    }

    /// A wrong header is refused at the start, and its value, which may be a secret, is not shown.
    #[test]
    fn headers_are_checked() {
        let mut settings = ClientSettings::new("http://localhost:1");
        settings.headers = vec![("x-token".to_owned(), "sec\nret".to_owned())];
        let error = Upstream::new(Protocol::Http, &settings).unwrap_err();
        assert_eq!(error.to_string(), "cannot use the header `x-token`");
    }
}
