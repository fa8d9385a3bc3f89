//! Detectors of the configuration: where their components come from, and how the pipeline runs them.

use crate::{
    config::{Config, DetectorConfig, Module, ModuleAbout, Modules},
    pipeline::shard::SavedDetectors,
};
use anyhow::Context as _;
use foreshock_engine::{saved, window::ServiceKey};
use foreshock_sandbox::{DetectorPool, DetectorSpec, LoadedDetector, Sandbox, ServiceFilter, ServiceState, Settings};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// Layout of a service's saved detectors.
const SCHEMA: u32 = 1;
/// Largest component that is read, in bytes.
const LARGEST_COMPONENT: u64 = 64 << 20;
/// Most models that live at once, whatever the configuration would allow.
const MOST_MODELS: usize = 30_000;

/// Looks components up by asking them, in a sandbox that is made when the first one is asked.
#[derive(Debug, Default)]
pub struct Components {
    /// Models and memory of one, in bytes, that the configuration will come to.
    expected: OnceLock<(usize, usize)>,
    sandbox: OnceLock<Option<Sandbox>>,
    answers: Mutex<BTreeMap<Module, Result<ModuleAbout, String>>>,
}

/// The bytes of a component; the error ends a sentence that begins with the module.
fn component(module: &Module) -> Result<Arc<[u8]>, String> {
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
    fn expect(&self, models: usize, memory_bytes: usize) {
        // Whoever asks first decides; the worst that a second configuration can come to is to compile again.
        let _ = self.expected.set((models, memory_bytes));
    }

    fn about(&self, module: &Module) -> Result<ModuleAbout, String> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = answers.get(module) {
            return answer.clone();
        }
        let sandbox = self.sandbox.get_or_init(|| {
            let (models, memory_bytes) = self.expected.get().copied().unwrap_or((16, 16 << 20));
            let settings = sandbox_settings(models, memory_bytes, None);
            Sandbox::new(settings).inspect_err(|error| tracing::error!(%error, "no sandbox")).ok()
        });
        let answer = match sandbox {
            None => Err("can't be asked: this machine does not let a sandbox be made".to_owned()),
            Some(sandbox) => component(module).and_then(|bytes| {
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

/// Where commands that keep no state keep compiled components: `foreshock/code` in the user's cache folder (`$XDG_CACHE_HOME`, or else
/// `.cache` in `$HOME`). `None` where there is neither.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    // The XDG Base Directory Specification says to ignore a path that is not absolute.
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("foreshock/code"))
}

/// Makes the sandbox and loads the detectors of a configuration. Compiled components are kept in `code_folder`, where there is one.
///
/// # Errors
/// If the machine has no room for the sandbox, or a component can't be loaded.
pub fn load(config: &Config, code_folder: Option<PathBuf>) -> anyhow::Result<Loaded> {
    let models = config.detection.services.saturating_mul(config.detectors.len());
    let largest = config.detectors.iter().map(|detector| detector.limits.memory_bytes).max().unwrap_or(16 << 20);
    let settings = Settings {
        models_per_detector: u32::try_from(config.detection.services).unwrap_or(u32::MAX),
        ..sandbox_settings(models, largest, code_folder)
    };
    let sandbox = Sandbox::new(settings).context("the detectors' sandbox can't be made")?;
    let step = u64::try_from(config.detection.window.as_nanos()).unwrap_or(u64::MAX);
    let mut detectors = Vec::new();
    for detector in &config.detectors {
        let name = &detector.name;
        let bytes = component(&detector.module)
            .map_err(|reason| anyhow::anyhow!("detector `{name}`: `{}` {reason}", detector.module))?;
        let spec = DetectorSpec {
            name: name.clone(),
            component: bytes,
            services: filter(detector).with_context(|| format!("detector `{name}`"))?,
            config: detector.config.clone(),
            limits: detector.limits,
        };
        let loaded = sandbox.load(spec).with_context(|| format!("detector `{name}` can't be loaded"))?;
        sandbox.try_open(&loaded, step).with_context(|| format!("detector `{name}` refuses its configuration"))?;
        detectors.push(Arc::new(loaded));
    }
    Ok(Loaded { sandbox: Arc::new(sandbox), detectors })
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
        Self::snapshot(self, service).map(|state| saved::encode(SCHEMA, &state))
    }

    fn restore(&mut self, service: &ServiceKey, bytes: &[u8]) -> Result<(), String> {
        let state: ServiceState = saved::decode(SCHEMA, bytes).map_err(|error| chain(&error))?;
        let cold = Self::restore(self, service, state);
        if !cold.is_empty() {
            tracing::info!(%service, detectors = ?cold, "these detectors start cold: they are new, or configured in another way");
        }
        Ok(())
    }
}
