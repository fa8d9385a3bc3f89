//! What the detector must find in the recording, and what it must leave alone.

use foreshock_detector::testkit::{Driver, Recording, expect_restart_changes_nothing};
use level_watch::LevelWatch;

/// 2026-01-05 00:00 UTC, where the recording begins, and the ten minutes in which its queue is too long.
const START: u64 = 1_767_571_200_000_000_000;
const MINUTE: u64 = 60_000_000_000;
const FAULT: std::ops::Range<u64> = START + 30 * MINUTE..START + 32 * MINUTE;

fn recording() -> Recording {
    Recording::from_csv(include_str!("../recording.csv")).expect("a good recording")
}

/// The long queue is found, and nothing before it.
#[test]
fn the_long_queue_is_found() {
    let mut driver = Driver::<LevelWatch>::open("{}").expect("the defaults are good");
    let played = driver.play(&recording()).expect("it judges every window");
    played.expect_quiet(0, FAULT.start);
    let found = played.expect_finding("spike", FAULT.start, FAULT.end);
    assert!(found.summary.starts_with("queue.depth is "), "{}", found.summary);
}

/// What was learned outlives a restart.
#[test]
fn a_restart_changes_nothing() {
    expect_restart_changes_nothing::<LevelWatch>("{}", &recording()).expect("it judges every window");
}
