//! What stands in the `authorization` header: what our receivers want to see, and what our exporters show.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;

/// Credentials of one peer.
#[derive(Clone, Eq, PartialEq)]
pub enum Authorization {
    /// A bearer token (RFC 6750).
    Bearer(String),
    /// A name and a password (RFC 7617).
    Basic {
        /// Without a colon.
        username: String,
        /// Anything.
        password: String,
    },
}

impl Authorization {
    /// The scheme's name, as in `www-authenticate`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Bearer(_) => "Bearer",
            Self::Basic { .. } => "Basic",
        }
    }

    /// The value of the header; `None` where a token holds what no header can.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("{} {}", self.scheme(), self.parameter())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// What a receiver answers to one who shows nothing, or something else.
    pub(crate) fn challenge(&self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Bearer(_) => "Bearer",
            Self::Basic { .. } => "Basic realm=\"foreshock\", charset=\"UTF-8\"",
        })
    }

    /// Whether the header `given` holds these credentials. The scheme's case does not matter (RFC 9110, section 11.1).
    pub(crate) fn is_shown_by(&self, given: &[u8]) -> bool {
        let scheme = self.scheme().as_bytes();
        let Some((given_scheme, [b' ', rest @ ..])) = given.split_at_checked(scheme.len()) else {
            return false;
        };
        let shown = equal_in_constant_time(rest.trim_ascii(), self.parameter().as_bytes());
        shown && given_scheme.eq_ignore_ascii_case(scheme)
    }

    fn parameter(&self) -> String {
        match self {
            Self::Bearer(token) => token.clone(),
            Self::Basic { username, password } => STANDARD.encode(format!("{username}:{password}")),
        }
    }
}

/// Secrets do not belong in logs.
impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple(self.scheme()).finish_non_exhaustive()
    }
}

/// Takes time by the length of `given` alone, so that a secret can't be guessed byte by byte.
fn equal_in_constant_time(given: &[u8], wanted: &[u8]) -> bool {
    let mut difference = usize::from(given.len() != wanted.len());
    for (index, byte) in given.iter().enumerate() {
        let other = wanted.get(index).copied().unwrap_or(0);
        difference |= usize::from(std::hint::black_box(byte ^ other));
    }
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scheme is case-insensitive, the token is not, and prefixes do not match.
    #[test]
    fn bearer_tokens() {
        let secret = Authorization::Bearer("secret".to_owned());
        assert!(secret.is_shown_by(b"Bearer secret"));
        assert!(secret.is_shown_by(b"bearer  secret "));
        for wrong in [
            &b"Bearer secre"[..],
            b"Bearer secrets",
            b"Bearer Secret",
            b"Bearer ",
            b"Bearersecret",
            b"Basic secret",
            b"secret",
            b"",
        ] {
            assert!(!secret.is_shown_by(wrong), "{wrong:?}");
        }
        assert!(Authorization::Bearer("new\nline".to_owned()).header().is_none());
    }

    /// The example of RFC 7617, section 2, byte for byte, on both sides; the name matters as much as the password.
    #[test]
    fn names_and_passwords() {
        let aladdin = Authorization::Basic { username: "Aladdin".to_owned(), password: "open sesame".to_owned() };
        let header = aladdin.header().unwrap();
        assert_eq!(header, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(header.is_sensitive());
        assert!(aladdin.is_shown_by(b"basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        let other = Authorization::Basic { username: "Jafar".to_owned(), password: "open sesame".to_owned() };
        assert!(!aladdin.is_shown_by(other.header().unwrap().as_bytes()));
        assert!(!format!("{aladdin:?}").contains("sesame"));
    }
}
