//! Keeps what a detector learned of each series, and finds it again after a restart.

use crate::window::{Series, Window};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// One value of `M` for each open series, found by id, in ascending order of the id.
///
/// Saved are only the values, each under a hash of its series' name, kind and attributes: ids mean nothing after a restart.
/// What was restored waits until a series of that description is opened. At most `limit` series are followed, open and
/// waiting together; further ones are left out until others close.
#[derive(Clone, Debug)]
pub struct SeriesMap<M> {
    open: BTreeMap<u32, (Series, M)>,
    waiting: BTreeMap<u64, M>,
    limit: usize,
}

impl<M> SeriesMap<M> {
    /// An empty map for at most `limit` series.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { open: BTreeMap::new(), waiting: BTreeMap::new(), limit }
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
        for id in &window.closed {
            self.open.remove(id);
        }
        for series in &window.opened {
            let known = self.open.remove(&series.id).filter(|(before, _)| before.kind == series.kind);
            let value = match known {
                Some((_, value)) => value,
                None => match self.waiting.remove(&series.fingerprint()) {
                    Some(value) => value,
                    None if self.open.len() + self.waiting.len() >= self.limit
                        && self.waiting.pop_first().is_none() =>
                    {
                        continue;
                    }
                    None => fresh(series),
                },
            };
            self.open.insert(series.id, (series.clone(), value));
        }
    }

    /// An open series and its value.
    pub fn get_mut(&mut self, id: u32) -> Option<(&Series, &mut M)> {
        self.open.get_mut(&id).map(|(series, value)| (&*series, value))
    }

    /// All open series and their values.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &Series, &mut M)> {
        self.open.iter_mut().map(|(id, (series, value))| (*id, &*series, value))
    }

    /// The values of all series, open ones first, then those that wait for their series to be opened.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut M> {
        self.open.values_mut().map(|(_, value)| value).chain(self.waiting.values_mut())
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
        all.extend(self.open.values().rev().map(|(series, value)| (series.fingerprint(), value)));
        all.serialize(serializer)
    }
}

impl<'de, M: Deserialize<'de>> Deserialize<'de> for SeriesMap<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let waiting = BTreeMap::deserialize(deserializer)?;
        Ok(Self { open: BTreeMap::new(), limit: waiting.len(), waiting })
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
