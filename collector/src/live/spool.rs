//! Requests that a stop left over: sent at the next start, and kept until then.

use crate::pipeline::emit::{parcel_of, request_of};
use foreshock_otlp::export::{Entrance, ExporterCounters, Leftover, NoRoom};
use foreshock_store::{Lane, Parcel, Store};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::task::JoinHandle;

/// Parcels that are read at a time.
const AT_A_TIME: usize = 64;
/// How often exporters without room are asked again.
const PAUSE: Duration = Duration::from_millis(250);
/// The spool takes no more than this; what a stop leaves beyond it is lost, said aloud.
const MOST_BYTES: u64 = 4 << 30;

/// The task that sends what the last stop left.
#[derive(Debug)]
pub(super) struct Spool {
    task: Option<JoinHandle<()>>,
    /// Numbers of parcels that exporters have, and that are not known to be sent.
    handed: Arc<Mutex<Vec<i64>>>,
}

impl Spool {
    /// Sends what is in the store's spool, in the background, as exporters have room.
    pub(super) fn start(store: Arc<Store>, exporters: Vec<(Entrance, Arc<ExporterCounters>)>) -> Self {
        let handed = Arc::<Mutex<Vec<i64>>>::default();
        let task = tokio::spawn(send(store, exporters, Arc::clone(&handed)));
        Self { task: Some(task), handed }
    }

    /// Hands nothing over any more.
    pub(super) async fn pause(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// After the exporters were drained: keeps what they could not send, and clears what they had from the spool. Says whether
    /// all of it is kept.
    pub(super) fn finish(self, store: &Store, leftovers: Vec<Leftover>) -> bool {
        let mut room = MOST_BYTES.saturating_sub(store.backlog(Lane::Spool).map_or(0, |(_, bytes)| bytes));
        let (mut parcels, mut lost): (Vec<Parcel>, usize) = (Vec::new(), 0);
        for leftover in leftovers {
            for request in leftover.requests {
                let parcel = parcel_of(&leftover.exporter, &request);
                match room.checked_sub(parcel.bytes.len() as u64) {
                    Some(left) => {
                        room = left;
                        parcels.push(parcel);
                    }
                    None => lost += 1,
                }
            }
        }
        if lost > 0 {
            tracing::error!(requests = lost, "the spool is full; requests are lost");
        }
        let posted = store.post(Lane::Spool, &parcels);
        if let Err(error) = posted {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, requests = parcels.len(), "the spool can't be written; requests are lost");
            return false;
        }
        let handed = std::mem::take(&mut *self.handed.lock().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = store.remove(Lane::Spool, &handed) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the spool can't be cleared; requests may be sent twice"
            );
        }
        lost == 0
    }
}

async fn send(store: Arc<Store>, exporters: Vec<(Entrance, Arc<ExporterCounters>)>, handed: Arc<Mutex<Vec<i64>>>) {
    let by_name: BTreeMap<&str, &Entrance> =
        exporters.iter().map(|(entrance, _)| (entrance.name(), entrance)).collect();
    let (mut after, mut sent) = (0, 0usize);
    loop {
        let reader = Arc::clone(&store);
        let read = tokio::task::spawn_blocking(move || reader.waiting(Lane::Spool, after, AT_A_TIME)).await;
        let waiting = match read {
            Ok(Ok(waiting)) => waiting,
            Ok(Err(error)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the spool can't be read");
                break;
            }
            Err(_) => break,
        };
        if waiting.is_empty() {
            break;
        }
        for parcel in waiting {
            after = parcel.id;
            let (Some(entrance), Some(request)) =
                (by_name.get(parcel.parcel.exporter.as_str()), request_of(&parcel.parcel))
            else {
                tracing::warn!(
                    exporter = parcel.parcel.exporter,
                    "a spooled request stays: its exporter is not configured"
                );
                continue;
            };
            loop {
                match entrance.try_reserve(&request) {
                    Ok(permit) => {
                        handed.lock().unwrap_or_else(PoisonError::into_inner).push(parcel.id);
                        permit.send(request);
                        sent += 1;
                        break;
                    }
                    Err(NoRoom::Closed) => return,
                    Err(NoRoom::Full { .. }) => tokio::time::sleep(PAUSE).await,
                }
            }
        }
    }
    if sent == 0 {
        return;
    }
    tracing::info!(requests = sent, "what the last stop left was handed to the exporters");
    // Kept in the store until every queue was seen empty, so that a crash in between sends again rather than loses.
    for (_, counters) in &exporters {
        while counters.queue_requests() > 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
    let ids = std::mem::take(&mut *handed.lock().unwrap_or_else(PoisonError::into_inner));
    let removed = tokio::task::spawn_blocking(move || store.remove(Lane::Spool, &ids)).await;
    if !matches!(removed, Ok(Ok(()))) {
        tracing::error!("the spool can't be cleared; requests may be sent twice");
    }
}
