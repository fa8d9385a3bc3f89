//! The load: batches, encoded beforehand, sent at a pace or as fast as they are taken, and awaited upstream.

use crate::{hop::Hop, now_nanos};
use anyhow::{Result, bail};
use bytes::Bytes;
use e2e::{
    payload::{self, Shape},
    wire::{self, Client},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

const CONNECTIONS: usize = 2;
const IN_FLIGHT: usize = 4;
/// Largest message that is searched for its number, decompressed, in bytes.
pub(crate) const LARGEST: u64 = 16 << 20;

/// Batches of one signal under one compression.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) signal: &'static str,
    encoding: &'static str,
    pub(crate) items: u64,
    pub(crate) frames: Arc<Vec<Bytes>>,
}

impl Load {
    /// Batches with the given seconds of event time from each to the next; the last is about now. `compression` is `none`,
    /// `gzip` or `zstd`.
    pub(crate) fn new(signal: &'static str, compression: &str, shape: Shape, seconds: &[u64]) -> Result<Self> {
        let encoding = match compression {
            "gzip" => "gzip",
            "zstd" => "zstd",
            _ => "identity",
        };
        let mut time = now_nanos() - seconds.iter().sum::<u64>() * 1_000_000_000;
        let mut frames = Vec::with_capacity(seconds.len());
        for (sequence, seconds) in (0..).zip(seconds) {
            time += seconds * 1_000_000_000;
            frames.push(wire::frame(encoding, &payload::batch(signal, shape, sequence, time))?);
        }
        Ok(Self { signal, encoding, items: shape.items, frames: Arc::new(frames) })
    }

    /// The batches before `at`, and those from there on.
    pub(crate) fn split(&self, at: usize) -> (Self, Self) {
        let (before, after) = self.frames.split_at(at.min(self.frames.len()));
        let part = |frames: &[Bytes]| Self { frames: Arc::new(frames.to_vec()), ..self.clone() };
        (part(before), part(after))
    }

    /// Sends all batches, at most so many items a second if that is given, waits until the upstream has all, and gives the
    /// items a second that this came to.
    pub(crate) async fn run(&self, hop: &mut Hop, items_per_second: Option<f64>) -> Result<f64> {
        let pace = items_per_second.map(|rate| Duration::from_secs_f64(self.items as f64 / rate));
        let began = Instant::now();
        let next = Arc::new(AtomicUsize::new(0));
        let mut senders = JoinSet::new();
        for _connection in 0..CONNECTIONS {
            let client = Client::connect(hop.address).await?;
            for _slot in 0..IN_FLIGHT {
                senders.spawn(send(client.clone(), self.clone(), Arc::clone(&next), began, pace));
            }
        }
        while let Some(done) = senders.join_next().await {
            done??;
        }
        let mut arrived = 0;
        let path = wire::export_path(self.signal);
        while arrived < self.frames.len() {
            // What Foreshock says itself comes on the same way; it is not counted.
            match tokio::time::timeout(Duration::from_secs(30), hop.upstream.received.recv()).await {
                Ok(Some(received)) => {
                    let counts = received.path == path && payload::sequence(&received.plain(LARGEST)?).is_some();
                    arrived += usize::from(counts);
                }
                _ => bail!("only {arrived} of {} batches arrived", self.frames.len()),
            }
        }
        Ok((self.frames.len() as u64 * self.items) as f64 / began.elapsed().as_secs_f64())
    }

    /// Sends one batch; gives the gRPC status.
    pub(crate) async fn send_one(&self, client: &mut Client, index: usize) -> Result<i32> {
        let Some(frame) = self.frames.get(index) else { bail!("there is no batch {index}") };
        client.send(self.signal, self.encoding, frame.clone()).await
    }
}

async fn send(
    mut client: Client,
    load: Load,
    next: Arc<AtomicUsize>,
    began: Instant,
    pace: Option<Duration>,
) -> Result<()> {
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= load.frames.len() {
            return Ok(());
        }
        if let Some(pace) = pace {
            tokio::time::sleep_until((began + pace.mul_f64(index as f64)).into()).await;
        }
        loop {
            match load.send_one(&mut client, index).await? {
                0 => break,
                // Full: what a sender does on a retryable status.
                8 | 14 => tokio::time::sleep(Duration::from_millis(5)).await,
                status => bail!("refused with gRPC status {status}"),
            }
        }
    }
}

/// Waits until the program has used next to no processor time for half a second. Fails if it works on for two minutes: what is measured
/// then would be the next part's.
pub(crate) async fn settle(hop: &Hop) -> Result<()> {
    let Some(program) = hop.program() else { return Ok(()) };
    let mut last = program.cpu_seconds()?;
    for _ in 0..240 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = program.cpu_seconds()?;
        if now - last < 0.02 {
            return Ok(());
        }
        last = now;
    }
    bail!("the program did not come to rest within two minutes")
}
