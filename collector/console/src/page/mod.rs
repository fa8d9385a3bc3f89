//! The pages: HTML rendered here, readable without scripts; one small script makes times local and content fresh.
//!
//! Everything comes from this host: a content security policy forbids anything else, scripts within pages too.

mod incident;
mod overview;
mod service;

pub(crate) use incident::incident;
pub(crate) use overview::overview;
pub(crate) use service::service;

use crate::views::{Anomaly, Health};
use axum::{
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use std::fmt::{self, Write as _};

pub(crate) const STYLE: &str = include_str!("style.css");
pub(crate) const SCRIPT: &str = include_str!("console.js");

/// What a page may load and do.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A small wave.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M1 9h3l2-6 \
                    3 11 2-7 1 2h3' fill='none' stroke='%231f5fbf' stroke-width='1.6'/%3E%3C/svg%3E";

/// A whole page around `main`.
pub(crate) fn page(status: StatusCode, title: &str, main: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>\n\
         <title>{}</title>\n<link rel=\"icon\" href=\"{ICON}\">\n<link rel=\"stylesheet\" href=\"/style.css\">\n\
         <script src=\"/console.js\" defer></script>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">Skip to the content</a>\n\
         <header><a class=\"name\" href=\"/\">Foreshock</a>\
         <nav><a href=\"/#incidents\">Incidents</a><a href=\"/#services\">Services</a><a href=\"/#anomalies\">Anomalies</a></nav>\
         <span id=\"status\" role=\"status\"></span></header>\n\
         <main id=\"main\">\n{main}</main>\n\
         <footer>For programs: <a href=\"/metrics\">/metrics</a><a href=\"/api/v1/services\">services</a>\
         <a href=\"/api/v1/incidents\">incidents</a><a href=\"/api/v1/anomalies\">anomalies</a>\
         <a href=\"/api/v1/graph\">graph</a></footer>\n</body>\n</html>\n",
        escape(title),
    );
    (status, [(header::CONTENT_SECURITY_POLICY, POLICY)], Html(html)).into_response()
}

/// The page for what is not there.
pub(crate) fn missing(what: &str) -> Response {
    let main = format!("<h1>Not found</h1><p>There is no {} here. <a href=\"/\">To the overview</a></p>", escape(what));
    page(StatusCode::NOT_FOUND, "Not found · Foreshock", &main)
}

/// Text that came from telemetry or from a detector, made harmless in HTML, in attributes too.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// A time: without a script in UTC, with one in the reader's zone.
fn time(rfc3339: &str) -> String {
    let day_and_time = rfc3339.get(..19).unwrap_or(rfc3339).replace('T', " ");
    format!("<time datetime=\"{0}\" title=\"{1} UTC\">{1} UTC</time>", escape(rfc3339), escape(&day_and_time))
}

/// A link to a service's page.
fn service_link(service: &str) -> String {
    let mut path = String::with_capacity(service.len());
    for byte in service.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => path.push(char::from(byte)),
            // Writing to a string does not fail, here and below.
            _ => {
                let _ = write!(path, "%{byte:02X}");
            }
        }
    }
    format!("<a href=\"/services/{path}\">{}</a>", escape(service))
}

fn service_links(services: &[String]) -> String {
    let links: Vec<String> = services.iter().map(|service| service_link(service)).collect();
    format!("<span class=\"chips\">{}</span>", links.join(" "))
}

fn badge(kind: &str) -> String {
    format!("<span class=\"badge {0}\">{0}</span>", escape(kind))
}

fn health(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::Degraded => "degraded",
        Health::Failing => "failing",
        Health::Silent => "silent",
    }
}

/// Seconds as people read them.
fn duration(seconds: Option<f64>) -> String {
    match seconds {
        None => "<span class=soft>–</span>".to_owned(),
        Some(seconds) if seconds >= 10.0 => format!("{seconds:.0} s"),
        Some(seconds) if seconds >= 1.0 => format!("{seconds:.2} s"),
        Some(seconds) => format!("{:.1} ms", seconds * 1_000.0),
    }
}

fn share(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "<span class=soft>–</span>".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0))
}

/// A row of the table that [`anomalies`] makes.
struct AnomalyRow<'a>(&'a Anomaly, bool);

impl fmt::Display for AnomalyRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(anomaly, has_service) = self;
        write!(f, "<tr id=\"anomaly-{}\"><td>{}", escape(&anomaly.id), time(&anomaly.start))?;
        match &anomaly.end {
            Some(end) => write!(f, "<td class=wide>{}", time(end))?,
            None => write!(f, "<td class=wide><span class=\"soft nowrap\">goes on</span>")?,
        }
        write!(f, "<td>{}", badge(&anomaly.severity))?;
        if *has_service {
            write!(f, "<td class=\"name wide\">{}", service_link(&anomaly.service))?;
        }
        let kind = anomaly.kind.replace('_', " ");
        write!(
            f,
            "<td class=what>{}<br><small>{} · {}</small></tr>",
            escape(&anomaly.sentence),
            escape(&kind),
            escape(&anomaly.detector)
        )
    }
}

/// A table of anomalies; with the column of the service where several are shown.
fn anomalies<'a>(list: impl Iterator<Item = &'a Anomaly>, has_service: bool) -> String {
    let mut out =
        String::from("<div class=scroll><table class=texts><thead><tr><th>Since<th class=wide>Until<th>Severity");
    if has_service {
        out.push_str("<th class=wide>Service");
    }
    out.push_str("<th>What</tr></thead><tbody>");
    for anomaly in list {
        let _ = write!(out, "{}", AnomalyRow(anomaly, has_service));
    }
    out.push_str("</tbody></table></div>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names come from telemetry: in a link they must neither end the attribute nor climb to another path.
    #[test]
    fn names_are_harmless_in_links() {
        let link = service_link("shop/a\"><b>?x#y");
        assert_eq!(link, "<a href=\"/services/shop/a%22%3E%3Cb%3E%3Fx%23y\">shop/a&quot;&gt;&lt;b&gt;?x#y</a>");
        assert_eq!(duration(Some(0.0163)), "16.3 ms");
        assert_eq!(duration(Some(1.534)), "1.53 s");
    }
}
