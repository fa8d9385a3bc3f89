//! Tests of the detector on synthetic series.

use crate::Novelty;
use foreshock_detector::{
    Finding, Kind, Setup,
    testkit::{Driver, Noise, expect_sound},
};

/// Five minutes, as most recorded metrics have.
const STEP_NS: u64 = 300_000_000_000;
const DAY: u32 = 288;

fn open(config: &str) -> Driver<Novelty> {
    Driver::open_with(Setup {
        service: "test".into(),
        resource_attributes: vec![],
        config: config.into(),
        seed: 1,
        step_ns: STEP_NS,
    })
    .expect("the configuration is right")
}

/// A load with a daily wave and noise.
fn wave(window: u32, noise: &mut Noise) -> f64 {
    let phase = f64::from(window % DAY) / f64::from(DAY) * std::f64::consts::TAU;
    100.0 + 40.0 * foreshock_detector::math::sin(phase) + 2.0 * noise.normal()
}

/// Runs a series of so many windows; the findings with their windows.
fn run(config: &str, windows: u32, value: impl Fn(u32, &mut Noise) -> f64) -> Vec<(u32, Finding)> {
    let mut driver = open(config);
    let id = driver.series("load", Kind::Gauge, &[]);
    let mut noise = Noise::new(9);
    let mut found = Vec::new();
    for window in 0..windows {
        let verdict = driver.observe(&[(id, value(window, &mut noise))]).expect("the verdict keeps the contract");
        found.extend(verdict.findings.into_iter().map(|finding| (window, finding)));
    }
    found
}

/// The windows in which an anomaly begins.
fn begins(found: &[(u32, Finding)]) -> Vec<u32> {
    let is_first = |k: &usize| *k == 0 || found[*k].0 > found[*k - 1].0 + 1;
    (0..found.len()).filter(is_first).map(|k| found[k].0).collect()
}

/// People only keep a detector that is quiet on ordinary days: noise, a daily wave, and noise with heavy tails, two weeks each.
#[test]
fn ordinary_days_are_quiet() {
    for config in ["{}", r#"{"form":"light"}"#] {
        let waves = run(config, 14 * DAY, wave);
        let noise = run(config, 14 * DAY, |_, noise| 5.0 + noise.normal());
        let heavy = run(config, 14 * DAY, |_, noise| foreshock_detector::math::exp(noise.normal()));
        let counts = [waves, noise, heavy].map(|found| begins(&found).len());
        // The tail of the last kind grows for as long as one looks.
        assert!(counts[0] + counts[1] <= 1 && counts[2] <= 5, "{config}: {counts:?}");
    }
}

/// A course that never was: values that are all usual, at a time when the load always moves. And a plain spike and dip, whose
/// findings say what would have been usual.
#[test]
fn new_courses_are_found() {
    let day_ten = 10 * DAY;
    for config in ["{}", r#"{"form":"light"}"#] {
        let stuck = run(config, 12 * DAY, |window, noise| {
            let is_stuck = (day_ten..day_ten + 150).contains(&window);
            if is_stuck { 125.0 } else { wave(window, noise) }
        });
        let begun = begins(&stuck);
        assert!(begun.iter().any(|window| (day_ten..day_ten + 150).contains(window)), "{config}: {begun:?}");

        for (value, kind) in [(400.0, "spike"), (-200.0, "dip")] {
            let moved = run(config, 11 * DAY, |window, noise| {
                if (day_ten + 20..day_ten + 40).contains(&window) { value } else { wave(window, noise) }
            });
            let (window, finding) = moved
                .iter()
                .find(|(window, _)| *window >= day_ten)
                .unwrap_or_else(|| panic!("{config}: {kind} not found"));
            assert!(*window < day_ten + 40 && finding.kind == kind, "{config}: {window} {finding:?}");
            let (lower, upper) = (finding.lower.expect("told"), finding.upper.expect("told"));
            assert!(lower > 0.0 && upper < 300.0, "{finding:?}");
            assert!(finding.summary.contains("left its usual course"), "{}", finding.summary);
        }
    }
}

/// Short windows must tell the same as long ones: ten windows of half a minute are one row, judged when its last window ends and told
/// until the next one, also where windows are missing.
#[test]
fn short_windows_are_gathered_into_rows() {
    let config = r#"{"warmup_windows":120,"full_windows":120}"#;
    let setup = |step_ns| Setup {
        service: "test".into(),
        resource_attributes: vec![],
        config: config.into(),
        seed: 1,
        step_ns,
    };
    let mut long = Driver::<Novelty>::open_with(setup(STEP_NS)).expect("opens");
    let mut short = Driver::<Novelty>::open_with(setup(STEP_NS / 10)).expect("opens");
    let ids = [long.series("load", Kind::Gauge, &[]), short.series("load", Kind::Gauge, &[])];
    let mut noise = Noise::new(4);
    for row in 0..300 {
        let value = if row == 250 { 900.0 } else { wave(row, &mut noise) };
        let expected = long.observe(&[(ids[0], value)]).expect("right");
        let mut last = None;
        for part in 0..10 {
            if part == 3 && row % 5 == 0 {
                short.skip(1);
                continue;
            }
            last = Some(short.observe(&[(ids[1], value)]).expect("right"));
        }
        let last = last.expect("nine windows or ten");
        // The mean of equal values is that value but for rounding.
        let near = (last.scores[0] - expected.scores[0]).abs() < 1e-6;
        assert!(near || (last.scores[0].is_nan() && expected.scores[0].is_nan()), "{row}: {last:?} {expected:?}");
        assert_eq!(last.findings.len(), expected.findings.len(), "{row}");
    }
}

/// Many series that are due at once must not make one window slow: they learn in turns, and all in the end.
#[test]
fn series_learn_in_turns() {
    let mut driver = open(r#"{"warmup_windows":120,"full_windows":120}"#);
    let ids: Vec<u32> = (0..12).map(|k| driver.series(&format!("load.{k}"), Kind::Gauge, &[])).collect();
    let mut noise = Noise::new(2);
    let mut judged = Vec::new();
    for _ in 0..124 {
        let rows: Vec<_> = ids.iter().map(|id| (*id, noise.normal())).collect();
        let verdict = driver.observe(&rows).expect("right");
        judged.push(verdict.scores.iter().filter(|score| !score.is_nan()).count());
    }
    assert_eq!(judged[119..], [0, 4, 8, 12, 12]);
}

/// The saved state stays small for ever, also on values that are all new.
#[test]
fn the_state_is_small() {
    for (config, most) in [(r#"{"form":"light"}"#, 7_000), ("{}", 12_200)] {
        let mut driver = open(config);
        let id = driver.series("load", Kind::Gauge, &[]);
        let mut noise = Noise::new(3);
        for window in 0..12_000 {
            let value = noise.normal() * f64::from(window) * f64::from(window);
            driver.observe(&[(id, value)]).expect("right");
        }
        let bytes = driver.snapshot().expect("saved").bytes.len();
        assert!(bytes <= most, "{config}: {bytes} bytes");
    }
}

/// A state that was learned under another form has other members; it must be refused, not misread.
#[test]
fn states_of_another_form_are_refused() {
    use foreshock_detector::{Detector, Fault};
    let mut driver = open(r#"{"form":"full","warmup_windows":120}"#);
    let id = driver.series("load", Kind::Gauge, &[]);
    (0..200).for_each(|k| drop(driver.observe(&[(id, f64::from(k % 7))]).expect("right")));
    let state = driver.snapshot().expect("saved");
    let setup = |config: &str| {
        let setup = Setup {
            service: String::new(),
            resource_attributes: vec![],
            config: config.to_owned(),
            seed: 1,
            step_ns: STEP_NS,
        };
        setup.parse().expect("a configuration")
    };
    assert!(matches!(
        Novelty::open(setup(r#"{"form":"light","warmup_windows":120}"#), Some(state.clone())),
        Err(Fault::BadState(_))
    ));
    let full = r#"{"form":"full","warmup_windows":120}"#;
    assert!(Novelty::open(setup(full), Some(state)).is_ok());
    assert!(matches!(Novelty::open(setup(r#"{"threshold":9}"#), None), Err(Fault::BadConfig(_))));
}

/// Whatever the numbers and gaps, verdicts keep the contract, and a restart at any time changes no later answer, in both forms.
#[test]
fn any_windows_are_judged_alike_after_a_restart() {
    for form in ["light", "full"] {
        let config = format!(r#"{{"form":"{form}","warmup_windows":120,"full_windows":240,"threshold":0.1}}"#);
        expect_sound::<Novelty>(&config, &[Kind::Gauge], 420, 24);
    }
}
