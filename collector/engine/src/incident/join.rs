//! Puts the spans of a trace together, across services, and turns them into visits, calls and features.
//!
//! A visit is a span that enters a service, with all its descendants there. Its own time is its duration less the union of
//! the intervals in which it waits for others. Traces are held until the service that spoke last in them is `age` further on,
//! or until there is no room.

use super::history::{History, LabelId, NodeId, OpId};
use crate::{
    facts::{SpanFact, SpanFactKind},
    time::UnixNanos,
    window::ServiceKey,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// Spans of one trace; further ones are left out and counted.
const MAX_TRACE_SPANS: usize = 4_096;
/// Slow and failing traces kept for links.
const MAX_NOTABLE: usize = 4_096;
/// A minute in nanoseconds.
const MINUTE: u64 = 60_000_000_000;
/// Notable traces per service and minute.
const NOTABLE_PER_MINUTE: u32 = 16;
/// A visit this many times as long as usual is slow.
const SLOW: f64 = 3.0;
/// Visits of an operation before any is called slow.
const USUAL_AFTER: u32 = 20;
/// Operations whose usual duration is known; the map starts over when full.
const MAX_USUAL: usize = 16_384;

/// A slow or failing visit.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Notable {
    pub(super) time: UnixNanos,
    pub(super) node: NodeId,
    pub(super) trace: ([u8; 16], [u8; 8]),
    pub(super) error: bool,
}

/// A trace whose spans are still coming.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Pending {
    spans: Vec<(NodeId, SpanFact)>,
    last: UnixNanos,
    /// The service whose span ended last: its clock tells when the trace is complete.
    last_node: NodeId,
}

/// Traces in the making.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Join {
    pending: BTreeMap<[u8; 16], Pending>,
    /// The traces in the order in which they are to make room.
    order: BTreeSet<(UnixNanos, [u8; 16])>,
    spans: usize,
    evicted: u64,
    usual: BTreeMap<OpId, (u32, f64)>,
    notable: VecDeque<Notable>,
    notable_counts: BTreeMap<(u64, NodeId), u32>,
}

impl Join {
    /// Takes a span. `capacity` spans are held at most: then the trace that ended first is finished as it is, and counted.
    pub(super) fn push(&mut self, history: &mut History, node: NodeId, span: SpanFact, capacity: usize) {
        if span.trace_id == [0; 16] || span.span_id == [0; 8] {
            return;
        }
        while self.spans >= capacity.max(1) {
            let oldest = self.order.pop_first().map(|(_, id)| id);
            let Some(pending) = oldest.and_then(|id| self.pending.remove(&id)) else { break };
            self.evicted += 1;
            self.finish(history, pending);
        }
        let end = span.start.plus(span.duration_nanos);
        let pending = self.pending.entry(span.trace_id).or_insert_with(|| Pending {
            spans: Vec::new(),
            last: end,
            last_node: node,
        });
        if pending.spans.len() >= MAX_TRACE_SPANS {
            self.evicted += 1;
            return;
        }
        self.order.remove(&(pending.last, span.trace_id));
        if end >= pending.last {
            (pending.last, pending.last_node) = (end, node);
        }
        self.order.insert((pending.last, span.trace_id));
        pending.spans.push((node, span));
        self.spans += 1;
    }

    /// The services whose clocks tell when traces are complete.
    pub(super) fn awaited(&self) -> BTreeSet<NodeId> {
        self.pending.values().map(|pending| pending.last_node).collect()
    }

    /// Finishes the traces that are complete; `clock` tells how far a service is.
    pub(super) fn complete(&mut self, history: &mut History, age: u64, clock: impl Fn(NodeId) -> Option<UnixNanos>) {
        let ready: Vec<[u8; 16]> = self
            .pending
            .iter()
            .filter(|(_, pending)| clock(pending.last_node).is_none_or(|now| now.since(pending.last) >= age))
            .map(|(id, _)| *id)
            .collect();
        for id in ready {
            if let Some(pending) = self.pending.remove(&id) {
                self.order.remove(&(pending.last, id));
                self.finish(history, pending);
            }
        }
    }

    /// Traces finished early for want of room, and spans left out.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Slow and failing traces through any of `nodes` in `[from, to]`: failing ones first, then the latest first, without
    /// repetition.
    pub(super) fn notable(
        &self,
        nodes: &[NodeId],
        from: UnixNanos,
        to: UnixNanos,
        most: usize,
    ) -> Vec<([u8; 16], [u8; 8])> {
        let mut found: Vec<&Notable> = self
            .notable
            .iter()
            .filter(|notable| (from..=to).contains(&notable.time) && nodes.contains(&notable.node))
            .collect();
        found.sort_by_key(|notable| (!notable.error, std::cmp::Reverse(notable.time), notable.trace));
        let mut traces: Vec<([u8; 16], [u8; 8])> = Vec::new();
        for notable in found {
            if traces.len() >= most {
                break;
            }
            if !traces.iter().any(|(trace, _)| *trace == notable.trace.0) {
                traces.push(notable.trace);
            }
        }
        traces
    }

    fn note(&mut self, history: &History, notable: Notable) {
        if !history.keeps(notable.time) {
            return;
        }
        let minute = notable.time.0 / MINUTE;
        let count = self.notable_counts.entry((minute, notable.node)).or_default();
        if *count >= NOTABLE_PER_MINUTE {
            return;
        }
        *count += 1;
        self.notable.push_back(notable);
        while self.notable.len() > MAX_NOTABLE || self.notable.front().is_some_and(|oldest| !history.keeps(oldest.time))
        {
            self.notable.pop_front();
        }
        while self
            .notable_counts
            .first_key_value()
            .is_some_and(|((minute, _), _)| !history.keeps(UnixNanos(minute * MINUTE)))
        {
            self.notable_counts.pop_first();
        }
    }

    /// Whether a visit took much longer than its operation usually does.
    fn is_slow(&mut self, operation: OpId, seconds: f64) -> bool {
        if self.usual.len() >= MAX_USUAL && !self.usual.contains_key(&operation) {
            self.usual.clear();
        }
        let (count, mean) = self.usual.entry(operation).or_default();
        let slow = *count >= USUAL_AFTER && seconds > *mean * SLOW;
        *count = count.saturating_add(1);
        // A slow visit moves the mean only as far as a usual one could, so that a long incident stays slow.
        let bounded = if *count > USUAL_AFTER { seconds.min(*mean * SLOW) } else { seconds };
        *mean += (bounded - *mean) / f64::from((*count).min(1_000));
        slow
    }

    fn finish(&mut self, history: &mut History, pending: Pending) {
        self.spans = self.spans.saturating_sub(pending.spans.len());
        let trace = Trace::new(pending.spans);
        for visit in trace.visits(history) {
            let Visit { operation, root, own_seconds, seconds, end, error, span } = visit;
            if self.is_slow(operation, seconds) || error {
                self.note(history, Notable { time: end, node: operation.0, trace: span, error });
            }
            let mut left_out = 0;
            if let Some(slot) = history.slot(end) {
                if let Some(cell) = History::cell(&mut slot.visits, operation, &mut left_out) {
                    cell.own.add(own_seconds);
                    cell.errors = cell.errors.saturating_add(u32::from(error));
                }
                if root {
                    slot.root_seconds += seconds;
                }
            }
            history.count_left_out(left_out);
        }
    }
}

/// One visit, ready to be counted.
struct Visit {
    operation: OpId,
    root: bool,
    own_seconds: f64,
    seconds: f64,
    end: UnixNanos,
    error: bool,
    span: ([u8; 16], [u8; 8]),
}

/// The spans of one trace with their places in it.
struct Trace {
    spans: Vec<(NodeId, SpanFact)>,
    parents: Vec<Option<usize>>,
    children: Vec<Vec<usize>>,
    /// For each span, the one that begins its visit.
    visit: Vec<usize>,
}

impl Trace {
    fn new(mut spans: Vec<(NodeId, SpanFact)>) -> Self {
        spans.sort_by(|(a_node, a), (b_node, b)| {
            (a.start, a.span_id, a.kind as u8, *a_node).cmp(&(b.start, b.span_id, b.kind as u8, *b_node))
        });
        spans.dedup_by(|(_, a), (_, b)| a.span_id == b.span_id && a.start == b.start && a.kind == b.kind);
        let index: BTreeMap<[u8; 8], usize> =
            spans.iter().enumerate().map(|(place, (_, span))| (span.span_id, place)).collect();
        let parents: Vec<Option<usize>> = spans
            .iter()
            .enumerate()
            .map(|(place, (_, span))| index.get(&span.parent_span_id).copied().filter(|parent| *parent != place))
            .collect();
        let mut children = vec![Vec::new(); spans.len()];
        for (place, parent) in parents.iter().enumerate() {
            if let Some(parent) = parent {
                children[*parent].push(place);
            }
        }
        let mut visit: Vec<Option<usize>> = vec![None; spans.len()];
        for place in 0..spans.len() {
            let (mut path, mut at) = (Vec::new(), place);
            let begin = loop {
                if let Some(known) = visit[at] {
                    break known;
                }
                match parents[at] {
                    // A loop of parents can only come from broken ids; it ends where it began.
                    Some(parent) if spans[parent].0 == spans[at].0 && parent != place && path.len() < spans.len() => {
                        path.push(at);
                        at = parent;
                    }
                    _ => break at,
                }
            };
            path.push(at);
            for member in path {
                visit[member] = Some(begin);
            }
        }
        let visit = visit.into_iter().enumerate().map(|(place, begin)| begin.unwrap_or(place)).collect();
        Self { spans, parents, children, visit }
    }

    fn end(&self, place: usize) -> UnixNanos {
        let span = &self.spans[place].1;
        span.start.plus(span.duration_nanos)
    }

    /// Counts calls and features in `history`; gives the visits.
    fn visits(&self, history: &mut History) -> Vec<Visit> {
        let mut waits: BTreeMap<usize, Vec<(UnixNanos, UnixNanos)>> = BTreeMap::new();
        let mut far = Vec::new();
        for place in 0..self.spans.len() {
            let (node, span) = &self.spans[place];
            let begin = self.visit[place];
            let only_child = self.children[place].len() == 1;
            let operation = &self.spans[begin].1.operation;
            let mut answered = false;
            for &child in &self.children[place] {
                let (callee, far_span) = &self.spans[child];
                if callee == node {
                    answered |= far_span.kind == SpanFactKind::Entry;
                    continue;
                }
                answered = true;
                // A span with several children is not itself one call; then each child stands for its call.
                let interval =
                    if only_child { (span.start, self.end(place)) } else { (far_span.start, self.end(child)) };
                waits.entry(begin).or_default().push(interval);
                let gap = only_child.then(|| span.duration_nanos.saturating_sub(far_span.duration_nanos) as f64 / 1e9);
                let error = span.error || far_span.error;
                let seconds = far_span.duration_nanos as f64 / 1e9;
                let time = self.end(place);
                call(history, *node, *callee, time, Call { gap, error, seconds });
                let label = format!(">{} {}", history.service(*callee).map_or("", |far| &far.name), far_span.operation);
                feature(history, *node, operation, &label, time);
            }
            if !answered
                && span.kind == SpanFactKind::Exit
                && let Some(peer) = &span.peer
            {
                let time = self.end(place);
                let Some(callee) = far_node(history, *node, peer) else { continue };
                if callee != *node {
                    waits.entry(begin).or_default().push((span.start, time));
                    let seconds = span.duration_nanos as f64 / 1e9;
                    call(history, *node, callee, time, Call { gap: None, error: span.error, seconds });
                    feature(history, *node, operation, &format!(">{peer}"), time);
                    if !history.is_observed(callee)
                        && let Some(label) = history.label(&span.operation)
                    {
                        far.push(Visit {
                            operation: (callee, label),
                            root: false,
                            own_seconds: seconds,
                            seconds,
                            end: time,
                            error: span.error,
                            span: (span.trace_id, span.span_id),
                        });
                    }
                }
            }
            if begin != place && span.kind != SpanFactKind::Exit {
                feature(history, *node, operation, &format!(".{}", span.operation), self.end(place));
            }
        }
        let begins = (0..self.spans.len()).filter(|place| self.visit[*place] == *place);
        let mut visits: Vec<Visit> = begins
            .filter_map(|place| {
                let (node, span) = &self.spans[place];
                let waited = union(waits.remove(&place).unwrap_or_default(), span.start, self.end(place));
                let label: LabelId = history.label(&span.operation)?;
                Some(Visit {
                    operation: (*node, label),
                    root: self.parents[place].is_none(),
                    own_seconds: span.duration_nanos.saturating_sub(waited) as f64 / 1e9,
                    seconds: span.duration_nanos as f64 / 1e9,
                    end: self.end(place),
                    error: span.error,
                    span: (span.trace_id, span.span_id),
                })
            })
            .collect();
        visits.append(&mut far);
        visits
    }
}

/// The node behind a peer's name: a service of the same namespace or of none that goes by that name, or a far side without
/// telemetry.
fn far_node(history: &mut History, caller: NodeId, peer: &Arc<str>) -> Option<NodeId> {
    let namespace = history.service(caller).map(|service| Arc::clone(&service.namespace)).unwrap_or_default();
    let near = ServiceKey { namespace, name: Arc::clone(peer) };
    if let Some(node) = history.find(&near).filter(|node| history.is_observed(*node)) {
        return Some(node);
    }
    history.node(&ServiceKey { namespace: "".into(), name: Arc::clone(peer) })
}

/// One call as it is counted.
#[derive(Clone, Copy)]
struct Call {
    gap: Option<f64>,
    error: bool,
    seconds: f64,
}

fn call(history: &mut History, caller: NodeId, callee: NodeId, time: UnixNanos, call: Call) {
    history.edge(caller, callee, time);
    let mut left_out = 0;
    if let Some(slot) = history.slot(time)
        && let Some(cell) = History::cell(&mut slot.calls, (caller, callee), &mut left_out)
    {
        cell.count = cell.count.saturating_add(1);
        cell.errors = cell.errors.saturating_add(u32::from(call.error));
        cell.seconds += call.seconds;
        if let Some(gap) = call.gap {
            cell.gap.add(gap);
        }
    }
    history.count_left_out(left_out);
}

fn feature(history: &mut History, node: NodeId, operation: &Arc<str>, text: &str, time: UnixNanos) {
    let (Some(operation), Some(label)) = (history.label(operation), history.label(&Arc::from(text))) else { return };
    let mut left_out = 0;
    if let Some(slot) = history.slot(time)
        && let Some(count) = History::cell(&mut slot.features, ((node, operation), label), &mut left_out)
    {
        *count = count.saturating_add(1);
    }
    history.count_left_out(left_out);
}

/// Nanoseconds covered by the intervals within `[from, to]`.
fn union(mut intervals: Vec<(UnixNanos, UnixNanos)>, from: UnixNanos, to: UnixNanos) -> u64 {
    intervals.sort_unstable();
    let (mut covered, mut reached) = (0, from);
    for (start, end) in intervals {
        let (start, end) = (start.max(reached), end.min(to));
        covered += end.since(start);
        reached = reached.max(end);
    }
    covered
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn span(id: u8, parent: u8, kind: SpanFactKind, start_ms: u64, duration_ms: u64, peer: Option<&str>) -> SpanFact {
        SpanFact {
            trace_id: [7; 16],
            span_id: [id, 0, 0, 0, 0, 0, 0, 1],
            parent_span_id: if parent == 0 { [0; 8] } else { [parent, 0, 0, 0, 0, 0, 0, 1] },
            operation: format!("op{id}").into(),
            kind,
            start: UnixNanos(1_000_000 * MS + start_ms * MS),
            duration_nanos: duration_ms * MS,
            error: false,
            peer: peer.map(Into::into),
        }
    }

    /// Own time must leave out waiting for others, once where calls overlap, and database calls must make a node.
    #[test]
    fn own_time_is_what_nobody_else_explains() {
        use SpanFactKind::{Entry, Exit};
        let (mut history, mut join) = (History::new(), Join::default());
        history.advance(UnixNanos(1_000_000 * MS));
        let front = history.observed_node(&ServiceKey::new("", "front")).unwrap_or_default();
        let back = history.observed_node(&ServiceKey::new("", "back")).unwrap_or_default();
        for (node, span) in [
            (front, span(1, 0, Entry, 0, 100, None)),
            (front, span(2, 1, Exit, 10, 40, None)),
            (back, span(3, 2, Entry, 15, 30, None)),
            (front, span(4, 1, Exit, 30, 40, Some("postgresql"))),
        ] {
            join.push(&mut history, node, span, 100);
        }
        join.complete(&mut history, 30_000 * MS, |_| Some(UnixNanos(1_040_000 * MS)));
        let sum = history.sum(UnixNanos(0), UnixNanos(u64::MAX));
        let own = |name: &str, operation: &str| {
            let node = history.find(&ServiceKey::new("", name));
            sum.visits
                .iter()
                .find(|((n, label), _)| Some(*n) == node && history.text(*label) == operation)
                .map(|(_, cell)| (cell.own.quantile(0.5) * 100.0).round())
        };
        // 100 ms less the union of 10..50 and 30..70, in hundredths of a second, since buckets are 5 % wide.
        assert_eq!(own("front", "op1"), Some(4.0));
        assert_eq!(own("back", "op3"), Some(3.0));
        assert_eq!(own("postgresql", "op4"), Some(4.0));
        let gap = sum.calls.get(&(front, back)).map(|cell| (cell.gap.quantile(0.5) * 100.0).round());
        assert_eq!(gap, Some(1.0));
        assert_eq!(sum.calls.len(), 2);
    }

    /// A sender can put anything into parent ids; a loop must neither hang nor panic.
    #[test]
    fn loops_of_parents_end() {
        use SpanFactKind::Inner;
        let (mut history, mut join) = (History::new(), Join::default());
        history.advance(UnixNanos(1_000_000 * MS));
        let node = history.observed_node(&ServiceKey::new("", "a")).unwrap_or_default();
        for (id, parent) in [(1, 2), (2, 3), (3, 1), (4, 4)] {
            join.push(&mut history, node, span(id, parent, Inner, 0, 10, None), 100);
        }
        join.complete(&mut history, 0, |_| None);
        assert_eq!(join.spans, 0);
    }

    /// The buffer is bounded: the trace that ended first is finished early and counted.
    #[test]
    fn a_full_buffer_finishes_the_oldest_trace() {
        let (mut history, mut join) = (History::new(), Join::default());
        history.advance(UnixNanos(1_000_000 * MS));
        let node = history.observed_node(&ServiceKey::new("", "a")).unwrap_or_default();
        for id in 1..=5 {
            let mut one = span(id, 0, SpanFactKind::Entry, u64::from(id), 1, None);
            one.trace_id = [id; 16];
            join.push(&mut history, node, one, 3);
        }
        assert_eq!((join.spans, join.evicted()), (3, 2));
        assert_eq!(history.sum(UnixNanos(0), UnixNanos(u64::MAX)).visits_of(node), 2);
    }
}
