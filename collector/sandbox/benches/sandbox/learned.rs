//! What detectors cost when they have learned for three weeks of windows of a minute, averaged over the week that follows: forests are
//! grown anew, nets learn, relations are solved in it as they come. Also the combinations of detectors that have an aim.

use crate::{line, load_with, pool_of, service};
use cpu_time::ThreadTime;
use foreshock_detector::{Detector, Kind, Setup, testkit::Driver};
use foreshock_engine::{
    UnixNanos,
    verdict::Detectors,
    window::{ClosedWindow, Series, SeriesKind, Window},
};
use foreshock_sandbox::{Sandbox, Settings};
use std::{f64::consts::TAU, hint::black_box, sync::Arc, time::Duration};

const STEP_NS: u64 = 60_000_000_000;
const DAY: u64 = 1_440;
const LEARNED: u64 = 21 * DAY;
const MEASURED: u64 = 7 * DAY;
/// Windows that are made at a time, before they are judged.
const AT_ONCE: u64 = DAY / 2;
const FIRST: u64 = 1_767_571_200_000_000_000;

/// A detector and how it is set up in `otel-config/foreshock.yaml` (or, for the combinations, in the aim).
struct Part {
    name: &'static str,
    config: &'static str,
    native: fn(&str, &Service) -> f64,
}

/// What one costs for each series: bytes, and microseconds a sample.
#[derive(Clone, Copy, Default)]
struct Cost {
    state: f64,
    memory: f64,
    with_snapshot: f64,
    sandboxed: f64,
    native: f64,
}

const FOREST: Part = Part {
    name: "isolation-forest",
    config: r#"{"threshold":7}"#,
    native: native::<foreshock_isolation_forest::IsolationForest>,
};
const BASELINE: Part =
    Part { name: "baseline", config: r#"{"threshold":6}"#, native: native::<foreshock_baseline::Baseline> };
const NOVELTY: Part =
    Part { name: "novelty", config: r#"{"threshold":0.38}"#, native: native::<foreshock_novelty::Novelty> };
const JOINT: Part = Part { name: "joint", config: "{}", native: native::<foreshock_joint::Joint> };
const FORECAST: Part = Part { name: "forecast", config: "{}", native: native::<foreshock_forecast::Forecast> };
const LOGS: Part = Part { name: "log-patterns", config: "{}", native: native::<foreshock_log_patterns::LogPatterns> };
const SHIFT: Part = Part { name: "shift", config: "{}", native: native::<foreshock_shift::Shift> };
const LIGHT: Part =
    Part { name: "novelty", config: r#"{"form":"light"}"#, native: native::<foreshock_novelty::Novelty> };

pub(crate) fn tables() {
    for series in [50, 200] {
        line(format_args!("\n{series} series\n"));
        line(format_args!(
            "| detector | state, bytes a series | linear memory | with a snapshot taken | us a sample | native | \
             points a second |\n| --- | --- | --- | --- | --- | --- | --- |"
        ));
        let metrics = Service { series, shape: Shape::Metrics };
        let forest = show("`isolation-forest`", &FOREST, &metrics);
        let baseline = show("`baseline`", &BASELINE, &metrics);
        let novelty = show("`novelty`", &NOVELTY, &metrics);
        let joint = show("`joint`", &JOINT, &metrics);
        let forecast = show("`forecast`, no series with a limit", &FORECAST, &metrics);
        let limited = show("`forecast`, each with a limit", &FORECAST, &Service { series, shape: Shape::Shares });
        let always = [forest, baseline, novelty, joint];
        print("**default set, a series without a limit**", sum(&[&always[..], &[forecast]].concat()));
        print("**default set, a series with a limit**", sum(&[&always[..], &[limited]].concat()));
        show("`log-patterns`, a pattern", &LOGS, &Service { series, shape: Shape::Patterns });
        let shift = show("`shift`", &SHIFT, &metrics);
        let light = show("`novelty` with four members", &LIGHT, &metrics);
        print("**`baseline`, `shift` and `novelty` with four members**", sum(&[baseline, shift, light]));
    }
}

fn sum(costs: &[Cost]) -> Cost {
    costs.iter().fold(Cost::default(), |sum, cost| Cost {
        state: sum.state + cost.state,
        memory: sum.memory + cost.memory,
        with_snapshot: sum.with_snapshot + cost.with_snapshot,
        sandboxed: sum.sandboxed + cost.sandboxed,
        native: sum.native + cost.native,
    })
}

fn show(label: &str, part: &Part, service: &Service) -> Cost {
    let cost = Cost { native: (part.native)(part.config, service), ..sandboxed(part, service) };
    print(label, cost);
    cost
}

fn print(label: &str, cost: Cost) {
    let Cost { state, memory, with_snapshot, sandboxed, native } = cost;
    line(format_args!(
        "| {label} | {state:.0} | {memory:.0} | {with_snapshot:.0} | {sandboxed:.3} | {native:.3} | {:.0} |",
        1e6 / sandboxed
    ));
}

/// What the series of a service are like.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// Metrics and spans of all kinds, with days, weeks, noise, spikes and level shifts.
    Metrics,
    /// Shares of a whole that fill up and are emptied every five days.
    Shares,
    /// Log patterns.
    Patterns,
}

struct Service {
    series: u32,
    shape: Shape,
}

impl Service {
    fn kind(&self, id: u32) -> (SeriesKind, Kind) {
        match (self.shape, id % 10) {
            (Shape::Shares, _) | (Shape::Metrics, 0..=3) => (SeriesKind::Gauge, Kind::Gauge),
            (Shape::Metrics, 4 | 5) => (SeriesKind::Rate, Kind::Rate),
            (Shape::Metrics, 6) => (SeriesKind::Quantile, Kind::Quantile),
            (Shape::Metrics, 7) => (SeriesKind::SpanRate, Kind::SpanRate),
            (Shape::Metrics, 8) => (SeriesKind::SpanErrors, Kind::SpanErrors),
            (Shape::Metrics, _) => (SeriesKind::SpanDuration, Kind::SpanDuration),
            (Shape::Patterns, _) => (SeriesKind::LogTemplate, Kind::LogTemplate),
        }
    }

    fn name(&self, id: u32) -> String {
        match self.shape {
            Shape::Metrics => format!("shop.metric.{id}"),
            Shape::Shares => format!("shop.volume.{id}.utilization"),
            Shape::Patterns => format!("log.template.{id}"),
        }
    }

    fn attributes(&self, id: u32) -> Vec<(&'static str, String)> {
        match self.shape {
            Shape::Patterns => vec![
                ("foreshock.template.id", id.to_string()),
                ("foreshock.template.text", format!("user <*> did {id}")),
            ],
            _ => vec![("shop.part", format!("part-{}", id % 7))],
        }
    }

    fn value(&self, id: u32, index: u64) -> f64 {
        let day = index as f64 / DAY as f64;
        let noise = (0..4).map(|k| uniform(id, index, k)).sum::<f64>() * 1.73 - 3.46;
        let wave = 1.0 + 0.4 * (day * TAU + f64::from(id)).sin();
        let load = wave * if (day as u64 + 1) % 7 < 2 { 0.8 } else { 1.0 };
        let (bucket, minute) = (index / 600, index % 600);
        let burst = if minute < 15 && uniform(id, bucket, 5) < 0.02 { 2.5 } else { 1.0 };
        let level = 1.0 + 0.2 * (uniform(id, index / (7 * DAY), 6) * 3.0).floor();
        let base = f64::from(10 * (1 + id % 7)) * level * load * burst;
        match (self.shape, id % 10) {
            (Shape::Shares, _) => {
                let fill = ((day + f64::from(id % 5)) / 5.0).fract();
                (0.2 + 0.5 * fill * fill + 0.005 * noise).clamp(0.0, 1.0)
            }
            (Shape::Patterns, _) | (Shape::Metrics, 4) => (base + base.sqrt() * noise).round().max(1.0) / 6.0,
            (Shape::Metrics, 8) => (0.01 * burst * (1.0 + 0.3 * noise)).clamp(0.0, 1.0),
            (Shape::Metrics, _) => base * (1.0 + 0.05 * noise),
        }
    }
}

/// Evenly between 0 and 1, by what it is for.
fn uniform(id: u32, index: u64, what: u64) -> f64 {
    let mut x = (u64::from(id) << 40) ^ (index << 4) ^ what;
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Feeds four weeks; gives the microseconds a sample of the last one. `judge` gives the processor time that some windows took.
fn average(service: &Service, mut judge: impl FnMut(std::ops::Range<u64>) -> Duration) -> f64 {
    let mut took = Duration::ZERO;
    for first in (0..LEARNED + MEASURED).step_by(AT_ONCE as usize) {
        let this = judge(first..first + AT_ONCE);
        if first >= LEARNED {
            took += this;
        }
    }
    took.as_secs_f64() * 1e6 / (MEASURED * u64::from(service.series)) as f64
}

fn sandboxed(part: &Part, served: &Service) -> Cost {
    let sandbox = Arc::new(Sandbox::new(Settings { max_models: 10, ..Settings::default() }).expect("a sandbox"));
    let config = serde_json::from_str(part.config).expect("JSON");
    let detector = load_with(&sandbox, part.name, config);
    let mut pool = pool_of(&sandbox, &[Arc::clone(&detector)], STEP_NS);
    let key = service(0);
    let micros = average(served, |indices| {
        let windows: Vec<ClosedWindow> = indices.map(|index| window(served, index)).collect();
        let began = ThreadTime::now();
        let answers: usize = windows.iter().map(|window| black_box(pool.observe(black_box(window))).len()).sum();
        let took = began.elapsed();
        assert_eq!(answers, windows.len(), "no call may fail");
        took
    });
    let each = |bytes: f64| bytes / f64::from(served.series);
    let memory = detector.stats().memory_bytes();
    let state = pool.snapshot(&key).expect("a state");
    let state: usize = state.models.iter().map(|model| model.bytes.len()).sum();
    Cost {
        state: each(state as f64),
        memory: each(memory as f64),
        with_snapshot: each(detector.stats().memory_bytes() as f64),
        sandboxed: micros,
        native: 0.0,
    }
}

fn window(served: &Service, index: u64) -> ClosedWindow {
    let series = |id| Series {
        id,
        name: served.name(id).into(),
        unit: "1".into(),
        kind: served.kind(id).0,
        attributes: served.attributes(id).into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
    };
    let values: Vec<f64> = (0..served.series).map(|id| served.value(id, index)).collect();
    let start = FIRST + index * STEP_NS;
    ClosedWindow {
        service: service(0),
        resource: Arc::default(),
        window: Window {
            start: UnixNanos(start),
            end: UnixNanos(start + STEP_NS),
            opened: if index == 0 { (0..served.series).map(|id| Arc::new(series(id))).collect() } else { Vec::new() },
            closed: Vec::new(),
            ids: (0..served.series).collect(),
            minima: values.clone(),
            maxima: values.clone(),
            counts: values.iter().map(|value| (value * 60.0).max(1.0) as u64).collect(),
            values,
        },
    }
}

fn native<D: Detector>(config: &str, served: &Service) -> f64 {
    let setup = Setup {
        service: "service-0".to_owned(),
        resource_attributes: Vec::new(),
        config: config.to_owned(),
        seed: 1,
        step_ns: STEP_NS,
    };
    let mut driver = Driver::<D>::open_with(setup).expect("a built-in detector opens");
    let open = |id| {
        let attributes = served.attributes(id).into_iter().map(|(key, value)| (key.to_owned(), value));
        driver.series_from(foreshock_detector::Series {
            id: 0,
            name: served.name(id),
            unit: "1".to_owned(),
            kind: served.kind(id).1,
            attributes: attributes.collect(),
        })
    };
    let ids: Vec<u32> = (0..served.series).map(open).collect();
    average(served, |indices| {
        let rows = |index| {
            let row = |(&id, number): (&u32, u32)| {
                let value = served.value(number, index);
                (id, value, value, value, (value * 60.0).max(1.0) as u64)
            };
            ids.iter().zip(0..).map(row).collect::<Vec<_>>()
        };
        let windows: Vec<_> = indices.map(|index| driver.window_of(&rows(index))).collect();
        let began = ThreadTime::now();
        for window in &windows {
            black_box(driver.detector().observe(black_box(window))).expect("an answer");
        }
        began.elapsed()
    })
}
