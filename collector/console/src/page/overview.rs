//! The overview: what is open, how the services are, what was.

use super::{anomalies, badge, duration, escape, health, page, service_link, service_links, share, time};
use crate::{
    Source,
    views::{Health, Incident, Service},
};
use axum::{http::StatusCode, response::Response};
use std::fmt::Write as _;

/// Closed incidents and anomalies that are shown; all of them are in the API.
const MOST_CLOSED: usize = 20;
const MOST_ANOMALIES: usize = 12;
/// Services that are shown, those in trouble first.
const MOST_SERVICES: usize = 500;

pub(crate) fn overview(source: &dyn Source) -> Response {
    let incidents = source.incidents(1_000);
    let (open, closed): (Vec<&Incident>, Vec<&Incident>) =
        incidents.iter().partition(|incident| incident.closed.is_none());
    let mut services = source.services();
    services.sort_by_key(|service| match service.health {
        Health::Failing => 0,
        Health::Degraded => 1,
        Health::Silent => 2,
        Health::Healthy => 3,
    });
    let mut out = tiles(open.len(), &services);
    let _ = write!(out, "<h2 id=incidents>Open incidents <small>({})</small></h2>", open.len());
    if open.is_empty() {
        let text = if services.is_empty() { "None." } else { "None. Nothing needs you at the moment." };
        let _ = write!(out, "<p class=empty>{text}</p>");
    }
    for incident in &open {
        card(&mut out, incident, &services);
    }
    table_of_services(&mut out, &services);
    let recent = source.anomalies(1_000);
    let going_on = recent.iter().filter(|anomaly| anomaly.end.is_none());
    let count = going_on.clone().count();
    let _ = write!(out, "<h2 id=anomalies>Open anomalies <small>({count})</small></h2>");
    if count == 0 {
        out.push_str("<p class=empty>None.</p>");
    } else {
        out.push_str(&anomalies(going_on.take(MOST_ANOMALIES), true));
        if count > MOST_ANOMALIES {
            let _ = write!(
                out,
                "<p class=soft>The latest {MOST_ANOMALIES}; all are at <a href=\"/api/v1/anomalies?limit=1000\">/api/v1/anomalies</a>.</p>"
            );
        }
    }
    if !closed.is_empty() {
        let _ = write!(out, "<h2 id=closed>Closed incidents <small>({})</small></h2>", closed.len());
        table_of_closed(&mut out, &closed);
    }
    let title = if open.is_empty() { "Foreshock".to_owned() } else { format!("({}) Foreshock", open.len()) };
    page(StatusCode::OK, &title, &out)
}

fn tiles(open: usize, services: &[Service]) -> String {
    let count = |health: Health| services.iter().filter(|service| service.health == health).count();
    let anomalies: u64 = services.iter().map(|service| service.open_anomalies).sum();
    let tile = |number: u64, what: &str, class: &str| {
        let class = if number > 0 { class } else { "" };
        format!("<div class=\"tile {class}\"><b>{number}</b>{what}</div>")
    };
    [
        tile(open as u64, if open == 1 { "open incident" } else { "open incidents" }, "bad"),
        tile(count(Health::Failing) as u64, "failing", "bad"),
        tile(count(Health::Degraded) as u64, "degraded", "warn"),
        tile(services.len() as u64, if services.len() == 1 { "service" } else { "services" }, ""),
        tile(anomalies, "open anomalies", ""),
    ]
    .iter()
    .fold(String::from("<h1 class=skip>Overview</h1><div class=tiles>"), |mut out, tile| {
        out.push_str(tile);
        out
    }) + "</div>"
}

fn card(out: &mut String, incident: &Incident, services: &[Service]) {
    let id = escape(&incident.id);
    let severity = escape(&incident.severity);
    let _ = write!(
        out,
        "<article class=\"card {severity}\"><div class=head>{}<span>{}</span><span>since {}</span><span>{} anomalies</span></div>\
         <h3><a id=\"incident-{id}\" href=\"/incidents/{id}\">{}</a></h3><p>{}</p>",
        badge(&incident.severity),
        escape(&incident.state),
        time(&incident.start),
        incident.anomaly_count,
        escape(&incident.title),
        escape(&incident.sentence),
    );
    if let Some(cause) = incident.root_causes.first() {
        // What sends no telemetry, such as a database, has no page.
        let is_known = services.iter().any(|service| service.service == cause.service);
        let _ = write!(
            out,
            "<p><span class=soft>Starts in</span> {} <span class=soft>{}</span></p>",
            if is_known { service_link(&cause.service) } else { escape(&cause.service) },
            escape(&cause.summary)
        );
    }
    let _ = write!(out, "<div class=foot>{}", service_links(&incident.services));
    acknowledge(out, incident);
    out.push_str("</div></article>");
}

/// The button, where there is something to acknowledge.
pub(super) fn acknowledge(out: &mut String, incident: &Incident) {
    if incident.state == "open" {
        let id = escape(&incident.id);
        let _ = write!(
            out,
            "<button type=button id=\"acknowledge-{id}\" data-acknowledge=\"{id}\">Acknowledge</button>\
             <span class=problem role=alert></span>"
        );
    }
}

fn table_of_services(out: &mut String, services: &[Service]) {
    let _ = write!(out, "<h2 id=services>Services <small>({})</small></h2>", services.len());
    if services.is_empty() {
        out.push_str(
            "<p class=empty>No telemetry has come yet. Send OTLP to port 4317 (gRPC) or 4318 (HTTP); a service appears here when its \
             first window is over.</p>",
        );
        return;
    }
    out.push_str(
        "<div class=scroll><table><thead><tr><th>Service<th>Health<th class=\"n wide\">Calls/s<th class=n>Errors<th class=\"n wide\">p50\
         <th class=n>p95<th class=\"n wide\">p99<th class=\"n wide\">Logs/s<th class=\"n wide\">Anomalies<th class=wide>Version</tr></thead><tbody>",
    );
    for service in services.iter().take(MOST_SERVICES) {
        let state = health(service.health);
        let incident = match &service.incident {
            Some(id) => format!("<a href=\"/incidents/{0}\" title=\"its incident\">{1}</a>", escape(id), badge(state)),
            None => badge(state),
        };
        let _ = write!(
            out,
            "<tr><td class=name>{}<td>{incident}<td class=\"n wide\">{:.1}<td class=n>{}<td class=\"n wide\">{}<td class=n>{}\
             <td class=\"n wide\">{}<td class=\"n wide\">{:.1}<td class=\"n wide\">{}<td class=wide>{}</tr>",
            service_link(&service.service),
            service.calls_per_second,
            share(service.error_ratio),
            duration(service.p50_seconds),
            duration(service.p95_seconds),
            duration(service.p99_seconds),
            service.log_records_per_second,
            service.open_anomalies,
            escape(service.version.as_deref().unwrap_or_default()),
        );
    }
    out.push_str("</tbody></table></div>");
    if services.len() > MOST_SERVICES {
        let _ = write!(out, "<p class=soft>The first {MOST_SERVICES}, those in trouble first.</p>");
    }
}

fn table_of_closed(out: &mut String, closed: &[&Incident]) {
    out.push_str(
        "<div class=scroll><table class=texts><thead><tr><th>Opened<th class=wide>Closed<th>Severity<th>What</tr></thead><tbody>",
    );
    for incident in closed.iter().take(MOST_CLOSED) {
        let _ = write!(
            out,
            "<tr><td>{}<td class=wide>{}<td>{}<td class=what><a id=\"incident-{id}\" href=\"/incidents/{id}\">{}</a><br><small>{} · {}</small></tr>",
            time(&incident.opened),
            incident.closed.as_deref().map(time).unwrap_or_default(),
            badge(&incident.severity),
            escape(&incident.title),
            escape(&incident.state),
            escape(&incident.sentence),
            id = escape(&incident.id),
        );
    }
    out.push_str("</tbody></table></div>");
}
