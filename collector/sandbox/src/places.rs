//! Places in the pool that all models share, and how many of them one detector may take.
//!
//! The pool has room for as many memories as there may be models. A component with several memories, or with many tables, takes the room of
//! several models; without a bound of its own it would leave none for the models of other detectors.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// The places of one detector.
#[derive(Debug)]
pub(crate) struct Places {
    /// That each of its models takes, 1 or more.
    each: u32,
    most: u32,
    taken: AtomicU32,
}

/// Those of one model, until it is dropped.
#[derive(Debug)]
pub(crate) struct Taken(Arc<Places>);

impl Places {
    pub(crate) fn new(each: u32, most: u32) -> Self {
        Self { each: each.max(1), most, taken: AtomicU32::new(0) }
    }

    /// Places for one more model, if there are any left.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Taken> {
        let more = |taken: u32| taken.checked_add(self.each).filter(|taken| *taken <= self.most);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Taken(Arc::clone(self)))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(self.0.each, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A detector with models of three places has no more of them than fit, and gets those of a dropped one back.
    #[test]
    fn places_are_taken_and_given_back() {
        let places = Arc::new(Places::new(3, 8));
        let (first, second) = (places.take(), places.take());
        assert!(first.is_some() && second.is_some() && places.take().is_none());
        drop(first);
        assert!(places.take().is_some());
        assert!(Arc::new(Places::new(0, u32::MAX)).take().is_some());
        assert!(Arc::new(Places::new(u32::MAX, 5)).take().is_none());
    }
}
