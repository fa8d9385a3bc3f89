//! The page of one incident: what, where, why, and what belongs to it.

use super::{anomalies, badge, escape, missing, overview::acknowledge, page, service_link, service_links, time};
use crate::{Source, views::Incident};
use axum::{http::StatusCode, response::Response};
use std::{collections::BTreeSet, fmt::Write as _};

pub(crate) fn incident(source: &dyn Source, id: &str) -> Response {
    let Some(incident) = source.incident(id) else { return missing("incident with this id") };
    let mut out = String::new();
    head(&mut out, &incident);
    facts(&mut out, &incident);
    let known: BTreeSet<String> = source.services().into_iter().map(|service| service.service).collect();
    causes(&mut out, &incident, &known);
    logs(&mut out, &incident);
    let _ = write!(out, "<h2 id=its-anomalies>Anomalies <small>({})</small></h2>", incident.anomaly_count);
    out.push_str(&anomalies(incident.anomalies.iter(), true));
    if (incident.anomalies.len() as u64) < incident.anomaly_count {
        let _ = write!(out, "<p class=soft>The first {} are kept.</p>", incident.anomalies.len());
    }
    if !incident.grouping.is_empty() {
        out.push_str(
            "<h2>Why they belong together</h2><details id=grouping><summary>One reason for each</summary><ul>",
        );
        for reason in &incident.grouping {
            let _ = write!(out, "<li>{}", escape(reason));
        }
        out.push_str("</ul></details>");
    }
    traces(&mut out, &incident);
    page(StatusCode::OK, &format!("{} · Foreshock", incident.title), &out)
}

fn head(out: &mut String, incident: &Incident) {
    let _ = write!(
        out,
        "<h1>{}</h1><article class=\"card {}\"><div class=head>{}<span>{}</span><span>since {}</span></div><p>{}</p><div class=foot>",
        escape(&incident.title),
        escape(&incident.severity),
        badge(&incident.severity),
        escape(&incident.state),
        time(&incident.start),
        escape(&incident.sentence),
    );
    acknowledge(out, incident);
    out.push_str("</div></article>");
}

fn facts(out: &mut String, incident: &Incident) {
    out.push_str("<dl>");
    let mut fact = |name: &str, value: String| {
        let _ = write!(out, "<dt>{name}<dd>{value}");
    };
    let id = escape(&incident.id);
    fact(
        "Incident",
        format!("<a href=\"/incidents/{id}\"><code>{id}</code></a> (<a href=\"/api/v1/incidents/{id}\">JSON</a>)"),
    );
    fact("Opened", time(&incident.opened));
    if let Some(closed) = &incident.closed {
        fact("Closed", time(closed));
    }
    fact("Services", service_links(&incident.services));
    if !incident.blast_radius.is_empty() {
        fact("Depend on them", service_links(&incident.blast_radius));
    }
    if let Some((service, old, new, at)) = &incident.version_change {
        let text = format!("{} from {} to {} at {}", service_link(service), escape(old), escape(new), time(at));
        fact("New version", text);
    }
    if let Some(into) = &incident.merged_into {
        fact("Part of", format!("<a href=\"/incidents/{0}\"><code>{0}</code></a>", escape(into)));
    }
    let when = if incident.closed.is_some() { "sent" } else { "sent when it is closed" };
    fact("Its trace", format!("<code>{}</code> <span class=soft>{when}</span>", escape(&incident.trace_id)));
    out.push_str("</dl>");
}

/// What sends no telemetry, such as a database, can be a cause, but has no page.
fn causes(out: &mut String, incident: &Incident, known: &BTreeSet<String>) {
    if incident.root_causes.is_empty() {
        return;
    }
    out.push_str("<h2>Where it probably started</h2><div class=scroll><table><thead><tr><th>Service<th class=n>Score<th>Why</tr></thead><tbody>");
    for cause in &incident.root_causes {
        let _ = write!(
            out,
            "<tr><td class=name>{}<td class=n>{:.2}<td class=what>{}</tr>",
            if known.contains(&cause.service) { service_link(&cause.service) } else { escape(&cause.service) },
            cause.score,
            escape(&cause.summary)
        );
    }
    out.push_str("</tbody></table></div>");
}

fn logs(out: &mut String, incident: &Incident) {
    if incident.logs.is_empty() {
        return;
    }
    out.push_str("<h2>What the logs say</h2><div class=scroll><table><thead><tr><th>Service<th class=n>Records<th class=n>Of its errors<th>Lines like</tr></thead><tbody>");
    for cluster in &incident.logs {
        let _ = write!(
            out,
            "<tr><td class=name>{}<td class=n>{}<td class=n>{:.0} %<td class=what><code>{}</code><pre>{}</pre></tr>",
            service_link(&cluster.service),
            cluster.count,
            cluster.share * 100.0,
            escape(&cluster.text),
            escape(&cluster.sample),
        );
    }
    out.push_str("</tbody></table></div>");
}

fn traces(out: &mut String, incident: &Incident) {
    if incident.exemplars.is_empty() {
        return;
    }
    out.push_str("<h2>Slow or failing traces meanwhile</h2><p class=chips>");
    for (trace, _span) in &incident.exemplars {
        let _ = write!(out, "<code>{}</code> ", escape(trace));
    }
    out.push_str("</p>");
}
