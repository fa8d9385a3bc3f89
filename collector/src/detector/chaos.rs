//! `foreshock detector chaos`: what goes wrong in the field, against the author's own component.

use super::{
    candidate::{self, Candidate, Ready},
    feed::{Feed, Row},
    playing::{Played, fault, feed},
    recorded, table,
};
use crate::cli::Failure;
use foreshock_engine::{
    ticks::TickSettings,
    verdict::Detectors as _,
    window::{ClosedWindow, Series, SeriesKind},
};
use foreshock_otlp::{Signal, json};
use globset::Glob;
use std::sync::Arc;

/// Series of a service in most cases, for each kind.
const OF_EACH_KIND: u32 = 3;
/// The most series that a service has: as many as detectors are shown.
const MANY_SERIES: u32 = 10_000;
const DAY_NS: u64 = 86_400_000_000_000;

/// The arguments of `foreshock detector chaos`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    candidate: candidate::Chosen,
}

/// What a case is made of.
struct Case {
    name: &'static str,
    windows: Vec<ClosedWindow>,
    /// Take a snapshot and go on from it in a new model before every window.
    restarts: bool,
}

/// Plays all cases and prints how each came out.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let candidate = Candidate::read(&arguments.candidate)?;
    let ready = candidate.ready()?;
    let mut rows = Vec::new();
    let mut faulted = Vec::new();
    for case in cases(&ready)? {
        let (played, mut fault) = play(&ready, &case);
        let mut longest = played.longest();
        if fault.is_none() && longest > ready.limits.deadline {
            // The shorter of two runs, so that what else the machine did in one of them does not count.
            let (again, _) = play(&ready, &case);
            longest =
                played.judged.iter().zip(&again.judged).map(|(a, b)| a.took.min(b.took)).max().unwrap_or_default();
            if longest > ready.limits.deadline {
                let allowed = table::time(ready.limits.deadline);
                fault = Some(format!("deadline: a call takes {}, {allowed} are allowed", table::time(longest)));
            }
        }
        let outcome = match &fault {
            None => format!("ok, {} findings", played.findings()),
            Some(fault) => format!("FAULTS: {fault}"),
        };
        rows.push(vec![
            case.name.to_owned(),
            case.windows.len().to_string(),
            table::time(longest),
            table::bytes(played.memory),
            outcome,
        ]);
        if fault.is_some() {
            faulted.push(case.name);
        }
    }
    let about = ready.detector.about();
    let mut text = format!("{} {}\n\n", about.name, about.version);
    text.push_str(&table::table(&["case", "windows", "longest call", "memory", "outcome"], &rows));
    super::print(&text)?;
    if faulted.is_empty() {
        return super::print(&format!("\nnone of {} cases faults\n", rows.len()));
    }
    Err(Failure::Running(anyhow::anyhow!(
        "{} faults in {} cases: {}",
        candidate.name,
        faulted.len(),
        faulted.join(", ")
    )))
}

/// Plays one case, takes a snapshot at its end and goes on from that.
fn play(ready: &Ready, case: &Case) -> (Played, Option<String>) {
    let mut pool = ready.pool();
    let mut played = Played::default();
    let last = case.windows.len().saturating_sub(1);
    for (number, window) in case.windows.iter().enumerate() {
        if (case.restarts || number == last) && number > 0 {
            let saved = pool.snapshot(&window.service);
            if let Some(why) = std::iter::from_fn(|| pool.poll_health()).find_map(|health| fault(&health)) {
                return (played, Some(format!("in snapshot: {why}")));
            }
            if let Some(saved) = saved {
                pool = ready.pool();
                pool.restore(&window.service, saved);
            }
        }
        let one = feed(ready, &mut pool, [window]);
        let fault = one.first_fault();
        played.memory = played.memory.max(one.memory);
        played.judged.extend(one.judged);
        if let Some(fault) = fault {
            return (played, Some(format!("{fault}, in window {number}")));
        }
    }
    (played, None)
}

/// The kinds that the detector asks for.
fn kinds(ready: &Ready) -> Vec<SeriesKind> {
    ready.detector.about().wanted().collect()
}

/// A service with some series of each kind.
fn service(ready: &Ready) -> Feed {
    let mut feed = Feed::new(ready.step_ns);
    for (id, kind) in (1..).zip(kinds(ready).into_iter().flat_map(|kind| [kind; OF_EACH_KIND as usize])) {
        feed.open(id, kind);
    }
    feed
}

/// What a value of this kind can be.
fn possible(kind: SeriesKind, value: f64) -> f64 {
    match kind {
        SeriesKind::Gauge | SeriesKind::Quantile => value,
        SeriesKind::SpanErrors => value.clamp(0.0, 1.0),
        _ => value.max(0.0),
    }
}

/// Windows in which every series has the value that `value` says for the window's number.
fn same_for_all(ready: &Ready, windows: u32, value: impl Fn(u32) -> f64) -> Vec<ClosedWindow> {
    let mut feed = service(ready);
    (0..windows)
        .map(|number| {
            let row = |(id, kind)| {
                let value = possible(kind, value(number));
                (id, value, value, value, 1)
            };
            let rows: Vec<Row> = feed.series().map(row).collect();
            feed.window(&rows)
        })
        .collect()
}

fn cases(ready: &Ready) -> Result<Vec<Case>, Failure> {
    let learnt = ready.detector.about().warmup_windows.clamp(20, 400) + 20;
    let mut cases = Vec::new();
    let mut add = |name, windows| cases.push(Case { name, windows, restarts: false });
    let ordinary =
        |feed: &mut Feed, windows: u32| -> Vec<ClosedWindow> { (0..windows).map(|_| feed.ordinary(1.0)).collect() };

    add("an ordinary service", ordinary(&mut service(ready), learnt + 40));
    add("zeros only", same_for_all(ready, learnt + 40, |_| 0.0));
    add(
        "the same value always, then another",
        same_for_all(ready, learnt + 40, |n| if n < learnt { 7.0 } else { 7.5 }),
    );
    add("steps up and down", {
        let mut feed = service(ready);
        (0..learnt * 4).map(|n| feed.ordinary([1.0, 20.0, 0.05, 1.0][(n / learnt) as usize % 4])).collect()
    });
    add("spikes", {
        let mut feed = service(ready);
        (0..learnt * 2).map(|n| feed.ordinary(if n % 13 == 12 { 1e6 } else { 1.0 })).collect()
    });
    let absurd = [f64::MAX, -f64::MAX, f64::MIN_POSITIVE, -0.0, 1e308, -1e-308, 5e-324, 1.0];
    add("largest and smallest numbers", same_for_all(ready, learnt + 40, |n| absurd[n as usize % absurd.len()]));
    add(
        "largest numbers after ordinary ones",
        same_for_all(ready, learnt + 40, |n| {
            if n < learnt { f64::from(n % 7) } else { [f64::MAX, -f64::MAX][n as usize % 2] }
        }),
    );
    add("negative numbers", same_for_all(ready, learnt + 40, |n| -1e3 - f64::from(n % 5)));
    add("counts of 1 and of 2^64-1", {
        let mut feed = service(ready);
        (0..learnt + 40)
            .map(|n| {
                let series: Vec<_> = feed.series().collect();
                let rows: Vec<Row> = series
                    .into_iter()
                    .map(|(id, kind)| {
                        let (id, value, min, max, _) = feed.ordinary_row(id, kind, 1.0);
                        (id, value, min, max, [1, u64::MAX][n as usize % 2])
                    })
                    .collect();
                feed.window(&rows)
            })
            .collect()
    });
    add("gaps: series fall silent in turn", {
        let mut feed = service(ready);
        (0..learnt * 2)
            .map(|n| {
                let series: Vec<_> = feed.series().filter(|(id, _)| (n / 5 + id) % 3 != 0).collect();
                let rows: Vec<Row> = series.into_iter().map(|(id, kind)| feed.ordinary_row(id, kind, 1.0)).collect();
                feed.window(&rows)
            })
            .collect()
    });
    add("windows without any row", {
        let mut feed = service(ready);
        (0..learnt + 40).map(|n| if n % 2 == 0 { feed.window(&[]) } else { feed.ordinary(1.0) }).collect()
    });
    for (name, nanos) in [("silence of a month", 30 * DAY_NS), ("a jump of 100 years", 36_525 * DAY_NS)] {
        let mut feed = service(ready);
        let mut windows = ordinary(&mut feed, learnt);
        feed.skip(nanos / ready.step_ns);
        windows.extend(ordinary(&mut feed, 40));
        add(name, windows);
    }
    add("10,000 series", {
        let kinds = kinds(ready);
        let mut feed = Feed::new(ready.step_ns);
        for id in 1..=MANY_SERIES {
            feed.open(id, kinds[id as usize % kinds.len()]);
        }
        ordinary(&mut feed, 12)
    });
    add("series that come and go", {
        let kinds = kinds(ready);
        let mut feed = Feed::new(ready.step_ns);
        let mut next = 1;
        (0..200)
            .map(|_| {
                for _ in 0..50 {
                    feed.close(next.max(101) - 100);
                    feed.open(next, kinds[next as usize % kinds.len()]);
                    next += 1;
                }
                feed.ordinary(1.0)
            })
            .collect()
    });
    add("ids that become other series", {
        let kinds = kinds(ready);
        let mut feed = service(ready);
        (0..learnt + 40_u32)
            .map(|n| {
                if n % 10 == 9 {
                    feed.close(1);
                    feed.open(1, kinds[n as usize % kinds.len()]);
                }
                feed.ordinary(1.0)
            })
            .collect()
    });
    add("strange names", strange_names(ready));
    let restarts = ordinary(&mut service(ready), 60);
    cases.push(Case { name: "a restart before every window", windows: restarts, restarts: true });
    cases.push(Case { name: "NaN, infinity and late points in OTLP", windows: nonsense(ready)?, restarts: false });
    Ok(cases)
}

/// Names and attributes that are empty, long, or more than plain letters; descriptions that change.
fn strange_names(ready: &Ready) -> Vec<ClosedWindow> {
    let long = "x".repeat(4_096);
    let names = ["", "a\nb\r\u{1b}[31m", "{\"quote\": 'd'}", "naïve.métrique.🦀", "\u{202e}reversed", "%s%n{}", &long];
    let kinds = kinds(ready);
    let mut feed = Feed::new(ready.step_ns);
    (0..80_u32)
        .map(|n| {
            if n % 20 == 0 {
                for (id, name) in (1..).zip(names) {
                    let attributes: Vec<(Arc<str>, Arc<str>)> =
                        (0..n / 20 + 1).map(|k| (Arc::from(format!("{k} {name}")), Arc::from(name))).collect();
                    let kind = kinds[id as usize % kinds.len()];
                    feed.open_series(Series { id, name: name.into(), unit: name.into(), kind, attributes });
                }
            }
            feed.ordinary(1.0)
        })
        .collect()
}

/// What senders get wrong, by the way of the product: values that are no numbers, times that go back and far ahead.
fn nonsense(ready: &Ready) -> Result<Vec<ClosedWindow>, Failure> {
    let start = 1_767_571_200_000_000_000_u64;
    let requests = (0..120_u64).map(|n| {
        let time = match n % 17 {
            5 => start,
            11 => start + n * ready.step_ns + 50 * DAY_NS,
            _ => start + n * ready.step_ns,
        };
        let value = ["1.5", "\"NaN\"", "\"Infinity\"", "\"-Infinity\"", "2.5", "1e308"][n as usize % 6];
        let point = format!(r#"{{"timeUnixNano":"{time}","asDouble":{value}}}"#);
        let text = format!(
            r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"checkout"}}}}]}},"scopeMetrics":[{{"metrics":[{{"name":"queue.depth","gauge":{{"dataPoints":[{point}]}}}},{{"name":"orders","sum":{{"isMonotonic":true,"aggregationTemporality":2,"dataPoints":[{point}]}}}}]}}]}}]}}"#
        );
        json::to_protobuf(Signal::Metrics, text.as_bytes()).map(|request| (Signal::Metrics, request)).map_err(|error| error.to_string())
    });
    let any = Glob::new("*").map_err(|error| Failure::Running(error.into()))?.compile_matcher();
    recorded::of(requests, TickSettings::default(), ready.step_ns, any)
}
