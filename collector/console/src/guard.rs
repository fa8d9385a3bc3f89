//! Which requests are answered at all: none for a foreign name on a loopback address, no POST from a foreign page.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::net::IpAddr;

/// Lets a request through, or says why not.
pub(crate) async fn check(State(loopback): State<bool>, request: Request, next: Next) -> Response {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    match refusal(loopback, method, uri, headers) {
        None => next.run(request).await,
        Some((status, why)) => (status, axum::Json(serde_json::json!({ "error": why }))).into_response(),
    }
}

fn refusal(loopback: bool, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = uri.authority().map(axum::http::uri::Authority::as_str).or_else(|| text(header::HOST)).unwrap_or("");
    if loopback && !is_local_name(host) {
        return Some((StatusCode::FORBIDDEN, "ask for localhost or an IP address"));
    }
    if method == Method::GET || method == Method::HEAD {
        return None;
    }
    let kind = text(header::CONTENT_TYPE).unwrap_or("").split(';').next().unwrap_or("").trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, "the content type must be application/json"));
    }
    let same_site = headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none");
    let same_origin = headers.get(header::ORIGIN).is_none_or(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        origin.is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    });
    (!same_site || !same_origin).then_some((StatusCode::FORBIDDEN, "the request comes from another page"))
}

/// Whether the host of a request is `localhost` or an address, whatever the port.
fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name that an attacker points at 127.0.0.1 must not be answered.
    #[test]
    fn local_names() {
        for good in ["localhost:4320", "127.0.0.1:4320", "[::1]:4320", "LOCALHOST", "10.0.0.1"] {
            assert!(is_local_name(good), "{good}");
        }
        for bad in ["", "evil.example:4320", "localhost.evil.example", "127.0.0.1.evil.example"] {
            assert!(!is_local_name(bad), "{bad}");
        }
    }
}
