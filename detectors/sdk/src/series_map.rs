//! Keeps what a detector learned of each series, and finds it again after a restart.

use crate::window::{Series, Window};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// One value of `M` for each open series, found by id, in ascending order of the id.
///
/// Saved are only the values, each under a hash of its series' name, kind and attributes: ids mean nothing after a restart.
/// What was restored waits until a series of that description is opened. At most `limit` series are followed, open and
/// waiting together; further ones are left out until others close.
#[derive(Clone, Debug)]
pub struct SeriesMap<M> {
    /// Ascending by id.
    open: Vec<(Series, M)>,
    /// Where the next row probably is: rows come in ascending order of the id, so a search is seldom needed.
    next: usize,
    waiting: BTreeMap<u64, M>,
    limit: usize,
}

impl<M> SeriesMap<M> {
    /// An empty map for at most `limit` series.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { open: Vec::new(), next: 0, waiting: BTreeMap::new(), limit }
    }

    /// The same map for at most `limit` series, for one that was restored. What waits beyond it is dropped.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        while self.open.len() + self.waiting.len() > limit && self.waiting.pop_last().is_some() {}
        self
    }

    /// Forgets the series that the window closes and adds those it opens: with what was learned of them before a restart, if
    /// anything, else with what `fresh` makes. A known series with a new description keeps its value, unless its kind changed.
    pub fn follow(&mut self, window: &Window, mut fresh: impl FnMut(&Series) -> M) {
        self.next = 0;
        if !window.closed.is_empty() {
            let closed: BTreeSet<u32> = window.closed.iter().copied().collect();
            self.open.retain(|(series, _)| !closed.contains(&series.id));
        }
        if self.open.len() + window.opened.len() > self.open.capacity() {
            // Room for what comes and an eighth: a vector that doubles would keep up to twice what it needs.
            self.open.reserve_exact(window.opened.len().max(self.open.len() / 8).min(self.limit));
        }
        for series in &window.opened {
            let at = self.search(series.id);
            match at {
                Ok(at) if self.open[at].0.kind == series.kind => self.open[at].0 = series.clone(),
                Ok(at) => match self.found(series, &mut fresh, 1) {
                    Some(value) => self.open[at] = (series.clone(), value),
                    None => drop(self.open.remove(at)),
                },
                Err(at) => {
                    if let Some(value) = self.found(series, &mut fresh, 0) {
                        self.open.insert(at, (series.clone(), value));
                    }
                }
            }
        }
    }

    /// What was learned of a series before a restart, or what `fresh` makes; `None` where there is no room. `leaving` of the open
    /// series make room.
    fn found(&mut self, series: &Series, fresh: &mut impl FnMut(&Series) -> M, leaving: usize) -> Option<M> {
        if let Some(value) = self.waiting.remove(&series.fingerprint()) {
            return Some(value);
        }
        let full = self.open.len() - leaving + self.waiting.len() >= self.limit;
        if full && self.waiting.pop_first().is_none() {
            return None;
        }
        Some(fresh(series))
    }

    fn search(&self, id: u32) -> Result<usize, usize> {
        match self.open.last() {
            Some((last, _)) if last.id < id => Err(self.open.len()),
            _ => self.open.binary_search_by_key(&id, |(series, _)| series.id),
        }
    }

    /// An open series and its value. Takes no search where ids are asked for in ascending order, without gaps.
    pub fn get_mut(&mut self, id: u32) -> Option<(&Series, &mut M)> {
        let at = match self.open.get(self.next) {
            Some((series, _)) if series.id == id => self.next,
            _ => self.search(id).ok()?,
        };
        self.next = at + 1;
        self.open.get_mut(at).map(|(series, value)| (&*series, value))
    }

    /// All open series and their values.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &Series, &mut M)> {
        self.open.iter_mut().map(|(series, value)| (series.id, &*series, value))
    }

    /// The values of all series, open ones first, then those that wait for their series to be opened.
    pub fn values(&self) -> impl Iterator<Item = &M> {
        self.open.iter().map(|(_, value)| value).chain(self.waiting.values())
    }

    /// As [`SeriesMap::values`], for changing them.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut M> {
        self.open.iter_mut().map(|(_, value)| value).chain(self.waiting.values_mut())
    }

    /// How many series are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether no series is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl<M: Serialize> Serialize for SeriesMap<M> {
    /// A map from hash to value, in the order of the hashes.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut all: BTreeMap<u64, &M> = self.waiting.iter().map(|(key, value)| (*key, value)).collect();
        all.extend(self.open.iter().rev().map(|(series, value)| (series.fingerprint(), value)));
        all.serialize(serializer)
    }
}

impl<'de, M: Deserialize<'de>> Deserialize<'de> for SeriesMap<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let waiting = BTreeMap::deserialize(deserializer)?;
        Ok(Self { open: Vec::new(), next: 0, limit: waiting.len(), waiting })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, State};

    fn series(id: u32, name: &str) -> Series {
        Series { id, name: name.into(), unit: String::new(), kind: Kind::Gauge, attributes: vec![] }
    }

    fn opening(opened: Vec<Series>, closed: Vec<u32>) -> Window {
        Window { opened, closed, ..Window::default() }
    }

    /// What was learned must come back to the series of the same description under any id, and to no other.
    #[test]
    fn restored_values_find_their_series() {
        let mut map = SeriesMap::new(8);
        map.follow(&opening(vec![series(1, "a"), series(2, "b")], vec![]), |series| series.name.len() * 10);
        *map.get_mut(2).expect("open").1 = 77;
        let state = State::encode(1, &map).expect("it can be saved");
        let mut restored: SeriesMap<usize> = state.decode::<SeriesMap<usize>>(1).expect("it can be read").with_limit(8);
        restored.follow(&opening(vec![series(9, "b"), series(1, "c")], vec![]), |_| 0);
        assert_eq!(restored.get_mut(9).map(|(_, value)| *value), Some(77));
        assert_eq!(restored.get_mut(1).map(|(_, value)| *value), Some(0));
        assert_eq!(restored.len(), 2, "what waits is not open");
    }

    /// A reused id is another series; the limit holds whatever the window says.
    #[test]
    fn closed_series_are_forgotten_and_the_limit_holds() {
        let mut map = SeriesMap::new(2);
        map.follow(&opening(vec![series(1, "a"), series(2, "b"), series(3, "c")], vec![]), |series| series.id);
        assert!(map.get_mut(3).is_none());
        map.follow(&opening(vec![series(1, "d")], vec![1]), |_| 50);
        assert_eq!(map.get_mut(1).map(|(series, value)| (series.name.clone(), *value)), Some(("d".into(), 50)));
        let mut renamed = series(2, "b2");
        renamed.kind = Kind::Rate;
        map.follow(&opening(vec![series(1, "e"), renamed], vec![]), |_| 60);
        assert_eq!(map.get_mut(1).map(|(_, value)| *value), Some(50), "a new description keeps the value");
        assert_eq!(map.get_mut(2).map(|(_, value)| *value), Some(60), "a new kind does not");
    }
}
