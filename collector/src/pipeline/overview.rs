//! What the console shows, kept up to date by the correlator's thread.

use crate::{selfcheck::Board, telemetry::WatchedDetectors};
use foreshock_console::{NotAcknowledged, Source, selfcheck::Check, views};
use foreshock_engine::{
    event::{Anomaly, Event, Incident, IncidentId},
    incident::{Edge, ServiceHealth},
    window::ServiceKey,
};
use foreshock_sandbox::LoadedDetector;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{SyncSender, TrySendError},
    },
};

/// Closed incidents that are shown.
const MAX_INCIDENTS: usize = 1_000;
/// Anomalies that are shown.
const MAX_ANOMALIES: usize = 1_000;

/// The state of things at the last epoch.
#[derive(Debug, Default)]
pub struct Overview {
    /// A std mutex: writers and readers copy, and never wait for anything else while they hold it.
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    services: Vec<ServiceHealth>,
    incidents: VecDeque<views::Incident>,
    anomalies: VecDeque<views::Anomaly>,
    open: BTreeMap<IncidentId, Vec<ServiceKey>>,
    edges: Vec<Edge>,
}

impl Overview {
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins with what the store remembers, the latest first.
    pub fn remember(&self, incidents: Vec<views::Incident>, anomalies: Vec<views::Anomaly>) {
        let mut shown = self.shown();
        shown.incidents = incidents.into_iter().take(MAX_INCIDENTS).collect();
        shown.anomalies = anomalies.into_iter().take(MAX_ANOMALIES).collect();
    }

    /// Takes what changed.
    pub fn take(&self, events: &[Event]) {
        let mut shown = self.shown();
        for event in events {
            match event {
                Event::Anomaly { anomaly, .. } => {
                    put(&mut shown.anomalies, (&**anomaly).into(), MAX_ANOMALIES, |a| &a.id);
                }
                Event::Incident { incident, .. } => {
                    put(&mut shown.incidents, (&**incident).into(), MAX_INCIDENTS, |i| &i.id);
                }
                Event::Prediction { .. } | Event::Trace { .. } | Event::DetectorHealth(_) => {}
            }
        }
    }

    /// Shows how things stand now.
    pub fn show(
        &self,
        services: Vec<ServiceHealth>,
        open: Vec<Incident>,
        anomalies: Vec<Arc<Anomaly>>,
        edges: Vec<Edge>,
    ) {
        let mut shown = self.shown();
        for anomaly in anomalies {
            put(&mut shown.anomalies, (&*anomaly).into(), MAX_ANOMALIES, |a| &a.id);
        }
        shown.open.clear();
        for incident in open {
            put(&mut shown.incidents, (&incident).into(), MAX_INCIDENTS, |i| &i.id);
            shown.open.insert(incident.id, incident.services);
        }
        shown.services = services;
        shown.edges = edges;
    }

    /// How many incidents are open.
    #[must_use]
    pub fn open_incidents(&self) -> usize {
        self.shown().open.len()
    }

    /// All services as of the last epoch, ascending.
    #[must_use]
    pub fn services(&self) -> Vec<ServiceHealth> {
        self.shown().services.clone()
    }
}

/// Replaces the item of the same id, or puts it in front and drops the oldest beyond `most`.
fn put<T>(list: &mut VecDeque<T>, item: T, most: usize, id: impl Fn(&T) -> &String) {
    if let Some(known) = list.iter_mut().find(|known| id(known) == id(&item)) {
        *known = item;
        return;
    }
    list.push_front(item);
    list.truncate(most);
}

/// The console's source: the overview, own metrics, and the way to the correlator.
pub struct ConsoleSource {
    /// What is shown.
    pub overview: Arc<Overview>,
    /// Own metrics as Prometheus text.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// Incidents that somebody takes.
    pub acknowledge: SyncSender<IncidentId>,
    /// The last self-checks.
    pub board: Arc<Board>,
    /// Asked how they fared with each service.
    pub detectors: WatchedDetectors,
}

/// What these detectors failed at for one service.
fn faults(detectors: &[Arc<LoadedDetector>], service: &ServiceKey) -> Vec<views::DetectorFaults> {
    let mut faults = Vec::new();
    for detector in detectors {
        faults.extend(detector.stats().faults_in(service).map(|(reason, faults)| views::DetectorFaults {
            detector: detector.identity().name.to_string(),
            reason: reason.name().to_owned(),
            faults,
        }));
    }
    faults
}

impl Source for ConsoleSource {
    fn metrics(&self) -> String {
        (self.metrics)()
    }

    fn services(&self) -> Vec<views::Service> {
        let shown = self.overview.shown();
        let incident = |service: &ServiceKey| {
            shown.open.iter().find(|(_, services)| services.contains(service)).map(|(id, _)| *id)
        };
        let detectors = self.detectors.current();
        let view = |health: &ServiceHealth| {
            views::Service::new(health, incident(&health.service), faults(&detectors, &health.service))
        };
        shown.services.iter().map(view).collect()
    }

    fn incidents(&self, limit: usize) -> Vec<views::Incident> {
        self.overview.shown().incidents.iter().take(limit).cloned().collect()
    }

    fn incident(&self, id: &str) -> Option<views::Incident> {
        self.overview.shown().incidents.iter().find(|incident| incident.id == id).cloned()
    }

    fn anomalies(&self, limit: usize) -> Vec<views::Anomaly> {
        self.overview.shown().anomalies.iter().take(limit).cloned().collect()
    }

    fn graph(&self) -> views::Graph {
        let shown = self.overview.shown();
        views::Graph {
            services: shown.services.iter().map(|health| health.service.to_string()).collect(),
            edges: shown.edges.iter().map(views::Edge::from).collect(),
        }
    }

    fn checks(&self) -> Vec<Check> {
        self.board.all()
    }

    fn acknowledge(&self, id: &str) -> Result<(), NotAcknowledged> {
        let known = u64::from_str_radix(id, 16).ok().map(IncidentId).filter(|known| known.to_string() == id);
        let known = known.filter(|known| self.overview.shown().open.contains_key(known));
        let known = known.ok_or(NotAcknowledged::NoSuchIncident)?;
        self.acknowledge.try_send(known).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => NotAcknowledged::Busy,
        })
    }
}
