//! What a person reads about an incident: its title and the one sentence that says it all.

use crate::{
    anomaly::{
        units::{clock, format_value, span_in_words},
        words::{MAX_LOG_TEXT, cut, series_label, shown_unit, template_text, whole_template},
    },
    event::{Anomaly, LogCluster, RootCause},
    time::UnixNanos,
    window::{SeriesKind, ServiceKey},
};
use std::sync::Arc;

/// A log group below this share of the error records is not worth a mention.
const TELLING_SHARE: f64 = 0.2;

/// Everything the sentence speaks of.
#[derive(Debug)]
pub(super) struct Story<'a> {
    /// The anomaly that stands for the incident.
    pub(super) lead: &'a Anomaly,
    pub(super) services: usize,
    pub(super) cause: Option<&'a RootCause>,
    pub(super) version: Option<&'a (ServiceKey, Arc<str>, Arc<str>, UnixNanos)>,
    pub(super) logs: &'a [LogCluster],
    /// Whether all services have the same namespace, which is then left out.
    pub(super) one_namespace: bool,
}

impl Story<'_> {
    fn name(&self, service: &ServiceKey) -> String {
        if self.one_namespace { service.name.to_string() } else { service.to_string() }
    }
}

/// The anomaly that stands for an incident: of the root cause if it has one; what users feel before what they don't; the worst;
/// the first.
pub(super) fn lead<'a>(
    anomalies: impl Iterator<Item = &'a Anomaly>,
    cause: Option<&ServiceKey>,
) -> Option<&'a Anomaly> {
    anomalies.max_by(|a, b| {
        let felt = |anomaly: &Anomaly| match anomaly.series.kind {
            // The service as a whole before one of its operations.
            SeriesKind::SpanDuration | SeriesKind::SpanErrors => {
                2 + i32::from(anomaly.series.attribute("span.name").is_none())
            }
            SeriesKind::Quantile | SeriesKind::SpanRate => 1,
            _ => 0,
        };
        let key = |anomaly: &Anomaly| {
            (Some(&anomaly.service) == cause, anomaly.severity, anomaly.kind.as_ref() != "missing_data", felt(anomaly))
        };
        key(a).cmp(&key(b)).then(a.surprise.total_cmp(&b.surprise)).then_with(|| (b.start, b.id).cmp(&(a.start, a.id)))
    })
}

/// A few words, without numbers that change.
pub(super) fn title(story: &Story<'_>) -> String {
    let lead = story.lead;
    let what = match (&*lead.kind, lead.series.kind) {
        _ if lead.forecast.is_some() => format!("{} is about to reach its limit", series_label(&lead.series)),
        ("new_log_pattern", SeriesKind::LogTemplate) => {
            format!("new log pattern '{}'", cut(whole_template(&lead.series), 60))
        }
        ("missing_data", _) => format!("{} is missing", lead.series.name),
        _ => match direction(lead) {
            Some(true) => format!("{} is high", series_label(&lead.series)),
            Some(false) => format!("{} is low", series_label(&lead.series)),
            None => format!("{} is unusual", series_label(&lead.series)),
        },
    };
    let others = story.services.saturating_sub(1);
    let service = story.name(&lead.service);
    match others {
        0 => format!("{service}: {what}"),
        1 => format!("{service}: {what}, 1 more service affected"),
        _ => format!("{service}: {what}, {others} more services affected"),
    }
}

/// Whether it is above what was expected.
fn direction(anomaly: &Anomaly) -> Option<bool> {
    let observed = anomaly.observed?;
    let expected = anomaly.expected.or_else(|| Some((anomaly.lower? + anomaly.upper?) / 2.0))?;
    (observed != expected).then_some(observed > expected)
}

/// The sentence.
pub(super) fn sentence(story: &Story<'_>) -> String {
    let lead = story.lead;
    let of = &lead.service;
    let service = story.name(of);
    let (label, unit) = (series_label(&lead.series), shown_unit(&lead.series));
    let at = clock(lead.start);
    let value = |value: f64| format_value(value, unit);
    let mut text = match (&*lead.kind, lead.series.kind) {
        ("new_log_pattern", SeriesKind::LogTemplate) => {
            format!("{service} logs the new pattern '{}' since {at}", template_text(&lead.series))
        }
        ("missing_data", _) => format!("{service} stopped reporting {} at {at}", lead.series.name),
        _ => match (lead.forecast, lead.observed, lead.expected) {
            (Some(forecast), ..) => format!(
                "{service} {label} will reach {} at {} (80 % sure of {} to {})",
                value(forecast.limit),
                clock(forecast.reaches),
                clock(forecast.earliest),
                clock(forecast.latest)
            ),
            (None, Some(observed), Some(expected)) if observed != expected => {
                let verb = if observed > expected { "rose" } else { "fell" };
                format!("{service} {label} {verb} from {} to {} at {at}", value(expected), value(observed))
            }
            (None, Some(observed), _) => format!("{service} {label} is {} since {at}", value(observed)),
            (None, None, _) => format!("{service} {label} is unusual since {at}"),
        },
    };
    if let Some((changed, _, new, when)) = story.version {
        let whose = if changed == of { String::new() } else { format!("{} ", story.name(changed)) };
        match lead.start >= *when {
            true => text.push_str(&format!(", {} after {whose}version {new}", span_in_words(lead.start.since(*when)))),
            false => text.push_str(&format!(", {} before {whose}version {new}", span_in_words(when.since(lead.start)))),
        }
    }
    let telling = story.logs.iter().filter(|cluster| cluster.share >= TELLING_SHARE);
    let telling = telling.max_by(|a, b| {
        (a.service == *of).cmp(&(b.service == *of)).then(a.share.total_cmp(&b.share)).then(b.text.cmp(&a.text))
    });
    if let Some(cluster) = telling {
        let whose =
            if cluster.service == *of { "its".to_owned() } else { format!("{}'s", story.name(&cluster.service)) };
        let percent = (cluster.share * 100.0).round();
        let said = lead.series.kind == SeriesKind::LogTemplate
            && cluster.service == *of
            && cut(&cluster.text, MAX_LOG_TEXT) == template_text(&lead.series);
        match said {
            true => text.push_str(&format!(", which is {percent} % of its error logs")),
            false => {
                let cluster = cut(&cluster.text, MAX_LOG_TEXT);
                text.push_str(&format!("; {percent} % of {whose} error logs are '{cluster}'"));
            }
        }
    }
    if telling.is_none() {
        // Clusters are of lines that are new or more frequent; the one with most records comes first.
        let more = story.logs.iter().find(|cluster| cluster.service == *of);
        let lead_says = |text: &str| lead.series.kind == SeriesKind::LogTemplate && text == template_text(&lead.series);
        if let Some((text_of, count)) = more.map(|cluster| (cut(&cluster.text, MAX_LOG_TEXT), cluster.count))
            && !lead_says(&text_of)
        {
            let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
            text.push_str(&format!("; it logs '{text_of}' more than before ({times})"));
        }
    }
    if let Some(cause) = story.cause.filter(|cause| cause.service != *of) {
        text.push_str(&format!("; it probably started in {}", story.name(&cause.service)));
    }
    let plural = if story.services == 1 { "" } else { "s" };
    text.push_str(&format!("; {} service{plural} affected.", story.services));
    text
}
