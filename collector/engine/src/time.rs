//! Points in time and the grid of windows. Nothing here reads a clock.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Nanoseconds since the Unix epoch, UTC. 0 stands for "not known", as in OTLP.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct UnixNanos(pub u64);

impl UnixNanos {
    /// This time plus `nanos`, stopping at the largest time there is.
    #[must_use]
    pub fn plus(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// This time less `nanos`, stopping at the epoch.
    #[must_use]
    pub fn minus(self, nanos: u64) -> Self {
        Self(self.0.saturating_sub(nanos))
    }

    /// Nanoseconds from `earlier` to this time; 0 if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The largest multiple of `step` nanoseconds that is not later than this time.
    ///
    /// # Panics
    /// If `step` is 0.
    #[must_use]
    pub fn floor_to(self, step: u64) -> Self {
        Self(self.0 - self.0 % step)
    }
}

impl fmt::Display for UnixNanos {
    /// RFC 3339 in UTC, with as many digits of the second as are needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(timestamp) => write!(f, "{timestamp}"),
            Err(_) => write!(f, "{} ns", self.0),
        }
    }
}
