//! Cuts requests by service, gives each piece to its shard, and broadcasts ticks.

use super::{counters::DetectionCounters, saved::Kept, shard::ToShard};
use crate::telemetry::OWN_NAME;
use bytes::Bytes;
use foreshock_engine::{
    UnixNanos,
    router::{Route, Router, RouterSettings},
    ticks::Tick,
};
use foreshock_otlp::{Signal, view};
use foreshock_sandbox::LoadedDetector;
use std::sync::{Arc, mpsc::SyncSender};

/// A shard ended early: a bug, after which detection stops and forwarding goes on.
#[derive(Debug, thiserror::Error)]
#[error("a shard ended early")]
pub struct ShardGone;

/// Owns the shards' inputs.
#[derive(Debug)]
pub struct Dispatcher {
    router: Router,
    shards: Vec<SyncSender<ToShard>>,
    epoch: u64,
    counters: Arc<DetectionCounters>,
}

impl Dispatcher {
    /// A dispatcher for these shards.
    #[must_use]
    pub fn new(max_services: usize, shards: Vec<SyncSender<ToShard>>, counters: Arc<DetectionCounters>) -> Self {
        let router = Router::new(RouterSettings { shards: shards.len(), max_services });
        Self { router, shards, epoch: 0, counters }
    }

    /// Hands out what was kept. To be called before anything else.
    ///
    /// # Errors
    /// [`ShardGone`].
    pub fn restore(&mut self, kept: Kept) -> Result<(), ShardGone> {
        for (service, states) in kept.services {
            if let Route::Shard { shard, evicted, .. } = self.router.route(&service) {
                if let Some(evicted) = evicted {
                    self.send(evicted.shard, ToShard::Forget(evicted.service))?;
                }
                self.send(shard, ToShard::Restore(service, states))?;
            }
        }
        self.counters.services.set(self.router.services().count() as u64);
        Ok(())
    }

    /// Hands out one request, and waits for shards that are behind. Where `received` is 0, as in a replay, `times` is asked
    /// with the earliest event time of each piece before it is handed out, and with the latest one after that; a time that
    /// it answers is broadcast as a tick at that place.
    ///
    /// # Errors
    /// [`ShardGone`].
    pub fn dispatch(
        &mut self,
        signal: Signal,
        request: &Bytes,
        received: UnixNanos,
        times: &mut dyn FnMut(UnixNanos) -> Option<UnixNanos>,
        snapshots: usize,
    ) -> Result<(), ShardGone> {
        let is_replay = received == UnixNanos(0);
        for slice in view::split(signal, request) {
            // The guard against feeding on its own telemetry, where that passes through here.
            if &*slice.service.name == OWN_NAME {
                continue;
            }
            let bytes = request.slice(slice.bytes);
            let span = if is_replay { view::times(signal, &bytes) } else { None };
            if let Some(now) = span.and_then(|(earliest, _)| times(earliest)) {
                self.tick(now, snapshots)?;
            }
            let Route::Shard { shard, is_new, evicted } = self.router.route(&slice.service) else { continue };
            if let Some(evicted) = evicted {
                self.counters.service_evictions.add(1);
                self.send(evicted.shard, ToShard::Forget(evicted.service))?;
            }
            if is_new {
                self.counters.services.set(self.router.services().count() as u64);
            }
            self.send(shard, ToShard::Slice { signal, service: slice.service, bytes, received })?;
            if let Some(now) = span.and_then(|(_, latest)| times(latest)) {
                self.tick(now, snapshots)?;
            }
        }
        Ok(())
    }

    /// Tells every shard that the clock shows `now`, and asks each for snapshots of at most `snapshots` services.
    ///
    /// # Errors
    /// [`ShardGone`].
    pub fn tick(&mut self, now: UnixNanos, snapshots: usize) -> Result<(), ShardGone> {
        self.epoch += 1;
        let tick = Tick { epoch: self.epoch, now };
        for shard in 0..self.shards.len() {
            self.send(shard, ToShard::Tick { tick, snapshots })?;
        }
        Ok(())
    }

    /// Has all shards run these detectors, from the same place of the input on.
    ///
    /// # Errors
    /// [`ShardGone`].
    pub fn replace(&self, detectors: &Arc<[Arc<LoadedDetector>]>) -> Result<(), ShardGone> {
        (0..self.shards.len()).try_for_each(|shard| self.send(shard, ToShard::Replace(Arc::clone(detectors))))
    }

    /// How many services are known.
    #[must_use]
    pub fn services(&self) -> usize {
        self.router.services().count()
    }

    fn send(&self, shard: usize, message: ToShard) -> Result<(), ShardGone> {
        self.shards.get(shard).and_then(|sender| sender.send(message).ok()).ok_or(ShardGone)
    }
}
