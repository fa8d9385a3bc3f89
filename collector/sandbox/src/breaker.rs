//! When a detector that failed may try again, in event time.

use foreshock_engine::UnixNanos;

const SECOND: u64 = 1_000_000_000;

/// Waiting after the first fault; doubled with each further one.
const FIRST_DELAY_NS: u64 = SECOND;
/// The longest wait before the circuit opens.
const LONGEST_DELAY_NS: u64 = 30 * SECOND;
/// With this many faults in a row the circuit opens.
const FAULTS_TO_OPEN: u32 = 5;
/// How long the circuit stays open before one trial.
const OPEN_NS: u64 = 600 * SECOND;

/// Counts faults in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Breaker {
    faults: u32,
    until: UnixNanos,
}

/// What follows from a fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Consequence {
    /// It tries again from this time on.
    Wait(UnixNanos),
    /// The circuit opened; one trial from this time on.
    Open(UnixNanos),
}

impl Breaker {
    /// Whether a model may be opened in the window that ends at `now`.
    pub(crate) fn may_try(self, now: UnixNanos) -> bool {
        self.faults == 0 || now >= self.until
    }

    /// Whether the next try is the one after the circuit was open.
    pub(crate) fn is_trial(self) -> bool {
        self.faults >= FAULTS_TO_OPEN
    }

    /// A fault in the window that ends at `now`.
    pub(crate) fn fault(&mut self, now: UnixNanos) -> Consequence {
        self.faults = self.faults.saturating_add(1);
        if self.is_trial() {
            self.until = now.plus(OPEN_NS);
            Consequence::Open(self.until)
        } else {
            // At most FAULTS_TO_OPEN - 2, so the shift loses nothing.
            let doublings = self.faults - 1;
            self.until = now.plus((FIRST_DELAY_NS << doublings).min(LONGEST_DELAY_NS));
            Consequence::Wait(self.until)
        }
    }

    /// A fault that trying again soon can't mend.
    pub(crate) fn open(&mut self, now: UnixNanos) -> Consequence {
        self.faults = FAULTS_TO_OPEN - 1;
        self.fault(now)
    }

    /// An answer.
    pub(crate) fn success(&mut self) {
        self.faults = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UnixNanos {
        UnixNanos(seconds * SECOND)
    }

    /// Waits double from one second, the fifth fault in a row opens the circuit for ten minutes, a failed trial keeps it
    /// open, and one answer mends everything.
    #[test]
    fn waits_double_and_then_the_circuit_opens() {
        let mut breaker = Breaker::default();
        assert!(breaker.may_try(at(0)));
        for (now, until) in [(100, 101), (110, 112), (120, 124), (130, 138)] {
            assert_eq!(breaker.fault(at(now)), Consequence::Wait(at(until)));
            assert!(!breaker.may_try(at(until - 1)) && breaker.may_try(at(until)) && !breaker.is_trial());
        }
        assert_eq!(breaker.fault(at(140)), Consequence::Open(at(740)));
        assert!(!breaker.may_try(at(739)) && breaker.may_try(at(740)) && breaker.is_trial());
        assert_eq!(breaker.fault(at(750)), Consequence::Open(at(1350)));

        breaker.success();
        assert!(breaker.may_try(at(751)) && !breaker.is_trial());
        assert_eq!(breaker.fault(at(760)), Consequence::Wait(at(761)));
    }

    /// What trying again can't mend goes straight to the long wait.
    #[test]
    fn hopeless_faults_open_the_circuit_at_once() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.open(at(5)), Consequence::Open(at(605)));
        assert!(breaker.is_trial());
    }
}
