//! Tests of the detector on synthetic series.

use crate::Spectral;
use foreshock_detector::{
    Finding, Kind, Verdict,
    math::sin,
    testkit::{Driver, Noise},
};

/// Runs one gauge of so many windows; the findings with their windows.
fn run(windows: u32, value: impl Fn(u32, &mut Noise) -> f64) -> Vec<(u32, Finding)> {
    let mut driver = Driver::<Spectral>::open("{}").expect("the defaults are right");
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

/// Single values that break the rhythm are found at once at most phases of it, and told for two windows with what was expected.
#[test]
fn what_breaks_the_rhythm_is_found() {
    let mut seen = 0;
    for at in 1_000..1_020 {
        let value = if at % 2 == 0 { 120.0 } else { -20.0 };
        let found = run(1_030, |window, noise| if window == at { value } else { wave(window, noise) });
        let of_it: Vec<&Finding> =
            found.iter().filter(|(window, _)| (at..at + 2).contains(window)).map(|(_, finding)| finding).collect();
        let Some(finding) = of_it.first().filter(|finding| finding.observed == Some(value)) else { continue };
        assert_eq!(
            (of_it.len(), finding.kind.as_str()),
            (2, if value > 50.0 { "spike" } else { "dip" }),
            "{finding:?}"
        );
        let (lower, upper) = (finding.lower.expect("told"), finding.upper.expect("told"));
        assert!(lower > -20.0 && upper < 120.0, "{finding:?}");
        seen += 1;
    }
    assert!(seen >= 14, "{seen} of 20");
}

/// The saved state stays small.
#[test]
fn the_state_is_small() {
    let mut driver = Driver::<Spectral>::open("{}").expect("opens");
    let id = driver.series("load", Kind::Gauge, &[]);
    let mut noise = Noise::new(3);
    (0..3_000).for_each(|k| drop(driver.observe(&[(id, noise.normal() * f64::from(k % 900))]).expect("right")));
    let bytes = driver.snapshot().expect("saved").bytes.len();
    assert!(bytes <= 700, "{bytes} bytes");
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            Just(0.0),
            Just(1.0),
            -1e3..1e3_f64,
            Just(f64::MAX),
            Just(f64::MIN),
            Just(f64::MIN_POSITIVE),
            proptest::num::f64::NORMAL,
        ]
    }

    const KINDS: [Kind; 3] = [Kind::Gauge, Kind::Rate, Kind::SpanErrors];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever the numbers and gaps, verdicts keep the contract, and a restart at any time changes no later answer.
        #[test]
        fn any_windows_are_judged_alike_after_a_restart(
            rows in proptest::collection::vec(proptest::collection::vec(proptest::option::of((value(), 1_u64..1_000)), 3), 1..240),
            restart in 0_usize..240,
            gaps in proptest::collection::vec(0_u64..1_000, 240),
        ) {
            let config = r#"{"min_windows":80,"threshold":2,"persistence":1}"#;
            let mut one = Driver::<Spectral>::open(config).expect("opens");
            let mut two = Driver::<Spectral>::open(config).expect("opens");
            let open = |driver: &mut Driver<Spectral>| -> Vec<u32> {
                KINDS.into_iter().enumerate().map(|(k, kind)| driver.series(&k.to_string(), kind, &[])).collect()
            };
            let ids = open(&mut one);
            let mut other = open(&mut two);
            for (k, row) in rows.iter().enumerate() {
                if k == restart {
                    let renamed = two.restart().expect("restarts");
                    other = other.iter().map(|id| renamed[id]).collect();
                }
                let feed = |driver: &mut Driver<Spectral>, ids: &[u32]| {
                    driver.skip(gaps[k]);
                    let rows: Vec<_> = row.iter().zip(ids).filter_map(|(cell, id)| cell.map(|(value, count)| (*id, value, value, value, count))).collect();
                    let window = driver.window_of(&rows);
                    driver.feed(&window).expect("the contract holds")
                };
                let (a, b) = (feed(&mut one, &ids), feed(&mut two, &other));
                let bits = |verdict: &Verdict| verdict.scores.iter().map(|score| score.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&a), bits(&b));
                let words = |verdict: &Verdict| verdict.findings.iter().map(|finding| finding.summary.clone()).collect::<Vec<_>>();
                prop_assert_eq!(words(&a), words(&b));
            }
        }
    }
}
