//! Where an incident started: account for the damage, then explain it away.
//!
//! Each service gets three estimates of the damage it does: added seconds, requests that behave differently, and resources
//! that are used up. What its callees explain is taken off. The scores are independent explanations and are combined as
//! such: `1 - (1 - latency)(1 - behaviour)(1 - resources)`. Where there are no spans, the order of the graph and who was odd
//! first decide.
//!
//! Compared are the 180 seconds from the start on with the time up to 120 seconds before it (the guard, for what was odd
//! before it was noticed), and with the usual spread of such 180 seconds.

use super::{
    cause_anomalies::{self, Prior},
    history::{History, LabelId, NodeId, OpId, SLOT_NANOS, Slot},
};
use crate::{
    anomaly::units::{format_value, number},
    time::UnixNanos,
};
use std::collections::{BTreeMap, BTreeSet};

/// What is looked at after the start, in nanoseconds.
pub(super) const AFTER_NANOS: u64 = 180_000_000_000;
/// What is left out before the start, in nanoseconds.
const GUARD_NANOS: u64 = 120_000_000_000;
/// Earlier stretches of the same length that tell the usual spread.
const STRETCHES: u64 = 10;
/// Stretches that are needed for that.
const MIN_STRETCHES: usize = 3;

/// One candidate.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) node: NodeId,
    /// 0 to 1.
    pub(super) score: f64,
    /// Whether it is an entrance through which clearly more requests come than usual.
    pub(super) surges: bool,
    pub(super) reasons: Vec<String>,
}

/// What is compared.
struct Evidence<'a> {
    history: &'a History,
    after: Slot,
    before: Slot,
    stretches: Vec<Slot>,
}

/// The share that a z of `z` is believed: 0 for nothing odd, 1/2 at `c`.
fn gate(z: f64, c: f64) -> f64 {
    let z = z.max(0.0);
    z * z / (z * z + c * c)
}

/// Ranks all services, the most probable first. Services without any score are left out.
/// `now` is how far the history is known.
pub(super) fn rank(
    history: &History,
    start: UnixNanos,
    now: UnixNanos,
    priors: &BTreeMap<NodeId, Prior>,
) -> Vec<Candidate> {
    let start = start.floor_to(SLOT_NANOS);
    let guard = start.minus(GUARD_NANOS);
    let stretches = (0..STRETCHES).map(|index| {
        let to = guard.minus(index * AFTER_NANOS);
        history.sum(to.minus(AFTER_NANOS), to)
    });
    let evidence = Evidence {
        history,
        after: history.sum(start, start.plus(AFTER_NANOS)),
        before: history.sum(UnixNanos(0), guard),
        stretches: stretches.filter(|slot| !slot.visits.is_empty()).collect(),
    };
    let surge = evidence.surge(now.floor_to(SLOT_NANOS).since(start).min(AFTER_NANOS));
    let explained_by_load = 1.0 - 0.7 * surge.values().map(|(score, _)| *score).fold(0.0, f64::max);
    let mut factors: BTreeMap<NodeId, (f64, Vec<(f64, String)>)> = BTreeMap::new();
    let mut add = |scores: BTreeMap<NodeId, (f64, String)>| {
        for (node, (score, reason)) in scores {
            let score = if surge.contains_key(&node) { score } else { score * explained_by_load };
            let entry = factors.entry(node).or_insert((1.0, Vec::new()));
            entry.0 *= 1.0 - score.clamp(0.0, 1.0);
            entry.1.push((score, reason));
        }
    };
    add(evidence.latency());
    add(evidence.behaviour());
    add(cause_anomalies::resources(priors));
    add(cause_anomalies::order(history, priors, &evidence.before.visits.keys().map(|(node, _)| *node).collect()));
    add(surge.clone());
    let mut candidates: Vec<Candidate> = factors
        .into_iter()
        .map(|(node, (rest, mut reasons))| {
            reasons.sort_by(|(a, a_text), (b, b_text)| b.total_cmp(a).then_with(|| a_text.cmp(b_text)));
            let most = reasons.first().map_or(0.0, |(score, _)| *score);
            let telling = reasons.into_iter().filter(|(score, _)| *score >= 0.25 * most);
            Candidate {
                node,
                score: 1.0 - rest,
                surges: surge.contains_key(&node),
                reasons: telling.map(|(_, text)| text).take(3).collect(),
            }
        })
        .filter(|candidate| candidate.score > 1e-3)
        .collect();
    candidates.sort_by(|a, b| {
        b.score.total_cmp(&a.score).then_with(|| history.service(a.node).cmp(&history.service(b.node)))
    });
    candidates
}

/// Time added somewhere.
struct Added {
    /// Seconds in all, believed.
    seconds: f64,
    gate: f64,
    /// How many.
    count: f64,
    /// Seconds each, before belief.
    each: f64,
}

impl Evidence<'_> {
    fn service(&self, node: NodeId) -> String {
        self.history.service(node).map(ToString::to_string).unwrap_or_default()
    }

    /// The time that `after` adds over `before`; `None` with too little to compare.
    fn added(
        &self,
        after: &super::histogram::Histogram,
        before: &super::histogram::Histogram,
        earlier: impl Fn(&Slot) -> Option<f64>,
    ) -> Option<Added> {
        let mean = after.winsorised_mean()?;
        let mut each = (mean - before.winsorised_mean()?).max(0.0);
        let mut usual: Vec<f64> = self.stretches.iter().filter_map(earlier).collect();
        if usual.len() >= MIN_STRETCHES {
            each = each.min((mean - median(&mut usual)).max(0.0));
        }
        let z = after.rank_sum_z(before).min(each / before.quantile(0.5).max(1e-3) / 0.5);
        let (gate, count) = (gate(z, 2.0), after.count() as f64);
        Some(Added { seconds: count * each * gate, gate, count, each })
    }

    /// Services that nobody calls and that get clearly more requests than usual: what goes wrong behind them may be no more than
    /// the load. `elapsed` is how much of the time after the start is known.
    fn surge(&self, elapsed: u64) -> BTreeMap<NodeId, (f64, String)> {
        let called: BTreeSet<NodeId> =
            self.history.edges.keys().filter(|(caller, callee)| caller != callee).map(|(_, callee)| *callee).collect();
        if elapsed < AFTER_NANOS / 4 || self.stretches.len() < MIN_STRETCHES {
            return BTreeMap::new();
        }
        let entries = self.after.requests.iter().filter(|(node, _)| !called.contains(node));
        entries
            .filter_map(|(node, requests)| {
                let usual = |slot: &Slot| slot.requests.get(node).map_or(0.0, |requests| *requests as f64);
                let usual = median(&mut self.stretches.iter().map(usual).collect::<Vec<_>>());
                let growth = *requests as f64 / (usual * elapsed as f64 / AFTER_NANOS as f64);
                // On few requests, growth is chance.
                if usual < 100.0 || !growth.is_finite() || growth < 1.2 {
                    return None;
                }
                let score = 0.95 * gate((growth - 1.0) / 0.2, 2.0);
                let percent = number(((growth - 1.0) * 100.0).round());
                Some((*node, (score, format!("it gets {percent} % more requests than usual"))))
            })
            .collect()
    }

    /// Added seconds: in the services themselves and on the way between them.
    fn latency(&self) -> BTreeMap<NodeId, (f64, String)> {
        let mut damage: BTreeMap<NodeId, (f64, f64, String)> = BTreeMap::new();
        let mut blame = |node: NodeId, seconds: f64, reason: &dyn Fn() -> String| {
            let entry = damage.entry(node).or_insert((0.0, 0.0, String::new()));
            entry.0 += seconds;
            if seconds > entry.1 {
                (entry.1, entry.2) = (seconds, reason());
            }
        };
        for (operation, cell) in &self.after.visits {
            let whole_service = || {
                let mut sum = super::histogram::Histogram::default();
                let all = self.before.visits.range((operation.0, 0)..=(operation.0, u32::MAX));
                all.for_each(|(_, cell)| sum.merge(&cell.own));
                sum
            };
            let before = match self.before.visits.get(operation) {
                Some(cell) if cell.own.count() >= 2 => cell.own.clone(),
                _ => whole_service(),
            };
            if before.count() < 2 || cell.own.count() < 2 {
                continue;
            }
            let earlier = |slot: &Slot| slot.visits.get(operation).and_then(|cell| cell.own.winsorised_mean());
            let Some(added) = self.added(&cell.own, &before, earlier).filter(|added| added.seconds > 0.0) else {
                continue;
            };
            blame(operation.0, added.seconds, &|| {
                let each = format_value(added.each, "s");
                format!("its own work on {} takes {each} longer", self.history.text(operation.1))
            });
        }
        let ways = self.ways();
        for ((caller, callee), way) in ways.iter().filter(|(_, way)| way.seconds > 0.0) {
            let share = callee_share(&ways, *caller, *callee, way);
            let each = format_value(way.each, "s");
            blame(*callee, way.seconds * share, &|| {
                format!("calls from {} wait {each} longer before it answers", self.service(*caller))
            });
            blame(*caller, way.seconds * (1.0 - share), &|| {
                format!("its calls to {} take {each} longer on the way", self.service(*callee))
            });
        }
        let total: f64 = damage.values().map(|(seconds, ..)| seconds).sum();
        let believed = gate(total / (self.after.root_seconds + 1e-9), 0.15);
        let scored = damage.into_iter().filter(|(_, (seconds, ..))| *seconds > 0.0);
        scored.map(|(node, (seconds, _, reason))| (node, (believed * seconds / total, reason))).collect()
    }

    /// Added time between client and server, per edge.
    fn ways(&self) -> BTreeMap<(NodeId, NodeId), Added> {
        let mut to_callee: BTreeMap<NodeId, super::histogram::Histogram> = BTreeMap::new();
        let mut all = super::histogram::Histogram::default();
        for ((_, callee), cell) in &self.before.calls {
            to_callee.entry(*callee).or_default().merge(&cell.gap);
            all.merge(&cell.gap);
        }
        let enough = |histogram: &&super::histogram::Histogram| histogram.count() >= 2;
        let mut ways = BTreeMap::new();
        for (edge, cell) in &self.after.calls {
            let before = (self.before.calls.get(edge).map(|cell| &cell.gap).filter(enough))
                .or_else(|| to_callee.get(&edge.1).filter(enough))
                .or_else(|| Some(&all).filter(enough));
            let earlier = |slot: &Slot| slot.calls.get(edge).and_then(|cell| cell.gap.winsorised_mean());
            if let Some(added) = before.and_then(|before| self.added(&cell.gap, before, earlier)) {
                ways.insert(*edge, added);
            }
        }
        ways
    }

    /// Requests that behave differently: other log templates, other inner spans and calls, errors, or suspiciously fast.
    fn behaviour(&self) -> BTreeMap<NodeId, (f64, String)> {
        let mut changed: BTreeMap<NodeId, (f64, f64, String)> = BTreeMap::new();
        let mut note = |node: NodeId, mass: f64, share: f64, reason: String| {
            let entry = changed.entry(node).or_insert((0.0, 0.0, String::new()));
            if mass > entry.0 {
                *entry = (mass, share, reason);
            }
        };
        let features: BTreeSet<&(OpId, LabelId)> =
            self.after.features.keys().chain(self.before.features.keys()).collect();
        for &(operation, feature) in features {
            let key = (operation, feature);
            let count = |slot: &Slot| {
                let visits = slot.visits.get(&operation).map_or(0, |cell| cell.own.count());
                (f64::from(slot.features.get(&key).copied().unwrap_or(0)), visits as f64)
            };
            let text = self.history.text(feature);
            let Some(change) = self.change(count, false) else { continue };
            let what = match text.split_at_checked(1) {
                Some((">", far)) => format!("calls to {far}"),
                Some((_, inner)) => inner.to_owned(),
                None => continue,
            };
            let reason = change.words(&what, self.history.text(operation.1));
            note(operation.0, change.mass, change.share, reason);
        }
        let logs: BTreeSet<&(NodeId, LabelId)> = self.after.logs.keys().chain(self.before.logs.keys()).collect();
        for &(node, template) in logs {
            let text = self.history.text(template);
            let error = text.starts_with('!');
            let count = |slot: &Slot| {
                let records = slot.logs.get(&(node, template)).copied().unwrap_or(0);
                let requests = slot.requests.get(&node).copied().filter(|requests| *requests > 0);
                (records as f64, requests.unwrap_or_else(|| slot.visits_of(node)) as f64)
            };
            let Some(mut change) = self.change(count, error) else { continue };
            // Spans are sampled and logs are not: masses are compared in sampled visits.
            change.mass = change.believed * self.after.visits_of(node) as f64;
            let what = format!("log '{}'", text.get(1..).unwrap_or_default());
            note(node, change.mass, change.share, change.words(&what, "its requests"));
        }
        for (operation, cell) in &self.after.visits {
            let count = |slot: &Slot| {
                let cell = slot.visits.get(operation);
                (cell.map_or(0.0, |cell| f64::from(cell.errors)), cell.map_or(0.0, |cell| cell.own.count() as f64))
            };
            let name = self.history.text(operation.1);
            if let Some(change) = self.change(count, true) {
                note(operation.0, change.mass, change.share, change.words("errors", name));
            }
            let Some(before) = self.before.visits.get(operation).map(|cell| &cell.own) else { continue };
            if before.count() >= 3 && cell.own.count() >= 3 {
                let fall = 1.0 - cell.own.quantile(0.5) / before.quantile(0.5).max(1e-9);
                let share = ((fall - 0.5) / 0.5).max(0.0);
                let believed = share * gate(-cell.own.rank_sum_z(before), 4.0);
                let took = format_value(cell.own.quantile(0.5), "s");
                let reason = format!("{name} returns after {took} without its usual work");
                note(operation.0, believed * cell.own.count() as f64, believed, reason);
            }
        }
        let mut scores = BTreeMap::new();
        for (node, (mass, share, reason)) in &changed {
            let explained: f64 = self
                .after
                .calls
                .range((*node, 0)..=(*node, u32::MAX))
                .filter_map(|((_, callee), cell)| {
                    let (mass, share, _) = changed.get(callee)?;
                    Some(mass.min(f64::from(cell.count) * share))
                })
                .sum();
            let left = 0.8 * share * (1.0 - explained / (mass + 1e-9)).max(0.0);
            if left > 0.0 {
                scores.insert(*node, (left, reason.clone()));
            }
        }
        scores
    }

    /// How the rate of a feature per visit changed; `None` with fewer than three visits on either side, or where an error
    /// became rarer.
    fn change(&self, count: impl Fn(&Slot) -> (f64, f64), error: bool) -> Option<Change> {
        let ((a, n_a), (b, n_b)) = (count(&self.after), count(&self.before));
        if n_a < 3.0 || n_b < 3.0 {
            return None;
        }
        let per = (a / n_a).max(b / n_b).max(1.0);
        let (rate_a, rate_b) = (a / per / n_a, b / per / n_b);
        let smooth_a = (a / per + 0.5) / (n_a + 1.0);
        let smooth_b = (b / per + 0.5) / (n_b + 1.0);
        let spread = |p: f64, n: f64| (p * (1.0 - p)).abs() * (1.0 / n + 0.02);
        let mut rates: Vec<f64> = self
            .stretches
            .iter()
            .filter_map(|slot| {
                let (count, visits) = count(slot);
                (visits >= 3.0).then(|| count / per / visits)
            })
            .collect();
        let (difference, deviation, reference) = if rates.len() >= MIN_STRETCHES {
            rates.push(rate_b);
            let middle = median(&mut rates);
            let mut off: Vec<f64> = rates.iter().map(|rate| (rate - middle).abs()).collect();
            let floor = 0.5 / (n_b + 1.0);
            (
                rate_a - middle,
                1.4826 * median(&mut off),
                if middle <= 1.0 { middle.clamp(floor, 1.0 - floor) } else { middle },
            )
        } else {
            (rate_a - rate_b, 0.0, smooth_b)
        };
        if error && difference < 0.0 {
            return None;
        }
        let variance = deviation * deviation + spread(reference, n_b) + spread(smooth_a, n_a);
        let z = difference.abs() / variance.max(1e-12).sqrt();
        let believed = difference.abs().min(1.0) * gate(z, if error { 2.0 } else { 4.0 });
        Some(Change { mass: n_a * believed, share: believed, believed, difference })
    }
}

/// How a feature changed.
struct Change {
    mass: f64,
    share: f64,
    believed: f64,
    difference: f64,
}

impl Change {
    fn words(&self, what: &str, operation: &str) -> String {
        let percent = number((self.difference.abs() * 100.0).min(100.0).round());
        match self.difference >= 0.0 {
            true => format!("{what} in {percent} % more of {operation}"),
            false => format!("{what} missing from {percent} % of {operation}"),
        }
    }
}

/// The callee's part of the time added on the way: large if its other callers wait longer too, and small if the caller's other
/// calls do.
fn callee_share(ways: &BTreeMap<(NodeId, NodeId), Added>, caller: NodeId, callee: NodeId, way: &Added) -> f64 {
    let consistency = |others: &mut dyn Iterator<Item = &Added>, doubt: f64| {
        let (mut weighed, mut weights) = (doubt, 1.0);
        for other in others {
            let weight = (other.count / 5.0).min(1.0);
            weighed += weight * other.gate * (other.each / way.each).min(1.0);
            weights += weight;
        }
        let mean: f64 = weighed / weights;
        mean.powi(4)
    };
    let mut outgoing =
        ways.range((caller, 0)..=(caller, u32::MAX)).filter(|((_, to), _)| *to != callee).map(|(_, way)| way);
    let mut incoming = ways.iter().filter(|((from, to), _)| *to == callee && *from != caller).map(|(_, way)| way);
    let (out, into) = (consistency(&mut outgoing, 0.4), consistency(&mut incoming, 0.5));
    into / (into + out)
}

/// The middle value; 0 if there is none.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}
