//! What the rule must find in a recorded evening, and what it must leave alone.

use foreshock_detector::{
    Kind,
    testkit::{Driver, Recording, expect_restart_changes_nothing},
};
use unpaid_orders::UnpaidOrders;

/// 2026-01-05 18:00 UTC, where the recording begins.
const START: u64 = 1_767_636_000_000_000_000;
const MINUTE: u64 = 60_000_000_000;
/// When every fourth card is refused.
const FAULT: std::ops::Range<u64> = START + 40 * MINUTE..START + 50 * MINUTE;

fn recording() -> Recording {
    Recording::from_csv(include_str!("../recording.csv"))
        .expect("a good recording")
        .with_deltas("orders.placed")
        .with_deltas("payments.received")
}

/// The refused cards are found within three minutes, and the sale before it, with more of both, is not.
#[test]
fn refused_cards_are_found() {
    let mut driver = Driver::<UnpaidOrders>::open("{}").expect("the defaults are good");
    let played = driver.play(&recording()).expect("it judges every window");
    played.expect_quiet(0, FAULT.start);
    let found = played.expect_finding("unpaid_orders", FAULT.start, FAULT.start + 3 * MINUTE);
    assert!(found.summary.contains("were paid for"), "{}", found.summary);
    // A horizon after the end all is well again.
    played.expect_quiet(FAULT.end + 2 * MINUTE, u64::MAX);
}

/// That payments stop altogether is found too, though then their series says nothing at all.
#[test]
fn silence_of_payments_is_found() {
    let mut driver = Driver::<UnpaidOrders>::open("{}").expect("the defaults are good");
    let orders = driver.series("orders.placed", Kind::Rate, &[]);
    let payments = driver.series("payments.received", Kind::Rate, &[]);
    for _ in 0..70 {
        let verdict = driver.observe(&[(orders, 4.0), (payments, 3.8)]).expect("a verdict");
        assert!(verdict.findings.is_empty());
    }
    let found = (0..12).any(|_| !driver.observe(&[(orders, 4.0)]).expect("a verdict").findings.is_empty());
    assert!(found);
}

/// What was learned outlives a restart.
#[test]
fn a_restart_changes_nothing() {
    expect_restart_changes_nothing::<UnpaidOrders>("{}", &recording()).expect("it judges every window");
}
