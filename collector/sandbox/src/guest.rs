//! One model in a store of its own, and what becomes of its calls.

use crate::{
    bindings::{
        Plugin, PluginIndices,
        exports::foreshock::detector::detector as exported,
        foreshock::detector::{host, types},
    },
    deadline::Deadline,
    detector::LogBudget,
    places::{Places, Taken},
    settings::Limits,
    stats::Stats,
    text::clean,
};
use foreshock_engine::verdict::FaultReason;
use std::{sync::Arc, time::Duration};
use tracing::Level;
use wasmtime::{
    Engine, ResourceLimiter, Store, StoreContextMut, Trap, UpdateDeadline,
    component::{InstancePre, ResourceAny},
};

/// Handles that a guest may hold: one model, and room for a runtime's own.
const HANDLES: usize = 256;
/// A component is several core instances: the module itself, and those that lead its calls in and out.
pub(crate) const CORE_INSTANCES: u32 = 64;
const CORE_TABLES: usize = 32;
const CORE_MEMORIES: usize = 8;
const LONGEST_LOG_LINE: usize = 1024;
const LONGEST_MESSAGE: usize = 256;

/// Why a call gave no answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) reason: FaultReason,
    pub(crate) message: String,
}

/// A component that only has to be instantiated.
#[derive(Clone)]
pub(crate) struct Prepared {
    /// Makes instances.
    pub(crate) start: InstancePre<GuestState>,
    /// Where in an instance the contract's functions are.
    pub(crate) exports: PluginIndices,
}

/// What a model is made with.
pub(crate) struct Birth<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) component: &'a Prepared,
    pub(crate) limits: &'a Limits,
    pub(crate) stats: &'a Arc<Stats>,
    pub(crate) log: &'a Arc<LogBudget>,
    pub(crate) places: &'a Arc<Places>,
    /// For the log only.
    pub(crate) service: &'a str,
    /// For making the instance.
    pub(crate) deadline: Duration,
    /// How often deadlines are looked at.
    pub(crate) tick: Duration,
}

/// An instance of a component, without a model yet.
pub(crate) struct Instance {
    store: Store<GuestState>,
    plugin: Plugin,
    tick: Duration,
    answer_bytes: usize,
    state_bytes: usize,
}

/// An instance with a model.
pub(crate) struct Model {
    instance: Instance,
    model: ResourceAny,
}

/// The host's side of one store.
pub(crate) struct GuestState {
    memory_limit: usize,
    memory_bytes: usize,
    last_growth: usize,
    /// Set when memory was refused since the call began.
    memory_refused: bool,
    /// Of the call that is under way.
    deadline: Deadline,
    stats: Arc<Stats>,
    log: Arc<LogBudget>,
    service: String,
    _places: Taken,
}

// === impl Instance ===

impl Instance {
    pub(crate) fn new(birth: &Birth<'_>) -> Result<Self, Failure> {
        let Some(places) = birth.places.take() else {
            let message = "this detector has as many models as it may have".to_owned();
            return Err(Failure { reason: FaultReason::Memory, message });
        };
        birth.stats.add_model();
        let state = GuestState {
            memory_limit: birth.limits.memory_bytes,
            memory_bytes: 0,
            last_growth: 0,
            memory_refused: false,
            deadline: Deadline::new(birth.deadline, birth.tick),
            stats: Arc::clone(birth.stats),
            log: Arc::clone(birth.log),
            service: birth.service.to_owned(),
            _places: places,
        };
        let mut store = Store::new(birth.engine, state);
        store.limiter(|state| state);
        store.set_hostcall_fuel(birth.limits.answer_bytes);
        store.set_max_component_handles(HANDLES);
        store.epoch_deadline_callback(at_tick);
        store.set_epoch_deadline(1);
        let instance =
            birth.component.start.instantiate(&mut store).map_err(|error| match error.downcast_ref::<Trap>() {
                Some(_) => failure(&error, store.data()),
                // Only the allocator's limits, not the guest's code, fail here without a trap.
                None => Failure { reason: FaultReason::Memory, message: message_of(&error) },
            })?;
        let plugin = birth.component.exports.load(&mut store, &instance);
        let other_types = |error| Failure { reason: FaultReason::Refused, message: message_of(&error) };
        let Limits { answer_bytes, state_bytes, .. } = *birth.limits;
        Ok(Self { plugin: plugin.map_err(other_types)?, store, tick: birth.tick, answer_bytes, state_bytes })
    }

    pub(crate) fn describe(&mut self, deadline: Duration) -> Result<exported::About, Failure> {
        self.begin(deadline, self.answer_bytes);
        let guest = self.plugin.foreshock_detector_detector();
        guest.call_describe(&mut self.store).map_err(|error| failure(&error, self.store.data()))
    }

    pub(crate) fn open(
        mut self,
        deadline: Duration,
        setup: exported::Setup<'_>,
        saved: Option<exported::StateParam<'_>>,
    ) -> Result<Model, Failure> {
        self.begin(deadline, self.answer_bytes);
        let guest = self.plugin.foreshock_detector_detector().model();
        match guest.call_open(&mut self.store, setup, saved) {
            Ok(Ok(model)) => Ok(Model { instance: self, model }),
            Ok(Err(fault)) => Err(fault.into()),
            Err(error) => Err(failure(&error, self.store.data())),
        }
    }

    fn begin(&mut self, deadline: Duration, answer_bytes: usize) {
        let state = self.store.data_mut();
        state.memory_refused = false;
        state.deadline = Deadline::new(deadline, self.tick);
        self.store.set_epoch_deadline(1);
        self.store.set_hostcall_fuel(answer_bytes);
    }
}

// === impl Model ===

impl Model {
    pub(crate) fn observe(&mut self, deadline: Duration, window: types::Window<'_>) -> Result<types::Verdict, Failure> {
        self.instance.begin(deadline, self.instance.answer_bytes);
        let Instance { store, plugin, .. } = &mut self.instance;
        match plugin.foreshock_detector_detector().model().call_observe(&mut *store, self.model, window) {
            Ok(Ok(verdict)) => Ok(verdict),
            Ok(Err(fault)) => Err(fault.into()),
            Err(error) => Err(failure(&error, store.data())),
        }
    }

    pub(crate) fn snapshot(&mut self, deadline: Duration) -> Result<types::StateResult, Failure> {
        self.instance.begin(deadline, self.instance.state_bytes);
        let Instance { store, plugin, .. } = &mut self.instance;
        match plugin.foreshock_detector_detector().model().call_snapshot(&mut *store, self.model) {
            Ok(Ok(state)) => Ok(state),
            Ok(Err(fault)) => Err(fault.into()),
            Err(error) => Err(failure(&error, store.data())),
        }
    }
}

/// What wasmtime calls when a guest still runs at a tick that it was to be asked at.
#[expect(clippy::unnecessary_wraps, reason = "wasmtime says what this must look like")]
fn at_tick(mut store: StoreContextMut<'_, GuestState>) -> wasmtime::Result<UpdateDeadline> {
    Ok(store.data_mut().deadline.ticks_left().map_or(UpdateDeadline::Interrupt, UpdateDeadline::Continue))
}

// === impl GuestState ===

impl GuestState {
    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let growth = desired.saturating_sub(current);
        if self.memory_bytes.saturating_add(growth) > self.memory_limit {
            self.memory_refused = true;
            self.last_growth = 0;
            return false;
        }
        self.memory_bytes += growth;
        self.last_growth = growth;
        self.stats.add_memory(growth);
        true
    }

    fn undo_growth(&mut self) {
        self.memory_refused = true;
        self.memory_bytes -= self.last_growth;
        self.stats.remove_memory(self.last_growth);
        self.last_growth = 0;
    }
}

impl Drop for GuestState {
    fn drop(&mut self) {
        self.stats.remove_model(self.memory_bytes);
    }
}

/// One limit for all memories and tables of a store together.
impl ResourceLimiter for GuestState {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo_growth();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = |elements: usize| elements.saturating_mul(size_of::<usize>());
        Ok(self.grow(bytes(current), bytes(desired)))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo_growth();
        Ok(())
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        CORE_TABLES
    }

    fn memories(&self) -> usize {
        CORE_MEMORIES
    }
}

impl types::Host for GuestState {}

impl host::Host for GuestState {
    fn log(&mut self, at: host::Level, message: String) -> wasmtime::Result<()> {
        if !self.log.take() {
            self.stats.add_log_line_left_out();
            return Ok(());
        }
        let (detector, service) = (self.log.detector(), &self.service);
        let line = clean(&message, LONGEST_LOG_LINE);
        match at {
            host::Level::Debug => tracing::event!(target: "detector", Level::DEBUG, detector, service, "{line}"),
            host::Level::Info => tracing::event!(target: "detector", Level::INFO, detector, service, "{line}"),
            host::Level::Warn => tracing::event!(target: "detector", Level::WARN, detector, service, "{line}"),
            host::Level::Error => tracing::event!(target: "detector", Level::ERROR, detector, service, "{line}"),
        }
        Ok(())
    }
}

// === impl Failure ===

impl From<types::Fault> for Failure {
    fn from(fault: types::Fault) -> Self {
        let (reason, message) = match fault {
            types::Fault::BadConfig(why) => (FaultReason::Refused, why),
            types::Fault::BadState(why) => (FaultReason::BadState, why),
            types::Fault::Internal(why) => (FaultReason::Trap, why),
        };
        Self { reason, message: clean(&message, LONGEST_MESSAGE) }
    }
}

/// Says which promise a failed call broke.
fn failure(error: &wasmtime::Error, state: &GuestState) -> Failure {
    let reason = match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => FaultReason::Deadline,
        // A guest that is refused memory usually gives up with `unreachable`.
        Some(_) if state.memory_refused => FaultReason::Memory,
        // An answer that does not even have the shape of one.
        Some(
            Trap::InvalidChar
            | Trap::StringOutOfBounds
            | Trap::ListOutOfBounds
            | Trap::InvalidDiscriminant
            | Trap::UnalignedPointer,
        )
        | None => FaultReason::BadVerdict,
        Some(_) => FaultReason::Trap,
    };
    Failure { reason, message: message_of(error) }
}

fn message_of(error: &wasmtime::Error) -> String {
    // The outer messages are the backtrace of a guest whose names were stripped.
    clean(&error.root_cause().to_string(), LONGEST_MESSAGE)
}
