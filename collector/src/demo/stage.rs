//! Everything that takes part in a story, moved on second by second so that two runs of one seed are the same.
//!
//! A second of the story goes like this: the shop sends what it has to say, one request after the other; the hop takes it; detection
//! hands it to its shards; only then the clock moves on, and the next second begins when detection has seen that. So what detection
//! is given, in which order and at which time of its clock, depends on the seed alone.

use super::{
    backend::{Backend, IncidentSpan, Notice, Tally},
    clock::StoryClock,
    feeder::{Feeder, PATIENCE, Pace},
    hop::Hop,
};
use anyhow::{Result, ensure};
use foreshock_engine::UnixNanos;
use foreshock_simulator::{Crossing, Health, Shop};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    task::block_in_place,
    time::{Instant, sleep},
};

/// After the story the clock goes on for so many seconds, so that the last windows are closed.
const CLOSING_SECONDS: u64 = 90;

/// The shop, the program and the backend.
#[derive(Debug)]
pub(super) struct Stage {
    feeder: Feeder,
    clock: Arc<StoryClock>,
    backend: Backend,
    hop: Hop,
    closed_seconds: u64,
}

/// What is left when all has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) sent: Tally,
    pub(super) forwarded: Tally,
    /// Requests of the shop that the hop did not take.
    pub(super) unsent: usize,
    /// Requests that the further backend did not take.
    pub(super) further_unsent: usize,
    /// Items that the detectors did not look at.
    pub(super) shed: u64,
    /// Events that nobody has taken yet.
    pub(super) events: Vec<Notice>,
    pub(super) spans: Vec<IncidentSpan>,
    pub(super) crossing: Option<Crossing>,
}

impl Stage {
    /// Starts the backend and the program. `further` is the address of a real backend that gets everything too.
    pub(super) async fn open(shop: Shop, pace: Pace, further: Option<&str>) -> Result<Self> {
        let backend = Backend::start().await?;
        let clock = Arc::new(StoryClock::new(UnixNanos(shop.now())));
        let hop = Hop::start(Arc::clone(&clock), backend.address, further).await?;
        let feeder = Feeder::new(shop, pace, hop.receiver())?;
        Ok(Self { feeder, clock, backend, hop, closed_seconds: 0 })
    }

    /// Where the program takes OTLP/gRPC.
    pub(super) fn receiver(&self) -> SocketAddr {
        self.hop.receiver()
    }

    /// Where the console is.
    pub(super) fn console(&self) -> Option<SocketAddr> {
        self.hop.console()
    }

    /// What the story's clock shows.
    pub(super) fn now(&self) -> UnixNanos {
        self.clock.now()
    }

    pub(super) fn sent(&self) -> Tally {
        self.feeder.sent()
    }

    pub(super) fn forwarded(&self) -> Tally {
        self.backend.forwarded()
    }

    pub(super) fn crossing(&self) -> Option<&Crossing> {
        self.feeder.shop().threshold_crossing()
    }

    /// What each service did since the last call.
    pub(super) fn take_health(&mut self) -> Option<Vec<Health>> {
        self.feeder.take_health()
    }

    /// The events that arrived since the last call.
    pub(super) fn take_events(&self) -> Vec<Notice> {
        self.backend.take_events()
    }

    /// Whether the shop has nothing more to say and all windows are closed.
    pub(super) fn is_over(&self) -> bool {
        self.feeder.finished() && self.closed_seconds >= CLOSING_SECONDS
    }

    /// Whether the shop has nothing more to say.
    pub(super) fn is_closing(&self) -> bool {
        self.feeder.finished()
    }

    /// Plays one second.
    ///
    /// # Errors
    /// If the hop takes nothing any more, or detection does not get on.
    pub(super) async fn second(&mut self) -> Result<()> {
        let now = if self.feeder.finished() {
            self.closed_seconds += 1;
            self.clock.now().plus(1_000_000_000)
        } else {
            self.feeder.step().await?;
            let requests = self.feeder.sent().requests;
            let is_handled = block_in_place(|| self.hop.wait_for_detection(requests, PATIENCE));
            ensure!(is_handled, "the hop does not take what the shop sends");
            UnixNanos(self.feeder.shop().now())
        };
        self.clock.advance(now);
        self.hop.wake_detection();
        let has_passed = block_in_place(|| self.clock.wait_until_passed(now, PATIENCE));
        ensure!(has_passed, "detection does not follow the story's clock");
        Ok(())
    }

    /// Waits until all that was sent has come out at the other end, but not for ever: what is missing is the summary's subject.
    pub(super) async fn settle(&self) {
        let patience = Instant::now() + Duration::from_secs(10);
        while self.backend.forwarded() != self.feeder.sent() && Instant::now() < patience {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends all parts in their order.
    ///
    /// # Errors
    /// If a part fails at its end.
    pub(super) async fn finish(self) -> Result<Ended> {
        let sent = self.feeder.sent();
        let (shop, unsent) = self.feeder.finish().await;
        let shed = self.hop.shed();
        let further_unsent = self.hop.stop().await?;
        let ended = Ended {
            sent,
            forwarded: self.backend.forwarded(),
            unsent,
            further_unsent,
            shed,
            events: self.backend.take_events(),
            spans: self.backend.incident_spans(),
            crossing: shop.threshold_crossing().cloned(),
        };
        self.backend.stop().await?;
        Ok(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foreshock_simulator::{Plan, Scenario};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn play(speed: f64) -> (Vec<Notice>, Tally) {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let plan = Plan { lead_in: minutes(12), ramp: minutes(3), hold: minutes(2), recovery: minutes(1) };
        let shop = Shop::with_plan(Scenario::DatabaseSaturation, 1, 1_790_000_000_000_000_000, plan);
        let pace = Pace { lead_in: speed, fault: speed, recovery: speed };
        let mut stage = Stage::open(shop, pace, None).await.expect("starts");
        while !stage.is_over() {
            stage.second().await.expect("a second");
        }
        let ended = stage.finish().await.expect("ends");
        assert_eq!((ended.unsent, ended.shed), (0, 0));
        assert_eq!(ended.sent, ended.forwarded);
        (ended.events, ended.sent)
    }

    /// Asks the console of the running program over its socket.
    async fn post(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
        let head = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close";
        stream.write_all(format!("POST {path} HTTP/1.1\r\n{head}\r\n\r\n{{}}").as_bytes()).await.expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("reads");
        answer
    }

    /// Who takes an incident wants the others to see it: acknowledging it at the console of the running program sends an event
    /// on to the backend over OTLP, and only for an incident that is open.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_acknowledgement_leaves_as_an_event() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let plan = Plan { lead_in: minutes(12), ramp: minutes(1), hold: minutes(4), recovery: Duration::ZERO };
        let shop = Shop::with_plan(Scenario::DependencyOutage, 1, 1_790_000_000_000_000_000, plan);
        let pace = Pace { lead_in: 10_000.0, fault: 10_000.0, recovery: 10_000.0 };
        let mut stage = Stage::open(shop, pace, None).await.expect("starts");
        let console = stage.console().expect("a console");
        let id = |event: &Notice| event.attributes.get("foreshock.incident.id").cloned();
        let mut opened = None;
        while opened.is_none() && !stage.is_over() {
            stage.second().await.expect("a second");
            opened = stage.take_events().iter().find(|event| event.name == "foreshock.incident.opened").and_then(id);
        }
        let opened = opened.expect("an incident");
        let answer = post(console, "/api/v1/incidents/00000000000000aa/acknowledge").await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        let answer = post(console, &format!("/api/v1/incidents/{opened}/acknowledge")).await;
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        // It happens at the next tick.
        for _ in 0..5 {
            stage.second().await.expect("a second");
        }
        let ended = stage.finish().await.expect("ends");
        let taken: Vec<&Notice> =
            ended.events.iter().filter(|event| event.name == "foreshock.incident.acknowledged").collect();
        assert_eq!(taken.len(), 1, "{:?}", ended.events);
        assert_eq!(id(taken[0]), Some(opened));
        assert_eq!(taken[0].attributes["foreshock.incident.state"], "acknowledged");
        assert!(!taken[0].trace.is_empty() && !taken[0].body.is_empty());
    }

    /// What is told of a demo can be told again: one seed gives the same events with all that they say, in the same order,
    /// through real sockets and threads and at another speed.
    #[tokio::test(flavor = "multi_thread")]
    async fn one_seed_gives_the_same_events_at_any_speed() {
        let (events, sent) = play(10_000.0).await;
        let told: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
        for name in ["foreshock.anomaly.detected", "foreshock.incident.opened"] {
            assert!(told.contains(&name), "no {name} among {} events", told.len());
        }
        let (again, sent_again) = play(1_000.0).await;
        assert_eq!(sent, sent_again);
        assert_eq!(events, again);
    }
}
