//! One request on its way through the shop: who answers, what that takes, what goes wrong, and what is seen of it.

use crate::{
    instance::{Instance, NANOS, Record, text, whole},
    lines::{Words, fill},
    model::{Entry, Operation, OperationId, ServiceId, Step},
    noise::Dice,
    scenario::Effects,
    services::{self, SERVICES},
};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::LogRecord,
    resource::v1::Resource,
    trace::v1::{Span, Status, span::SpanKind, status::StatusCode},
};
use std::{collections::VecDeque, sync::Arc};

/// Share of traces that are sampled; the decision is made at the root and holds for the whole trace.
const SAMPLED: f64 = 0.3;

/// How long checkout 1.8.0 keeps a connection that it lost.
const LOST_CONNECTION_SECONDS: u64 = 40;

/// Consumers of each topic that work side by side.
const WORKERS: usize = 4;

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

/// A topic with its consumers.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    free_at: [u64; WORKERS],
    starts: VecDeque<u64>,
}

/// All that changes while the shop runs.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) effects: Effects,
    pub(crate) slots: Vec<Vec<Instance>>,
    pub(crate) outboxes: Vec<Outbox>,
    /// One per service; only consumers use theirs.
    pub(crate) queues: Vec<Queue>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) end: u64,
    error: Option<&'static str>,
    status: u16,
}

/// The trace that a request belongs to, and the span it was sent from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    trace: [u8; 16],
    sampled: bool,
    parent: [u8; 8],
}

/// Where a request is being answered.
struct Visit {
    service: ServiceId,
    slot: usize,
    context: Context,
    span: [u8; 8],
    operation: &'static Operation,
}

/// Why a request can't be answered.
struct Failure {
    at: u64,
    error: &'static str,
    status: u16,
}

impl Queue {
    /// Messages that nobody has taken yet.
    pub(crate) fn depth(&mut self, now: u64) -> usize {
        while self.starts.front().is_some_and(|start| *start <= now) {
            self.starts.pop_front();
        }
        self.starts.len()
    }
}

impl World {
    /// A new trace.
    pub(crate) fn root(&mut self) -> Context {
        Context { trace: self.dice.bytes(), sampled: self.dice.chance(SAMPLED), parent: [0; 8] }
    }

    /// Answers a request that arrives at `arrive`.
    pub(crate) fn serve(&mut self, to: OperationId, arrive: u64, context: Context) -> Outcome {
        let slot = self.dice.below(self.slots[to.0].len());
        self.serve_at(to, slot, arrive, context)
    }

    fn serve_at(&mut self, (service, index): OperationId, slot: usize, arrive: u64, context: Context) -> Outcome {
        let operation = &SERVICES[service].operations[index];
        if self.slots[service][slot].down_until > arrive {
            return Outcome { end: arrive + millis(1.0), error: Some("connection_refused"), status: 0 };
        }
        let visit = Visit { service, slot, context, span: self.dice.bytes(), operation };
        let result = self.work(&visit, arrive);
        let (end, error, status) = match &result {
            Ok(end) => {
                (*end, None, if matches!(operation.entry, Entry::Http { method: "POST", .. }) { 201 } else { 200 })
            }
            Err(failure) => (failure.at, Some(failure.error), failure.status),
        };
        let seconds = (end - arrive) as f64 / NANOS as f64;
        if error.is_none() && self.dice.chance(operation.line.0) {
            let words = Words { ms: Some(seconds * 1_000.0), ..Words::default() };
            self.log(&visit, end, 9, operation.line.1, &words);
        }
        let (kind, mut attributes) = match operation.entry {
            Entry::Http { method, route } => {
                self.record(&visit, end, Record::Server { operation: index, status, seconds });
                let attributes = vec![
                    text("http.request.method", method),
                    text("http.route", route),
                    text("url.scheme", "http"),
                    whole("http.response.status_code", i64::from(status)),
                ];
                (SpanKind::Server, attributes)
            }
            Entry::Consume { topic } => {
                self.record(&visit, end, Record::Consumed { operation: index, failed: error.is_some(), seconds });
                let attributes = vec![
                    text("messaging.system", "kafka"),
                    text("messaging.operation.type", "process"),
                    text("messaging.destination.name", topic),
                    text("messaging.consumer.group.name", SERVICES[service].name),
                ];
                (SpanKind::Consumer, attributes)
            }
            Entry::Job { .. } => (SpanKind::Internal, Vec::new()),
        };
        if let Some(error) = error {
            attributes.push(text("error.type", error));
        }
        self.span(&visit, visit.span, context.parent, operation.span_name(), kind, (arrive, end), error, attributes);
        Outcome { end, error, status }
    }

    /// The service's own work and its calls, in turn.
    fn work(&mut self, visit: &Visit, arrive: u64) -> Result<u64, Failure> {
        let operation = visit.operation;
        let spent = operation.cpu_ms * self.dice.between(0.7, 1.3);
        let instance = &mut self.slots[visit.service][visit.slot];
        let rejected = self.dice.chance((instance.utilization - 0.93) * 3.0);
        // Turning a request away costs little; that keeps an overloaded service alive.
        instance.cpu_used_ms += if rejected { 0.1 * spent } else { spent };
        let pressure = instance.heap_pressure(visit.service);
        let own_ms = operation.own_ms * instance.slowness(visit.service);
        let part = own_ms / (operation.steps.len() + 1) as f64;
        let mut now = arrive + millis(self.dice.skewed(part, 0.3));
        if rejected {
            self.log(visit, now, 17, "worker queue is full, request to {route} rejected", &self.words(visit));
            return Err(Failure { at: now, error: "overloaded", status: 503 });
        }
        if self.dice.chance(pressure * 0.15) {
            let pause = self.dice.skewed(500.0 * pressure, 0.4);
            now += millis(pause);
            if self.dice.chance(0.4) {
                self.log(
                    visit,
                    now,
                    13,
                    "GC pause of {ms} ms, heap almost full",
                    &Words { ms: Some(pause), ..Words::default() },
                );
            }
        }
        if self.dice.chance(operation.failures) {
            self.log(
                visit,
                now,
                17,
                "request to {route} failed: state of {order} changed meanwhile",
                &self.words(visit),
            );
            return Err(Failure { at: now, error: "conflict", status: 500 });
        }
        for step in operation.steps {
            now = match *step {
                Step::Call { share, .. } if share < 1.0 && !self.dice.chance(share) => now,
                Step::Call { to, timeout_ms, retries, optional, .. } => {
                    self.call(visit, now, to, timeout_ms, retries, optional)?
                }
                Step::Query { verb, table, ms } => self.query(visit, now, verb, table, ms)?,
                Step::External { peer, method, path, ms, timeout_ms, retries } => {
                    self.external(visit, now, (peer, method, path), ms, timeout_ms, retries)?
                }
                Step::Publish { topic, to } => self.publish(visit, now, topic, to),
                Step::Write { ms } => self.write(visit, now, ms)?,
            };
            now += millis(self.dice.skewed(part, 0.3));
        }
        Ok(now)
    }

    fn words(&self, visit: &Visit) -> Words<'static> {
        let route = match visit.operation.entry {
            Entry::Http { route, .. } => route,
            Entry::Consume { topic } => topic,
            Entry::Job { name } => name,
        };
        Words { route, ..Words::default() }
    }

    fn call(
        &mut self,
        visit: &Visit,
        mut now: u64,
        to: OperationId,
        timeout_ms: f64,
        retries: u32,
        optional: bool,
    ) -> Result<u64, Failure> {
        let peer = SERVICES[to.0].name;
        for attempt in 0..=retries {
            let span = self.dice.bytes();
            let there = millis(self.dice.between(0.15, 0.5));
            let outcome = self.serve(to, now + there, Context { parent: span, ..visit.context });
            let back = outcome.end + millis(self.dice.between(0.15, 0.5));
            let limit = now + millis(timeout_ms);
            let (end, error, status) = if back > limit {
                (limit, Some("timeout"), 0)
            } else {
                (
                    back,
                    outcome.error.map(|error| if outcome.status == 0 { error } else { "server_error" }),
                    outcome.status,
                )
            };
            let Entry::Http { method, route } = SERVICES[to.0].operations[to.1].entry else {
                return Ok(now);
            };
            let mut attributes = vec![
                text("http.request.method", method),
                text("url.template", route),
                text("server.address", peer),
                whole("server.port", 8080),
            ];
            if status > 0 {
                attributes.push(whole("http.response.status_code", i64::from(status)));
            }
            if let Some(error) = error {
                attributes.push(text("error.type", error));
            }
            let name = format!("{method} {route}");
            self.span(visit, span, visit.span, name, SpanKind::Client, (now, end), error, attributes);
            now = end;
            let Some(error) = error else { return Ok(now) };
            let words = Words { ms: Some(timeout_ms), peer, route, attempt: attempt + 1 };
            if attempt < retries {
                self.log(visit, now, 13, "call to {peer} {route} failed, attempt {attempt}, trying again", &words);
                now += millis(self.dice.between(20.0, 60.0));
                continue;
            }
            if optional {
                if self.dice.chance(0.3) {
                    self.log(visit, now, 13, "{peer} is not available, the page goes without it", &words);
                }
                return Ok(now);
            }
            let (line, status) = match error {
                "timeout" => ("no answer from {peer} {route} within {ms} ms", 504),
                "connection_refused" => ("connection to {peer} refused", 503),
                _ => ("{peer} {route} answered with an error", 502),
            };
            self.log(visit, now, 17, line, &words);
            return Err(Failure { at: now, error: "dependency_failed", status });
        }
        Ok(now)
    }

    fn query(
        &mut self,
        visit: &Visit,
        mut now: u64,
        verb: &'static str,
        table: &'static str,
        ms: f64,
    ) -> Result<u64, Failure> {
        let drifting = visit.service == services::CHECKOUT && self.slots[visit.service][visit.slot].version == "1.8.0";
        if drifting && verb == "INSERT" {
            for _ in 0..self.effects.checkout_queries.round() as u32 {
                now = self.one_query(visit, now, "SELECT", "order_lines", 9.0, 0)?;
            }
        }
        let lost = drifting && self.dice.chance(self.effects.checkout_lost_connections);
        let kept_for = if lost { LOST_CONNECTION_SECONDS * NANOS } else { 0 };
        let end = self.one_query(visit, now, verb, table, ms, kept_for)?;
        if lost {
            let line = "connection leak detection triggered: a connection is out since 30000 ms";
            self.log(visit, end + 30 * NANOS, 13, line, &Words::default());
        }
        Ok(end)
    }

    fn one_query(
        &mut self,
        visit: &Visit,
        now: u64,
        verb: &'static str,
        table: &'static str,
        ms: f64,
        kept_for: u64,
    ) -> Result<u64, Failure> {
        let Some(pool) = &SERVICES[visit.service].pool else {
            return Ok(now);
        };
        let slower = if visit.service == services::INVENTORY { self.effects.inventory_database } else { 1.0 };
        let took_ms = self.dice.skewed(ms * slower, 0.35);
        let connections = &mut self.slots[visit.service][visit.slot].connections;
        let Some((connection, free_at)) = connections.iter().copied().enumerate().min_by_key(|(_, free_at)| *free_at)
        else {
            return Ok(now);
        };
        let wait = free_at.saturating_sub(now);
        if wait > millis(pool.patience_ms) {
            let at = now + millis(pool.patience_ms);
            self.record(visit, at, Record::PoolTimeout);
            let words =
                Words { ms: Some(pool.patience_ms + self.dice.unit() * 6.0), peer: pool.database, ..Words::default() };
            self.log(visit, at, 17, "connection pool timeout after {ms} ms: no free connection to {peer}", &words);
            return Err(Failure { at, error: "pool_timeout", status: 500 });
        }
        let start = now + wait;
        let end = start + millis(took_ms);
        connections[connection] = end + kept_for;
        // Taking a free connection costs a few microseconds, too.
        let taking = self.dice.skewed(4e-6, 0.3);
        self.record(visit, start, Record::PoolWait { seconds: wait as f64 / NANOS as f64 + taking });
        self.record(visit, end, Record::Query { verb, table, seconds: took_ms / 1_000.0 });
        if took_ms > 200.0 && self.dice.chance(0.5) {
            let words = Words { ms: Some(took_ms), peer: pool.database, route: table, ..Words::default() };
            self.log(visit, end, 13, "slow query on {peer}: {route} took {ms} ms", &words);
        }
        let attributes = vec![
            text("db.system.name", pool.system),
            text("db.namespace", pool.database),
            text("db.operation.name", verb),
            text("db.collection.name", table),
            text("server.address", pool.database),
        ];
        let span = self.dice.bytes();
        self.span(visit, span, visit.span, format!("{verb} {table}"), SpanKind::Client, (start, end), None, attributes);
        Ok(end)
    }

    fn external(
        &mut self,
        visit: &Visit,
        mut now: u64,
        (peer, method, path): (&'static str, &'static str, &'static str),
        ms: f64,
        timeout_ms: f64,
        retries: u32,
    ) -> Result<u64, Failure> {
        let bank = peer == "bank-gateway";
        let (failures, slower) =
            if bank { (self.effects.bank_failures, self.effects.bank_duration) } else { (0.0, 1.0) };
        for attempt in 1..=retries + 1 {
            let mut took_ms = self.dice.skewed(ms * slower, 0.25);
            let mut status = 201;
            if self.dice.chance(failures + 0.001) {
                status = 503;
                took_ms = if self.dice.chance(failures / 2.0) { timeout_ms * 2.0 } else { took_ms };
            }
            let error = if took_ms > timeout_ms {
                Some("timeout")
            } else if status >= 500 {
                Some("503")
            } else {
                None
            };
            let status = if error == Some("timeout") { 0 } else { status };
            let end = now + millis(took_ms.min(timeout_ms));
            let seconds = took_ms.min(timeout_ms) / 1_000.0;
            self.record(visit, end, Record::External { peer, status, error, seconds });
            let mut attributes = vec![
                text("http.request.method", method),
                text("url.full", &format!("https://{peer}{path}")),
                text("server.address", peer),
                whole("server.port", 443),
            ];
            if status > 0 {
                attributes.push(whole("http.response.status_code", i64::from(status)));
            }
            if let Some(error) = error {
                attributes.push(text("error.type", error));
            }
            let span = self.dice.bytes();
            self.span(visit, span, visit.span, method.to_owned(), SpanKind::Client, (now, end), error, attributes);
            now = end;
            let Some(error) = error else { return Ok(now) };
            let words = Words { ms: Some(timeout_ms), peer, attempt, ..Words::default() };
            let reason = match error {
                "timeout" => "no answer from {peer} within {ms} ms, attempt {attempt}",
                _ => "{peer} answered 503 Service Unavailable, attempt {attempt}",
            };
            self.log(visit, now, 13, reason, &words);
            if attempt > retries {
                self.log(visit, now, 17, "gave up on {peer} after {attempt} attempts", &words);
                break;
            }
            now += millis(self.dice.between(50.0, 150.0) * f64::from(attempt));
        }
        Err(Failure { at: now, error: "dependency_failed", status: 502 })
    }

    fn publish(&mut self, visit: &Visit, now: u64, topic: &'static str, to: OperationId) -> u64 {
        let span = self.dice.bytes();
        let end = now + millis(self.dice.skewed(1.8, 0.3));
        self.record(visit, end, Record::Sent { topic });
        let attributes = vec![
            text("messaging.system", "kafka"),
            text("messaging.operation.type", "send"),
            text("messaging.destination.name", topic),
        ];
        self.span(visit, span, visit.span, format!("send {topic}"), SpanKind::Producer, (now, end), None, attributes);
        let queue = &self.queues[to.0];
        let (worker, free_at) =
            queue.free_at.iter().copied().enumerate().min_by_key(|(_, free_at)| *free_at).unwrap_or((0, now));
        let start = free_at.max(end + millis(self.dice.between(1.0, 4.0)));
        self.queues[to.0].starts.push_back(start);
        // A message that can't be handled comes back twice.
        let mut done = start;
        for _ in 0..3 {
            let slot = worker % self.slots[to.0].len();
            let outcome = self.serve_at(to, slot, done, Context { parent: span, ..visit.context });
            done = outcome.end;
            if outcome.error.is_none() {
                break;
            }
            done += millis(800.0);
        }
        self.queues[to.0].free_at[worker] = done;
        end
    }

    fn write(&mut self, visit: &Visit, now: u64, ms: f64) -> Result<u64, Failure> {
        let full = self.slots[visit.service][visit.slot].disk_share;
        let crowded = ((full - 0.9) / 0.1).clamp(0.0, 1.0);
        let end = now + millis(self.dice.skewed(ms * (1.0 + 20.0 * crowded * crowded), 0.3));
        if full >= 0.998 {
            self.log(visit, end, 17, "write to /var/lib/shipping failed: No space left on device", &Words::default());
            return Err(Failure { at: end, error: "io_error", status: 500 });
        }
        if full > 0.95 && self.dice.chance(0.05) {
            self.log(visit, end, 13, "flushing the journal took {ms} ms", &Words::default());
        }
        Ok(end)
    }

    fn record(&mut self, visit: &Visit, at: u64, record: Record) {
        let serial = self.slots[visit.service][visit.slot].serial;
        self.outboxes[visit.service].records.push((at, visit.slot, serial, record));
    }

    fn log(&mut self, visit: &Visit, at: u64, severity: i32, template: &str, words: &Words<'_>) {
        let ids = Some((visit.context.trace, visit.span));
        self.log_line(visit.service, visit.slot, at, severity, template, words, ids);
    }

    /// A log record; `ids` are those of its trace and span.
    #[expect(clippy::too_many_arguments, reason = "each is one field of the record")]
    pub(crate) fn log_line(
        &mut self,
        service: ServiceId,
        slot: usize,
        at: u64,
        severity: i32,
        template: &str,
        words: &Words<'_>,
        ids: Option<([u8; 16], [u8; 8])>,
    ) {
        let body = fill(template, words, &mut self.dice);
        let item = LogRecord {
            time_unix_nano: at,
            observed_time_unix_nano: at + millis(1.0),
            severity_number: severity,
            severity_text: match severity {
                17 => "ERROR",
                13 => "WARN",
                _ => "INFO",
            }
            .to_owned(),
            body: Some(AnyValue { value: Some(Value::StringValue(body)) }),
            trace_id: ids.map(|ids| ids.0.to_vec()).unwrap_or_default(),
            span_id: ids.map(|ids| ids.1.to_vec()).unwrap_or_default(),
            ..LogRecord::default()
        };
        let resource = Arc::clone(&self.slots[service][slot].resource);
        self.outboxes[service].logs.push(Emitted { at, resource, item });
    }

    #[expect(clippy::too_many_arguments, reason = "each is one field of the span")]
    fn span(
        &mut self,
        visit: &Visit,
        id: [u8; 8],
        parent: [u8; 8],
        name: String,
        kind: SpanKind,
        (start, end): (u64, u64),
        error: Option<&'static str>,
        attributes: Vec<KeyValue>,
    ) {
        if !visit.context.sampled {
            return;
        }
        let item = Span {
            trace_id: visit.context.trace.to_vec(),
            span_id: id.to_vec(),
            parent_span_id: if parent == [0; 8] { Vec::new() } else { parent.to_vec() },
            // Sampled, and the parent, where there is one, is remote for entries only (OTLP SpanFlags).
            flags: 0x101
                | if matches!(kind, SpanKind::Server | SpanKind::Consumer) && parent != [0; 8] { 0x200 } else { 0 },
            name,
            kind: kind.into(),
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes,
            status: error.map(|error| Status { message: error.to_owned(), code: StatusCode::Error.into() }),
            ..Span::default()
        };
        let resource = Arc::clone(&self.slots[visit.service][visit.slot].resource);
        self.outboxes[visit.service].spans.push(Emitted { at: end, resource, item });
    }
}

/// Nanoseconds in so many milliseconds.
pub(crate) fn millis(ms: f64) -> u64 {
    (ms * 1e6) as u64
}
