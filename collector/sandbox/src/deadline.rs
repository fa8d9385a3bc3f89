//! When a call has had its time.
//!
//! A guest is held to the processor time of the thread that runs it, so that a good detector on a busy machine is not stopped for
//! time that others had. In the end the wall clock counts too: whoever waits for the call can't wait for ever.

use cpu_time::ThreadTime;
use std::time::{Duration, Instant};

/// A call that took this many times its limit by the wall clock is stopped, however little of that its thread ran.
pub(crate) const WALL_FACTOR: u32 = 10;

/// The time of one call.
///
/// The clock of the thread's own time costs a system call, which most calls are too short to be worth. So it is first read
/// when the first tick of the epoch finds the call still going, and what the call used before that counts for nothing.
#[derive(Debug)]
pub(crate) struct Deadline {
    limit: Duration,
    tick: Duration,
    began: Instant,
    /// The thread's processor time at the first tick.
    at_first_tick: Option<Duration>,
}

impl Deadline {
    /// For a call that begins now and is looked at every `tick`.
    pub(crate) fn new(limit: Duration, tick: Duration) -> Self {
        Self { limit, tick, began: Instant::now(), at_first_tick: None }
    }

    /// How many ticks to go on for before this is asked again; `None` when the time is up.
    pub(crate) fn ticks_left(&mut self) -> Option<u64> {
        let waited = self.began.elapsed();
        // A machine without such a clock has the wall clock alone.
        let now = ThreadTime::try_now().map_or(waited, |now| now.as_duration());
        let used = now.saturating_sub(*self.at_first_tick.get_or_insert(now));
        self.left(used, waited)
    }

    fn left(&self, used: Duration, waited: Duration) -> Option<u64> {
        let left = self.limit.checked_sub(used).filter(|left| !left.is_zero())?;
        if waited >= self.limit.saturating_mul(WALL_FACTOR) {
            return None;
        }
        let ticks = left.as_nanos().div_ceil(self.tick.as_nanos().max(1));
        Some(u64::try_from(ticks).unwrap_or(u64::MAX).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// What the thread ran is what counts; what it waited counts only at ten times the limit.
    #[test]
    fn processor_time_counts_and_in_the_end_the_wall_clock() {
        let deadline = Deadline::new(ms(100), ms(10));
        for (used, waited, left) in [
            (0, 10, Some(10)),
            (0, 999, Some(10)),
            (0, 1000, None),
            (91, 200, Some(1)),
            (95, 200, Some(1)),
            (100, 110, None),
            (250, 250, None),
        ] {
            assert_eq!(deadline.left(ms(used), ms(waited)), left, "used {used} ms, waited {waited} ms");
        }
    }

    /// A thread that runs on is stopped, and not before it had its time by one of the two clocks.
    #[test]
    fn a_thread_that_runs_uses_its_time_up() {
        let (began, ran) = (Instant::now(), ThreadTime::now());
        let mut deadline = Deadline::new(ms(20), ms(10));
        while deadline.ticks_left().is_some() {}
        assert!(ran.elapsed() >= ms(20) || began.elapsed() >= ms(200));
    }

    /// Limits at the ends of their range neither overflow nor divide by zero.
    #[test]
    fn odd_limits_are_no_trouble() {
        assert_eq!(Deadline::new(Duration::ZERO, ms(10)).left(ms(0), ms(0)), None);
        assert_eq!(Deadline::new(Duration::MAX, Duration::ZERO).left(ms(1), ms(1)), Some(u64::MAX));
    }
}
