//! The detector's behaviour in single stories.

use foreshock_detector::{
    Detector, Finding, Kind, Series, Setup, Severity, State,
    testkit::{Driver, Noise},
};
use foreshock_forecast::Forecast;
use proptest::prelude::*;

const MINUTE_NS: u64 = 60_000_000_000;

fn setup(config: &str) -> Setup<String> {
    Setup {
        service: "test".to_owned(),
        resource_attributes: Vec::new(),
        config: config.to_owned(),
        seed: 1,
        step_ns: MINUTE_NS,
    }
}

fn open(config: &str) -> Driver<Forecast> {
    Driver::open_with(setup(config)).expect("the configuration is right")
}

/// Twelve hours at 40 %, then six hours to the limit, cut at `until` minutes of the rise.
fn leak(until: usize) -> impl Iterator<Item = f64> {
    let mut noise = Noise::new(5);
    (0..720 + until).map(move |minute| 0.4 + 0.6 * (minute.saturating_sub(720) as f64 / 360.0) + 0.002 * noise.normal())
}

fn findings(driver: &mut Driver<Forecast>, id: u32, values: impl Iterator<Item = f64>) -> Vec<Option<Finding>> {
    values.map(|value| driver.observe(&[(id, value)]).expect("a verdict").findings.pop()).collect()
}

/// A leak is warned of soon after half of its rise, with a time near the truth; the warning gets more urgent, and ends when the leak does.
#[test]
fn a_leak_is_warned_of_and_cleared() {
    let mut driver = open(r#"{"limits":[{"series":"memory","limit":1}]}"#);
    let id = driver.series("memory", Kind::Gauge, &[]);
    let said = findings(&mut driver, id, leak(330));
    let first = said.iter().position(Option::is_some).expect("a warning");
    assert!((900..960).contains(&first), "first at minute {first}, half of the rise is behind at 900");
    let at = |minute: usize| said[minute].as_ref().expect("a warning");
    let forecast = at(960).forecast.expect("a forecast");
    let start = driver.next_start_ns() - said.len() as u64 * MINUTE_NS;
    let reaches = (forecast.reaches_ns - start) / MINUTE_NS;
    assert!((1_020..1_140).contains(&reaches), "said minute {reaches}, it is 1080");
    assert!(forecast.earliest_ns <= forecast.reaches_ns && forecast.reaches_ns <= forecast.latest_ns);
    assert_eq!((at(960).severity, at(1_049).severity), (Severity::Warning, Severity::Error));
    // Restarted: back to where it was.
    let after = findings(&mut driver, id, std::iter::repeat_n(0.4, 120));
    assert!(after.last().expect("a verdict").is_none());
}

/// A rise that gets steeper may go on so, or be the busy hours of a day: the interval reaches from before the end of the bend to the end of
/// a line.
#[test]
fn the_interval_of_a_bend_reaches_to_the_line() {
    let mut driver = open(r#"{"limits":[{"series":"memory","limit":1}]}"#);
    let id = driver.series("memory", Kind::Gauge, &[]);
    let mut noise = Noise::new(5);
    let level = |minute: i32| 0.2 * libm::exp(f64::from((minute - 720).max(0)) / 300.0);
    let said = findings(&mut driver, id, (0..1_150).map(|minute| level(minute) + 0.002 * noise.normal()));
    let first = said.iter().position(Option::is_some).expect("a warning");
    assert!(level(first as i32) < 0.7, "first at minute {first}");
    let start = driver.next_start_ns() - said.len() as u64 * MINUTE_NS;
    // The limit is reached 300 times the logarithm of 5 minutes after the rise began.
    let truth = start + 1_203 * MINUTE_NS;
    for (minute, finding) in said.iter().enumerate().skip(first) {
        let forecast = finding.as_ref().and_then(|finding| finding.forecast).expect("a warning that stands");
        let now = start + (minute as u64 + 1) * MINUTE_NS;
        assert!((forecast.earliest_ns..forecast.latest_ns).contains(&truth), "{forecast:?} at minute {minute}");
        assert!(forecast.earliest_ns < forecast.reaches_ns, "{forecast:?} at minute {minute}");
        assert!(forecast.latest_ns - now > (forecast.reaches_ns - now) / 10 * 11, "{forecast:?} at minute {minute}");
    }
}

/// A value that is on its way to nothing, a free share, is warned of as well; capacities beside usage give limits of their own.
#[test]
fn limits_below_and_beside_are_known() {
    let mut driver = open(r#"{"limits":[{"series":"volume.available","from":100,"limit":0}]}"#);
    let falling = driver.series("volume.available", Kind::Gauge, &[]);
    let used = driver.series("jvm.memory.used", Kind::Gauge, &[("pool", "old")]);
    let limit = driver.series("jvm.memory.limit", Kind::Gauge, &[("pool", "old")]);
    let (mut low, mut beside) = (None, None);
    for share in leak(300) {
        let verdict = driver.observe(&[(falling, 100.0 * (1.0 - share)), (used, 4e9 * share), (limit, 4e9)]);
        for finding in verdict.expect("a verdict").findings {
            let said = if finding.ids == [falling] { &mut low } else { &mut beside };
            *said = finding.forecast.map(|forecast| forecast.limit);
        }
    }
    assert_eq!((low, beside), (Some(0.0), Some(4e9)));
}

/// What fills up towards a level below its limit, and what rises in a bow and falls again, is mostly not warned of, though lines
/// through parts of it lead there.
#[test]
fn a_rise_that_slows_down_is_mostly_not_warned_of() {
    let mut warned = Vec::new();
    for seed in 0..20 {
        let mut driver = open(r#"{"limits":[{"series":"cache","limit":1}]}"#);
        let id = driver.series("cache", Kind::Gauge, &[]);
        let mut noise = Noise::new(seed);
        let slowness = 60.0 + 20.0 * seed as f64;
        let level = |minute: i32| {
            let x = (f64::from(minute) - 720.0).max(0.0) / slowness;
            let risen =
                if seed % 2 == 0 { 1.0 - libm::exp(-x) } else { libm::sin((x / 4.0).min(1.0) * std::f64::consts::PI) };
            0.2 + 0.7 * risen
        };
        let said = findings(&mut driver, id, (0..2_700).map(|minute| level(minute) + 0.005 * noise.normal()));
        warned.extend(said.iter().any(Option::is_some).then_some(seed));
    }
    assert!(warned.len() <= 9, "{warned:?}");
}

/// A rise that has ended is no longer warned of for the first time, though long stretches still look like one.
#[test]
fn what_has_stopped_rising_is_not_warned_of() {
    let mut late = Vec::new();
    for seed in 0..24 {
        let mut driver = open(r#"{"limits":[{"series":"memory","limit":1}]}"#);
        let id = driver.series("memory", Kind::Gauge, &[]);
        let mut noise = Noise::new(seed);
        let (rise, top) = (200.0 + 40.0 * seed as f64, 0.68 + 0.01 * (seed % 4) as f64);
        let level = |minute: i32| 0.4 + (top - 0.4) * ((f64::from(minute) - 720.0).max(0.0) / rise).min(1.0);
        let said = findings(&mut driver, id, (0..3_000).map(|minute| level(minute) + 0.004 * noise.normal()));
        let first = said.iter().position(Option::is_some);
        // Half an hour is what blocks of two minutes look at.
        late.extend(first.filter(|first| *first as f64 > 720.0 + rise + 32.0));
    }
    assert!(late.len() <= 2, "{late:?}");
}

/// A disk that was cleaned up is warned of when it fills again, long before it is as full as it was; what isn't known to be cleaned up
/// has to be higher than it was.
#[test]
fn what_is_cleaned_up_has_no_old_highs() {
    let mut first = Vec::new();
    for name in ["disk.used", "used"] {
        let mut driver = open(&format!(r#"{{"limits":[{{"series":"{name}","limit":1}}]}}"#));
        let id = driver.series(name, Kind::Gauge, &[]);
        // Two days nearly full, then a day and a half from a quarter to the limit.
        let level = |minute: i32| if minute < 2_880 { 0.9 } else { 0.25 + 0.75 * f64::from(minute - 2_880) / 2_160.0 };
        let mut noise = Noise::new(7);
        let said = findings(&mut driver, id, (0..5_000).map(|minute| level(minute) + 0.002 * noise.normal()));
        first.push(said.iter().position(Option::is_some).map(|minute| level(minute as i32)));
    }
    assert!(first[0].is_some_and(|level| (0.6..0.8).contains(&level)), "{first:?}");
    assert!(first[1].is_none_or(|level| level > 0.9), "{first:?}");
}

/// A restart in the middle of a rise changes no answer, and a series without a limit costs and says nothing.
#[test]
fn a_restart_changes_no_answer() {
    let config = r#"{"limits":[{"series":"memory","limit":1}]}"#;
    let (mut one, mut two) = (open(config), open(config));
    let (id_one, mut id_two) = (one.series("memory", Kind::Gauge, &[]), two.series("memory", Kind::Gauge, &[]));
    let other = one.series("other", Kind::Gauge, &[]);
    let mut warned = 0;
    for (minute, value) in leak(300).enumerate() {
        if minute == 850 {
            id_two = two.restart().expect("restarts")[&id_two];
        }
        let expected = one.observe(&[(id_one, value), (other, value)]).expect("a verdict").findings;
        let got = two.observe(&[(id_two, value)]).expect("a verdict").findings;
        let times = |findings: &[Finding]| findings.iter().map(|finding| finding.forecast).collect::<Vec<_>>();
        assert_eq!(times(&expected), times(&got), "minute {minute}");
        warned += expected.len();
    }
    assert!(warned > 60);
}

/// What a series costs to keep stays within what the documentation says, however long it runs.
#[test]
fn the_state_is_bounded() {
    let mut driver = open(r#"{"limits":[{"series":"memory","limit":1}]}"#);
    let id = driver.series("memory", Kind::Gauge, &[]);
    let mut noise = Noise::new(2);
    let mut size = 0;
    for minute in 0..40 * 1_440 {
        driver.observe(&[(id, 0.5 + 0.1 * noise.normal())]).expect("a verdict");
        if minute % 1_440 == 0 {
            size = size.max(driver.snapshot().expect("a state").bytes.len());
        }
    }
    assert!((2_000..6_500).contains(&size), "{size} bytes");
}

/// Limits that are none are refused.
#[test]
fn limits_without_a_range_are_refused() {
    assert!(Driver::<Forecast>::open(r#"{"limits":[{"series":"a","limit":0}]}"#).is_err());
    assert!(Driver::<Forecast>::open(r#"{"limits":[{"series":"a","limti":1}]}"#).is_err());
    assert!(
        Forecast::open(setup("{}").parse().expect("a configuration"), Some(State { schema: 9, bytes: vec![] }))
            .is_err()
    );
}

proptest! {
    /// Whatever a service sends, with holes of any length, every answer keeps the contract.
    #[test]
    fn any_values_get_a_verdict_that_keeps_the_contract(
        values in prop::collection::vec((prop_oneof![-1e300..1e300_f64, 0.0..1.0_f64, Just(0.0), Just(1.0)], 0_u64..400), 1..300),
        rise in 0.0..0.01_f64,
    ) {
        let mut driver = open(r#"{"limits":[{"series":"a","limit":1},{"series":"b","limit":-7,"from":1e9}]}"#);
        let ids = ["a", "b", "x.utilization"].map(|name| {
            let series = Series { id: 0, name: name.to_owned(), unit: "1".to_owned(), kind: Kind::Gauge, attributes: Vec::new() };
            driver.series_from(series)
        });
        for (index, (value, hole)) in values.into_iter().enumerate() {
            driver.skip(if hole > 380 { hole } else { 0 });
            let rows = [(ids[0], value), (ids[1], value), (ids[2], 0.2 + rise * index as f64)];
            prop_assert!(driver.observe(&rows).is_ok());
        }
    }
}
