//! One shard: some of the services, from their telemetry to anomalies, and what leaves it on its way to the correlator.

use crate::{
    anomaly::{Anomalies, AnomalySettings},
    event::{Anomaly, AnomalyChange},
    facts::WindowFacts,
    ingest::{Ingest, IngestCounters, IngestSettings, RestoreError, ServiceIngest},
    quality::QualityNote,
    saved::{self, SavedError},
    time::UnixNanos,
    verdict::{DetectorHealth, Detectors},
    window::{ClosedWindow, ServiceKey},
};
use serde_bytes::ByteBuf;
use std::{collections::VecDeque, sync::Arc};

/// Version of the layout of saved states: the parts have versions of their own.
const SCHEMA: u32 = 1;

/// One thing that a shard has to say. Each belongs to one service and one point of event time.
#[derive(Clone, Debug)]
pub enum ShardOutput {
    /// A window of a service was closed. Comes before the anomalies that were seen in it.
    Window(Box<WindowFacts>),
    /// An anomaly began, went on or ended.
    Anomaly {
        /// What happened.
        change: AnomalyChange,
        /// When: the end of the window in which it was seen.
        time: UnixNanos,
        /// The anomaly after it.
        anomaly: Arc<Anomaly>,
    },
    /// A detector failed or recovered.
    Health(DetectorHealth),
    /// The service was evicted: too many services, or silent for too long.
    Forgotten {
        /// Which one.
        service: ServiceKey,
        /// When.
        time: UnixNanos,
    },
}

impl ShardOutput {
    /// The service it is about.
    #[must_use]
    pub fn service(&self) -> &ServiceKey {
        match self {
            Self::Window(facts) => &facts.service,
            Self::Anomaly { anomaly, .. } => &anomaly.service,
            Self::Health(health) => &health.service,
            Self::Forgotten { service, .. } => service,
        }
    }

    /// The point of event time it belongs to.
    #[must_use]
    pub fn time(&self) -> UnixNanos {
        match self {
            Self::Window(facts) => facts.end,
            Self::Anomaly { time, .. } | Self::Forgotten { time, .. } => *time,
            Self::Health(health) => health.time,
        }
    }
}

/// How a shard works.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShardSettings {
    /// From telemetry to windows.
    pub ingest: IngestSettings,
    /// From verdicts to anomalies.
    pub anomalies: AnomalySettings,
}

/// What a shard did so far. Every field only grows, but the number of open anomalies.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ShardCounters {
    /// What was taken in.
    pub ingest: IngestCounters,
    /// Verdicts of detectors.
    pub verdicts: u64,
    /// Anomalies open now.
    pub open_anomalies: usize,
    /// Odd series left out because too many were in hand.
    pub left_out_anomalies: u64,
}

/// Why a saved state could not be used. The service starts cold.
#[derive(Debug, thiserror::Error)]
pub enum ShardRestoreError {
    /// The whole can't be read.
    #[error("the saved state of the service can't be read")]
    Whole(#[source] SavedError),
    /// Its series and windows can't be used.
    #[error("the saved series and windows can't be used")]
    Ingest(#[source] RestoreError),
    /// Its anomalies can't be used.
    #[error("the saved anomalies can't be used")]
    Anomalies(#[source] SavedError),
}

/// Some of the services, from their telemetry to their anomalies.
///
/// The driver enters telemetry in the order of its input and ticks at defined positions of that order; after each tick it
/// polls the outputs until there are none. What comes out depends on nothing else.
#[derive(Debug)]
pub struct Shard<D> {
    ingest: Ingest,
    anomalies: Anomalies,
    detectors: D,
    outputs: VecDeque<ShardOutput>,
    /// Doubts whose window is not judged yet.
    notes: Vec<QualityNote>,
    now: UnixNanos,
    verdicts: u64,
}

// === impl Shard ===

impl<D: Detectors> Shard<D> {
    /// Without any service.
    #[must_use]
    pub fn new(settings: ShardSettings, detectors: D) -> Self {
        Self {
            ingest: Ingest::new(settings.ingest),
            anomalies: Anomalies::new(settings.anomalies).with_weights(detectors.weights()),
            detectors,
            outputs: VecDeque::new(),
            notes: Vec::new(),
            now: UnixNanos(0),
            verdicts: 0,
        }
    }

    /// Opens a slice of telemetry of one service; see [`Ingest::enter`].
    pub fn enter(&mut self, service: &ServiceKey, received: UnixNanos) -> ServiceIngest<'_> {
        self.ingest.enter(service, received)
    }

    /// The clock says `now`: judges all windows that are closed by then, in order of their end and service.
    pub fn handle_tick(&mut self, now: UnixNanos) {
        self.now = now;
        self.ingest.handle_tick(now);
        while let Some((closed, facts)) = self.ingest.poll_closed() {
            self.judge(&closed, facts);
        }
        self.take_health();
    }

    /// The next thing to say.
    pub fn poll_output(&mut self) -> Option<ShardOutput> {
        self.outputs.pop_front()
    }

    /// Forgets a service that was evicted. Its open anomalies end; windows that are closed but not yet judged are judged
    /// first.
    pub fn forget(&mut self, service: &ServiceKey) {
        while let Some((closed, facts)) = self.ingest.poll_closed() {
            self.judge(&closed, facts);
        }
        self.ingest.forget(service);
        self.notes.retain(|note| note.service != *service);
        self.detectors.forget(service);
        self.anomalies.forget(service);
        self.take_anomalies();
        self.take_health();
        self.outputs.push_back(ShardOutput::Forgotten { service: service.clone(), time: self.now });
    }

    /// What is known of a service, without what its detectors learned; `None` if it is not known.
    #[must_use]
    pub fn snapshot(&self, service: &ServiceKey) -> Option<Vec<u8>> {
        let ingest = self.ingest.snapshot(service)?;
        Some(saved::encode(SCHEMA, &(ByteBuf::from(ingest), self.anomalies.snapshot(service).map(ByteBuf::from))))
    }

    /// Goes on from a saved state. To be called before anything of the service is entered.
    ///
    /// # Errors
    /// Where a part is of no use. The service then starts cold: a part that could be used is not kept, because anomalies
    /// know series by the ids that the windows gave them.
    pub fn restore(&mut self, service: &ServiceKey, bytes: &[u8]) -> Result<(), ShardRestoreError> {
        let (ingest, anomalies): (ByteBuf, Option<ByteBuf>) =
            saved::decode(SCHEMA, bytes).map_err(ShardRestoreError::Whole)?;
        self.ingest.restore(service, &ingest).map_err(ShardRestoreError::Ingest)?;
        if let Some(bytes) = anomalies
            && let Err(error) = self.anomalies.restore(service, &bytes)
        {
            self.ingest.forget(service);
            return Err(ShardRestoreError::Anomalies(error));
        }
        Ok(())
    }

    /// Services known, ascending.
    pub fn services(&self) -> impl Iterator<Item = &ServiceKey> {
        self.ingest.services()
    }

    /// The detectors, to configure, save or restore them.
    pub fn detectors_mut(&mut self) -> &mut D {
        &mut self.detectors
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> ShardCounters {
        ShardCounters {
            ingest: self.ingest.counters(),
            verdicts: self.verdicts,
            open_anomalies: self.anomalies.open_count(),
            left_out_anomalies: self.anomalies.left_out(),
        }
    }

    fn judge(&mut self, closed: &ClosedWindow, facts: WindowFacts) {
        let verdicts = self.detectors.observe(closed);
        self.verdicts += verdicts.len() as u64;
        self.anomalies.handle_window(closed, &facts, &verdicts);
        while let Some(note) = self.ingest.poll_quality() {
            self.notes.push(note);
        }
        // Windows of several services may have closed at once: each takes its own doubts, whoever shares its shard.
        let own = |note: &QualityNote| note.service == closed.service && note.time <= closed.window.end;
        let notes: Vec<QualityNote> = self.notes.extract_if(.., |note| own(note)).collect();
        if !notes.is_empty() {
            self.anomalies.handle_quality(closed, &notes);
        }
        self.outputs.push_back(ShardOutput::Window(Box::new(facts)));
        self.take_anomalies();
        self.take_health();
    }

    fn take_anomalies(&mut self) {
        while let Some(output) = self.anomalies.poll_output() {
            self.outputs.push_back(output);
        }
    }

    fn take_health(&mut self) {
        while let Some(health) = self.detectors.poll_health() {
            self.outputs.push_back(ShardOutput::Health(health));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        router::{Route, Router, RouterSettings},
        signal::{Metric, MetricKind, Point, PointData, Sink},
        verdict::{Detector, Verdict},
    };

    const S: u64 = 1_000_000_000;
    const T: u64 = 1_700_000_000 * S;

    /// Finds the values of every series odd that are above 50.
    #[derive(Debug, Default)]
    struct Threshold {
        forgotten: Vec<ServiceKey>,
    }

    impl Detectors for Threshold {
        fn observe(&mut self, closed: &ClosedWindow) -> Vec<(Arc<Detector>, Verdict)> {
            let detector = Detector { name: "threshold".into(), version: "1.0.0".into(), digest: "0".into() };
            let window = &closed.window;
            let score = |value: f64| if value > 50.0 { 9.0 } else { 0.5 };
            let scores = window.ids.iter().zip(&window.values).map(|(id, value)| (*id, score(*value))).collect();
            vec![(Arc::new(detector), Verdict { scores, findings: Vec::new() })]
        }

        fn poll_health(&mut self) -> Option<DetectorHealth> {
            None
        }

        fn forget(&mut self, service: &ServiceKey) {
            self.forgotten.push(service.clone());
        }
    }

    fn key(name: &str) -> ServiceKey {
        ServiceKey::new("", name)
    }

    fn send(shard: &mut Shard<Threshold>, service: &ServiceKey, name: &str, second: u64, value: f64) {
        let now = UnixNanos(T + second * S);
        let mut slice = shard.enter(service, now);
        slice.resource(&());
        let metric = Metric { name, unit: "1", kind: MetricKind::Gauge };
        let data = PointData::Number(value);
        let point = Point { start: UnixNanos(0), time: now, no_recorded_value: false, attributes: &(), data };
        slice.point(&metric, &point);
    }

    /// What happens to five services in 400 seconds, over `shards` shards, told in the order of the correlator.
    fn told(shards: usize) -> Vec<String> {
        let mut router = Router::new(RouterSettings { shards, max_services: 4 });
        let mut all: Vec<Shard<Threshold>> =
            (0..shards).map(|_| Shard::new(ShardSettings::default(), Threshold::default())).collect();
        let mut told = Vec::new();
        for second in 0..400 {
            for (n, name) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
                // The fifth service speaks late and only for a while, so that one is evicted.
                if (n == 4 && !(200..230).contains(&second)) || (n == 3 && second > 150) {
                    continue;
                }
                let Route::Shard { shard, evicted, .. } = router.route(&key(name)) else { continue };
                if let Some(evicted) = evicted {
                    all[evicted.shard].forget(&evicted.service);
                }
                let value = if n == 1 && (100..200).contains(&second) { 80.0 } else { (second % 7) as f64 };
                send(&mut all[shard], &key(name), "depth", second, value);
            }
            let mut outputs: Vec<ShardOutput> = Vec::new();
            for shard in &mut all {
                shard.handle_tick(UnixNanos(T + second * S));
                outputs.extend(std::iter::from_fn(|| shard.poll_output()));
            }
            outputs.sort_by_key(|output| (output.time(), output.service().clone()));
            told.extend(outputs.iter().map(|output| format!("{output:?}")));
        }
        told
    }

    /// Protects the promise that the answer does not depend on the number of shards, and that a service's window comes before
    /// the anomalies seen in it.
    #[test]
    fn the_number_of_shards_makes_no_difference() {
        let one = told(1);
        assert_eq!(one, told(3));
        let at = |what: &str| one.iter().position(|output| output.starts_with(what));
        assert!(at("Window") < at("Anomaly"), "a window comes first");
        let count = |what: &str| one.iter().filter(|output| output.contains(what)).count();
        assert_eq!((count("change: Detected"), count("change: Ended"), count("Forgotten")), (1, 1, 1));
    }

    /// Protects the way of a doubt about data: an impossible value becomes an anomaly of its own.
    #[test]
    fn doubts_about_data_become_anomalies() {
        let mut shard = Shard::new(ShardSettings::default(), Threshold::default());
        let mut kinds = Vec::new();
        for second in 0..120 {
            let value = if second < 50 { 0.5 } else { 1.5 };
            send(&mut shard, &key("a"), "memory.utilization", second, value);
            shard.handle_tick(UnixNanos(T + second * S));
            while let Some(output) = shard.poll_output() {
                if let ShardOutput::Anomaly { change: AnomalyChange::Detected, anomaly, .. } = output {
                    kinds.push((anomaly.kind.to_string(), anomaly.detector.name.to_string()));
                }
            }
        }
        assert_eq!(kinds, [("out_of_range".to_owned(), "data-quality".to_owned())]);
    }

    /// Protects a restart in the middle of an anomaly: it goes on under its id and ends once.
    #[test]
    fn an_anomaly_goes_on_after_a_restart() {
        let mut shard = Shard::new(ShardSettings::default(), Threshold::default());
        let mut told = Vec::new();
        for second in 0..400 {
            if second == 150 {
                let bytes = shard.snapshot(&key("a")).expect("a known service");
                shard = Shard::new(ShardSettings::default(), Threshold::default());
                shard.restore(&key("a"), &bytes).expect("a good state");
                let mut cold = Shard::new(ShardSettings::default(), Threshold::default());
                assert!(cold.restore(&key("a"), &bytes[..bytes.len() / 2]).is_err());
                assert_eq!(cold.services().count(), 0);
            }
            let value = if (100..200).contains(&second) { 80.0 } else { (second % 7) as f64 };
            send(&mut shard, &key("a"), "depth", second, value);
            shard.handle_tick(UnixNanos(T + second * S));
            while let Some(output) = shard.poll_output() {
                if let ShardOutput::Anomaly { change, anomaly, .. } = output {
                    told.push((change, anomaly.id));
                }
            }
        }
        let ids: std::collections::BTreeSet<_> = told.iter().map(|(_, id)| *id).collect();
        assert_eq!(ids.len(), 1, "{told:?}");
        let of = |wanted| told.iter().filter(|(change, _)| *change == wanted).count();
        assert_eq!((of(AnomalyChange::Detected), of(AnomalyChange::Ended)), (1, 1));
    }
}
