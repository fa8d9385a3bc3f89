//! One detector for one service: its model, its last good state, and what happens when it fails.

use crate::{
    bindings::foreshock::detector::types,
    breaker::{Breaker, Consequence},
    check::{self, Subject},
    detector::{LoadedDetector, kind_out},
    guest::{Birth, Failure, Instance, Model},
    registry::{Columns, Delta, Registry},
    sandbox::Sandbox,
    settings::{Limits, PoolSettings},
    state::SavedModel,
};
use foreshock_engine::{
    UnixNanos,
    verdict::{DetectorHealth, FaultReason, Verdict},
    window::{ClosedWindow, Series, SeriesKind, ServiceKey},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How much longer than `observe` the rare calls may take.
const RARE_CALL_FACTOR: u32 = 10;

/// How long calls may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    observe: Duration,
    rare: Duration,
}

impl Deadlines {
    pub(crate) fn new(limits: &Limits, scale: u32) -> Self {
        let observe = limits.deadline.saturating_mul(scale.max(1));
        Self { observe, rare: observe.saturating_mul(RARE_CALL_FACTOR) }
    }
}

/// What all slots of a pool share.
pub(crate) struct Surroundings<'a> {
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) settings: &'a PoolSettings,
    pub(crate) health: &'a mut Vec<DetectorHealth>,
}

/// What one window means for the detectors of its service.
pub(crate) struct Occasion<'a> {
    pub(crate) closed: &'a ClosedWindow,
    pub(crate) registry: &'a Registry,
    pub(crate) delta: &'a Delta,
    pub(crate) row_kinds: &'a [Option<SeriesKind>],
}

/// With this many points the snapshot is held to be the cause.
const ENOUGH_SUSPICION: u32 = 4;

/// How likely the snapshot is what models fail over: two points for a model that could not even be opened from it, one for a
/// model that was, and failed before its first answer. Two of the first or four of the second condemn it.
#[derive(Clone, Copy, Debug, Default)]
struct Suspicion {
    points: u32,
    /// Whether the model that lives now came from the snapshot and has not answered yet.
    on_trial: bool,
}

/// One detector for one service.
pub(crate) struct Slot {
    pub(crate) detector: Arc<LoadedDetector>,
    deadlines: Deadlines,
    model: Option<Model>,
    /// Last good snapshot.
    saved: Option<(u32, Vec<u8>)>,
    windows_since_snapshot: u32,
    /// What failed since a model was last opened from the snapshot and answered.
    suspicion: Suspicion,
    breaker: Breaker,
    /// Whether the last that was told of its health was bad.
    unwell: bool,
}

impl Slot {
    pub(crate) fn new(detector: Arc<LoadedDetector>, settings: &PoolSettings) -> Self {
        let deadlines = Deadlines::new(&detector.limits, settings.deadline_scale);
        Self {
            detector,
            deadlines,
            model: None,
            saved: None,
            windows_since_snapshot: 0,
            suspicion: Suspicion::default(),
            breaker: Breaker::default(),
            unwell: false,
        }
    }

    /// The slot of `detector`, which takes this one's place and opens its model from what this one learned. Faults of the old one are
    /// not held against the new one.
    pub(crate) fn hand_over(
        mut self,
        detector: Arc<LoadedDetector>,
        service: &ServiceKey,
        now: UnixNanos,
        around: &mut Surroundings<'_>,
    ) -> Self {
        self.keep(service, now, around);
        let mut next = Self::new(detector, around.settings);
        next.unwell = self.unwell;
        let (old, new) = (&self.detector.about, &next.detector.about);
        if old.name == new.name {
            next.saved = self.saved;
        } else if self.saved.is_some() {
            next.detector.stats.add_fault(FaultReason::BadState, service);
            let message = format!(
                "what `{} {}` had learned in its place is not for `{} {}`; {}",
                old.name,
                old.version,
                new.name,
                new.version,
                next.anew()
            );
            next.tell(Some(FaultReason::BadState), message, service, now, around);
        }
        next
    }

    /// What a cold start means.
    fn anew(&self) -> String {
        match self.detector.about.warmup_windows {
            0 => "it starts anew".to_owned(),
            windows => format!("it starts anew, and warms up for {windows} windows"),
        }
    }

    /// The verdict on a window, if the detector is to see it and has one.
    pub(crate) fn observe(&mut self, occasion: &Occasion<'_>, around: &mut Surroundings<'_>) -> Option<Verdict> {
        let window = &occasion.closed.window;
        let kinds = self.detector.kinds;
        let is_new = self.model.is_none();
        if is_new {
            let nothing_to_see = occasion.registry.all(kinds).next().is_none();
            if nothing_to_see || !self.breaker.may_try(window.end) {
                return None;
            }
            self.open(occasion.closed, around);
        }
        let model = self.model.as_mut()?;

        // A new model knows no series, so it is told of all that are open.
        let opened: Vec<&Arc<Series>> = if is_new {
            occasion.registry.all(kinds).collect()
        } else {
            occasion.delta.opened.iter().filter(|series| kinds.has(series.kind)).collect()
        };
        let closed: Vec<u32> = if is_new {
            Vec::new()
        } else {
            occasion.delta.closed.iter().filter(|(_, kind)| kinds.has(*kind)).map(|(id, _)| *id).collect()
        };
        if window.ids.is_empty() && opened.is_empty() && closed.is_empty() {
            return None;
        }

        let columns = Columns::of(window, occasion.row_kinds, kinds);
        let attributes: Vec<Vec<(&str, &str)>> = opened.iter().map(|series| pairs(&series.attributes)).collect();
        let opened: Vec<types::Series<'_>> =
            opened.iter().zip(&attributes).map(|(series, attributes)| series_out(series, attributes)).collect();
        let span = tracing::debug_span!("detector", detector = %self.detector.identity.name, otel.status_code = tracing::field::Empty);
        let _span = span.enter();
        let began = Instant::now();
        let answer = model.observe(
            self.deadlines.observe,
            types::Window {
                start_ns: window.start.0,
                end_ns: window.end.0,
                opened: &opened,
                closed: &closed,
                ids: &columns.ids,
                values: &columns.values,
                minima: &columns.minima,
                maxima: &columns.maxima,
                counts: &columns.counts,
            },
        );
        self.detector.stats.add_call(began.elapsed());
        let subject = Subject {
            ids: &columns.ids,
            end: window.end,
            registry: occasion.registry,
            kinds,
            findings: self.detector.limits.findings,
        };
        let checked = answer.and_then(|verdict| {
            check::verdict(verdict, &subject).map_err(|message| Failure { reason: FaultReason::BadVerdict, message })
        });
        match checked {
            Ok(verdict) => {
                self.detector.stats.add_findings(verdict.findings.len());
                self.succeed(occasion.closed, around);
                Some(verdict)
            }
            Err(failure) => {
                self.fail(&failure, &occasion.closed.service, window.end, around);
                None
            }
        }
    }

    /// Opens a model from the last good state, or a fresh one where that is of no use.
    fn open(&mut self, closed: &ClosedWindow, around: &mut Surroundings<'_>) {
        if self.breaker.is_trial() {
            // It failed many times in a row from the state it had; that may be what it stumbles over.
            self.saved = None;
        }
        let end = closed.window.end;
        self.suspicion.on_trial = self.saved.is_some();
        let mut opened = self.open_from_saved(closed, around);
        if let Err(Failure { reason: FaultReason::BadState, message }) = &opened
            && self.saved.take().is_some()
        {
            self.detector.stats.add_fault(FaultReason::BadState, &closed.service);
            let message = format!("what it had learned is of no use to it ({message}); {}", self.anew());
            self.tell(Some(FaultReason::BadState), message, &closed.service, end, around);
            self.suspicion = Suspicion::default();
            opened = self.open_from_saved(closed, around);
        }
        match opened {
            Ok(model) => {
                self.model = Some(model);
                self.windows_since_snapshot = 0;
            }
            Err(failure) => self.fail(&failure, &closed.service, end, around),
        }
    }

    fn open_from_saved(&self, closed: &ClosedWindow, around: &Surroundings<'_>) -> Result<Model, Failure> {
        let saved = self.saved.as_ref().map(|(schema, bytes)| types::StateParam { schema: *schema, bytes });
        let step_ns = around.settings.step_ns;
        open_model(around.sandbox, &self.detector, self.deadlines, &closed.service, &closed.resource, step_ns, saved)
    }

    fn succeed(&mut self, closed: &ClosedWindow, around: &mut Surroundings<'_>) {
        self.breaker.success();
        self.suspicion = Suspicion::default();
        if self.unwell {
            self.tell(None, "it works again".into(), &closed.service, closed.window.end, around);
        }
        self.windows_since_snapshot += 1;
        if self.windows_since_snapshot >= around.settings.snapshot_every {
            self.keep(&closed.service, closed.window.end, around);
        }
    }

    /// Takes a snapshot of the model, if there is one.
    pub(crate) fn keep(&mut self, service: &ServiceKey, now: UnixNanos, around: &mut Surroundings<'_>) {
        let Some(model) = &mut self.model else { return };
        match model.snapshot(self.deadlines.rare) {
            Ok(state) => {
                self.saved = Some((state.schema, state.bytes));
                self.windows_since_snapshot = 0;
            }
            Err(failure) => self.fail(&failure, service, now, around),
        }
    }

    /// Drops the store, which is of no further use after any failure, and decides when to try again.
    fn fail(&mut self, failure: &Failure, service: &ServiceKey, now: UnixNanos, around: &mut Surroundings<'_>) {
        let was_open = self.model.take().is_some();
        self.detector.stats.add_fault(failure.reason, service);
        let quarantined = self.suspect(was_open);
        let was_trial = self.breaker.is_trial();
        let consequence = match failure.reason {
            FaultReason::Refused => self.breaker.open(now),
            _ => self.breaker.fault(now),
        };
        let (until, is_news) = match consequence {
            Consequence::Wait(until) => (until, !self.unwell),
            Consequence::Open(until) => (until, !was_trial || !self.unwell),
        };
        if is_news || quarantined {
            let from = match consequence {
                Consequence::Open(_) => "it is paused, and gets one more try with a fresh model",
                Consequence::Wait(_) if quarantined => {
                    "what it had learned made it fail again and is set aside; it starts anew"
                }
                Consequence::Wait(_) if self.saved.is_some() => "it goes on from its last good state",
                Consequence::Wait(_) => "it starts anew",
            };
            let message = format!("{}; {from} at {until}", failure.message);
            self.tell(Some(failure.reason), message, service, now, around);
        }
    }

    /// Whether the snapshot, after one more failure, is held to be the cause; it is dropped then.
    fn suspect(&mut self, was_open: bool) -> bool {
        if !self.suspicion.on_trial {
            return false;
        }
        self.suspicion.points += if was_open { 1 } else { 2 };
        let is_condemned = self.suspicion.points >= ENOUGH_SUSPICION;
        if is_condemned {
            self.saved = None;
            self.suspicion = Suspicion::default();
            self.detector.stats.add_quarantined();
        }
        is_condemned
    }

    fn tell(
        &mut self,
        reason: Option<FaultReason>,
        message: String,
        service: &ServiceKey,
        time: UnixNanos,
        around: &mut Surroundings<'_>,
    ) {
        self.unwell = reason.is_some();
        let detector = Arc::clone(&self.detector.identity);
        around.health.push(DetectorHealth { detector, service: service.clone(), time, reason, message });
    }

    /// The last good state.
    pub(crate) fn saved(&self, step_ns: u64) -> Option<SavedModel> {
        self.saved.as_ref().map(|(schema, bytes)| SavedModel {
            detector: self.detector.identity.name.to_string(),
            module: self.detector.about.name.clone(),
            digest: self.detector.identity.digest.to_string(),
            config_hash: self.detector.config_hash(step_ns),
            schema: *schema,
            bytes: bytes.clone(),
        })
    }

    /// Takes a saved state if it is this detector's; the next window opens a model from it.
    pub(crate) fn restore(&mut self, models: &[SavedModel], step_ns: u64) -> bool {
        let config_hash = self.detector.config_hash(step_ns);
        let is_mine = |model: &&SavedModel| {
            model.detector == *self.detector.identity.name
                && model.module == self.detector.about.name
                && model.config_hash == config_hash
        };
        let found = models.iter().find(is_mine);
        self.saved = found.map(|model| (model.schema, model.bytes.clone()));
        self.suspicion = Suspicion::default();
        self.model = None;
        found.is_some()
    }
}

/// Makes a store and opens a model in it.
pub(crate) fn open_model(
    sandbox: &Sandbox,
    detector: &LoadedDetector,
    deadlines: Deadlines,
    service: &ServiceKey,
    resource: &[(Arc<str>, Arc<str>)],
    step_ns: u64,
    saved: Option<types::StateParam<'_>>,
) -> Result<Model, Failure> {
    let name = service.to_string();
    let birth = Birth {
        engine: sandbox.engine(),
        component: &detector.component,
        limits: &detector.limits,
        stats: &detector.stats,
        log: &detector.log,
        places: &detector.places,
        service: &name,
        deadline: deadlines.rare,
        tick: sandbox.tick(),
    };
    let resource = pairs(resource);
    let setup = types::Setup {
        service: &name,
        resource_attributes: &resource,
        config: &detector.config,
        seed: detector.seed(service),
        step_ns,
    };
    Instance::new(&birth)?.open(deadlines.rare, setup, saved)
}

fn pairs(attributes: &[(Arc<str>, Arc<str>)]) -> Vec<(&str, &str)> {
    attributes.iter().map(|(key, value)| (&**key, &**value)).collect()
}

fn series_out<'a>(series: &'a Series, attributes: &'a [(&'a str, &'a str)]) -> types::Series<'a> {
    types::Series { id: series.id, name: &series.name, unit: &series.unit, kind: kind_out(series.kind), attributes }
}
