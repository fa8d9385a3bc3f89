//! What the anomalies themselves say about where an incident started: resources used up, and who was odd first.

use super::{
    history::{History, NodeId},
    sign::RESOURCES,
};
use crate::{
    anomaly::{
        units::{clock, format_value, span_in_words},
        words::{series_label, shown_unit},
    },
    event::Anomaly,
    time::UnixNanos,
    window::SeriesKind,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Words in the names of what else runs out: queues are also what waits, and threads are no harm by themselves.
const ALSO_RESOURCES: [&str; 2] = ["queue", "thread"];

/// What is known of one service before its spans are looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Prior {
    pub(super) anomalies: Vec<Arc<Anomaly>>,
    /// New version and how many nanoseconds before the start it came.
    pub(super) version: Option<(Arc<str>, u64)>,
}

/// The share that a z of `z` is believed; see `cause`.
fn gate(z: f64, c: f64) -> f64 {
    let z = z.max(0.0);
    z * z / (z * z + c * c)
}

/// Resources near their end: gauges above their bounds, and forecasts.
pub(super) fn resources(priors: &BTreeMap<NodeId, Prior>) -> BTreeMap<NodeId, (f64, String)> {
    let mut scores: BTreeMap<NodeId, (f64, String)> = BTreeMap::new();
    for (node, prior) in priors {
        for anomaly in prior.anomalies.iter().filter(|anomaly| is_resource(anomaly)) {
            let score = 0.9 * saturation(anomaly);
            if score > scores.get(node).map_or(0.0, |(best, _)| *best) {
                let unit = shown_unit(&anomaly.series);
                let observed = anomaly.observed.map(|value| format_value(value, unit)).unwrap_or_default();
                let label = series_label(&anomaly.series);
                scores.insert(*node, (score, format!("{label} is at {observed}")));
            }
        }
    }
    scores
}

fn is_resource(anomaly: &Anomaly) -> bool {
    let name = anomaly.series.name.to_lowercase();
    anomaly.series.kind == SeriesKind::Gauge && RESOURCES.iter().chain(&ALSO_RESOURCES).any(|word| name.contains(word))
}

/// 0 to 1: how far above normal, in normal spreads and in doublings.
fn saturation(anomaly: &Anomaly) -> f64 {
    let (Some(observed), Some(expected)) = (anomaly.observed, anomaly.expected) else { return 0.0 };
    // Two points of a percentage, on the scale of the unit.
    let points = match &*anomaly.series.unit {
        "1" => 0.02,
        "%" => 2.0,
        _ => 0.0,
    };
    // Bounds are about three deviations from the middle, and the interquartile range is 1.35 of them.
    let range = anomaly.upper.map_or(0.0, |upper| 0.45 * (upper - expected));
    let spread = range.max(0.05 * expected.abs()).max(points).max(1e-12);
    let doublings = (observed.max(1e-9) / (expected + 3.0 * spread).max(1e-9)).log2() / 2.0;
    let forecast = if anomaly.forecast.is_some() { 0.3 } else { 0.0 };
    (gate((observed - expected) / spread, 5.0) * doublings.clamp(0.0, 1.0)).max(forecast)
}

/// Who has anomalies that nobody it calls explains, and was odd first. Weighs little for services whose spans were compared
/// (`compared`), since those say more.
pub(super) fn order(
    history: &History,
    priors: &BTreeMap<NodeId, Prior>,
    compared: &BTreeSet<NodeId>,
) -> BTreeMap<NodeId, (f64, String)> {
    let odd: BTreeMap<NodeId, UnixNanos> = priors
        .iter()
        .filter_map(|(node, prior)| Some((*node, prior.anomalies.iter().map(|anomaly| anomaly.start).min()?)))
        .collect();
    let Some(first) = odd.values().min().copied() else { return BTreeMap::new() };
    let mut scores = BTreeMap::new();
    for (node, start) in &odd {
        let Some(prior) = priors.get(node) else { continue };
        let strength = prior.anomalies.iter().map(|anomaly| anomaly.score()).fold(0.0, f64::max);
        let explained = history
            .edges
            .range((*node, 0)..=(*node, u32::MAX))
            .filter(|((_, callee), _)| *callee != *node && odd.contains_key(callee))
            .count();
        // Halved for each minute after the first; a window's length makes little difference.
        let early = 0.5f64.powf(start.since(first) as f64 / 60e9);
        let weight = if compared.contains(node) { 0.15 } else { 0.6 };
        let mut score = weight * strength * (0.4 + 0.6 * early) * if explained > 0 { 0.25 } else { 1.0 };
        let mut reason = match (explained, *start == first) {
            (0, true) => format!("it was odd first ({} UTC) and nothing it calls is affected", clock(*start)),
            (0, false) => "nothing it calls is affected".to_owned(),
            (_, true) => format!("it was odd first ({} UTC)", clock(*start)),
            (_, false) => "it is affected as well".to_owned(),
        };
        if let Some((version, before)) = &prior.version {
            score = 1.0 - (1.0 - score) * 0.7;
            reason = format!("version {version} came {} before, and {reason}", span_in_words(*before));
        }
        scores.insert(*node, (score, reason));
    }
    scores
}
