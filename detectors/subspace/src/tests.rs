//! Tests of the detector on synthetic series.

use crate::Subspace;
use foreshock_detector::{
    Finding, Kind,
    math::sin,
    testkit::{Driver, Noise, expect_sound},
};

/// Runs one gauge of so many windows; the findings with their windows.
fn run(windows: u32, value: impl Fn(u32, &mut Noise) -> f64) -> Vec<(u32, Finding)> {
    let mut driver = Driver::<Subspace>::open("{}").expect("the defaults are right");
    let id = driver.series("queue.length", Kind::Gauge, &[]);
    let mut noise = Noise::new(4);
    let mut found = Vec::new();
    for window in 0..windows {
        let verdict = driver.observe(&[(id, value(window, &mut noise))]).expect("the verdict keeps the contract");
        found.extend(verdict.findings.into_iter().map(|finding| (window, finding)));
    }
    found
}

/// A load that swings with a period of 20 windows.
fn wave(window: u32, noise: &mut Noise) -> f64 {
    50.0 + 10.0 * sin(f64::from(window) * std::f64::consts::TAU / 20.0) + noise.normal()
}

/// Ordinary series are quiet: noise, a wave, a constant, a long slow swing.
#[test]
fn ordinary_series_are_quiet() {
    let noise = run(6_000, |_, noise| 50.0 + 2.0 * noise.normal());
    let waves = run(6_000, wave);
    let constant = run(1_000, |_, _| 3.0);
    let slow = run(6_000, |window, noise| 50.0 + 20.0 * sin(f64::from(window) / 400.0) + noise.normal());
    let counts = [noise.len(), waves.len(), constant.len(), slow.len()];
    // At one window in 10,000, two or three events of 19,000 windows are chance, each of a few windows.
    assert!(counts.iter().sum::<usize>() <= 12 && counts[2] == 0, "{counts:?}");
}

/// Values that break the rhythm are found within three windows, with what was expected.
#[test]
fn what_breaks_the_rhythm_is_found() {
    for (value, kind) in [(90.0, "spike"), (10.0, "dip")] {
        let found = run(1_020, |window, noise| if window >= 1_005 { value } else { wave(window, noise) });
        let (window, finding) = found.iter().find(|(window, _)| *window >= 1_005).expect("found");
        assert!((1_005..=1_007).contains(window) && finding.kind == kind, "{window} {finding:?}");
        let (lower, upper) = (finding.lower.expect("told"), finding.upper.expect("told"));
        assert!(!(lower..=upper).contains(&value), "{finding:?}");
    }
}

/// The saved state stays small.
#[test]
fn the_state_is_small() {
    let mut driver = Driver::<Subspace>::open("{}").expect("opens");
    let id = driver.series("load", Kind::Gauge, &[]);
    let mut noise = Noise::new(3);
    (0..3_000).for_each(|k| drop(driver.observe(&[(id, noise.normal() * f64::from(k % 900))]).expect("right")));
    let bytes = driver.snapshot().expect("saved").bytes.len();
    assert!(bytes <= 2_100, "{bytes} bytes");
}

/// Whatever the numbers and gaps, verdicts keep the contract, and a restart at any time changes no later answer.
#[test]
fn any_windows_are_judged_alike_after_a_restart() {
    expect_sound::<Subspace>(
        r#"{"min_windows":50,"threshold":2,"persistence":1}"#,
        &[Kind::Gauge, Kind::Rate, Kind::SpanErrors],
        240,
        64,
    );
}
