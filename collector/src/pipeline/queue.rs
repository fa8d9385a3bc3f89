//! The queue between the intake and detection: bounded in requests and bytes. When it is full, what comes is shed.
//!
//! The bytes of a request count until the last shard is done with its last piece, so the bound holds for all of detection.

use bytes::Bytes;
use foreshock_otlp::Signal;
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What waits for detection.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What it carries.
    pub signal: Signal,
    /// Points, records or spans in it.
    pub items: u64,
    /// One `Export*ServiceRequest` as protobuf.
    pub plain: Bytes,
}

/// Bytes that give their room back when nobody holds them any more.
#[derive(Debug)]
struct Charged {
    plain: Bytes,
    queue: Arc<DetectionQueue>,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.plain
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        self.queue.state().bytes -= self.plain.len();
    }
}

/// The answer of [`DetectionQueue::take`].
#[derive(Debug)]
pub enum Taken {
    /// The oldest offer.
    Offer(Offer),
    /// The time is up.
    Nothing,
    /// The queue is closed and empty.
    Closed,
}

/// The queue itself. Offering never waits; taking does.
#[derive(Debug)]
pub struct DetectionQueue {
    requests: usize,
    bytes: usize,
    /// A std mutex: held for a few instructions, also on the async runtime's workers.
    state: Mutex<State>,
    filled: Condvar,
    /// Told when a taker comes for more and there is nothing.
    rested: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Offer>,
    bytes: usize,
    closed: bool,
    /// Offers that were taken in since the start.
    offered: u64,
    /// Whether a taker waits.
    is_awaited: bool,
    /// Whether a taker that waits shall be sent away once.
    is_nudged: bool,
}

impl DetectionQueue {
    /// A queue of at most `requests` requests and `bytes` bytes. A request larger than all of it is never taken.
    #[must_use]
    pub fn new(requests: usize, bytes: usize) -> Self {
        Self { requests, bytes, state: Mutex::default(), filled: Condvar::new(), rested: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an offer unless that would break a bound, or the queue is closed; says whether it was added.
    #[must_use]
    pub fn offer(&self, offer: Offer) -> bool {
        let mut state = self.state();
        let bytes = state.bytes.saturating_add(offer.plain.len());
        if state.closed || state.waiting.len() >= self.requests || bytes > self.bytes {
            return false;
        }
        state.bytes = bytes;
        state.offered += 1;
        state.waiting.push_back(offer);
        drop(state);
        self.filled.notify_one();
        true
    }

    /// The oldest offer, waiting for it for at most `wait`.
    #[must_use]
    pub fn take(self: &Arc<Self>, wait: Duration) -> Taken {
        let mut state = self.state();
        if state.waiting.is_empty() {
            state.is_awaited = true;
            self.rested.notify_all();
        }
        let (mut state, _) = self
            .filled
            .wait_timeout_while(state, wait, |state| state.waiting.is_empty() && !state.closed && !state.is_nudged)
            .unwrap_or_else(PoisonError::into_inner);
        state.is_awaited = false;
        state.is_nudged = false;
        match state.waiting.pop_front() {
            Some(offer) => {
                drop(state);
                let charged = Charged { plain: offer.plain, queue: Arc::clone(self) };
                Taken::Offer(Offer { plain: Bytes::from_owner(charged), ..offer })
            }
            None if state.closed => Taken::Closed,
            None => Taken::Nothing,
        }
    }

    /// Takes no more offers; those that wait can still be taken.
    pub fn close(&self) {
        self.state().closed = true;
        self.filled.notify_all();
    }

    /// Sends a taker that waits, or the next that comes, away with [`Taken::Nothing`] unless there is an offer: its clock
    /// shows another time now.
    pub fn nudge(&self) {
        self.state().is_nudged = true;
        self.filled.notify_all();
    }

    /// Blocks until at least `offers` were taken in since the start, and the taker has come back for more and found nothing.
    /// Answers false if that takes longer than `patience`.
    #[must_use]
    pub fn wait_until_handled(&self, offers: u64, patience: Duration) -> bool {
        let state = self.state();
        let is_busy = |state: &mut State| state.offered < offers || !state.waiting.is_empty() || !state.is_awaited;
        let (_state, waited) =
            self.rested.wait_timeout_while(state, patience, is_busy).unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out()
    }

    /// How many offers wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(bytes: usize) -> Offer {
        Offer { signal: Signal::Logs, items: 1, plain: Bytes::from(vec![0; bytes]) }
    }

    /// Both bounds hold, room comes back when the bytes are let go, and closing lets the rest out first.
    #[test]
    fn bounds() {
        let queue = Arc::new(DetectionQueue::new(2, 10));
        assert!(queue.offer(offer(6)));
        assert!(!queue.offer(offer(5)), "too many bytes");
        assert!(queue.offer(offer(4)));
        assert!(!queue.offer(offer(0)), "too many requests");
        let Taken::Offer(taken) = queue.take(Duration::ZERO) else { panic!("an offer") };
        let piece = taken.plain.slice(1..2);
        drop(taken);
        assert!(!queue.offer(offer(6)), "a piece of it is still held");
        drop(piece);
        assert!(queue.offer(offer(6)));
        queue.close();
        assert!(!queue.offer(offer(0)));
        assert!(matches!(queue.take(Duration::ZERO), Taken::Offer(_)));
        assert!(matches!(queue.take(Duration::ZERO), Taken::Offer(_)));
        assert!(matches!(queue.take(Duration::MAX), Taken::Closed));
    }

    /// A driver whose clock is not the system's relies on these two: "handled" is only said when the taker is back for more,
    /// and a nudge reaches a taker that comes later, once.
    #[test]
    fn handled_means_that_the_taker_came_back() {
        let queue = Arc::new(DetectionQueue::new(2, 10));
        assert!(queue.offer(offer(1)));
        let Taken::Offer(taken) = queue.take(Duration::MAX) else { panic!("an offer") };
        assert!(!queue.wait_until_handled(1, Duration::from_millis(5)), "the taker still works on it");
        drop(taken);
        let taker = {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || matches!(queue.take(Duration::from_secs(60)), Taken::Nothing))
        };
        assert!(queue.wait_until_handled(1, Duration::from_secs(60)));
        assert!(!queue.wait_until_handled(2, Duration::from_millis(5)), "only one was offered");
        queue.nudge();
        assert!(taker.join().expect("does not panic"));
        queue.nudge();
        assert!(matches!(queue.take(Duration::MAX), Taken::Nothing));
        assert!(matches!(queue.take(Duration::ZERO), Taken::Nothing));
    }

    /// An empty queue answers when the time is up, so that ticks go on without traffic.
    #[test]
    fn waits_no_longer_than_asked() {
        assert!(matches!(Arc::new(DetectionQueue::new(1, 1)).take(Duration::from_millis(1)), Taken::Nothing));
    }
}
