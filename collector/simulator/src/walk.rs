//! One request on its way through the shop: who answers, what that takes, what goes wrong, and what is seen of it.

use crate::{
    calls::{Call, External, Queue, path},
    instance::{Instance, Record, text, whole},
    lines::Words,
    model::{Entry, Operation, OperationId, ServiceId, Step},
    noise::Dice,
    scenario::Effects,
    seen::{Outbox, Seen, millis, seconds},
    services::SERVICES,
    trouble::Trouble,
};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

/// Share of traces that are sampled; the decision is made at the root and holds for the whole trace.
const SAMPLED: f64 = 0.3;

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
    pub(crate) trouble: Option<Trouble>,
    /// 0 where nobody answered.
    pub(crate) status: u16,
}

/// The trace that a request belongs to, and the span it was sent from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) trace: [u8; 16],
    pub(crate) sampled: bool,
    pub(crate) parent: [u8; 8],
}

/// Where a request is being answered.
pub(crate) struct Visit {
    pub(crate) service: ServiceId,
    pub(crate) slot: usize,
    pub(crate) context: Context,
    pub(crate) span: [u8; 8],
    pub(crate) operation: &'static Operation,
}

/// Why and when a request ended without an answer.
pub(crate) struct Failure {
    pub(crate) at: u64,
    pub(crate) trouble: Trouble,
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

    pub(crate) fn serve_at(
        &mut self,
        (service, index): OperationId,
        slot: usize,
        arrive: u64,
        context: Context,
    ) -> Outcome {
        let operation = &SERVICES[service].operations[index];
        if self.slots[service][slot].down_until > arrive {
            return Outcome { end: arrive + millis(1.0), trouble: Some(Trouble::Refused), status: 0 };
        }
        let visit = Visit { service, slot, context, span: self.dice.bytes(), operation };
        let (end, trouble) = match self.work(&visit, arrive) {
            Ok(end) => (end, None),
            Err(failure) => (failure.at, Some(failure.trouble)),
        };
        let status = match (trouble, &operation.entry) {
            (Some(trouble), _) => trouble.status(),
            (None, Entry::Http { method: "POST", .. }) => 201,
            (None, _) => 200,
        };
        let seconds = seconds(end - arrive);
        if trouble.is_none() && self.dice.chance(operation.line.0) {
            let words = Words { ms: Some(seconds * 1_000.0), ..Words::default() };
            self.log(&visit, end, 9, operation.line.1, &words);
        }
        let language = SERVICES[service].language;
        let thrown = trouble.map(|trouble| trouble.exception(language));
        let (kind, attributes, error) = match operation.entry {
            Entry::Http { method, route } => {
                self.record(&visit, end, Record::Server { operation: index, status, seconds });
                let mut attributes = vec![
                    text("http.request.method", method),
                    text("http.route", route),
                    text("url.path", &path(route, visit.span)),
                    text("url.scheme", "http"),
                    text("server.address", SERVICES[service].name),
                    whole("server.port", 8080),
                    text("network.protocol.version", "1.1"),
                    whole("http.response.status_code", i64::from(status)),
                ];
                if trouble.is_some() {
                    attributes.push(text("error.type", &status.to_string()));
                }
                // The status code says it all, so the conventions want no description.
                (SpanKind::Server, attributes, trouble.map(|_| String::new()))
            }
            Entry::Consume { topic } => {
                self.record(&visit, end, Record::Consumed { operation: index, error: thrown, seconds });
                let mut attributes = vec![
                    text("messaging.system", "kafka"),
                    text("messaging.operation.name", "process"),
                    text("messaging.operation.type", "process"),
                    text("messaging.destination.name", topic),
                    text("messaging.consumer.group.name", SERVICES[service].name),
                ];
                attributes.extend(thrown.map(|class| text("error.type", class)));
                (SpanKind::Consumer, attributes, thrown.map(str::to_owned))
            }
            Entry::Job { .. } => {
                let attributes = thrown.map(|class| text("error.type", class)).into_iter().collect();
                (SpanKind::Internal, attributes, thrown.map(str::to_owned))
            }
        };
        let seen = Seen {
            id: visit.span,
            parent: context.parent,
            name: operation.span_name(),
            kind,
            start: arrive,
            end,
            error,
            attributes,
        };
        self.span(&visit, seen);
        Outcome { end, trouble, status }
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
            let line = "worker queue is full, request to {route} rejected";
            self.log_error(visit, now, line, &words(visit), Trouble::Overloaded);
            return Err(Failure { at: now, trouble: Trouble::Overloaded });
        }
        if self.dice.chance(pressure * 0.15) {
            let pause = self.dice.skewed(500.0 * pressure, 0.4);
            now += millis(pause);
            if self.dice.chance(0.4) {
                let words = Words { ms: Some(pause), ..Words::default() };
                self.log(visit, now, 13, "GC pause of {ms} ms, heap almost full", &words);
            }
        }
        if self.dice.chance(operation.failures) {
            let line = "request to {route} failed: state of {order} changed meanwhile";
            self.log_error(visit, now, line, &words(visit), Trouble::Conflict);
            return Err(Failure { at: now, trouble: Trouble::Conflict });
        }
        for step in operation.steps {
            now = match *step {
                Step::Call { share, .. } if share < 1.0 && !self.dice.chance(share) => now,
                Step::Call { to, timeout_ms, retries, optional, .. } => {
                    self.call(visit, now, Call { to, timeout_ms, retries, optional })?
                }
                Step::Query { verb, table, ms } => self.query(visit, now, verb, table, ms)?,
                Step::External { peer, method, path, ms, timeout_ms, retries } => {
                    self.external(visit, now, External { peer, method, path, ms, timeout_ms, retries })?
                }
                Step::Publish { topic, to } => self.publish(visit, now, topic, to),
                Step::Write { ms } => self.write(visit, now, ms)?,
            };
            now += millis(self.dice.skewed(part, 0.3));
        }
        Ok(now)
    }
}

/// What lines of a request speak of.
fn words(visit: &Visit) -> Words<'static> {
    let route = match visit.operation.entry {
        Entry::Http { route, .. } => route,
        Entry::Consume { topic } => topic,
        Entry::Job { name } => name,
    };
    Words { route, ..Words::default() }
}
