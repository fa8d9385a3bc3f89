//! TLS of the receivers.

use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

/// Certificates of a receiver, as the bytes of PEM files.
#[derive(Clone)]
pub struct ServerTls {
    /// The receiver's certificate, followed by intermediate ones.
    pub cert_pem: Vec<u8>,
    /// Its private key (PKCS#8, PKCS#1 or SEC1).
    pub key_pem: Vec<u8>,
    /// If set, clients must present a certificate that one of these signed.
    pub client_ca_pem: Option<Vec<u8>>,
}

/// Why certificates can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The text is not PEM, or holds nothing of the wanted kind.
    #[error("cannot read the {what}")]
    Pem {
        /// Certificate, key or authority.
        what: &'static str,
        /// What the reader says.
        source: rustls_pki_types::pem::Error,
    },
    /// Certificate and key do not fit each other, or are of an unknown kind.
    #[error("cannot use the certificate")]
    Certificate(#[source] rustls::Error),
    /// The authority for client certificates can't be used.
    #[error("cannot use the certificate authority of clients")]
    ClientAuthority(#[source] VerifierBuilderError),
}

impl ServerTls {
    /// Whether a receiver could use it.
    ///
    /// # Errors
    /// [`TlsError`] if not.
    pub fn check(&self) -> Result<(), TlsError> {
        self.config(&[]).map(drop)
    }

    /// Builds what a handshake needs, offering the protocols of `alpn`.
    pub(super) fn config(&self, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
        let certificates = certificates(&self.cert_pem, "certificate")?;
        let key = PrivateKeyDer::from_pem_slice(&self.key_pem)
            .map_err(|source| TlsError::Pem { what: "private key", source })?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Certificate)?;
        let builder = match &self.client_ca_pem {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let roots = Arc::new(roots(pem)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(TlsError::ClientAuthority)?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(certificates, key).map_err(TlsError::Certificate)?;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// Keys do not belong in logs.
impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").field("client_authority", &self.client_ca_pem.is_some()).finish_non_exhaustive()
    }
}

/// Reads all certificates of a PEM text, of which there must be at least one.
pub(crate) fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Pem { what, source };
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if all.is_empty() {
        return Err(failed(rustls_pki_types::pem::Error::NoItemsFound));
    }
    Ok(all)
}

/// Reads a PEM text of authorities.
pub(crate) fn roots(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, "certificate authority")? {
        roots.add(certificate).map_err(TlsError::Certificate)?;
    }
    Ok(roots)
}
