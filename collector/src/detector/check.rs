//! `foreshock detector check`: whether a component keeps to the contract.

use super::{
    candidate::{self, Candidate, Ready},
    contract::VERSION,
    feed::Feed,
    playing::{Played, fault, feed},
    recorded::{self, Source},
    table,
};
use crate::{cli::Failure, detectors::chain};
use foreshock_engine::{
    verdict::Detectors as _,
    window::{ClosedWindow, SeriesKind},
};
use foreshock_sandbox::{LoadError, ServiceState};
use std::{path::PathBuf, sync::Arc};

/// Ids are moved by this much after a restart, as the product is free to do.
const ID_SHIFT: u32 = 1_000;
/// Windows that are made up where no recording is given: enough for the warm-up and as much again, within bounds.
const WINDOWS: std::ops::RangeInclusive<u32> = 240..=4_000;
/// What a saved state may weigh.
const STATE_BYTES: usize = 8 << 20;

/// The arguments of `foreshock detector check`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    candidate: candidate::Chosen,
    /// Play this recording instead of made-up windows: OTLP or CSV
    #[arg(long, short, value_name = "PATH")]
    input: Option<PathBuf>,
    /// What the columns of a CSV file mean, as for `foreshock replay`
    #[arg(long, value_name = "FILE", requires = "input")]
    csv_mapping: Option<PathBuf>,
}

/// Makes the bytes and the schema of a saved state of no use.
type Spoil = fn(&mut Vec<u8>, &mut u32);

/// How a check came out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    Good,
    /// Allowed, but probably not meant.
    Odd,
    Bad,
    /// Something before it went wrong.
    NotRun,
}

/// All checks so far.
#[derive(Debug, Default)]
struct Report(Vec<(&'static str, Outcome, String)>);

impl Report {
    fn add(&mut self, what: &'static str, outcome: Outcome, found: impl Into<String>) {
        self.0.push((what, outcome, found.into()));
    }

    fn judge(&mut self, what: &'static str, result: Result<String, String>) -> bool {
        let (outcome, found) = match result {
            Ok(found) => (Outcome::Good, found),
            Err(found) => (Outcome::Bad, found),
        };
        self.add(what, outcome, found);
        outcome == Outcome::Good
    }

    fn not_run(&mut self, whats: &[&'static str]) {
        for what in whats {
            self.add(what, Outcome::NotRun, "not run");
        }
    }

    fn bad(&self) -> usize {
        self.0.iter().filter(|row| row.1 == Outcome::Bad).count()
    }

    fn to_text(&self) -> String {
        let rows: Vec<Vec<String>> = self
            .0
            .iter()
            .map(|(what, outcome, found)| {
                let word = match outcome {
                    Outcome::Good => "ok",
                    Outcome::Odd => "odd",
                    Outcome::Bad => "FAILS",
                    Outcome::NotRun => "-",
                };
                vec![(*what).to_owned(), word.to_owned(), found.clone()]
            })
            .collect();
        let count = |outcome| self.0.iter().filter(|row| row.1 == outcome).count();
        let mut text = table::table(&["check", "", "found"], &rows);
        let (good, odd, bad) = (count(Outcome::Good), count(Outcome::Odd), count(Outcome::Bad));
        text.push_str(&format!("\n{good} checks hold"));
        if odd > 0 {
            text.push_str(&format!(", {odd} odd"));
        }
        text.push_str(&if bad > 0 { format!(", {bad} FAIL\n") } else { "\n".to_owned() });
        text
    }
}

/// What is checked on a running model, in this order.
const RUNNING: [&str; 7] =
    ["opens", "verdicts", "same answers twice", "snapshot", "same answers after a restart", "foreign state", "limits"];

/// Checks a component and prints what was found.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let candidate = Candidate::read(&arguments.candidate)?;
    let mut report = Report::default();
    let mut text = format!("{}: {}\n\n", candidate.name, table::bytes(candidate.bytes.len() as u64));
    check(&candidate, arguments, &mut report)?;
    text.push_str(&report.to_text());
    super::print(&text)?;
    match report.bad() {
        0 => Ok(()),
        bad => Err(Failure::Running(anyhow::anyhow!("{}: {bad} checks fail", candidate.name))),
    }
}

fn check(candidate: &Candidate, arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    report.judge(
        "contract",
        match candidate.contract.version() {
            Some(VERSION) => Ok(VERSION.to_owned()),
            Some(other) => Err(format!("{other}; this Foreshock speaks {VERSION}")),
            None => Err(format!(
                "does not export `foreshock:detector/detector@{VERSION}`, but {:?}",
                candidate.contract.exports
            )),
        },
    );
    let foreign = candidate.contract.foreign();
    report.judge(
        "imports",
        if foreign.is_empty() {
            Ok(if candidate.contract.imports.is_empty() {
                "none".to_owned()
            } else {
                candidate.contract.imports.join(", ")
            })
        } else {
            Err(format!(
                "{}; a detector may import nothing but `foreshock:detector/host` and `types`",
                foreign.join(", ")
            ))
        },
    );
    let rest = ["says what it is", "configuration schema", "configuration"];
    if report.bad() > 0 {
        report.not_run(&rest);
        report.not_run(&RUNNING);
        return Ok(());
    }
    let ready = match candidate.load()? {
        Ok(ready) => ready,
        Err(error) => {
            let what = match &error {
                LoadError::Describe { .. } | LoadError::BadAbout(_) => rest[0],
                _ => "loads",
            };
            report.add(what, Outcome::Bad, chain(&error));
            report.not_run(&rest[usize::from(what == rest[0])..]);
            report.not_run(&RUNNING);
            return Ok(());
        }
    };
    let about = ready.detector.about();
    report.add(
        rest[0],
        Outcome::Good,
        format!(
            "{} {}, state schema {}, warm-up {} windows",
            about.name, about.version, about.state_schema, about.warmup_windows
        ),
    );
    let (outcome, found) = schema(&about.config_schema);
    report.add(rest[1], outcome, found);
    let fits = report.judge(
        rest[2],
        if outcome == Outcome::Bad {
            Err("can't be held against the schema".to_owned())
        } else {
            candidate.fits_schema(&about.config_schema).map(|()| "fits the schema".to_owned())
        },
    );
    let opens = fits
        && report.judge(
            RUNNING[0],
            match ready.sandbox.try_open(&ready.detector, ready.step_ns) {
                Ok(()) => Ok("a fresh model".to_owned()),
                Err(error) => Err(chain(&error)),
            },
        );
    if !opens {
        report.not_run(&RUNNING[usize::from(fits)..]);
        return Ok(());
    }
    let windows = match &arguments.input {
        Some(input) => {
            let source =
                Source { input: input.clone(), csv_mapping: arguments.csv_mapping.clone(), service: "*".to_owned() };
            recorded::windows(&source, &ready)?
        }
        None => made_up(&ready),
    };
    running(&ready, &windows, report);
    Ok(())
}

/// Whether a configuration schema is a good one.
fn schema(schema: &serde_json::Value) -> (Outcome, String) {
    if let Err(error) = jsonschema::draft202012::meta::validate(schema) {
        return (Outcome::Bad, format!("is no JSON Schema of draft 2020-12: {error}"));
    }
    if let Err(error) = jsonschema::validator_for(schema) {
        return (Outcome::Bad, format!("can't be used: {error}"));
    }
    let keys = schema["properties"].as_object().map_or(0, serde_json::Map::len);
    if schema["additionalProperties"] != false {
        let found = "takes unknown keys: without `additionalProperties: false` a misspelt key is not found";
        return (Outcome::Odd, found.to_owned());
    }
    (Outcome::Good, format!("{keys} keys"))
}

/// A service with three series of each kind that the detector asks for: quiet, then five times as much for a while, then with
/// series that go and come.
fn made_up(ready: &Ready) -> Vec<ClosedWindow> {
    let about = ready.detector.about();
    let count = about.warmup_windows.saturating_mul(3).clamp(*WINDOWS.start(), *WINDOWS.end());
    let mut feed = Feed::new(ready.step_ns);
    let mut id = 0;
    for kind in about.wanted() {
        for _ in 0..3 {
            id += 1;
            feed.open(id, kind);
        }
    }
    let last = id;
    (0..count)
        .map(|number| {
            if number == count * 4 / 5 {
                let kind = feed.series().find(|(id, _)| *id == last).map(|(_, kind)| kind);
                feed.close(last);
                feed.open(last + 1, kind.unwrap_or(SeriesKind::Gauge));
                feed.skip(3);
            }
            let is_odd = (count * 3 / 5..count * 7 / 10).contains(&number);
            feed.ordinary(if is_odd { 5.0 } else { 1.0 })
        })
        .collect()
}

/// The checks for which the model must run.
fn running(ready: &Ready, windows: &[ClosedWindow], report: &mut Report) {
    let mut first_pool = ready.pool();
    let first = feed(ready, &mut first_pool, windows);
    if let Some(fault) = first.first_fault() {
        report.add(RUNNING[1], Outcome::Bad, fault);
        report.not_run(&RUNNING[2..]);
        return;
    }
    let judged = first.judged.iter().filter(|judged| judged.verdict.is_some()).count();
    let found = format!("{judged} of {} windows judged, {} findings", windows.len(), first.findings());
    report.add(RUNNING[1], if judged == 0 { Outcome::Odd } else { Outcome::Good }, found);

    let mut second_pool = ready.pool();
    let second = feed(ready, &mut second_pool, windows);
    report.judge(RUNNING[2], differs(&first, &second).map_or(Ok("bit for bit".to_owned()), Err));

    let services: Vec<_> = first_pool.services().cloned().collect();
    let mut states: Vec<ServiceState> = Vec::new();
    let snapshots = services.iter().try_fold(0, |largest: usize, service| {
        let once = first_pool.snapshot(service).unwrap_or_default();
        let again = first_pool.snapshot(service).unwrap_or_default();
        let other = second_pool.snapshot(service).unwrap_or_default();
        let bytes: usize = once.models.iter().map(|model| model.bytes.len()).sum();
        let failed = std::iter::from_fn(|| first_pool.poll_health()).find_map(|health| fault(&health));
        if let Some(why) = failed {
            return Err(format!("{service}: {why}"));
        }
        if once != again {
            return Err("two snapshots one after the other differ: taking one must not change the model".to_owned());
        }
        if once != other {
            return Err("two models that saw the same have different states".to_owned());
        }
        states.push(once);
        Ok(largest.max(bytes))
    });
    drop((first_pool, second_pool));
    let state_bytes = snapshots.clone().unwrap_or_default();
    let good = report.judge(RUNNING[3], snapshots.map(|bytes| format!("{} at most", table::bytes(bytes as u64))));
    if good {
        report.judge(RUNNING[4], after_restart(ready, windows, &first));
        report.judge(RUNNING[5], foreign_state(ready, windows, &states));
    } else {
        report.not_run(&RUNNING[4..6]);
    }
    report.judge(RUNNING[6], limits(ready, &first, &second, state_bytes));
}

/// Where two runs first differ.
fn differs(a: &Played, b: &Played) -> Option<String> {
    let (a, b) = (a.answers(), b.answers());
    let at = a.iter().zip(&b).position(|(a, b)| a != b)?;
    Some(format!("window {at} of {} was judged in another way", a.len()))
}

/// Plays half, takes a snapshot, goes on from it in a new model that knows the series under other ids, and compares.
fn after_restart(ready: &Ready, windows: &[ClosedWindow], straight: &Played) -> Result<String, String> {
    let middle = windows.len() / 2;
    let (before, after) = windows.split_at(middle);
    let mut pool = ready.pool();
    feed(ready, &mut pool, before);
    let services: Vec<_> = pool.services().cloned().collect();
    let states: Vec<_> = services.iter().filter_map(|service| Some((service, pool.snapshot(service)?))).collect();
    let mut pool = ready.pool();
    for (service, mut state) in states {
        state.series.iter_mut().for_each(|series| series.id += ID_SHIFT);
        pool.restore(service, state);
    }
    let shifted: Vec<ClosedWindow> = after.iter().map(|window| shift(window, |id| id + ID_SHIFT)).collect();
    let mut restarted = feed(ready, &mut pool, &shifted);
    if let Some(fault) = restarted.first_fault() {
        return Err(fault);
    }
    for verdict in restarted.judged.iter_mut().filter_map(|judged| judged.verdict.as_mut()) {
        verdict.scores.iter_mut().for_each(|score| score.0 -= ID_SHIFT);
        verdict.findings.iter_mut().flat_map(|finding| &mut finding.ids).for_each(|id| *id -= ID_SHIFT);
    }
    let straight = Played { judged: straight.judged[middle..].to_vec(), memory: 0 };
    match differs(&straight, &restarted) {
        Some(what) => Err(format!("{what} after a restart before window {middle}; series come back under other ids")),
        None => Ok(format!("{} windows, series under other ids", after.len())),
    }
}

fn shift(window: &ClosedWindow, id: impl Fn(u32) -> u32) -> ClosedWindow {
    let mut window = window.clone();
    for series in &mut window.window.opened {
        Arc::make_mut(series).id = id(series.id);
    }
    let columns = [&mut window.window.ids, &mut window.window.closed];
    columns.into_iter().flatten().for_each(|it| *it = id(*it));
    window
}

/// Offers states that the model can't use. It must say so, and not trap: then it is opened anew.
fn foreign_state(ready: &Ready, windows: &[ClosedWindow], states: &[ServiceState]) -> Result<String, String> {
    let Some((window, state)) = windows.first().zip(states.iter().find(|state| !state.models.is_empty())) else {
        return Ok("nothing was saved".to_owned());
    };
    let spoilt: [(&str, Spoil); 3] = [
        ("of another schema", |_, schema| *schema = schema.wrapping_add(1)),
        ("cut in half", |bytes, _| bytes.truncate(bytes.len() / 2)),
        ("of random bytes", |bytes, _| {
            *bytes = (0..64_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        }),
    ];
    let mut refused = 0;
    for (what, spoil) in spoilt {
        let mut state = state.clone();
        for model in &mut state.models {
            spoil(&mut model.bytes, &mut model.schema);
        }
        let mut pool = ready.pool();
        pool.restore(&window.service, state);
        let played = feed(ready, &mut pool, [window]);
        let reasons: Vec<_> =
            played.judged.iter().flat_map(|judged| &judged.health).filter_map(|it| it.reason).collect();
        if let Some(reason) = reasons.iter().find(|reason| **reason != foreshock_engine::verdict::FaultReason::BadState)
        {
            return Err(format!("a state {what} makes it fail ({}); `bad-state` is the answer", reason.name()));
        }
        refused += usize::from(!reasons.is_empty());
    }
    Ok(format!("{refused} of {} refused with `bad-state`, none faulted", spoilt.len()))
}

/// Memory, time and state against what they may be.
fn limits(ready: &Ready, first: &Played, second: &Played, state_bytes: usize) -> Result<String, String> {
    // The shorter of two runs, so that what else the machine did in one of them does not count.
    let times = first.judged.iter().zip(&second.judged).map(|(a, b)| a.took.min(b.took));
    let longest = times.max().unwrap_or_default();
    let memory = first.memory.max(second.memory);
    let found = format!(
        "memory {} of {}, longest call {} of {}, state {} of {}",
        table::bytes(memory),
        table::bytes(ready.limits.memory_bytes as u64),
        table::time(longest),
        table::time(ready.limits.deadline),
        table::bytes(state_bytes as u64),
        table::bytes(STATE_BYTES as u64),
    );
    if longest > ready.limits.deadline { Err(found) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A schema that is none must fail, and one that lets misspelt keys through must be told.
    #[test]
    fn schemas_are_judged() {
        let good = json!({"type": "object", "additionalProperties": false, "properties": {"a": {"type": "number"}}});
        assert_eq!(schema(&good), (Outcome::Good, "1 keys".to_owned()));
        assert_eq!(schema(&json!({"type": "object"})).0, Outcome::Odd);
        assert_eq!(schema(&json!({"type": "obiect"})).0, Outcome::Bad);
        assert_eq!(schema(&json!({"properties": {"a": {"minimum": "x"}}})).0, Outcome::Bad);
    }
}
