//! The budget of false alarms on calm weeks, and faults among them. `cargo xtask calm` plays far longer ones and prints a table.

use foreshock_engine::anomaly::AnomalySettings;
use foreshock_measure::calm::{Character, DEFAULT, Group, SHIPPED, calm, faults};

fn group(name: &'static str, services: u64, series: usize, calls: f64, first_day: u64, days: f64) -> Group {
    Group { name, services, character: Character { series, calls }, step: 60, first_day, warmup_days: 2.0, days }
}

fn settings(budget: f64) -> AnomalySettings {
    let mut settings = AnomalySettings::default();
    settings.budget.per_service_day = budget;
    settings
}

/// Protects against measuring what does not ship: detectors, weights and thresholds here are those of the default configuration.
#[test]
fn what_is_measured_is_what_ships() {
    let shipped = include_str!("../../../otel-config/foreshock.yaml");
    let blocks = shipped.lines().filter(|line| line.trim_start().starts_with("module: builtin:")).count();
    assert_eq!(blocks, SHIPPED.len());
    for (name, weight, config) in SHIPPED {
        let mut block = format!("  {name}:\n    module: builtin:{name}\n    services: [\"*\"]\n");
        if weight != 1.0 {
            block += &format!("    weight: {weight}\n");
        }
        if config != "{}" {
            let inner = config.trim_matches(['{', '}']).replace('"', "").replace(':', ": ");
            block += &format!("    config: {{ {inner} }}\n");
        }
        let rest = shipped.split_once(&block).map(|(_, rest)| rest).unwrap_or_else(|| panic!("{name} ships otherwise"));
        let next = rest.lines().next().unwrap_or_default();
        assert!(!next.starts_with("    weight") && !next.starts_with("    config"), "{name} ships with more: {next}");
    }
}

/// Protects the one promise that decides whether people keep it: services that nothing ails raise no more than twice their budget of alarms
/// (anomalies of severity warning or worse; the others are notes, which wake nobody), with 5 series and with 500, busy and nearly idle, over rollouts, batch jobs, weekends and the night in which clocks go forward.
#[test]
fn calm_weeks_keep_within_twice_the_budget() {
    for group in [
        group("5 series", 8, 5, 50.0, 0, 14.0),
        group("5 series, few calls", 8, 5, 0.01, 0, 14.0),
        group("500 series", 1, 500, 500.0, 9, 4.0),
        group("500 series, few calls", 1, 500, 2.0, 9, 8.0),
    ] {
        let opened = calm(&group, &DEFAULT, settings(0.5)).expect("detectors work");
        let most = 2.0 * 0.5 * opened.service_days;
        assert!(
            opened.warnings as f64 <= most,
            "{}: {} of {most}\n{}",
            group.name,
            opened.warnings,
            opened.lines.join("\n")
        );
    }
}

/// Silence is easy to keep by saying nothing: each kind of fault is told within the hour among the same weeks, in large services and small
/// ones. It comes at ten in the morning: by night, calls that fall to a tenth are nearly what a small service has anyway.
#[test]
fn faults_are_found_within_the_budget() {
    for (series, calls) in [(5, 50.0), (50, 20.0)] {
        let group = Group { warmup_days: 2.42, ..group("broken", 1, series, calls, 0, 0.0) };
        for (fault, found) in faults(&group, &DEFAULT, settings(0.5), 60).expect("detectors work") {
            assert!(found.is_some(), "{fault:?} in a service of {series} series");
        }
    }
}
