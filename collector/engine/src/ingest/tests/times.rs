//! When windows close, and what becomes of late, early and timeless points.

use super::*;

const GAUGE: Metric<'static> = Metric { name: "depth", unit: "1", kind: MetricKind::Gauge };

/// Protects the watermark: a window closes when the largest time is past its end by the lateness, and what then still comes
/// for it is counted and left out.
#[test]
fn windows_close_behind_the_watermark() {
    let mut bench = Bench::new();
    bench.point(&GAUGE, NEVER, 9.0, PointData::Number(1.0));
    bench.point(&GAUGE, NEVER, 14.9, PointData::Number(2.0));
    bench.poll();
    assert_eq!(bench.closed.len(), 0);
    bench.point(&GAUGE, NEVER, 9.5, PointData::Number(3.0));
    bench.point(&GAUGE, NEVER, 15.0, PointData::Number(2.0));
    bench.poll();
    assert_eq!(bench.rows.iter().map(|row| (row.start, row.value)).collect::<Vec<_>>(), [(0, 2.0)]);
    bench.point(&GAUGE, NEVER, 9.8, PointData::Number(9.0));
    assert_eq!(bench.ingest.counters().late, 1);
}

/// Protects quiet services: their windows close by the clock, and what comes later still has its own windows.
#[test]
fn a_quiet_service_is_closed_by_the_clock() {
    let mut bench = Bench::new();
    bench.ingest.handle_tick(at(5.0));
    bench.point(&GAUGE, NEVER, 5.0, PointData::Number(1.0));
    bench.ingest.handle_tick(at(34.9));
    bench.poll();
    assert_eq!(bench.closed.len(), 0);
    bench.ingest.handle_tick(at(35.0));
    bench.poll();
    assert_eq!(bench.closed.len(), 1);
    bench.point(&GAUGE, NEVER, 12.0, PointData::Number(4.0));
    near(&bench.values(SeriesKind::Gauge, ""), &[(0, 1.0), (10, 4.0)]);
}

/// Protects order: by end, then by service, whatever the order of input.
#[test]
fn windows_come_by_end_then_service() {
    let mut bench = Bench::new();
    for name in ["b", "a"] {
        for time in [5.0, 25.0] {
            let mut slice = bench.ingest.enter(&key(name), UnixNanos(0));
            slice.resource(&());
            let (start, time) = (at(NEVER), at(time));
            let data = PointData::Number(1.0);
            slice.point(&GAUGE, &Point { start, time, no_recorded_value: false, attributes: &(), data });
        }
    }
    bench.finish();
    let order: Vec<String> = bench
        .closed
        .iter()
        .map(|(_, facts)| format!("{}@{}", facts.service, facts.end.since(UnixNanos(T)) / S))
        .collect();
    assert_eq!(order, ["a@10", "b@10", "a@30", "b@30"]);
}

/// Protects sources that speak less often than once a window: rows only in the windows in which they speak.
#[test]
fn a_slow_source_has_rows_where_it_speaks() {
    let mut bench = Bench::new();
    let kind = MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: true };
    let counter = Metric { name: "requests", unit: "1", kind };
    for minute in 0..4 {
        let time = 60.0 * f64::from(minute) + 3.0;
        bench.point(&counter, NEVER, time, PointData::Number(f64::from(minute) * 30.0));
    }
    near(&bench.values(SeriesKind::Rate, ""), &[(60, 0.5), (120, 0.5), (180, 0.5)]);
}

/// Protects against times that are not known or absurd: they count as of receipt, and close nothing.
#[test]
fn absurd_times_count_as_of_receipt() {
    let mut bench = Bench::new();
    bench.ingest.handle_tick(at(5.0));
    for (n, time) in [at(4.0), UnixNanos(0), UnixNanos(u64::MAX), at(4_000_000.0), at(8.0)].into_iter().enumerate() {
        let mut slice = bench.ingest.enter(&key("shop"), at(6.0 + n as f64 / 8.0));
        slice.resource(&());
        let data = PointData::Number(1.0);
        slice.point(&GAUGE, &Point { start: at(NEVER), time, no_recorded_value: false, attributes: &(), data });
    }
    bench.poll();
    assert_eq!(bench.closed.len(), 0);
    bench.finish();
    let counters = bench.ingest.counters();
    assert_eq!((counters.points, counters.future, counters.late), (5, 2, 0));
    assert_eq!((bench.rows.len(), bench.rows[0].count), (1, 5));
}

/// Protects an instance whose clock is behind those of others: after the idle time it is corrected, its rates stay true,
/// and it is believed again once its clock is right.
#[test]
fn a_clock_that_is_behind_is_corrected() {
    let mut bench = Bench::new();
    let kind = MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: true };
    let counter = Metric { name: "requests", unit: "1", kind };
    for second in 0..180 {
        let now = f64::from(second);
        bench.ingest.handle_tick(at(now));
        bench.instance_point("right", &counter, NEVER, now, PointData::Number(3.0 * now));
        let behind = if second < 120 { 300.0 } else { 0.0 };
        bench.instance_point("behind", &counter, NEVER, now - behind, PointData::Number(2.0 * now));
    }
    let counters = bench.ingest.counters();
    // The first seconds set the watermark; then 30 s of waiting.
    assert!((25..=40).contains(&counters.late), "{counters:?}");
    assert_eq!(counters.corrected_clocks, 1);
    let values = bench.values(SeriesKind::Rate, "");
    let rates: Vec<f64> = values.iter().filter(|(start, _)| *start >= 50).map(|(_, value)| *value).collect();
    assert!(rates.iter().all(|rate| (rate - 5.0).abs() < 1e-6 || (rate - 3.0).abs() < 1e-6), "{values:?}");
    assert!(rates.iter().filter(|rate| **rate > 4.0).count() >= 11, "{values:?}");
}
