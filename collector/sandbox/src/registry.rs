//! The open series of one service, and which part of a window each detector gets.

use foreshock_engine::window::{Series, SeriesKind, Window};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A set of kinds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Kinds(u8);

impl Kinds {
    /// The given kinds; all if there are none.
    pub(crate) fn new(kinds: &[SeriesKind]) -> Self {
        if kinds.is_empty() { Self(u8::MAX) } else { Self(kinds.iter().fold(0, |set, &kind| set | Self::bit(kind))) }
    }

    pub(crate) fn has(self, kind: SeriesKind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    fn bit(kind: SeriesKind) -> u8 {
        1 << match kind {
            SeriesKind::Gauge => 0,
            SeriesKind::Rate => 1,
            SeriesKind::Quantile => 2,
            SeriesKind::SpanRate => 3,
            SeriesKind::SpanErrors => 4,
            SeriesKind::SpanDuration => 5,
            SeriesKind::LogTemplate => 6,
            SeriesKind::LogSeverity => 7,
        }
    }
}

/// The open series of one service. Bounded: series opened beyond the capacity are not shown to detectors.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    series: BTreeMap<u32, Arc<Series>>,
    /// Set until the first window after a restore, in which the engine may announce the same series under other ids.
    restored: bool,
}

/// What a window changed.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Delta {
    /// Ascending by id.
    pub(crate) opened: Vec<Arc<Series>>,
    /// With the kind that the series had.
    pub(crate) closed: Vec<(u32, SeriesKind)>,
    /// Opened, but not taken in.
    pub(crate) left_out: u64,
}

/// The columns of a window that one detector gets.
pub(crate) struct Columns<'a> {
    pub(crate) ids: Cow<'a, [u32]>,
    pub(crate) values: Cow<'a, [f64]>,
    pub(crate) minima: Cow<'a, [f64]>,
    pub(crate) maxima: Cow<'a, [f64]>,
    pub(crate) counts: Cow<'a, [u64]>,
}

impl Registry {
    /// The registry as it was saved.
    pub(crate) fn restore(series: Vec<Series>, capacity: usize) -> Self {
        let series = series.into_iter().take(capacity).map(|series| (series.id, Arc::new(series))).collect();
        Self { series, restored: true }
    }

    /// Takes in what a window opens and closes.
    pub(crate) fn update(&mut self, window: &Window, capacity: usize) -> Delta {
        let mut delta = Delta::default();
        if std::mem::take(&mut self.restored) {
            self.drop_renamed(&window.opened);
        }
        for id in &window.closed {
            if let Some(series) = self.series.remove(id) {
                delta.closed.push((*id, series.kind));
            }
        }
        for series in &window.opened {
            if self.series.len() >= capacity && !self.series.contains_key(&series.id) {
                delta.left_out += 1;
                continue;
            }
            if let Some(old) = self.series.insert(series.id, Arc::clone(series))
                && old.kind != series.kind
            {
                // To a detector that wants only one of the two kinds, this is a series that came or went.
                delta.closed.push((series.id, old.kind));
            }
            delta.opened.push(Arc::clone(series));
        }
        delta
    }

    /// Forgets restored series that the engine now opens under another id.
    fn drop_renamed(&mut self, opened: &[Arc<Series>]) {
        let identity = |series: &Arc<Series>| (Arc::clone(&series.name), series.kind, series.attributes.clone());
        let opened: BTreeSet<_> = opened.iter().map(identity).collect();
        self.series.retain(|_, series| !opened.contains(&identity(series)));
    }

    pub(crate) fn contains(&self, id: u32, kinds: Kinds) -> bool {
        self.series.get(&id).is_some_and(|series| kinds.has(series.kind))
    }

    /// All open series of the given kinds, ascending by id.
    pub(crate) fn all(&self, kinds: Kinds) -> impl Iterator<Item = &Arc<Series>> {
        self.series.values().filter(move |series| kinds.has(series.kind))
    }

    /// The kind of each of `ids`, which ascend; `None` for those that are not open.
    pub(crate) fn kinds_of(&self, ids: &[u32]) -> Vec<Option<SeriesKind>> {
        let mut open = self.series.iter().peekable();
        let kind_of = |id: &u32| {
            while open.next_if(|(candidate, _)| *candidate < id).is_some() {}
            open.peek().and_then(|(candidate, series)| (*candidate == id).then_some(series.kind))
        };
        ids.iter().map(kind_of).collect()
    }

    /// For keeping.
    pub(crate) fn save(&self) -> Vec<Series> {
        self.series.values().map(|series| Series::clone(series)).collect()
    }
}

impl<'a> Columns<'a> {
    /// The rows of `window` whose kind, given in `row_kinds`, is among `kinds`. Borrows where that is all of them.
    pub(crate) fn of(window: &'a Window, row_kinds: &[Option<SeriesKind>], kinds: Kinds) -> Self {
        let wanted = |kind: &Option<SeriesKind>| kind.is_some_and(|kind| kinds.has(kind));
        if row_kinds.iter().all(wanted) {
            return Self {
                ids: Cow::Borrowed(&window.ids),
                values: Cow::Borrowed(&window.values),
                minima: Cow::Borrowed(&window.minima),
                maxima: Cow::Borrowed(&window.maxima),
                counts: Cow::Borrowed(&window.counts),
            };
        }
        fn pick<'a, T: Copy>(column: &[T], keep: impl Iterator<Item = bool>) -> Cow<'a, [T]> {
            column.iter().zip(keep).filter(|(_, keep)| *keep).map(|(value, _)| *value).collect()
        }
        let keep = || row_kinds.iter().map(wanted);
        Self {
            ids: pick(&window.ids, keep()),
            values: pick(&window.values, keep()),
            minima: pick(&window.minima, keep()),
            maxima: pick(&window.maxima, keep()),
            counts: pick(&window.counts, keep()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foreshock_engine::UnixNanos;

    fn series(id: u32, name: &str, kind: SeriesKind) -> Arc<Series> {
        Arc::new(Series { id, name: name.into(), unit: "".into(), kind, attributes: vec![] })
    }

    fn window(opened: Vec<Arc<Series>>, closed: Vec<u32>, ids: Vec<u32>) -> Window {
        let values: Vec<f64> = ids.iter().map(|&id| f64::from(id)).collect();
        let counts = ids.iter().map(|&id| u64::from(id)).collect();
        Window {
            start: UnixNanos(0),
            end: UnixNanos(1),
            opened,
            closed,
            ids,
            minima: values.clone(),
            maxima: values.clone(),
            values,
            counts,
        }
    }

    /// A detector gets the rows of the kinds it asked for and no others, all columns in step, and rows of series that were
    /// never opened reach nobody.
    #[test]
    fn rows_are_chosen_by_kind() {
        let mut registry = Registry::default();
        let opened = vec![series(1, "a", SeriesKind::Gauge), series(4, "b", SeriesKind::LogTemplate)];
        let window = window(opened, vec![], vec![1, 2, 4]);
        registry.update(&window, 10);
        let row_kinds = registry.kinds_of(&window.ids);
        assert_eq!(row_kinds, [Some(SeriesKind::Gauge), None, Some(SeriesKind::LogTemplate)]);

        let gauges = Columns::of(&window, &row_kinds, Kinds::new(&[SeriesKind::Gauge]));
        assert_eq!((&*gauges.ids, &*gauges.values, &*gauges.counts), (&[1][..], &[1.0][..], &[1][..]));
        let all = Columns::of(&window, &row_kinds, Kinds::new(&[]));
        assert_eq!((&*all.ids, &*all.minima, &*all.maxima), (&[1, 4][..], &[1.0, 4.0][..], &[1.0, 4.0][..]));
    }

    /// An id may change hands within one window, and a series may change its kind; a detector must hear of both.
    #[test]
    fn ids_change_hands_and_kinds_change() {
        let mut registry = Registry::default();
        registry.update(&window(vec![series(1, "a", SeriesKind::Gauge)], vec![], vec![]), 10);
        let delta = registry.update(&window(vec![series(1, "b", SeriesKind::Gauge)], vec![1], vec![]), 10);
        assert_eq!(delta.closed, [(1, SeriesKind::Gauge)]);
        assert_eq!(delta.opened[0].name, "b".into());
        let delta = registry.update(&window(vec![series(1, "b", SeriesKind::Rate)], vec![], vec![]), 10);
        assert_eq!(delta.closed, [(1, SeriesKind::Gauge)]);
        assert!(registry.contains(1, Kinds::new(&[SeriesKind::Rate])));
        assert!(!registry.contains(1, Kinds::new(&[SeriesKind::Gauge])));
    }

    /// The registry never grows beyond its capacity, says what it left out, and still takes news of what it has.
    #[test]
    fn capacity_is_kept() {
        let mut registry = Registry::default();
        let three = (1..=3).map(|id| series(id, "a", SeriesKind::Gauge)).collect();
        assert_eq!(registry.update(&window(three, vec![], vec![]), 2).left_out, 1);
        let again = vec![series(2, "renamed", SeriesKind::Gauge)];
        assert_eq!(registry.update(&window(again, vec![], vec![]), 2).left_out, 0);
        assert_eq!(registry.all(Kinds::new(&[])).map(|series| &*series.name).collect::<Vec<_>>(), ["a", "renamed"]);
    }

    /// After a restart the engine may number the same series anew; a detector must not be told of it twice.
    #[test]
    fn restored_series_give_way_to_their_new_ids() {
        let saved =
            vec![Series::clone(&series(1, "a", SeriesKind::Gauge)), Series::clone(&series(2, "b", SeriesKind::Gauge))];
        let mut registry = Registry::restore(saved, 10);
        registry.update(&window(vec![series(7, "a", SeriesKind::Gauge)], vec![], vec![]), 10);
        assert_eq!(registry.save().iter().map(|series| series.id).collect::<Vec<_>>(), [2, 7]);
    }
}
