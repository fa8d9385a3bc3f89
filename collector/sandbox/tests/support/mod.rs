//! What the tests of the sandbox share: a sandbox, detectors for it, and windows to feed them.
#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod listener;

use foreshock_engine::{
    UnixNanos,
    verdict::{Detector, DetectorHealth, Detectors, Verdict},
    window::{ClosedWindow, Series, SeriesKind, ServiceKey, Window},
};
use foreshock_sandbox::{DetectorPool, DetectorSpec, Limits, LoadedDetector, PoolSettings, Sandbox, Settings};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// Length of a window: 10 seconds.
pub(crate) const STEP_NS: u64 = 10_000_000_000;

/// 2026-01-05 00:00 UTC.
pub(crate) const EPOCH_NS: u64 = 1_767_571_200_000_000_000;

pub(crate) fn sandbox() -> Arc<Sandbox> {
    Arc::new(Sandbox::new(Settings { max_models: 100, ..Settings::default() }).unwrap())
}

/// A deadline that a busy machine does not miss by itself, but that a test can wait for.
pub(crate) fn limits() -> Limits {
    Limits { deadline: Duration::from_secs(1), ..Limits::default() }
}

pub(crate) fn spec(name: &str, component: &[u8], config: &str) -> DetectorSpec {
    DetectorSpec {
        name: name.into(),
        component: component.into(),
        services: Arc::new(|_| true),
        config: serde_json::from_str(config).unwrap(),
        weight: 1.0,
        limits: limits(),
    }
}

pub(crate) fn load(sandbox: &Sandbox, name: &str, component: &[u8], config: &str) -> Arc<LoadedDetector> {
    Arc::new(sandbox.load(spec(name, component, config)).unwrap())
}

/// The detector that misbehaves when it sees a value above 1000.
pub(crate) fn chaos(sandbox: &Sandbox, name: &str, act: &str) -> Arc<LoadedDetector> {
    load(sandbox, name, foreshock_builtin::chaos(), &format!(r#"{{"act":"{act}"}}"#))
}

pub(crate) fn pool(sandbox: &Arc<Sandbox>, detectors: &[Arc<LoadedDetector>], snapshot_every: u32) -> DetectorPool {
    let settings = PoolSettings { snapshot_every, ..PoolSettings::new(STEP_NS) };
    DetectorPool::new(Arc::clone(sandbox), detectors.to_vec(), settings)
}

/// Makes the windows of one service; opens each series when it first speaks.
pub(crate) struct Feed {
    pub(crate) service: ServiceKey,
    known: BTreeSet<u32>,
    kinds: BTreeMap<u32, SeriesKind>,
    closed: Vec<u32>,
    next: u64,
}

impl Feed {
    pub(crate) fn new(service: &str) -> Self {
        Self {
            service: ServiceKey::new("shop", service),
            known: BTreeSet::new(),
            kinds: BTreeMap::new(),
            closed: Vec::new(),
            next: EPOCH_NS,
        }
    }

    /// The kind of a series that has not spoken yet; gauge otherwise.
    pub(crate) fn set_kind(&mut self, id: u32, kind: SeriesKind) {
        self.kinds.insert(id, kind);
    }

    pub(crate) fn close(&mut self, id: u32) {
        if self.known.remove(&id) {
            self.closed.push(id);
        }
    }

    pub(crate) fn skip(&mut self, windows: u64) {
        self.next += windows * STEP_NS;
    }

    /// The next window, from rows of id and value in ascending order of the id.
    pub(crate) fn window(&mut self, rows: &[(u32, f64)]) -> ClosedWindow {
        let start = UnixNanos(self.next);
        self.next += STEP_NS;
        let opened = rows.iter().filter(|(id, _)| self.known.insert(*id)).map(|&(id, _)| {
            let kind = self.kinds.get(&id).copied().unwrap_or(SeriesKind::Gauge);
            Arc::new(Series {
                id,
                name: format!("metric.{id}").into(),
                unit: "1".into(),
                kind,
                attributes: vec![("foreshock.template.text".into(), format!("user <*> did {id}").into())],
            })
        });
        let opened = opened.collect();
        let values: Vec<f64> = rows.iter().map(|row| row.1).collect();
        ClosedWindow {
            service: self.service.clone(),
            resource: Arc::new(vec![("service.name".into(), Arc::clone(&self.service.name))]),
            window: Window {
                start,
                end: UnixNanos(self.next),
                opened,
                closed: std::mem::take(&mut self.closed),
                ids: rows.iter().map(|row| row.0).collect(),
                minima: values.clone(),
                maxima: values.clone(),
                counts: vec![1; values.len()],
                values,
            },
        }
    }
}

/// The answer of one detector among those of a pool.
pub(crate) fn of<'a>(answers: &'a [(Arc<Detector>, Verdict)], name: &str) -> Option<&'a Verdict> {
    answers.iter().find(|(detector, _)| &*detector.name == name).map(|(_, verdict)| verdict)
}

pub(crate) fn health(pool: &mut DetectorPool) -> Vec<DetectorHealth> {
    std::iter::from_fn(|| pool.poll_health()).collect()
}
