//! The page of one service: how it is, whom it calls, and what was odd about it lately.

use super::{anomalies, badge, duration, escape, health, missing, page, service_link, share, time};
use crate::{Source, views::Edge};
use axum::{http::StatusCode, response::Response};
use std::fmt::Write as _;

/// Anomalies that are shown.
const MOST_ANOMALIES: usize = 50;

pub(crate) fn service(source: &dyn Source, name: &str) -> Response {
    let Some(service) = source.services().into_iter().find(|service| service.service == name) else {
        return missing("service of this name");
    };
    let state = health(service.health);
    let mut out = format!("<h1>{}</h1><p>{}", escape(&service.service), badge(state));
    if let Some(id) = &service.incident {
        let _ = write!(out, " <a href=\"/incidents/{0}\">part of an open incident</a>", escape(id));
    }
    let facts = [
        ("Version", escape(service.version.as_deref().unwrap_or("–"))),
        ("Calls", format!("{:.1} a second", service.calls_per_second)),
        ("Errors", share(service.error_ratio)),
        (
            "Duration p50, p95, p99",
            [service.p50_seconds, service.p95_seconds, service.p99_seconds].map(duration).join(" · "),
        ),
        (
            "Log records",
            format!(
                "{:.1} a second, {:.2} of them errors",
                service.log_records_per_second, service.error_log_records_per_second
            ),
        ),
        ("Last window", time(&service.last_window)),
    ];
    out.push_str("</p><dl>");
    for (name, value) in facts {
        let _ = write!(out, "<dt>{name}<dd>{value}");
    }
    out.push_str("</dl>");
    let graph = source.graph();
    let callers = graph.edges.iter().filter(|edge| edge.callee == name);
    let callees = graph.edges.iter().filter(|edge| edge.caller == name);
    calls(&mut out, "Called by", callers, |edge| service_link(&edge.caller));
    // What sends no telemetry has no page.
    calls(&mut out, "Calls", callees, |edge| match edge.far_side {
        true => escape(&edge.callee),
        false => service_link(&edge.callee),
    });
    let recent = source.anomalies(1_000);
    let own: Vec<_> = recent.iter().filter(|anomaly| anomaly.service == name).take(MOST_ANOMALIES).collect();
    let _ = write!(out, "<h2>Anomalies <small>({} open)</small></h2>", service.open_anomalies);
    if own.is_empty() {
        out.push_str("<p class=empty>None so far.</p>");
    } else {
        out.push_str(&anomalies(own.into_iter(), false));
    }
    page(StatusCode::OK, &format!("{name} · Foreshock"), &out)
}

fn calls<'a>(out: &mut String, title: &str, edges: impl Iterator<Item = &'a Edge>, name: impl Fn(&Edge) -> String) {
    let mut edges = edges.peekable();
    if edges.peek().is_none() {
        return;
    }
    let _ = write!(
        out,
        "<h2>{title} <small>(sampled calls of the last hour)</small></h2><div class=scroll><table><thead><tr><th>Service<th class=n>Calls\
         <th class=n>Failed<th class=n>Mean</tr></thead><tbody>"
    );
    for edge in edges {
        let failed = if edge.calls > 0 { Some(edge.errors as f64 / edge.calls as f64) } else { None };
        let _ = write!(
            out,
            "<tr><td class=name>{}<td class=n>{}<td class=n>{}<td class=n>{}</tr>",
            name(edge),
            edge.calls,
            share(failed),
            duration(Some(edge.mean_seconds)),
        );
    }
    out.push_str("</tbody></table></div>");
}
