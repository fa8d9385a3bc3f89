//! Where the live driver gets the time from.

use foreshock_engine::UnixNanos;
use std::{
    fmt,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A clock: the driver asks it for the time and how long to wait for the next whole second.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now. Never goes back by more than the system's clock does.
    fn now(&self) -> UnixNanos;

    /// How long to wait, in real time, until this clock shows `time`; zero if it already does.
    fn until(&self, time: UnixNanos) -> Duration;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixNanos {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixNanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    fn until(&self, time: UnixNanos) -> Duration {
        Duration::from_nanos(time.since(self.now()))
    }
}

/// A clock that starts at a given time and runs `speed` times as fast as real time, for the demo.
#[derive(Clone, Copy, Debug)]
pub struct ScaledClock {
    start: UnixNanos,
    began: Instant,
    speed: f64,
}

impl ScaledClock {
    /// Shows `start` now. `speed` is taken as 1 unless it is above 0.
    #[must_use]
    pub fn new(start: UnixNanos, speed: f64) -> Self {
        let speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
        Self { start, began: Instant::now(), speed }
    }
}

impl Clock for ScaledClock {
    fn now(&self) -> UnixNanos {
        let passed = self.began.elapsed().as_secs_f64() * self.speed;
        let passed = Duration::try_from_secs_f64(passed).unwrap_or(Duration::MAX);
        self.start.plus(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX))
    }

    fn until(&self, time: UnixNanos) -> Duration {
        Duration::from_nanos(time.since(self.now())).div_f64(self.speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The demo's clock runs ahead by its factor, and waits are in real time.
    #[test]
    fn scaled() {
        let start = UnixNanos(1_700_000_000_000_000_000);
        let clock = ScaledClock::new(start, 60.0);
        let wait = clock.until(start.plus(60_000_000_000));
        assert!(wait <= Duration::from_secs(1) && wait > Duration::from_millis(500), "{wait:?}");
        assert!(clock.now() >= start);
    }
}
