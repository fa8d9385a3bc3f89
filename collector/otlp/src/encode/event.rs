//! Each kind of event as a log record; the table of attributes stands in the module above.

use super::attributes::{About, List};
use crate::json::text::push_string;
use foreshock_engine::{
    event::{Anomaly, AnomalyChange, Event, Incident, IncidentChange, IncidentId, PredictionChange},
    time::UnixNanos,
    verdict::{Detector, DetectorHealth, Severity},
    window::Series,
};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, any_value::Value},
    logs::v1::LogRecord,
};

/// W3C trace flag: the trace is sampled, as incidents' traces always are.
const SAMPLED: u32 = 1;

/// The log record of an event and whose resource it carries.
pub(super) fn record(event: &Event) -> Option<(About<'_>, LogRecord)> {
    Some(match event {
        Event::Anomaly { change, time, anomaly, incident } => {
            let name = match change {
                AnomalyChange::Detected => "foreshock.anomaly.detected",
                AnomalyChange::Updated => "foreshock.anomaly.updated",
                AnomalyChange::Ended => "foreshock.anomaly.ended",
            };
            about_anomaly(name, *time, anomaly, *incident)
        }
        Event::Prediction { change, time, anomaly, incident } => {
            let name = match change {
                PredictionChange::Raised => "foreshock.prediction.raised",
                PredictionChange::Cleared => "foreshock.prediction.cleared",
            };
            about_anomaly(name, *time, anomaly, *incident)
        }
        Event::Incident { change, time, incident } => (None, about_incident(*change, *time, incident)),
        Event::Trace { .. } => return None,
        Event::DetectorHealth(health) => (None, about_health(health)),
    })
}

fn base(name: &str, time: UnixNanos, severity: Severity, sentence: &str, list: List) -> LogRecord {
    LogRecord {
        time_unix_nano: time.0,
        observed_time_unix_nano: time.0,
        severity_number: severity.number(),
        severity_text: severity.name().to_owned(),
        body: Some(AnyValue { value: Some(Value::StringValue(sentence.to_owned())) }),
        attributes: list.0,
        event_name: name.to_owned(),
        ..LogRecord::default()
    }
}

fn link(record: &mut LogRecord, trace_id: [u8; 16], span_id: [u8; 8]) {
    record.trace_id = trace_id.to_vec();
    record.span_id = span_id.to_vec();
    record.flags = SAMPLED;
}

fn about_anomaly<'a>(
    name: &str,
    time: UnixNanos,
    anomaly: &'a Anomaly,
    incident: Option<(IncidentId, [u8; 16], [u8; 8])>,
) -> (About<'a>, LogRecord) {
    let mut list = List::default();
    list.text("foreshock.anomaly.id", anomaly.id.to_string());
    list.text("foreshock.anomaly.kind", &*anomaly.kind);
    list.double("foreshock.anomaly.score", anomaly.score());
    list.double("foreshock.anomaly.surprise", anomaly.surprise);
    list.text("foreshock.anomaly.severity", anomaly.severity.name());
    list.double("foreshock.anomaly.observed", anomaly.observed);
    list.double("foreshock.anomaly.expected", anomaly.expected);
    list.double("foreshock.anomaly.lower", anomaly.lower);
    list.double("foreshock.anomaly.upper", anomaly.upper);
    list.time("foreshock.anomaly.start", anomaly.start);
    list.time("foreshock.anomaly.last", anomaly.last);
    list.time("foreshock.anomaly.end", anomaly.end);
    for (key, value) in &anomaly.evidence {
        list.text(&format!("foreshock.anomaly.evidence.{key}"), value);
    }
    list.text("foreshock.series.name", &*anomaly.series.name);
    list.text("foreshock.series.unit", &*anomaly.series.unit);
    list.text("foreshock.series.kind", kind(&anomaly.series));
    list.text("foreshock.series.attributes", object(&anomaly.series));
    if !anomaly.further_series.is_empty() {
        list.texts("foreshock.series.further", anomaly.further_series.iter().map(|series| &series.name));
    }
    detector(&mut list, &anomaly.detector);
    if let Some(forecast) = anomaly.forecast {
        list.double("foreshock.prediction.limit", forecast.limit);
        list.time("foreshock.prediction.reaches", forecast.reaches);
        list.time("foreshock.prediction.earliest", forecast.earliest);
        list.time("foreshock.prediction.latest", forecast.latest);
    }
    if let Some((id, _, _)) = incident {
        list.text("foreshock.incident.id", id.to_string());
    }
    let mut record = base(name, time, anomaly.severity, &anomaly.sentence, list);
    if let Some((_, trace_id, span_id)) = incident {
        link(&mut record, trace_id, span_id);
    }
    (Some((&anomaly.service, &anomaly.resource)), record)
}

fn detector(list: &mut List, detector: &Detector) {
    list.text("foreshock.detector.name", &*detector.name);
    list.text("foreshock.detector.version", &*detector.version);
    list.text("foreshock.detector.digest", &*detector.digest);
}

/// The series' attributes as a JSON object on one line.
fn object(series: &Series) -> String {
    let mut out = String::from("{");
    for (index, (key, value)) in series.attributes.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_string(&mut out, key);
        out.push(':');
        push_string(&mut out, value);
    }
    out.push('}');
    out
}

/// The kind as `wit/detector.wit` writes it.
fn kind(series: &Series) -> &'static str {
    use foreshock_engine::window::SeriesKind;
    match series.kind {
        SeriesKind::Gauge => "gauge",
        SeriesKind::Rate => "rate",
        SeriesKind::Quantile => "quantile",
        SeriesKind::SpanRate => "span-rate",
        SeriesKind::SpanErrors => "span-errors",
        SeriesKind::SpanDuration => "span-duration",
        SeriesKind::LogTemplate => "log-template",
        SeriesKind::LogSeverity => "log-severity",
    }
}

fn about_incident(change: IncidentChange, time: UnixNanos, incident: &Incident) -> LogRecord {
    let name = match change {
        IncidentChange::Opened => "foreshock.incident.opened",
        IncidentChange::Updated => "foreshock.incident.updated",
        IncidentChange::Acknowledged => "foreshock.incident.acknowledged",
        IncidentChange::Merged => "foreshock.incident.merged",
        IncidentChange::Reopened => "foreshock.incident.reopened",
        IncidentChange::Resolved => "foreshock.incident.resolved",
    };
    let mut list = List::default();
    list.text("foreshock.incident.id", incident.id.to_string());
    list.text("foreshock.incident.state", incident.state.name());
    list.text("foreshock.incident.severity", incident.severity.name());
    list.text("foreshock.incident.title", &incident.title);
    list.texts("foreshock.incident.services", &incident.services);
    if let Some(cause) = incident.root_causes.first() {
        list.text("foreshock.incident.root_cause.service", cause.service.to_string());
        list.text("foreshock.incident.root_cause.summary", &cause.summary);
        list.double("foreshock.incident.root_cause.score", cause.score);
        list.texts("foreshock.incident.root_cause.candidates", incident.root_causes.iter().map(|cause| &cause.service));
    }
    list.texts("foreshock.incident.blast_radius.services", &incident.blast_radius);
    list.int("foreshock.incident.anomaly_count", i64::try_from(incident.anomaly_count).unwrap_or(i64::MAX));
    list.texts("foreshock.incident.anomaly_ids", incident.anomalies.iter().map(|anomaly| anomaly.id));
    list.time("foreshock.incident.start", incident.start);
    list.time("foreshock.incident.opened", incident.opened);
    list.time("foreshock.incident.acknowledged", incident.acknowledged);
    list.time("foreshock.incident.closed", incident.closed);
    if incident.reopened > 0 {
        list.int("foreshock.incident.reopened", i64::from(incident.reopened));
    }
    if !incident.grouping.is_empty() {
        list.texts("foreshock.incident.grouping", &incident.grouping);
    }
    if let Some((service, from, to, when)) = &incident.version_change {
        list.text("foreshock.incident.version_change.service", service.to_string());
        list.text("foreshock.incident.version_change.from", &**from);
        list.text("foreshock.incident.version_change.to", &**to);
        list.time("foreshock.incident.version_change.time", *when);
    }
    if !incident.logs.is_empty() {
        list.texts(
            "foreshock.incident.logs",
            incident.logs.iter().map(|cluster| {
                let percent = (cluster.share * 100.0).round();
                format!("{}: {} ({} records, {percent} %)", cluster.service, cluster.text, cluster.count)
            }),
        );
    }
    if let Some(other) = incident.merged_into {
        list.text("foreshock.incident.merged_into", other.to_string());
    }
    if let Some((trace_id, _)) = incident.previous_trace {
        let digits = format!("{:032x}", u128::from_be_bytes(trace_id));
        list.text("foreshock.incident.previous_trace_id", digits);
    }
    let mut record = base(name, time, incident.severity, &incident.sentence, list);
    link(&mut record, incident.trace_id, incident.root_span_id);
    record
}

fn about_health(health: &DetectorHealth) -> LogRecord {
    let mut list = List::default();
    detector(&mut list, &health.detector);
    list.text("foreshock.detector.service", health.service.to_string());
    let severity = match health.reason {
        Some(reason) => {
            list.text("foreshock.detector.state", "failed");
            list.text("foreshock.detector.fault", reason.name());
            Severity::Warning
        }
        None => {
            list.text("foreshock.detector.state", "healthy");
            Severity::Info
        }
    };
    base("foreshock.detector.health", health.time, severity, &health.message, list)
}
