//! Tests of the detector's behaviour on synthetic days.

use crate::Baseline;
use foreshock_detector::{
    Finding, Kind, Severity, Verdict,
    testkit::{Driver, Noise, STEP_NS, expect_sound},
};

const STEP: f64 = 10.0;

/// A small service: kinds and shapes of series as they come in practice.
struct Service {
    driver: Driver<Baseline>,
    noise: Noise,
    ids: Vec<u32>,
    window: u32,
    wander: f64,
}

/// What one window looks like before noise; tests change it.
#[derive(Clone, Copy)]
struct Truth {
    traffic: f64,
    errors: f64,
    latency: f64,
    memory: f64,
}

const NORMAL: Truth = Truth { traffic: 1.0, errors: 0.002, latency: 0.12, memory: 0.0 };

const RATE: usize = 0;
const ERRORS: usize = 1;
const LATENCY: usize = 2;
const MEMORY: usize = 3;

impl Service {
    fn new(seed: u64, config: &str) -> Self {
        let mut driver = Driver::open(config).expect("the configuration is right");
        let p99 = [("foreshock.statistic", "p99")];
        let ids = vec![
            driver.series("traces.span.metrics.calls", Kind::SpanRate, &[]),
            driver.series("traces.span.metrics.errors", Kind::SpanErrors, &[]),
            driver.series("traces.span.metrics.duration", Kind::SpanDuration, &p99),
            driver.series("process.memory.usage", Kind::Gauge, &[]),
            driver.series("cpu.utilization", Kind::Gauge, &[]),
            driver.series("disk.usage", Kind::Gauge, &[]),
            driver.series("rare.calls", Kind::SpanRate, &[]),
            driver.series("rare.errors", Kind::SpanErrors, &[]),
            driver.series("replicas", Kind::Gauge, &[]),
            driver.series("batch.duration", Kind::Quantile, &p99),
            driver.series("heap.after_gc", Kind::Gauge, &[]),
            driver.series("queue.length", Kind::Gauge, &[]),
            driver.series("network.io", Kind::Rate, &[]),
        ];
        Self { driver, noise: Noise::new(seed), ids, window: 0, wander: 0.0 }
    }

    /// One window of ten seconds of a day that starts at eight.
    fn step(&mut self, truth: Truth) -> Verdict {
        let noise = &mut self.noise;
        let hour = 8.0 + f64::from(self.window) * STEP / 3_600.0;
        let load = truth.traffic * (1.0 - 0.5 * (hour / 24.0 * std::f64::consts::TAU).cos());
        let calls = noise.poisson(20.0 * load * STEP);
        let failed: f64 = (0..calls as u32).map(|_| f64::from(noise.uniform() < truth.errors)).sum();
        let rare = noise.poisson(0.05 * STEP);
        let rare_failed: f64 = (0..rare as u32).map(|_| f64::from(noise.uniform() < 0.02)).sum();
        self.wander = 0.99 * self.wander + 2e6 * noise.normal();
        let queue = if noise.uniform() < 0.03 { noise.poisson(0.8) } else { 0.0 };
        let values = [
            Some((calls / STEP, calls)),
            (calls > 0.0).then(|| (failed / calls, calls)),
            (calls > 0.0).then(|| (truth.latency * (0.85 + 0.15 * load) * (0.08 * noise.normal()).exp(), calls)),
            Some((5e8 + self.wander + 3e6 * noise.normal() + truth.memory, 1.0)),
            Some((0.3 * load * (1.0 + 0.03 * noise.normal()), 1.0)),
            Some((0.6 + 1e-7 * f64::from(self.window) + 1e-5 * noise.normal(), 1.0)),
            (rare > 0.0).then(|| (rare / STEP, rare)),
            (rare > 0.0).then(|| (rare_failed / rare, rare)),
            Some((3.0, 1.0)),
            Some((2.0 * (0.5 * noise.normal()).exp(), 5.0)),
            Some((1e8 + 4e6 * f64::from(self.window % 37), 1.0)),
            Some((queue, 1.0)),
            Some((1e6 * load * (1.0 + 0.1 * noise.normal()), 1.0)),
        ];
        self.window += 1;
        let rows: Vec<_> = self
            .ids
            .iter()
            .zip(values)
            .filter_map(|(id, row)| row.map(|(value, count)| (*id, value, value, value, count as u64)))
            .collect();
        let window = self.driver.window_of(&rows);
        self.driver.feed(&window).expect("the verdict keeps the contract")
    }

    /// So many windows; all findings with the window they were told in.
    fn run(&mut self, windows: u32, truth: impl Fn(u32) -> Truth) -> Vec<(u32, Finding)> {
        let told = |k: u32, verdict: Verdict| verdict.findings.into_iter().map(move |finding| (k, finding));
        (0..windows)
            .flat_map(|k| {
                let verdict = self.step(truth(k));
                told(k, verdict)
            })
            .collect()
    }

    /// The first finding on a series.
    fn first(&self, findings: &[(u32, Finding)], series: usize) -> (u32, Finding) {
        findings.iter().find(|(_, finding)| finding.ids[0] == self.ids[series]).cloned().expect("it was found")
    }
}

/// Nobody acts on a whisper: a series that rests at 0 for hours, is a few now and then, and then shows a thousandth of that, is calm,
/// though its level and spread have faded to nothing; many times what it ever was is found.
#[test]
fn what_rests_near_zero_has_a_floor() {
    let mut driver = Driver::<Baseline>::open("{}").expect("the configuration is right");
    let id = driver.series("keys.pressed", Kind::Gauge, &[]);
    let mut noise = Noise::new(11);
    let mut found = Vec::new();
    for window in 0..8_000_u32 {
        let value = match window {
            0..3_000 if window % 50 < 8 => 1.0 + 0.3 * noise.uniform(),
            7_000..7_010 => 0.002 + 0.001 * noise.uniform(),
            7_900..7_910 => 40.0,
            _ => 0.0,
        };
        let verdict = driver.observe(&[(id, value)]).expect("the verdict keeps the contract");
        found.extend(verdict.findings.iter().map(|_| window));
    }
    assert!(!found.iter().any(|window| (6_000..7_800).contains(window)), "{found:?}");
    assert!(found.iter().any(|window| (7_900..7_910).contains(window)), "{found:?}");
}

/// The promise that decides whether anybody keeps Foreshock: a normal day is silent. 13 series, 6 days of 12 hours.
#[test]
fn calm_days_are_silent() {
    let mut told = Vec::new();
    let mut high = 0;
    let mut rows = 0;
    for seed in 1..=6 {
        let mut service = Service::new(seed, "{}");
        for k in 0..4_320 {
            let verdict = service.step(NORMAL);
            rows += verdict.scores.len();
            high += verdict.scores.iter().filter(|score| **score >= 4.0).count();
            told.extend(verdict.findings.into_iter().map(|finding| (seed, k, finding.summary, finding.score)));
        }
    }
    assert!(told.is_empty(), "{} findings, first {:?}", told.len(), &told[..told.len().min(8)]);
    assert!(high * 5_000 < rows, "{high} of {rows} windows scored 4 or more");
}

/// A dependency that fails must be told within half a minute, as an error.
#[test]
fn an_outage_is_found_at_once() {
    let mut service = Service::new(11, "{}");
    service.run(360, |_| NORMAL);
    let findings = service.run(30, |_| Truth { errors: 0.3, ..NORMAL });
    let (delay, finding) = service.first(&findings, ERRORS);
    assert!(delay <= 2, "after {delay} windows");
    assert_eq!((finding.kind.as_str(), finding.severity), ("spike", Severity::Error));
    assert!(finding.observed > finding.upper && finding.expected < Some(0.01), "{finding:?}");
}

/// A surge of traffic and its drop must be told, one as a spike, one as a dip.
#[test]
fn a_surge_and_a_drop_are_found() {
    for (traffic, kind) in [(2.5, "spike"), (0.1, "dip")] {
        let mut service = Service::new(12, "{}");
        service.run(360, |_| NORMAL);
        let findings = service.run(30, |_| Truth { traffic, ..NORMAL });
        let (delay, finding) = service.first(&findings, RATE);
        assert!(delay <= 3 && finding.kind == kind, "{delay} {finding:?}");
    }
}

/// Latency that doubles for good must be told soon, last as a level shift, and be normal after the time to adapt.
#[test]
fn a_level_shift_is_found_and_accepted() {
    let mut service = Service::new(13, r#"{"adapt_seconds":1800}"#);
    service.run(360, |_| NORMAL);
    let shifted = Truth { latency: 0.24, ..NORMAL };
    let findings = service.run(170, |_| shifted);
    let (delay, finding) = service.first(&findings, LATENCY);
    assert!(delay <= 3, "after {delay} windows");
    assert!(finding.summary.contains("p99"), "{}", finding.summary);
    let (last, finding) =
        findings.iter().rev().find(|(_, finding)| finding.ids[0] == service.ids[LATENCY]).expect("told");
    assert!(*last > 150 && finding.kind == "level_shift", "{last} {}", finding.kind);
    service.run(60, |_| shifted);
    let after = service.run(360, |_| shifted);
    assert!(after.is_empty(), "{:?}", after.first());
}

/// Latency with a noise of 8 % that creeps up by 2 % a minute must be told before it is half as slow again.
#[test]
fn a_creeping_slowdown_is_found() {
    let mut service = Service::new(14, "{}");
    service.run(360, |_| NORMAL);
    let findings = service.run(180, |k| Truth { latency: 0.12 * (1.0 + 0.02 * f64::from(k) / 6.0), ..NORMAL });
    let (delay, finding) = service.first(&findings, LATENCY);
    assert!(delay <= 120, "after {delay} windows, {}", finding.kind);
}

/// A leak of 1 % of memory a minute must be told within a quarter of an hour, and be called a trend in the end.
#[test]
fn a_leak_is_found() {
    let mut service = Service::new(15, "{}");
    service.run(360, |_| NORMAL);
    let findings = service.run(240, |k| Truth { memory: 5e6 * f64::from(k) / 6.0, ..NORMAL });
    let (delay, _) = service.first(&findings, MEMORY);
    assert!(delay <= 90, "after {delay} windows");
    assert!(findings.iter().any(|(_, finding)| finding.kind == "trend"));
}

/// One odd window alone is no finding, and one error in a handful of calls is no outage.
#[test]
fn single_windows_and_single_errors_stay_quiet() {
    let mut service = Service::new(16, "{}");
    service.run(360, |_| NORMAL);
    let findings = service.run(60, |k| if k == 10 { Truth { latency: 1.2, ..NORMAL } } else { NORMAL });
    assert!(findings.is_empty(), "{findings:?}");

    let mut driver = Driver::<Baseline>::open("{}").expect("opens");
    let errors = driver.series("traces.span.metrics.errors", Kind::SpanErrors, &[]);
    for k in 0..400_u32 {
        let share = if k > 300 && k % 7 < 2 { 0.5 } else { 0.0 };
        let window = driver.window_of(&[(errors, share, share, share, 2)]);
        assert!(driver.feed(&window).expect("right").findings.is_empty(), "one of two calls failed, window {k}");
    }
}

/// A daily job that has run at the same hour for days must not be news, while the same load at another hour is.
#[test]
fn the_time_of_the_day_is_learned() {
    let step = 300_000_000_000;
    let setup = foreshock_detector::Setup {
        service: "s".into(),
        resource_attributes: vec![],
        config: "{}".to_owned(),
        seed: 1,
        step_ns: step,
    };
    let mut driver = Driver::<Baseline>::open_with(setup).expect("opens");
    let id = driver.series("cpu", Kind::Gauge, &[]);
    let mut noise = Noise::new(3);
    let mut told = [0, 0];
    for k in 0..288 * 12_u32 {
        let at = k % 288;
        let usual = if (24..48).contains(&at) { 0.8 } else { 0.2 };
        let value = if k >= 288 * 11 && (150..170).contains(&at) { 0.8 } else { usual };
        let verdict = driver.observe(&[(id, value * (1.0 + 0.05 * noise.normal()))]).expect("right");
        if k >= 288 * 6 && !verdict.findings.is_empty() {
            told[usize::from(k >= 288 * 11 && (150..176).contains(&at))] += 1;
        }
    }
    assert!(told[0] <= 2 && told[1] >= 2, "{told:?}");
}

/// A constant series that moves by a hair must stay quiet; one that leaves its level must not.
#[test]
fn constant_series_are_sane() {
    for (moved, is_odd) in [(3.0 + 1e-9, false), (3.01, false), (0.0, true), (6.0, true)] {
        let mut driver = Driver::<Baseline>::open("{}").expect("opens");
        let id = driver.series("replicas", Kind::Gauge, &[]);
        let mut findings = 0;
        for k in 0..400 {
            findings += driver.observe(&[(id, if k < 380 { 3.0 } else { moved })]).expect("right").findings.len();
        }
        assert_eq!(findings > 0, is_odd, "{moved}");
    }
}

/// The saved state of a series that saw a week must stay small.
#[test]
fn the_state_is_small() {
    let setup = foreshock_detector::Setup {
        service: "s".into(),
        resource_attributes: vec![],
        config: "{}".to_owned(),
        seed: 1,
        step_ns: STEP_NS * 60,
    };
    let mut driver = Driver::<Baseline>::open_with(setup).expect("opens");
    let id = driver.series("cpu", Kind::Gauge, &[]);
    let mut noise = Noise::new(3);
    for _ in 0..144 * 9 {
        driver.observe(&[(id, 1.0 + noise.normal())]).expect("right");
    }
    let bytes = driver.snapshot().expect("saved").bytes.len();
    assert!(bytes <= 800, "{bytes} bytes");
    assert!(size_of::<crate::series::Model>() + 48 * 4 <= 1_024);
}

/// Whatever the numbers and gaps, verdicts keep the contract, and a restart at any time changes no later answer.
#[test]
fn any_windows_are_judged_alike_after_a_restart() {
    expect_sound::<Baseline>(r#"{"min_windows":10}"#, &Kind::NUMERIC, 120, 96);
}
