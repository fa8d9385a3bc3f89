//! What the last hour was like, in slots of 15 seconds: visits, calls, features of visits, and who calls whom.

use super::histogram::Histogram;
use crate::{time::UnixNanos, window::ServiceKey};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// Length of a slot in nanoseconds.
pub(super) const SLOT_NANOS: u64 = 15_000_000_000;
/// Slots kept: one hour.
const SLOTS: u64 = 240;
/// Slots that a service may be ahead of the others: ten minutes.
const AHEAD_SLOTS: u64 = 40;
/// Services and far sides known at a time. When full, those not seen in the last hour make room; if there are none, further
/// ones are left out and counted until the next slot begins.
const MAX_NODES: usize = 16_384;
/// Operations, templates and other labels known at a time; the same when full.
const MAX_LABELS: usize = 32_768;
/// Distinct cells of one kind in a slot; further ones are left out and counted.
const MAX_CELLS: usize = 32_768;

/// A service, or a far side that sends no telemetry.
pub(super) type NodeId = u32;
/// An operation or a feature.
pub(super) type LabelId = u32;
/// An operation of a service.
pub(super) type OpId = (NodeId, LabelId);

/// Visits of one operation.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct VisitCell {
    /// Time spent in the service itself.
    pub(super) own: Histogram,
    pub(super) errors: u32,
}

/// Calls between two nodes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct CallCell {
    pub(super) count: u32,
    pub(super) errors: u32,
    pub(super) seconds: f64,
    /// The client's duration less the server's, where both are known.
    pub(super) gap: Histogram,
}

impl CallCell {
    /// Adds all of `other` but its gaps.
    fn count(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.errors = self.errors.saturating_add(other.errors);
        self.seconds += other.seconds;
    }
}

/// Everything seen in one slot.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Slot {
    pub(super) visits: BTreeMap<OpId, VisitCell>,
    pub(super) calls: BTreeMap<(NodeId, NodeId), CallCell>,
    /// How often a feature occurred in visits of an operation.
    pub(super) features: BTreeMap<(OpId, LabelId), u32>,
    /// Log records per service and template, over all requests and not only the sampled ones.
    pub(super) logs: BTreeMap<(NodeId, LabelId), u64>,
    /// Requests per service, over all and not only the sampled ones.
    pub(super) requests: BTreeMap<NodeId, u64>,
    /// Seconds of the sampled root visits.
    pub(super) root_seconds: f64,
}

impl Slot {
    /// Adds all of `other`.
    pub(super) fn merge(&mut self, other: &Self) {
        for (key, cell) in &other.visits {
            let sum = self.visits.entry(*key).or_default();
            sum.own.merge(&cell.own);
            sum.errors = sum.errors.saturating_add(cell.errors);
        }
        for (key, cell) in &other.calls {
            let sum = self.calls.entry(*key).or_default();
            sum.count(cell);
            sum.gap.merge(&cell.gap);
        }
        for (key, count) in &other.features {
            let sum = self.features.entry(*key).or_default();
            *sum = sum.saturating_add(*count);
        }
        for (key, count) in &other.logs {
            *self.logs.entry(*key).or_default() += count;
        }
        for (key, count) in &other.requests {
            *self.requests.entry(*key).or_default() += count;
        }
        self.root_seconds += other.root_seconds;
    }

    /// Sampled visits per service.
    pub(super) fn visits_of(&self, node: NodeId) -> u64 {
        self.visits.range((node, 0)..=(node, u32::MAX)).map(|(_, cell)| cell.own.count()).sum()
    }
}

/// Numbers for names, so that slots stay small.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Names<T: Ord> {
    ids: BTreeMap<T, u32>,
    names: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T: Ord + Clone> Names<T> {
    fn new() -> Self {
        Self { ids: BTreeMap::new(), names: Vec::new(), free: Vec::new() }
    }

    fn insert(&mut self, name: &T) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.names.push(None);
            (self.names.len() - 1) as u32
        });
        self.names[id as usize] = Some(name.clone());
        self.ids.insert(name.clone(), id);
        id
    }

    /// Forgets all but `used`.
    fn retain(&mut self, used: &BTreeSet<u32>) {
        self.ids.retain(|_, id| used.contains(id));
        for (id, name) in self.names.iter_mut().enumerate().rev() {
            if name.is_some() && !used.contains(&(id as u32)) {
                *name = None;
                self.free.push(id as u32);
            }
        }
    }

    fn get(&self, id: u32) -> Option<&T> {
        self.names.get(id as usize)?.as_ref()
    }
}

/// The last hour.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct History {
    nodes: Names<ServiceKey>,
    labels: Names<Arc<str>>,
    /// Nodes that send telemetry.
    observed: BTreeSet<NodeId>,
    slots: VecDeque<(u64, Slot)>,
    /// When each call between two nodes was seen last.
    pub(super) edges: BTreeMap<(NodeId, NodeId), UnixNanos>,
    /// Event time on which most services agree.
    horizon: UnixNanos,
    left_out: u64,
    /// The slot in which names were last looked through for want of room.
    #[serde(skip)]
    looked_through: Option<u64>,
}

impl History {
    pub(super) fn new() -> Self {
        Self {
            nodes: Names::new(),
            labels: Names::new(),
            observed: BTreeSet::new(),
            slots: VecDeque::new(),
            edges: BTreeMap::new(),
            horizon: UnixNanos(0),
            left_out: 0,
            looked_through: None,
        }
    }

    /// The number of a node, `None` if there is no room for it.
    pub(super) fn node(&mut self, service: &ServiceKey) -> Option<NodeId> {
        if self.nodes.ids.len() >= MAX_NODES && !self.nodes.ids.contains_key(service) {
            self.make_room();
            if self.nodes.ids.len() >= MAX_NODES {
                self.left_out += 1;
                return None;
            }
        }
        Some(self.nodes.insert(service))
    }

    /// The number of a node that sends telemetry itself.
    pub(super) fn observed_node(&mut self, service: &ServiceKey) -> Option<NodeId> {
        let node = self.node(service)?;
        self.observed.insert(node);
        Some(node)
    }

    /// The number of a label, `None` if there is no room for it.
    pub(super) fn label(&mut self, text: &Arc<str>) -> Option<LabelId> {
        if self.labels.ids.len() >= MAX_LABELS && !self.labels.ids.contains_key(text) {
            self.make_room();
            if self.labels.ids.len() >= MAX_LABELS {
                self.left_out += 1;
                return None;
            }
        }
        Some(self.labels.insert(text))
    }

    pub(super) fn find(&self, service: &ServiceKey) -> Option<NodeId> {
        self.nodes.ids.get(service).copied()
    }

    pub(super) fn service(&self, node: NodeId) -> Option<&ServiceKey> {
        self.nodes.get(node)
    }

    pub(super) fn text(&self, label: LabelId) -> &str {
        self.labels.get(label).map_or("", |text| text)
    }

    pub(super) fn is_observed(&self, node: NodeId) -> bool {
        self.observed.contains(&node)
    }

    /// Moves to the event time on which most services agree, and forgets what is now too old or, should the agreement have moved
    /// back, too new.
    pub(super) fn advance(&mut self, horizon: UnixNanos) {
        self.horizon = horizon;
        let (oldest, newest) = self.range();
        while self.slots.front().is_some_and(|(index, _)| *index < oldest) {
            self.slots.pop_front();
        }
        while self.slots.back().is_some_and(|(index, _)| *index > newest) {
            self.slots.pop_back();
        }
        self.edges.retain(|_, last| horizon.since(*last) <= SLOTS * SLOT_NANOS);
    }

    /// Slots that are kept.
    fn range(&self) -> (u64, u64) {
        let index = self.horizon.0 / SLOT_NANOS;
        ((index + 1).saturating_sub(SLOTS), index + AHEAD_SLOTS)
    }

    /// Whether a point in time is within what is kept. One service whose clock is off must not push out the others.
    pub(super) fn keeps(&self, time: UnixNanos) -> bool {
        let (oldest, newest) = self.range();
        (oldest..=newest).contains(&(time.0 / SLOT_NANOS))
    }

    /// The slot of a point in time; `None` if that is outside of what is kept.
    pub(super) fn slot(&mut self, time: UnixNanos) -> Option<&mut Slot> {
        if !self.keeps(time) {
            self.left_out += 1;
            return None;
        }
        let index = time.0 / SLOT_NANOS;
        let position = match self.slots.binary_search_by_key(&index, |(index, _)| *index) {
            Ok(position) => position,
            Err(position) => {
                self.slots.insert(position, (index, Slot::default()));
                position
            }
        };
        self.slots.get_mut(position).map(|(_, slot)| slot)
    }

    /// Adds to one cell of a slot's map, unless the map is full.
    pub(super) fn cell<'a, K: Ord, V: Default>(
        map: &'a mut BTreeMap<K, V>,
        key: K,
        left_out: &mut u64,
    ) -> Option<&'a mut V> {
        if map.len() >= MAX_CELLS && !map.contains_key(&key) {
            *left_out += 1;
            return None;
        }
        Some(map.entry(key).or_default())
    }

    /// All slots that begin in `[from, to)`, added up.
    pub(super) fn sum(&self, from: UnixNanos, to: UnixNanos) -> Slot {
        let mut sum = Slot::default();
        for (index, slot) in &self.slots {
            let start = UnixNanos(index * SLOT_NANOS);
            if from <= start && start < to {
                sum.merge(slot);
            }
        }
        sum
    }

    /// Calls of all slots, without their gaps: the graph is shown with every window, and histograms are most of what a slot holds.
    pub(super) fn calls(&self) -> BTreeMap<(NodeId, NodeId), CallCell> {
        let mut sum: BTreeMap<_, CallCell> = BTreeMap::new();
        for (key, cell) in self.slots.iter().flat_map(|(_, slot)| &slot.calls) {
            sum.entry(*key).or_default().count(cell);
        }
        sum
    }

    /// Notes a call between two nodes for the graph.
    pub(super) fn edge(&mut self, caller: NodeId, callee: NodeId, time: UnixNanos) {
        if !self.keeps(time) || self.edges.len() >= MAX_CELLS && !self.edges.contains_key(&(caller, callee)) {
            self.left_out += 1;
            return;
        }
        let last = self.edges.entry((caller, callee)).or_insert(time);
        *last = (*last).max(time);
    }

    /// Things for which there was no room, and visits too old or too new to be of use.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    pub(super) fn count_left_out(&mut self, count: u64) {
        self.left_out += count;
    }

    /// Forgets names that are not used any more, once in each slot: it means to look at all that is kept, which can't be done for each of
    /// thousands of services that find no room.
    fn make_room(&mut self) {
        let slot = self.horizon.0 / SLOT_NANOS;
        if self.looked_through != Some(slot) {
            self.looked_through = Some(slot);
            self.compact();
        }
    }

    /// Forgets names that no slot and no edge uses any more.
    fn compact(&mut self) {
        let mut nodes: BTreeSet<NodeId> = self.edges.keys().flat_map(|(caller, callee)| [*caller, *callee]).collect();
        let mut labels = BTreeSet::new();
        for (_, slot) in &self.slots {
            for (node, label) in slot.visits.keys() {
                nodes.insert(*node);
                labels.insert(*label);
            }
            nodes.extend(slot.calls.keys().flat_map(|(caller, callee)| [*caller, *callee]));
            for ((node, operation), feature) in slot.features.keys() {
                nodes.insert(*node);
                labels.extend([*operation, *feature]);
            }
            for (node, label) in slot.logs.keys() {
                nodes.insert(*node);
                labels.insert(*label);
            }
            nodes.extend(slot.requests.keys());
        }
        self.nodes.retain(&nodes);
        self.labels.retain(&labels);
        self.observed.retain(|node| nodes.contains(node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The graph's calls are those of the whole sum, for each pair of nodes over all slots.
    #[test]
    fn calls_are_those_of_the_whole_sum() {
        let start = UnixNanos(1_767_571_200_000_000_000);
        let mut history = History::new();
        history.advance(start);
        for number in 0..40 {
            let slot = history.slot(start.minus(number % 7 * SLOT_NANOS)).expect("within the hour");
            let cell = slot.calls.entry((number as u32 % 3, number as u32 % 5)).or_default();
            cell.count(&CallCell { count: number as u32, errors: 1, seconds: 0.5, ..CallCell::default() });
        }
        let whole = history.sum(UnixNanos(0), UnixNanos(u64::MAX)).calls;
        assert_eq!((history.calls(), whole.len()), (whole, 15));
    }

    /// Names that went out of use make room when there is none left; that is looked for once in a slot and not for each name, which
    /// would let a fleet of services larger than there is room for take all the processor.
    #[test]
    fn room_is_looked_for_once_in_a_slot() {
        let service = |number: usize| ServiceKey::new("", &format!("service-{number}"));
        let start = UnixNanos(1_767_571_200_000_000_000);
        let mut history = History::new();
        history.advance(start);
        for number in 0..MAX_NODES {
            let node = history.node(&service(number)).expect("there is room");
            history.edge(node, node, start);
        }
        assert_eq!((history.node(&service(MAX_NODES)), history.left_out()), (None, 1));
        history.edges.clear();
        assert_eq!((history.node(&service(MAX_NODES)), history.left_out()), (None, 2));
        history.advance(start.plus(SLOT_NANOS));
        assert!(history.node(&service(MAX_NODES)).is_some());
        assert_eq!(history.node(&service(0)).and_then(|node| history.service(node)), Some(&service(0)));
    }
}
