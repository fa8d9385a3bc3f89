//! Who calls whom: how services are connected, and who depends on whom.

use super::history::{History, NodeId};
use crate::{time::UnixNanos, window::ServiceKey};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Calls from one service to another, or to a far side without telemetry, over the last hour.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Edge {
    /// Who calls.
    pub caller: ServiceKey,
    /// Who is called.
    pub callee: ServiceKey,
    /// Whether the callee is known only by what its callers say of it, such as a database.
    pub far_side: bool,
    /// Sampled calls.
    pub calls: u64,
    /// Those that failed on either side.
    pub errors: u64,
    /// Mean duration on the callee's side in seconds; on the caller's side for a far side without telemetry.
    pub mean_seconds: f64,
    /// End of the latest call.
    pub last_seen: UnixNanos,
}

/// The graph at one point in time.
#[derive(Debug, Default)]
pub(super) struct Graph {
    callees: BTreeMap<NodeId, BTreeSet<NodeId>>,
    callers: BTreeMap<NodeId, BTreeSet<NodeId>>,
}

/// How two services are connected.
#[derive(Debug, PartialEq)]
pub(super) struct Link {
    /// Calls between them: 0 for the same service, 2 for a shared far side.
    pub(super) distance: u32,
    pub(super) reason: String,
}

impl Graph {
    pub(super) fn new(history: &History) -> Self {
        let mut graph = Self::default();
        for (caller, callee) in history.edges.keys() {
            graph.callees.entry(*caller).or_default().insert(*callee);
            graph.callers.entry(*callee).or_default().insert(*caller);
        }
        graph
    }

    pub(super) fn callees(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.callees.get(&node).into_iter().flatten().copied()
    }

    fn calls(&self, caller: NodeId, callee: NodeId) -> bool {
        self.callees.get(&caller).is_some_and(|callees| callees.contains(&callee))
    }

    /// A node that `caller` calls and that calls `callee`.
    fn between(&self, caller: NodeId, callee: NodeId) -> Option<NodeId> {
        self.callees(caller).find(|middle| *middle != caller && *middle != callee && self.calls(*middle, callee))
    }

    /// How `new` is connected with `old`: the same, caller and callee at most `most` calls apart, or by a far side that both
    /// call.
    pub(super) fn link(&self, history: &History, old: &ServiceKey, new: &ServiceKey, most: u32) -> Option<Link> {
        let link = |distance, reason| Some(Link { distance, reason });
        if old == new {
            return link(0, format!("{new} is already affected"));
        }
        let (from, to) = (history.find(old)?, history.find(new)?);
        let name = |node: NodeId| history.service(node).map(ToString::to_string).unwrap_or_default();
        if most >= 1 && self.calls(from, to) {
            return link(1, format!("{new} is called by {old}"));
        }
        if most >= 1 && self.calls(to, from) {
            return link(1, format!("{new} calls {old}"));
        }
        if most >= 2 {
            if let Some(middle) = self.between(from, to) {
                return link(2, format!("{new} is called by {old} through {}", name(middle)));
            }
            if let Some(middle) = self.between(to, from) {
                return link(2, format!("{new} calls {old} through {}", name(middle)));
            }
            if let Some(far) = self.callees(from).find(|far| !history.is_observed(*far) && self.calls(to, *far)) {
                return link(2, format!("{new} and {old} both call {}", name(far)));
            }
        }
        None
    }

    /// All that are at most two calls away from `nodes`, in whatever direction: every service that [`Self::link`] can connect with one of
    /// them, and some more. Without `nodes` themselves.
    pub(super) fn around(&self, nodes: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
        let beside = |nodes: &BTreeSet<NodeId>| -> BTreeSet<NodeId> {
            let steps = |node| [self.callees.get(node), self.callers.get(node)].into_iter().flatten().flatten();
            nodes.iter().flat_map(steps).copied().collect()
        };
        let first = beside(nodes);
        let second = beside(&first);
        first.union(&second).copied().filter(|node| !nodes.contains(node)).collect()
    }

    /// All that call `nodes`, directly or not, without `nodes` themselves.
    pub(super) fn upstream(&self, nodes: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
        reach(&self.callers, nodes)
    }

    /// All that `nodes` call, directly or not, without `nodes` themselves.
    pub(super) fn downstream(&self, nodes: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
        reach(&self.callees, nodes)
    }
}

/// What can be reached from `nodes` in `steps`, without `nodes` themselves.
fn reach(steps: &BTreeMap<NodeId, BTreeSet<NodeId>>, nodes: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
    let mut found = BTreeSet::new();
    let mut open: Vec<NodeId> = nodes.iter().copied().collect();
    while let Some(node) = open.pop() {
        for next in steps.get(&node).into_iter().flatten() {
            if !nodes.contains(next) && found.insert(*next) {
                open.push(*next);
            }
        }
    }
    found
}

/// The edges of the last hour, by caller and callee.
pub(super) fn edges(history: &History) -> Vec<Edge> {
    let sum = history.calls();
    let mut edges: Vec<Edge> = history
        .edges
        .iter()
        .filter_map(|((caller, callee), last_seen)| {
            let cell = sum.get(&(*caller, *callee));
            let calls = cell.map_or(0, |cell| cell.count);
            Some(Edge {
                caller: history.service(*caller)?.clone(),
                callee: history.service(*callee)?.clone(),
                far_side: !history.is_observed(*callee),
                calls: u64::from(calls),
                errors: cell.map_or(0, |cell| u64::from(cell.errors)),
                mean_seconds: cell.map_or(0.0, |cell| cell.seconds / f64::from(calls.max(1))),
                last_seen: *last_seen,
            })
        })
        .collect();
    edges.sort_by(|a, b| (&a.caller, &a.callee).cmp(&(&b.caller, &b.callee)));
    edges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::history::SLOT_NANOS;

    /// Groups that could become one must be looked at: whatever is connected is around, in whichever order it is asked.
    #[test]
    fn all_that_is_connected_is_around() {
        let service = |number: usize| ServiceKey::new("", &format!("service-{number}"));
        let mut state = 7_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut connected = 0;
        for _ in 0..200 {
            let mut history = History::new();
            let now = UnixNanos(1_000 * SLOT_NANOS);
            history.advance(now);
            let nodes: Vec<NodeId> = (0..12)
                .map(|number| match random(3) {
                    0 => history.node(&service(number)).expect("there is room"),
                    _ => history.observed_node(&service(number)).expect("there is room"),
                })
                .collect();
            for _ in 0..random(16) {
                history.edge(nodes[random(12)], nodes[random(12)], now);
            }
            let graph = Graph::new(&history);
            for old in 0..12 {
                let around = graph.around(&BTreeSet::from([nodes[old]]));
                for new in (0..12).filter(|new| *new != old) {
                    if graph.link(&history, &service(old), &service(new), 2).is_some() {
                        connected += 1;
                        assert!(around.contains(&nodes[new]), "{old} and {new}");
                    }
                }
            }
        }
        assert!(connected > 1_000, "{connected}");
    }
}
