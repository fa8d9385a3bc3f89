//! Owns the calm service: what a healthy one does all week, window by window, and what it does when it is broken on purpose.

use super::noise::Noise;
use foreshock_engine::{
    UnixNanos,
    facts::{GoldenSignals, WindowFacts},
    window::{ClosedWindow, Series, SeriesKind, ServiceKey, Window},
};
use std::sync::Arc;

const SECOND: u64 = 1_000_000_000;
const DAY: f64 = 86_400.0;
/// Monday, 16 March 2026, 0:00 UTC. In the European Union clocks go forward on Sunday, 29 March, at 1:00 UTC.
const FIRST: u64 = 1_773_619_200;
const CLOCK_CHANGE: u64 = 1_774_746_000;

/// What a service is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Character {
    /// Series, at least 5.
    pub series: usize,
    /// Calls a second at noon of a working day.
    pub calls: f64,
}

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Calls take four times as long.
    Slow,
    /// A quarter of the calls fail.
    Errors,
    /// A tenth of the calls still come.
    Drop,
    /// Five times as many calls come.
    Surge,
    /// The processor is busy throughout.
    Busy,
    /// Memory grows by half within an hour.
    Leak,
    /// An error is logged that never was.
    NewError,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Slow, Self::Errors, Self::Drop, Self::Surge, Self::Busy, Self::Leak, Self::NewError];
}

/// How one series comes about.
#[derive(Clone, Debug)]
enum Source {
    /// Of operation `op`: calls, failed calls, quantile of the duration.
    Calls(usize),
    Errors(usize),
    Duration(usize, f64),
    Processor {
        level: f64,
        wander: f64,
    },
    /// Fills and is collected.
    Memory {
        level: f64,
        pace: f64,
        least: f64,
    },
    /// Grows and is rotated at midnight.
    Disk {
        level: f64,
    },
    Connections {
        mean: f64,
    },
    /// Mostly none, now and then some.
    Queue {
        length: f64,
    },
    Threads {
        number: f64,
    },
    /// Wanders slowly around its mean.
    Wandering {
        mean: f64,
        off: f64,
    },
    Bytes {
        a_call: f64,
    },
    /// Runs for some minutes at this minute of each hour, or of the day.
    Batch {
        minute: f64,
        of: f64,
        lasts: f64,
    },
    /// A template's lines a call.
    Lines {
        a_call: f64,
        quiet: f64,
    },
}

/// A simulated service.
#[derive(Debug)]
pub(super) struct Simulated {
    pub(super) key: ServiceKey,
    character: Character,
    first: u64,
    step: u64,
    noise: Noise,
    series: Vec<(Arc<Series>, Source)>,
    shares: Vec<f64>,
    medians: Vec<f64>,
    /// Correlated slowness and its like, shared by all operations.
    mood: f64,
    windows: u64,
    announced: usize,
    next_id: u32,
    deployed: u64,
}

fn series(id: u32, name: &str, unit: &str, kind: SeriesKind, attributes: &[(&str, String)]) -> Arc<Series> {
    let attributes = attributes.iter().map(|(key, value)| ((*key).into(), value.as_str().into())).collect();
    Arc::new(Series { id, name: name.into(), unit: unit.into(), kind, attributes })
}

fn template(id: u32, number: u32, severity: &str) -> Arc<Series> {
    let text = format!("{severity} of kind {number}: <*>");
    let attributes = [
        ("foreshock.template.id", format!("{number:x}")),
        ("foreshock.template.text", text),
        ("log.severity", severity.to_owned()),
    ];
    series(id, "log.template", "{record}/s", SeriesKind::LogTemplate, &attributes)
}

impl Simulated {
    /// A service; `step` is the length of its windows in seconds, `first_day` the day after [`FIRST`] on which it begins.
    pub(super) fn new(number: u64, character: Character, step: u64, first_day: u64) -> Self {
        let mut noise = Noise::new(0xca11 ^ number.wrapping_mul(0x1234_5679));
        let (mut list, mut shares, mut medians) = (Vec::new(), Vec::new(), Vec::new());
        let mut id = 0;
        while list.len() < character.series {
            let block = shares.len();
            shares.push((-1.2 * noise.normal()).exp());
            medians.push(0.02 * (0.8 * noise.normal()).exp());
            let op = [("span.name", format!("op{block}"))];
            let with = |statistic: &str| [("foreshock.statistic", statistic.to_owned()), op[0].clone()];
            let one = [("part", format!("{block}"))];
            let mut add = |name: &str, unit: &str, kind, attributes: &[(&str, String)], source| {
                list.push((series(id, name, unit, kind, attributes), source));
                id += 1;
            };
            use SeriesKind::{Gauge, Rate, SpanDuration, SpanErrors, SpanRate};
            add("traces.span.metrics.calls", "{call}/s", SpanRate, &op, Source::Calls(block));
            add("traces.span.metrics.errors", "1", SpanErrors, &op, Source::Errors(block));
            add("traces.span.metrics.duration", "s", SpanDuration, &with("p95"), Source::Duration(block, 0.95));
            let level = 0.1 + 0.1 * noise.uniform();
            add("process.cpu.utilization", "1", Gauge, &one, Source::Processor { level, wander: 0.0 });
            let pace = 0.5 + noise.uniform();
            add("process.memory.usage", "By", Gauge, &one, Source::Memory { level: 6e8, pace, least: 4e8 });
            add("traces.span.metrics.duration", "s", SpanDuration, &with("p50"), Source::Duration(block, 0.5));
            let a_call = 1_000.0 * noise.normal().exp();
            add("http.server.response.body.size", "By", Rate, &one, Source::Bytes { a_call });
            add("queue.length", "{item}", Gauge, &one, Source::Queue { length: 0.0 });
            let mean = 2.0 + 20.0 * noise.uniform();
            add("db.client.connection.count", "{connection}", Gauge, &one, Source::Connections { mean });
            let (a_call, quiet) = (0.1 + noise.uniform(), 0.02 * noise.uniform());
            list.push((template(id, 1_000 + id, "info"), Source::Lines { a_call, quiet }));
            id += 1;
            let mut add = |name: &str, unit: &str, kind, attributes: &[(&str, String)], source| {
                list.push((series(id, name, unit, kind, attributes), source));
                id += 1;
            };
            let batch = Source::Batch {
                minute: (60.0 * noise.uniform()).floor(),
                of: if block.is_multiple_of(2) { 60.0 } else { 1_440.0 },
                lasts: 2.0 + (8.0 * noise.uniform()).floor(),
            };
            add("batch.items", "{item}", Rate, &one, batch);
            add("system.filesystem.usage", "By", Gauge, &one, Source::Disk { level: 2e10 });
            add("process.threads", "{thread}", Gauge, &one, Source::Threads { number: 40.0 });
            let mean = 50.0 + 100.0 * noise.uniform();
            add("cache.size", "{entry}", Gauge, &one, Source::Wandering { mean, off: 0.0 });
            list.push((template(id, 1_000 + id, "warn"), Source::Lines { a_call: 0.0005, quiet: 0.001 }));
            id += 1;
        }
        list.truncate(character.series);
        let sum: f64 = shares.iter().sum();
        for share in &mut shares {
            *share /= sum;
        }
        Self {
            key: ServiceKey::new("calm", &format!("service-{number}")),
            character,
            first: FIRST + first_day * 86_400,
            step,
            noise,
            series: list,
            shares,
            medians,
            mood: 0.0,
            windows: 0,
            announced: 0,
            next_id: id,
            deployed: 0,
        }
    }

    /// Calls a second that people make: by the clock on the wall, less at night and on weekends.
    fn load(&self, second: u64) -> f64 {
        let wall = (second + 3_600 + if second >= CLOCK_CHANGE { 3_600 } else { 0 }) as f64;
        let day = wall % DAY / DAY;
        let weekday = (wall / DAY + 3.0) % 7.0;
        let daily =
            0.55 - 0.35 * (std::f64::consts::TAU * (day - 0.1)).cos() - 0.1 * (2.0 * std::f64::consts::TAU * day).sin();
        let weekly = if weekday >= 5.0 { 0.6 } else { 1.0 };
        self.character.calls * daily.max(0.05) * weekly
    }

    /// The next window, with `fault` in it if any.
    pub(super) fn next(&mut self, fault: Option<Fault>) -> (ClosedWindow, WindowFacts) {
        let start = self.first + self.windows * self.step;
        let seconds = self.step as f64;
        self.windows += 1;
        let keep = (-seconds / 120.0).exp();
        self.mood = self.mood * keep + (1.0 - keep * keep).sqrt() * self.noise.normal();
        // A rollout each working day at 13:00 UTC: for two minutes a little less is answered, a little more slowly.
        let wall = start as f64;
        let since_rollout = (wall % DAY) - 46_800.0;
        let is_rollout = (0.0..120.0).contains(&since_rollout) && (wall / DAY + 3.0) % 7.0 < 5.0;
        let has_restarted = is_rollout && since_rollout < seconds;

        let load = self.load(start);
        let busyness = load / self.character.calls.max(1e-9);
        let mut calls = load * (1.0 + 0.03 * self.mood);
        let mut slowness = (1.0 + 0.25 * busyness) * (0.04 * self.mood).exp();
        let mut failing = 0.002;
        if is_rollout {
            (calls, slowness, failing) = (0.93 * calls, 1.15 * slowness, 0.004);
        }
        match fault {
            Some(Fault::Slow) => slowness *= 4.0,
            Some(Fault::Errors) => failing = 0.25,
            Some(Fault::Drop) => calls *= 0.1,
            Some(Fault::Surge) => calls *= 5.0,
            Some(Fault::Busy | Fault::Leak | Fault::NewError) | None => {}
        }

        let mut window = Window {
            start: UnixNanos(start * SECOND),
            end: UnixNanos((start + self.step) * SECOND),
            ..Window::default()
        };
        window.opened.extend(self.series[self.announced..].iter().map(|(series, _)| Arc::clone(series)));
        self.announced = self.series.len();
        let mut ops: Vec<(f64, f64)> = Vec::with_capacity(self.shares.len());
        for share in &self.shares {
            let made = self.noise.poisson(calls * share * seconds);
            ops.push((made, self.noise.binomial(made, failing)));
        }
        let noise = &mut self.noise;
        for (series, source) in &mut self.series {
            let row = source.row(
                noise,
                &ops,
                &self.medians,
                &Moment { start, seconds, load, busyness, slowness, fault, has_restarted },
            );
            if let Some((value, count)) = row {
                window.ids.push(series.id);
                window.values.push(value);
                window.minima.push(value);
                window.maxima.push(value);
                window.counts.push(count.max(1.0) as u64);
            }
        }
        if has_restarted && self.character.series > 5 {
            self.deployed += 1;
            self.line("info", 2.0, &mut window);
        }
        if fault == Some(Fault::NewError) {
            self.line("error", 6.0, &mut window);
        }
        let signals = GoldenSignals {
            calls: ops.iter().map(|(made, _)| *made as u64).sum(),
            errors: ops.iter().map(|(_, failed)| *failed as u64).sum(),
            ..GoldenSignals::default()
        };
        let facts = WindowFacts {
            service: self.key.clone(),
            start: window.start,
            end: window.end,
            signals,
            versions: Vec::new(),
            logs: Vec::new(),
            spans: Vec::new(),
            span_sampling: 1.0,
        };
        (ClosedWindow { service: self.key.clone(), resource: Arc::default(), window }, facts)
    }

    /// Lines of a template that was never seen, which goes on as a rare one.
    fn line(&mut self, severity: &str, lines: f64, window: &mut Window) {
        let known = |series: &Series| severity == "error" && series.attribute("log.severity") == Some("error");
        let id = match self.series.iter().find(|(series, _)| known(series)) {
            Some((series, _)) => series.id,
            None => {
                let series = template(self.next_id, 9_000 + self.next_id, severity);
                self.next_id += 1;
                window.opened.push(Arc::clone(&series));
                let quiet = if severity == "error" { 0.0 } else { 0.0003 };
                let id = series.id;
                self.series.push((series, Source::Lines { a_call: 0.0, quiet }));
                self.announced = self.series.len();
                id
            }
        };
        if window.ids.last().is_none_or(|last| *last < id) {
            window.ids.push(id);
            for column in [&mut window.values, &mut window.minima, &mut window.maxima] {
                column.push(lines / self.step as f64);
            }
            window.counts.push(lines as u64);
        }
    }
}

struct Moment {
    start: u64,
    seconds: f64,
    load: f64,
    busyness: f64,
    slowness: f64,
    fault: Option<Fault>,
    has_restarted: bool,
}

impl Source {
    /// The value of this window and on how many points it rests; `None` where there was nothing to measure.
    fn row(&mut self, noise: &mut Noise, ops: &[(f64, f64)], medians: &[f64], now: &Moment) -> Option<(f64, f64)> {
        let points = (now.seconds / 10.0).max(1.0);
        let kept = |over: f64| (-now.seconds / over).exp();
        let gauge = |value: f64| Some((value, points));
        match self {
            Self::Calls(op) => (ops[*op].0 > 0.0).then(|| (ops[*op].0 / now.seconds, ops[*op].0)),
            Self::Errors(op) => (ops[*op].0 > 0.0).then(|| (ops[*op].1 / ops[*op].0, ops[*op].0)),
            Self::Duration(op, share) => (ops[*op].0 > 0.0)
                .then(|| (noise.quantile(ops[*op].0, *share, medians[*op] * now.slowness, 0.5), ops[*op].0)),
            Self::Processor { level, wander } => {
                let keep = kept(300.0);
                *wander = *wander * keep + 0.015 * (1.0 - keep * keep).sqrt() * noise.normal();
                if now.fault == Some(Fault::Busy) {
                    return gauge(0.96 + 0.01 * noise.uniform());
                }
                gauge((*level + 0.35 * now.busyness + *wander + 0.01 * noise.normal() / points.sqrt()).clamp(0.01, 1.0))
            }
            Self::Memory { level, pace, least } => {
                if now.has_restarted {
                    *level = 0.8 * *least;
                }
                let leak = if now.fault == Some(Fault::Leak) { 3e8 * now.seconds / 3_600.0 } else { 0.0 };
                *least += leak;
                *level += *pace * (0.2 + now.busyness) * 4e5 * now.seconds + leak;
                if *level > 1.6 * *least {
                    *level = *least * (1.0 + 0.05 * noise.uniform());
                }
                gauge(*level + 2e6 * noise.normal())
            }
            Self::Disk { level } => {
                *level += (0.3 + now.busyness) * 2e4 * now.seconds;
                if now.start % 86_400 < now.seconds as u64 {
                    *level = 2e10 + 1e8 * noise.normal();
                }
                gauge(*level)
            }
            Self::Connections { mean } => {
                let mean = *mean * (0.3 + now.busyness);
                gauge((0..points as u32).map(|_| noise.poisson(mean)).sum::<f64>() / points.floor())
            }
            Self::Queue { length } => {
                let keep = kept(60.0);
                *length *= keep;
                if noise.uniform() < now.seconds / 3_600.0 {
                    *length += 30.0 * -noise.uniform().ln();
                }
                gauge(length.floor())
            }
            Self::Threads { number } => {
                if noise.uniform() < now.seconds / 7_200.0 {
                    *number = (*number + if noise.uniform() < 0.5 { -1.0 } else { 1.0 }).clamp(36.0, 46.0);
                }
                gauge(*number)
            }
            Self::Wandering { mean, off } => {
                let keep = kept(7_200.0);
                *off = *off * keep + 0.1 * (1.0 - keep * keep).sqrt() * noise.normal();
                gauge(*mean * (1.0 + *off))
            }
            Self::Bytes { a_call } => {
                let spread = (0.1 * noise.normal()).exp();
                Some((*a_call * now.load * spread, points))
            }
            Self::Batch { minute, of, lasts } => {
                let at = now.start as f64 / 60.0 % *of;
                let runs = (0.0..*lasts).contains(&((at - *minute).rem_euclid(*of)));
                gauge(if runs { 200.0 * (0.15 * noise.normal()).exp() } else { 0.0 })
            }
            Self::Lines { a_call, quiet } => {
                let count = noise.poisson((*a_call * now.load + *quiet) * now.seconds);
                (count > 0.0).then_some((count / now.seconds, count))
            }
        }
    }
}
