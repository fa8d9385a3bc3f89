//! One instance's metric with its attributes: points wait here in order of time until their window closes, and counters
//! become rates.

use super::distribution::{Buckets, Limits, Merged};
use crate::lru::Slot;
use serde::{Deserialize, Serialize};

/// Points of a stream that wait for their window to close. With more, the older half is worked off early; what then still
/// comes for that time is late.
const MAX_PENDING: usize = 128;
/// Most quantiles of a summary.
pub(super) const MAX_SUMMARY_QUANTILES: usize = 8;

/// When a point was measured, and on which clock.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct When {
    /// Corrected event time, nanoseconds.
    pub(super) time: u64,
    /// Corrected start of what it counts; 0 if not known.
    pub(super) start: u64,
    /// Counts the corrections of the instance's clock. Times of different epochs can't be subtracted.
    pub(super) clock: u32,
}

/// A point of a stream.
pub(super) trait Sample: Clone {
    fn when(&self) -> When;
    /// Whether the sender said that there is no value any more.
    fn ended(&self) -> bool;
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Number {
    pub(super) when: When,
    /// NaN where the stream ended.
    pub(super) value: f64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Spread {
    pub(super) when: When,
    pub(super) ended: bool,
    pub(super) count: u64,
    pub(super) sum: Option<f64>,
    pub(super) limits: Limits,
    pub(super) buckets: Buckets,
    /// Pairs of quantile and value of a summary.
    pub(super) quantiles: Vec<(f64, f64)>,
}

/// How the points of a stream are read.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub(super) enum Reading {
    /// Each value is a level.
    Level,
    /// Each value is a change of a level.
    Changes,
    /// Each value counts since its start.
    Cumulative,
    /// Each value counts since the point before.
    Delta,
}

/// Growth over a time: what a rate is made of.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Growth {
    pub(super) growth: f64,
    pub(super) nanos: u64,
    pub(super) min_rate: f64,
    pub(super) max_rate: f64,
    /// Points with a rate.
    pub(super) points: u64,
}

/// What a stream adds to one window.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Part {
    /// Index of the window.
    pub(super) window: u64,
    pub(super) levels: Levels,
    pub(super) growth: Growth,
    pub(super) spread: Option<Box<SpreadPart>>,
}

/// Levels seen: their sum, number, smallest and largest.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Levels {
    pub(super) sum: f64,
    pub(super) count: u64,
    pub(super) min: f64,
    pub(super) max: f64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct SpreadPart {
    /// Values, as told by the counts.
    pub(super) values: u64,
    /// Values in points that told their sum.
    pub(super) summed: u64,
    pub(super) sum: f64,
    /// Means of single points.
    pub(super) means: Levels,
    pub(super) merged: Merged,
    /// Levels of a summary's quantiles.
    pub(super) quantiles: Vec<(f64, Levels)>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Stream {
    /// Hash of the instance, the scope, the metric and the sorted attributes.
    pub(super) identity: u64,
    /// The series it belongs to.
    pub(super) family: Slot,
    pub(super) reading: Reading,
    /// The window in which it was last used, for eviction.
    pub(super) used_in: u64,
    /// Points before this time were worked off.
    settled: u64,
    parts: Vec<Part>,
    /// The last rate, per second, and the nanoseconds between the two points behind it.
    last_rate: Option<(f64, u64)>,
    /// End of the last point that was worked off; 0 before the first and after an end.
    last_time: u64,
    state: State,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
enum State {
    Numbers { waiting: Vec<Number>, last: Option<Number>, level: f64 },
    Spreads(Box<Spreads>),
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Spreads {
    waiting: Vec<Spread>,
    last: Option<Spread>,
}

/// What became of a point.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Taken {
    Kept,
    Duplicate,
    Late,
}

impl Sample for Number {
    fn when(&self) -> When {
        self.when
    }

    fn ended(&self) -> bool {
        self.value.is_nan()
    }
}

impl Sample for Spread {
    fn when(&self) -> When {
        self.when
    }

    fn ended(&self) -> bool {
        self.ended
    }
}

// === impl Stream ===

impl Stream {
    pub(super) fn numbers(identity: u64, family: Slot, reading: Reading) -> Self {
        Self::new(identity, family, reading, State::Numbers { waiting: Vec::new(), last: None, level: 0.0 })
    }

    pub(super) fn spreads(identity: u64, family: Slot, reading: Reading) -> Self {
        Self::new(identity, family, reading, State::Spreads(Box::default()))
    }

    fn new(identity: u64, family: Slot, reading: Reading, state: State) -> Self {
        let (used_in, settled, parts) = (u64::MAX, 0, Vec::new());
        Self { identity, family, reading, used_in, settled, parts, last_rate: None, last_time: 0, state }
    }

    /// Takes a number; those of a stream of another type are late for ever.
    pub(super) fn take_number(&mut self, point: Number, window_nanos: u64) -> Taken {
        let State::Numbers { waiting, .. } = &mut self.state else { return Taken::Late };
        let full = match enqueue(waiting, point, self.settled) {
            Ok(full) => full,
            Err(refused) => return refused,
        };
        if full {
            let until = waiting[MAX_PENDING / 2].when.time;
            self.settle(until, window_nanos);
        }
        Taken::Kept
    }

    /// Takes a distribution; those of a stream of another type are late for ever.
    pub(super) fn take_spread(&mut self, point: Spread, window_nanos: u64) -> Taken {
        let State::Spreads(spreads) = &mut self.state else { return Taken::Late };
        let full = match enqueue(&mut spreads.waiting, point, self.settled) {
            Ok(full) => full,
            Err(refused) => return refused,
        };
        if full {
            let until = spreads.waiting[MAX_PENDING / 2].when.time;
            self.settle(until, window_nanos);
        }
        Taken::Kept
    }

    /// The newest buckets, whose bounds the next point probably shares.
    pub(super) fn newest_buckets(&self) -> Option<&Buckets> {
        let State::Spreads(spreads) = &self.state else { return None };
        spreads.waiting.last().or(spreads.last.as_ref()).map(|spread| &spread.buckets)
    }

    /// Works off what waits before `end`, the end of window `index`, and gives what the stream adds to that window.
    pub(super) fn close(&mut self, index: u64, end: u64, window_nanos: u64) -> Option<Part> {
        self.settle(end, window_nanos);
        let part = self.parts.iter().position(|part| part.window == index).map(|at| self.parts.swap_remove(at));
        // Windows close in order; a part of an earlier one can only be left where its window was never opened.
        self.parts.retain(|part| part.window > index);
        part
    }

    /// The rate at `end` of a stream that was silent in the window before: the last one, for up to twice the time between
    /// its last two points. Streams of one series that speak at different times add up only with it.
    pub(super) fn carried_rate(&self, end: u64) -> Option<f64> {
        let (rate, nanos) = self.last_rate?;
        (end <= self.last_time.saturating_add(nanos.saturating_mul(2))).then_some(rate)
    }

    /// End of the last point that was worked off; 0 if there is none or the stream ended.
    pub(super) fn last_time(&self) -> u64 {
        self.last_time
    }

    fn settle(&mut self, until: u64, window_nanos: u64) {
        if until <= self.settled {
            return;
        }
        self.settled = until;
        let ready = match &self.state {
            State::Numbers { waiting, .. } => waiting.first().is_some_and(|point| point.when.time < until),
            State::Spreads(spreads) => spreads.waiting.first().is_some_and(|point| point.when.time < until),
        };
        if !ready {
            return;
        }
        let reading = self.reading;
        let context = Context { window_nanos, parts: &mut self.parts, last_rate: &mut self.last_rate };
        let last_time = match &mut self.state {
            State::Numbers { waiting, last, level } => settle_numbers(context, reading, until, waiting, last, level),
            State::Spreads(spreads) => settle_spreads(context, reading, until, spreads),
        };
        self.last_time = last_time;
    }
}

struct Context<'a> {
    window_nanos: u64,
    parts: &'a mut Vec<Part>,
    last_rate: &'a mut Option<(f64, u64)>,
}

impl Context<'_> {
    fn part(&mut self, time: u64) -> &mut Part {
        let window = time / self.window_nanos;
        let at = match self.parts.iter().rposition(|part| part.window == window) {
            Some(at) => at,
            None => {
                self.parts.push(Part { window, ..Part::default() });
                self.parts.len() - 1
            }
        };
        &mut self.parts[at]
    }

    fn grow(&mut self, time: u64, (growth, nanos): (f64, u64)) {
        let rate = growth / (nanos as f64 / 1e9);
        if rate.is_finite() {
            self.part(time).growth.add(growth, nanos, rate);
            *self.last_rate = Some((rate, nanos));
        }
    }
}

/// Puts a point in order of time. Says whether too many wait.
fn enqueue<P: Sample>(waiting: &mut Vec<P>, point: P, settled: u64) -> Result<bool, Taken> {
    let time = point.when().time;
    if time < settled {
        return Err(Taken::Late);
    }
    match waiting.last() {
        Some(last) if last.when().time >= time => {
            match waiting.binary_search_by_key(&time, |known| known.when().time) {
                Ok(_) => return Err(Taken::Duplicate),
                Err(at) => waiting.insert(at, point),
            }
        }
        _ => waiting.push(point),
    }
    Ok(waiting.len() >= MAX_PENDING)
}

fn settle_numbers(
    mut context: Context<'_>,
    reading: Reading,
    until: u64,
    waiting: &mut Vec<Number>,
    last: &mut Option<Number>,
    level: &mut f64,
) -> u64 {
    let ready = waiting.partition_point(|point| point.when.time < until);
    for point in waiting.drain(..ready) {
        if point.ended() {
            (*last, *level) = (None, 0.0);
            *context.last_rate = None;
            continue;
        }
        let time = point.when.time;
        match reading {
            Reading::Level => context.part(time).levels.add(point.value),
            Reading::Changes => {
                let sum = *level + point.value;
                *level = if sum.is_finite() { sum } else { point.value };
                let level = *level;
                context.part(time).levels.add(level);
            }
            Reading::Cumulative => {
                let step = elapsed(last.as_ref(), &point, context.window_nanos).and_then(|(whole, nanos)| {
                    let before = last.as_ref().filter(|_| !whole).map_or(0.0, |last| last.value);
                    (point.value >= before).then_some((point.value - before, nanos))
                });
                if let Some(step) = step {
                    context.grow(time, step);
                }
            }
            Reading::Delta => {
                if let Some(nanos) = covered(last.as_ref(), &point) {
                    context.grow(time, (point.value, nanos));
                }
            }
        }
        *last = Some(point);
    }
    last.as_ref().map_or(0, |last| last.when.time)
}

fn settle_spreads(mut context: Context<'_>, reading: Reading, until: u64, spreads: &mut Spreads) -> u64 {
    let ready = spreads.waiting.partition_point(|point| point.when.time < until);
    for point in spreads.waiting.drain(..ready) {
        if point.ended {
            spreads.last = None;
            *context.last_rate = None;
            continue;
        }
        let last = spreads.last.as_ref();
        let change = if reading == Reading::Delta {
            Some((point.clone(), covered(last, &point)))
        } else {
            elapsed(last, &point, context.window_nanos).and_then(|(whole, nanos)| {
                let change = match last.filter(|_| !whole) {
                    Some(last) => point.since(last)?,
                    None => point.clone(),
                };
                Some((change, Some(nanos)))
            })
        };
        let time = point.when.time;
        if let Some((change, nanos)) = change {
            if let Some(nanos) = nanos {
                context.grow(time, (change.count as f64, nanos));
            }
            context.part(time).spread.get_or_insert_default().add(&change);
        }
        // A summary's quantiles stand for themselves, whether or not its count can be compared with an earlier one.
        if !point.quantiles.is_empty() {
            context.part(time).spread.get_or_insert_default().add_quantiles(&point.quantiles);
        }
        spreads.last = Some(point);
    }
    spreads.last.as_ref().map_or(0, |last| last.when.time)
}

/// For a cumulative point: whether the whole value counts (the first point, or after a restart), and over which time.
///
/// A restart is a start that is not before the last point. Its value then counts over all the time since the last point:
/// a rate over the time since the start alone could be as large as you like. A first point counts where its start is known
/// and lies between a tenth of a window and ten windows back; further back it would speak of times long gone.
fn elapsed<P: Sample>(last: Option<&P>, point: &P, window_nanos: u64) -> Option<(bool, u64)> {
    let when = point.when();
    match last.map(Sample::when) {
        Some(last) if last.clock == when.clock && last.time < when.time => {
            let restarted = when.start != last.start && when.start >= last.time && when.start <= when.time;
            Some((restarted, when.time - last.time))
        }
        _ => {
            let nanos = when.time.checked_sub(when.start).filter(|_| when.start > 0)?;
            (nanos > 0 && nanos >= window_nanos / 10 && nanos <= window_nanos.saturating_mul(10))
                .then_some((true, nanos))
        }
    }
}

/// For a delta point: the time it covers, from its start, but not from before the last point. Where that is not known or
/// shorter than a millisecond, the time since the last point.
fn covered<P: Sample>(last: Option<&P>, point: &P) -> Option<u64> {
    let when = point.when();
    let last = last.map(Sample::when).filter(|last| last.clock == when.clock && last.time < when.time);
    let since_start = (when.start > 0)
        .then(|| when.start.max(last.map_or(0, |last| last.time)))
        .and_then(|start| when.time.checked_sub(start))
        .filter(|&nanos| nanos >= 1_000_000);
    since_start.or_else(|| last.map(|last| when.time - last.time))
}

// === impl parts ===

impl Levels {
    pub(super) fn add(&mut self, value: f64) {
        self.merge(&Self { sum: value, count: 1, min: value, max: value });
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        self.sum += other.sum;
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

impl Growth {
    fn add(&mut self, growth: f64, nanos: u64, rate: f64) {
        (self.min_rate, self.max_rate) = match self.points {
            0 => (rate, rate),
            _ => (self.min_rate.min(rate), self.max_rate.max(rate)),
        };
        self.growth += growth;
        self.nanos = self.nanos.saturating_add(nanos);
        self.points += 1;
    }

    /// Per second; `None` without a point.
    pub(super) fn rate(&self) -> Option<f64> {
        (self.nanos > 0).then(|| self.growth / (self.nanos as f64 / 1e9))
    }
}

impl SpreadPart {
    fn add(&mut self, change: &Spread) {
        self.values = self.values.saturating_add(change.count);
        if let Some(sum) = change.sum.filter(|_| change.count > 0) {
            self.summed = self.summed.saturating_add(change.count);
            self.sum += sum;
            self.means.add(sum / change.count as f64);
        }
        self.merged.add(&change.buckets, change.limits);
    }

    fn add_quantiles(&mut self, quantiles: &[(f64, f64)]) {
        for &(quantile, value) in quantiles {
            let mut levels = Levels::default();
            levels.add(value);
            self.merge_quantile(quantile, &levels);
        }
    }

    fn merge_quantile(&mut self, quantile: f64, levels: &Levels) {
        match self.quantiles.iter().position(|(known, _)| *known == quantile) {
            Some(at) => self.quantiles[at].1.merge(levels),
            None if self.quantiles.len() < MAX_SUMMARY_QUANTILES => self.quantiles.push((quantile, *levels)),
            None => {}
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.values = self.values.saturating_add(other.values);
        self.summed = self.summed.saturating_add(other.summed);
        self.sum += other.sum;
        self.means.merge(&other.means);
        self.merged.merge(&other.merged);
        for (quantile, levels) in &other.quantiles {
            self.merge_quantile(*quantile, levels);
        }
    }
}

impl Spread {
    /// What was added since `earlier`; `None` after a reset without a new start.
    fn since(&self, earlier: &Self) -> Option<Self> {
        let count = self.count.checked_sub(earlier.count)?;
        let sum = self.sum.zip(earlier.sum).map(|(new, old)| new - old).filter(|sum| sum.is_finite());
        let buckets = self.buckets.since(&earlier.buckets)?;
        Some(Self { count, sum, buckets, quantiles: Vec::new(), ..*self })
    }
}
