//! The engine behind all detectors of the process.

use crate::{
    bindings::{Plugin, PluginIndices, exports::foreshock::detector::detector as exported},
    code::{self, CodeFolder},
    detector::{About, DetectorSpec, LoadedDetector, LogBudget, digest},
    guest::{Birth, CORE_INSTANCES, Failure, GuestState, Instance, Prepared},
    inspect::{HOST, inspect},
    mappings,
    places::Places,
    registry::Kinds,
    settings::{Limits, Settings},
    ticker::Ticker,
};
use foreshock_engine::verdict::{Detector, FaultReason};
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy,
    component::{Component, HasSelf, Linker},
};

/// What wasm code may use of the thread's own stack. A guest's values live on the stack in its linear memory; this one is for
/// return addresses and spilled registers.
const WASM_STACK_BYTES: usize = 256 << 10;

/// Tables and memories for each model; a Rust detector has two and one. A component that has more takes the room of several models.
const TABLES_PER_MODEL: u32 = 3;
const MEMORIES_PER_MODEL: u32 = 1;
const TABLE_ELEMENTS: usize = 20_000;
/// What the instances of one model may take of the host's own memory: globals, function references and the like.
const INSTANCE_BYTES: usize = 1 << 20;

/// Address space for each memory in which no access needs a check of its bounds (32-bit addresses reach no further).
const UNCHECKED_RESERVATION: u64 = 4 << 30;
/// The share of a process's 47 bits of address space that the sandbox may set aside.
const MOST_RESERVED: u64 = 1 << 46;

/// Compiles detectors and sets their limits. One per process.
pub struct Sandbox {
    engine: Engine,
    settings: Settings,
    linker: Linker<GuestState>,
    /// By digest, for as long as some loaded detector uses it. Held while compiling: the same component is compiled once.
    compiled: Mutex<BTreeMap<String, Weak<Compiled>>>,
    code: Option<CodeFolder>,
    compilations: AtomicU64,
    _ticker: Ticker,
}

/// A component that can be a detector.
pub(crate) struct Compiled {
    component: Prepared,
    about: About,
}

/// What a component is compiled for.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Purpose {
    /// For asking what it is; this process will probably load it next, perhaps in another sandbox.
    Ask,
    /// For running.
    Load,
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The engine could not be made, for instance for want of address space.
    #[error("the WebAssembly engine can't be made")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No thread for the deadlines.
    #[error("the thread for deadlines can't be started")]
    Ticker(#[source] io::Error),
}

/// Why a component can't be a detector.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The bytes are no component, or one that uses features that are off.
    #[error("this is no WebAssembly component that can run here")]
    NotAComponent(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It is WebAssembly, but a core module: nobody made a component of it.
    #[error("this is a core WebAssembly module, not a component")]
    CoreModule,
    /// Compiling it would take too much time or memory.
    #[error("it has {found} {what}, and at most {most} are compiled")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much.
        found: u64,
        /// The limit, from [`CompileLimits`](crate::CompileLimits).
        most: u64,
    },
    /// It was made for another version of the contract.
    #[error("it was made for contract {version}, this is contract 0.1.0")]
    OtherContract {
        /// The version that it names.
        version: String,
    },
    /// It wants something from the host that detectors don't get.
    #[error("it imports `{import}`, but a detector may import nothing except `{HOST}`")]
    UnknownImport {
        /// The import's name.
        import: String,
    },
    /// It does not export what a detector must, or with other types.
    #[error("it does not have the exports of a detector of contract 0.1.0")]
    WrongShape(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It failed when it was asked what it is.
    #[error("it can't say what it is: {message} ({})", .reason.name())]
    Describe {
        /// How it failed.
        reason: FaultReason,
        /// In words.
        message: String,
    },
    /// What it says about itself breaks the contract.
    #[error("what it says about itself is wrong: {0}")]
    BadAbout(String),
    /// The configuration asks for more memory than the sandbox was made for.
    #[error("its memory limit of {asked} bytes is above the most that is possible here, {most} bytes")]
    TooMuchMemory {
        /// What the configuration has.
        asked: usize,
        /// [`Settings::max_memory_bytes`].
        most: usize,
    },
    /// It opens no model with this configuration, and says why.
    #[error("it refuses its configuration: {0}")]
    BadConfig(String),
    /// It fails when a model is opened.
    #[error("no model of it can be opened: {message} ({})", .reason.name())]
    Open {
        /// How it failed.
        reason: FaultReason,
        /// In words.
        message: String,
    },
}

impl Sandbox {
    /// An engine, and the thread behind its deadlines, which ends when the sandbox is dropped.
    ///
    /// # Errors
    /// If the machine has too little address space for [`Settings::max_models`], or no thread left.
    pub fn new(mut settings: Settings) -> Result<Self, SandboxError> {
        settings.max_models = settings.max_models.min(mappings::most_models());
        let reserved = u64::from(settings.max_models).saturating_mul(UNCHECKED_RESERVATION);
        let small = settings.max_memory_bytes as u64;
        let large = if reserved <= MOST_RESERVED { UNCHECKED_RESERVATION } else { small };
        // Where the address space is limited (`ulimit -v`), small reservations and checked accesses do as well.
        let engine = Engine::new(&config(&settings, large))
            .or_else(|_| Engine::new(&config(&settings, small)))
            .map_err(|error| SandboxError::Engine(error.into_boxed_dyn_error()))?;
        let mut linker = Linker::new(&engine);
        Plugin::add_to_linker::<_, HasSelf<GuestState>>(&mut linker, |state| state)
            .map_err(|error| SandboxError::Engine(error.into_boxed_dyn_error()))?;
        let code = settings.code_folder.as_deref().and_then(|folder| {
            let opened = CodeFolder::open(folder);
            let tell = |error: &io::Error| {
                tracing::warn!(folder = %folder.display(), %error, "compiled components are not kept across a restart");
            };
            opened.inspect_err(tell).ok()
        });
        let ticker = Ticker::start(&engine, settings.tick).map_err(SandboxError::Ticker)?;
        Ok(Self {
            engine,
            settings,
            linker,
            compiled: Mutex::default(),
            code,
            compilations: AtomicU64::new(0),
            _ticker: ticker,
        })
    }

    /// What a component says about itself. Compiles it; the next [`Sandbox::load`] of the same bytes, in this process and in a sandbox
    /// of the same layout, does not.
    ///
    /// # Errors
    /// If it can't be a detector.
    pub fn about(&self, component: &[u8]) -> Result<About, LoadError> {
        Ok(self.compile(component, &digest(component), Purpose::Ask)?.about.clone())
    }

    /// Makes a detector ready to run. Components with the same bytes are compiled once.
    ///
    /// # Errors
    /// If the component can't be a detector, or the limits can't be kept.
    pub fn load(&self, spec: DetectorSpec) -> Result<LoadedDetector, LoadError> {
        if spec.limits.memory_bytes > self.settings.max_memory_bytes {
            return Err(LoadError::TooMuchMemory {
                asked: spec.limits.memory_bytes,
                most: self.settings.max_memory_bytes,
            });
        }
        let digest = digest(&spec.component);
        let compiled = self.compile(&spec.component, &digest, Purpose::Load)?;
        let name: Arc<str> = spec.name.into();
        let identity = Detector {
            name: Arc::clone(&name),
            version: compiled.about.version.as_str().into(),
            digest: digest.into(),
        };
        Ok(LoadedDetector {
            identity: Arc::new(identity),
            about: compiled.about.clone(),
            kinds: Kinds::new(&compiled.about.kinds),
            component: compiled.component.clone(),
            services: spec.services,
            config: spec.config.to_string(),
            weight: spec.weight,
            limits: spec.limits,
            stats: Arc::default(),
            log: Arc::new(LogBudget::new(name, spec.limits.log_lines_per_second)),
            places: Arc::new(Places::new(places_of(&compiled.component), self.settings.models_per_detector)),
            _compiled: compiled,
        })
    }

    /// Opens a model that nobody uses, to see whether the detector takes its configuration.
    ///
    /// # Errors
    /// [`LoadError::BadConfig`] with the detector's own words, or [`LoadError::Open`].
    pub fn try_open(&self, detector: &LoadedDetector, step_ns: u64) -> Result<(), LoadError> {
        let service = foreshock_engine::window::ServiceKey::new("", "configuration check");
        let limits = crate::slot::Deadlines::new(&detector.limits, 1);
        match crate::slot::open_model(self, detector, limits, &service, &[], step_ns, None) {
            Ok(_) => Ok(()),
            Err(Failure { reason: FaultReason::Refused, message }) => Err(LoadError::BadConfig(message)),
            Err(Failure { reason, message }) => Err(LoadError::Open { reason, message }),
        }
    }

    /// How many components it compiled, as opposed to those whose code was kept.
    #[must_use]
    pub fn compilations(&self) -> u64 {
        self.compilations.load(Ordering::Relaxed)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// How often deadlines are looked at.
    pub(crate) fn tick(&self) -> Duration {
        self.settings.tick
    }

    fn compile(&self, bytes: &[u8], digest: &str, purpose: Purpose) -> Result<Arc<Compiled>, LoadError> {
        let mut known = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = known.get(digest).and_then(Weak::upgrade) {
            return Ok(compiled);
        }
        inspect(bytes, &self.settings.compile)?;
        let component = self.code_of(bytes, digest, purpose)?;
        let wrong_shape = |error: wasmtime::Error| LoadError::WrongShape(error.into_boxed_dyn_error());
        let start = self.linker.instantiate_pre(&component).map_err(wrong_shape)?;
        let exports = PluginIndices::new(&start).map_err(wrong_shape)?;
        let component = Prepared { start, exports };
        let about = About::check(self.describe(&component)?).map_err(LoadError::BadAbout)?;
        let compiled = Arc::new(Compiled { component, about });
        known.retain(|_, compiled| compiled.strong_count() > 0);
        known.insert(digest.to_owned(), Arc::downgrade(&compiled));
        Ok(compiled)
    }

    /// The component's code: kept from before, or compiled now.
    fn code_of(&self, bytes: &[u8], digest: &str, purpose: Purpose) -> Result<Component, LoadError> {
        let name = format!("{digest}-{:016x}", self.code_version());
        let recent = code::take_for_load(&name);
        let kept = self.code.as_ref().and_then(|folder| code::revive(&self.engine, &folder.get(&name)?));
        if let Some(component) = kept {
            return Ok(component);
        }
        let recent = recent.and_then(|code| code::revive(&self.engine, &code));
        let is_new = recent.is_none();
        let component = match recent {
            Some(component) => component,
            None => {
                self.compilations.fetch_add(1, Ordering::Relaxed);
                Component::from_binary(&self.engine, bytes)
                    .map_err(|error| LoadError::NotAComponent(error.into_boxed_dyn_error()))?
            }
        };
        let is_for_load = is_new && purpose == Purpose::Ask;
        if (is_for_load || self.code.is_some())
            && let Ok(code) = component.serialize()
        {
            if let Some(folder) = &self.code
                && let Err(error) = folder.put(&name, &code)
            {
                tracing::warn!(%error, "compiled code could not be kept");
            }
            if is_for_load {
                code::keep_for_load(&name, code);
            }
        }
        Ok(component)
    }

    /// Tells code of other settings, processors and versions apart.
    fn code_version(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    fn describe(&self, component: &Prepared) -> Result<exported::About, LoadError> {
        let birth = Birth {
            engine: &self.engine,
            component,
            limits: &Limits { memory_bytes: self.settings.max_memory_bytes, ..Limits::default() },
            stats: &Arc::default(),
            log: &Arc::new(LogBudget::new("not loaded yet".into(), Limits::default().log_lines_per_second)),
            places: &Arc::new(Places::new(1, 1)),
            service: "",
            deadline: self.settings.describe_deadline,
            tick: self.settings.tick,
        };
        let failed = |Failure { reason, message }| match reason {
            // It was called nothing yet, so that it is not the guest who says so.
            FaultReason::Refused => LoadError::WrongShape(message.into()),
            _ => LoadError::Describe { reason, message },
        };
        Instance::new(&birth)
            .map_err(failed)?
            .describe(self.settings.describe_deadline)
            .map_err(|Failure { reason, message }| LoadError::Describe { reason, message })
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// How many places of the pool each model of a component takes.
fn places_of(component: &Prepared) -> u32 {
    // Not known where it imports modules, which no detector may.
    let needs = component.start.component().resources_required();
    needs.map_or(u32::MAX, |needs| {
        needs.num_memories.div_ceil(MEMORIES_PER_MODEL).max(needs.num_tables.div_ceil(TABLES_PER_MODEL))
    })
}

/// Settings of the engine: equal answers first, then speed.
fn config(settings: &Settings, reservation: u64) -> Config {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(settings.max_models)
        // Only counted: each lies in the heap, and all of one model together in at most a megabyte of it.
        .total_core_instances(settings.max_models.saturating_mul(CORE_INSTANCES))
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES)
        .total_tables(settings.max_models.saturating_mul(TABLES_PER_MODEL))
        .total_memories(settings.max_models.saturating_mul(MEMORIES_PER_MODEL))
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(settings.max_memory_bytes);
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .memory_reservation(reservation)
        // The pool never moves a memory, and code that knows so reads its place and its bound once.
        .memory_may_move(false)
        // A memory's first contents are copied, not mapped: `mappings` says what a mapping more would cost.
        .memory_init_cow(false)
        .max_wasm_stack(WASM_STACK_BYTES)
        .epoch_interruption(!settings.without_deadlines)
        .consume_fuel(false)
        // A guest can tell kinds of processors apart by the bits of a NaN that it computes. To make those equal costs half as much again
        // as everything else a detector does; what leaves a detector is finite anyway.
        .cranelift_nan_canonicalization(false)
        // It is allowed to differ between machines.
        .wasm_relaxed_simd(false);
    config
}
