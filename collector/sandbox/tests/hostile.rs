//! Detectors can't hurt: each way in which a guest can misbehave costs its own findings and nothing else.

#![expect(clippy::unwrap_used, reason = "these are tests, their helper functions too")]

mod support;

use foreshock_engine::verdict::{Detectors, FaultReason};
use foreshock_sandbox::{DetectorSpec, FAULT_REASONS, Limits, LoadError};
use std::time::Duration;
use support::{Feed, chaos, health, listener::listening, load, of, pool, sandbox, spec};

const GOOD: [(u32, f64); 2] = [(1, 10.0), (2, 20.0)];
const TRIGGER: [(u32, f64); 2] = [(1, 10.0), (2, 2000.0)];

/// Lets one detector misbehave in the fifth window of twelve, between two neighbours and beside a second service, and checks
/// that the neighbours' answers do not differ from those that they give alone, that the fault is counted once under `reason`,
/// and that the detector comes back with what it had learned up to its last snapshot, after the third window.
///
/// `lost` is the window whose verdict is lost.
fn misbehaves(act: &str, reason: FaultReason, lost: usize) {
    let sandbox = sandbox();
    let hostile = chaos(&sandbox, "hostile", act);
    let first = chaos(&sandbox, "first", "nothing");
    let last = chaos(&sandbox, "last", "nothing");
    let mut tried = pool(&sandbox, &[first.clone(), hostile.clone(), last.clone()], 3);
    let mut reference = pool(&sandbox, &[first, last], 3);
    let (mut cart, mut payment) = (Feed::new("cart"), Feed::new("payment"));

    for window in 1..=12 {
        let quiet = payment.window(&GOOD);
        let expected = reference.observe(&quiet);
        let mut answers = tried.observe(&quiet);
        assert!(of(&answers, "hostile").is_some(), "the other service's model must go on ({act}, window {window})");
        answers.retain(|(detector, _)| &*detector.name != "hostile");
        assert_eq!(answers, expected, "{act}, window {window}");

        let closed = cart.window(if window == 5 { &TRIGGER } else { &GOOD });
        let expected = reference.observe(&closed);
        let mut answers = tried.observe(&closed);
        let score = of(&answers, "hostile").map(|verdict| verdict.scores[0].1);
        match window {
            _ if window < lost => assert_eq!(score, Some(window as f64), "{act}, window {window}"),
            _ if window == lost => assert_eq!(score, None, "{act}, window {window}"),
            // Three windows were in the snapshot; those up to the fault are forgotten.
            _ => assert_eq!(score, Some((3 + window - lost) as f64), "{act}, window {window}"),
        }
        answers.retain(|(detector, _)| &*detector.name != "hostile");
        assert_eq!(answers, expected, "{act}, window {window}");
    }

    for counted in FAULT_REASONS {
        assert_eq!(hostile.stats().faults(counted), u64::from(counted == reason), "{act}: {}", counted.name());
    }
    let told: Vec<_> = health(&mut tried).into_iter().map(|health| (health.service, health.reason)).collect();
    assert_eq!(told, [(cart.service.clone(), Some(reason)), (cart.service, None)], "{act}");
}

/// A guest that never returns is stopped by its deadline.
#[test]
fn endless_loop() {
    misbehaves("loop", FaultReason::Deadline, 5);
}

/// A trapped store is dropped and replaced, never called again.
#[test]
fn trap() {
    misbehaves("trap", FaultReason::Trap, 5);
}

/// A guest that says that it can't go on is treated as if it had trapped.
#[test]
fn stated_fault() {
    misbehaves("fault", FaultReason::Trap, 5);
}

/// A guest gets no more memory than its limit.
#[test]
fn memory_bomb() {
    misbehaves("memory", FaultReason::Memory, 5);
}

/// A guest's recursion ends at the end of its own stack, not of the shard's.
#[test]
fn endless_recursion() {
    misbehaves("recursion", FaultReason::Trap, 5);
}

/// Every number that breaks the contract makes the verdict a fault, and none reaches the engine.
#[test]
fn verdicts_that_lie() {
    for act in [
        "wrong-length",
        "infinite-score",
        "large-score",
        "unknown-id",
        "repeated-id",
        "no-id",
        "bad-kind",
        "infinite-observed",
        "crossed-bounds",
        "backward-forecast",
        "long-summary",
        "much-evidence",
        "flood",
    ] {
        misbehaves(act, FaultReason::BadVerdict, 5);
    }
}

/// What a guest makes the host allocate is bounded.
#[test]
fn huge_answers() {
    misbehaves("huge-verdict", FaultReason::BadVerdict, 5);
}

/// A guest that fails while its state is saved keeps its verdict, and goes on from the snapshot before.
#[test]
fn failing_snapshots() {
    // Window 6 is judged and then saved; window 7 comes after the wait of one second, so no verdict is lost.
    let sandbox = sandbox();
    for (act, reason) in [("trap-in-snapshot", FaultReason::Trap), ("huge-snapshot", FaultReason::BadVerdict)] {
        let hostile = chaos(&sandbox, act, act);
        let mut pool = pool(&sandbox, std::slice::from_ref(&hostile), 3);
        let mut feed = Feed::new("cart");
        let scores: Vec<_> = (1..=8)
            .map(|window| {
                let answers = pool.observe(&feed.window(if window == 5 { &TRIGGER } else { &GOOD }));
                of(&answers, act).map(|verdict| verdict.scores[0].1)
            })
            .collect();
        assert_eq!(scores, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 4.0, 5.0].map(Some), "{act}");
        assert_eq!(hostile.stats().faults(reason), 1, "{act}");
    }
}

/// A detector that fails again and again is paused, told of twice and not more, and gets one trial with a fresh model.
#[test]
fn the_circuit_opens_and_closes() {
    let sandbox = sandbox();
    let hostile = chaos(&sandbox, "hostile", "trap");
    let mut pool = pool(&sandbox, std::slice::from_ref(&hostile), 2);
    let mut feed = Feed::new("cart");
    for _ in 0..3 {
        pool.observe(&feed.window(&GOOD));
    }
    // Waits of 1, 2, 4 and 8 seconds are over when the next window closes; the fifth fault opens the circuit.
    for window in 0..60 {
        assert!(pool.observe(&feed.window(&TRIGGER)).is_empty());
        assert_eq!(hostile.stats().faults(FaultReason::Trap), (window + 1).min(5));
    }
    assert_eq!(hostile.stats().models(), 0);
    let told = health(&mut pool);
    assert_eq!(told.len(), 2);
    assert!(
        told[0].message.contains("it goes on from its last good state at 2026-01-05T00:00:41Z"),
        "{}",
        told[0].message
    );
    assert!(told[1].message.contains("one more try with a fresh model at 2026-01-05T00:11:20Z"), "{}", told[1].message);

    // The circuit opened at 80 s, so the window that ends at 680 s is the first to be tried.
    feed.skip(3);
    assert!(pool.observe(&feed.window(&GOOD)).is_empty());
    let answers = pool.observe(&feed.window(&GOOD));
    assert_eq!(of(&answers, "hostile").unwrap().scores, [(1, 1.0), (2, 1.0)], "a fresh model");
    assert_eq!(health(&mut pool).iter().map(|health| health.reason).collect::<Vec<_>>(), [None]);
}

/// Texts of a guest reach people without what could break a line, colour a terminal or turn its direction.
#[test]
fn texts_are_cleaned() {
    let sandbox = sandbox();
    let mut pool = pool(&sandbox, &[chaos(&sandbox, "hostile", "control-characters")], 60);
    let answers = pool.observe(&Feed::new("cart").window(&TRIGGER));
    let finding = &of(&answers, "hostile").unwrap().findings[0];
    assert_eq!(finding.summary, "line break \u{fffd}[31m\u{fffd}red");
    assert_eq!(finding.evidence, [("ke y".to_owned(), "va\u{fffd}lue".to_owned())]);
}

/// A detector can't flood Foreshock's log, and the flood does not cost it its verdict.
#[test]
fn log_lines_are_limited() {
    let sandbox = sandbox();
    let hostile = chaos(&sandbox, "hostile", "log-flood");
    let mut pool = pool(&sandbox, std::slice::from_ref(&hostile), 60);
    assert_eq!(pool.observe(&Feed::new("cart").window(&TRIGGER)).len(), 1);
    assert!(hostile.stats().log_lines_left_out() > 9_000);
}

/// Components that can't be detectors are refused with a reason that helps.
#[test]
fn what_is_no_detector_is_refused() {
    let sandbox = sandbox();
    let refused = |component: &[u8]| sandbox.load(spec("x", component, "{}")).unwrap_err();

    // (component): the preamble alone.
    let empty = b"\0asm\x0d\0\x01\0";
    assert!(matches!(refused(empty), LoadError::WrongShape(_)));
    // (component (type (func)) (import "steal" (func (type 0)))), after Binary.md of the component model.
    let steals = [&empty[..], b"\x07\x05\x01\x40\x00\x01\x00", b"\x0a\x0a\x01\x00\x05steal\x01\x00"].concat();
    assert!(matches!(refused(&steals), LoadError::UnknownImport { import } if import == "steal"));
    // (module): the preamble of a core module.
    assert!(matches!(refused(b"\0asm\x01\0\0\0"), LoadError::CoreModule));
    let half = &foreshock_builtin::chaos()[..foreshock_builtin::chaos().len() / 2];
    assert!(matches!(refused(half), LoadError::NotAComponent(_)));
    assert!(matches!(refused(b""), LoadError::NotAComponent(_)));

    let mut greedy = spec("x", foreshock_builtin::chaos(), "{}");
    greedy.limits.memory_bytes = 1 << 30;
    assert!(matches!(sandbox.load(greedy), Err(LoadError::TooMuchMemory { .. })));
}

/// A configuration that the detector refuses is found before any service needs it, with the detector's own words, and if it
/// is used all the same, costs one fault and a long pause.
#[test]
fn refused_configurations_are_found_early() {
    let sandbox = sandbox();
    assert!(sandbox.try_open(&chaos(&sandbox, "good", "nothing"), support::STEP_NS).is_ok());
    let bad = load(&sandbox, "bad", foreshock_builtin::chaos(), r#"{"act":"nothing","colour":"red"}"#);
    let error = sandbox.try_open(&bad, support::STEP_NS).unwrap_err();
    assert!(matches!(&error, LoadError::BadConfig(why) if why.contains("`colour`")), "{error}");

    let before = bad.stats().faults(FaultReason::Refused);
    let mut pool = pool(&sandbox, std::slice::from_ref(&bad), 60);
    let mut feed = Feed::new("cart");
    for _ in 0..30 {
        assert!(pool.observe(&feed.window(&GOOD)).is_empty());
    }
    assert_eq!(bad.stats().faults(FaultReason::Refused), before + 1);
    assert_eq!(health(&mut pool).len(), 1);
}

/// A detector that has more models than the sandbox has room for loses those, and only those.
#[test]
fn models_beyond_the_limit_are_refused() {
    let settings = foreshock_sandbox::Settings { max_models: 2, ..foreshock_sandbox::Settings::default() };
    let sandbox = std::sync::Arc::new(foreshock_sandbox::Sandbox::new(settings).unwrap());
    let detector = chaos(&sandbox, "one", "nothing");
    let mut pool = pool(&sandbox, std::slice::from_ref(&detector), 60);
    let answers: Vec<_> = ["a", "b", "c"].map(|service| pool.observe(&Feed::new(service).window(&GOOD)).len()).into();
    assert_eq!(answers, [1, 1, 0]);
    assert_eq!(detector.stats().faults(FaultReason::Memory), 1);
    assert_eq!(detector.stats().models(), 2);

    // A service that goes away makes room.
    pool.forget(&Feed::new("a").service);
    assert_eq!(detector.stats().models(), 1);
    assert_eq!(pool.observe(&Feed::new("d").window(&GOOD)).len(), 1);
}

/// A guest whose thread had to wait, as on a machine that is overloaded, is not stopped for that; one that keeps everybody
/// waiting for ten times its deadline is.
#[test]
fn deadlines_are_of_processor_time() {
    let sandbox = sandbox();
    let deadline = Duration::from_millis(300);
    // Four times the deadline, and well above ten times. The guest logs one line and then works on for some ticks.
    for (holdup, faults) in [(deadline * 4, 0), (deadline * 11, 1)] {
        let limits = Limits { deadline, ..Limits::default() };
        let held_up = DetectorSpec { limits, ..spec("held-up", foreshock_builtin::chaos(), r#"{"act":"log-once"}"#) };
        let held_up = std::sync::Arc::new(sandbox.load(held_up).unwrap());
        let mut pool = pool(&sandbox, std::slice::from_ref(&held_up), 60);
        let window = Feed::new("cart").window(&TRIGGER);
        let answers = listening(move |_line| std::thread::sleep(holdup), || pool.observe(&window));
        assert_eq!(answers.len() as u64, 1 - faults, "held up for {holdup:?}");
        assert_eq!(held_up.stats().faults(FaultReason::Deadline), faults, "held up for {holdup:?}");
    }
}
