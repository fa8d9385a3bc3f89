//! Series and their ids: a family is what one metric with one set of attributes says, in one or more series.

use super::{keys::Pairs, quality::Watch};
use crate::{
    lru::Slot,
    time::UnixNanos,
    window::{Series, SeriesKind, Window},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Attribute that tells derived series apart.
const STATISTIC: &str = "foreshock.statistic";

/// Which series a family can have.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(super) enum Shape {
    /// One gauge.
    Level,
    /// One rate.
    Rate,
    /// Rate of the count, mean, and quantiles of a distribution.
    Spread,
    /// Rate, share of errors and duration of spans.
    Spans,
    /// Records that follow one template.
    Template,
    /// Records of one severity range.
    Severity,
}

/// What a family is about. Two families never have equal keys.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(super) struct FamilyKey {
    pub(super) name: Arc<str>,
    pub(super) unit: Arc<str>,
    pub(super) shape: Shape,
    pub(super) attributes: Pairs,
}

/// One series of a family.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Statistic {
    /// The only one.
    Only,
    Count,
    Mean,
    /// In hundred-thousandths.
    Quantile(u32),
    Calls,
    Errors,
    /// In hundred-thousandths.
    Duration(u32),
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Family {
    pub(super) key: Arc<FamilyKey>,
    pub(super) rows: Vec<Row>,
    /// The window in which it was last used, for eviction.
    pub(super) used_in: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Row {
    statistic: Statistic,
    /// `None` until it first had a value at the close of a window.
    pub(super) series: Option<Arc<Series>>,
    /// Whether the readers of windows know the series as it is described now.
    #[serde(skip)]
    announced: bool,
    pub(super) watch: Watch,
}

/// Where a family is kept.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    Metric(Slot),
    Operation(Slot),
    Entry,
    Template(Slot),
    Severity(usize),
}

/// One value of one series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub(super) value: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) count: u64,
}

/// A window in the making.
#[derive(Debug, Default)]
pub(super) struct WindowBuilder {
    pub(super) index: u64,
    opened: Vec<Arc<Series>>,
    rows: Vec<(u32, Value)>,
    fresh: Vec<(Series, Owner, Statistic, Value)>,
}

// === impl Value ===

impl Value {
    /// One sample.
    pub(super) fn single(value: f64, count: u64) -> Self {
        Self { value, min: value, max: value, count }
    }

    /// With `min <= value <= max` whatever rounding did, or `None` if the value is not finite.
    fn checked(self) -> Option<Self> {
        let min = if self.min.is_finite() { self.min.min(self.value) } else { self.value };
        let max = if self.max.is_finite() { self.max.max(self.value) } else { self.value };
        // Adding 0 turns -0 into 0, which detectors need not tell apart.
        self.value.is_finite().then_some(Self {
            value: self.value + 0.0,
            min: min + 0.0,
            max: max + 0.0,
            count: self.count.max(1),
        })
    }
}

// === impl Family ===

impl Family {
    pub(super) fn new(key: Arc<FamilyKey>) -> Self {
        Self { key, rows: Vec::new(), used_in: u64::MAX }
    }

    /// How many series it is counted as, whether or not all of them have spoken.
    pub(super) fn weight(&self) -> usize {
        match self.key.shape {
            Shape::Level | Shape::Rate | Shape::Template | Shape::Severity => 1,
            Shape::Spread | Shape::Spans => 5,
        }
    }

    /// Ids of its series that readers of windows have heard of.
    pub(super) fn ids(&self) -> impl Iterator<Item = u32> {
        self.rows.iter().filter_map(|row| row.series.as_ref().map(|series| series.id))
    }

    /// Describes its series anew, under the same ids, at the next value.
    pub(super) fn rename(&mut self, key: Arc<FamilyKey>) {
        self.key = key;
        for row in &mut self.rows {
            let described = row.series.as_ref().map(|series| describe(&self.key, row.statistic, series.id));
            if described.as_ref() != row.series.as_deref() {
                row.series = described.map(Arc::new);
                row.announced = false;
            }
        }
    }

    fn row(&mut self, statistic: Statistic) -> &mut Row {
        let at = match self.rows.iter().position(|row| row.statistic == statistic) {
            Some(at) => at,
            None => {
                self.rows.push(Row { statistic, series: None, announced: false, watch: Watch::default() });
                self.rows.len() - 1
            }
        };
        &mut self.rows[at]
    }
}

/// The series of a family, without regard to whether it has spoken.
fn describe(key: &FamilyKey, statistic: Statistic, id: u32) -> Series {
    let mut attributes = key.attributes.clone();
    let per_second = |unit: &str| -> Arc<str> { if unit.is_empty() { "".into() } else { format!("{unit}/s").into() } };
    let (name, unit, kind): (Arc<str>, Arc<str>, SeriesKind) = match (key.shape, statistic) {
        (Shape::Rate, _) => (Arc::clone(&key.name), per_second(&key.unit), SeriesKind::Rate),
        (Shape::Template, _) => (Arc::clone(&key.name), Arc::clone(&key.unit), SeriesKind::LogTemplate),
        (Shape::Severity, _) => (Arc::clone(&key.name), Arc::clone(&key.unit), SeriesKind::LogSeverity),
        (_, Statistic::Count) => (Arc::clone(&key.name), "1/s".into(), SeriesKind::Rate),
        (_, Statistic::Quantile(_)) => (Arc::clone(&key.name), Arc::clone(&key.unit), SeriesKind::Quantile),
        (_, Statistic::Calls) => (format!("{}.calls", key.name).into(), "{span}/s".into(), SeriesKind::SpanRate),
        (_, Statistic::Errors) => (format!("{}.errors", key.name).into(), "1".into(), SeriesKind::SpanErrors),
        (_, Statistic::Duration(_)) => (format!("{}.duration", key.name).into(), "s".into(), SeriesKind::SpanDuration),
        (_, Statistic::Only | Statistic::Mean) => (Arc::clone(&key.name), Arc::clone(&key.unit), SeriesKind::Gauge),
    };
    let value: Option<Arc<str>> = match statistic {
        Statistic::Only | Statistic::Calls | Statistic::Errors => None,
        Statistic::Count => Some("count".into()),
        Statistic::Mean => Some("mean".into()),
        Statistic::Quantile(share) | Statistic::Duration(share) => Some(quantile_name(share).into()),
    };
    if let Some(value) = value {
        attributes.retain(|(name, _)| &**name != STATISTIC);
        let at = attributes.partition_point(|(name, _)| &**name < STATISTIC);
        attributes.insert(at, (STATISTIC.into(), value));
    }
    Series { id, name, unit, kind, attributes }
}

/// `p50` for 50,000, `p99.9` for 99,900.
fn quantile_name(share: u32) -> String {
    let (whole, rest) = (share / 1_000, share % 1_000);
    if rest == 0 { format!("p{whole}") } else { format!("p{whole}.{}", format!("{rest:03}").trim_end_matches('0')) }
}

// === impl WindowBuilder ===

impl WindowBuilder {
    pub(super) fn new(index: u64) -> Self {
        Self { index, ..Self::default() }
    }

    /// Adds a value of a family's series. Values that are not finite are left out, and so is a second value of a series: a
    /// histogram and a summary of one name may both have a median.
    pub(super) fn add(&mut self, owner: Owner, family: &mut Family, statistic: Statistic, value: Value) {
        let Some(value) = value.checked() else { return };
        let index = self.index;
        let row = family.row(statistic);
        if row.watch.has_spoken(index) {
            return;
        }
        row.watch.spoke(index, value.value, value.min, value.max);
        match &row.series {
            Some(series) => {
                if !row.announced {
                    self.opened.push(Arc::clone(series));
                    row.announced = true;
                }
                self.rows.push((series.id, value));
            }
            None => self.fresh.push((describe(&family.key, statistic, 0), owner, statistic, value)),
        }
    }

    /// Gives ids to the series that spoke for the first time, in order of their description, so that the ids do not depend
    /// on the order in which points came. `name` hears of each.
    pub(super) fn number_fresh(&mut self, next_id: &mut u32, mut name: impl FnMut(Owner, Statistic, &Arc<Series>)) {
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.sort_by(|(left, ..), (right, ..)| {
            let key = |series: &Series| (Arc::clone(&series.name), series.kind, Arc::clone(&series.unit));
            key(left).cmp(&key(right)).then_with(|| left.attributes.cmp(&right.attributes))
        });
        for (mut series, owner, statistic, value) in fresh {
            series.id = *next_id;
            *next_id = next_id.wrapping_add(1);
            let series = Arc::new(series);
            name(owner, statistic, &series);
            self.rows.push((series.id, value));
            self.opened.push(series);
        }
    }

    /// The window; `closed` are the ids of series that went away.
    pub(super) fn finish(mut self, start: u64, end: u64, mut closed: Vec<u32>) -> Window {
        self.rows.sort_unstable_by_key(|(id, _)| *id);
        self.opened.sort_unstable_by_key(|series| series.id);
        closed.sort_unstable();
        Window {
            start: UnixNanos(start),
            end: UnixNanos(end),
            opened: self.opened,
            closed,
            ids: self.rows.iter().map(|(id, _)| *id).collect(),
            values: self.rows.iter().map(|(_, value)| value.value).collect(),
            minima: self.rows.iter().map(|(_, value)| value.min).collect(),
            maxima: self.rows.iter().map(|(_, value)| value.max).collect(),
            counts: self.rows.iter().map(|(_, value)| value.count).collect(),
        }
    }
}

impl Family {
    /// Takes the id of a series that spoke for the first time.
    pub(super) fn named(&mut self, statistic: Statistic, series: &Arc<Series>) {
        let row = self.row(statistic);
        row.series = Some(Arc::clone(series));
        row.announced = true;
    }
}
