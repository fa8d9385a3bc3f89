//! Sends events and incident traces on through the exporters, and keeps in the store what they have no room for.
//!
//! An event is in the store's outbox from before it is handed to an exporter until that exporter's queue was seen empty: a
//! process that dies in between sends it again (at least once). Traces leave the outbox when they are handed over, because a
//! backend does not merge a span that comes twice.

use super::{correlate::Outlet, counters::DetectionCounters};
use foreshock_engine::{UnixNanos, event::Event};
use foreshock_otlp::{
    Signal,
    export::{Entrance, ExporterCounters, NoRoom},
    request::Request,
};
use foreshock_store::{Lane, Parcel, Store};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    time::Duration,
};

/// Parcels held in memory; of more the oldest are dropped and counted.
const MOST_PARCELS: usize = 10_000;
/// How often exporters without room are asked again.
const PAUSE: Duration = Duration::from_millis(250);

/// One exporter that takes events, traces or both.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its queue.
    pub entrance: Entrance,
    /// Its counters.
    pub counters: Arc<ExporterCounters>,
    /// Most requests in its queue.
    pub capacity: u64,
    /// Whether it takes events.
    pub events: bool,
    /// Whether it takes incident traces.
    pub traces: bool,
}

/// Turns the events of one epoch into requests: logs for events, traces for incidents that closed.
pub type Encode = Box<dyn Fn(UnixNanos, &[Event]) -> Vec<Request> + Send>;

/// The correlator's side: encodes and hands on.
pub struct Exporting {
    /// How events become requests.
    pub encode: Encode,
    /// The way to the emission's thread.
    pub requests: SyncSender<Request>,
}

impl Outlet for Exporting {
    fn take(&mut self, now: UnixNanos, events: Vec<Event>) {
        for request in (self.encode)(now, &events) {
            if self.requests.send(request).is_err() {
                tracing::error!("events are lost: the emission's thread ended early");
            }
        }
    }
}

/// A parcel on its way.
#[derive(Debug)]
struct Posted {
    /// Its number in the outbox; `None` without a store.
    id: Option<i64>,
    request: Request,
}

/// What the emission's thread works with.
#[derive(Debug)]
pub struct Emission {
    targets: Vec<Target>,
    store: Option<Arc<Store>>,
    counters: Arc<DetectionCounters>,
    /// By target: what waits for room.
    waiting: Vec<VecDeque<Posted>>,
    /// By target: numbers of what the exporter has, and is not known to have sent.
    handed: Vec<Vec<i64>>,
}

impl Emission {
    /// An emission to `targets`, beginning with what is left in the store's outbox.
    #[must_use]
    pub fn new(targets: Vec<Target>, store: Option<Arc<Store>>, counters: Arc<DetectionCounters>) -> Self {
        let waiting = targets.iter().map(|_| VecDeque::new()).collect();
        let handed = targets.iter().map(|_| Vec::new()).collect();
        let mut emission = Self { targets, store, counters, waiting, handed };
        emission.remember();
        emission
    }

    /// Works until nobody can hand in anything more. What is left then is in the store.
    pub fn run(mut self, input: &Receiver<Request>) -> Self {
        loop {
            match input.recv_timeout(PAUSE) {
                Ok(request) => {
                    let mut batch = vec![request];
                    batch.extend(input.try_iter().take(256));
                    self.post(batch);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.hand_over();
            self.settle();
        }
        self.hand_over();
        self
    }

    /// After the exporters were drained: what they had is sent, or in the spool.
    pub fn finish(mut self) -> usize {
        let ids: Vec<i64> = self.handed.iter_mut().flat_map(std::mem::take).collect();
        self.remove(&ids);
        self.waiting.iter().map(VecDeque::len).sum()
    }

    fn remember(&mut self) {
        let Some(store) = self.store.clone() else { return };
        match store.waiting(Lane::Outbox, 0, MOST_PARCELS) {
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "the outbox can't be read"),
            Ok(left) => {
                let mut lost = Vec::new();
                for parcel in left {
                    let target = self.targets.iter().position(|t| t.entrance.name() == parcel.parcel.exporter);
                    match target.zip(request_of(&parcel.parcel)) {
                        Some((target, request)) => {
                            self.waiting[target].push_back(Posted { id: Some(parcel.id), request });
                        }
                        None => lost.push(parcel.id),
                    }
                }
                if !lost.is_empty() {
                    tracing::warn!(
                        events = lost.len(),
                        "events are dropped: their exporter is not configured any more"
                    );
                    self.counters.events_dropped.add(lost.len() as u64);
                    self.remove(&lost);
                }
            }
        }
    }

    fn post(&mut self, requests: Vec<Request>) {
        let mut posted: Vec<(usize, Request)> = Vec::new();
        for request in requests {
            for (index, target) in self.targets.iter().enumerate() {
                if if request.signal == Signal::Traces { target.traces } else { target.events } {
                    posted.push((index, request.clone()));
                }
            }
        }
        let ids = self.store.as_ref().and_then(|store| {
            let parcels: Vec<Parcel> = posted
                .iter()
                .map(|(index, request)| parcel_of(self.targets[*index].entrance.name(), request))
                .collect();
            store
                .post(Lane::Outbox, &parcels)
                .inspect_err(|error| {
                    tracing::error!(
                        error = error as &dyn std::error::Error,
                        "events can't be kept, and are sent all the same"
                    );
                })
                .ok()
        });
        for (number, (index, request)) in posted.into_iter().enumerate() {
            let id = ids.as_ref().and_then(|ids| ids.get(number)).copied();
            self.waiting[index].push_back(Posted { id, request });
            if self.waiting[index].len() > MOST_PARCELS
                && let Some(oldest) = self.waiting[index].pop_front()
            {
                self.counters.events_dropped.add(oldest.request.items);
                self.remove(&oldest.id.into_iter().collect::<Vec<_>>());
            }
        }
    }

    fn hand_over(&mut self) {
        let mut sent_once = Vec::new();
        for (index, target) in self.targets.iter().enumerate() {
            while let Some(next) = self.waiting[index].front() {
                // Asked first, so that waiting here is not counted as a refusal each time.
                if target.counters.queue_requests() >= target.capacity {
                    break;
                }
                match target.entrance.try_reserve(&next.request) {
                    Err(NoRoom::Full { .. } | NoRoom::Closed) => break,
                    Ok(permit) => {
                        let Some(Posted { id, request }) = self.waiting[index].pop_front() else { break };
                        match (id, request.signal) {
                            (Some(id), Signal::Traces) => sent_once.push(id),
                            (Some(id), _) => self.handed[index].push(id),
                            (None, _) => {}
                        }
                        permit.send(request);
                    }
                }
            }
        }
        self.remove(&sent_once);
        self.counters.outbox.set(self.waiting.iter().map(VecDeque::len).sum::<usize>() as u64);
    }

    /// Takes off the outbox what exporters have settled: an empty queue means that all of it was.
    fn settle(&mut self) {
        let mut settled = Vec::new();
        for (index, target) in self.targets.iter().enumerate() {
            if !self.handed[index].is_empty() && target.counters.queue_requests() == 0 {
                settled.append(&mut self.handed[index]);
            }
        }
        self.remove(&settled);
    }

    fn remove(&self, ids: &[i64]) {
        if ids.is_empty() {
            return;
        }
        if let Some(Err(error)) = self.store.as_ref().map(|store| store.remove(Lane::Outbox, ids)) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the outbox can't be cleared; events may be sent twice"
            );
        }
    }
}

/// How a request lies in the store: as it came over the wire, if that is known.
#[must_use]
pub fn parcel_of(exporter: &str, request: &Request) -> Parcel {
    let (encoding, bytes) = match &request.encoded {
        Some((compression, bytes)) => (compression.name(), bytes),
        None => ("identity", &request.plain),
    };
    Parcel {
        exporter: exporter.to_owned(),
        signal: request.signal.name().to_owned(),
        encoding: encoding.to_owned(),
        items: request.items,
        bytes: bytes.to_vec(),
    }
}

/// The request in a parcel; `None` if it is not what it claims to be.
#[must_use]
pub fn request_of(parcel: &Parcel) -> Option<Request> {
    use foreshock_otlp::compression::{Compression, inflate};
    /// More than this is not taken back.
    const LARGEST: usize = 256 << 20;
    let signal = Signal::ALL.into_iter().find(|signal| signal.name() == parcel.signal)?;
    let bytes = bytes::Bytes::copy_from_slice(&parcel.bytes);
    let encoded = [Compression::Gzip, Compression::Zstd].into_iter().find(|known| known.name() == parcel.encoding);
    Some(match encoded {
        Some(compression) => {
            let plain = inflate(compression, bytes.clone(), LARGEST).ok()?;
            Request::new(signal, parcel.items, plain.into(), Some((compression, bytes)))
        }
        None if parcel.encoding == "identity" => Request::new(signal, parcel.items, bytes, None),
        None => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use foreshock_otlp::export::{ClientSettings, Exporter, ExporterSettings, Kind, QueueSettings};
    use std::sync::mpsc::sync_channel;

    fn request(number: u8) -> Request {
        Request::new(Signal::Logs, 1, Bytes::from(vec![number; 4]), None)
    }

    /// Events that an exporter has no room for are there again after a restart, in their order, and none is lost or doubled.
    #[tokio::test]
    async fn events_without_room_outlive_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let exporter = || {
            let kind = Kind::Otlp(ClientSettings::new("http://127.0.0.1:1"));
            let queue = QueueSettings { queue_size: 1, ..QueueSettings::default() };
            Exporter::spawn(ExporterSettings { queue, ..ExporterSettings::new("otlp/down", kind) }).expect("starts")
        };
        let emission = |handle: &foreshock_otlp::export::ExporterHandle, store: &Arc<Store>| {
            let target = Target {
                entrance: handle.entrance(),
                counters: handle.counters(),
                capacity: 1,
                events: true,
                traces: false,
            };
            Emission::new(vec![target], Some(Arc::clone(store)), Arc::default())
        };
        {
            let store = Arc::new(Store::open(folder.path()).expect("opens").store);
            let handle = exporter();
            let first = emission(&handle, &store);
            let (sender, input) = sync_channel(8);
            for number in 1..=3 {
                sender.send(request(number)).expect("room");
            }
            drop(sender);
            let first = tokio::task::spawn_blocking(move || first.run(&input)).await.expect("ends");
            // One is with the exporter, whose drain gives it to the spool.
            assert_eq!(handle.drain(tokio::time::Instant::now()).await.requests.len(), 1);
            assert_eq!(first.finish(), 2);
        }
        let store = Arc::new(Store::open(folder.path()).expect("opens").store);
        let second = emission(&exporter(), &store);
        let left: Vec<Bytes> = second.waiting[0].iter().map(|posted| posted.request.plain.clone()).collect();
        assert_eq!(left, [request(2).plain, request(3).plain]);
    }

    /// A request lies in the store as it came over the wire, and comes back whole; nonsense is refused.
    #[test]
    fn parcels_come_back() {
        use foreshock_otlp::compression::Compression;
        let plain = Bytes::from_static(b"some bytes, some bytes");
        let gzip = Bytes::from(Compression::Gzip.compress(&plain).expect("compresses"));
        let request = Request::new(Signal::Traces, 3, plain.clone(), Some((Compression::Gzip, gzip.clone())));
        let parcel = parcel_of("otlp/a", &request);
        assert_eq!(parcel.bytes, gzip);
        let back = request_of(&parcel).expect("a request");
        assert_eq!((back.signal, back.items, back.plain), (Signal::Traces, 3, plain));
        assert!(request_of(&Parcel { encoding: "snappy".to_owned(), ..parcel.clone() }).is_none());
        assert!(request_of(&Parcel { bytes: vec![1, 2, 3], ..parcel }).is_none());
    }
}
