//! What one row of a window costs natively, with 1 and 100 series. Growing and learning are in it as they come.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use foreshock_detector::{Kind, benchkit::Calm};
use foreshock_joint::Joint;
use std::hint::black_box;

fn observe(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("observe");
    for series in [1_usize, 100] {
        let mut calm = Calm::<Joint>::new(series, Kind::Gauge).expect("the verdicts keep the contract");
        group.throughput(Throughput::Elements(series as u64));
        group.bench_function(BenchmarkId::from_parameter(series), |bencher| bencher.iter(|| black_box(calm.observe())));
    }
    group.finish();
}

criterion_group!(benches, observe);
criterion_main!(benches);
