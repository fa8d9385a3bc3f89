//! Tests of the detector's behaviour on synthetic hours.

use crate::IsolationForest;
use foreshock_detector::{
    Finding, Kind,
    testkit::{Driver, Noise, expect_sound},
};

/// One window of each of six series of different kinds and shapes: (value, count).
fn calm(noise: &mut Noise, window: u32) -> [(f64, f64); 6] {
    let load = 1.0 - 0.5 * ((8.0 + f64::from(window) / 360.0) / 24.0 * std::f64::consts::TAU).cos();
    let calls = noise.poisson(200.0 * load).max(1.0);
    let failed: f64 = (0..calls as u32).map(|_| f64::from(noise.uniform() < 0.002)).sum();
    [
        (calls / 10.0, calls),
        (failed / calls, calls),
        (0.1 * (0.85 + 0.15 * load) * (0.1 * noise.normal()).exp(), calls),
        (5e8 + 1e7 * noise.normal(), 1.0),
        (3.0, 1.0),
        (1e8 + 4e6 * f64::from(window % 37), 1.0),
    ]
}

struct Service {
    driver: Driver<IsolationForest>,
    ids: Vec<u32>,
    noise: Noise,
    window: u32,
}

impl Service {
    fn new(seed: u64, config: &str) -> Self {
        let mut driver = Driver::open(config).expect("the configuration is right");
        let kinds = [Kind::SpanRate, Kind::SpanErrors, Kind::SpanDuration, Kind::Gauge, Kind::Gauge, Kind::Gauge];
        let ids = kinds.iter().enumerate().map(|(k, kind)| driver.series(&format!("series.{k}"), *kind, &[])).collect();
        Self { driver, ids, noise: Noise::new(seed), window: 0 }
    }

    /// So many windows; scores of each, and all findings with the window they were told in.
    fn run(
        &mut self,
        windows: u32,
        change: impl Fn(u32, &mut [(f64, f64); 6]),
    ) -> (Vec<Vec<f64>>, Vec<(u32, Finding)>) {
        let (mut scores, mut findings) = (Vec::new(), Vec::new());
        for k in 0..windows {
            let mut values = calm(&mut self.noise, self.window);
            self.window += 1;
            change(k, &mut values);
            let rows: Vec<_> = self
                .ids
                .iter()
                .zip(values)
                .map(|(id, (value, count))| (*id, value, value, value, count as u64))
                .collect();
            let window = self.driver.window_of(&rows);
            let verdict = self.driver.feed(&window).expect("the verdict keeps the contract");
            scores.push(verdict.scores);
            findings.extend(verdict.findings.into_iter().map(|finding| (k, finding)));
        }
        (scores, findings)
    }
}

/// Calm hours are silent, and scores mean what they say: 3 is about one window in a thousand.
#[test]
fn calm_hours_are_silent() {
    let (mut rows, mut high) = (0, [0; 2]);
    for seed in 1..=4 {
        let mut service = Service::new(seed, "{}");
        let (scores, findings) = service.run(2_160, |_, _| {});
        assert!(findings.is_empty(), "{} findings, first {:?}", findings.len(), findings.first());
        for score in scores.iter().flatten().filter(|score| !score.is_nan()) {
            rows += 1;
            high[0] += usize::from(*score >= 2.0);
            high[1] += usize::from(*score >= 3.0);
        }
    }
    assert!(rows > 40_000);
    assert!(high[0] < rows / 30 && high[1] < rows / 300, "{high:?} of {rows}");
}

/// A real outlier must score far above every normal window: a forest that never splits scores all of them alike.
#[test]
fn an_outlier_scores_far_above_the_rest() {
    for (series, value, kind) in [
        (0, 80.0, "spike"),
        (1, 0.3, "spike"),
        (2, 0.5, "spike"),
        (3, 8e8, "spike"),
        (4, 0.0, "dip"),
        (5, 9e8, "spike"),
    ] {
        let mut service = Service::new(21, "{}");
        let (scores, _) = service.run(700, |_, _| {});
        let most = scores[100..].iter().map(|row| row[series]).fold(0.0, f64::max);
        let (scores, findings) = service.run(12, |_, values| values[series].0 = value);
        assert!(
            scores[0][series] > 5.0 && scores[0][series] > most + 0.5,
            "series {series}: {} after at most {most}",
            scores[0][series]
        );
        let (delay, finding) =
            findings.iter().find(|(_, finding)| finding.ids == [service.ids[series]]).expect("it was told");
        assert!(*delay <= 2 && finding.kind == kind, "{delay} {finding:?}");
        assert!(
            findings.iter().all(|(_, finding)| finding.ids == [service.ids[series]]),
            "only the odd series is told"
        );
    }
}

/// A series that has been constant must not alarm on a hair's breadth of noise.
#[test]
fn noise_on_a_constant_series_is_quiet() {
    let mut service = Service::new(22, "{}");
    service.run(400, |_, _| {});
    let (scores, findings) = service.run(200, |k, values| values[4].0 = 3.0 + 1e-7 * f64::from(k % 5));
    assert!(findings.is_empty());
    assert!(scores.iter().all(|row| row[4] < 3.0));
}

/// Nothing is said before there are enough windows, then something is said of each.
#[test]
fn scores_begin_after_the_minimum() {
    let mut service = Service::new(23, r#"{"minimum_samples":40}"#);
    let (scores, _) = service.run(60, |_, _| {});
    assert!(scores[..40].iter().flatten().all(|score| score.is_nan()));
    assert!(scores[41..].iter().flatten().all(|score| !score.is_nan()));
}

/// Several series that are odd in the same windows are told of the service, too, with their names; what one series does
/// by itself is not told of the service.
#[test]
fn a_service_that_is_odd_as_a_whole_is_told() {
    let mut service = Service::new(25, "{}");
    service.run(900, |_, _| {});
    let (_, alone) = service.run(30, |_, values| values[3].0 = 8e8);
    assert!(alone.iter().all(|(_, finding)| finding.ids.len() == 1), "{alone:?}");
    let mut service = Service::new(25, "{}");
    service.run(900, |_, _| {});
    let (_, together) = service.run(30, |_, values| {
        for (series, factor) in [(0, 1.8), (2, 1.6), (3, 1.09), (5, 1.6)] {
            values[series].0 *= factor;
        }
    });
    let (delay, finding) = together.iter().find(|(_, finding)| finding.ids.len() > 1).expect("it was told");
    assert!(*delay <= 5 && finding.kind == "joint" && finding.ids.len() >= 3, "{delay} {finding:?}");
    assert!(finding.summary.contains("series are odd together"), "{}", finding.summary);
}

/// Many series that rest around 100 with a deviation of 5, of which some rise by so many deviations after 1,500 windows.
/// Gives the findings before and after, with the windows after the rise.
fn fleet(seed: u64, config: &str, series: u32, risen: u32, rise: f64) -> (Vec<Finding>, Vec<(u32, Finding)>) {
    let mut driver = Driver::<IsolationForest>::open(config).expect("the configuration is right");
    let mut noise = Noise::new(seed);
    let ids: Vec<u32> = (0..series).map(|k| driver.series(&format!("series.{k}"), Kind::Gauge, &[])).collect();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for window in 0..1_510 {
        let rows: Vec<_> = (0..series)
            .map(|k| {
                let rise = if window >= 1_500 && k < risen { rise } else { 0.0 };
                let value = 100.0 + 5.0 * (noise.normal() + rise);
                (ids[k as usize], value, value, value, 1)
            })
            .collect();
        let window_of = driver.window_of(&rows);
        let findings = driver.feed(&window_of).expect("the verdict keeps the contract").findings;
        match window {
            0..1_500 => before.extend(findings),
            _ => after.extend(findings.into_iter().map(|finding| (window - 1_500, finding))),
        }
    }
    (before, after)
}

/// What the model of the service is for: series none of which is odd enough to be told are told together, also with the threshold
/// that is shipped, and the finding says which they are and where they usually lie. Until then a calm service is silent.
#[test]
fn series_that_are_a_little_odd_are_told_together() {
    for (seed, config) in (1..=6).zip(["{}", r#"{"threshold":7}"#].into_iter().cycle()) {
        let (before, after) = fleet(seed, config, 40, 30, 3.0);
        assert!(before.is_empty(), "seed {seed}: {before:?}");
        assert!(after.iter().all(|(_, finding)| finding.kind == "joint"), "seed {seed}: {after:?}");
        let (delay, finding) = after.first().unwrap_or_else(|| panic!("seed {seed}: nothing was told"));
        assert!(*delay <= 5 && (3..=8).contains(&finding.ids.len()), "seed {seed}: {delay} {finding:?}");
        assert!(finding.observed > finding.expected && finding.expected.is_some(), "{finding:?}");
        assert!(finding.summary.contains("of 40 series are odd together, most of all series."), "{}", finding.summary);
        assert!(finding.summary.contains(", usually 8") && finding.evidence.len() == finding.ids.len(), "{finding:?}");
    }
}

/// No window has more findings than all detectors of single series promise, and what is told of the service is among them, in order.
#[test]
fn the_service_is_told_among_the_most_surprising() {
    let (_, after) = fleet(9, "{}", 100, 100, 40.0);
    let of = |window: u32| after.iter().filter(move |(at, _)| *at == window).map(|(_, finding)| finding);
    let (window, _) = after.iter().find(|(_, finding)| finding.kind == "joint").expect("it was told");
    assert_eq!(of(*window).count(), 64);
    assert!(of(*window).is_sorted_by(|a, b| a.score >= b.score));
}

/// The documented size of the state: as much for each series and for the service.
#[test]
fn the_state_is_bounded() {
    let mut service = Service::new(24, "{}");
    service.run(900, |_, _| {});
    let bytes = service.driver.snapshot().expect("saved").bytes.len();
    assert!(bytes <= (6 + 1) * 4_600, "{bytes} bytes");
}

/// Whatever the numbers and gaps, verdicts keep the contract, and a restart at any time changes no later answer.
#[test]
fn any_windows_are_judged_alike_after_a_restart() {
    expect_sound::<IsolationForest>(
        r#"{"minimum_samples":32,"training_window":64,"retrain_every":20,"trees":16}"#,
        &[Kind::Gauge, Kind::SpanErrors, Kind::SpanDuration],
        160,
        48,
    );
}
