//! The steps of a request beyond its service: calls, queries, topics, the far side of the world, and the disk.

use crate::{
    instance::{NANOS, Record, text, whole},
    lines::Words,
    model::{Entry, OperationId},
    seen::{Seen, millis, seconds},
    services::{self, SERVICES},
    trouble::Trouble,
    walk::{Context, Failure, Visit, World},
};
use opentelemetry_proto::tonic::{common::v1::KeyValue, trace::v1::span::SpanKind};
use std::collections::VecDeque;

/// How long checkout 1.8.0 keeps a connection that it lost.
const LOST_CONNECTION_SECONDS: u64 = 40;

/// Consumers of each topic that work side by side.
const WORKERS: usize = 4;

/// Where services listen.
const PORT: i64 = 8080;

/// A topic with its consumers.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    free_at: [u64; WORKERS],
    starts: VecDeque<u64>,
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

/// A call to another service.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) to: OperationId,
    pub(crate) timeout_ms: f64,
    pub(crate) retries: u32,
    /// Whether the caller can do without.
    pub(crate) optional: bool,
}

/// A request to somebody who sends no telemetry.
#[derive(Clone, Copy)]
pub(crate) struct External {
    pub(crate) peer: &'static str,
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) ms: f64,
    pub(crate) timeout_ms: f64,
    pub(crate) retries: u32,
}

/// A route with its parameters filled in, as `url.path` has it.
pub(crate) fn path(route: &str, id: [u8; 8]) -> String {
    let Some((before, rest)) = route.split_once('{') else { return route.to_owned() };
    let after = rest.split_once('}').map_or("", |(_, after)| after);
    format!("{before}{}{after}", u16::from_be_bytes([id[0], id[1]]))
}

/// The status and the error of an answer, as attributes of the client's span.
fn push_answer(attributes: &mut Vec<KeyValue>, status: u16, trouble: Option<Trouble>) {
    if status > 0 {
        attributes.push(whole("http.response.status_code", i64::from(status)));
    }
    if let Some(trouble) = trouble {
        attributes.push(text("error.type", &trouble.seen_by_client()));
    }
}

/// Description of a client's status: what the status code does not say.
fn description(trouble: Option<Trouble>) -> Option<String> {
    trouble.map(|trouble| match trouble {
        Trouble::Answered(_) => String::new(),
        other => other.seen_by_client(),
    })
}

impl World {
    pub(crate) fn call(&mut self, visit: &Visit, mut now: u64, call: Call) -> Result<u64, Failure> {
        let Call { to, timeout_ms, retries, optional } = call;
        let peer = SERVICES[to.0].name;
        for attempt in 0..=retries {
            let span = self.dice.bytes();
            let there = millis(self.dice.between(0.15, 0.5));
            let outcome = self.serve(to, now + there, Context { parent: span, ..visit.context });
            let back = outcome.end + millis(self.dice.between(0.15, 0.5));
            let limit = now + millis(timeout_ms);
            let (end, trouble, status) = if back > limit {
                (limit, Some(Trouble::Timeout), 0)
            } else {
                let answered = |trouble| if outcome.status == 0 { trouble } else { Trouble::Answered(outcome.status) };
                (back, outcome.trouble.map(answered), outcome.status)
            };
            let Entry::Http { method, route } = SERVICES[to.0].operations[to.1].entry else {
                return Ok(now);
            };
            let mut attributes = vec![
                text("http.request.method", method),
                text("url.full", &format!("http://{peer}:{PORT}{}", path(route, span))),
                text("url.template", route),
                text("server.address", peer),
                whole("server.port", PORT),
                text("network.protocol.version", "1.1"),
            ];
            push_answer(&mut attributes, status, trouble);
            let seen = Seen {
                id: span,
                parent: visit.span,
                name: format!("{method} {route}"),
                kind: SpanKind::Client,
                start: now,
                end,
                error: description(trouble),
                attributes,
            };
            self.span(visit, seen);
            now = end;
            let Some(trouble) = trouble else { return Ok(now) };
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
            let line = match trouble {
                Trouble::Timeout => "no answer from {peer} {route} within {ms} ms",
                Trouble::Refused => "connection to {peer} refused",
                _ => "{peer} {route} answered with an error",
            };
            self.log_error(visit, now, line, &words, trouble);
            return Err(Failure { at: now, trouble });
        }
        Ok(now)
    }

    pub(crate) fn query(
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
            let line = "connection pool timeout after {ms} ms: no free connection to {peer}";
            self.log_error(visit, at, line, &words, Trouble::PoolTimeout);
            return Err(Failure { at, trouble: Trouble::PoolTimeout });
        }
        let start = now + wait;
        let end = start + millis(took_ms);
        connections[connection] = end + kept_for;
        // Taking a free connection costs a few microseconds, too.
        let taking = self.dice.skewed(4e-6, 0.3);
        self.record(visit, start, Record::PoolWait { seconds: seconds(wait) + taking });
        self.record(visit, end, Record::Query { verb, table, seconds: took_ms / 1_000.0 });
        if took_ms > 200.0 && self.dice.chance(0.5) {
            let words = Words { ms: Some(took_ms), peer: pool.database, route: table, ..Words::default() };
            self.log(visit, end, 13, "slow query on {peer}: {route} took {ms} ms", &words);
        }
        let mut attributes = pool.attributes(verb, table);
        attributes.extend([
            text("db.query.text", &pool.statement(verb, table)),
            text("server.address", pool.database),
            whole("server.port", pool.port()),
        ]);
        let seen = Seen {
            id: self.dice.bytes(),
            parent: visit.span,
            name: format!("{verb} {table}"),
            kind: SpanKind::Client,
            start,
            end,
            error: None,
            attributes,
        };
        self.span(visit, seen);
        Ok(end)
    }

    pub(crate) fn external(&mut self, visit: &Visit, mut now: u64, external: External) -> Result<u64, Failure> {
        let External { peer, method, path, ms, timeout_ms, retries } = external;
        let bank = peer == "bank-gateway";
        let (failures, slower) =
            if bank { (self.effects.bank_failures, self.effects.bank_duration) } else { (0.0, 1.0) };
        let mut trouble = Trouble::Timeout;
        for attempt in 1..=retries + 1 {
            let mut took_ms = self.dice.skewed(ms * slower, 0.25);
            let mut status = 201;
            if self.dice.chance(failures + 0.001) {
                status = 503;
                took_ms = if self.dice.chance(failures / 2.0) { timeout_ms * 2.0 } else { took_ms };
            }
            let met = match status {
                _ if took_ms > timeout_ms => Some(Trouble::Timeout),
                500.. => Some(Trouble::Answered(status)),
                _ => None,
            };
            let status = if met == Some(Trouble::Timeout) { 0 } else { status };
            let end = now + millis(took_ms.min(timeout_ms));
            let seconds = took_ms.min(timeout_ms) / 1_000.0;
            self.record(visit, end, Record::External { peer, status, trouble: met, seconds });
            let mut attributes = vec![
                text("http.request.method", method),
                text("url.full", &format!("https://{peer}{path}")),
                text("server.address", peer),
                whole("server.port", 443),
                text("network.protocol.version", "1.1"),
            ];
            push_answer(&mut attributes, status, met);
            let seen = Seen {
                id: self.dice.bytes(),
                parent: visit.span,
                name: method.to_owned(),
                kind: SpanKind::Client,
                start: now,
                end,
                error: description(met),
                attributes,
            };
            self.span(visit, seen);
            now = end;
            let Some(met) = met else { return Ok(now) };
            trouble = met;
            let words = Words { ms: Some(timeout_ms), peer, attempt, ..Words::default() };
            let reason = match met {
                Trouble::Timeout => "no answer from {peer} within {ms} ms, attempt {attempt}",
                _ => "{peer} answered 503 Service Unavailable, attempt {attempt}",
            };
            self.log(visit, now, 13, reason, &words);
            if attempt > retries {
                self.log_error(visit, now, "gave up on {peer} after {attempt} attempts", &words, met);
                break;
            }
            now += millis(self.dice.between(50.0, 150.0) * f64::from(attempt));
        }
        // To its own callers it is a bad gateway, whatever the bank did.
        let trouble = if trouble == Trouble::Timeout { Trouble::Answered(504) } else { trouble };
        Err(Failure { at: now, trouble })
    }

    pub(crate) fn publish(&mut self, visit: &Visit, now: u64, topic: &'static str, to: OperationId) -> u64 {
        let span = self.dice.bytes();
        let end = now + millis(self.dice.skewed(1.8, 0.3));
        self.record(visit, end, Record::Sent { topic });
        let attributes = vec![
            text("messaging.system", "kafka"),
            text("messaging.operation.name", "send"),
            text("messaging.operation.type", "send"),
            text("messaging.destination.name", topic),
            text("server.address", "kafka"),
            whole("server.port", 9092),
        ];
        let seen = Seen {
            id: span,
            parent: visit.span,
            name: format!("send {topic}"),
            kind: SpanKind::Producer,
            start: now,
            end,
            error: None,
            attributes,
        };
        self.span(visit, seen);
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
            if outcome.trouble.is_none() {
                break;
            }
            done += millis(800.0);
        }
        self.queues[to.0].free_at[worker] = done;
        end
    }

    pub(crate) fn write(&mut self, visit: &Visit, now: u64, ms: f64) -> Result<u64, Failure> {
        let full = self.slots[visit.service][visit.slot].disk_share;
        let crowded = ((full - 0.9) / 0.1).clamp(0.0, 1.0);
        let end = now + millis(self.dice.skewed(ms * (1.0 + 20.0 * crowded * crowded), 0.3));
        if full >= 0.998 {
            let line = "write to /var/lib/shipping failed: No space left on device";
            self.log_error(visit, end, line, &Words::default(), Trouble::DiskFull);
            return Err(Failure { at: end, trouble: Trouble::DiskFull });
        }
        if full > 0.95 && self.dice.chance(0.05) {
            self.log(visit, end, 13, "flushing the journal took {ms} ms", &Words::default());
        }
        Ok(end)
    }
}
