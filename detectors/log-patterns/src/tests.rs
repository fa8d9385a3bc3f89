//! Tests of the detector's behaviour on synthetic logs.

use crate::LogPatterns;
use foreshock_detector::{
    Finding, Kind, Severity, Verdict,
    testkit::{Driver, Noise, expect_sound},
};
use std::collections::BTreeMap;

/// Templates by name: text, severity, and the series once it was opened.
struct Service {
    driver: Driver<LogPatterns>,
    noise: Noise,
    window: u32,
    open: BTreeMap<String, u32>,
}

const SEVERITIES: [&str; 3] = ["info", "warn", "error"];

impl Service {
    fn new(seed: u64) -> Self {
        let driver = Driver::open("{}").expect("the defaults are right");
        Self { driver, noise: Noise::new(seed), window: 0, open: BTreeMap::new() }
    }

    fn id(&mut self, name: &str, severity: &str) -> u32 {
        if let Some(id) = self.open.get(name) {
            return *id;
        }
        let attributes =
            [("foreshock.template.id", name), ("foreshock.template.text", name), ("log.severity", severity)];
        let id = self.driver.series("log.template", Kind::LogTemplate, &attributes);
        self.open.insert(name.to_owned(), id);
        id
    }

    /// One window of ten seconds: the usual lines and some more of (template, severity, lines). `traffic` scales the usual.
    fn step(&mut self, traffic: f64, more: &[(&str, &str, u64)]) -> Verdict {
        let mut lines: Vec<(String, &str, u64)> = Vec::new();
        for (k, mean) in [40.0, 25.0, 12.0, 6.0, 3.0, 1.0, 0.2, 0.05].into_iter().enumerate() {
            let load = 1.0 - 0.4 * ((8.0 + f64::from(self.window) / 360.0) / 24.0 * std::f64::consts::TAU).cos();
            lines.push((format!("usual {k}"), "info", self.noise.poisson(mean * load * traffic) as u64));
        }
        lines.push(("slow query".into(), "warn", self.noise.poisson(0.1) as u64));
        lines.push(("cache miss".into(), "warn", self.noise.poisson(2.0 * traffic) as u64));
        lines.push(("client went away".into(), "error", self.noise.poisson(0.05) as u64));
        lines.push(("rare failure".into(), "error", self.noise.poisson(0.001) as u64));
        lines.push(("batch row".into(), "info", if self.window % 180 == 100 { 60 } else { 0 }));
        lines.extend(more.iter().map(|(name, severity, count)| ((*name).to_owned(), *severity, *count)));
        self.window += 1;
        let mut rows = BTreeMap::new();
        for severity in SEVERITIES {
            let all: u64 = lines.iter().filter(|line| line.1 == severity).map(|line| line.2).sum();
            if all > 0 {
                let key = format!("severity {severity}");
                let id = match self.open.get(&key) {
                    Some(id) => *id,
                    None => self.driver.series("log.records", Kind::LogSeverity, &[("log.severity", severity)]),
                };
                self.open.insert(key, id);
                rows.insert(id, all);
            }
        }
        for (name, severity, count) in lines {
            if count > 0 {
                rows.insert(self.id(&name, severity), count);
            }
        }
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(id, count)| (id, count as f64 / 10.0, count as f64 / 10.0, count as f64 / 10.0, count))
            .collect();
        let window = self.driver.window_of(&rows);
        self.driver.feed(&window).expect("the verdict keeps the contract")
    }

    fn run(&mut self, windows: u32, traffic: f64, more: &[(&str, &str, u64)]) -> Vec<(u32, Finding)> {
        let step =
            |k| self.step(traffic, more).findings.into_iter().map(move |finding| (k, finding)).collect::<Vec<_>>();
        (0..windows).flat_map(step).collect()
    }
}

/// Ordinary logs, with rare errors and hourly batches in them, are silent for hours.
#[test]
fn calm_hours_are_silent() {
    for seed in 1..=6 {
        let findings = Service::new(seed).run(2_880, 1.0, &[]);
        assert!(findings.is_empty(), "seed {seed}: {} findings, first {:?}", findings.len(), findings.first());
    }
}

/// An error that was never seen before must be told within half a minute, with its text.
#[test]
fn a_new_error_is_told() {
    let mut service = Service::new(11);
    service.run(360, 1.0, &[]);
    let findings = service.run(20, 1.0, &[("connection pool timeout", "error", 3)]);
    let (delay, finding) = findings.first().expect("it is told");
    assert!(*delay <= 2, "after {delay} windows");
    assert_eq!((finding.kind.as_str(), finding.severity), ("new_log_pattern", Severity::Error));
    assert!(finding.summary.contains("connection pool timeout"), "{}", finding.summary);
}

/// A new ordinary pattern is no news, and one stray new error is not either.
#[test]
fn noise_stays_quiet() {
    let mut service = Service::new(12);
    service.run(360, 1.0, &[]);
    assert!(service.run(60, 1.0, &[("all is well", "info", 30)]).is_empty());
    let well = ("all is well", "info", 30);
    assert!(service.run(1, 1.0, &[well, ("hiccup", "error", 1)]).is_empty());
    assert!(service.run(120, 1.0, &[well]).is_empty());
}

/// A new version brings many new patterns at once: one finding, not one each.
#[test]
fn a_burst_is_one_finding() {
    let mut service = Service::new(13);
    service.run(360, 1.0, &[]);
    let names = ["a", "b", "c", "d", "e", "f"];
    let more: Vec<_> = names.iter().map(|name| (*name, if *name == "e" { "error" } else { "info" }, 9)).collect();
    let findings = service.run(1, 1.0, &more);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!((findings[0].1.ids.len(), findings[0].1.severity), (6, Severity::Error));
    assert!(findings[0].1.summary.contains("6 new log patterns") && findings[0].1.summary.contains("'e'"));
}

/// A known warning that comes ten times as often must be told; lines that grow with the traffic must not.
#[test]
fn rates_are_judged_against_the_traffic() {
    let mut service = Service::new(14);
    service.run(360, 1.0, &[]);
    let surge = service.run(60, 2.0, &[]);
    assert!(surge.is_empty(), "{:?}", surge.first());
    service.run(60, 1.0, &[]);
    let findings = service.run(20, 1.0, &[("slow query", "warn", 4)]);
    let (delay, finding) = findings.first().expect("it is told");
    assert!(*delay <= 4, "after {delay} windows");
    assert_eq!((finding.kind.as_str(), finding.severity), ("log_rate", Severity::Warning));
}

/// An ordinary pattern that stops must be told, though only as information.
#[test]
fn silence_is_noticed() {
    let mut driver = Driver::<LogPatterns>::open("{}").expect("opens");
    let attributes =
        [("foreshock.template.id", "1"), ("foreshock.template.text", "heartbeat"), ("log.severity", "info")];
    let beat = driver.series("log.template", Kind::LogTemplate, &attributes);
    let other = driver.series("log.template", Kind::LogTemplate, &[("foreshock.template.id", "2")]);
    let mut noise = Noise::new(3);
    let mut first = None;
    for k in 0..420 {
        let mut rows = vec![(other, 1.0, 1.0, 1.0, 10)];
        if k < 400 {
            let count = noise.poisson(6.0).max(1.0);
            rows.push((beat, count / 10.0, count / 10.0, count / 10.0, count as u64));
        }
        let window = driver.window_of(&rows);
        let findings = driver.feed(&window).expect("right").findings;
        assert!(k >= 400 || findings.is_empty());
        first = first.or(findings.into_iter().next().map(|finding| (k, finding)));
    }
    let (k, finding) = first.expect("it is told");
    assert!(k < 410 && finding.kind == "log_rate" && finding.severity == Severity::Info, "{k} {finding:?}");
}

/// Many different errors, none of them frequent, must show in the share of errors.
#[test]
fn the_share_of_errors_is_judged() {
    let mut service = Service::new(15);
    service.run(360, 1.0, &[]);
    let mut told = None;
    for k in 0..12_u32 {
        let names: Vec<String> = (0..6).map(|i| format!("failure {}", k * 6 + i)).collect();
        let more: Vec<_> = names.iter().map(|name| (name.as_str(), "error", 1)).collect();
        let errors = service.open["severity error"];
        let findings = service.step(1.0, &more).findings;
        told = told.or(findings.into_iter().find(|finding| finding.ids[0] == errors).map(|finding| (k, finding)));
    }
    let (delay, finding) = told.expect("it is told");
    assert!(delay <= 4 && finding.summary.contains("errors are"), "{delay} {finding:?}");
}

/// A pattern that was known before a restart, or before it was evicted, is not new.
#[test]
fn known_patterns_stay_known() {
    let mut service = Service::new(16);
    service.run(360, 1.0, &[("old failure", "error", 2)]);
    let renamed = service.driver.restart().expect("restarts");
    service.open = std::mem::take(&mut service.open).into_iter().map(|(name, id)| (name, renamed[&id])).collect();
    assert!(service.run(20, 1.0, &[("old failure", "error", 2)]).is_empty());
    let id = service.open.remove("old failure").expect("open");
    service.driver.close(id);
    assert!(service.run(20, 1.0, &[]).is_empty());
    assert!(service.run(20, 1.0, &[("old failure", "error", 2)]).is_empty());
}

/// Whatever the numbers and gaps, verdicts keep the contract, and a restart at any time changes no later answer.
#[test]
fn any_windows_are_judged_alike_after_a_restart() {
    expect_sound::<LogPatterns>(
        r#"{"warmup_windows":10,"min_windows":10}"#,
        &[Kind::LogTemplate, Kind::LogTemplate, Kind::LogTemplate, Kind::LogSeverity, Kind::LogSeverity],
        100,
        64,
    );
}
