//! Every hostile guest meets its fate: it is refused, or it costs its own findings, and its neighbours notice nothing.

#![expect(clippy::unwrap_used, reason = "these are tests, their helper functions too")]

#[path = "support/allocation.rs"]
mod allocation;
mod support;

use cpu_time::ThreadTime;
use foreshock_engine::{
    verdict::{Detector, Detectors, FaultReason, Verdict},
    window::ClosedWindow,
};
use foreshock_guests::{Fate, Guest, Refusal, random::Random};
use foreshock_sandbox::{
    DetectorSpec, FAULT_REASONS, Limits, LoadError, LoadedDetector, PoolSettings, Sandbox, Settings,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};
use support::{Feed, STEP_NS, health, load, of, spec};

#[global_allocator]
static ALLOCATOR: allocation::Watched = allocation::Watched;

const WINDOWS: usize = 12;
/// The window that guests act in, where they wait for one.
const ACT: usize = 5;
/// Processor time for one guest, with its neighbours and all its deadlines. The longest ones need about a second.
const MOST_TIME: Duration = Duration::from_secs(30);
/// What a guest may make the host allocate at once: states of 8 MiB of two services, a third that is read, and what neighbours need.
const MOST_ALLOCATED: usize = 32 << 20;

/// Windows of two services, in one of which there is the value that guests wait for.
fn windows() -> Vec<ClosedWindow> {
    let (mut cart, mut payment) = (Feed::new("cart"), Feed::new("payment"));
    let rows = |window: usize| [(1, 10.0 + (window % 3) as f64), (2, if window == ACT { 2000.0 } else { 20.0 })];
    (1..=WINDOWS).flat_map(|window| [payment.window(&[(1, 10.0), (2, 20.0)]), cart.window(&rows(window))]).collect()
}

/// Every bit of what the neighbours of the guest answer.
fn without_guest(answers: &[(Arc<Detector>, Verdict)]) -> String {
    let all = answers.iter().filter(|(detector, _)| &*detector.name != "guest");
    all.map(|(detector, verdict)| format!("{}: {verdict:?}\n", detector.name)).collect()
}

/// Two good detectors between which each guest stands, and what they answer without it.
struct Stage {
    sandbox: Arc<Sandbox>,
    neighbours: [Arc<LoadedDetector>; 2],
    windows: Vec<ClosedWindow>,
    expected: Vec<String>,
}

impl Stage {
    fn new() -> Self {
        let describe_deadline = Duration::from_millis(200);
        let settings = Settings { max_models: 100, describe_deadline, ..Settings::default() };
        let sandbox = Arc::new(Sandbox::new(settings).unwrap());
        let neighbours = ["baseline", "shift"].map(|name| {
            let limits = Limits { deadline: Duration::from_secs(10), ..Limits::default() };
            let component = foreshock_builtin::component(name).unwrap();
            Arc::new(sandbox.load(DetectorSpec { limits, ..spec(name, component, "{}") }).unwrap())
        });
        let windows = windows();
        let mut stage = Self { sandbox, neighbours, windows, expected: Vec::new() };
        let mut alone = stage.pool(&stage.neighbours);
        stage.expected = stage.windows.iter().map(|window| without_guest(&alone.observe(window))).collect();
        stage
    }

    fn pool(&self, detectors: &[Arc<LoadedDetector>]) -> foreshock_sandbox::DetectorPool {
        let settings = PoolSettings { snapshot_every: 3, ..PoolSettings::new(STEP_NS) };
        foreshock_sandbox::DetectorPool::new(Arc::clone(&self.sandbox), detectors.to_vec(), settings)
    }

    /// Loads a guest, lets it do what it does, and says what is not as it must be.
    fn play(&self, guest: &Guest) -> Result<(), String> {
        let waits = matches!(&guest.fate, Fate::Faults { reasons, .. } if reasons.contains(&FaultReason::Deadline));
        let deadline = if waits { Duration::from_millis(10) } else { Duration::from_secs(2) };
        let loaded = self.load(&guest.component(), deadline);
        let guest_detector = match (&guest.fate, loaded) {
            (Fate::Refused(expected), Err(refusal)) if *expected == refusal => return Ok(()),
            (fate, Err(refusal)) => return Err(format!("is refused ({refusal:?}), but should be {fate:?}")),
            (Fate::Refused(expected), Ok(_)) => return Err(format!("is loaded, but should be refused: {expected:?}")),
            (_, Ok(loaded)) => loaded,
        };
        let told = self.run(&guest_detector)?;
        let stats = guest_detector.stats();
        let (reasons, recovers) = match &guest.fate {
            Fate::Faults { reasons, recovers } => (&reasons[..], *recovers),
            _ => (&[][..], true),
        };
        for reason in FAULT_REASONS {
            let faults = stats.faults(reason);
            if (faults > 0) != reasons.contains(&reason) {
                return Err(format!("has {faults} faults `{}`; told: {:?}", reason.name(), told.messages));
            }
        }
        if told.answers_at_end != recovers {
            return Err(format!("answers in the end: {}; told: {:?}", told.answers_at_end, told.messages));
        }
        if reasons.is_empty() != told.messages.is_empty() {
            return Err(format!("tells of its health: {:?}", told.messages));
        }
        Ok(())
    }

    fn load(&self, component: &[u8], deadline: Duration) -> Result<Arc<LoadedDetector>, Refusal> {
        let limits = Limits { deadline, ..Limits::default() };
        let spec = DetectorSpec { limits, ..spec("guest", component, "{}") };
        self.sandbox.load(spec).map(Arc::new).map_err(|error| match error {
            LoadError::NotAComponent(_) => Refusal::NotAComponent,
            LoadError::CoreModule => Refusal::CoreModule,
            LoadError::TooLarge { .. } => Refusal::TooLarge,
            LoadError::OtherContract { .. } => Refusal::OtherContract,
            LoadError::UnknownImport { .. } => Refusal::UnknownImport,
            LoadError::WrongShape(_) => Refusal::WrongShape,
            LoadError::Describe { reason, .. } => Refusal::Describe(reason),
            LoadError::BadAbout(_) => Refusal::BadAbout,
            other => panic!("{other}"),
        })
    }

    /// Runs a guest between its neighbours, and says what went beyond its bounds.
    fn run(&self, guest: &Arc<LoadedDetector>) -> Result<Told, String> {
        let [first, last] = self.neighbours.clone();
        let mut pool = self.pool(&[first, Arc::clone(guest), last]);
        let began = ThreadTime::now();
        let mut told = Told::default();
        let (played, allocated) = allocation::rise(|| {
            for (number, (window, expected)) in self.windows.iter().zip(&self.expected).enumerate() {
                let answers = pool.observe(window);
                let found = without_guest(&answers);
                if found != *expected {
                    return Err(format!("changes its neighbours in window {number}: {found} instead of {expected}"));
                }
                let (models, bytes) = (guest.stats().models(), guest.stats().memory_bytes());
                if models > 2 || bytes > models * (16 << 20) {
                    return Err(format!("has {models} models with {bytes} bytes in window {number}"));
                }
                told.answers_at_end = of(&answers, "guest").is_some();
            }
            Ok(())
        });
        played?;
        told.messages = health(&mut pool).into_iter().map(|health| (health.reason, health.message)).collect();
        if allocated > MOST_ALLOCATED {
            return Err(format!("makes the host allocate {allocated} bytes"));
        }
        if began.elapsed() > MOST_TIME {
            return Err(format!("takes {:?}", began.elapsed()));
        }
        drop(pool);
        let (models, bytes) = (guest.stats().models(), guest.stats().memory_bytes());
        if models > 0 || bytes > 0 {
            return Err(format!("leaves {models} models with {bytes} bytes"));
        }
        Ok(told)
    }
}

/// What was heard of a guest.
#[derive(Default)]
struct Told {
    answers_at_end: bool,
    messages: Vec<(Option<FaultReason>, String)>,
}

/// Does something for each of many, on as many threads as there are processors, and says which of them failed.
fn each<T: Sync>(many: &[T], name: impl Fn(&T) -> String + Sync, work: impl Fn(&T) -> Result<(), String> + Sync) {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(one) = many.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let done = catch_unwind(AssertUnwindSafe(|| work(one)));
                    if let Err(why) = done.unwrap_or_else(|_| Err("makes the host panic".to_owned())) {
                        failed.lock().unwrap().push(format!("{}: {why}", name(one)));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), many.len(), failed.join("\n"));
}

/// Protects the process, the neighbours and the counters from every guest there is, at every entry point: what is no detector is
/// refused for the right reason; what misbehaves is counted under the right reason, says so in its health, leaves nothing
/// behind, and answers again if it can; and the neighbours of all of them answer to the bit what they answer alone.
#[test]
fn every_guest_meets_its_fate() {
    let stage = Stage::new();
    let guests = foreshock_guests::all();
    assert!(guests.len() > 350, "only {} guests", guests.len());
    each(&guests, |guest| guest.name.clone(), |guest| stage.play(guest));
}

/// Protects the process and the neighbours from components that nobody wrote: bytes of a good one are changed at random, and
/// whatever comes of that is refused or bounded like any guest.
#[test]
fn no_changed_byte_does_harm() {
    let stage = Stage::new();
    let good = foreshock_guests::good();
    let seeds: Vec<u64> = (0..400).collect();
    let run = |seed: &u64| {
        let mut random = Random::new(*seed);
        let mut below = |limit: usize| random.below(limit as u64) as usize;
        let mut component = good.clone();
        for _ in 0..=below(3) {
            // Behind the preamble, or it would be no component at all.
            let at = 8 + below(component.len() - 8);
            component[at] = below(256) as u8;
        }
        match stage.load(&component, Duration::from_millis(10)) {
            Ok(guest) => stage.run(&guest).map(drop),
            Err(_) => Ok(()),
        }
    };
    each(&seeds, |seed| format!("seed {seed}"), run);
}

/// Protects whoever changes the guests: the one that all others are made of behaves, so that what is wrong with another is what was
/// put into it.
#[test]
fn the_good_guest_behaves() {
    let stage = Stage::new();
    let guest = load(&stage.sandbox, "guest", &foreshock_guests::good(), "{}");
    let mut pool = stage.pool(std::slice::from_ref(&guest));
    for (number, window) in stage.windows.iter().enumerate() {
        let answers = pool.observe(window);
        let score = (number / 2 + 1) as f64;
        assert_eq!(of(&answers, "guest").unwrap().scores, [(1, score), (2, score)]);
    }
    assert!(health(&mut pool).is_empty());
}
