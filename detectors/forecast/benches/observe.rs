//! What one row of a window costs natively, with 1 and 100 series. Growing and learning are in it as they come.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use foreshock_detector::{
    Detector, Kind,
    testkit::{Driver, Noise},
};
use foreshock_forecast::Forecast;
use std::hint::black_box;

fn observe(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("observe");
    for series in [1_usize, 100] {
        let mut driver =
            Driver::<Forecast>::open(r#"{"limits":[{"series":"calls","limit":9}]}"#).expect("the defaults are right");
        let ids: Vec<u32> = (0..series)
            .map(|k| driver.series("calls", Kind::Gauge, &[("foreshock.template.id", &k.to_string())]))
            .collect();
        let mut noise = Noise::new(1);
        let mut next = || {
            let counts = ids.iter().map(|id| (*id, noise.poisson(20.0).max(1.0)));
            let rows: Vec<_> = counts.map(|(id, n)| (id, n / 10.0, n / 10.0, n / 10.0, n as u64)).collect();
            driver.window_of(&rows)
        };
        let windows: Vec<_> = (0..1_000).map(|_| next()).collect();
        for window in &windows {
            driver.feed(window).expect("the verdict keeps the contract");
        }
        // Time goes in a circle here, which no detector minds for its cost.
        let mut round = windows.iter().cycle();
        group.throughput(Throughput::Elements(series as u64));
        group.bench_function(BenchmarkId::from_parameter(series), |bencher| {
            bencher.iter(|| {
                let mut window = round.next().cloned().unwrap_or_default();
                window.opened.clear();
                black_box(driver.detector().observe(&window))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, observe);
criterion_main!(benches);
