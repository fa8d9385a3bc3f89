//! The clock of the story: it stands where the simulation stands.

use foreshock_engine::UnixNanos;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// How long to wait where the clock can't tell: a step of the story takes longer.
const SHORTEST_WAIT: Duration = Duration::from_millis(2);

/// Shows the simulation's time. Whoever waits for a time of it has to look again, for the story may pause.
#[derive(Debug)]
pub(super) struct StoryClock {
    nanos: AtomicU64,
    /// Simulated nanoseconds per millisecond, to estimate waits.
    pace: AtomicU64,
}

impl StoryClock {
    pub(super) fn new(start: UnixNanos) -> Self {
        Self { nanos: AtomicU64::new(start.0), pace: AtomicU64::new(1_000_000) }
    }

    /// Moves on to `time`; never back.
    pub(super) fn advance(&self, time: UnixNanos) {
        self.nanos.fetch_max(time.0, Ordering::Release);
    }

    /// Tells how many simulated seconds pass in a second.
    pub(super) fn set_speed(&self, speed: f64) {
        self.pace.store((speed * 1e6) as u64, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> UnixNanos {
        UnixNanos(self.nanos.load(Ordering::Acquire))
    }

    /// About how long, in real time, until the clock shows `time`; zero if it does.
    pub(super) fn until(&self, time: UnixNanos) -> Duration {
        let ahead = time.since(self.now());
        if ahead == 0 {
            return Duration::ZERO;
        }
        let millis = ahead / self.pace.load(Ordering::Relaxed).max(1);
        Duration::from_millis(millis).max(SHORTEST_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks are given by this clock: it must never go back, and waits must shrink with the speed.
    #[test]
    fn the_clock_follows_the_story() {
        let clock = StoryClock::new(UnixNanos(5_000_000_000));
        clock.advance(UnixNanos(4_000_000_000));
        assert_eq!(clock.now(), UnixNanos(5_000_000_000));
        clock.set_speed(10.0);
        assert_eq!(clock.until(UnixNanos(6_000_000_000)), Duration::from_millis(100));
        assert_eq!(clock.until(UnixNanos(5_000_000_000)), Duration::ZERO);
    }
}
