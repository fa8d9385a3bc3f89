//! The budget of bytes that requests may hold while they are being received.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A bound on the bytes of all requests that are being received at a moment: bodies as far as they have arrived, and what
/// has been decompressed of them. From the intake on, the exporters' queues count.
///
/// A request that finds no room is refused as retryable (UNAVAILABLE with RetryInfo, or 503 with `Retry-After`). Clones share
/// the budget.
#[derive(Clone, Debug)]
pub struct InFlightBytes(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    limit: usize,
    used: AtomicUsize,
}

/// What one request holds of the budget; given back on drop.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<Budget>,
    held: usize,
}

impl InFlightBytes {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Budget { limit, used: AtomicUsize::new(0) }))
    }

    /// How many bytes are held now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    pub(super) fn reservation(&self) -> Reservation {
        Reservation { budget: Arc::clone(&self.0), held: 0 }
    }
}

/// 256 MiB.
impl Default for InFlightBytes {
    fn default() -> Self {
        Self::new(256 << 20)
    }
}

impl Reservation {
    /// Takes `bytes` more; false, and nothing taken, if they are not there.
    #[must_use]
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let taken = self.budget.used.try_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|&sum| sum <= self.budget.limit)
        });
        if taken.is_ok() {
            self.held += bytes;
        }
        taken.is_ok()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The budget is exact, and a request that ends gives back all it took.
    #[test]
    fn takes_and_gives_back() {
        let budget = InFlightBytes::new(100);
        let mut first = budget.reservation();
        let mut second = budget.reservation();
        assert!(first.grow(60));
        assert!(!second.grow(41));
        assert!(second.grow(40));
        assert!(!first.grow(usize::MAX));
        assert_eq!(budget.used(), 100);
        drop(first);
        assert_eq!(budget.used(), 40);
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
