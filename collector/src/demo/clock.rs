//! The clock of the story: it stands where the simulation stands.

use foreshock_engine::UnixNanos;
use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// How long whoever waits for a time of the story sleeps; the story wakes it when it moves on.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Shows the simulation's time. It moves on by hand, and only when all that was sent before has been handled: so neither the
/// speed of the story nor that of the machine can change what is found.
#[derive(Debug)]
pub(super) struct StoryClock {
    nanos: AtomicU64,
    /// The time that was last waited for. A std mutex: held for an assignment.
    awaited: Mutex<UnixNanos>,
    waited: Condvar,
}

impl StoryClock {
    pub(super) fn new(start: UnixNanos) -> Self {
        Self { nanos: AtomicU64::new(start.0), awaited: Mutex::new(UnixNanos(0)), waited: Condvar::new() }
    }

    fn awaited(&self) -> MutexGuard<'_, UnixNanos> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves on to `time`; never back.
    pub(super) fn advance(&self, time: UnixNanos) {
        self.nanos.fetch_max(time.0, Ordering::Release);
    }

    pub(super) fn now(&self) -> UnixNanos {
        UnixNanos(self.nanos.load(Ordering::Acquire))
    }

    /// How long to sleep, in real time, until the clock might show `time`; zero if it does. Who asks has done all that was to
    /// be done before `time`.
    pub(super) fn until(&self, time: UnixNanos) -> Duration {
        if time <= self.now() {
            return Duration::ZERO;
        }
        *self.awaited() = time;
        self.waited.notify_all();
        LONGEST_WAIT
    }

    /// Blocks until somebody waits for a time after `time`. Answers false if that takes longer than `patience`.
    pub(super) fn wait_until_passed(&self, time: UnixNanos, patience: Duration) -> bool {
        let is_behind = |awaited: &mut UnixNanos| *awaited <= time;
        let (_awaited, waited) =
            self.waited.wait_timeout_while(self.awaited(), patience, is_behind).unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks are given by this clock: it must never go back, and a time has only passed when who is driven by the clock waits
    /// for a later one.
    #[test]
    fn the_clock_follows_the_story() {
        let clock = StoryClock::new(UnixNanos(5_000_000_000));
        clock.advance(UnixNanos(4_000_000_000));
        assert_eq!(clock.now(), UnixNanos(5_000_000_000));
        assert_eq!(clock.until(UnixNanos(5_000_000_000)), Duration::ZERO);
        assert!(!clock.wait_until_passed(UnixNanos(5_000_000_000), Duration::ZERO));
        assert!(clock.until(UnixNanos(6_000_000_000)) > Duration::ZERO);
        assert!(clock.wait_until_passed(UnixNanos(5_000_000_000), Duration::ZERO));
        assert!(!clock.wait_until_passed(UnixNanos(6_000_000_000), Duration::ZERO));
    }
}
