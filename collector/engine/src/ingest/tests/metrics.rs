//! Each type of metric and each kind of reset, with numbers worked out by hand.

use super::*;
use crate::signal::ExponentialBuckets;

const GAUGE: Metric<'static> = Metric { name: "queue.depth", unit: "{item}", kind: MetricKind::Gauge };

fn sum(temporality: Temporality, monotonic: bool) -> Metric<'static> {
    Metric { name: "io", unit: "By", kind: MetricKind::Sum { temporality, monotonic } }
}

fn histogram(temporality: Temporality) -> Metric<'static> {
    Metric { name: "latency", unit: "ms", kind: MetricKind::Histogram { temporality } }
}

fn buckets<'a>(bounds: &'a [f64], bucket_counts: &'a [u64], sum: f64) -> PointData<'a> {
    let count = bucket_counts.iter().sum();
    PointData::Histogram { count, sum: Some(sum), min: None, max: None, bounds, bucket_counts }
}

/// Protects gauges: mean, smallest, largest and number over samples and instances.
#[test]
fn gauges_are_averaged_over_samples_and_instances() {
    let mut bench = Bench::new();
    bench.instance_point("a", &GAUGE, NEVER, 1.0, PointData::Number(1.0));
    bench.instance_point("a", &GAUGE, NEVER, 3.0, PointData::Number(5.0));
    bench.instance_point("b", &GAUGE, NEVER, 2.0, PointData::Number(3.0));
    bench.finish();
    let row = &bench.rows[0];
    assert_eq!(bench.rows.len(), 1);
    assert_eq!((row.value, row.min, row.max, row.count), (3.0, 1.0, 5.0, 3));
    assert_eq!(row.label(), "queue.depth [{item}] Gauge ");
}

/// Protects cumulative counters: growth over the true time, a first point with a near start, and all kinds of resets.
#[test]
fn cumulative_counters_become_rates() {
    let mut bench = Bench::new();
    let counter = sum(Temporality::Cumulative, true);
    // 100 in the 5 s since its start.
    bench.point(&counter, 0.0, 5.0, PointData::Number(100.0));
    // 30 in 10 s.
    bench.point(&counter, 0.0, 15.0, PointData::Number(130.0));
    // Restarted at 16 s: 40 in the 10 s since the last point.
    bench.point(&counter, 16.0, 25.0, PointData::Number(40.0));
    // Fell without a new start: no rate.
    bench.point(&counter, 16.0, 35.0, PointData::Number(10.0));
    // 5 in 10 s.
    bench.point(&counter, 16.0, 45.0, PointData::Number(15.0));
    // Restarted a microsecond before the point: 2 over the 10 s since the last point, not over the microsecond.
    bench.point(&counter, 54.999_999, 55.0, PointData::Number(2.0));
    near(&bench.values(SeriesKind::Rate, ""), &[(0, 20.0), (10, 3.0), (20, 4.0), (40, 0.5), (50, 0.2)]);
    assert_eq!(bench.rows[0].label(), "io [By/s] Rate ");
}

/// Protects against guessing: without a start, or with one long ago, a first point says nothing.
#[test]
fn a_first_cumulative_point_needs_a_near_start() {
    for start in [NEVER, -86_400.0, 4.9, 6.0] {
        let mut bench = Bench::new();
        bench.point(&sum(Temporality::Cumulative, true), start, 5.0, PointData::Number(1e9));
        near(&bench.values(SeriesKind::Rate, ""), &[]);
    }
}

/// Protects several points in one window: 10 in 2 s, then 0 in 6 s, are 10 in 8 s; the extremes are 5 and 0.
#[test]
fn a_rate_covers_all_points_of_the_window() {
    let mut bench = Bench::new();
    let counter = sum(Temporality::Cumulative, true);
    for (time, value) in [(1.0, 10.0), (3.0, 20.0), (9.0, 20.0)] {
        bench.point(&counter, NEVER, time, PointData::Number(value));
    }
    bench.finish();
    let row = &bench.rows[0];
    assert_eq!((row.value, row.min, row.max, row.count), (1.25, 0.0, 5.0, 2));
}

/// Protects delta counters: each point over the time it covers, from its start or from the last point.
#[test]
fn delta_counters_become_rates() {
    let mut bench = Bench::new();
    let counter = sum(Temporality::Delta, true);
    bench.point(&counter, 0.0, 5.0, PointData::Number(50.0));
    bench.point(&counter, 5.0, 15.0, PointData::Number(20.0));
    // No start: since the last point, 10 s.
    bench.point(&counter, NEVER, 25.0, PointData::Number(10.0));
    // A start before the last point: only the 10 s since then.
    bench.point(&counter, 5.0, 35.0, PointData::Number(30.0));
    // Negative: unusable.
    bench.point(&counter, 35.0, 45.0, PointData::Number(-1.0));
    near(&bench.values(SeriesKind::Rate, ""), &[(0, 10.0), (10, 2.0), (20, 1.0), (30, 3.0)]);
    assert_eq!(bench.ingest.counters().unusable, 1);
}

/// Protects sums that go up and down: a cumulative one is a level, a delta one adds up to a level.
#[test]
fn sums_that_go_down_are_levels() {
    let mut bench = Bench::new();
    let level = sum(Temporality::Cumulative, false);
    bench.point(&level, 0.0, 5.0, PointData::Number(7.0));
    bench.point(&level, 0.0, 15.0, PointData::Number(-3.0));
    near(&bench.values(SeriesKind::Gauge, ""), &[(0, 7.0), (10, -3.0)]);
    let mut bench = Bench::new();
    let changes = sum(Temporality::Delta, false);
    bench.point(&changes, 0.0, 5.0, PointData::Number(5.0));
    bench.point(&changes, 5.0, 15.0, PointData::Number(-2.0));
    bench.point(&changes, 15.0, 17.0, PointData::Number(4.0));
    // 5, then the mean of 3 and 7.
    near(&bench.values(SeriesKind::Gauge, ""), &[(0, 5.0), (10, 5.0)]);
}

/// Protects cumulative histograms: only what was added counts, and changed bounds or fallen counts are a reset.
#[test]
fn cumulative_histograms_are_differences() {
    let mut bench = Bench::new();
    let metric = histogram(Temporality::Cumulative);
    bench.point(&metric, NEVER, 5.0, buckets(&[10.0, 20.0], &[100, 0, 0], 500.0));
    // 4 in (0, 10], 6 in (10, 20], sum 130, in 10 s.
    bench.point(&metric, NEVER, 15.0, buckets(&[10.0, 20.0], &[104, 6, 0], 630.0));
    bench.point(&metric, NEVER, 25.0, buckets(&[10.0, 30.0], &[200, 6, 0], 900.0));
    bench.point(&metric, NEVER, 35.0, buckets(&[10.0, 30.0], &[0, 1, 0], 20.0));
    bench.point(&metric, NEVER, 45.0, buckets(&[10.0, 30.0], &[0, 3, 0], 60.0));
    near(&bench.values(SeriesKind::Rate, "count"), &[(10, 1.0), (40, 0.2)]);
    near(&bench.values(SeriesKind::Gauge, "mean"), &[(10, 13.0), (40, 20.0)]);
    // Rank 5 of 10 lies a sixth into (10, 20]; rank 1 of 2 in the middle of (10, 30].
    near(&bench.values(SeriesKind::Quantile, "p50"), &[(10, 10.0 + 10.0 / 6.0), (40, 20.0)]);
    near(&bench.values(SeriesKind::Quantile, "p95"), &[(10, 10.0 + 55.0 / 6.0), (40, 29.0)]);
    near(&bench.values(SeriesKind::Quantile, "p99"), &[(10, 10.0 + 59.0 / 6.0), (40, 29.8)]);
    let quantile = bench.rows.iter().find(|row| row.series.kind == SeriesKind::Quantile).expect("a quantile");
    assert_eq!((quantile.count, &*quantile.series.unit), (10, "ms"));
}

/// Protects merging over instances before the quantile is taken: 2 slow of 20 values decide the 95th percentile.
#[test]
fn delta_histograms_of_instances_are_merged() {
    let mut bench = Bench::new();
    let metric = histogram(Temporality::Delta);
    bench.instance_point("a", &metric, 0.0, 5.0, buckets(&[10.0, 20.0], &[10, 0, 0], 50.0));
    bench.instance_point("b", &metric, 0.0, 5.0, buckets(&[10.0, 20.0], &[8, 2, 0], 70.0));
    // Rank 19 of 20: 18 lie in (0, 10], so it is the middle of (10, 20].
    near(&bench.values(SeriesKind::Quantile, "p95"), &[(0, 15.0)]);
    near(&bench.values(SeriesKind::Rate, "count"), &[(0, 4.0)]);
    near(&bench.values(SeriesKind::Gauge, "mean"), &[(0, 6.0)]);
}

/// Protects exponential histograms: differences across a change of scale, and quantiles clamped to the limits.
#[test]
fn exponential_histograms_change_scale() {
    let mut bench = Bench::new();
    let kind = MetricKind::ExponentialHistogram { temporality: Temporality::Cumulative };
    let metric = Metric { name: "latency", unit: "s", kind };
    let point = |scale, count, offset, counts: &'static [u64], max| PointData::ExponentialHistogram {
        count,
        sum: None,
        min: None,
        max,
        scale,
        zero_count: 0,
        positive: ExponentialBuckets { offset, counts },
        negative: ExponentialBuckets::default(),
    };
    // At scale 1, two values in (2, 4]; at scale 0, then two in (2, 4] and four in (4, 8].
    bench.point(&metric, NEVER, 5.0, point(1, 2, 2, &[1, 1], None));
    bench.point(&metric, NEVER, 15.0, point(0, 6, 1, &[2, 4], None));
    near(&bench.values(SeriesKind::Quantile, "p50"), &[(10, 6.0)]);
    near(&bench.values(SeriesKind::Rate, "count"), &[(10, 0.4)]);
    let mut bench = Bench::new();
    let kind = MetricKind::ExponentialHistogram { temporality: Temporality::Delta };
    let metric = Metric { name: "latency", unit: "s", kind };
    bench.point(&metric, 0.0, 5.0, point(0, 4, 2, &[4], Some(6.0)));
    near(&bench.values(SeriesKind::Quantile, "p50"), &[(0, 5.0)]);
}

/// Protects summaries: the sender's quantiles, and rate and mean from count and sum.
#[test]
fn summaries_give_their_quantiles() {
    let mut bench = Bench::new();
    let metric = Metric { name: "latency", unit: "s", kind: MetricKind::Summary };
    let point = |count, sum, quantiles| PointData::Summary { count, sum, quantiles };
    bench.point(&metric, NEVER, 5.0, point(10, 10.0, &[(0.5, 1.0), (0.999, 4.0)]));
    bench.point(&metric, NEVER, 15.0, point(30, 60.0, &[(0.5, 2.0), (0.999, f64::NAN), (7.0, 1.0)]));
    near(&bench.values(SeriesKind::Quantile, "p50"), &[(0, 1.0), (10, 2.0)]);
    near(&bench.values(SeriesKind::Quantile, "p99.9"), &[(0, 4.0)]);
    near(&bench.values(SeriesKind::Rate, "count"), &[(10, 2.0)]);
    near(&bench.values(SeriesKind::Gauge, "mean"), &[(10, 2.5)]);
}

/// Protects the end of a stream: what comes after it starts anew.
#[test]
fn a_stream_without_value_ends() {
    let mut bench = Bench::new();
    let counter = sum(Temporality::Cumulative, true);
    bench.point(&counter, NEVER, 5.0, PointData::Number(100.0));
    {
        let mut slice = bench.ingest.enter(&key("shop"), UnixNanos(0));
        slice.resource(&list(&[("service.instance.id", "a"), ("service.version", "1.0")]));
        slice.scope("library", "");
        let (time, data) = (at(15.0), PointData::Number(0.0));
        slice.point(&counter, &Point { start: at(NEVER), time, no_recorded_value: true, attributes: &(), data });
    }
    bench.point(&counter, NEVER, 25.0, PointData::Number(400.0));
    bench.point(&counter, NEVER, 35.0, PointData::Number(410.0));
    near(&bench.values(SeriesKind::Rate, ""), &[(30, 1.0)]);
}

/// Protects sums over instances that speak at different times: with one every 10 s and one every 30 s, both growing by 2/s,
/// the series is 4/s in every window from the second point of both on.
#[test]
fn rates_of_instances_add_up_whatever_their_interval() {
    let mut bench = Bench::new();
    let counter = sum(Temporality::Cumulative, true);
    for step in 0..13 {
        let time = f64::from(step) * 10.0 + 5.0;
        bench.instance_point("a", &counter, NEVER, time, PointData::Number(2.0 * time));
        if step % 3 == 0 {
            bench.instance_point("b", &counter, NEVER, time, PointData::Number(2.0 * time + 7.0));
        }
    }
    let values = bench.values(SeriesKind::Rate, "");
    near(&values[..2], &[(10, 2.0), (20, 2.0)]);
    assert!(values[2..].iter().all(|(_, value)| (value - 4.0).abs() < 1e-9), "{values:?}");
    assert_eq!(values.len(), 12);
}

/// Protects the attributes of a series: the first 16 by key, and streams that differ in others alone are one series.
#[test]
fn a_series_has_a_bounded_number_of_attributes() {
    let mut bench = Bench::new();
    for last in ["x", "y"] {
        let mut pairs: Vec<(String, String)> = (0..20).map(|i| (format!("k{i:02}"), "v".to_owned())).collect();
        pairs[19].1 = last.to_owned();
        let mut slice = bench.ingest.enter(&key("shop"), UnixNanos(0));
        slice.resource(&());
        let point = Point {
            start: at(NEVER),
            time: at(5.0),
            no_recorded_value: false,
            attributes: &List(pairs),
            data: PointData::Number(1.0),
        };
        slice.point(&GAUGE, &point);
    }
    bench.finish();
    assert_eq!(bench.rows.len(), 1);
    assert_eq!((bench.rows[0].series.attributes.len(), bench.rows[0].count), (16, 2));
}

/// Protects the bound on series: the one silent for longest goes, and detectors hear of it.
#[test]
fn too_many_series_evict_the_one_silent_for_longest() {
    let mut bench = Bench::with(IngestSettings { max_series_per_service: 2, ..IngestSettings::default() });
    let metric = |name| Metric { name, unit: "1", kind: MetricKind::Gauge };
    for (step, name) in ["a", "b", "a", "c", "a"].into_iter().enumerate() {
        bench.point(&metric(name), NEVER, 10.0 * step as f64 + 5.0, PointData::Number(1.0));
    }
    bench.finish();
    let told: Vec<(Vec<u32>, Vec<u32>)> = bench
        .closed
        .iter()
        .map(|(closed, _)| {
            (closed.window.opened.iter().map(|series| series.id).collect(), closed.window.closed.clone())
        })
        .collect();
    assert_eq!(told, [(vec![1], vec![]), (vec![2], vec![]), (vec![], vec![]), (vec![3], vec![2]), (vec![], vec![])]);
    assert_eq!(bench.ingest.counters().evicted_series, 1);
}

/// Protects against alarms when the series of a rare label set goes, as after a restart, and against hearing the same silence once
/// for each label set.
#[test]
fn silence_is_told_of_a_metric_as_a_whole() {
    let told_until = |ok_windows: u32| {
        let mut bench = Bench::new();
        let labelled = Metric { name: "requests.active", unit: "{request}", kind: MetricKind::Gauge };
        let mut told = Vec::new();
        for window in 0..60 {
            let time = f64::from(window) * 10.0 + 5.0;
            let mut slice = bench.ingest.enter(&key("shop"), UnixNanos(0));
            slice.resource(&list(&[("service.instance.id", "a")]));
            slice.scope("library", "");
            let data = || PointData::Number(f64::from(window % 7));
            let point = |attributes| Point {
                start: UnixNanos(0),
                time: at(time),
                no_recorded_value: false,
                attributes,
                data: data(),
            };
            let (ok, failed, none) = (list(&[("code", "200")]), list(&[("code", "500")]), list(&[]));
            slice.point(&GAUGE, &point(&none));
            if window < ok_windows {
                slice.point(&labelled, &point(&ok));
            }
            if window < 30 {
                slice.point(&labelled, &point(&failed));
            }
            drop(slice);
            while bench.ingest.poll_closed().is_some() {}
            while let Some(note) = bench.ingest.poll_quality() {
                told.push((note.kind, note.series.name.to_string(), note.time));
            }
        }
        told
    };
    assert_eq!(told_until(60), []);
    let told = told_until(30);
    assert!(!told.is_empty());
    assert!(told.windows(2).all(|pair| pair[0].2 < pair[1].2), "once a window: {told:?}");
}
