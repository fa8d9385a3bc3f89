//! Where the live driver gets the time from.

use foreshock_engine::UnixNanos;
use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
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
