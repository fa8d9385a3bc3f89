//! From an open window to a closed one: streams add up to series, and series to rows.

use super::{
    family::{Family, Owner, Shape, Statistic, Value, WindowBuilder},
    quality::{ALIVE_WINDOWS, Cardinality, Notes},
    service::{OpenWindow, Service, Shared},
    stream::{Growth, Levels, Part, Reading, SpreadPart},
};
use crate::{facts::WindowFacts, quality::QualityNote, time::UnixNanos, window::ClosedWindow};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

/// A closed window with all that belongs to it.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) window: ClosedWindow,
    pub(super) facts: WindowFacts,
    pub(super) notes: Vec<QualityNote>,
}

/// What the streams of one family add up to in one window.
#[derive(Debug, Default)]
pub(super) struct Sum {
    levels: Levels,
    rate: f64,
    min_rate: f64,
    max_rate: f64,
    /// Points with a rate; 0 means that no stream had one in this window.
    rate_points: u64,
    /// Rates of streams that were silent in this window but go on.
    carried: f64,
    spread: Option<Box<SpreadPart>>,
    /// Streams that spoke in the last windows.
    alive: u32,
    /// Streams that did not end.
    going_on: u32,
}

// === impl Sum ===

impl Sum {
    fn add(&mut self, part: Part) {
        self.levels.merge(&part.levels);
        self.add_growth(&part.growth);
        match (&mut self.spread, part.spread) {
            (Some(sum), Some(part)) => sum.merge(&part),
            (sum, part) => *sum = sum.take().or(part),
        }
    }

    fn add_growth(&mut self, growth: &Growth) {
        if let Some(rate) = growth.rate() {
            self.rate += rate;
            self.min_rate += growth.min_rate;
            self.max_rate += growth.max_rate;
            self.rate_points += growth.points;
        }
    }

    fn rate(&self) -> Option<Value> {
        (self.rate_points > 0).then_some(Value {
            value: self.rate + self.carried,
            min: self.min_rate + self.carried,
            max: self.max_rate + self.carried,
            count: self.rate_points,
        })
    }

    fn rows(&self, owner: Owner, family: &mut Family, builder: &mut WindowBuilder) {
        match family.key.shape {
            Shape::Level => {
                if let Some(value) = mean(&self.levels) {
                    builder.add(owner, family, Statistic::Only, value);
                }
            }
            Shape::Rate => {
                if let Some(value) = self.rate() {
                    builder.add(owner, family, Statistic::Only, value);
                }
            }
            _ => self.spread_rows(owner, family, builder),
        }
    }

    fn spread_rows(&self, owner: Owner, family: &mut Family, builder: &mut WindowBuilder) {
        if let Some(value) = self.rate() {
            builder.add(owner, family, Statistic::Count, value);
        }
        let Some(spread) = &self.spread else { return };
        if spread.summed > 0 {
            let value = spread.sum / spread.summed as f64;
            let value = Value { value, min: spread.means.min, max: spread.means.max, count: spread.summed };
            builder.add(owner, family, Statistic::Mean, value);
        }
        if let Some(quantiles) = spread.merged.quantiles([0.5, 0.95, 0.99]) {
            for (share, value) in [50_000, 95_000, 99_000].into_iter().zip(quantiles) {
                builder.add(owner, family, Statistic::Quantile(share), Value::single(value, spread.values));
            }
        }
        for (quantile, levels) in &spread.quantiles {
            if let Some(value) = mean(levels) {
                // Rounded to what the name of the series can tell apart.
                let share = (quantile * 100_000.0).round().clamp(0.0, 100_000.0) as u32;
                builder.add(owner, family, Statistic::Quantile(share), value);
            }
        }
    }
}

fn mean(levels: &Levels) -> Option<Value> {
    (levels.count > 0).then(|| Value {
        value: levels.sum / levels.count as f64,
        min: levels.min,
        max: levels.max,
        count: levels.count,
    })
}

// === impl Service ===

impl Service {
    /// Closes a window that takes nothing any more. `None` if there is nothing to tell of it.
    pub(super) fn close(&mut self, open: OpenWindow, shared: &mut Shared) -> Option<Closed> {
        let window_nanos = shared.window_nanos();
        let (start, end) = (open.index * window_nanos, (open.index + 1).saturating_mul(window_nanos));
        let seconds = window_nanos as f64 / 1e9;
        self.forget_current();
        let mut builder = WindowBuilder::new(open.index);
        let mut sums = mem::take(&mut shared.sums);
        self.add_up(open.index, end, window_nanos, &mut sums);
        for (slot, family) in self.families.iter_mut() {
            sums[slot.index as usize].rows(Owner::Metric(slot), family, &mut builder);
        }
        open.spans.close(&mut self.operations, seconds, &mut builder);
        open.logs.close(&mut self.logs, seconds, &mut shared.interner, &mut builder);

        let mut next_id = self.next_id;
        builder.number_fresh(&mut next_id, |owner, statistic, series| {
            if let Some(family) = self.family_mut(owner) {
                family.named(statistic, series);
            }
        });
        self.next_id = next_id;
        let notes = self.judge(open.index, &sums, shared);
        shared.sums = sums;

        let window = builder.finish(start, end, mem::take(&mut self.gone));
        self.versions.extend(open.versions);
        if window.ids.is_empty() && window.closed.is_empty() && notes.is_empty() {
            return None;
        }
        shared.counters.windows += 1;
        let mut signals = open.spans.signals();
        open.logs.count(&mut signals);
        let (spans, span_sampling) = open.spans.into_sample();
        let facts = WindowFacts {
            service: self.key.clone(),
            start: UnixNanos(start),
            end: UnixNanos(end),
            signals,
            versions: mem::take(&mut self.versions).into_iter().collect(),
            logs: open.logs.into_excerpts(&self.logs, shared.settings.max_log_excerpts),
            spans,
            span_sampling,
        };
        let window = ClosedWindow { service: self.key.clone(), resource: Arc::clone(&self.resource), window };
        Some(Closed { window, facts, notes })
    }

    /// Adds the streams up, by the index of their family.
    fn add_up(&mut self, index: u64, end: u64, window_nanos: u64, sums: &mut Vec<Sum>) {
        sums.clear();
        sums.resize_with(self.families.capacity(), Sum::default);
        let mut orphans = Vec::new();
        for (slot, stream) in self.streams.iter_mut() {
            if self.families.get(stream.family).is_none() {
                orphans.push((slot, stream.identity));
                continue;
            }
            let sum = &mut sums[stream.family.index as usize];
            match stream.close(index, end, window_nanos) {
                Some(part) => sum.add(part),
                None if matches!(stream.reading, Reading::Cumulative | Reading::Delta) => {
                    sum.carried += stream.carried_rate(end).unwrap_or(0.0);
                }
                None => {}
            }
            sum.going_on += u32::from(stream.last_time() > 0);
            let alive = stream.last_time().saturating_add(window_nanos.saturating_mul(ALIVE_WINDOWS)) >= end;
            sum.alive += u32::from(alive && stream.last_time() > 0);
        }
        // Their series was evicted.
        for (slot, identity) in orphans {
            self.streams.remove(slot);
            self.stream_by_identity.remove(&identity);
        }
    }

    fn judge(&mut self, index: u64, sums: &[Sum], shared: &mut Shared) -> Vec<QualityNote> {
        let window_nanos = shared.window_nanos();
        let max = shared.settings.max_quality_notes;
        let mut notes = Notes { service: &self.key, index, window_nanos, max, notes: Vec::new(), omitted: 0 };
        for cardinality in self.cardinality.values_mut() {
            cardinality.now = 0;
        }
        // A label set may come and go, such as that of a rare error; silence is told of a metric as a whole, and once.
        let speaks = |family: &Family| family.rows.iter().any(|row| row.watch.speaks(index));
        let mut heard = Names::default();
        for (_, family) in self.families.iter() {
            if !heard.has_just_seen(&family.key.name) && speaks(family) {
                heard.insert(&family.key.name);
            }
        }
        let (mut alive_name, mut alive_streams) = (None, 0);
        for (slot, family) in self.families.iter_mut() {
            let Sum { alive, going_on, .. } = sums[slot.index as usize];
            let name = &family.key.name;
            for row in &mut family.rows {
                let Some(series) = &row.series else { continue };
                if going_on == 0 {
                    // All of its streams ended or were evicted, so silence is no wonder.
                    row.watch.end();
                }
                let is_heard = !row.watch.has_spoken(index) && heard.contains(name);
                if row.watch.judge(series, is_heard, &mut notes) {
                    heard.insert(name);
                }
            }
            if alive > 0 {
                if !alive_name.as_ref().is_some_and(|known| Arc::ptr_eq(known, name)) {
                    add_alive(
                        &mut self.cardinality,
                        alive_name.replace(Arc::clone(name)),
                        mem::take(&mut alive_streams),
                    );
                }
                alive_streams += alive;
            }
        }
        add_alive(&mut self.cardinality, alive_name, alive_streams);
        // One series speaks for its metric: the first that has a number.
        let mut told = Names::default();
        for (_, family) in self.families.iter() {
            let name = &family.key.name;
            if told.has_just_seen(name) {
                continue;
            }
            let Some(series) = family.rows.iter().find_map(|row| row.series.as_ref()) else { continue };
            if told.insert(name)
                && let Some(cardinality) = self.cardinality.get_mut(name)
            {
                cardinality.judge(&family.key, series, &mut notes);
            }
        }
        shared.counters.omitted_notes += notes.omitted;
        let notes = notes.notes;
        self.cardinality.retain(|name, _| told.contains(name));
        notes
    }
}

/// Names of metrics. The families of a metric mostly stand side by side and share one name, so that a look at the newest one
/// spares most searches.
#[derive(Default)]
struct Names {
    names: BTreeSet<Arc<str>>,
    newest: Option<Arc<str>>,
}

impl Names {
    fn has_just_seen(&self, name: &Arc<str>) -> bool {
        self.newest.as_ref().is_some_and(|newest| Arc::ptr_eq(newest, name))
    }

    fn contains(&self, name: &Arc<str>) -> bool {
        self.has_just_seen(name) || self.names.contains(name)
    }

    /// Says whether it is new.
    fn insert(&mut self, name: &Arc<str>) -> bool {
        self.newest = Some(Arc::clone(name));
        self.names.insert(Arc::clone(name))
    }
}

fn add_alive(cardinality: &mut BTreeMap<Arc<str>, Cardinality>, name: Option<Arc<str>>, streams: u32) {
    if let Some(name) = name {
        cardinality.entry(name).or_default().now += streams;
    }
}
