//! What a registry asks for before it answers: the header `WWW-Authenticate`.

/// A challenge of the scheme `Bearer`: where a token is to be had, and for what.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Bearer {
    pub(crate) realm: String,
    pub(crate) service: Option<String>,
    pub(crate) scope: Option<String>,
}

/// The challenge in a header, if it is one of `Bearer` with a realm. Other schemes want credentials.
pub(crate) fn bearer(header: &str) -> Option<Bearer> {
    let (scheme, mut rest) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut found = Bearer::default();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some((name, after)) = rest.split_once('=') else { break };
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted)?,
            None => {
                let end = after.find([',', ' ']).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "realm" => found.realm = value,
            "service" => found.service = Some(value),
            "scope" => found.scope = Some(value),
            _ => {}
        }
        rest = after;
    }
    (!found.realm.is_empty()).then_some(found)
}

/// The content of a quoted string whose opening quote was read, and what follows it.
fn quoted_string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

impl Bearer {
    /// The address at which a token is asked for.
    pub(crate) fn address(&self) -> String {
        let mut address = self.realm.clone();
        let mut separator = if address.contains('?') { '&' } else { '?' };
        for (key, value) in [("service", &self.service), ("scope", &self.scope)] {
            if let Some(value) = value {
                address.push(separator);
                address.push_str(key);
                address.push('=');
                encode(&mut address, value);
                separator = '&';
            }
        }
        address
    }
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
fn encode(to: &mut String, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => to.push(char::from(byte)),
            _ => to.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Challenges of the shapes that registries send lead to the address of a token; others lead nowhere.
    #[test]
    fn challenges_lead_to_a_token() {
        let address = |header: &str| bearer(header).as_ref().map(Bearer::address);
        let usual = r#"Bearer realm="https://auth.example.com/token",service="registry.example.com",scope="repository:acme/orders:pull""#;
        assert_eq!(
            address(usual).as_deref(),
            Some("https://auth.example.com/token?service=registry.example.com&scope=repository%3Aacme%2Forders%3Apull")
        );
        let odd = r#"bearer  scope="a\"b, c" , realm=https://a.example/t?x=1 , error="invalid_token""#;
        assert_eq!(address(odd).as_deref(), Some("https://a.example/t?x=1&scope=a%22b%2C%20c"));
        for none in ["Basic realm=\"x\"", "Bearer", "Bearer scope=\"a\"", "Bearer realm=\"unfinished", ""] {
            assert_eq!(address(none), None, "{none}");
        }
    }
}
