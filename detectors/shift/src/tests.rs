//! Tests of the detector on synthetic series.

use crate::Shift;
use foreshock_detector::{
    Finding, Kind, Severity,
    testkit::{Driver, FIRST_START_NS, Noise, STEP_NS, expect_sound},
};

/// Runs one gauge of so many windows; the findings with their windows.
fn run(windows: u32, value: impl Fn(u32, &mut Noise) -> f64) -> Vec<(u32, Finding)> {
    let mut driver = Driver::<Shift>::open("{}").expect("the defaults are right");
    let id = driver.series("queue.length", Kind::Gauge, &[]);
    let mut noise = Noise::new(4);
    let mut found = Vec::new();
    for window in 0..windows {
        let verdict = driver.observe(&[(id, value(window, &mut noise))]).expect("the verdict keeps the contract");
        found.extend(verdict.findings.into_iter().map(|finding| (window, finding)));
    }
    found
}

/// In which window a finding says that its change began.
fn began(finding: &Finding) -> u32 {
    let text = &finding.evidence.iter().find(|(key, _)| key == "began_unix_ns").expect("said").1;
    let ns: u64 = text.parse().expect("a number");
    ((ns - FIRST_START_NS) / STEP_NS) as u32
}

/// A level that changes for good is told within a dozen windows, with its start, before and after, once.
#[test]
fn a_level_shift_is_told_with_its_start() {
    for (to, verb) in [(56.0, "higher"), (44.0, "lower")] {
        let found = run(900, |window, noise| if window < 600 { 50.0 } else { to } + 2.0 * noise.normal());
        let (window, finding) = found.first().expect("found");
        assert!((600..612).contains(window) && finding.kind == "level_shift", "{window} {finding:?}");
        assert!((595..=603).contains(&began(finding)), "{}", began(finding));
        assert!((finding.observed.expect("told") - to).abs() < 2.0, "{finding:?}");
        assert!((finding.expected.expect("told") - 50.0).abs() < 1.5 && finding.summary.contains(verb), "{finding:?}");
        assert_eq!(finding.severity, Severity::Info);
        assert!(found.iter().all(|(window, _)| *window < 625), "it is the new normal: {:?}", found.last());
    }
}

/// A slope that begins is a trend; noise that grows, and noise that ends, are changes of spread.
#[test]
fn trends_and_spreads_are_told_apart() {
    let ramp = run(800, |window, noise| 50.0 + 0.4 * f64::from(window.saturating_sub(600)) + 2.0 * noise.normal());
    let kinds: Vec<&str> = ramp.iter().map(|(_, finding)| finding.kind.as_str()).collect();
    assert!(kinds.contains(&"trend"), "{kinds:?}");
    let wide = run(800, |window, noise| 50.0 + if window < 600 { 2.0 } else { 10.0 } * noise.normal());
    let (window, finding) = wide.first().expect("found");
    assert!((600..640).contains(window) && finding.kind == "distribution", "{window} {finding:?}");
    let flat = run(800, |window, noise| 50.0 + if window < 600 { 2.0 * noise.normal() } else { 0.0 });
    let (window, finding) = flat.first().expect("found");
    assert!((600..650).contains(window) && finding.summary.contains("less than before"), "{window} {finding:?}");
}

/// Nothing is told of noise, of noise that remembers, of a wave that comes again and again (after it was learned), of a single spike.
#[test]
fn ordinary_series_have_no_shifts() {
    let calm = run(8_000, |_, noise| 50.0 + 2.0 * noise.normal());
    assert!(calm.len() <= 6, "{} {:?}", calm.len(), calm.first());
    let mut red = Noise::new(8);
    let mut last = 0.0;
    let wander: Vec<f64> = (0..8_000)
        .map(|_| {
            last = 0.7 * last + red.normal();
            50.0 + last
        })
        .collect();
    let wander = run(8_000, |window, _| wander[window as usize]);
    assert!(wander.len() <= 12, "{} {:?}", wander.len(), wander.first());
    let wave = run(8_640, |window, noise| {
        let phase = f64::from(window % 1_440) / 1_440.0 * std::f64::consts::TAU;
        50.0 + 10.0 * foreshock_detector::math::sin(phase) + 2.0 * noise.normal()
    });
    let late = wave.iter().filter(|(window, _)| *window > 5_760).count();
    assert!(late <= 12, "{late} of {}", wave.len());
    let spike = run(800, |window, noise| 50.0 + 2.0 * noise.normal() + if window == 600 { 60.0 } else { 0.0 });
    assert!(spike.iter().all(|(window, _)| *window < 600), "{:?}", spike.last());
}

/// A deployment that moves most series of a service is one finding that names them.
#[test]
fn a_service_that_changes_is_one_finding() {
    let mut driver = Driver::<Shift>::open("{}").expect("opens");
    let ids: Vec<u32> = (0..6).map(|k| driver.series(&format!("load.{k}"), Kind::Gauge, &[])).collect();
    let mut noise = Noise::new(6);
    let mut joined = None;
    for window in 0..400 {
        let rows: Vec<_> = ids
            .iter()
            .enumerate()
            .map(|(k, id)| (*id, 20.0 + noise.normal() + if window >= 300 && k < 4 { 8.0 } else { 0.0 }))
            .collect();
        let verdict = driver.observe(&rows).expect("right");
        joined = joined.or(verdict.findings.into_iter().find(|finding| finding.ids.len() >= 3));
    }
    let finding = joined.expect("told together");
    assert!(finding.ids.iter().all(|id| ids[..4].contains(id)), "{finding:?}");
    assert!(finding.summary.contains("of 6 series changed together"), "{}", finding.summary);
}

/// The saved state stays small.
#[test]
fn the_state_is_small() {
    let mut driver = Driver::<Shift>::open("{}").expect("opens");
    let id = driver.series("load", Kind::Gauge, &[]);
    let mut noise = Noise::new(3);
    (0..5_000).for_each(|k| drop(driver.observe(&[(id, noise.normal() * f64::from(k % 900))]).expect("right")));
    let bytes = driver.snapshot().expect("saved").bytes.len();
    assert!(bytes <= 400, "{bytes} bytes");
}

/// Whatever the numbers and gaps, verdicts keep the contract, and a restart at any time changes no later answer.
#[test]
fn any_windows_are_judged_alike_after_a_restart() {
    expect_sound::<Shift>(
        r#"{"min_windows":20,"threshold":2}"#,
        &[Kind::Gauge, Kind::Rate, Kind::SpanErrors, Kind::SpanDuration],
        160,
        96,
    );
}
