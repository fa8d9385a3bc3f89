//! Tests of the detector on synthetic services.

use crate::Joint;
use foreshock_detector::{
    Detector, Fault, Finding, Kind, Setup, Verdict,
    testkit::{Driver, Noise, expect_sound},
};

/// Five minutes, as most recorded metrics have.
const STEP_NS: u64 = 300_000_000_000;
const DAY: u32 = 288;
const SERIES: usize = 8;

fn setup(config: &str) -> Setup<String> {
    Setup { service: "test".into(), resource_attributes: vec![], config: config.into(), seed: 1, step_ns: STEP_NS }
}

/// A service whose series follow one load with a daily wave, each in its own way, with noise of their own.
struct Service {
    driver: Driver<Joint>,
    ids: Vec<u32>,
    noise: Noise,
    window: u32,
}

impl Service {
    fn new(config: &str) -> Self {
        let mut driver = Driver::open_with(setup(config)).expect("the configuration is right");
        let ids = (0..SERIES).map(|k| driver.series(&format!("metric.{k}"), Kind::Gauge, &[])).collect();
        Self { driver, ids, noise: Noise::new(7), window: 0 }
    }

    /// One window; `change` may move the values.
    fn step(&mut self, change: impl Fn(&mut [f64])) -> Verdict {
        let phase = f64::from(self.window % DAY) / f64::from(DAY) * std::f64::consts::TAU;
        let load = 10.0 + 4.0 * foreshock_detector::math::sin(phase) + self.noise.normal();
        let mut values: Vec<f64> =
            (0..SERIES).map(|k| load * (1.0 + k as f64) + 0.3 * (1.0 + k as f64) * self.noise.normal()).collect();
        change(&mut values);
        self.window += 1;
        let rows: Vec<_> = self.ids.iter().copied().zip(values).collect();
        self.driver.observe(&rows).expect("the verdict keeps the contract")
    }

    fn run(&mut self, windows: u32, change: impl Fn(&mut [f64])) -> Vec<(u32, Finding)> {
        let mut found = Vec::new();
        for _ in 0..windows {
            let window = self.window;
            found.extend(self.step(&change).findings.into_iter().map(|finding| (window, finding)));
        }
        found
    }
}

/// Normal days are silent, and a relation that breaks while each value by itself stays usual is found, with the guilty named first.
#[test]
fn a_broken_relation_is_found_and_named() {
    let mut service = Service::new("{}");
    let calm = service.run(10 * DAY, |_| {});
    assert!(calm.is_empty(), "{:?}", calm.first());
    // Three no longer follow the load.
    let broken = |values: &mut [f64]| {
        values[2] *= 3.0;
        values[5] *= 0.1;
        values[6] *= 4.0;
    };
    let (first, finding) = service.run(24, broken).into_iter().next().expect("found");
    assert!(first <= 10 * DAY + 4, "{first}");
    assert!([2, 5, 6].map(|k| service.ids[k]).contains(&finding.ids[0]), "{finding:?}");
    assert!(finding.kind == "joint" && finding.summary.contains("of 8 series are odd together"), "{}", finding.summary);
    let (lower, upper) = (finding.lower.expect("told"), finding.upper.expect("told"));
    let observed = finding.observed.expect("told");
    assert!(lower <= upper && !(lower..=upper).contains(&observed), "{finding:?}");
}

/// A surge that all series follow as they always do is less odd than half of it in one direction and half in the other.
#[test]
fn what_goes_together_is_less_odd() {
    let severity = |change: &dyn Fn(&mut [f64])| {
        let mut service = Service::new("{}");
        service.run(8 * DAY, |_| {});
        service.run(6, change);
        service.driver.detector().severity()
    };
    let surge = severity(&|values| values.iter_mut().for_each(|value| *value *= 1.5));
    let torn = severity(&|values| {
        values.iter_mut().enumerate().for_each(|(k, value)| *value *= if k % 2 == 0 { 1.5 } else { 0.7 });
    });
    assert!(torn > 1.3 * surge, "{torn} {surge}");
}

/// Series come and go: places in the relations are given to others, and there are never more than allowed.
#[test]
fn places_are_given_again() {
    let mut driver = Driver::<Joint>::open_with(setup(r#"{"related_series":3,"min_windows":100}"#))
        .expect("the configuration is right");
    let mut noise = Noise::new(5);
    let mut ids = Vec::new();
    for round in 0..6 {
        let id = driver.series(&format!("metric.{round}"), Kind::Gauge, &[]);
        ids.push(id);
        if ids.len() > 4 {
            driver.close(ids.remove(0));
        }
        for _ in 0..60 {
            let rows: Vec<_> = ids.iter().map(|id| (*id, noise.normal())).collect();
            driver.observe(&rows).expect("right");
        }
    }
    assert_eq!(driver.detector().learned.relations.slots(), 3);
    let with_place = driver.detector().learned.metrics.values_mut().filter(|metric| metric.slot.is_some()).count();
    assert_eq!(with_place, 3);
}

/// The saved state stays small: about 900 bytes a series and 40 for each pair.
#[test]
fn the_state_is_small() {
    let mut service = Service::new("{}");
    service.run(10 * DAY, |_| {});
    let bytes = service.driver.snapshot().expect("saved").bytes.len();
    assert!(bytes <= SERIES * 900 + SERIES * SERIES * 40, "{bytes} bytes");
    let state = service.driver.snapshot().expect("saved");
    let fewer = setup(r#"{"related_series":4}"#).parse().expect("a configuration");
    assert!(
        matches!(Joint::open(fewer, Some(state)), Err(Fault::BadState(_))),
        "a state with more relations than allowed"
    );
}

/// Whatever the numbers and gaps, verdicts keep the contract, and a restart at any time changes no later answer.
#[test]
fn any_windows_are_judged_alike_after_a_restart() {
    expect_sound::<Joint>(r#"{"min_windows":100,"threshold":2,"related_series":4}"#, &[Kind::Gauge; 5], 260, 64);
}
