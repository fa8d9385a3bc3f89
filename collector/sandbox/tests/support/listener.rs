//! Hears the lines that detectors write to the log.

use std::{
    fmt,
    sync::{Arc, Mutex},
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber,
};

struct Listener<F>(F);

impl<F: Fn(String) + 'static> Subscriber for Listener<F> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "detector"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0(message.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// Does some work, and calls `listen` with each line that a detector writes on this thread meanwhile; the detector waits for it.
pub(crate) fn listening<T>(listen: impl Fn(String) + Send + Sync + 'static, work: impl FnOnce() -> T) -> T {
    subscriber::with_default(Listener(listen), work)
}

/// What `work` gives, and the lines that detectors wrote on this thread meanwhile.
pub(crate) fn lines_of<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&lines);
    let given = listening(move |line| seen.lock().unwrap().push(line), work);
    let lines = std::mem::take(&mut *lines.lock().unwrap());
    (given, lines)
}
