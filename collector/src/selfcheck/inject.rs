//! Known anomalies, put into windows.

use foreshock_engine::window::{Series, SeriesKind, Window};
use std::sync::Arc;

/// What is put in.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Kind {
    /// Three windows far above.
    Spike,
    /// Three windows far below.
    Dip,
    /// Far above from now on.
    LevelShift,
    /// Rising from now on.
    Trend,
    /// The same mean, far off it in turn to both sides.
    Variance,
    /// Silence.
    MissingData,
    /// Lines of an error that was never logged.
    NewLogPattern,
}

impl Kind {
    /// Those that alter the values of a series.
    pub(super) const VALUES: [Self; 5] = [Self::Spike, Self::Dip, Self::LevelShift, Self::Trend, Self::Variance];

    /// As anomalies call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Spike => "spike",
            Self::Dip => "dip",
            Self::LevelShift => "level_shift",
            Self::Trend => "trend",
            Self::Variance => "variance",
            Self::MissingData => "missing_data",
            Self::NewLogPattern => "new_log_pattern",
        }
    }
}

/// Windows that a spike or a dip lasts. Shorter ones open no anomaly, by intention.
const SHORT: usize = 3;
/// Lines of the new pattern in each window.
const LINES: u64 = 6;
/// A deviation is so many usual ones, and never less than the level itself: what nobody would overlook.
const DEVIATIONS: f64 = 10.0;

/// A series that anomalies are put into, and how it usually is.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) series: Arc<Series>,
    median: f64,
    /// 1.4826 times the median distance from the median, which is the standard deviation of normal noise.
    deviation: f64,
    least: f64,
    most: f64,
}

impl Target {
    /// From the values of a series; `None` without any.
    pub(super) fn new(series: &Arc<Series>, values: &[f64]) -> Option<Self> {
        let median = middle(values.to_vec())?;
        let deviation = 1.4826 * middle(values.iter().map(|value| (value - median).abs()).collect())?;
        let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
        Some(Self { series: Arc::clone(series), median, deviation, least, most })
    }

    /// Whether it stands still.
    pub(super) fn is_flat(&self) -> bool {
        self.most <= self.least
    }

    /// How far off a value is put.
    fn size(&self) -> f64 {
        if self.series.kind == SeriesKind::SpanErrors {
            return 0.4;
        }
        let level = if self.median == 0.0 { 1.0 } else { self.median.abs() };
        (DEVIATIONS * self.deviation).max(level)
    }

    fn within(&self, value: f64) -> f64 {
        let value = if self.least >= 0.0 { value.max(0.0) } else { value };
        let is_share = self.series.kind == SeriesKind::SpanErrors || (&*self.series.unit == "1" && self.most <= 1.0);
        if is_share { value.min(1.0) } else { value }
    }

    /// What the value becomes `at` windows after the beginning, of `of` windows.
    fn alter(&self, kind: Kind, value: f64, at: usize, of: usize) -> f64 {
        let size = self.size();
        let altered = match kind {
            Kind::Spike if at < SHORT => value + size,
            Kind::Dip if at < SHORT && self.least >= 0.0 => 0.1 * value,
            Kind::Dip if at < SHORT => value - size,
            Kind::LevelShift => value + size,
            Kind::Trend => value + 2.0 * size * (at + 1) as f64 / of.max(1) as f64,
            Kind::Variance if at.is_multiple_of(2) => value + size,
            Kind::Variance => value - size,
            Kind::Spike | Kind::Dip | Kind::MissingData | Kind::NewLogPattern => value,
        };
        self.within(altered)
    }
}

/// The middle one of some values.
pub(super) fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Puts an anomaly into a window that lies `at` windows after its beginning, of `of` windows.
pub(super) fn alter(kind: Kind, target: &Target, window: &mut Window, at: usize, of: usize) {
    let Ok(row) = window.ids.binary_search(&target.series.id) else { return };
    let before = window.values[row];
    let value = target.alter(kind, before, at, of);
    let seconds = window.end.since(window.start) as f64 / 1e9;
    window.values[row] = value;
    window.minima[row] = (window.minima[row] + value - before).min(value);
    window.maxima[row] = (window.maxima[row] + value - before).max(value);
    if target.series.kind == SeriesKind::SpanRate {
        window.counts[row] = ((value * seconds).round() as u64).max(1);
    }
}

/// A pattern that was never seen, under a number that no series has.
pub(super) fn new_pattern(id: u32) -> Arc<Series> {
    let attributes = [
        ("foreshock.template.id", "5e1fc4ec"),
        ("foreshock.template.text", "self-check: unexpected failure in <*> after <*> attempts"),
        ("log.severity", "error"),
    ];
    Arc::new(Series {
        id,
        name: "log.template".into(),
        unit: "{record}/s".into(),
        kind: SeriesKind::LogTemplate,
        attributes: attributes.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
    })
}

/// Puts lines of a new pattern, whose number is above all others, into a window.
pub(super) fn add_lines(pattern: &Arc<Series>, window: &mut Window, is_first: bool) {
    if is_first {
        window.opened.push(Arc::clone(pattern));
    }
    let seconds = window.end.since(window.start) as f64 / 1e9;
    window.ids.push(pattern.id);
    for column in [&mut window.values, &mut window.minima, &mut window.maxima] {
        column.push(LINES as f64 / seconds);
    }
    window.counts.push(LINES);
}

#[cfg(test)]
mod tests {
    use super::*;
    use foreshock_engine::UnixNanos;

    fn series(kind: SeriesKind, unit: &str) -> Arc<Series> {
        Arc::new(Series { id: 3, name: "a".into(), unit: unit.into(), kind, attributes: Vec::new() })
    }

    fn window(value: f64) -> Window {
        Window {
            start: UnixNanos(0),
            end: UnixNanos(10_000_000_000),
            ids: vec![1, 3],
            values: vec![5.0, value],
            minima: vec![5.0, 0.9 * value],
            maxima: vec![5.0, 1.1 * value],
            counts: vec![1, 50],
            ..Window::default()
        }
    }

    /// What is put in must be plain to see, possible in the series' unit, and a window that detectors accept; nothing else changes.
    #[test]
    fn what_is_put_in_is_large_and_possible() {
        for (kind, unit, values) in [
            (SeriesKind::Gauge, "By", vec![100.0, 101.0, 99.0]),
            (SeriesKind::SpanErrors, "1", vec![0.0, 0.0, 0.01]),
            (SeriesKind::SpanRate, "{call}/s", vec![5.0, 5.5, 4.8]),
            (SeriesKind::Gauge, "1", vec![0.6, 0.61, 0.62]),
            (SeriesKind::Gauge, "", vec![0.0, 0.0, 0.0]),
        ] {
            let target = Target::new(&series(kind, unit), &values).expect("it has values");
            for put in Kind::VALUES {
                for at in 0..30 {
                    let mut altered = window(values[0]);
                    alter(put, &target, &mut altered, at, 30);
                    let value = altered.values[1];
                    assert!(value.is_finite() && value >= 0.0, "{put:?} {value}");
                    assert!(altered.minima[1] <= value && value <= altered.maxima[1] && altered.counts[1] >= 1);
                    assert!(unit != "1" || value <= 1.0, "{put:?} {value}");
                    assert_eq!((altered.values[0], altered.ids.len()), (5.0, 2));
                    let is_short = matches!(put, Kind::Spike | Kind::Dip) && at >= SHORT;
                    let is_possible = !(values[0] == 0.0 && matches!(put, Kind::Dip | Kind::Variance));
                    let changed = (value - values[0]).abs() > 0.3 * values[0].abs() || put == Kind::Trend;
                    assert_eq!(changed && is_possible, !is_short && is_possible, "{put:?} at {at}: {value}");
                }
            }
        }
    }
}
