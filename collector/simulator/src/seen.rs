//! What is seen of a request: spans and log records, waiting for the moment at which their service sends them.

use crate::{
    instance::{NANOS, Record},
    lines::{Words, fill},
    model::ServiceId,
    trouble::Trouble,
    walk::{Visit, World},
};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::LogRecord,
    resource::v1::Resource,
    trace::v1::{Span, Status, span::SpanKind, status::StatusCode},
};
use std::sync::Arc;

/// Trace flags: sampled (W3C trace context).
const SAMPLED: u32 = 1;
/// Span flags: whether the parent is remote is known, and it is (OTLP `SpanFlags`).
const REMOTE_KNOWN: u32 = 0x100;
const REMOTE: u32 = 0x200;

/// Something that becomes visible at a point of time.
#[derive(Debug)]
pub(crate) struct Emitted<T> {
    pub(crate) at: u64,
    pub(crate) resource: Arc<Resource>,
    pub(crate) item: T,
}

/// What a service has yet to send.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) spans: Vec<Emitted<Span>>,
    pub(crate) logs: Vec<Emitted<LogRecord>>,
    /// Time, slot, serial number of the instance, and what it counts.
    pub(crate) records: Vec<(u64, usize, u64, Record)>,
}

/// A span as its operation knows it.
pub(crate) struct Seen {
    pub(crate) id: [u8; 8],
    pub(crate) parent: [u8; 8],
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// `None` if all went well; else the description of its status, empty where an HTTP status says it.
    pub(crate) error: Option<String>,
    pub(crate) attributes: Vec<KeyValue>,
}

/// A line that a service logs.
#[derive(Clone, Copy)]
pub(crate) struct LogLine<'a> {
    pub(crate) at: u64,
    /// OTLP severity number.
    pub(crate) severity: i32,
    pub(crate) template: &'a str,
    pub(crate) words: &'a Words<'a>,
    /// What was thrown, if something was.
    pub(crate) trouble: Option<Trouble>,
}

impl World {
    pub(crate) fn record(&mut self, visit: &Visit, at: u64, record: Record) {
        let serial = self.slots[visit.service][visit.slot].serial;
        self.outboxes[visit.service].records.push((at, visit.slot, serial, record));
    }

    /// Logs within a request.
    pub(crate) fn log(&mut self, visit: &Visit, at: u64, severity: i32, template: &str, words: &Words<'_>) {
        self.log_line(visit.service, visit.slot, LogLine { at, severity, template, words, trouble: None }, Some(visit));
    }

    /// Logs the error that ends a request.
    pub(crate) fn log_error(&mut self, visit: &Visit, at: u64, template: &str, words: &Words<'_>, trouble: Trouble) {
        let line = LogLine { at, severity: 17, template, words, trouble: Some(trouble) };
        self.log_line(visit.service, visit.slot, line, Some(visit));
    }

    /// Logs; within `visit`, or outside of any request.
    pub(crate) fn log_line(&mut self, service: ServiceId, slot: usize, line: LogLine<'_>, visit: Option<&Visit>) {
        let body = fill(line.template, line.words, &mut self.dice);
        let attributes = line.trouble.map_or_else(Vec::new, |trouble| trouble.attributes(service, &body));
        let item = LogRecord {
            time_unix_nano: line.at,
            observed_time_unix_nano: line.at + millis(1.0),
            severity_number: line.severity,
            severity_text: match line.severity {
                17 => "ERROR",
                13 => "WARN",
                _ => "INFO",
            }
            .to_owned(),
            body: Some(AnyValue { value: Some(Value::StringValue(body)) }),
            attributes,
            flags: visit.map_or(0, |visit| u32::from(visit.context.sampled) * SAMPLED),
            trace_id: visit.map(|visit| visit.context.trace.to_vec()).unwrap_or_default(),
            span_id: visit.map(|visit| visit.span.to_vec()).unwrap_or_default(),
            ..LogRecord::default()
        };
        let resource = Arc::clone(&self.slots[service][slot].resource);
        self.outboxes[service].logs.push(Emitted { at: line.at, resource, item });
    }

    /// Keeps a span, if its trace is sampled.
    pub(crate) fn span(&mut self, visit: &Visit, seen: Seen) {
        if !visit.context.sampled {
            return;
        }
        let has_parent = seen.parent != [0; 8];
        let is_entry = matches!(seen.kind, SpanKind::Server | SpanKind::Consumer);
        let item = Span {
            trace_id: visit.context.trace.to_vec(),
            span_id: seen.id.to_vec(),
            parent_span_id: if has_parent { seen.parent.to_vec() } else { Vec::new() },
            flags: SAMPLED | REMOTE_KNOWN | if is_entry && has_parent { REMOTE } else { 0 },
            name: seen.name,
            kind: seen.kind.into(),
            start_time_unix_nano: seen.start,
            end_time_unix_nano: seen.end,
            attributes: seen.attributes,
            status: seen.error.map(|message| Status { message, code: StatusCode::Error.into() }),
            ..Span::default()
        };
        let resource = Arc::clone(&self.slots[visit.service][visit.slot].resource);
        self.outboxes[visit.service].spans.push(Emitted { at: seen.end, resource, item });
    }
}

/// Nanoseconds in so many milliseconds.
pub(crate) fn millis(ms: f64) -> u64 {
    (ms * 1e6) as u64
}

/// Seconds in so many nanoseconds.
pub(crate) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / NANOS as f64
}
