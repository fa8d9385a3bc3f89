//! The clock of a replay: ticks from the times of the events themselves.

use crate::time::UnixNanos;

const SECOND: u64 = 1_000_000_000;

/// The clock as it stands at one position of the input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tick {
    /// 1 for the first tick, then one more each time.
    pub epoch: u64,
    /// Whole second; never earlier than that of the tick before.
    pub now: UnixNanos,
}

/// How far the times of events are believed.
#[derive(Clone, Copy, Debug)]
pub struct TickSettings {
    /// Nanoseconds by which one time may be ahead of or behind the clock and be believed at once. Default 1 hour.
    pub max_jump_nanos: u64,
    /// How many times in a row must agree (lie within `max_jump_nanos` of each other) before the clock follows a longer
    /// jump. Default 16.
    pub jump_confirmations: u32,
}

impl Default for TickSettings {
    fn default() -> Self {
        Self { max_jump_nanos: 3_600 * SECOND, jump_confirmations: 16 }
    }
}

/// Says when a tick is due: whenever the largest event time seen crosses a whole second.
///
/// The answer depends on the order of the input alone. A time far ahead is believed only once a run of times agrees on it,
/// so that one absurd time can't close every window. Where a run of times agrees on being far behind, the clock does not
/// go back: it goes on from where it is, by the progress of those times.
#[derive(Debug)]
pub struct TickSource {
    settings: TickSettings,
    epoch: u64,
    /// The largest believed time; 0 before the first one.
    clock: u64,
    ticked: u64,
    /// What is added to times after a jump backwards.
    offset: u64,
    doubtful: Option<Doubt>,
}

/// A run of times far from the clock.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    latest: u64,
    count: u32,
}

// === impl TickSource ===

impl TickSource {
    /// A clock that has not started.
    #[must_use]
    pub fn new(settings: TickSettings) -> Self {
        Self { settings, epoch: 0, clock: 0, ticked: 0, offset: 0, doubtful: None }
    }

    /// Takes the time of the next event in the order of the input, and says whether a tick is due before that event is
    /// handled. A time of 0, or beyond 2^63 ns, says nothing.
    pub fn handle_time(&mut self, time: UnixNanos) -> Option<Tick> {
        if time.0 == 0 || time.0 > i64::MAX as u64 {
            return None;
        }
        if self.clock == 0 {
            self.clock = time.0;
        } else {
            // A source that is right again needs no offset.
            if self.offset != 0 && time.0.abs_diff(self.clock) <= self.settings.max_jump_nanos {
                self.offset = 0;
            }
            let shifted = time.0.saturating_add(self.offset);
            if shifted.abs_diff(self.clock) <= self.settings.max_jump_nanos {
                self.doubtful = None;
                self.clock = self.clock.max(shifted);
            } else {
                self.doubt(time.0);
            }
        }
        let second = UnixNanos(self.clock).floor_to(SECOND);
        if second.0 <= self.ticked {
            return None;
        }
        self.ticked = second.0;
        self.epoch += 1;
        Some(Tick { epoch: self.epoch, now: second })
    }

    /// The clock: the largest believed time; 0 before the first one.
    #[must_use]
    pub fn now(&self) -> UnixNanos {
        UnixNanos(self.clock)
    }

    fn doubt(&mut self, time: u64) {
        let doubt = match self.doubtful {
            Some(doubt) if doubt.latest.abs_diff(time) <= self.settings.max_jump_nanos => {
                Doubt { latest: doubt.latest.max(time), count: doubt.count + 1 }
            }
            _ => Doubt { latest: time, count: 1 },
        };
        self.doubtful = Some(doubt);
        if doubt.count < self.settings.jump_confirmations {
            return;
        }
        self.doubtful = None;
        self.offset = self.clock.saturating_sub(doubt.latest);
        self.clock = self.clock.max(doubt.latest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u64 = 1_700_000_000 * SECOND;

    fn source() -> TickSource {
        TickSource::new(TickSettings::default())
    }

    /// Protects the position of ticks: one for each second that the largest time crosses, none for times that lie behind.
    #[test]
    fn ticks_when_a_second_is_crossed() {
        let mut source = source();
        let at = |nanos: u64| UnixNanos(T + nanos);
        assert_eq!(source.handle_time(at(500)), Some(Tick { epoch: 1, now: at(0) }));
        assert_eq!(source.handle_time(at(SECOND - 1)), None);
        assert_eq!(source.handle_time(at(3 * SECOND + 7)), Some(Tick { epoch: 2, now: at(3 * SECOND) }));
        assert_eq!(source.handle_time(at(2 * SECOND)), None);
        assert_eq!(source.handle_time(UnixNanos(0)), None);
        assert_eq!(source.handle_time(UnixNanos(u64::MAX)), None);
        assert_eq!(source.now(), at(3 * SECOND + 7));
    }

    /// Protects against one absurd time, and against a recording with a long gap standing still.
    #[test]
    fn follows_a_long_jump_only_when_times_agree() {
        let mut source = source();
        source.handle_time(UnixNanos(T));
        let day = 86_400 * SECOND;
        assert_eq!(source.handle_time(UnixNanos(T + 30 * day)), None);
        assert_eq!(source.handle_time(UnixNanos(T + SECOND)).map(|tick| tick.epoch), Some(2));
        let mut ticks: Vec<u64> = (0..20)
            .filter_map(|i| source.handle_time(UnixNanos(T + day + i * SECOND)))
            .map(|tick| tick.now.0)
            .collect();
        assert_eq!(ticks.remove(0), T + day + 15 * SECOND);
        assert_eq!(ticks.len(), 4);
    }

    /// Protects against a clock that was set back: the ticks go on, and never go back.
    #[test]
    fn goes_on_after_times_jump_backwards() {
        let mut source = source();
        source.handle_time(UnixNanos(T));
        let behind = T - 86_400 * SECOND;
        let mut last = T;
        let mut count = 0;
        for i in 0..60 {
            if let Some(tick) = source.handle_time(UnixNanos(behind + i * SECOND)) {
                assert!(tick.now.0 > last);
                last = tick.now.0;
                count += 1;
            }
        }
        assert_eq!((count, last), (44, T + 44 * SECOND));
    }
}
