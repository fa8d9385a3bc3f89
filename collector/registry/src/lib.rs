//! Fetches detectors' components from OCI registries, by digest.
//!
//! A reference names the SHA-256 of a manifest, the manifest names the SHA-256 and the size of the component, and nothing is believed
//! that does not have both. So neither the registry nor the way to it has to be trusted with more than being there. What was fetched is
//! kept by digest and checked again when it is read, so that a registry is asked once.
//!
//! The read side of the OCI distribution specification 1.1 (pulling manifests and blobs, tokens) over the image specification 1.1's
//! manifests. Nothing is pushed, listed or resolved from a tag.

mod cache;
mod challenge;
mod client;
mod manifest;
mod reference;

pub use cache::Cache;
pub use client::{Limits, PullError};
pub use reference::{Reference, ReferenceError};

use sha2::{Digest as _, Sha256};
use std::{fmt, sync::Arc};

/// A SHA-256.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// From `sha256:` and 64 hexadecimal digits in lower case, the only form that is taken.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:")?.as_bytes();
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// The 64 digits alone.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The component that a reference names: from the cache if it is there, else from the registry, and then kept. Blocks, on a thread of
/// its own while it asks the network, so that it may be called from anywhere that may block.
///
/// # Errors
/// [`PullError`], if the component is not in the cache and can't be had from the registry, or is not what the digests say.
pub fn component(reference: &Reference, cache: Option<&Cache>, limits: &Limits) -> Result<Arc<[u8]>, PullError> {
    if let Some(component) = cache.and_then(|cache| cache.get(reference, limits)) {
        return Ok(component);
    }
    let (manifest, component) = client::pull_blocking(reference, limits)?;
    if let Some(cache) = cache
        && let Err(error) = cache.put(&manifest, &component)
    {
        tracing::warn!(%reference, %error, "the component is not kept, and will be asked for again at the next start");
    }
    Ok(component)
}
