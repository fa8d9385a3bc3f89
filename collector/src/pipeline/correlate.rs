//! The correlator's thread: waits until every shard has spoken on an epoch, then lets it judge, and hands the events on.

use super::{
    counters::DetectionCounters,
    overview::Overview,
    saved::{self, CORRELATOR},
    shard::Report,
};
use foreshock_engine::{
    UnixNanos,
    event::{AnomalyChange, Event, IncidentChange, IncidentId},
    incident::Correlator,
    shard::ShardOutput,
    window::ServiceKey,
};
use foreshock_store::State;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError},
    },
};

/// Takes the events of one epoch, in their order. Called on the correlator's thread.
pub trait Outlet: Send {
    /// Takes them. `now` is the clock of the epoch. Events are not repeated, so what takes them keeps them until they are sent.
    fn take(&mut self, now: UnixNanos, events: Vec<Event>);
}

impl<F: FnMut(UnixNanos, Vec<Event>) + Send> Outlet for F {
    fn take(&mut self, now: UnixNanos, events: Vec<Event>) {
        self(now, events);
    }
}

/// Pieces for the store, and services that it may forget.
#[derive(Debug, Default)]
pub struct Keep {
    /// What was learned.
    pub states: Vec<State>,
    /// Services that were evicted.
    pub forgotten: Vec<ServiceKey>,
    /// Anomalies and incidents that changed.
    pub events: Vec<Event>,
}

/// What the correlator's thread works with.
#[derive(Debug)]
pub struct Correlating<O> {
    /// The correlator, restored or new.
    pub correlator: Correlator,
    /// How many shards report.
    pub shards: usize,
    /// Where events go.
    pub outlet: O,
    /// What the console shows; `None` where there is none.
    pub overview: Option<Arc<Overview>>,
    /// Counters.
    pub counters: Arc<DetectionCounters>,
    /// Incidents that somebody takes.
    pub acknowledgements: Option<Receiver<IncidentId>>,
    /// Where pieces for the store go; `None` keeps nothing.
    pub keeper: Option<SyncSender<Keep>>,
    /// The correlator's own state is kept every so many epochs.
    pub snapshot_every: u64,
}

/// An epoch on which not every shard has spoken.
#[derive(Debug, Default)]
struct Pending {
    now: UnixNanos,
    reports: usize,
    outputs: Vec<ShardOutput>,
}

impl<O: Outlet> Correlating<O> {
    /// Works until no shard can report any more, then keeps what is known.
    pub fn run(mut self, reports: &Receiver<Report>) -> O {
        let mut pending: BTreeMap<u64, Pending> = BTreeMap::new();
        let mut now = UnixNanos(0);
        self.refresh();
        for report in reports {
            let epoch = pending.entry(report.tick.epoch).or_default();
            epoch.now = report.tick.now;
            epoch.reports += 1;
            epoch.outputs.extend(report.outputs);
            let keep = Keep { states: report.snapshots, forgotten: report.forgotten, events: Vec::new() };
            self.keep(keep, report.is_last);
            // Shards report their epochs in order, so the oldest is complete first.
            while let Some(first) = pending.first_entry().filter(|first| first.get().reports == self.shards) {
                let (number, epoch) = first.remove_entry();
                now = epoch.now;
                self.judge(number, epoch);
            }
        }
        let states = vec![saved::piece(CORRELATOR, None, self.correlator.snapshot(), now.0)];
        self.keep(Keep { states, ..Keep::default() }, true);
        self.outlet
    }

    fn judge(&mut self, number: u64, epoch: Pending) {
        let has_windows = epoch.outputs.iter().any(|output| matches!(output, ShardOutput::Window(_)));
        self.correlator.handle_epoch(epoch.now, epoch.outputs);
        for id in self.acknowledgements.iter().flat_map(Receiver::try_iter) {
            if !self.correlator.acknowledge(id, epoch.now) {
                tracing::info!(incident = %id, "not acknowledged: it is over, or was taken before");
            }
        }
        let mut events = Vec::new();
        while let Some(event) = self.correlator.poll_event() {
            self.count(&event);
            events.push(event);
        }
        if has_windows || !events.is_empty() {
            if let Some(overview) = &self.overview {
                overview.take(&events);
            }
            self.refresh();
        }
        let mut keep = Keep::default();
        if number.is_multiple_of(self.snapshot_every.max(1)) {
            keep.states.push(saved::piece(CORRELATOR, None, self.correlator.snapshot(), epoch.now.0));
        }
        if !events.is_empty() {
            if self.keeper.is_some() {
                keep.events.clone_from(&events);
            }
            self.outlet.take(epoch.now, events);
        }
        self.keep(keep, false);
    }

    fn refresh(&self) {
        let Some(overview) = &self.overview else { return };
        overview.show(
            self.correlator.services(),
            self.correlator.open_incidents(),
            self.correlator.open_anomalies(),
            self.correlator.graph(),
        );
        self.counters.incidents_open.set(overview.open_incidents() as u64);
    }

    fn count(&self, event: &Event) {
        match event {
            Event::Anomaly { change: AnomalyChange::Detected, .. } => self.counters.anomalies.add(1),
            Event::Incident { change: IncidentChange::Opened, .. } => self.counters.incidents.add(1),
            _ => {}
        }
    }

    /// Hands pieces to the store's thread. Where that is behind they are left out, unless `waits`: the next round comes soon.
    fn keep(&self, keep: Keep, waits: bool) {
        let Some(keeper) = &self.keeper else { return };
        if keep.states.is_empty() && keep.forgotten.is_empty() && keep.events.is_empty() {
            return;
        }
        if waits {
            if keeper.send(keep).is_err() {
                tracing::error!("the last state could not be kept: the store's thread ended early");
            }
        } else if let Err(TrySendError::Full(keep)) = keeper.try_send(keep) {
            tracing::warn!(pieces = keep.states.len(), "the store is behind; a round of snapshots is left out");
        }
    }
}
