//! What one row of a window costs each detector natively, with 1 and 100 series. Growing and learning are in it as they come.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use foreshock_baseline::Baseline;
use foreshock_detector::{Detector, Kind, benchkit::Calm};
use foreshock_forecast::Forecast;
use foreshock_isolation_forest::IsolationForest;
use foreshock_joint::Joint;
use foreshock_log_patterns::LogPatterns;
use foreshock_novelty::Novelty;
use foreshock_shift::Shift;
use foreshock_spectral::Spectral;
use foreshock_subspace::Subspace;
use std::hint::black_box;

/// One detector, by the name it gives itself. It learns first where the filter asks for it.
fn observe<D: Detector>(criterion: &mut Criterion, config: &str, kind: Kind) {
    let mut group = criterion.benchmark_group(D::about().name);
    for series in [1_usize, 100] {
        group.throughput(Throughput::Elements(series as u64));
        group.bench_function(BenchmarkId::from_parameter(series), |bencher| {
            let mut calm = Calm::<D>::new(config, series, kind).expect("the verdicts keep the contract");
            bencher.iter(|| black_box(calm.observe()));
        });
    }
    group.finish();
}

fn all(criterion: &mut Criterion) {
    observe::<Baseline>(criterion, "{}", Kind::Gauge);
    // Without a limit it would look at nothing.
    observe::<Forecast>(criterion, r#"{"limits":[{"series":"calls","limit":9}]}"#, Kind::Gauge);
    observe::<IsolationForest>(criterion, "{}", Kind::Gauge);
    observe::<Joint>(criterion, "{}", Kind::Gauge);
    observe::<LogPatterns>(criterion, "{}", Kind::LogTemplate);
    observe::<Novelty>(criterion, "{}", Kind::Gauge);
    observe::<Shift>(criterion, "{}", Kind::Gauge);
    observe::<Spectral>(criterion, "{}", Kind::Gauge);
    observe::<Subspace>(criterion, "{}", Kind::Gauge);
}

criterion_group!(benches, all);
criterion_main!(benches);
