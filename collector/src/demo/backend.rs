//! The backend of the demo: a real OTLP receiver on loopback that counts what arrives and picks out Foreshock's events.

use anyhow::{Context, Result};
use foreshock_console::views::hex;
use foreshock_engine::{
    UnixNanos,
    signal::{AttributeValue, Attributes, LogRecord, Metric, Point, Sink, Span},
};
use foreshock_otlp::{
    receive::{self, Transport},
    request::{Intake, Refusal, Request},
    view,
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use xxhash_rust::xxh3::xxh3_64;

/// Events that nobody has taken yet; beyond it the oldest are dropped.
const MOST_EVENTS: usize = 10_000;

/// Spans of incidents that are kept; further ones are not.
const MOST_SPANS: usize = 10_000;

/// The scope of everything that Foreshock says itself.
const SCOPE: &str = "foreshock";

/// One event of Foreshock as it arrived.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Notice {
    /// Such as `foreshock.incident.opened`.
    pub(super) name: String,
    pub(super) time: UnixNanos,
    /// OTLP severity number.
    pub(super) severity: i32,
    /// The sentence for people.
    pub(super) body: String,
    /// `service.name` of its resource.
    pub(super) service: String,
    /// Trace id of its incident's trace, 32 hexadecimal digits; empty where there is none.
    pub(super) trace: String,
    /// Those attributes that are text or a number.
    pub(super) attributes: BTreeMap<String, String>,
}

/// One span of an incident's trace as it arrived.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct IncidentSpan {
    /// 32 hexadecimal digits.
    pub(super) trace: String,
    /// 16 hexadecimal digits.
    pub(super) span: String,
    /// Those of its parent; zeros for the root.
    pub(super) parent: String,
    /// `incident`, a service, or the kind of an anomaly.
    pub(super) name: String,
    pub(super) start: UnixNanos,
    pub(super) end: UnixNanos,
    /// Whether its status is an error.
    pub(super) error: bool,
}

/// What was counted on one side of the hop. Both sides are equal if every request arrived once, byte for byte.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Tally {
    pub(super) requests: u64,
    pub(super) items: u64,
    pub(super) bytes: u64,
    /// Sum of the hashes of all requests, so that their order does not matter.
    hashes: u64,
}

impl Tally {
    pub(super) fn add(&mut self, items: u64, plain: &[u8]) {
        self.requests += 1;
        self.items += items;
        self.bytes += plain.len() as u64;
        self.hashes = self.hashes.wrapping_add(xxh3_64(plain));
    }
}

/// The running backend.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) address: SocketAddr,
    arrived: Arc<Arrived>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), receive::ServeError>>,
}

#[derive(Debug, Default)]
struct Arrived {
    /// A std mutex: held for as long as it takes to add numbers, never across an await.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    forwarded: Tally,
    events: VecDeque<Notice>,
    incident_spans: Vec<IncidentSpan>,
}

impl Backend {
    /// Listens on a free port of the loopback interface.
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("can't listen on loopback")?;
        let address = listener.local_addr().context("no local address")?;
        let arrived = Arc::new(Arrived::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let settings = receive::Settings { max_message_bytes: 64 << 20, ..receive::Settings::default() };
        let intake = Arc::clone(&arrived) as Arc<dyn Intake>;
        let server = tokio::spawn(receive::serve(Transport::Grpc, listener, settings, intake, async {
            // An error means that the backend was dropped: also a reason to stop.
            let _ = stopped.await;
        }));
        Ok(Self { address, arrived, stop, server })
    }

    /// What was forwarded to it so far, Foreshock's own telemetry aside.
    pub(super) fn forwarded(&self) -> Tally {
        self.arrived.state().forwarded
    }

    /// Spans of incidents that arrived so far, in the order of their arrival.
    pub(super) fn incident_spans(&self) -> Vec<IncidentSpan> {
        self.arrived.state().incident_spans.clone()
    }

    /// The events that arrived since the last call.
    pub(super) fn take_events(&self) -> Vec<Notice> {
        self.arrived.state().events.drain(..).collect()
    }

    /// Ends the server.
    pub(super) async fn stop(self) -> Result<()> {
        // The server may have ended by itself; what it says then comes from the join.
        let _ = self.stop.send(());
        self.server.await.context("the backend's task failed")?.context("the backend failed")
    }
}

impl Arrived {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intake for Arrived {
    fn accept(&self, request: Request) -> Result<(), Refusal> {
        let mut own = Own::default();
        for slice in view::split(request.signal, &request.plain) {
            // The receiver validated the request, so reading it can't fail.
            let _ = view::read(request.signal, &request.plain[slice.bytes], &mut own);
        }
        let mut state = self.state();
        if own.items == 0 {
            state.forwarded.add(request.items, &request.plain);
        }
        let room = MOST_SPANS.saturating_sub(state.incident_spans.len());
        state.incident_spans.extend(own.spans.into_iter().take(room));
        for event in own.events {
            if state.events.len() >= MOST_EVENTS {
                state.events.pop_front();
            }
            state.events.push_back(event);
        }
        Ok(())
    }
}

/// Picks what stands under Foreshock's own scope out of a request.
#[derive(Debug, Default)]
struct Own {
    service: String,
    inside: bool,
    items: u64,
    events: Vec<Notice>,
    spans: Vec<IncidentSpan>,
}

impl Sink for Own {
    fn resource(&mut self, attributes: &dyn Attributes) {
        self.service = attributes.text("service.name").unwrap_or_default();
        self.inside = false;
    }

    fn scope(&mut self, name: &str, _version: &str) {
        self.inside = name == SCOPE;
    }

    fn point(&mut self, _metric: &Metric<'_>, _point: &Point<'_>) {
        self.items += u64::from(self.inside);
    }

    fn log_record(&mut self, record: &LogRecord<'_>) {
        if !self.inside {
            return;
        }
        self.items += 1;
        let mut attributes = BTreeMap::new();
        record.attributes.for_each(&mut |key, value| {
            let value = match value {
                AttributeValue::Str(text) => text.to_owned(),
                AttributeValue::Int(number) => number.to_string(),
                AttributeValue::Double(number) => number.to_string(),
                AttributeValue::Bool(_) | AttributeValue::Other => return,
            };
            attributes.insert(key.to_owned(), value);
        });
        self.events.push(Notice {
            name: record.event_name.to_owned(),
            time: record.time,
            severity: record.severity_number,
            body: record.body.to_owned(),
            service: self.service.clone(),
            trace: if record.trace_id == [0; 16] { String::new() } else { hex(&record.trace_id) },
            attributes,
        });
    }

    fn span(&mut self, span: &Span<'_>) {
        if !self.inside {
            return;
        }
        self.items += 1;
        self.spans.push(IncidentSpan {
            trace: hex(&span.trace_id),
            span: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            name: span.name.to_owned(),
            start: span.start,
            end: span.end,
            error: span.error,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "N of N, byte for byte" is only worth something if a changed, a missing and a doubled request all show.
    #[test]
    fn a_tally_sees_every_difference() {
        let tally = |requests: &[&[u8]]| {
            let mut tally = Tally::default();
            for request in requests {
                tally.add(1, request);
            }
            tally
        };
        assert_eq!(tally(&[b"one", b"two"]), tally(&[b"two", b"one"]));
        assert_ne!(tally(&[b"one", b"two"]), tally(&[b"one", b"twx"]));
        assert_ne!(tally(&[b"one", b"two"]), tally(&[b"one"]));
        assert_ne!(tally(&[b"one", b"two"]), tally(&[b"one", b"one"]));
    }
}
