//! From telemetry to closed windows, for the services of one shard.
//!
//! # Time
//! Windows lie on a fixed grid of event time. A service's window is closed once its watermark (the largest event time seen
//! for the service, less the allowed lateness) passes the window's end, or once the clock shows that the service went
//! quiet. What comes for a closed window is late: counted and dropped. Points of open windows may come in any order: they
//! wait in their stream and are worked off in order of time when their window closes, so neither their order nor the way
//! in which they were packed into requests makes a difference.
//!
//! A time of 0 means the time of receipt, and so does a time too far ahead of the clock. An instance that has been late
//! with everything for `idle_nanos` has a wrong clock; its times are shifted until they are right again.
//!
//! # Streams and series
//! A stream is one instance's metric with its attributes: there counters become rates. A series is the same measurement
//! from all instances; the rates of its streams are added, levels averaged, and distributions merged before a quantile is
//! taken. A stream that speaks less often than others of its series keeps its last rate for twice its interval, because a
//! sum over those that happen to speak in a window would go up and down without cause. A series has its first 16
//! attributes in ascending order of the key; streams that differ in further ones alone are parts of one series.
//!
//! # Rates
//! Growth over the true time between two points. A start that is not before the last point is a restart: the value then
//! grew from 0 since the last point. A value that fell without such a start, and bounds that changed, give no rate for
//! that interval. A first cumulative point gives a rate only if its start lies between a tenth of a window and ten windows
//! before it.

mod close;
mod distribution;
mod family;
mod keys;
mod logs;
mod quality;
mod senders;
mod service;
mod settings;
mod sketch;
mod spans;
mod stream;

pub use settings::{IngestCounters, IngestSettings, RestoreError};

use crate::{
    facts::WindowFacts,
    quality::QualityNote,
    signal::{Attributes, LogRecord, Metric, MetricKind, Point, PointData, Sink, Span, Temporality},
    time::UnixNanos,
    window::{ClosedWindow, ServiceKey},
};
use close::Closed;
use distribution::{Buckets, Limits};
use family::Shape;
use keys::{Interner, text_hash};
use senders::Speaker;
use service::{END_OF_TIME, OpenWindow, Origin, Service, Shared, time_of_span};
use std::collections::{BTreeMap, VecDeque};
use stream::{MAX_SUMMARY_QUANTILES, Number, Reading, Spread};
use xxhash_rust::xxh3::xxh3_64;

/// Version of the layout of saved states.
const SCHEMA: u32 = 1;
/// Instrumentation scope of Foreshock's own output.
const OWN_SCOPE: &str = "foreshock";

/// Turns the telemetry of one shard's services into closed windows.
#[derive(Debug)]
pub struct Ingest {
    shared: Shared,
    services: BTreeMap<ServiceKey, Box<Service>>,
    closed: BTreeMap<(u64, ServiceKey), Closed>,
    notes: VecDeque<QualityNote>,
}

/// Takes one slice of a request: telemetry of one service.
#[derive(Debug)]
pub struct ServiceIngest<'a> {
    service: &'a mut Service,
    shared: &'a mut Shared,
    closed: &'a mut BTreeMap<(u64, ServiceKey), Closed>,
    speaker: Speaker,
    is_own: bool,
}

// === impl Ingest ===

impl Ingest {
    /// Without any service. Settings out of range are moved to the nearest value that makes sense.
    #[must_use]
    pub fn new(settings: IngestSettings) -> Self {
        let shared = Shared {
            settings: settings.checked(),
            counters: IngestCounters::default(),
            interner: Interner::default(),
            clock: 0,
            sums: Vec::new(),
        };
        Self { shared, services: BTreeMap::new(), closed: BTreeMap::new(), notes: VecDeque::new() }
    }

    /// Opens a slice of telemetry of one service. `received` is the time of receipt on the same clock as the ticks, 0 if it
    /// is not known; the last tick stands in for it then.
    pub fn enter(&mut self, service: &ServiceKey, received: UnixNanos) -> ServiceIngest<'_> {
        let shared = &mut self.shared;
        let speaker = Speaker::new(shared, received.0);
        let service =
            self.services.entry(service.clone()).or_insert_with(|| Box::new(Service::new(service.clone(), shared)));
        service.hear(shared.clock);
        ServiceIngest { service, shared, closed: &mut self.closed, speaker, is_own: false }
    }

    /// The clock says `now`. Closes the windows of services that went quiet. A clock that goes back is followed; one
    /// beyond the year 2100 is not believed.
    pub fn handle_tick(&mut self, now: UnixNanos) {
        let now = now.min(UnixNanos(END_OF_TIME));
        self.shared.clock = now.0;
        for service in self.services.values_mut() {
            if service.open.is_empty() {
                continue;
            }
            if now.since(UnixNanos(service.heard(now.0))) >= self.shared.settings.idle_nanos {
                while let Some(open) = service.poll_idle(&self.shared) {
                    close(service, open, &mut self.shared, &mut self.closed);
                }
            }
        }
    }

    /// The next closed window: by its end, then by service. Its quality notes come from [`Ingest::poll_quality`] then.
    pub fn poll_closed(&mut self) -> Option<(ClosedWindow, WindowFacts)> {
        let (_, closed) = self.closed.pop_first()?;
        self.notes = closed.notes.into();
        Some((closed.window, closed.facts))
    }

    /// The next quality note of the window that [`Ingest::poll_closed`] gave last.
    pub fn poll_quality(&mut self) -> Option<QualityNote> {
        self.notes.pop_front()
    }

    /// Forgets a service and what it had in open windows. Windows that are closed already still come out.
    pub fn forget(&mut self, service: &ServiceKey) {
        self.services.remove(service);
    }

    /// What was taken in so far.
    #[must_use]
    pub fn counters(&self) -> IngestCounters {
        self.shared.counters
    }

    /// Services known, ascending.
    pub fn services(&self) -> impl Iterator<Item = &ServiceKey> {
        self.services.keys()
    }

    /// What was learned about a service and what its open windows hold; `None` if it is not known. Closed windows that were
    /// not polled are not part of it.
    #[must_use]
    pub fn snapshot(&self, service: &ServiceKey) -> Option<Vec<u8>> {
        let service = self.services.get(service)?;
        let body = postcard::to_allocvec(service).ok()?;
        let mut bytes = postcard::to_allocvec(&(SCHEMA, self.shared.window_nanos(), xxh3_64(&body))).ok()?;
        bytes.extend(body);
        Some(bytes)
    }

    /// Goes on from a saved state, in place of anything known about the service. Every series is described anew when it
    /// next speaks.
    ///
    /// # Errors
    /// Where the bytes are of no use; nothing is changed then.
    pub fn restore(&mut self, service: &ServiceKey, bytes: &[u8]) -> Result<(), RestoreError> {
        let (found, rest) = postcard::take_from_bytes::<u32>(bytes).map_err(|_| RestoreError::Damaged)?;
        if found != SCHEMA {
            return Err(RestoreError::Schema { found, expected: SCHEMA });
        }
        let ((found, sum), body) = postcard::take_from_bytes::<(u64, u64)>(rest).map_err(|_| RestoreError::Damaged)?;
        if xxh3_64(body) != sum {
            return Err(RestoreError::Damaged);
        }
        let expected = self.shared.window_nanos();
        if found != expected {
            return Err(RestoreError::Window { found, expected });
        }
        let mut restored: Box<Service> = postcard::from_bytes(body).map_err(|_| RestoreError::Damaged)?;
        if restored.key != *service || !restored.index(&self.shared) {
            return Err(RestoreError::Damaged);
        }
        self.services.insert(service.clone(), restored);
        Ok(())
    }
}

fn close(
    service: &mut Service,
    open: OpenWindow,
    shared: &mut Shared,
    closed: &mut BTreeMap<(u64, ServiceKey), Closed>,
) {
    if let Some(window) = service.close(open, shared) {
        closed.insert((window.facts.end.0, service.key.clone()), window);
    }
}

// === impl ServiceIngest ===

impl ServiceIngest<'_> {
    /// Finds the window of a time. `None` if what it belongs to must be dropped, which is counted.
    fn place(&mut self, time: UnixNanos, start: UnixNanos) -> Option<stream::When> {
        let when = self.service.place(&mut self.speaker, time.0, start.0, self.shared)?;
        if self.service.enter_window(&mut self.speaker, when.time, self.shared) {
            while let Some(open) = self.service.poll_due(self.shared) {
                close(self.service, open, self.shared, self.closed);
            }
            self.speaker.forget_window();
            self.service.enter_window(&mut self.speaker, when.time, self.shared);
        }
        Some(when)
    }

    fn unusable(&mut self) {
        self.shared.counters.unusable += 1;
    }

    fn number(&mut self, metric: &Metric<'_>, point: &Point<'_>, shape: Shape, reading: Reading) {
        let value = match point.data {
            _ if point.no_recorded_value => f64::NAN,
            PointData::Number(value) if value.is_finite() => value,
            _ => return self.unusable(),
        };
        if shape == Shape::Rate && value < 0.0 {
            return self.unusable();
        }
        let Some(when) = self.place(point.time, point.start) else { return };
        let origin = origin(metric, point, shape, reading);
        self.service.number(&self.speaker, &origin, Number { when, value }, self.shared);
    }

    fn spread(&mut self, metric: &Metric<'_>, point: &Point<'_>, reading: Reading) {
        if !point.no_recorded_value && !fits(metric.kind, &point.data) {
            return self.unusable();
        }
        let Some(when) = self.place(point.time, point.start) else { return };
        let origin = origin(metric, point, Shape::Spread, reading);
        let make = |known: Option<&Buckets>| spread(when, point, known);
        self.service.spread(&self.speaker, &origin, make, self.shared);
    }
}

impl Sink for ServiceIngest<'_> {
    fn resource(&mut self, attributes: &dyn Attributes) {
        self.service.speak(&mut self.speaker, attributes, self.shared);
        self.is_own = false;
    }

    fn scope(&mut self, name: &str, _version: &str) {
        // A new version of a library does not make new streams.
        self.speaker.scope(text_hash(name));
        self.is_own = name == OWN_SCOPE;
    }

    fn point(&mut self, metric: &Metric<'_>, point: &Point<'_>) {
        if self.is_own {
            self.shared.counters.own += 1;
            return;
        }
        let reading = |temporality| match temporality {
            Temporality::Delta => Reading::Delta,
            // Cumulative is what most senders use.
            Temporality::Cumulative | Temporality::Unspecified => Reading::Cumulative,
        };
        match metric.kind {
            MetricKind::Gauge => self.number(metric, point, Shape::Level, Reading::Level),
            MetricKind::Sum { temporality, monotonic: true } => {
                self.number(metric, point, Shape::Rate, reading(temporality));
            }
            MetricKind::Sum { temporality: Temporality::Delta, .. } => {
                self.number(metric, point, Shape::Level, Reading::Changes);
            }
            MetricKind::Sum { .. } => self.number(metric, point, Shape::Level, Reading::Level),
            MetricKind::Histogram { temporality } | MetricKind::ExponentialHistogram { temporality } => {
                self.spread(metric, point, reading(temporality));
            }
            MetricKind::Summary => self.spread(metric, point, Reading::Cumulative),
        }
    }

    fn log_record(&mut self, record: &LogRecord<'_>) {
        if self.is_own {
            self.shared.counters.own += 1;
            return;
        }
        let time = if record.time.0 > 0 { record.time } else { record.observed };
        if self.place(time, UnixNanos(0)).is_some() {
            self.service.log_record(record, self.shared);
        }
    }

    fn span(&mut self, span: &Span<'_>) {
        if self.is_own {
            self.shared.counters.own += 1;
            return;
        }
        if self.place(UnixNanos(time_of_span(span)), UnixNanos(0)).is_some() {
            self.service.span(span, self.shared);
        }
    }
}

impl Drop for ServiceIngest<'_> {
    fn drop(&mut self) {
        self.service.fall_silent(&self.speaker, self.shared);
    }
}

fn origin<'a>(metric: &Metric<'a>, point: &Point<'a>, shape: Shape, reading: Reading) -> Origin<'a> {
    let name_hash = text_hash(metric.name);
    Origin { name: metric.name, unit: metric.unit, name_hash, shape, reading, attributes: point.attributes }
}

/// Whether a point's data are of its metric's type.
fn fits(kind: MetricKind, data: &PointData<'_>) -> bool {
    matches!(
        (kind, data),
        (MetricKind::Histogram { .. }, PointData::Histogram { .. })
            | (MetricKind::ExponentialHistogram { .. }, PointData::ExponentialHistogram { .. })
            | (MetricKind::Summary, PointData::Summary { .. })
    )
}

/// A distribution as its stream keeps it; `None` if its layout makes no sense.
fn spread(when: stream::When, point: &Point<'_>, known: Option<&Buckets>) -> Option<Spread> {
    let finite = |sum: Option<f64>| sum.filter(|sum| sum.is_finite());
    let mut spread = Spread {
        when,
        ended: point.no_recorded_value,
        count: 0,
        sum: None,
        limits: Limits::new(None, None),
        buckets: Buckets::Unknown,
        quantiles: Vec::new(),
    };
    if point.no_recorded_value {
        return Some(spread);
    }
    match point.data {
        PointData::Histogram { count, sum, min, max, bounds, bucket_counts } => {
            spread.buckets = Buckets::explicit(bounds, bucket_counts, known.and_then(Buckets::bounds))?;
            (spread.count, spread.sum, spread.limits) = (count, finite(sum), Limits::new(min, max));
        }
        PointData::ExponentialHistogram { count, sum, min, max, scale, zero_count, positive, negative } => {
            spread.buckets = Buckets::exponential(scale, zero_count, positive, negative);
            (spread.count, spread.sum, spread.limits) = (count, finite(sum), Limits::new(min, max));
        }
        PointData::Summary { count, sum, quantiles } => {
            (spread.count, spread.sum) = (count, finite(Some(sum)));
            let usable = quantiles.iter().filter(|(q, value)| (0.0..=1.0).contains(q) && value.is_finite());
            // Rounded to what the name of a series can tell apart.
            let rounded = usable.map(|(q, value)| ((q * 1e5).round() / 1e5, *value));
            spread.quantiles = rounded.take(MAX_SUMMARY_QUANTILES).collect();
        }
        PointData::Number(_) => return None,
    }
    Some(spread)
}

#[cfg(test)]
mod tests;
