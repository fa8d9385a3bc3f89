//! When a detector that failed may try again, in event time.

use foreshock_engine::UnixNanos;

const SECOND: u64 = 1_000_000_000;

/// Waiting after the first fault; doubled with each further one.
const FIRST_DELAY_NS: u64 = SECOND;
/// The longest wait before the circuit opens.
const LONGEST_DELAY_NS: u64 = 30 * SECOND;
/// With this many faults the circuit opens.
const FAULTS_TO_OPEN: u32 = 5;
/// Only so many answers in a row make up for faults, so that a detector that fails in every other window is paused too.
const ANSWERS_TO_FORGET: u32 = 10;
/// How long the circuit stays open before one trial.
const OPEN_NS: u64 = 600 * SECOND;

/// Counts faults between which there are few answers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Breaker {
    faults: u32,
    /// In a row, since the last fault.
    answers: u32,
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
        self.answers = 0;
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
        self.answers = self.answers.saturating_add(1);
        if self.answers >= ANSWERS_TO_FORGET {
            self.faults = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UnixNanos {
        UnixNanos(seconds * SECOND)
    }

    /// Waits double from one second, the fifth fault in a row opens the circuit for ten minutes, a failed trial keeps it
    /// open, and ten answers in a row mend everything.
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

        // The trial answers, but fails soon after.
        breaker.success();
        assert_eq!(breaker.fault(at(1360)), Consequence::Open(at(1960)));
        for _ in 0..ANSWERS_TO_FORGET {
            breaker.success();
        }
        assert!(breaker.may_try(at(1361)) && !breaker.is_trial());
        assert_eq!(breaker.fault(at(1370)), Consequence::Wait(at(1371)));
    }

    /// One answer between two faults is not enough to keep the circuit closed.
    #[test]
    fn failing_in_every_other_window_opens_the_circuit() {
        let mut breaker = Breaker::default();
        for fault in 1..=4 {
            assert!(matches!(breaker.fault(at(fault * 100)), Consequence::Wait(_)));
            breaker.success();
        }
        assert_eq!(breaker.fault(at(500)), Consequence::Open(at(1100)));
    }

    /// What trying again can't mend goes straight to the long wait.
    #[test]
    fn hopeless_faults_open_the_circuit_at_once() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.open(at(5)), Consequence::Open(at(605)));
        assert!(breaker.is_trial());
    }
}
