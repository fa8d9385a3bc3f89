//! Limits from both sides: what is just within passes, what is just beyond does not.

#![expect(clippy::unwrap_used, reason = "these are tests, their helper functions too")]

#[path = "support/allocation.rs"]
mod allocation;
mod support;

use foreshock_engine::verdict::{Detectors, FaultReason};
use foreshock_guests::{answers, assemble, binary, good};
use foreshock_sandbox::{
    CompileLimits, DetectorPool, DetectorSpec, FAULT_REASONS, Limits, LoadError, LoadedDetector, PoolSettings, Sandbox,
    Settings,
};
use std::sync::{
    Arc, Mutex,
    mpsc::{Receiver, Sender, channel},
};
use support::{
    Feed, STEP_NS, health, limits,
    listener::{lines_of, listening},
    load, of, pool, sandbox, spec,
};

#[global_allocator]
static ALLOCATOR: allocation::Watched = allocation::Watched;

const TRIGGER: [(u32, f64); 2] = [(1, 10.0), (2, 2000.0)];

fn with(settings: Settings) -> Arc<Sandbox> {
    Arc::new(Sandbox::new(Settings { max_models: 100, ..settings }).unwrap())
}

fn limited(sandbox: &Sandbox, component: &[u8], limits: Limits) -> Arc<LoadedDetector> {
    Arc::new(sandbox.load(DetectorSpec { limits, ..spec("guest", component, "{}") }).unwrap())
}

/// Has a guest judge one window, and gives the reason for which there is no verdict, if there is none.
fn judged(sandbox: &Arc<Sandbox>, guest: &Arc<LoadedDetector>) -> Option<FaultReason> {
    let mut pool = pool(sandbox, std::slice::from_ref(guest), 60);
    let answers = pool.observe(&Feed::new("cart").window(&TRIGGER));
    let fault = FAULT_REASONS.into_iter().find(|&reason| guest.stats().faults(reason) > 0);
    assert_eq!(answers.is_empty(), fault.is_some(), "{:?}", health(&mut pool));
    fault
}

/// However much memory a guest may have, lists and findings that fill it do not fill the host's: 256 MiB of scores and a million
/// findings lie there, and the host takes a few megabytes at most to find that it is too much.
#[test]
fn lists_of_any_length_cost_the_host_little() {
    let sandbox = with(Settings { max_memory_bytes: 320 << 20, ..Settings::default() });
    let limits = Limits { memory_bytes: 320 << 20, ..limits() };
    let grown = "(if (i32.eq (memory.grow (i32.const 4800)) (i32.const -1)) (then unreachable))";
    let scores = "(i32.store (i32.const 1220) (i32.const 65536)) (i32.store (i32.const 1224) (i32.const 33554432))";
    let findings = "(i32.store (i32.const 1228) (i32.const 65536)) (i32.store (i32.const 1232) (i32.const 1000000))";
    let line = "(call $log (i32.const 1) (i32.const 65536) (i32.const 268435456))";
    for answer in [scores, findings, line] {
        let guest = limited(&sandbox, &assemble(&[("observe", &format!("{grown} {answer}"))]), limits);
        let (fault, allocated) = allocation::rise(|| judged(&sandbox, &guest));
        assert_eq!(fault, Some(FaultReason::BadVerdict), "{answer}");
        assert!(allocated < 8 << 20, "{answer}: {allocated} bytes");
    }
}

/// A stated fault with a text of so many bytes, which the host has to copy.
fn stating(bytes: usize) -> Vec<u8> {
    let code = format!(
        "(drop (memory.grow (i32.const 4))) (i32.store8 (i32.const 1216) (i32.const 1)) (i32.store8 (i32.const 1220) (i32.const 2))
         (i32.store (i32.const 1224) (i32.const 131072)) (i32.store (i32.const 1228) (i32.const {bytes}))"
    );
    assemble(&[("observe", &code)])
}

/// What one call makes the host copy is bounded by `answer_bytes`, to the byte.
#[test]
fn answers_are_bounded_to_the_byte() {
    let sandbox = sandbox();
    let limits = Limits { answer_bytes: 100_000, ..limits() };
    assert_eq!(judged(&sandbox, &limited(&sandbox, &stating(100_000), limits)), Some(FaultReason::Trap));
    assert_eq!(judged(&sandbox, &limited(&sandbox, &stating(100_001), limits)), Some(FaultReason::BadVerdict));
}

/// A detector has as many findings in a verdict as it is configured to, and none more.
#[test]
fn findings_are_bounded() {
    let sandbox = sandbox();
    for (findings, most, fault) in [(3, 3, None), (4, 3, Some(FaultReason::BadVerdict)), (256, 1000, None)] {
        let component =
            answers::verdict(&format!("(call $many (i32.const {findings}) (i32.const 1) (i32.const 0) (i32.const 7))"));
        let guest = limited(&sandbox, &component, Limits { findings: most, ..limits() });
        assert_eq!(judged(&sandbox, &guest), fault, "{findings} findings, {most} allowed");
    }
    let one = limited(&sandbox, &answers::verdict("(call $finding)"), Limits { findings: 0, ..limits() });
    assert_eq!(judged(&sandbox, &one), Some(FaultReason::BadVerdict));
}

/// Memories and tables of a model share one limit: what one of them may still have depends on what the others took.
#[test]
fn memories_and_tables_share_one_limit() {
    let sandbox = sandbox();
    // 2 pages of memory, and then as many as fit beside 20,000 table elements of 8 bytes: 16 of 18 pages' worth of bytes.
    let memory_bytes = 20 * 65_536;
    for (pages, elements, fault) in
        [(18, 0, None), (19, 0, Some(FaultReason::Memory)), (15, 19_999, None), (16, 19_999, Some(FaultReason::Memory))]
    {
        let code = format!(
            "(if (i32.eq (table.grow $table (ref.null func) (i32.const {elements})) (i32.const -1)) (then unreachable))
             (if (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) (then unreachable))"
        );
        // One element is there from the beginning, and a few that lead calls in and out.
        let limits = Limits { memory_bytes: memory_bytes + 64, ..limits() };
        let guest = limited(&sandbox, &assemble(&[("observe", &code)]), limits);
        assert_eq!(judged(&sandbox, &guest), fault, "{pages} pages, {elements} elements");
    }
}

/// A guest's recursion ends with its own share of the thread's stack, which leaves the host enough to go on with.
#[test]
fn recursion_leaves_the_host_its_stack() {
    let sandbox = sandbox();
    let guest = load(&sandbox, "guest", &foreshock_guests::named("endless recursion in observe").component(), "{}");
    let thread = std::thread::Builder::new().stack_size(640 << 10);
    let fault = thread.spawn(move || judged(&sandbox, &guest)).unwrap().join().unwrap();
    assert_eq!(fault, Some(FaultReason::Trap));
}

/// A detector writes as many lines as it may, each one line of at most 1,024 bytes without anything that could pass for another's;
/// the rest is counted. It may be forbidden to write at all.
#[test]
fn log_lines_are_few_short_and_clean() {
    let sandbox = sandbox();
    let component = foreshock_guests::named("log flood in observe").component();
    for (log_lines_per_second, least, most) in [(0, 0, 0), (1, 10, 20), (5, 50, 60)] {
        let guest = limited(&sandbox, &component, Limits { log_lines_per_second, ..limits() });
        let (fault, lines) = lines_of(|| judged(&sandbox, &guest));
        assert_eq!(fault, None);
        // Ten seconds' worth at once; on a slow machine some more, as time passes.
        assert!((least..=most).contains(&lines.len()), "{} lines at {log_lines_per_second} a second", lines.len());
        assert_eq!(guest.stats().log_lines_left_out(), 3000 - lines.len() as u64);
        assert!(lines.iter().all(|line| line == "one two three\u{fffd}[31mred\u{fffd}"), "{lines:?}");
    }
    let long = "(memory.fill (i32.const 8192) (i32.const 97) (i32.const 2000)) (call $log (i32.const 0) (i32.const 8192) (i32.const 2000))";
    let guest = limited(&sandbox, &assemble(&[("observe", long)]), limits());
    assert_eq!(lines_of(|| judged(&sandbox, &guest)).1, ["a".repeat(1024)]);
}

/// What is given to the compiler, which nothing can stop, is bounded in every way that it grows with.
#[test]
fn compiling_is_bounded_in_every_way() {
    let load = |component: &[u8], compile: CompileLimits| {
        let sandbox = with(Settings { compile, ..Settings::default() });
        sandbox.load(spec("guest", component, "{}")).map(drop)
    };
    let too_large = |what: &'static str| move |error: &LoadError| matches!(error, LoadError::TooLarge { what: found, .. } if *found == what);
    // Whether it is compiled, and then refused for having no exports, or not even compiled.
    let boundary = |component: &[u8], within: CompileLimits, beyond: CompileLimits, what| {
        let refused = load(component, within).unwrap_err();
        assert!(matches!(refused, LoadError::WrongShape(_)), "{what}: {refused:?}");
        let refused = load(component, beyond).unwrap_err();
        assert!(too_large(what)(&refused), "{what}: {refused:?}");
    };
    let usual = CompileLimits::default;
    let five = binary::around(&binary::module(5, &[0, 0x01, 0x01, 0x0b]));
    let bytes = |component_bytes| CompileLimits { component_bytes, ..usual() };
    boundary(&five, bytes(five.len()), bytes(five.len() - 1), "bytes");
    let functions = |functions| CompileLimits { functions, ..usual() };
    boundary(&five, functions(5), functions(4), "functions");
    let function_bytes = |function_bytes| CompileLimits { function_bytes, ..usual() };
    boundary(&five, function_bytes(4), function_bytes(3), "bytes in one function");
    // 4 levels of 2: 16 core instances and 31 components.
    let instances = |instances| CompileLimits { instances, ..usual() };
    boundary(&binary::nest(4, 2), instances(47), instances(46), "instances");
    // 3 loops and 3 branches, which count 2, 3 and 4 times for the loops around; 4 variables.
    let looping = binary::around(&binary::module(2, &binary::loops(3, 4)));
    let variables = |function_variables| CompileLimits { function_variables, ..usual() };
    boundary(&looping, variables(4), variables(3), "variables in one function");
    let function_flow = |function_flow| CompileLimits { function_flow, ..usual() };
    boundary(&looping, function_flow(72), function_flow(71), "variables times branches in one function");
    let flow = |flow| CompileLimits { flow, ..usual() };
    boundary(&looping, flow(144), flow(143), "variables times branches");
    assert!(load(&good(), usual()).is_ok());
}

/// A component with many memories takes the room of many models, and takes it from its own: a neighbour gets a model for every
/// service, although the greedy one has more services than it has room for.
#[test]
fn a_greedy_detector_leaves_its_neighbours_their_room() {
    let settings = Settings { max_models: 12, models_per_detector: 6, ..Settings::default() };
    let sandbox = Arc::new(Sandbox::new(settings).unwrap());
    let greedy = foreshock_guests::named("three small memories").component();
    let greedy = Arc::new(sandbox.load(spec("greedy", &greedy, "{}")).unwrap());
    let modest = Arc::new(sandbox.load(spec("modest", &good(), "{}")).unwrap());
    let settings = PoolSettings::new(STEP_NS);
    let mut pool = DetectorPool::new(Arc::clone(&sandbox), vec![Arc::clone(&greedy), modest], settings);
    for service in 0..6 {
        let answers = pool.observe(&Feed::new(&format!("service-{service}")).window(&[(1, 1.0)]));
        assert!(of(&answers, "modest").is_some(), "service {service}");
        assert_eq!(of(&answers, "greedy").is_some(), service < 1, "service {service}");
    }
    assert_eq!(greedy.stats().faults(FaultReason::Memory), 5);
    // Room that is given back can be used again.
    pool.forget(&Feed::new("service-0").service);
    let answers = pool.observe(&Feed::new("another").window(&[(1, 1.0)]));
    assert!(of(&answers, "greedy").is_some() && of(&answers, "modest").is_some());
}

/// Faults are told apart by service, and the change of a detector's health names the service too.
#[test]
fn faults_are_told_apart_by_service() {
    let sandbox = sandbox();
    let guest = load(&sandbox, "guest", &foreshock_guests::named("unreachable in observe").component(), "{}");
    let mut pool = pool(&sandbox, std::slice::from_ref(&guest), 60);
    let (mut cart, mut payment) = (Feed::new("cart"), Feed::new("payment"));
    pool.observe(&cart.window(&TRIGGER));
    pool.observe(&payment.window(&[(1, 1.0)]));
    let faults = |feed: &Feed| guest.stats().faults_in(&feed.service).collect::<Vec<_>>();
    assert_eq!((faults(&cart), faults(&payment)), (vec![(FaultReason::Trap, 1)], vec![]));
    let told = health(&mut pool);
    assert_eq!(told.iter().map(|health| &health.service).collect::<Vec<_>>(), [&cart.service]);
    pool.forget(&cart.service);
    assert_eq!(faults(&cart), []);
}

/// A detector that is replaced while a model of it is being called answers that call as it would have: what runs keeps what it runs
/// on, and the new one begins beside it.
#[test]
fn replacement_during_a_call_does_not_touch_it() {
    let sandbox = sandbox();
    let line = "(call $log (i32.const 1) (i32.const 336) (i32.const 3))";
    let old = load(&sandbox, "guest", &assemble(&[("observe", line)]), "{}");
    let mut running = pool(&sandbox, std::slice::from_ref(&old), 60);
    let (is_in, wait_for_it): (Sender<()>, Receiver<()>) = channel();
    let (go_on, wait_to_go_on): (Sender<()>, Receiver<()>) = channel();
    let wait_to_go_on = Mutex::new(wait_to_go_on);
    let call = std::thread::spawn(move || {
        let wait = move |_line| {
            is_in.send(()).unwrap();
            wait_to_go_on.lock().unwrap().recv().unwrap();
        };
        listening(wait, || running.observe(&Feed::new("cart").window(&TRIGGER)))
    });
    wait_for_it.recv().unwrap();
    drop(old);
    let new = load(&sandbox, "guest", &good(), "{}");
    assert_eq!(judged(&sandbox, &new), None);
    drop((new, sandbox));
    go_on.send(()).unwrap();
    let answers = call.join().unwrap();
    assert_eq!(of(&answers, "guest").unwrap().scores, [(1, 1.0), (2, 1.0)]);
}
