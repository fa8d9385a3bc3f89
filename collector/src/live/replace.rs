//! Replaces detectors while the hop runs: when the configuration is read again, and when the file of a component changes.
//!
//! Works on a thread of its own, where components are fetched, compiled and tried beside those that run. Only what passed all of that is
//! handed to the shards, which take it over between two windows; see `DetectorPool::replace`.

use crate::{
    cli,
    config::{self, Config, DetectorConfig, Gravity, Module},
    detectors::{self, Components, Loaded},
    pipeline::counters::DetectionCounters,
    telemetry::WatchedDetectors,
};
use anyhow::Context as _;
use foreshock_registry::Digest;
use foreshock_sandbox::{LoadError, LoadedDetector};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    time::Duration,
};
use tokio::sync::oneshot;

/// Between two looks at the files of components. A file is read when two looks in a row see the same.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Detectors for all shards, in the order of the configuration.
pub(super) type Detectors = Arc<[Arc<LoadedDetector>]>;

/// The configuration is to be read again.
pub(super) struct Ask {
    pub(super) config: PathBuf,
    pub(super) answer: oneshot::Sender<Reloaded>,
}

/// What became of a configuration that was read again.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reloaded {
    /// Why nothing of it is used.
    pub refused: Option<String>,
    /// Detectors that run with another component, configuration or limits than before.
    pub replaced: Vec<String>,
    /// Detectors that are new.
    pub added: Vec<String>,
    /// Detectors that are gone.
    pub removed: Vec<String>,
    /// Detectors that can't be used as they stand there, and why: they run on as before, or, being new, do not run.
    pub failed: Vec<(String, String)>,
    /// Parts that changed and are only read at a start.
    pub needs_restart: Vec<&'static str>,
}

/// A file as it was at one look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Signature {
    modified: (i64, i64),
    inode: u64,
    length: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    /// As it was when it was last read.
    handled: Option<Signature>,
    /// As it was at the last look, if that was another.
    pending: Option<Signature>,
    /// Whether it was said that the file is gone.
    is_gone: bool,
}

/// The thread.
pub(super) struct Replacer {
    /// What runs: where a part needs a restart, as it was at the start.
    config: Config,
    loaded: Loaded,
    /// Models that room was made for.
    room: usize,
    orders: SyncSender<Detectors>,
    watched: WatchedDetectors,
    counters: Arc<DetectionCounters>,
    files: BTreeMap<PathBuf, Watched>,
}

// === impl Replacer ===

impl Replacer {
    pub(super) fn new(
        config: Config,
        loaded: Loaded,
        orders: SyncSender<Detectors>,
        watched: WatchedDetectors,
        counters: Arc<DetectionCounters>,
    ) -> Self {
        let room = models(&config);
        Self { config, loaded, room, orders, watched, counters, files: BTreeMap::new() }
    }

    /// Works until nobody can ask any more.
    pub(super) fn run(mut self, asks: &Receiver<Ask>) {
        loop {
            match asks.recv_timeout(LOOK_EVERY) {
                Ok(Ask { config, answer }) => {
                    let reloaded = self.reload(&config);
                    tell(&reloaded, &config);
                    // Who asked need not wait for it.
                    let _ = answer.send(reloaded);
                }
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Reads the configuration again and applies what it says of detectors.
    fn reload(&mut self, path: &Path) -> Reloaded {
        let components = Components::within(Arc::clone(&self.loaded.sandbox));
        let new = match config::load(path, &cli::surroundings(&components)) {
            Ok(new) => new,
            Err(problems) => {
                self.counters.replacements_failed.add(1);
                return Reloaded { refused: Some(problems.to_string()), ..Reloaded::default() };
            }
        };
        for warning in new.warnings.lines(Gravity::Warning) {
            tracing::warn!("{warning}");
        }
        let new = new.config;
        let mut reloaded = Reloaded { needs_restart: needs_restart(&self.config, &new), ..Reloaded::default() };
        let (mut configs, mut detectors) = (Vec::new(), Vec::new());
        for wanted in new.detectors {
            let name = wanted.name.clone();
            let old = self.running(&name);
            match self.renewed(&wanted, old.as_ref()) {
                Ok(None) => {}
                Ok(Some(detector)) => {
                    let list = if old.is_some() { &mut reloaded.replaced } else { &mut reloaded.added };
                    list.push(name);
                    configs.push(wanted);
                    detectors.push(detector);
                    continue;
                }
                Err(why) => reloaded.failed.push((name, why)),
            }
            if let Some((config, detector)) = old {
                configs.push(config);
                detectors.push(detector);
            }
        }
        let kept: BTreeSet<&String> = configs.iter().map(|config| &config.name).collect();
        let before = self.config.detectors.iter().map(|config| &config.name);
        reloaded.removed = before.filter(|name| !kept.contains(name)).cloned().collect();
        let is_moved = detectors.iter().zip(&self.loaded.detectors).any(|(new, old)| !Arc::ptr_eq(new, old));
        self.config.detectors = configs;
        if is_moved || detectors.len() != self.loaded.detectors.len() {
            self.apply(detectors, reloaded.replaced.len() + reloaded.added.len());
        }
        self.counters.replacements_failed.add(reloaded.failed.len() as u64);
        if models(&self.config) > self.room {
            let room = self.room;
            tracing::warn!("room was made for {room} models at the start; a restart makes more, should it be needed");
        }
        reloaded
    }

    /// Looks at the files of components, and replaces detectors whose file changed and then stayed the same for one look.
    fn look(&mut self) {
        let module = |config: &DetectorConfig| match &config.module {
            Module::File(path) => Some(path.clone()),
            Module::Builtin(_) | Module::Oci(_) => None,
        };
        let paths: BTreeSet<PathBuf> = self.config.detectors.iter().filter_map(module).collect();
        self.files.retain(|path, _| paths.contains(path));
        let mut changed = BTreeSet::new();
        for path in paths {
            let found = signature(&path);
            let watched = self.files.entry(path.clone()).or_default();
            if found.is_none() && !watched.is_gone {
                tracing::warn!(file = %path.display(), "the component can't be seen any more; what was loaded of it runs on");
            }
            watched.is_gone = found.is_none();
            if found.is_none() || found == watched.handled {
                watched.pending = None;
            } else if found == watched.pending {
                *watched = Watched { handled: found, ..Watched::default() };
                changed.insert(path);
            } else {
                watched.pending = found;
            }
        }
        if changed.is_empty() {
            return;
        }
        let mut detectors = self.loaded.detectors.clone();
        let mut replaced = 0;
        for config in self.config.detectors.clone() {
            if !module(&config).is_some_and(|path| changed.contains(&path)) {
                continue;
            }
            let old = self.running(&config.name);
            match self.renewed(&config, old.as_ref()) {
                Ok(None) => {}
                Ok(Some(detector)) => {
                    let place = detectors.iter_mut().find(|old| old.identity().name == detector.identity().name);
                    if let Some(place) = place {
                        *place = detector;
                        replaced += 1;
                    }
                }
                Err(why) => {
                    self.counters.replacements_failed.add(1);
                    let (detector, module) = (&config.name, &config.module);
                    tracing::error!(detector, %module, "the component's file changed, but the new one can't be used and the one before runs on: {why}");
                }
            }
        }
        if replaced > 0 {
            self.apply(detectors, replaced);
        }
    }

    /// The detector of this name as it runs.
    fn running(&self, name: &str) -> Option<(DetectorConfig, Arc<LoadedDetector>)> {
        let config = self.config.detectors.iter().find(|config| config.name == name)?;
        let detector = self.loaded.detectors.iter().find(|detector| *detector.identity().name == *name)?;
        Some((config.clone(), Arc::clone(detector)))
    }

    /// A detector as the configuration wants it, loaded and tried; `None` if that is how it runs.
    fn renewed(
        &self,
        wanted: &DetectorConfig,
        old: Option<&(DetectorConfig, Arc<LoadedDetector>)>,
    ) -> Result<Option<Arc<LoadedDetector>>, String> {
        let unchanged = old.filter(|(config, _)| config == wanted).map(|(_, detector)| detector);
        if unchanged.is_some() && !matches!(wanted.module, Module::File(_)) {
            return Ok(None);
        }
        let component = detectors::component(&wanted.module, self.config.storage.as_deref())
            .map_err(|why| format!("`{}` {why}", wanted.module))?;
        if unchanged.is_some_and(|detector| *detector.identity().digest == *Digest::of(&component).hex()) {
            return Ok(None);
        }
        let step = detectors::step(&self.config);
        let sandbox = &self.loaded.sandbox;
        let load = || {
            let new = detectors::load_one(sandbox, wanted, component)?;
            sandbox.try_open(&new, step).with_context(|| format!("detector `{}` can't be used", wanted.name))?;
            Ok(new)
        };
        let new = load().map_err(|error: anyhow::Error| {
            let too_much = matches!(error.downcast_ref::<LoadError>(), Some(LoadError::TooMuchMemory { .. }));
            format!("{error:#}{}", if too_much { "; a restart makes room for more" } else { "" })
        })?;
        let Some((_, old)) = old else { return Ok(Some(Arc::new(new))) };
        let (from, to) = (old.identity(), new.identity());
        tracing::info!(
            detector = %to.name,
            from = %from.version,
            from_digest = %from.digest,
            to = %to.version,
            to_digest = %to.digest,
            "the detector is replaced; each service goes over to the new one with its next window"
        );
        Ok(Some(Arc::new(new.counting_on(old))))
    }

    fn apply(&mut self, detectors: Vec<Arc<LoadedDetector>>, replaced: usize) {
        self.loaded.detectors = detectors;
        self.watched.replace(&self.loaded.detectors);
        self.counters.replacements.add(replaced as u64);
        // Nobody takes it when the hop stops.
        let _ = self.orders.send(self.loaded.detectors.as_slice().into());
    }
}

fn signature(path: &Path) -> Option<Signature> {
    let about = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some(Signature { modified: (about.mtime(), about.mtime_nsec()), inode: about.ino(), length: about.len() })
}

/// Models that a configuration may come to.
fn models(config: &Config) -> usize {
    config.detection.services.saturating_mul(config.detectors.len()).clamp(16, detectors::MOST_MODELS)
}

/// The parts of a configuration that changed and are only read at a start.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    // Which detectors a pipeline has may change; whether it has any decides what is looked at, at the door.
    let pipelines = |config: &Config| -> Vec<_> {
        let all = config.pipelines.iter();
        all.map(|it| (it.name.clone(), it.signal, it.detectors.is_empty(), it.exporters.clone())).collect()
    };
    let parts = [
        ("receivers", old.grpc != new.grpc || old.http != new.http),
        ("exporters", old.exporters != new.exporters),
        ("detection", old.detection != new.detection),
        ("storage", old.storage != new.storage),
        ("console", old.console != new.console),
        ("health", old.health != new.health),
        ("service.pipelines", pipelines(old) != pipelines(new)),
        ("service.telemetry", old.telemetry != new.telemetry),
        ("service.shutdown_timeout", old.shutdown_timeout != new.shutdown_timeout),
    ];
    parts.into_iter().filter_map(|(part, changed)| changed.then_some(part)).collect()
}

/// Says what became of it.
fn tell(reloaded: &Reloaded, path: &Path) {
    let file = path.display();
    let Reloaded { refused, replaced, added, removed, failed, needs_restart } = reloaded;
    if let Some(problems) = refused {
        tracing::error!(%file, "the configuration was read again and can't be used, everything runs on as it was:\n{problems}");
        return;
    }
    for (detector, why) in failed {
        tracing::error!(
            detector,
            "this detector can't be used as the configuration has it now, and stays as it was: {why}"
        );
    }
    for part in needs_restart {
        tracing::warn!(%file, part, "this part changed and needs a restart; it stays as it was");
    }
    tracing::info!(%file, ?replaced, ?added, ?removed, "the configuration was read again");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ModuleAbout, Modules, Surroundings};

    struct Anything;

    impl Modules for Anything {
        fn about(&self, _: &Module) -> Result<ModuleAbout, String> {
            Ok(ModuleAbout { title: String::new(), config_schema: "true".to_owned() })
        }
    }

    const CONFIG: &str = "\
receivers: {otlp: {protocols: {grpc: }}}
exporters: {debug: }
detectors: {a: {module: \"builtin:a\"}, b: {module: \"builtin:b\"}}
service: {pipelines: {metrics: {receivers: [otlp], detectors: [a, b], exporters: [debug]}}}
";

    fn parse(text: &str) -> Config {
        let surroundings = Surroundings { env: &|_| None, modules: &Anything, processors: 2 };
        config::parse("f", Path::new(""), text, &surroundings).expect("usable").config
    }

    /// Changes of detectors are applied while it runs; each other part that changed is named, so that nobody takes it for applied.
    #[test]
    fn parts_that_need_a_restart_are_named() {
        let changed = |from: &str, to: &str| {
            assert!(CONFIG.contains(from));
            needs_restart(&parse(CONFIG), &parse(&CONFIG.replacen(from, to, 1)))
        };
        assert_eq!(changed("builtin:a", "builtin:c"), [""; 0]);
        assert_eq!(changed("detectors: [a, b]", "detectors: [b]"), [""; 0]);
        assert_eq!(changed("detectors: {a: {", "detectors: {a: {config: {x: 1}, limits: {memory_mib: 8}, "), [""; 0]);
        assert_eq!(changed("detectors: [a, b], ", ""), ["detection", "service.pipelines"]);
        assert_eq!(changed("grpc: ", "grpc: {endpoint: \"127.0.0.1:1\"}"), ["receivers"]);
        assert_eq!(changed("{debug: }", "{debug: {verbosity: detailed}}"), ["exporters"]);
        assert_eq!(changed("service: {", "detection: {window: 5s}\nservice: {"), ["detection"]);
        assert_eq!(changed("service: {", "storage: {path: elsewhere}\nservice: {"), ["storage"]);
        assert_eq!(changed("service: {", "service: {shutdown_timeout: 1s, "), ["service.shutdown_timeout"]);
    }
}
