//! What holds for any input.

use super::*;
use crate::signal::{ExponentialBuckets, LogRecord, Span, SpanKind};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Event {
    /// Milliseconds after [`T`].
    ms: u64,
    stream: u8,
    value: u16,
    /// Milliseconds by which it comes late.
    delay: u64,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (0u64..90_000, 0u8..6, any::<u16>(), 0u64..4_900);
    prop::collection::vec(event.prop_map(|(ms, stream, value, delay)| Event { ms, stream, value, delay }), 1..150)
        .prop_map(|mut events| {
            events.sort_by_key(|event| (event.ms, event.stream));
            events.dedup_by_key(|event| (event.ms, event.stream));
            events
        })
}

/// Sends one event: streams 0 and 1 are gauges of two instances, 2 and 3 counters of two instances, 4 a histogram, 5 spans.
fn send(slice: &mut ServiceIngest<'_>, event: &Event) {
    slice.resource(&list(&[("service.instance.id", if event.stream.is_multiple_of(2) { "a" } else { "b" })]));
    slice.scope("library", "");
    let time = UnixNanos(T + event.ms * 1_000_000);
    let cumulative = Temporality::Cumulative;
    let (name, kind) = match event.stream {
        0 | 1 => ("depth", MetricKind::Gauge),
        2 | 3 => ("requests", MetricKind::Sum { temporality: cumulative, monotonic: true }),
        _ => ("latency", MetricKind::Histogram { temporality: Temporality::Delta }),
    };
    let counts = [u64::from(event.value % 7), u64::from(event.value % 5), u64::from(event.value % 3)];
    let data = match event.stream {
        4 => PointData::Histogram {
            count: counts.iter().sum(),
            sum: Some(f64::from(event.value)),
            min: None,
            max: None,
            bounds: &[1.0, 2.0],
            bucket_counts: &counts,
        },
        _ => PointData::Number(f64::from(event.value)),
    };
    if event.stream == 5 {
        let (trace_id, span_id) = ([1; 16], u64::from(event.value).to_be_bytes());
        let start = time.minus(u64::from(event.value) * 1_000);
        let (name, kind, error) = ("GET", SpanKind::Server, event.value.is_multiple_of(9));
        let parent_span_id = [0; 8];
        slice.span(&Span { trace_id, span_id, parent_span_id, name, kind, start, end: time, error, attributes: &() });
        return;
    }
    let point = Point { start: UnixNanos(0), time, no_recorded_value: false, attributes: &(), data };
    slice.point(&Metric { name, unit: "1", kind }, &point);
}

/// Rows of service `shop` without ids, which are told apart by what they say.
fn rows(bench: &mut Bench) -> BTreeMap<(i64, String), (f64, f64, f64, u64)> {
    bench.finish();
    bench.rows.iter().map(|row| ((row.start, row.label()), (row.value, row.min, row.max, row.count))).collect()
}

fn same(left: &BTreeMap<(i64, String), (f64, f64, f64, u64)>, right: &BTreeMap<(i64, String), (f64, f64, f64, u64)>) {
    // Sums in another order differ in the last bits.
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0);
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (key, l) in left {
        let r = &right[key];
        assert!(close(l.0, r.0) && close(l.1, r.1) && close(l.2, r.2) && l.3 == r.3, "{key:?}: {l:?} {r:?}");
    }
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(f64::MAX), Just(-0.0), -10.0..10.0f64]
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), Just(0), Just(u64::MAX), T..T + 200 * S, T..T + 200 * S, T..T + 200 * S]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Protects against windows that depend on how telemetry was packed or delayed: requests of any size, points up to the
    /// lateness out of order, and other services in between give the same rows.
    #[test]
    fn packing_and_order_do_not_matter(events in events(), sizes in prop::collection::vec(1usize..20, 1..20)) {
        let mut plain = Bench::new();
        for event in &events {
            send(&mut plain.ingest.enter(&key("shop"), UnixNanos(0)), event);
        }
        let mut delayed = events.clone();
        delayed.sort_by_key(|event| event.ms + event.delay);
        let mut mixed = Bench::new();
        let mut rest = delayed.as_slice();
        for size in sizes.iter().cycle() {
            let (now, later) = rest.split_at((*size).min(rest.len()));
            {
                let mut slice = mixed.ingest.enter(&key("shop"), UnixNanos(0));
                now.iter().for_each(|event| send(&mut slice, event));
            }
            if size.is_multiple_of(3) {
                let mut slice = mixed.ingest.enter(&key(&format!("other-{size}")), UnixNanos(0));
                now.iter().for_each(|event| send(&mut slice, event));
            }
            if later.is_empty() {
                break;
            }
            rest = later;
        }
        mixed.finish();
        prop_assert_eq!(plain.ingest.counters().late, 0);
        mixed.rows.retain(|row| row.service == key("shop"));
        same(&rows(&mut plain), &rows(&mut mixed));
    }

    /// Protects counters: what the rates say over the time they cover is what the counter grew by.
    #[test]
    fn rates_conserve_growth(steps in prop::collection::vec((1u64..40_000, 0u32..1_000), 2..60)) {
        let mut bench = Bench::new();
        let kind = MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: true };
        let counter = Metric { name: "requests", unit: "1", kind };
        let (mut ms, mut total) = (0u64, 0u64);
        let mut covered: BTreeMap<i64, f64> = BTreeMap::new();
        for (n, (gap, growth)) in steps.iter().enumerate() {
            ms += gap;
            if n > 0 {
                total += u64::from(*growth);
                *covered.entry(i64::try_from(ms / 10_000 * 10).unwrap_or(0)).or_default() += *gap as f64 / 1e3;
            }
            bench.point(&counter, NEVER, ms as f64 / 1e3, PointData::Number(total as f64));
        }
        let told: f64 = bench.values(SeriesKind::Rate, "").iter().map(|(start, rate)| rate * covered[start]).sum();
        prop_assert!((told - total as f64).abs() <= 1e-6 * (total as f64).max(1.0), "{} {}", told, total);
    }

    /// Protects against any input whatever: no panic, no value that is not finite (checked as windows are polled), windows in
    /// order of time, and bounded memory.
    #[test]
    fn nothing_breaks_it(
        inputs in prop::collection::vec((0u8..10, time(), time(), value(), value(), any::<i32>(), any::<u64>(), "[a-c]{0,2}"), 1..200),
        received in prop::collection::vec(time(), 1..5),
    ) {
        let settings = IngestSettings {
            max_series_per_service: 12,
            max_streams_per_service: 20,
            max_operations_per_service: 3,
            max_templates_per_service: 3,
            max_instances_per_service: 4,
            ..IngestSettings::default()
        };
        let mut bench = Bench::with(settings);
        for (n, (what, time, start, a, b, int, large, text)) in inputs.iter().enumerate() {
            if n % 17 == 16 {
                bench.ingest.handle_tick(UnixNanos(received[n % received.len()]));
                bench.poll();
            }
            let mut slice = bench.ingest.enter(&key("shop"), UnixNanos(received[n % received.len()]));
            slice.resource(&list(&[("service.instance.id", text)]));
            slice.scope(text, "");
            let temporality = match int % 3 { 0 => Temporality::Delta, 1 => Temporality::Cumulative, _ => Temporality::Unspecified };
            let attributes = list(&[("k", text)]);
            let counts = [*large, 1, u64::from(int.unsigned_abs()), 0];
            let both = [*a, *b];
            let side = ExponentialBuckets { offset: *int, counts: &counts };
            let histogram = PointData::Histogram {
                count: *large, sum: Some(*a), min: Some(*b), max: Some(*a), bounds: &both, bucket_counts: &counts[..3],
            };
            let exponential = PointData::ExponentialHistogram {
                count: *large, sum: Some(*a), min: Some(*b), max: Some(*a), scale: *int, zero_count: *large,
                positive: side, negative: side,
            };
            let (kind, data) = match what {
                0 => (MetricKind::Gauge, PointData::Number(*a)),
                1 => (MetricKind::Sum { temporality, monotonic: true }, PointData::Number(*a)),
                2 => (MetricKind::Sum { temporality, monotonic: false }, PointData::Number(*a)),
                3 => (MetricKind::Histogram { temporality }, histogram),
                4 => (MetricKind::ExponentialHistogram { temporality }, exponential),
                5 => (MetricKind::Summary, PointData::Summary { count: *large, sum: *a, quantiles: &[(0.5, *b), (*a, *b)] }),
                _ => (MetricKind::Gauge, histogram),
            };
            let (time, start) = (UnixNanos(*time), UnixNanos(*start));
            match what {
                8 => slice.span(&Span {
                    trace_id: large.to_be_bytes().repeat(2).try_into().unwrap_or_default(),
                    span_id: large.to_be_bytes(),
                    parent_span_id: [0; 8],
                    name: text,
                    kind: SpanKind::Server,
                    start,
                    end: time,
                    error: *int > 0,
                    attributes: &attributes,
                }),
                9 => slice.log_record(&LogRecord {
                    time,
                    observed: start,
                    severity_number: *int,
                    severity_text: text,
                    body: &format!("{text} {large} {a}"),
                    event_name: text,
                    trace_id: [0; 16],
                    span_id: [0; 8],
                    attributes: &attributes,
                }),
                _ => slice.point(
                    &Metric { name: text, unit: "1", kind },
                    &Point { start, time, no_recorded_value: int % 11 == 0, attributes: &attributes, data },
                ),
            }
            let service = &*slice.service;
            prop_assert!(service.streams.len() <= 20 && service.families.len() <= 12);
            prop_assert!(service.open.len() <= 66);
        }
        let saved = bench.ingest.snapshot(&key("shop")).expect("a known service");
        prop_assert_eq!(bench.ingest.restore(&key("shop"), &saved), Ok(()));
        bench.finish();
        let starts: Vec<u64> = bench.closed.iter().map(|(closed, _)| closed.window.start.0).collect();
        prop_assert!(starts.is_sorted_by(|left, right| left < right), "{:?}", starts);
    }

    /// Protects against clocks that jump: whatever the jump, rows come again within a minute, and no more than the points of
    /// the waiting time are lost.
    #[test]
    fn clock_jumps_recover(first in -100_000i64..100_000, second in -100_000i64..100_000) {
        let mut bench = Bench::new();
        let gauge = Metric { name: "depth", unit: "1", kind: MetricKind::Gauge };
        for now in 0..400i64 {
            let wrong = match now { 0..100 => 0, 100..200 => first, 200..300 => second, _ => 0 };
            let wall = at(now as f64);
            bench.ingest.handle_tick(wall);
            bench.poll();
            let mut slice = bench.ingest.enter(&key("shop"), wall);
            slice.resource(&());
            let (time, data) = (at((now + wrong) as f64), PointData::Number(now as f64));
            slice.point(&gauge, &Point { start: UnixNanos(0), time, no_recorded_value: false, attributes: &(), data });
            // The row of each window says which seconds it covers, so silence would show.
            if now % 100 == 99 {
                drop(slice);
                bench.poll();
                let last = bench.rows.last().map_or(0.0, |row| row.max);
                prop_assert!(now as f64 - last <= 30.0, "at {}: last row covers up to {}", now, last);
            }
        }
        let counters = bench.ingest.counters();
        prop_assert!(counters.points + counters.late + counters.duplicate == 400);
        prop_assert!(counters.late <= 3 * 31, "{:?}", counters);
    }
}
