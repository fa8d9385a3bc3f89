//! A detector is replaced while it runs: every window is judged once, what was learned is handed over where it can be, and where it can't
//! be, that is said.

#![expect(clippy::unwrap_used, reason = "these are tests, their helper functions too")]

mod support;

use foreshock_engine::verdict::{Detector, Detectors as _, FaultReason, Verdict};
use foreshock_sandbox::{DetectorPool, LoadedDetector, Sandbox};
use std::sync::Arc;
use support::{Feed, health, load, of, pool, sandbox};

const ROWS: [(u32, f64); 2] = [(1, 10.0), (2, 20.0)];

/// The same component under another digest: a custom section (WebAssembly's Binary format: id 0, size, name) changes nothing it does.
fn rebuilt() -> Vec<u8> {
    [foreshock_builtin::chaos(), b"\0\x03\x02v2"].concat()
}

/// A version of the detector that misbehaves on request; its score says how many windows its model has learned from, modulo 16.
fn version(sandbox: &Sandbox, component: &[u8], config: &str) -> Arc<LoadedDetector> {
    load(sandbox, "guard", component, config)
}

/// Who judged a window, with what score. Judged at most once, or the sum would be wrong.
fn judged(answers: &[(Arc<Detector>, Verdict)]) -> Option<(String, f64)> {
    assert!(answers.len() <= 1, "a window is judged once by each detector");
    answers.first().map(|(detector, verdict)| (detector.digest.to_string(), verdict.scores[0].1))
}

/// Feeds one window.
fn next(pool: &mut DetectorPool, feed: &mut Feed) -> Option<(String, f64)> {
    judged(&pool.observe(&feed.window(&ROWS)))
}

/// Each window goes to exactly one of the two, in order; the new one has learned from all windows that the old one saw; counters go on;
/// and the old one's models are gone when each service has had a window.
#[test]
fn a_new_component_goes_on_where_the_old_one_stood() {
    let sandbox = sandbox();
    let old = version(&sandbox, foreshock_builtin::chaos(), "{}");
    let new = Arc::new(sandbox.load(support::spec("guard", &rebuilt(), "{}")).unwrap().counting_on(&old));
    let (before, after) = (old.identity().digest.to_string(), new.identity().digest.to_string());
    assert_ne!(before, after);
    let mut pool = pool(&sandbox, &[Arc::clone(&old)], 60);
    let (mut cart, mut payment) = (Feed::new("cart"), Feed::new("payment"));
    for window in 1..=3 {
        assert_eq!(next(&mut pool, &mut cart), Some((before.clone(), f64::from(window))));
    }
    assert_eq!(next(&mut pool, &mut payment), Some((before, 1.0)));

    pool.replace(vec![Arc::clone(&new)]);
    assert_eq!(old.stats().models(), 2, "nothing happens before the next window");
    assert_eq!(next(&mut pool, &mut cart), Some((after.clone(), 4.0)));
    assert_eq!(new.stats().models(), 1, "the silent service was brought along, and opens its model when it speaks");
    assert_eq!(next(&mut pool, &mut cart), Some((after.clone(), 5.0)));
    assert_eq!(next(&mut pool, &mut payment), Some((after, 2.0)));
    assert_eq!((new.stats().calls(), new.stats().models()), (7, 2));
    assert_eq!(health(&mut pool), []);
    drop(pool);
    assert_eq!(Arc::strong_count(&old), 1, "nobody holds the old one");
}

/// A configuration or a limit that changes is handed the state too, and the state is kept under the new configuration, so that a restart
/// finds it.
#[test]
fn a_new_configuration_goes_on_too() {
    let sandbox = sandbox();
    let old = version(&sandbox, foreshock_builtin::chaos(), "{}");
    let new = version(&sandbox, foreshock_builtin::chaos(), r#"{"trigger":5000}"#);
    let mut pool = pool(&sandbox, &[old], 60);
    let mut cart = Feed::new("cart");
    next(&mut pool, &mut cart);
    next(&mut pool, &mut cart);
    pool.replace(vec![Arc::clone(&new)]);
    // Kept before the service had another window.
    let kept = pool.snapshot(&cart.service).unwrap();
    assert_eq!(next(&mut pool, &mut cart).unwrap().1, 3.0);

    let mut restarted = support::pool(&sandbox, &[new], 60);
    assert_eq!(restarted.restore(&cart.service, kept), Vec::<Arc<str>>::new());
    assert_eq!(next(&mut restarted, &mut cart).unwrap().1, 3.0);
}

/// What the new one can't read, or what another detector learned under the same name, is no start for it: it starts cold, and says
/// so once, with the service and the reason.
#[test]
fn a_state_that_does_not_fit_means_a_cold_start_said_aloud() {
    let sandbox = sandbox();
    let old = || version(&sandbox, foreshock_builtin::chaos(), "{}");
    let other_schema = version(&sandbox, &rebuilt(), r#"{"state_schema":7}"#);
    let another = version(&sandbox, foreshock_builtin::component("isolation-forest").unwrap(), "{}");
    for (new, said) in [
        (
            other_schema,
            "what it had learned is of no use to it (the state has schema 1, this version reads 7); it starts anew",
        ),
        (
            another,
            "what `chaos 0.1.0` had learned in its place is not for `isolation-forest 0.1.0`; it starts anew, and warms up for 60 windows",
        ),
    ] {
        let mut pool = pool(&sandbox, &[old()], 60);
        let (mut cart, mut payment) = (Feed::new("cart"), Feed::new("payment"));
        next(&mut pool, &mut cart);
        next(&mut pool, &mut cart);
        pool.replace(vec![Arc::clone(&new)]);
        let closed = cart.window(&ROWS);
        let answers = pool.observe(&closed);
        let verdict = of(&answers, "guard").unwrap();
        // The one counts from the start, the other says nothing while it warms up.
        assert!(verdict.scores.is_empty() || verdict.scores[0].1 == 1.0, "{verdict:?}");
        let told = health(&mut pool);
        let first = &told[0];
        assert_eq!(
            (first.reason, &first.service, first.time),
            (Some(FaultReason::BadState), &cart.service, closed.window.end)
        );
        assert_eq!(first.message, said);
        assert_eq!(first.detector.digest, new.identity().digest);
        assert_eq!(told.iter().filter(|health| health.reason.is_some()).count(), 1);
        assert_eq!(new.stats().faults(FaultReason::BadState), 1);
        // A service that is new is no cold start to speak of.
        pool.observe(&payment.window(&ROWS));
        assert_eq!(health(&mut pool), []);
    }
}

/// Detectors come and go with the configuration; those that stay are not disturbed, also when their place changes.
#[test]
fn detectors_come_and_go() {
    let sandbox = sandbox();
    let named = |name: &str| load(&sandbox, name, foreshock_builtin::chaos(), "{}");
    let (stays, goes, comes) = (named("stays"), named("goes"), named("comes"));
    let mut pool = pool(&sandbox, &[Arc::clone(&goes), Arc::clone(&stays)], 60);
    let mut cart = Feed::new("cart");
    let scores = |pool: &mut DetectorPool, cart: &mut Feed| -> Vec<(String, f64)> {
        let answers = pool.observe(&cart.window(&ROWS));
        answers.iter().map(|(detector, verdict)| (detector.name.to_string(), verdict.scores[0].1)).collect()
    };
    let pair = |name: &str, score: f64| (name.to_owned(), score);
    assert_eq!(scores(&mut pool, &mut cart), [pair("goes", 1.0), pair("stays", 1.0)]);
    pool.replace(vec![Arc::clone(&stays), Arc::clone(&comes)]);
    assert_eq!(scores(&mut pool, &mut cart), [pair("stays", 2.0), pair("comes", 1.0)]);
    assert_eq!((goes.stats().models(), stays.stats().models(), comes.stats().models()), (0, 1, 1));
    pool.replace(Vec::new());
    assert_eq!(scores(&mut pool, &mut cart), []);
    assert_eq!(health(&mut pool), []);
}

/// A detector that is broken is mended by its replacement at once: the wait that its faults earned is not the new one's, what it learned
/// before is, and that it works again is said.
#[test]
fn a_replacement_mends_a_broken_detector() {
    let sandbox = sandbox();
    let broken = version(&sandbox, foreshock_builtin::chaos(), r#"{"act":"trap","trigger":15}"#);
    let mended = version(&sandbox, &rebuilt(), "{}");
    let mut pool = pool(&sandbox, &[broken], 1);
    let mut cart = Feed::new("cart");
    assert_eq!(judged(&pool.observe(&cart.window(&[(1, 10.0)]))).unwrap().1, 1.0);
    for _ in 0..3 {
        assert_eq!(judged(&pool.observe(&cart.window(&ROWS))), None);
    }
    assert_eq!(health(&mut pool).last().unwrap().reason, Some(FaultReason::Trap));
    pool.replace(vec![Arc::clone(&mended)]);
    assert_eq!(next(&mut pool, &mut cart), Some((mended.identity().digest.to_string(), 2.0)));
    let told = health(&mut pool);
    assert_eq!((told.len(), told[0].reason, told[0].message.as_str()), (1, None, "it works again"));
}
