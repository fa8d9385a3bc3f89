//! What names a component in a registry: `oci://registry/repository@sha256:digest`.

use crate::Digest;
use std::{fmt, net::IpAddr, str::FromStr};

/// The scheme, with what follows it.
const SCHEME: &str = "oci://";
/// Longest name of a repository; the specification advises to keep it, with the registry's name, to 255.
const LONGEST_REPOSITORY: usize = 255;

/// A component in a registry, named by the digest of its manifest.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Reference {
    /// Host, with a port if need be: `ghcr.io`, `127.0.0.1:5000`, `[::1]:5000`.
    pub registry: String,
    /// Names of lower-case letters, digits and separators, parted by slashes: `acme/detectors/orders`.
    pub repository: String,
    /// A tag that stood before the digest. It says something to people and is otherwise ignored.
    pub tag: Option<String>,
    /// SHA-256 of the manifest.
    pub digest: Digest,
}

/// Why a text is no reference.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReferenceError {
    /// It begins with something else.
    #[error("begins with `{SCHEME}`")]
    Scheme,
    /// Only a tag or nothing says which one is meant.
    #[error(
        "needs a digest: a tag can be moved to other code by whoever can push, so write `oci://{name}@sha256:...` with the manifest's \
         digest (`oras resolve`, `crane digest` or `docker buildx imagetools inspect` print it)"
    )]
    NoDigest {
        /// Registry and repository.
        name: String,
    },
    /// The digest is not one.
    #[error("`{found}` is no digest: it takes `sha256:` and 64 hexadecimal digits in lower case")]
    Digest {
        /// What stands behind the `@`.
        found: String,
    },
    /// The registry's host is not one.
    #[error("`{found}` is no registry: it takes a host name or an address, with a port if need be")]
    Registry {
        /// What stands before the first slash.
        found: String,
    },
    /// The repository's name is not one.
    #[error(
        "`{found}` is no repository: its names have lower-case letters, digits and `.`, `_`, `-` between them, parted by `/`"
    )]
    Repository {
        /// What stands between the first slash and the `@`.
        found: String,
    },
}

impl Reference {
    /// Whether the registry runs on this machine. Only such a one is spoken to without TLS.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.registry.parse::<http::uri::Authority>().is_ok_and(|authority| is_loopback(authority.host()))
    }
}

/// Whether a host, as a URL has it, is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix(SCHEME).ok_or(ReferenceError::Scheme)?;
        let (name, digest) = match rest.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (rest, None),
        };
        let (registry, repository) = name.split_once('/').unwrap_or((name, ""));
        // A colon behind the last slash begins a tag.
        let (repository, tag) = match repository.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (repository, None),
        };
        if !is_registry(registry) {
            return Err(ReferenceError::Registry { found: registry.to_owned() });
        }
        if !is_repository(repository) || tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Repository {
                found: name[registry.len()..].trim_start_matches('/').to_owned(),
            });
        }
        let digest = digest.ok_or_else(|| ReferenceError::NoDigest { name: format!("{registry}/{repository}") })?;
        let digest = Digest::parse(digest).ok_or_else(|| ReferenceError::Digest { found: digest.to_owned() })?;
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        write!(f, "@{}", self.digest)
    }
}

fn is_registry(text: &str) -> bool {
    // Userinfo has an `@`, which would have ended the name. What `Authority` calls a port may be any digits.
    let Ok(authority) = text.parse::<http::uri::Authority>() else { return false };
    let host = authority.host();
    let port = text.strip_prefix(host).unwrap_or(text);
    !host.is_empty()
        && host.bytes().all(|c| c.is_ascii_alphanumeric() || b".-:[]".contains(&c))
        && (port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()))
}

/// The distribution specification's grammar: names of `[a-z0-9]+`, parted by `.`, `_`, `__` or any number of `-`.
fn is_repository(text: &str) -> bool {
    let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator = |text: &str| matches!(text, "." | "_" | "__") || text.bytes().all(|c| c == b'-');
    let is_component = |component: &str| {
        let ends = [component.bytes().next(), component.bytes().next_back()];
        ends.iter().all(|end| end.is_some_and(is_plain))
            && component
                .split(|c: char| u8::try_from(c).is_ok_and(is_plain))
                .filter(|separator| !separator.is_empty())
                .all(is_separator)
    };
    text.len() <= LONGEST_REPOSITORY && text.split('/').all(is_component)
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
fn is_tag(text: &str) -> bool {
    let is_word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|c| is_word(c) || c == b'.' || c == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c";

    /// A reference is taken apart as the specification says and shown as it was written.
    #[test]
    fn references_are_taken_apart() {
        for (text, registry, repository, tag, is_loopback) in [
            ("oci://ghcr.io/acme/orders@", "ghcr.io", "acme/orders", None, false),
            ("oci://ghcr.io/acme/orders:1.2.0@", "ghcr.io", "acme/orders", Some("1.2.0"), false),
            ("oci://127.0.0.1:5000/a@", "127.0.0.1:5000", "a", None, true),
            ("oci://[::1]:5000/a/b-c/d__e.f@", "[::1]:5000", "a/b-c/d__e.f", None, true),
            ("oci://localhost:1/a--b@", "localhost:1", "a--b", None, true),
            ("oci://localhost.example.com/a@", "localhost.example.com", "a", None, false),
        ] {
            let text = format!("{text}{DIGEST}");
            let reference: Reference = text.parse().expect("a reference");
            assert_eq!((&*reference.registry, &*reference.repository), (registry, repository));
            assert_eq!((reference.tag.as_deref(), reference.is_loopback()), (tag, is_loopback), "{text}");
            assert_eq!(reference.to_string(), text);
        }
    }

    /// A tag alone is refused, and what is said shows how to go on; so is everything else that names nothing for certain.
    #[test]
    fn what_names_nothing_for_certain_is_refused() {
        let said = |text: &str| text.parse::<Reference>().expect_err("no reference").to_string();
        for tag in ["oci://ghcr.io/acme/orders:1.2.0", "oci://ghcr.io/acme/orders"] {
            let message = said(tag);
            assert!(
                message.starts_with("needs a digest") && message.contains("oci://ghcr.io/acme/orders@sha256:"),
                "{message}"
            );
        }
        for digest in [
            "sha256:b5",
            "sha512:b5",
            "latest",
            "",
            "sha256:B5BB9D8014A0F9B1D61E21E796D78DCCDF1352F23CD32812F4850B878AE4944C",
        ] {
            assert!(said(&format!("oci://ghcr.io/acme/orders@{digest}")).contains("is no digest"), "{digest}");
        }
        for registry in ["", "gh cr.io", "a_b", "ghcr.io:99999", "ghcr.io:x"] {
            let message = said(&format!("oci://{registry}/acme@{DIGEST}"));
            assert!(message.contains("is no registry"), "{registry}: {message}");
        }
        for repository in
            ["", "Acme", "a//b", "-a", "a-", "a..b", "a___b", "../x", "a/..", "a?b", "a:t/b", "é", &"a".repeat(256)]
        {
            assert!(said(&format!("oci://ghcr.io/{repository}@{DIGEST}")).contains("is no repository"), "{repository}");
        }
        assert_eq!(said("https://ghcr.io/a"), "begins with `oci://`");
    }
}
