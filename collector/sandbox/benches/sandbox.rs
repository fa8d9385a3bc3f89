//! What a sandboxed detector costs: making models, calls with few and many rows beside the native detector, a sweep over many
//! models whose memory is cold, and the resident memory and the memory mappings of each.
//!
//! "unchecked" and "checked" are the two layouts of memory: with address space for every address that a guest can form, and with
//! so many models that there is only room for what they may use, so that compiled code compares addresses.

#![expect(clippy::print_stderr, reason = "the memory of a model is told beside criterion's own figures")]

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use foreshock_baseline::Baseline;
use foreshock_detector::{Detector as _, Kind, testkit::Driver};
use foreshock_engine::{
    UnixNanos,
    verdict::Detectors,
    window::{ClosedWindow, Series, SeriesKind, ServiceKey, Window},
};
use foreshock_sandbox::{DetectorPool, DetectorSpec, Limits, LoadedDetector, PoolSettings, Sandbox, Settings};
use std::{hint::black_box, sync::Arc, time::Instant};

const STEP_NS: u64 = 10_000_000_000;
const FIRST: u64 = 1_767_571_200_000_000_000;

fn load(sandbox: &Sandbox) -> Arc<LoadedDetector> {
    let component = foreshock_builtin::component("baseline").expect("the baseline detector is built in");
    let spec = DetectorSpec {
        name: "baseline".into(),
        component: component.into(),
        services: Arc::new(|_| true),
        config: serde_json::json!({}),
        weight: 1.0,
        limits: Limits::default(),
    };
    Arc::new(sandbox.load(spec).expect("the baseline detector loads"))
}

/// Never snapshots and never stops a call, so that only the calls are measured.
fn pool(sandbox: &Arc<Sandbox>, detector: &Arc<LoadedDetector>) -> DetectorPool {
    let settings = PoolSettings { snapshot_every: u32::MAX, deadline_scale: 100, ..PoolSettings::new(STEP_NS) };
    DetectorPool::new(Arc::clone(sandbox), vec![Arc::clone(detector)], settings)
}

fn value(id: u32, index: u64) -> f64 {
    f64::from((id.wrapping_mul(31) ^ u32::try_from(index % 997).unwrap_or(0)) % 100)
}

/// The window number `index` of a service with `rows` gauges.
fn window(service: &ServiceKey, rows: u32, index: u64) -> ClosedWindow {
    let series = |id| Series {
        id,
        name: format!("metric.{id}").into(),
        unit: "1".into(),
        kind: SeriesKind::Gauge,
        attributes: vec![("host".into(), "a".into())],
    };
    let opened = if index == 0 { (0..rows).map(|id| Arc::new(series(id))).collect() } else { Vec::new() };
    let values: Vec<f64> = (0..rows).map(|id| value(id, index)).collect();
    let start = FIRST + index * STEP_NS;
    ClosedWindow {
        service: service.clone(),
        resource: Arc::default(),
        window: Window {
            start: UnixNanos(start),
            end: UnixNanos(start + STEP_NS),
            opened,
            closed: Vec::new(),
            ids: (0..rows).collect(),
            minima: values.clone(),
            maxima: values.clone(),
            counts: vec![1; values.len()],
            values,
        },
    }
}

fn service(number: u32) -> ServiceKey {
    ServiceKey::new("", &format!("service-{number}"))
}

/// Memory mappings of this process (Linux, lines of `/proc/self/maps`); 0 elsewhere.
fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap_or_default().lines().count()
}

/// Resident memory of this process in bytes (Linux, `/proc/self/statm`, second field, in pages of 4 KiB); 0 elsewhere.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// Making a store with an open model, its first window of one row, and dropping it.
fn models(c: &mut Criterion) {
    let sandbox = Arc::new(Sandbox::new(Settings::default()).expect("a sandbox"));
    let detector = load(&sandbox);
    let mut pool = pool(&sandbox, &detector);
    let service = service(0);
    let first = window(&service, 1, 0);
    c.bench_function("model made and dropped", |bencher| {
        bencher.iter(|| {
            let answers = pool.observe(&first).len();
            pool.forget(&service);
            answers
        });
    });
}

/// Models for which there is address space for unchecked accesses, and models for which there is not.
const LAYOUTS: [(&str, u32); 2] = [("unchecked", 10_000), ("checked", 30_000)];

fn rows(c: &mut Criterion) {
    let mut group = c.benchmark_group("observe");
    for rows in [1_u32, 50, 1000] {
        group.throughput(Throughput::Elements(u64::from(rows)));
        for (layout, max_models) in LAYOUTS {
            let sandbox = Arc::new(Sandbox::new(Settings { max_models, ..Settings::default() }).expect("a sandbox"));
            let detector = load(&sandbox);
            group.bench_function(BenchmarkId::new(layout, rows), |bencher| {
                let mut pool = pool(&sandbox, &detector);
                let (service, mut index) = (service(0), 0);
                pool.observe(&window(&service, rows, 0));
                let next = || {
                    index += 1;
                    window(&service, rows, index)
                };
                bencher.iter_batched(next, |closed| pool.observe(black_box(&closed)), BatchSize::SmallInput);
            });
        }
        group.bench_function(BenchmarkId::new("native", rows), |bencher| {
            let mut driver = Driver::<Baseline>::open("{}").expect("the baseline detector opens");
            let ids: Vec<u32> =
                (0..rows).map(|id| driver.series(&format!("metric.{id}"), Kind::Gauge, &[("host", "a")])).collect();
            let mut windows = Vec::new();
            for index in 0..20_000_u64.min(4_000_000 / u64::from(rows)) {
                let rows: Vec<_> = ids.iter().map(|&id| (id, value(id, index))).collect();
                windows.push(driver.window(&rows));
            }
            // Time starts over when the windows are used up; to the baseline that is a window like another.
            let mut windows = windows.iter().cycle();
            bencher.iter(|| windows.next().map(|window| driver.detector().observe(black_box(window))));
        });
    }
    group.finish();
}

/// One call to each of many models in turn, so that every call finds its model's memory cold.
fn sweep(c: &mut Criterion) {
    const ROWS: u32 = 50;
    for services in [1_000_u32, 10_000, 30_000] {
        let sandbox =
            Arc::new(Sandbox::new(Settings { max_models: services, ..Settings::default() }).expect("a sandbox"));
        let detector = load(&sandbox);
        let mut pool = pool(&sandbox, &detector);
        let keys: Vec<ServiceKey> = (0..services).map(service).collect();
        let (before, mapped, began) = (resident_bytes(), mappings(), Instant::now());
        for key in &keys {
            pool.observe(&window(key, ROWS, 0));
        }
        let micros = began.elapsed().as_secs_f64() * 1e6 / f64::from(services);
        let each = resident_bytes().saturating_sub(before) / u64::from(services);
        let mapped = mappings().saturating_sub(mapped) as f64 / f64::from(services);
        eprintln!(
            "{services} models with {ROWS} series: {each} bytes resident and {mapped:.2} mappings for each, {micros:.1} us to \
             make each and have its first window judged"
        );
        let mut calls = 0_u64;
        c.bench_function(&format!("sweep over {services} models, {ROWS} rows"), |bencher| {
            let next = || {
                calls += 1;
                let key = &keys[(calls % u64::from(services)) as usize];
                window(key, ROWS, 1 + calls / u64::from(services))
            };
            bencher.iter_batched(next, |closed| pool.observe(black_box(&closed)), BatchSize::SmallInput);
        });
    }
}

criterion_group!(benches, models, rows, sweep);
criterion_main!(benches);
