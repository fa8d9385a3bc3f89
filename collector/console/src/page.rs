//! The overview page: plain HTML, rendered here, without scripts.

use crate::{
    Source,
    views::{Health, Incident, Service},
};
use std::fmt::Write as _;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1c2330;background:#fbfbfa}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .7rem;border-bottom:1px solid #dde}
td.n{text-align:right;font-variant-numeric:tabular-nums}.failing,.critical,.error{color:#b3261e;font-weight:600}
.degraded,.warning{color:#8a5a00;font-weight:600}.healthy,.info{color:#2c6e49}small{color:#667}
@media(prefers-color-scheme:dark){body{color:#dde3ee;background:#14171c}th,td{border-color:#333a46}.healthy,.info{color:#7cc89b}.degraded,.warning{color:#e3b557}.failing,.critical,.error{color:#ff8a80}}";

/// The whole page.
pub(crate) fn render(source: &dyn Source) -> String {
    let (services, incidents) = (source.services(), source.incidents(20));
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"10\">\
         <title>Foreshock</title><style>{STYLE}</style><h1>Foreshock</h1>"
    );
    out.push_str("<h2>Incidents</h2>");
    if incidents.is_empty() {
        out.push_str("<p>None.</p>");
    } else {
        out.push_str("<table><tr><th>Since<th>State<th>Severity<th>What<th>Services</tr>");
        for incident in &incidents {
            incident_row(&mut out, incident);
        }
        out.push_str("</table>");
    }
    let _ = write!(out, "<h2>Services <small>({})</small></h2>", services.len());
    if services.is_empty() {
        out.push_str("<p>No telemetry has come yet. Send OTLP to port 4317 (gRPC) or 4318 (HTTP).</p>");
    } else {
        out.push_str(
            "<table><tr><th>Service<th>Health<th>Calls/s<th>Errors<th>p50<th>p95<th>p99<th>Logs/s<th>Version</tr>",
        );
        for service in services.iter().take(500) {
            service_row(&mut out, service);
        }
        out.push_str("</table>");
    }
    out.push_str(
        "<h2>For programs</h2><p><a href=\"/metrics\">/metrics</a> · <a href=\"/api/v1/services\">services</a> · \
         <a href=\"/api/v1/incidents\">incidents</a> · <a href=\"/api/v1/anomalies\">anomalies</a> · \
         <a href=\"/api/v1/graph\">graph</a></p></html>",
    );
    out
}

fn incident_row(out: &mut String, incident: &Incident) {
    let _ = write!(
        out,
        "<tr><td>{}<td>{}<td class=\"{}\">{}<td><a href=\"/api/v1/incidents/{}\">{}</a><br><small>{}</small><td>{}</tr>",
        escape(&incident.start),
        escape(&incident.state),
        escape(&incident.severity),
        escape(&incident.severity),
        escape(&incident.id),
        escape(&incident.title),
        escape(&incident.sentence),
        escape(&incident.services.join(", ")),
    );
}

fn service_row(out: &mut String, service: &Service) {
    let health = match service.health {
        Health::Healthy => "healthy",
        Health::Degraded => "degraded",
        Health::Failing => "failing",
        Health::Silent => "silent",
    };
    let _ = write!(
        out,
        "<tr><td>{}<td class=\"{health}\">{health}<td class=n>{:.1}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}\
         <td class=n>{:.1}<td>{}</tr>",
        escape(&service.service),
        service.calls_per_second,
        service.error_ratio.map(|ratio| format!("{:.1} %", ratio * 100.0)).unwrap_or_default(),
        milliseconds(service.p50_seconds),
        milliseconds(service.p95_seconds),
        milliseconds(service.p99_seconds),
        service.log_records_per_second,
        escape(service.version.as_deref().unwrap_or_default()),
    );
}

fn milliseconds(seconds: Option<f64>) -> String {
    seconds.map(|seconds| format!("{:.1} ms", seconds * 1000.0)).unwrap_or_default()
}

/// Text that came from telemetry, made harmless in HTML, in attributes too.
fn escape(text: &str) -> String {
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
