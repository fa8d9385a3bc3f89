//! What the sandbox costs, as tables in Markdown: making stores and what each keeps resident, calls by rows with and without
//! deadlines, every built-in detector beside its native self, what the default set costs when it has learned for weeks, and a start with
//! 1,000 services. `cargo bench --workspace --bench sandbox -- learned` makes one part alone.
//!
//! Times of calls are processor time of the calling thread, the least of several rounds in which the variants take turns, so that what
//! else the machine does shows as little as it can.

mod learned;

use cpu_time::ThreadTime;
use foreshock_detector::{Detector, Kind, testkit::Driver};
use foreshock_engine::{
    UnixNanos,
    verdict::Detectors,
    window::{ClosedWindow, Series, SeriesKind, ServiceKey, Window},
};
use foreshock_sandbox::{
    DetectorPool, DetectorSpec, Limits, LoadedDetector, PoolSettings, Sandbox, ServiceState, Settings,
};
use std::{
    fmt,
    hint::black_box,
    io::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

const STEP_NS: u64 = 10_000_000_000;
const FIRST: u64 = 1_767_571_200_000_000_000;
const STORES: u32 = 10_000;
const SERVICES: u32 = 1_000;
/// Windows before anything is measured, enough for every built-in detector to have an opinion.
const WARM_UP: u64 = 200;
const ROUNDS: u64 = 5;

fn main() {
    // Cargo adds options of its own.
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let part = |name: &str, title: &str, tables: fn()| {
        if asked.is_empty() || asked.iter().any(|asked| asked == name) {
            line(format_args!("## {title}\n"));
            tables();
            line(format_args!(""));
        }
    };
    part("stores", "Stores", stores);
    part("calls", "Calls of `baseline`", calls);
    part("detectors", "Built-in detectors", detectors);
    part("learned", "After three weeks", learned::tables);
    part("start", "Start with 1,000 services", start);
}

fn line(text: fmt::Arguments<'_>) {
    // Nobody is there to be told where standard output is closed.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

fn load(sandbox: &Sandbox, name: &str) -> Arc<LoadedDetector> {
    load_with(sandbox, name, serde_json::json!({}))
}

fn load_with(sandbox: &Sandbox, name: &str, config: serde_json::Value) -> Arc<LoadedDetector> {
    let spec = DetectorSpec {
        name: name.into(),
        component: foreshock_builtin::component(name).expect("it is built in").into(),
        services: Arc::new(|_| true),
        config,
        weight: 1.0,
        limits: Limits { memory_bytes: Settings::default().max_memory_bytes, ..Limits::default() },
    };
    Arc::new(sandbox.load(spec).expect("a built-in detector loads"))
}

fn pool(sandbox: &Arc<Sandbox>, detectors: &[Arc<LoadedDetector>]) -> DetectorPool {
    pool_of(sandbox, detectors, STEP_NS)
}

/// For windows of `step_ns`. Never takes snapshots and never stops a call, so that only the calls are measured.
fn pool_of(sandbox: &Arc<Sandbox>, detectors: &[Arc<LoadedDetector>], step_ns: u64) -> DetectorPool {
    let settings = PoolSettings { snapshot_every: u32::MAX, deadline_scale: 100, ..PoolSettings::new(step_ns) };
    DetectorPool::new(Arc::clone(sandbox), detectors.to_vec(), settings)
}

fn value(id: u32, index: u64) -> f64 {
    f64::from((id.wrapping_mul(31) ^ u32::try_from(index % 997).unwrap_or(0)) % 100)
}

fn service(number: u32) -> ServiceKey {
    ServiceKey::new("", &format!("service-{number}"))
}

/// The window number `index` of a service with so many series of one kind.
fn window(service: &ServiceKey, kind: SeriesKind, rows: u32, index: u64) -> ClosedWindow {
    let series = |id| Series {
        id,
        name: format!("metric.{id}").into(),
        unit: "1".into(),
        kind,
        attributes: vec![("foreshock.template.text".into(), format!("user <*> did {id}").into())],
    };
    let values: Vec<f64> = (0..rows).map(|id| value(id, index)).collect();
    let start = FIRST + index * STEP_NS;
    ClosedWindow {
        service: service.clone(),
        resource: Arc::default(),
        window: Window {
            start: UnixNanos(start),
            end: UnixNanos(start + STEP_NS),
            opened: if index == 0 { (0..rows).map(|id| Arc::new(series(id))).collect() } else { Vec::new() },
            closed: Vec::new(),
            ids: (0..rows).collect(),
            minima: values.clone(),
            maxima: values.clone(),
            counts: vec![1; values.len()],
            values,
        },
    }
}

/// Resident memory of this process in bytes (Linux, `/proc/self/statm`, second field, in pages of 4 KiB); 0 elsewhere.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn stores() {
    let sandbox = Arc::new(Sandbox::new(Settings { max_models: STORES, ..Settings::default() }).expect("a sandbox"));
    let detector = load(&sandbox, "baseline");
    let mut pool = pool(&sandbox, std::slice::from_ref(&detector));
    let windows: Vec<_> = (0..STORES).map(|number| window(&service(number), SeriesKind::Gauge, 1, 0)).collect();
    let (before, began) = (resident_bytes(), ThreadTime::now());
    for window in &windows {
        assert_eq!(pool.observe(window).len(), 1);
    }
    let seconds = began.elapsed().as_secs_f64();
    let each = resident_bytes().saturating_sub(before) / u64::from(STORES);
    line(format_args!(
        "| stores | made a second, model opened and first window judged | resident each |\n| --- | --- | --- |"
    ));
    line(format_args!("| {STORES} | {:.0} | {:.1} KB |", f64::from(STORES) / seconds, each as f64 / 1000.0));
}

/// Something that judges windows; gives the processor time of so many calls, the windows themselves made before.
type Judge<'a> = Box<dyn FnMut(u64) -> Duration + 'a>;

fn sandboxed<'a>(sandbox: &Arc<Sandbox>, name: &str, kind: SeriesKind, rows: u32) -> Judge<'a> {
    let detector = load(sandbox, name);
    let (mut pool, service, mut index) = (pool(sandbox, &[detector]), service(0), 0);
    Box::new(move |calls| {
        let windows: Vec<_> = (index..index + calls).map(|index| window(&service, kind, rows, index)).collect();
        index += calls;
        let began = ThreadTime::now();
        let answers: usize = windows.iter().map(|window| black_box(pool.observe(black_box(window))).len()).sum();
        let took = began.elapsed();
        assert_eq!(answers as u64, calls, "no call may fail");
        took
    })
}

fn native<'a, D: Detector + 'a>(kind: Kind, rows: u32) -> Judge<'a> {
    let mut driver = Driver::<D>::open("{}").expect("a built-in detector opens");
    let text = |id: u32| format!("user <*> did {id}");
    let series = |id| driver.series(&format!("metric.{id}"), kind, &[("foreshock.template.text", &text(id))]);
    let ids: Vec<u32> = (0..rows).map(series).collect();
    let mut index = 0;
    Box::new(move |calls| {
        let rows = |index| ids.iter().zip(0..).map(|(&id, row)| (id, value(row, index))).collect::<Vec<_>>();
        let windows: Vec<_> = (index..index + calls).map(|index| driver.window(&rows(index))).collect();
        index += calls;
        let began = ThreadTime::now();
        for window in &windows {
            black_box(driver.detector().observe(black_box(window))).expect("an answer");
        }
        began.elapsed()
    })
}

/// Microseconds a call for each of some variants, which take turns.
fn micros<const N: usize>(mut variants: [Judge<'_>; N], calls: u64) -> [f64; N] {
    for variant in &mut variants {
        variant(WARM_UP);
    }
    let mut least = [f64::INFINITY; N];
    for _ in 0..ROUNDS {
        for (least, variant) in least.iter_mut().zip(&mut variants) {
            *least = least.min(variant(calls).as_secs_f64() * 1e6 / calls as f64);
        }
    }
    least
}

fn calls() {
    let sandbox = |without_deadlines| {
        let settings = Settings { max_models: 100, without_deadlines, ..Settings::default() };
        Arc::new(Sandbox::new(settings).expect("a sandbox"))
    };
    let (with, without) = (sandbox(false), sandbox(true));
    line(format_args!(
        "| rows | calls a second | us a call | without deadlines | native | of native |\n| --- | --- | --- | --- | --- | --- |"
    ));
    for (rows, calls) in [(1, 5000), (50, 2000), (1000, 200)] {
        let variants = [
            sandboxed(&with, "baseline", SeriesKind::Gauge, rows),
            sandboxed(&without, "baseline", SeriesKind::Gauge, rows),
            native::<foreshock_baseline::Baseline>(Kind::Gauge, rows),
        ];
        let [on, off, native] = micros(variants, calls);
        let (a_second, ratio) = (1e6 / on, on / native);
        line(format_args!("| {rows} | {a_second:.0} | {on:.2} | {off:.2} | {native:.2} | {ratio:.2} |"));
    }
}

fn detectors() {
    let sandbox = Arc::new(Sandbox::new(Settings { max_models: 100, ..Settings::default() }).expect("a sandbox"));
    line(format_args!(
        "| detector | rows | sandboxed, us a call | native | of native |\n| --- | --- | --- | --- | --- |"
    ));
    for (rows, calls) in [(50, 400), (500, 60)] {
        let gauges = |name: &str, native: Judge<'_>| {
            compare(name, rows, sandboxed(&sandbox, name, SeriesKind::Gauge, rows), native, calls);
        };
        gauges("baseline", native::<foreshock_baseline::Baseline>(Kind::Gauge, rows));
        gauges("forecast", native::<foreshock_forecast::Forecast>(Kind::Gauge, rows));
        gauges("isolation-forest", native::<foreshock_isolation_forest::IsolationForest>(Kind::Gauge, rows));
        gauges("joint", native::<foreshock_joint::Joint>(Kind::Gauge, rows));
        let logs = native::<foreshock_log_patterns::LogPatterns>(Kind::LogTemplate, rows);
        compare("log-patterns", rows, sandboxed(&sandbox, "log-patterns", SeriesKind::LogTemplate, rows), logs, calls);
        gauges("novelty", native::<foreshock_novelty::Novelty>(Kind::Gauge, rows));
        gauges("shift", native::<foreshock_shift::Shift>(Kind::Gauge, rows));
        gauges("spectral", native::<foreshock_spectral::Spectral>(Kind::Gauge, rows));
        gauges("subspace", native::<foreshock_subspace::Subspace>(Kind::Gauge, rows));
    }
}

fn compare(name: &str, rows: u32, sandboxed: Judge<'_>, native: Judge<'_>, calls: u64) {
    let [sandboxed, native] = micros([sandboxed, native], calls);
    line(format_args!("| {name} | {rows} | {sandboxed:.1} | {native:.1} | {:.2} |", sandboxed / native));
}

/// All built-in detectors: compiled, or from a warm cache; then states of all services handed over, and their first windows judged.
fn start() {
    let folder = tempfile::tempdir().expect("a folder");
    let cold = Instant::now();
    drop(loaded(folder.path()));
    let cold = cold.elapsed();
    let (sandbox, all) = loaded(folder.path());
    let mut before = pool(&sandbox, &all);
    let states: Vec<(ServiceKey, ServiceState)> = (0..SERVICES)
        .map(|number| {
            let service = service(number);
            for index in 0..3 {
                before.observe(&window(&service, SeriesKind::Gauge, 10, index));
            }
            let state = before.snapshot(&service).expect("a state");
            before.forget(&service);
            (service, state)
        })
        .collect();
    drop((before, sandbox, all));

    let began = Instant::now();
    let (sandbox, all) = loaded(folder.path());
    let warm = began.elapsed();
    assert_eq!(sandbox.compilations(), 0);
    let mut pool = pool(&sandbox, &all);
    for (service, state) in states {
        pool.restore(&service, state);
    }
    let ready = began.elapsed();
    for number in 0..SERVICES {
        pool.observe(&window(&service(number), SeriesKind::Gauge, 10, 3));
    }
    let opened = began.elapsed();
    line(format_args!("| {} detectors | ms |\n| --- | --- |", all.len()));
    line(format_args!("| loaded, nothing cached | {} |", cold.as_millis()));
    line(format_args!("| loaded, warm cache | {} |", warm.as_millis()));
    line(format_args!("| and states of {SERVICES} services handed over | {} |", ready.as_millis()));
    line(format_args!("| and all models opened, first windows judged | {} |", opened.as_millis()));
}

fn loaded(folder: &Path) -> (Arc<Sandbox>, Vec<Arc<LoadedDetector>>) {
    let code_folder = Some(folder.join("code"));
    let sandbox = Arc::new(Sandbox::new(Settings { code_folder, ..Settings::default() }).expect("a sandbox"));
    let all = foreshock_builtin::names().map(|name| load(&sandbox, name)).collect();
    (sandbox, all)
}
