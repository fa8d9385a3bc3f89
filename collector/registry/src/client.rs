//! Asks a registry: the manifest by its digest, then the component's blob, with a token where the registry wants one.

use crate::{
    Digest, Reference,
    challenge::{self, Bearer},
    manifest::{self, ACCEPT},
    reference::is_loopback,
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use std::{error::Error, io, sync::Arc, thread, time::Duration};
use tokio_rustls::rustls::crypto::ring;

/// Registries send blobs from elsewhere; more hops than this lead round in circles.
const MOST_REDIRECTS: usize = 5;
/// A token's answer.
const MOST_TOKEN_BYTES: u64 = 64 << 10;
/// What is shown of a registry's own words.
const SHOWN: usize = 200;
const CONNECT_TIME: Duration = Duration::from_secs(20);
const AGENT: &str = concat!("foreshock/", env!("CARGO_PKG_VERSION"));

/// How much may be fetched, and how long it may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The manifest. Default 1 MiB.
    pub manifest_bytes: u64,
    /// The component. Default 64 MiB.
    pub component_bytes: u64,
    /// All of it together. Default 2 minutes.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { manifest_bytes: 1 << 20, component_bytes: 64 << 20, time: Duration::from_secs(120) }
    }
}

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// No thread, no runtime.
    #[error("nothing can be fetched on this machine")]
    Machine(#[source] io::Error),
    /// Nobody answers, or not as HTTP.
    #[error("`{address}` can't be reached")]
    Unreachable {
        /// The URL without its query.
        address: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It takes longer than [`Limits::time`].
    #[error("it was not there after {0:?}")]
    Late(Duration),
    /// The registry says no.
    #[error("`{address}` answered {status}{said}")]
    Refused {
        /// The URL without its query.
        address: String,
        /// HTTP status.
        status: StatusCode,
        /// The answer's beginning, if it is text.
        said: String,
    },
    /// The registry wants a name and a password.
    #[error("`{registry}` wants credentials, and only components that everybody may read are fetched")]
    Credentials {
        /// The registry.
        registry: String,
    },
    /// It leads to a place that is not asked.
    #[error("it leads to `{to}`, and nothing is fetched without TLS except by a registry on this machine")]
    Unsafe {
        /// Where to.
        to: String,
    },
    /// It is larger than it may be.
    #[error("{what} is larger than the {most} bytes that are fetched")]
    TooLarge {
        /// The manifest or the component.
        what: &'static str,
        /// The limit.
        most: u64,
    },
    /// What came is not what the digest says.
    #[error("{what} does not have the digest {wanted}; it was changed on the way, or the registry is broken")]
    WrongDigest {
        /// The manifest or the component.
        what: &'static str,
        /// The digest that it was asked for under.
        wanted: Digest,
    },
    /// There is no component under this digest.
    #[error("what lies under this digest {0}")]
    NoComponent(String),
}

/// Manifest and component, fetched by a runtime on a thread of its own.
pub(crate) fn pull_blocking(reference: &Reference, limits: &Limits) -> Result<(Bytes, Arc<[u8]>), PullError> {
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(PullError::Machine)?;
        runtime.block_on(async {
            let pull = async { Registry::new(reference)?.pull(limits).await };
            tokio::time::timeout(limits.time, pull).await.unwrap_or(Err(PullError::Late(limits.time)))
        })
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("registry".to_owned()).spawn_scoped(scope, work);
        let ended = thread.map_err(PullError::Machine)?.join();
        ended.unwrap_or_else(|_| Err(PullError::Machine(io::Error::other("the thread that fetches failed"))))
    })
}

/// One registry, for one reference.
struct Registry<'a> {
    reference: &'a Reference,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    /// What the last challenge led to.
    token: Option<HeaderValue>,
}

// === impl Registry ===

impl<'a> Registry<'a> {
    fn new(reference: &'a Reference) -> Result<Self, PullError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIME));
        let tls = HttpsConnectorBuilder::new().with_provider_and_webpki_roots(ring::default_provider());
        let tls = tls.map_err(|error| PullError::Machine(io::Error::other(error)))?;
        let connector = tls.https_or_http().enable_all_versions().wrap_connector(tcp);
        Ok(Self { reference, client: Client::builder(TokioExecutor::new()).build(connector), token: None })
    }

    async fn pull(&mut self, limits: &Limits) -> Result<(Bytes, Arc<[u8]>), PullError> {
        let wanted = self.reference.digest;
        let manifest = self.get("manifests", wanted, "the manifest", limits.manifest_bytes).await?;
        let layer = manifest::layer(&manifest).map_err(PullError::NoComponent)?;
        let what = "the component";
        if layer.size > limits.component_bytes {
            return Err(PullError::TooLarge { what, most: limits.component_bytes });
        }
        // Not a byte more is read than the manifest says.
        let component = self.get("blobs", layer.digest, what, layer.size).await?;
        if component.len() as u64 != layer.size {
            return Err(PullError::NoComponent("says that its component has another size than it has".to_owned()));
        }
        Ok((manifest, Arc::from(&*component)))
    }

    /// What lies under a digest.
    async fn get(&mut self, kind: &str, digest: Digest, what: &'static str, most: u64) -> Result<Bytes, PullError> {
        let Reference { registry, repository, .. } = self.reference;
        let scheme = if self.reference.is_loopback() { "http" } else { "https" };
        let address = format!("{scheme}://{registry}/v2/{repository}/{kind}/{digest}");
        let response = self.ask(&address).await?;
        let response = match self.challenge(&response)? {
            None => response,
            Some(challenge) => {
                self.token = Some(self.fetch_token(&challenge).await?);
                self.ask(&address).await?
            }
        };
        let bytes = body(&address, response, what, most).await?;
        if Digest::of(&bytes) != digest {
            return Err(PullError::WrongDigest { what, wanted: digest });
        }
        Ok(bytes)
    }

    /// What must be done before the registry answers, if it has not.
    fn challenge(&self, response: &Response<Incoming>) -> Result<Option<Bearer>, PullError> {
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(None);
        }
        let headers = response.headers().get_all(header::WWW_AUTHENTICATE);
        let challenge = headers.iter().filter_map(|value| value.to_str().ok()).find_map(challenge::bearer);
        match challenge {
            Some(challenge) if self.token.is_none() => Ok(Some(challenge)),
            // It wants something else, or more than everybody gets.
            _ => Err(PullError::Credentials { registry: self.reference.registry.clone() }),
        }
    }

    /// A token that everybody gets.
    async fn fetch_token(&self, challenge: &Bearer) -> Result<HeaderValue, PullError> {
        #[derive(Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
        }
        let address = challenge.address();
        let response = self.ask_from(&address, None).await?;
        if response.status() == StatusCode::UNAUTHORIZED || response.status() == StatusCode::FORBIDDEN {
            return Err(PullError::Credentials { registry: self.reference.registry.clone() });
        }
        let bytes = body(&address, response, "the token's answer", MOST_TOKEN_BYTES).await?;
        let refused = || PullError::Refused {
            address: shown(&address),
            status: StatusCode::OK,
            said: ", but with no token".to_owned(),
        };
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| refused())?;
        let token = answer.token.or(answer.access_token).ok_or_else(refused)?;
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| refused())?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn ask(&self, address: &str) -> Result<Response<Incoming>, PullError> {
        self.ask_from(address, self.token.clone()).await
    }

    /// Asks, and goes where the answer leads. The token is shown to nobody but the host that was asked first.
    async fn ask_from(&self, address: &str, token: Option<HeaderValue>) -> Result<Response<Incoming>, PullError> {
        let (mut address, mut token) = (address.to_owned(), token);
        for _ in 0..=MOST_REDIRECTS {
            let uri = self.safe(&address)?;
            let mut request =
                Request::get(uri.clone()).header(header::ACCEPT, ACCEPT).header(header::USER_AGENT, AGENT);
            if let Some(token) = &token {
                request = request.header(header::AUTHORIZATION, token);
            }
            let unreachable =
                |source: Box<dyn Error + Send + Sync>| PullError::Unreachable { address: shown(&address), source };
            let request = request.body(Empty::new()).map_err(|error| unreachable(error.into()))?;
            let response = self.client.request(request).await.map_err(|error| unreachable(error.into()))?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let to = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let next = if to.starts_with('/') && !to.starts_with("//") {
                format!("{}://{}{to}", uri.scheme_str().unwrap_or_default(), authority(&uri))
            } else {
                to.to_owned()
            };
            if self.safe(&next)?.authority() != uri.authority() {
                token = None;
            }
            address = next;
        }
        let said = format!(" again and again, {MOST_REDIRECTS} times");
        Err(PullError::Refused { address: shown(&address), status: StatusCode::TEMPORARY_REDIRECT, said })
    }

    /// An address that may be asked: over TLS, or on this machine if the registry is.
    fn safe(&self, address: &str) -> Result<Uri, PullError> {
        let refuse = || PullError::Unsafe { to: shown(address) };
        let uri: Uri = address.parse().map_err(|_| refuse())?;
        let host = uri.host().ok_or_else(refuse)?;
        let is_safe = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => is_loopback(host) && self.reference.is_loopback(),
            _ => false,
        };
        if is_safe && !authority(&uri).contains('@') { Ok(uri) } else { Err(refuse()) }
    }
}

fn authority(uri: &Uri) -> &str {
    uri.authority().map_or("", http::uri::Authority::as_str)
}

/// An address without its query, which may have secrets, and not longer than a line.
fn shown(address: &str) -> String {
    let plain = address.split('?').next().unwrap_or_default();
    plain.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

/// The body of a good answer, if it is not too large.
async fn body(address: &str, response: Response<Incoming>, what: &'static str, most: u64) -> Result<Bytes, PullError> {
    let status = response.status();
    let limit = if status.is_success() { most } else { MOST_TOKEN_BYTES };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let read = Limited::new(response.into_body(), limit).collect().await.map(http_body_util::Collected::to_bytes);
    if !status.is_success() {
        let text = read.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let text: String = text.trim().chars().filter(|c| !c.is_control()).take(SHOWN).collect();
        let said = if text.is_empty() { text } else { format!(": {text}") };
        return Err(PullError::Refused { address: shown(address), status, said });
    }
    read.map_err(|source| {
        if source.is::<LengthLimitError>() {
            PullError::TooLarge { what, most }
        } else {
            PullError::Unreachable { address: shown(address), source }
        }
    })
}
