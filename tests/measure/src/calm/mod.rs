//! Owns calm weeks: services that nothing ails, played natively through the detectors and the engine, to see how often that opens an
//! anomaly, and whether a fault among it is still found.
//!
//! The weeks have daily and weekly load, a rollout on each working day, batch jobs, memory that is collected, a queue that is mostly
//! empty, rare log lines, calls so few that quantiles are of single values, and the night in which clocks go forward.

mod native;
mod noise;
mod service;

pub use native::{DEFAULT, SHIPPED};
pub use service::{Character, Fault};

use anyhow::Result;
use foreshock_engine::{
    anomaly::{Anomalies, AnomalySettings},
    event::AnomalyChange,
    shard::ShardOutput,
    verdict::Severity,
};
use native::Models;
use service::Simulated;
use std::{io::Write, thread};

/// A group of services that are alike.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// In words.
    pub name: &'static str,
    /// How many.
    pub services: u64,
    /// What they are like.
    pub character: Character,
    /// Seconds of a window.
    pub step: u64,
    /// Where it begins, in days after Monday, 16 March 2026; clocks go forward in the night to the 13th.
    pub first_day: u64,
    /// Days that only warm up, and days that count.
    pub warmup_days: f64,
    /// See `warmup_days`.
    pub days: f64,
}

/// What was opened.
#[derive(Clone, Debug, Default)]
pub struct Opened {
    /// Days of all services together.
    pub service_days: f64,
    /// Anomalies that opened.
    pub all: u64,
    /// Those of severity warning or worse.
    pub warnings: u64,
    /// Times at which one was told, first or again, as a warning or worse.
    pub alarms: u64,
    /// A line for each, the first ones.
    pub lines: Vec<String>,
}

impl Opened {
    /// Anomalies of one service in one day.
    #[must_use]
    pub fn a_day(&self) -> f64 {
        self.all as f64 / self.service_days.max(1e-9)
    }

    fn add(&mut self, other: Self) {
        self.service_days += other.service_days;
        self.all += other.all;
        self.warnings += other.warnings;
        self.alarms += other.alarms;
        self.lines.extend(other.lines);
        self.lines.truncate(400);
    }
}

/// One service as it is played.
struct Played {
    simulated: Simulated,
    models: Models,
    anomalies: Anomalies,
}

impl Played {
    fn new(number: u64, group: &Group, detectors: &[&str], settings: AnomalySettings) -> Result<Self> {
        let simulated = Simulated::new(number, group.character, group.step, group.first_day);
        let models = Models::open(detectors, &simulated.key.to_string(), number, group.step * 1_000_000_000)?;
        Ok(Self { simulated, models, anomalies: Anomalies::new(settings).with_weights(native::weights()) })
    }

    /// Plays some windows and says which anomalies they opened.
    fn play(&mut self, windows: u64, fault: Option<Fault>) -> Result<Opened> {
        let mut opened = Opened::default();
        for _ in 0..windows {
            let (closed, facts) = self.simulated.next(fault);
            let verdicts = self.models.observe(&closed)?;
            self.anomalies.handle_window(&closed, &facts, &verdicts);
            while let Some(output) = self.anomalies.poll_output() {
                let ShardOutput::Anomaly { change, anomaly, .. } = output else { continue };
                let is_loud = u64::from(anomaly.severity > Severity::Info);
                if change != AnomalyChange::Ended {
                    opened.alarms += is_loud;
                }
                if change == AnomalyChange::Detected {
                    opened.all += 1;
                    opened.warnings += is_loud;
                    opened.lines.push(native::line(&anomaly));
                }
            }
        }
        Ok(opened)
    }
}

fn windows(group: &Group, days: f64) -> u64 {
    (days * 86_400.0 / group.step as f64) as u64
}

/// Plays the calm days of a group.
///
/// # Errors
/// If a detector fails, which is a bug.
pub fn calm(group: &Group, detectors: &[&str], settings: AnomalySettings) -> Result<Opened> {
    let one = |number: u64| -> Result<Opened> {
        let mut played = Played::new(number, group, detectors, settings)?;
        played.play(windows(group, group.warmup_days), None)?;
        let mut opened = played.play(windows(group, group.days), None)?;
        opened.service_days = group.days;
        Ok(opened)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    let mut all = Opened::default();
    thread::scope(|scope| -> Result<()> {
        let share = |thread: u64| {
            (0..group.services).filter(move |number| number % threads == thread).map(one).collect::<Result<Vec<_>>>()
        };
        let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(move || share(thread))).collect();
        for handle in handles {
            let opened = handle.join().map_err(|_| anyhow::anyhow!("a thread failed"))??;
            opened.into_iter().for_each(|opened| all.add(opened));
        }
        Ok(())
    })?;
    Ok(all)
}

/// Breaks one service of a group for `minutes` after its calm days, once with each fault. Gives for each after how many windows an anomaly
/// was told; `None` if none was.
///
/// # Errors
/// If a detector fails, which is a bug.
pub fn faults(
    group: &Group,
    detectors: &[&str],
    settings: AnomalySettings,
    minutes: u64,
) -> Result<Vec<(Fault, Option<u64>)>> {
    let one = |fault: Fault| -> Result<(Fault, Option<u64>)> {
        let mut played = Played::new(1, group, detectors, settings)?;
        played.play(windows(group, group.warmup_days), None)?;
        for window in 0..minutes * 60 / group.step {
            let told = played.play(1, Some(fault))?;
            if told.all + told.alarms > 0 {
                return Ok((fault, Some(window + 1)));
            }
        }
        Ok((fault, None))
    };
    Fault::ALL.into_iter().map(one).collect()
}

/// The groups of the long measurement.
#[must_use]
pub fn weeks() -> Vec<Group> {
    let group = |name, services, series, calls, step| Group {
        name,
        services,
        character: Character { series, calls },
        step,
        first_day: 0,
        warmup_days: 3.0,
        days: 18.0,
    };
    vec![
        group("5 series, 50 calls/s, 60 s", 16, 5, 50.0, 60),
        group("5 series, 1 call/s, 60 s", 16, 5, 1.0, 60),
        group("5 series, 0.01 calls/s, 60 s", 16, 5, 0.01, 60),
        group("50 series, 50 calls/s, 60 s", 4, 50, 50.0, 60),
        group("50 series, 1 call/s, 60 s", 4, 50, 1.0, 60),
        group("500 series, 500 calls/s, 60 s", 2, 500, 500.0, 60),
        group("500 series, 5 calls/s, 60 s", 2, 500, 5.0, 60),
        Group { warmup_days: 1.0, days: 4.0, ..group("50 series, 50 calls/s, 10 s", 2, 50, 50.0, 10) },
        Group { warmup_days: 1.0, days: 1.0, ..group("500 series, 50 calls/s, 10 s", 1, 500, 50.0, 10) },
    ]
}

/// Plays calm weeks for each budget and writes a table of it, a row as soon as it is known, with the first `show` anomalies below.
///
/// # Errors
/// If a detector fails, which is a bug, or nobody takes the table.
pub fn measure(detectors: &[&str], budgets: &[f64], show: usize, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "detectors: {}", detectors.join(", "))?;
    writeln!(out, "| services | service-days | budget a day | opened a day | of it warnings or worse |")?;
    writeln!(out, "| --- | --- | --- | --- | --- |")?;
    for group in weeks() {
        for budget in budgets {
            let mut settings = AnomalySettings::default();
            settings.budget.per_service_day = *budget;
            let opened = calm(&group, detectors, settings)?;
            let (days, a_day) = (opened.service_days, opened.a_day());
            let warnings = opened.warnings as f64 / days;
            writeln!(out, "| {} | {days:.0} | {budget} | {a_day:.3} | {warnings:.3} |", group.name)?;
            for line in opened.lines.iter().take(show) {
                writeln!(out, "    {line}")?;
            }
        }
    }
    Ok(())
}

/// Breaks services of several sizes at several times of the second week, once with each fault, and writes a table of how many minutes passed
/// until an anomaly of any severity was told; a dash where none was within an hour.
///
/// # Errors
/// If a detector fails, which is a bug, or nobody takes the table.
pub fn measure_faults(detectors: &[&str], out: &mut dyn Write) -> Result<()> {
    writeln!(out, "detectors: {}", detectors.join(", "))?;
    let names: Vec<String> = Fault::ALL.iter().map(|fault| format!("{fault:?}")).collect();
    writeln!(out, "| services, day and hour (UTC) of the fault | {} |", names.join(" | "))?;
    writeln!(out, "| --- |{}", " --- |".repeat(names.len()))?;
    for (series, calls) in [(5, 1.0), (5, 50.0), (50, 20.0), (500, 500.0)] {
        for (when, warmup_days) in [("Wednesday 00:00", 2.0), ("Wednesday 10:00", 2.42), ("second Tuesday 10:00", 8.42)]
        {
            if series == 500 && warmup_days > 3.0 {
                continue;
            }
            let character = Character { series, calls };
            let group =
                Group { name: "broken", services: 1, character, step: 60, first_day: 0, warmup_days, days: 0.0 };
            let found = faults(&group, detectors, AnomalySettings::default(), 60)?;
            let cells: Vec<String> = found
                .iter()
                .map(|(_, windows)| {
                    windows.map_or_else(|| "-".into(), |windows| (windows * group.step / 60).to_string())
                })
                .collect();
            writeln!(out, "| {series} series, {calls} calls/s, {when} | {} |", cells.join(" | "))?;
        }
    }
    Ok(())
}
