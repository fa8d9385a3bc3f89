//! The store's thread: the only one that writes what was learned and what happened.

use crate::pipeline::{
    correlate::Keep,
    counters::DetectionCounters,
    overview::Overview,
    saved::{Kept, service_id},
};
use foreshock_console::views;
use foreshock_engine::event::Event;
use foreshock_store::{Record, RecordKind, Store};
use std::sync::mpsc::Receiver;

/// Records of each kind that are kept.
const MOST_RECORDS: usize = 10_000;
/// Records that the console begins with.
const SHOWN: usize = 1_000;

/// Writes until nobody can ask for anything more.
pub(super) fn run(store: &Store, input: &Receiver<Keep>, counters: &DetectionCounters) {
    for keep in input {
        let services: Vec<String> = keep.forgotten.iter().map(service_id).collect();
        let (incidents, anomalies) = records(&keep.events);
        let written = store
            .save_states(&keep.states)
            .and_then(|()| if services.is_empty() { Ok(()) } else { store.forget_services(&services) })
            .and_then(|()| write(store, RecordKind::Incident, &incidents))
            .and_then(|()| write(store, RecordKind::Anomaly, &anomalies));
        match written {
            Ok(()) => counters.kept.add(keep.states.len() as u64),
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "state could not be kept"),
        }
    }
}

fn write(store: &Store, kind: RecordKind, records: &[Record]) -> Result<(), foreshock_store::StoreError> {
    if records.is_empty() { Ok(()) } else { store.record(kind, records, MOST_RECORDS) }
}

fn records(events: &[Event]) -> (Vec<Record>, Vec<Record>) {
    let (mut incidents, mut anomalies) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Incident { time, incident, .. } => {
                if let Ok(body) = serde_json::to_string(&views::Incident::from(&**incident)) {
                    let id = incident.id.to_string();
                    incidents.push(Record { id, start: incident.start.0, updated: time.0, body });
                }
            }
            Event::Anomaly { time, anomaly, .. } => {
                if let Ok(body) = serde_json::to_string(&views::Anomaly::from(&**anomaly)) {
                    let id = anomaly.id.to_string();
                    anomalies.push(Record { id, start: anomaly.start.0, updated: time.0, body });
                }
            }
            Event::Prediction { .. } | Event::Trace { .. } | Event::DetectorHealth(_) => {}
        }
    }
    (incidents, anomalies)
}

/// Gives the console its past.
pub(super) fn remember(store: &Store, overview: &Overview) {
    fn read<T: serde::de::DeserializeOwned>(store: &Store, kind: RecordKind) -> Vec<T> {
        match store.records(kind, SHOWN) {
            Ok(records) => records.iter().filter_map(|record| serde_json::from_str(&record.body).ok()).collect(),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the past can't be read");
                Vec::new()
            }
        }
    }
    overview.remember(read(store, RecordKind::Incident), read(store, RecordKind::Anomaly));
}

/// What was learned, or nothing where it can't be read: a cold start.
pub(super) fn kept(store: &Store) -> Kept {
    match store.states() {
        Ok(states) => Kept::sort(states),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "what was learned can't be read, starting cold");
            Kept::default()
        }
    }
}
