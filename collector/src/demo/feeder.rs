//! Plays the shop: simulates it second by second, at the pace asked for, and sends what it emits over the loopback socket.

use super::backend::Tally;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use foreshock_otlp::{
    Signal,
    export::{ClientSettings, Exporter, ExporterHandle, ExporterSettings, Kind, NoRoom, QueueSettings, RetrySettings},
    request::Request,
};
use foreshock_simulator::{Export, Health, Shop};
use std::{net::SocketAddr, time::Duration};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// Simulated time is moved on in steps of so many seconds.
const STEP_SECONDS: u64 = 1;

/// Requests that may wait for the socket; beyond it the story waits.
const MOST_WAITING: usize = 64;

/// How often the sender looks whether there is room again.
const ROOM: Duration = Duration::from_millis(2);

/// How long the sender waits for the hop before it gives up.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How fast the story goes, in simulated seconds per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// Until the fault begins.
    pub(super) lead_in: f64,
    /// From there until it is mended.
    pub(super) fault: f64,
    /// From there on.
    pub(super) recovery: f64,
}

/// Sends the shop's telemetry as one client, in order.
#[derive(Debug)]
pub(super) struct Feeder {
    shop: Shop,
    pace: Pace,
    exporter: ExporterHandle,
    sent: Tally,
    due: Instant,
}

impl Feeder {
    /// Will send to `receiver` over OTLP/gRPC with gzip.
    pub(super) fn new(shop: Shop, pace: Pace, receiver: SocketAddr) -> Result<Self> {
        let mut client = ClientSettings::new(format!("http://{receiver}"));
        client.timeout = PATIENCE;
        let settings = ExporterSettings {
            // One at a time keeps the order in which the shop sends.
            queue: QueueSettings { queue_size: MOST_WAITING, num_consumers: 1, ..QueueSettings::default() },
            retry: RetrySettings { initial_interval: Duration::from_millis(50), ..RetrySettings::default() },
            ..ExporterSettings::new("demo/shop", Kind::Otlp(client))
        };
        let exporter = Exporter::spawn(settings).context("can't start the shop's sender")?;
        Ok(Self { shop, pace, exporter, sent: Tally::default(), due: Instant::now() })
    }

    /// What was sent so far.
    pub(super) fn sent(&self) -> Tally {
        self.sent
    }

    /// The shop.
    pub(super) fn shop(&self) -> &Shop {
        &self.shop
    }

    /// What each service did since the last call.
    pub(super) fn take_health(&mut self) -> Option<Vec<Health>> {
        self.shop.take_health()
    }

    /// Whether the story is at its end.
    pub(super) fn finished(&self) -> bool {
        self.shop.elapsed() >= self.shop.plan().total()
    }

    fn speed(&self) -> f64 {
        let (elapsed, plan) = (self.shop.elapsed(), self.shop.plan());
        if elapsed < plan.lead_in {
            self.pace.lead_in
        } else if elapsed < plan.mended() {
            self.pace.fault
        } else {
            self.pace.recovery
        }
    }

    /// Waits until the next step is due, simulates it and sends what it gives. A hop that is slower than the pace slows the
    /// story down; nothing is skipped.
    pub(super) async fn step(&mut self) -> Result<()> {
        sleep_until(self.due).await;
        // What was late stays late: hurrying afterwards would only overload the hop.
        let step = Duration::from_secs_f64(STEP_SECONDS as f64 / self.speed());
        self.due = (self.due + step).max(Instant::now());
        for export in self.shop.step(Duration::from_secs(STEP_SECONDS)) {
            self.send(&export).await?;
        }
        Ok(())
    }

    async fn send(&mut self, export: &Export) -> Result<()> {
        let signal = match export.request {
            foreshock_simulator::Request::Metrics(_) => Signal::Metrics,
            foreshock_simulator::Request::Logs(_) => Signal::Logs,
            foreshock_simulator::Request::Traces(_) => Signal::Traces,
        };
        let request = Request::new(signal, export.request.items(), Bytes::from(export.request.encode()), None);
        self.sent.add(request.items, &request.plain);
        let deadline = Instant::now() + PATIENCE;
        let room = async {
            loop {
                match self.exporter.entrance().try_reserve(&request) {
                    Ok(permit) => return Ok(permit),
                    Err(NoRoom::Full { .. }) => sleep(ROOM).await,
                    Err(NoRoom::Closed) => bail!("the shop's sender is closed"),
                }
            }
        };
        let permit = timeout_at(deadline, room).await.context("the hop takes nothing any more")??;
        permit.send(request);
        Ok(())
    }

    /// Sends what still waits. Answers the shop, and what could not be sent.
    pub(super) async fn finish(self) -> (Shop, usize) {
        let leftover = self.exporter.drain(Instant::now() + PATIENCE).await;
        (self.shop, leftover.requests.len())
    }
}
