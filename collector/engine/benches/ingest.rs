//! What taking telemetry in costs, per point, record or span, with 10 and 1,000 series of one service.
//!
//! Each series speaks once a second, so every tenth round closes a window; that is part of the figure. Attributes are hashed
//! from about 60 bytes a point, as the reader of the wire format does.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use foreshock_engine::{
    UnixNanos,
    ingest::{Ingest, IngestSettings},
    signal::{
        AttributeValue, Attributes, LogRecord, Metric, MetricKind, Point, PointData, Sink, Span, SpanKind, Temporality,
    },
    window::ServiceKey,
};
use std::hint::black_box;
use xxhash_rust::xxh3::xxh3_64;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_700_000_000 * SECOND;

struct Encoded {
    bytes: Vec<u8>,
    pairs: Vec<(String, String)>,
}

impl Encoded {
    fn new(series: usize) -> Self {
        let pairs = vec![
            ("http.request.method".to_owned(), "GET".to_owned()),
            ("http.route".to_owned(), format!("/api/v1/items/{series}")),
            ("server.port".to_owned(), "8080".to_owned()),
        ];
        Self { bytes: format!("{pairs:?}").into_bytes(), pairs }
    }
}

impl Attributes for Encoded {
    fn raw_hash(&self) -> u64 {
        xxh3_64(&self.bytes)
    }

    fn for_each(&self, visit: &mut dyn FnMut(&str, AttributeValue<'_>)) {
        self.pairs.iter().for_each(|(key, value)| visit(key, AttributeValue::Str(value)));
    }
}

/// Runs `send` once for each series and second of event time, and drops the windows.
fn rounds(bench: &mut criterion::Bencher<'_>, series: usize, send: impl Fn(&mut dyn Sink, usize, &Encoded, u64)) {
    let service = ServiceKey::new("shop", "checkout");
    let resource = Encoded::new(0);
    let attributes: Vec<Encoded> = (0..series).map(Encoded::new).collect();
    let mut ingest = Ingest::new(IngestSettings::default());
    let mut second = 0;
    bench.iter(|| {
        second += 1;
        let now = START + second * SECOND;
        {
            let mut slice = ingest.enter(&service, UnixNanos(now));
            slice.resource(&resource);
            slice.scope("bench", "1");
            for (index, attributes) in attributes.iter().enumerate() {
                send(&mut slice, index, attributes, now);
            }
        }
        ingest.handle_tick(UnixNanos(now));
        while let Some(window) = ingest.poll_closed() {
            black_box(window);
        }
    });
}

fn point(sink: &mut dyn Sink, kind: MetricKind, attributes: &Encoded, now: u64, value: f64) {
    let metric = Metric { name: "http.server.active_requests", unit: "{request}", kind };
    sink.point(
        &metric,
        &Point {
            start: UnixNanos(START),
            time: UnixNanos(now),
            no_recorded_value: false,
            attributes,
            data: PointData::Number(value),
        },
    );
}

fn ingest(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ingest");
    for series in [10, 1_000] {
        group.throughput(Throughput::Elements(series as u64));
        group.bench_with_input(BenchmarkId::new("gauge", series), &series, |bench, &series| {
            rounds(bench, series, |sink, index, attributes, now| {
                point(sink, MetricKind::Gauge, attributes, now, index as f64);
            });
        });
        group.bench_with_input(BenchmarkId::new("counter", series), &series, |bench, &series| {
            let kind = MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: true };
            rounds(bench, series, |sink, _, attributes, now| {
                point(sink, kind, attributes, now, (now - START) as f64 / 1e6);
            });
        });
        group.bench_with_input(BenchmarkId::new("log", series), &series, |bench, &series| {
            let bodies: Vec<String> = (0..series)
                .map(|n| format!("request {n} from 10.0.{}.7 took {n} ms: connection refused", n % 256))
                .collect();
            rounds(bench, series, |sink, index, attributes, now| {
                sink.log_record(&LogRecord {
                    time: UnixNanos(now),
                    observed: UnixNanos(now),
                    severity_number: 17,
                    severity_text: "ERROR",
                    body: &bodies[index],
                    event_name: "",
                    trace_id: [0; 16],
                    span_id: [0; 8],
                    attributes,
                });
            });
        });
        group.bench_with_input(BenchmarkId::new("span", series), &series, |bench, &series| {
            let names: Vec<String> = (0..series).map(|n| format!("GET /api/{}", n % 20)).collect();
            rounds(bench, series, |sink, index, attributes, now| {
                let id = (now / 1_000 + index as u64).to_be_bytes();
                let mut trace_id = [7; 16];
                trace_id[8..].copy_from_slice(&id);
                sink.span(&Span {
                    trace_id,
                    span_id: id,
                    parent_span_id: [0; 8],
                    name: &names[index],
                    kind: SpanKind::Server,
                    start: UnixNanos(now - 1_000_000 * (index as u64 % 97 + 1)),
                    end: UnixNanos(now),
                    error: index.is_multiple_of(50),
                    attributes,
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, ingest);
criterion_main!(benches);
