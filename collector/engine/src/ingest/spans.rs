//! Spans: calls, errors and durations by operation and for the service, and the sample that the correlator joins.

use super::{
    family::{Family, FamilyKey, Owner, Shape, Statistic, Value, WindowBuilder},
    keys::{BuildIdentity, Interner, mix, text_hash},
    settings::{IngestCounters, IngestSettings},
    sketch::DurationSketch,
};
use crate::{
    facts::{GoldenSignals, SpanFact, SpanFactKind},
    lru::{LruSlab, Slot},
    signal::{AttributeValue, Span, SpanKind},
    time::UnixNanos,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use xxhash_rust::xxh3::xxh3_64;

/// First part of the names of series made from spans.
const NAME: &str = "traces.span.metrics";

/// Operations of a service, and the service as a whole.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Operations {
    slab: LruSlab<Operation>,
    #[serde(skip)]
    by_identity: HashMap<u64, Slot, BuildIdentity>,
    entry: Family,
}

#[derive(Debug, Deserialize, Serialize)]
struct Operation {
    identity: u64,
    name: Arc<str>,
    family: Family,
}

/// Spans that ended in one window.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct SpanWindow {
    /// By index of the operation's slot.
    operations: Vec<Option<(Slot, Calls)>>,
    entry: Calls,
    sample: Sample,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Calls {
    calls: u64,
    errors: u64,
    durations: DurationSketch,
}

/// The spans of those traces whose hashed id is smallest. What is kept does not depend on the order of the spans, and every
/// service keeps the same traces as far as its limit allows.
#[derive(Debug, Deserialize, Serialize)]
struct Sample {
    kept: BTreeMap<(u64, [u8; 16], [u8; 8]), SpanFact>,
    seen: u64,
    /// Traces with this hash or a larger one are not kept.
    limit: u64,
}

// === impl Operations ===

impl Operations {
    pub(super) fn new(interner: &mut Interner) -> Self {
        let key = FamilyKey {
            name: interner.share(NAME),
            unit: interner.share(""),
            shape: Shape::Spans,
            attributes: Vec::new(),
        };
        Self { slab: LruSlab::default(), by_identity: HashMap::default(), entry: Family::new(Arc::new(key)) }
    }

    /// Finds operations again after a restore.
    pub(super) fn index(&mut self) {
        self.by_identity = self.slab.iter().map(|(slot, operation)| (operation.identity, slot)).collect();
    }

    pub(super) fn family_mut(&mut self, owner: Owner) -> Option<&mut Family> {
        match owner {
            Owner::Entry => Some(&mut self.entry),
            Owner::Operation(slot) => self.slab.get_mut(slot).map(|operation| &mut operation.family),
            _ => None,
        }
    }

    /// The operation of a span, made known if it is new.
    fn resolve(
        &mut self,
        span: &Span<'_>,
        window: u64,
        settings: &IngestSettings,
        interner: &mut Interner,
        counters: &mut IngestCounters,
        closed: &mut Vec<u32>,
    ) -> Slot {
        let identity = mix(text_hash(span.name), span.kind as u64);
        if let Some(&slot) = self.by_identity.get(&identity) {
            if let Some(operation) = self.slab.get_mut(slot)
                && operation.family.used_in != window
            {
                operation.family.used_in = window;
                self.slab.touch(slot);
            }
            return slot;
        }
        while self.slab.len() >= settings.max_operations_per_service
            && let Some(operation) = self.slab.oldest().and_then(|oldest| self.slab.remove(oldest))
        {
            self.by_identity.remove(&operation.identity);
            closed.extend(operation.family.ids());
            counters.evicted_operations += 1;
        }
        let name = interner.share(span.name);
        let attributes = vec![
            (interner.share("span.kind"), interner.share(kind_name(span.kind))),
            (interner.share("span.name"), Arc::clone(&name)),
        ];
        let key = FamilyKey { name: interner.share(NAME), unit: interner.share(""), shape: Shape::Spans, attributes };
        let mut family = Family::new(Arc::new(key));
        family.used_in = window;
        let slot = self.slab.insert(Operation { identity, name, family });
        self.by_identity.insert(identity, slot);
        slot
    }
}

fn kind_name(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Unspecified => "unspecified",
        SpanKind::Internal => "internal",
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
    }
}

// === impl SpanWindow ===

impl SpanWindow {
    #[expect(clippy::too_many_arguments, reason = "the parts of a service are borrowed apart from each other")]
    pub(super) fn take(
        &mut self,
        span: &Span<'_>,
        window: u64,
        operations: &mut Operations,
        settings: &IngestSettings,
        interner: &mut Interner,
        counters: &mut IngestCounters,
        closed: &mut Vec<u32>,
    ) {
        let slot = operations.resolve(span, window, settings, interner, counters, closed);
        let nanos = (span.start.0 > 0 && span.end.0 > 0).then(|| span.end.since(span.start));
        let at = slot.index as usize;
        if self.operations.len() <= at {
            self.operations.resize_with(at + 1, || None);
        }
        match &mut self.operations[at] {
            Some((known, calls)) if *known == slot => calls.add(nanos, span.error),
            place => place.insert((slot, Calls::default())).1.add(nanos, span.error),
        }
        if matches!(span.kind, SpanKind::Server | SpanKind::Consumer) {
            self.entry.add(nanos, span.error);
        }
        if span.trace_id == [0; 16] || span.span_id == [0; 8] {
            return;
        }
        self.sample.seen += 1;
        let hash = xxh3_64(&span.trace_id);
        if hash >= self.sample.limit {
            return;
        }
        let Some(operation) = operations.slab.get(slot) else { return };
        let kind = SpanFactKind::from(span.kind);
        let fact = SpanFact {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_span_id: span.parent_span_id,
            operation: Arc::clone(&operation.name),
            kind,
            start: if span.start.0 > 0 { span.start } else { span.end },
            duration_nanos: nanos.unwrap_or(0),
            error: span.error,
            peer: if kind == SpanFactKind::Exit { peer(span, interner) } else { None },
        };
        self.sample.keep(hash, fact, settings.max_spans_per_window);
    }

    /// Adds rows for the operations and the service.
    pub(super) fn close(&self, operations: &mut Operations, window_seconds: f64, builder: &mut WindowBuilder) {
        for (slot, calls) in self.operations.iter().flatten() {
            if let Some(operation) = operations.slab.get_mut(*slot) {
                calls.rows(Owner::Operation(*slot), &mut operation.family, window_seconds, builder);
            }
        }
        self.entry.rows(Owner::Entry, &mut operations.entry, window_seconds, builder);
    }

    pub(super) fn signals(&self) -> GoldenSignals {
        let quantile = |q| self.entry.durations.quantile(q);
        GoldenSignals {
            calls: self.entry.calls,
            errors: self.entry.errors,
            p50_seconds: quantile(0.5),
            p95_seconds: quantile(0.95),
            p99_seconds: quantile(0.99),
            log_records: 0,
            error_log_records: 0,
        }
    }

    /// The sample in ascending order of trace and span, and its share of all spans.
    pub(super) fn into_sample(self) -> (Vec<SpanFact>, f64) {
        let mut kept: Vec<SpanFact> = self.sample.kept.into_values().collect();
        kept.sort_by_key(|fact| (fact.trace_id, fact.span_id));
        let share = if kept.is_empty() { 1.0 } else { (kept.len() as f64 / self.sample.seen as f64).min(1.0) };
        (kept, share)
    }
}

/// The far side of a call, as the caller names it.
fn peer(span: &Span<'_>, interner: &mut Interner) -> Option<Arc<str>> {
    // In order of preference; the older names of the semantic conventions after the present ones.
    const KEYS: [&str; 8] = [
        "peer.service",
        "db.namespace",
        "db.name",
        "db.system.name",
        "db.system",
        "messaging.destination.name",
        "server.address",
        "net.peer.name",
    ];
    let mut found: [Option<Arc<str>>; 8] = Default::default();
    span.attributes.for_each(&mut |key, value| {
        if let (Some(at), AttributeValue::Str(text)) = (KEYS.iter().position(|known| *known == key), value)
            && !text.is_empty()
        {
            found[at] = Some(interner.share(text));
        }
    });
    let [service, namespace, old_namespace, system, old_system, destination, address, old_address] = found;
    if service.is_some() {
        return service;
    }
    match (system.or(old_system), namespace.or(old_namespace)) {
        (Some(system), Some(namespace)) => Some(interner.share(&format!("{system}:{namespace}"))),
        (Some(one), None) | (None, Some(one)) => Some(one),
        (None, None) => destination.or(address).or(old_address),
    }
}

// === impl Calls ===

impl Calls {
    fn add(&mut self, nanos: Option<u64>, error: bool) {
        self.calls += 1;
        self.errors += u64::from(error);
        if let Some(nanos) = nanos {
            self.durations.insert_nanos(nanos);
        }
    }

    fn rows(&self, owner: Owner, family: &mut Family, window_seconds: f64, builder: &mut WindowBuilder) {
        if self.calls == 0 {
            return;
        }
        let calls = self.calls as f64;
        builder.add(owner, family, Statistic::Calls, Value::single(calls / window_seconds, self.calls));
        builder.add(owner, family, Statistic::Errors, Value::single(self.errors as f64 / calls, self.calls));
        for (share, q) in [(50_000, 0.5), (95_000, 0.95), (99_000, 0.99)] {
            if let Some(value) = self.durations.quantile(q) {
                let (min, max) = (self.durations.min(), self.durations.max());
                let value = Value { value, min, max, count: self.calls };
                builder.add(owner, family, Statistic::Duration(share), value);
            }
        }
    }
}

// === impl Sample ===

impl Default for Sample {
    fn default() -> Self {
        Self { kept: BTreeMap::new(), seen: 0, limit: u64::MAX }
    }
}

impl Sample {
    fn keep(&mut self, hash: u64, fact: SpanFact, max: usize) {
        self.kept.insert((hash, fact.trace_id, fact.span_id), fact);
        while self.kept.len() > max {
            let (Some((first, _)), Some((last, _))) = (self.kept.first_key_value(), self.kept.last_key_value()) else {
                return;
            };
            if first.0 == last.0 {
                // One trace with more spans than are kept: those with the smallest ids.
                self.kept.pop_last();
            } else {
                self.limit = last.0;
                self.kept.split_off(&(self.limit, [0; 16], [0; 8]));
            }
        }
    }
}

/// A time that spans are ordered by: their end, or their start where the end is not known.
pub(super) fn span_time(span: &Span<'_>) -> UnixNanos {
    if span.end.0 > 0 { span.end } else { span.start }
}
