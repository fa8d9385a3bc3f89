//! Distributions over buckets: differences, merging, quantiles. Follows the OTLP metrics data model, "Histogram" and
//! "ExponentialHistogram".

use crate::signal::ExponentialBuckets;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Most buckets that one side of an exponential distribution keeps; it is scaled down until they suffice.
const MAX_EXPONENTIAL_BUCKETS: u64 = 512;
/// Most bounds of an explicit distribution.
const MAX_BOUNDS: usize = 1_024;
/// Most different sets of bounds that are merged exactly. The values of more sets are left out of the quantiles.
const MAX_LAYOUTS: usize = 16;

/// How the values of one point are spread.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) enum Buckets {
    /// Not told.
    Unknown,
    /// `counts` is one longer than `bounds`; bucket `i` holds `(bounds[i-1], bounds[i]]`.
    Explicit { bounds: Arc<[f64]>, counts: Vec<u64> },
    /// See [`Exponential`].
    Exponential(Exponential),
}

/// Buckets whose bounds are powers of `2^(2^-scale)`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Exponential {
    scale: i32,
    zero: u64,
    positive: Side,
    negative: Side,
}

/// Values of one sign; bucket `i` holds magnitudes in `(base^i, base^(i+1)]`. Empty buckets at both ends are not kept.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Side {
    offset: i64,
    counts: Vec<u64>,
}

/// The distributions of several points together.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Merged {
    explicit: Vec<Layout>,
    exponential: Option<(Exponential, Limits)>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Layout {
    bounds: Arc<[f64]>,
    counts: Vec<u64>,
    limits: Limits,
}

/// What is known of the smallest and the largest value.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Limits {
    min: Option<f64>,
    max: Option<f64>,
}

/// Values spread evenly over an interval, or all at one point.
#[derive(Clone, Copy, Debug)]
struct Cell {
    lower: f64,
    upper: f64,
    count: f64,
}

// === impl Buckets ===

impl Buckets {
    /// Explicit buckets, `None` if the layout makes no sense. `known` are bounds to share if they are the same.
    pub(super) fn explicit(bounds: &[f64], counts: &[u64], known: Option<&Arc<[f64]>>) -> Option<Self> {
        if counts.is_empty() {
            return bounds.is_empty().then_some(Self::Unknown);
        }
        if counts.len() != bounds.len() + 1 || bounds.len() > MAX_BOUNDS {
            return None;
        }
        if let Some(known) = known.filter(|known| ***known == *bounds) {
            return Some(Self::Explicit { bounds: Arc::clone(known), counts: counts.to_vec() });
        }
        let ascending = bounds.windows(2).all(|pair| pair[0] < pair[1]);
        let finite = bounds.iter().all(|bound| bound.is_finite());
        (ascending && finite).then(|| Self::Explicit { bounds: bounds.into(), counts: counts.to_vec() })
    }

    /// Exponential buckets, scaled down where there are too many.
    pub(super) fn exponential(
        scale: i32,
        zero: u64,
        positive: ExponentialBuckets<'_>,
        negative: ExponentialBuckets<'_>,
    ) -> Self {
        let mut exponential = Exponential { scale, zero, positive: Side::new(positive), negative: Side::new(negative) };
        exponential.fit();
        Self::Exponential(exponential)
    }

    pub(super) fn bounds(&self) -> Option<&Arc<[f64]>> {
        match self {
            Self::Explicit { bounds, .. } => Some(bounds),
            _ => None,
        }
    }

    /// What was added since `earlier`; `None` where a count went down or the bounds changed, which is a reset.
    pub(super) fn since(&self, earlier: &Self) -> Option<Self> {
        match (self, earlier) {
            (Self::Unknown, Self::Unknown) => Some(Self::Unknown),
            (Self::Explicit { bounds, counts }, Self::Explicit { bounds: old_bounds, counts: old_counts })
                if bounds == old_bounds =>
            {
                let counts = counts.iter().zip(old_counts).map(|(new, old)| new.checked_sub(*old));
                Some(Self::Explicit { bounds: Arc::clone(bounds), counts: counts.collect::<Option<_>>()? })
            }
            (Self::Exponential(new), Self::Exponential(old)) => new.since(old).map(Self::Exponential),
            _ => None,
        }
    }
}

// === impl Side ===

impl Side {
    fn new(buckets: ExponentialBuckets<'_>) -> Self {
        let first = buckets.counts.iter().position(|&count| count > 0).unwrap_or(buckets.counts.len());
        let last = buckets.counts.iter().rposition(|&count| count > 0).map_or(first, |last| last + 1);
        let offset = i64::from(buckets.offset) + i64::try_from(first).unwrap_or(0);
        Self { offset, counts: buckets.counts[first..last].to_vec() }.trimmed()
    }

    fn trimmed(mut self) -> Self {
        let first = self.counts.iter().position(|&count| count > 0).unwrap_or(self.counts.len());
        self.counts.drain(..first);
        self.offset += i64::try_from(first).unwrap_or(0);
        while self.counts.last() == Some(&0) {
            self.counts.pop();
        }
        if self.counts.is_empty() {
            self.offset = 0;
        }
        self
    }

    /// The index after the last bucket.
    fn end(&self) -> i64 {
        self.offset + i64::try_from(self.counts.len()).unwrap_or(0)
    }

    /// The same at a scale that is smaller by `by`: 2^by buckets become one.
    fn scaled_down(&self, by: u32) -> Self {
        let by = by.min(62);
        if by == 0 || self.counts.is_empty() {
            return self.clone();
        }
        let offset = self.offset >> by;
        let length = ((self.end() - 1) >> by) - offset + 1;
        let mut counts = vec![0u64; usize::try_from(length).unwrap_or(0)];
        for (index, &count) in (self.offset..).zip(&self.counts) {
            let slot = &mut counts[usize::try_from((index >> by) - offset).unwrap_or(0)];
            *slot = slot.saturating_add(count);
        }
        Self { offset, counts }
    }

    /// How far two sides together must be scaled down to fit.
    fn excess(&self, other: &Self) -> u32 {
        let (low, high) = match (self.counts.is_empty(), other.counts.is_empty()) {
            (true, true) => return 0,
            (false, true) => (self.offset, self.end()),
            (true, false) => (other.offset, other.end()),
            (false, false) => (self.offset.min(other.offset), self.end().max(other.end())),
        };
        let mut by = 0;
        while u64::try_from(((high - 1) >> by) - (low >> by)).unwrap_or(0) >= MAX_EXPONENTIAL_BUCKETS {
            by += 1;
        }
        by
    }

    fn add(&mut self, other: &Self) {
        if other.counts.is_empty() {
            return;
        }
        if self.counts.is_empty() {
            *self = other.clone();
            return;
        }
        let offset = self.offset.min(other.offset);
        let length = usize::try_from(self.end().max(other.end()) - offset).unwrap_or(0);
        let mut counts = vec![0u64; length];
        for side in [&*self, other] {
            let skip = usize::try_from(side.offset - offset).unwrap_or(0);
            for (slot, &count) in counts[skip..].iter_mut().zip(&side.counts) {
                *slot = slot.saturating_add(count);
            }
        }
        *self = Self { offset, counts };
    }

    /// `None` if a count went down.
    fn since(&self, earlier: &Self) -> Option<Self> {
        if earlier.counts.is_empty() {
            return Some(self.clone());
        }
        if earlier.offset < self.offset || earlier.end() > self.end() {
            return None;
        }
        let mut rest = self.clone();
        let skip = usize::try_from(earlier.offset - self.offset).unwrap_or(0);
        for (slot, &count) in rest.counts[skip..].iter_mut().zip(&earlier.counts) {
            *slot = slot.checked_sub(count)?;
        }
        Some(rest.trimmed())
    }
}

// === impl Exponential ===

impl Exponential {
    fn scaled_down(&self, by: u32) -> Self {
        Self {
            scale: self.scale.saturating_sub(i32::try_from(by).unwrap_or(i32::MAX)),
            zero: self.zero,
            positive: self.positive.scaled_down(by),
            negative: self.negative.scaled_down(by),
        }
    }

    /// Scales down until both sides fit.
    fn fit(&mut self) {
        let nothing = Side::default();
        let by = self.positive.excess(&nothing).max(self.negative.excess(&nothing));
        if by > 0 {
            *self = self.scaled_down(by);
        }
    }

    fn to_scale(&self, scale: i32) -> Self {
        self.scaled_down(u32::try_from(i64::from(self.scale) - i64::from(scale)).unwrap_or(0))
    }

    fn since(&self, earlier: &Self) -> Option<Self> {
        let scale = self.scale.min(earlier.scale);
        let (new, old) = (self.to_scale(scale), earlier.to_scale(scale));
        Some(Self {
            scale,
            zero: new.zero.checked_sub(old.zero)?,
            positive: new.positive.since(&old.positive)?,
            negative: new.negative.since(&old.negative)?,
        })
    }

    fn add(&mut self, other: &Self) {
        let scale = self.scale.min(other.scale);
        let (mut left, mut right) = (self.to_scale(scale), other.to_scale(scale));
        let by = left.positive.excess(&right.positive).max(left.negative.excess(&right.negative));
        if by > 0 {
            (left, right) = (left.scaled_down(by), right.scaled_down(by));
        }
        left.zero = left.zero.saturating_add(right.zero);
        left.positive.add(&right.positive);
        left.negative.add(&right.negative);
        *self = left;
    }

    /// Cells in ascending order.
    fn cells(&self, cells: &mut Vec<Cell>) {
        for (position, &count) in self.negative.counts.iter().enumerate().rev() {
            let index = self.negative.offset + i64::try_from(position).unwrap_or(0);
            let (near, far) = (bound(index, self.scale), bound(index + 1, self.scale));
            cells.push(Cell { lower: -far, upper: -near, count: count as f64 });
        }
        cells.push(Cell { lower: 0.0, upper: 0.0, count: self.zero as f64 });
        for (index, &count) in (self.positive.offset..).zip(&self.positive.counts) {
            let (near, far) = (bound(index, self.scale), bound(index + 1, self.scale));
            cells.push(Cell { lower: near, upper: far, count: count as f64 });
        }
    }
}

/// `2^(index * 2^-scale)`, cut to what a finite number can be.
fn bound(index: i64, scale: i32) -> f64 {
    let exponent = index as f64 * libm::exp2(f64::from(scale.saturating_neg()));
    if exponent.is_nan() {
        return 1.0;
    }
    libm::exp2(exponent.clamp(-1_100.0, 1_100.0)).min(f64::MAX)
}

// === impl Limits ===

impl Limits {
    /// Unknown where a number is not finite or both contradict each other.
    pub(super) fn new(min: Option<f64>, max: Option<f64>) -> Self {
        let (min, max) = (min.filter(|min| min.is_finite()), max.filter(|max| max.is_finite()));
        match (min, max) {
            (Some(low), Some(high)) if low > high => Self { min: None, max: None },
            _ => Self { min, max },
        }
    }

    fn widen(&mut self, other: Self) {
        self.min = self.min.zip(other.min).map(|(left, right)| left.min(right));
        self.max = self.max.zip(other.max).map(|(left, right)| left.max(right));
    }

    fn apply(self, cells: &mut [Cell]) {
        let low = self.min.unwrap_or(f64::NEG_INFINITY);
        let high = self.max.unwrap_or(f64::INFINITY);
        for cell in cells {
            cell.lower = cell.lower.clamp(low, high);
            cell.upper = cell.upper.clamp(low, high);
        }
    }
}

// === impl Merged ===

impl Merged {
    pub(super) fn add(&mut self, buckets: &Buckets, limits: Limits) {
        match buckets {
            Buckets::Unknown => {}
            Buckets::Explicit { bounds, counts } => self.add_explicit(bounds, counts, limits),
            Buckets::Exponential(exponential) => self.add_exponential(exponential, limits),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for layout in &other.explicit {
            self.add_explicit(&layout.bounds, &layout.counts, layout.limits);
        }
        if let Some((exponential, limits)) = &other.exponential {
            self.add_exponential(exponential, *limits);
        }
    }

    fn add_explicit(&mut self, bounds: &Arc<[f64]>, counts: &[u64], limits: Limits) {
        if counts.iter().all(|&count| count == 0) {
            return;
        }
        match self.explicit.iter().position(|layout| layout.bounds == *bounds) {
            Some(at) => {
                let layout = &mut self.explicit[at];
                for (slot, &count) in layout.counts.iter_mut().zip(counts) {
                    *slot = slot.saturating_add(count);
                }
                layout.limits.widen(limits);
            }
            None if self.explicit.len() < MAX_LAYOUTS => {
                self.explicit.push(Layout { bounds: Arc::clone(bounds), counts: counts.to_vec(), limits });
            }
            None => {}
        }
    }

    fn add_exponential(&mut self, other: &Exponential, limits: Limits) {
        match &mut self.exponential {
            Some((exponential, known)) => {
                exponential.add(other);
                known.widen(limits);
            }
            None => self.exponential = Some((other.clone(), limits)),
        }
    }

    /// The quantiles `qs` (0 to 1), linearly interpolated within the bucket; `None` without any value.
    ///
    /// An outermost bucket without a known end counts as a point at its inner end, except that the first one starts at 0
    /// if its bound is above 0.
    pub(super) fn quantiles<const N: usize>(&self, qs: [f64; N]) -> Option<[f64; N]> {
        let mut cells = Vec::new();
        let mut layouts = 0;
        for layout in &self.explicit {
            let first = cells.len();
            explicit_cells(&layout.bounds, &layout.counts, layout.limits, &mut cells);
            layout.limits.apply(&mut cells[first..]);
            layouts += 1;
        }
        if let Some((exponential, limits)) = &self.exponential {
            let first = cells.len();
            exponential.cells(&mut cells);
            limits.apply(&mut cells[first..]);
            layouts += 1;
        }
        cells.retain(|cell| cell.count > 0.0);
        let total: f64 = cells.iter().map(|cell| cell.count).sum();
        if total <= 0.0 {
            return None;
        }
        Some(qs.map(|q| if layouts == 1 { in_order(&cells, q * total) } else { overlapping(&cells, q * total) }))
    }
}

fn explicit_cells(bounds: &[f64], counts: &[u64], limits: Limits, cells: &mut Vec<Cell>) {
    for (index, &count) in counts.iter().enumerate() {
        let upper = bounds.get(index).copied();
        let lower = index.checked_sub(1).and_then(|before| bounds.get(before)).copied();
        let (lower, upper) = match (lower, upper) {
            (Some(lower), Some(upper)) => (lower, upper),
            (None, Some(upper)) => (limits.min.unwrap_or(if upper > 0.0 { 0.0 } else { upper }), upper),
            (Some(lower), None) => (lower, limits.max.unwrap_or(lower)),
            // One bucket for everything says nothing without the limits; their middle is as good as any other value.
            (None, None) => match (limits.min, limits.max) {
                (Some(min), Some(max)) => (min, max),
                _ => continue,
            },
        };
        cells.push(Cell { lower: lower.min(upper), upper: upper.max(lower), count: count as f64 });
    }
}

/// The value of a rank among cells that stand in ascending order.
fn in_order(cells: &[Cell], rank: f64) -> f64 {
    let mut below = 0.0;
    for cell in cells {
        if below + cell.count >= rank {
            let share = ((rank - below) / cell.count).clamp(0.0, 1.0);
            return between(cell.lower, cell.upper, share);
        }
        below += cell.count;
    }
    cells.last().map_or(0.0, |cell| cell.upper)
}

/// The value of a rank among cells that overlap, by halving the range in which it lies.
fn overlapping(cells: &[Cell], rank: f64) -> f64 {
    let mut low = cells.iter().map(|cell| cell.lower).fold(f64::INFINITY, f64::min);
    let mut high = cells.iter().map(|cell| cell.upper).fold(f64::NEG_INFINITY, f64::max);
    for _ in 0..100 {
        let middle = between(low, high, 0.5);
        let below: f64 = cells.iter().map(|cell| cell.count * share_below(cell, middle)).sum();
        if below >= rank { high = middle } else { low = middle }
    }
    high
}

fn share_below(cell: &Cell, value: f64) -> f64 {
    if value >= cell.upper {
        1.0
    } else if value <= cell.lower {
        0.0
    } else {
        // Halved, so that the difference of two large numbers stays finite.
        ((value / 2.0 - cell.lower / 2.0) / (cell.upper / 2.0 - cell.lower / 2.0)).clamp(0.0, 1.0)
    }
}

fn between(lower: f64, upper: f64, share: f64) -> f64 {
    (lower * (1.0 - share) + upper * share).clamp(lower, upper)
}

#[cfg(test)]
mod tests;
