//! Detectors of the configuration: where their components come from, and how the pipeline runs them.

use crate::{
    config::{Config, DetectorConfig, Module, ModuleAbout, Modules},
    pipeline::shard::SavedDetectors,
};
use anyhow::Context as _;
use foreshock_engine::{
    saved,
    window::{Series, ServiceKey},
};
use foreshock_registry::Cache;
use foreshock_sandbox::{
    DetectorPool, DetectorSpec, LoadError, LoadedDetector, Sandbox, ServiceFilter, ServiceState, Settings,
};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// Layout of a service's saved detectors.
const SCHEMA: u32 = 1;
/// Largest component that is read, in bytes.
const LARGEST_COMPONENT: u64 = 64 << 20;
/// Most models that live at once, whatever the configuration would allow.
pub(crate) const MOST_MODELS: usize = 30_000;

/// Looks components up by asking them, in a sandbox that is made when the first one is asked. Whatever it compiles for that is kept in
/// the user's cache folder, so that a command that is called again does not.
#[derive(Debug, Default)]
pub struct Components {
    /// Whether compiled code is with the state instead.
    has_state: bool,
    expected: OnceLock<Expected>,
    sandbox: OnceLock<Option<Arc<Sandbox>>>,
    answers: Mutex<BTreeMap<Module, Result<ModuleAbout, String>>>,
}

/// What the configuration will come to.
#[derive(Debug)]
struct Expected {
    models: usize,
    /// Of one model.
    memory_bytes: usize,
    /// The folder of the state.
    storage: Option<PathBuf>,
}

impl Components {
    /// For what keeps state: finds the code that its last run compiled.
    #[must_use]
    pub fn with_state() -> Self {
        Self { has_state: true, ..Self::default() }
    }

    /// Asks them in a sandbox that is there already.
    #[must_use]
    pub fn within(sandbox: Arc<Sandbox>) -> Self {
        Self { sandbox: OnceLock::from(Some(sandbox)), ..Self::default() }
    }

    fn storage(&self) -> Option<&Path> {
        self.expected.get()?.storage.as_deref()
    }
}

/// The bytes of a component; the error ends a sentence that begins with the module. What comes from a registry is kept in the
/// folder of the state, if there is one.
pub(crate) fn component(module: &Module, storage: Option<&Path>) -> Result<Arc<[u8]>, String> {
    match module {
        Module::Builtin(name) => foreshock_builtin::component(name).map(Arc::from).ok_or_else(|| {
            let names: Vec<String> = foreshock_builtin::names().map(|name| format!("`builtin:{name}`")).collect();
            format!("is not there; there is {}", names.join(", "))
        }),
        Module::File(path) => {
            let size = std::fs::metadata(path).map_err(|error| format!("can't be read: {error}"))?.len();
            if size > LARGEST_COMPONENT {
                return Err(format!("is {size} bytes long; at most {LARGEST_COMPONENT} are read"));
            }
            std::fs::read(path).map(Arc::from).map_err(|error| format!("can't be read: {error}"))
        }
        Module::Oci(reference) => {
            let cache = storage.map(|folder| Cache::new(&folder.join("components")));
            let limits = foreshock_registry::Limits { component_bytes: LARGEST_COMPONENT, ..Default::default() };
            foreshock_registry::component(reference, cache.as_ref(), &limits)
                .map_err(|error| format!("can't be fetched: {}", chain(&error)))
        }
    }
}

/// Settings that give the same layout, and so the same compiled code, wherever they are made for the same configuration.
fn sandbox_settings(models: usize, memory_bytes: usize, code_folder: Option<PathBuf>) -> Settings {
    let models = models.clamp(16, MOST_MODELS);
    Settings {
        max_models: u32::try_from(models).unwrap_or(u32::MAX),
        max_memory_bytes: memory_bytes,
        code_folder,
        ..Settings::default()
    }
}

impl Modules for Components {
    fn expect(&self, models: usize, memory_bytes: usize, storage: Option<&Path>) {
        // Whoever asks first decides; the worst that a second configuration can come to is to compile again.
        let _ = self.expected.set(Expected { models, memory_bytes, storage: storage.map(Path::to_owned) });
    }

    fn about(&self, module: &Module) -> Result<ModuleAbout, String> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = answers.get(module) {
            return answer.clone();
        }
        let sandbox = self.sandbox.get_or_init(|| {
            let (models, memory_bytes) = self.expected.get().map_or((16, 16 << 20), |it| (it.models, it.memory_bytes));
            let code_folder = match self.has_state {
                // A configuration that is only looked at makes no folder; what is compiled here, `load` keeps.
                true => self.storage().map(code_folder).filter(|folder| folder.is_dir()),
                false => cache_folder(),
            };
            let settings = sandbox_settings(models, memory_bytes, code_folder);
            Sandbox::new(settings).inspect_err(|error| tracing::error!(%error, "no sandbox")).ok().map(Arc::new)
        });
        let answer = match sandbox {
            None => Err("can't be asked: this machine does not let a sandbox be made".to_owned()),
            Some(sandbox) => component(module, self.storage()).and_then(|bytes| {
                let about = sandbox.about(&bytes).map_err(|error| format!("can't be used: {}", chain(&error)))?;
                Ok(ModuleAbout {
                    title: format!("{} {}", about.name, about.version),
                    config_schema: about.config_schema.to_string(),
                })
            }),
        };
        answers.insert(module.clone(), answer.clone());
        answer
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The sandbox with all detectors that the configuration uses.
#[derive(Clone)]
pub struct Loaded {
    /// Shared by all shards.
    pub sandbox: Arc<Sandbox>,
    /// In the order of the configuration.
    pub detectors: Vec<Arc<LoadedDetector>>,
}

/// Where a run that keeps its state in `storage` keeps compiled components.
pub(crate) fn code_folder(storage: &Path) -> PathBuf {
    storage.join("code")
}

/// `foreshock` in the user's cache folder (`$XDG_CACHE_HOME`, or else `.cache` in `$HOME`). `None` where there is neither.
pub(crate) fn user_cache() -> Option<PathBuf> {
    // The XDG Base Directory Specification says to ignore a path that is not absolute.
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("foreshock"))
}

/// Where commands that keep no state keep compiled components.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    Some(user_cache()?.join("code"))
}

/// Layout and bytes of what [`SavedDetectors::snapshot`] gives.
pub(crate) fn saved_state(state: &ServiceState) -> Vec<u8> {
    saved::encode(SCHEMA, state)
}

/// The series in what [`SavedDetectors::snapshot`] gave; `None` if it is of no use.
pub(crate) fn series_of(bytes: &[u8]) -> Option<Vec<Series>> {
    saved::decode::<ServiceState>(SCHEMA, bytes).ok().map(|state| state.series)
}

/// Makes the sandbox and loads the detectors of a configuration. Compiled components are kept in `code_folder`, where there is one.
///
/// # Errors
/// If the machine has no room for the sandbox, or a component can't be loaded or refuses its configuration.
pub fn load(config: &Config, code_folder: Option<PathBuf>) -> anyhow::Result<Loaded> {
    // One more service for the self-check, which copies one service's models at a time.
    let services = config.detection.services + 1;
    let models = services.saturating_mul(config.detectors.len());
    let largest = config.detectors.iter().map(|detector| detector.limits.memory_bytes).max().unwrap_or(16 << 20);
    let settings = Settings {
        models_per_detector: u32::try_from(services).unwrap_or(u32::MAX),
        ..sandbox_settings(models, largest, code_folder)
    };
    let sandbox = Arc::new(Sandbox::new(settings).context("the detectors' sandbox can't be made")?);
    let mut detectors = Vec::new();
    for wanted in &config.detectors {
        let bytes = component(&wanted.module, config.storage.as_deref())
            .map_err(|reason| anyhow::anyhow!("detector `{}`: `{}` {reason}", wanted.name, wanted.module))?;
        let detector = Arc::new(load_one(&sandbox, wanted, bytes)?);
        match sandbox.try_open(&detector, step(config)) {
            Ok(()) => {}
            // Telemetry must go on, whatever a detector does; it gets its chances like any that fails later.
            Err(fault @ LoadError::Open { .. }) => tracing::warn!(detector = wanted.name, "{fault}"),
            Err(error) => return Err(error).with_context(|| format!("detector `{}` can't be used", wanted.name)),
        }
        detectors.push(detector);
    }
    Ok(Loaded { sandbox, detectors })
}

/// The length of a window in nanoseconds.
pub(crate) fn step(config: &Config) -> u64 {
    u64::try_from(config.detection.window.as_nanos()).unwrap_or(u64::MAX)
}

/// Loads one detector.
///
/// # Errors
/// If its component can't be a detector, or the configuration does not fit its schema.
pub(crate) fn load_one(
    sandbox: &Sandbox,
    detector: &DetectorConfig,
    component: Arc<[u8]>,
) -> anyhow::Result<LoadedDetector> {
    let name = &detector.name;
    let spec = DetectorSpec {
        name: name.clone(),
        component,
        services: filter(detector).with_context(|| format!("detector `{name}`"))?,
        config: detector.config.clone(),
        weight: detector.weight,
        limits: detector.limits,
    };
    let loaded = sandbox.load(spec).with_context(|| format!("detector `{name}` can't be loaded"))?;
    fits_schema(&detector.config, &loaded.about().config_schema)
        .map_err(|why| anyhow::anyhow!("detector `{name}`: its configuration does not fit this component: {why}"))?;
    Ok(loaded)
}

/// Whether a configuration is what a detector's schema asks for; the error says why not.
pub(crate) fn fits_schema(config: &serde_json::Value, schema: &serde_json::Value) -> Result<(), String> {
    let validator = jsonschema::validator_for(schema).map_err(|error| format!("the schema is of no use: {error}"))?;
    let problems: Vec<String> = validator
        .iter_errors(config)
        .take(8)
        .map(|error| match error.instance_path().to_string() {
            at if at.is_empty() => error.to_string(),
            at => format!("{}: {error}", at.trim_start_matches('/').replace('/', ".")),
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

/// Globs with a slash are over `namespace/name`, others over the name alone.
fn filter(detector: &DetectorConfig) -> anyhow::Result<ServiceFilter> {
    let set = |with_slash: bool| -> anyhow::Result<GlobSet> {
        let mut set = GlobSetBuilder::new();
        for glob in detector.services.iter().filter(|glob| glob.contains('/') == with_slash) {
            set.add(GlobBuilder::new(glob).literal_separator(false).build()?);
        }
        Ok(set.build()?)
    };
    let (names, full) = (set(false)?, set(true)?);
    Ok(Arc::new(move |service: &ServiceKey| {
        names.is_match(&*service.name) || (!full.is_empty() && full.is_match(service.to_string()))
    }))
}

impl SavedDetectors for DetectorPool {
    fn snapshot(&mut self, service: &ServiceKey) -> Option<Vec<u8>> {
        Self::snapshot(self, service).map(|state| saved_state(&state))
    }

    fn restore(&mut self, service: &ServiceKey, bytes: &[u8]) -> Result<(), String> {
        let state: ServiceState = saved::decode(SCHEMA, bytes).map_err(|error| chain(&error))?;
        let cold = Self::restore(self, service, state);
        if !cold.is_empty() {
            tracing::info!(%service, detectors = ?cold, "these detectors start cold: they are new, or configured in another way");
        }
        Ok(())
    }

    fn replace(&mut self, detectors: &[Arc<LoadedDetector>]) {
        Self::replace(self, detectors.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt as _};

    /// A start is quick: what the last run compiled is not compiled again, not even to ask a component what it is.
    #[test]
    fn a_start_compiles_nothing_that_the_last_one_did() {
        let storage = tempfile::tempdir().expect("a folder");
        DirBuilder::new().mode(0o700).create(code_folder(storage.path())).expect("a folder");
        let compilations = || {
            let components = Components::with_state();
            components.expect(16, 16 << 20, Some(storage.path()));
            components.about(&Module::Builtin("shift".to_owned())).expect("it says what it is");
            components.sandbox.get().and_then(Option::as_ref).map(|sandbox| sandbox.compilations())
        };
        assert_eq!([compilations(), compilations(), compilations()], [Some(1), Some(0), Some(0)]);
    }
}
