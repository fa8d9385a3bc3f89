//! What a detector sees: series and windows of their values.

use serde::{Deserialize, Serialize};

/// What the values of a series mean; `kind` in `wit/detector.wit`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Kind {
    /// A measured level, in the series' unit. Also means (statistic `mean`).
    Gauge,
    /// A monotonic counter turned into its rate: the series' unit per second, 0 or more.
    Rate,
    /// A quantile of a distribution, in the series' unit; which one is in the attribute `foreshock.statistic`.
    Quantile,
    /// Spans a second, 0 or more.
    SpanRate,
    /// Share of spans with an error, 0 to 1; the counts say of how many.
    SpanErrors,
    /// A quantile of span duration, in seconds.
    SpanDuration,
    /// Log records a second that follow one template, 0 or more. Absent from a window means none were seen.
    LogTemplate,
    /// Log records a second of one severity range, 0 or more. Absent from a window means none were seen.
    LogSeverity,
}

impl Kind {
    /// All kinds, in the order of `wit/detector.wit`.
    pub const ALL: [Self; 8] = [
        Self::Gauge,
        Self::Rate,
        Self::Quantile,
        Self::SpanRate,
        Self::SpanErrors,
        Self::SpanDuration,
        Self::LogTemplate,
        Self::LogSeverity,
    ];
    /// What metrics and spans give, for detectors of numbers.
    pub const NUMERIC: [Self; 6] =
        [Self::Gauge, Self::Rate, Self::Quantile, Self::SpanRate, Self::SpanErrors, Self::SpanDuration];

    /// Its name in `wit/detector.wit`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Rate => "rate",
            Self::Quantile => "quantile",
            Self::SpanRate => "span-rate",
            Self::SpanErrors => "span-errors",
            Self::SpanDuration => "span-duration",
            Self::LogTemplate => "log-template",
            Self::LogSeverity => "log-severity",
        }
    }
}

/// One series of a service: the same measurement from all of its instances together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Series {
    /// Names the series in every later call, until it is listed in [`Window::closed`].
    pub id: u32,
    /// The metric's name, or one of those that `wit/detector.wit` lists for spans and logs.
    pub name: String,
    /// UCUM unit of the values, possibly empty.
    pub unit: String,
    /// What the values mean.
    pub kind: Kind,
    /// In ascending order of the keys.
    pub attributes: Vec<(String, String)>,
}

impl Series {
    /// The value of one attribute.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// A hash of name, kind and attributes: the same in every process, so that it finds a series again after a restart.
    /// FNV-1a with 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>).
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut feed = |text: &str| {
            // 0xff never stands in UTF-8, so it parts the texts.
            for byte in text.bytes().chain([0xff]) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        };
        feed(&self.name);
        feed(match self.kind {
            Kind::Gauge => "g",
            Kind::Rate => "r",
            Kind::Quantile => "q",
            Kind::SpanRate => "sr",
            Kind::SpanErrors => "se",
            Kind::SpanDuration => "sd",
            Kind::LogTemplate => "lt",
            Kind::LogSeverity => "ls",
        });
        for (name, value) in &self.attributes {
            feed(name);
            feed(value);
        }
        hash
    }
}

/// What one service did in one window of time.
///
/// `ids`, `values`, `minima`, `maxima` and `counts` have the same length, one entry for each series that spoke in this window,
/// in ascending order of the id. All of them may be empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    /// Start, inclusive, in nanoseconds since the Unix epoch. A multiple of [`crate::Setup::step_ns`].
    pub start_ns: u64,
    /// End, exclusive.
    pub end_ns: u64,
    /// Series seen for the first time, and known series (same id) whose description changed.
    pub opened: Vec<Series>,
    /// Series that were evicted or went away. Forget them.
    pub closed: Vec<u32>,
    /// Which series spoke. Each was opened in this window or an earlier one.
    pub ids: Vec<u32>,
    /// The value of each series, finite.
    pub values: Vec<f64>,
    /// The smallest sample, finite, at most the value.
    pub minima: Vec<f64>,
    /// The largest sample, finite, at least the value.
    pub maxima: Vec<f64>,
    /// How many points, spans or log records stand behind the value, 1 or more.
    pub counts: Vec<u64>,
}

/// One series' part of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Which series.
    pub id: u32,
    /// Its value.
    pub value: f64,
    /// Its smallest sample.
    pub min: f64,
    /// Its largest sample.
    pub max: f64,
    /// How many points, spans or log records stand behind the value.
    pub count: u64,
}

impl Window {
    /// How many series spoke.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether no series spoke.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The rows, in ascending order of the id; as many as the shortest column has entries.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        let columns = self.ids.iter().zip(&self.values).zip(self.minima.iter().zip(&self.maxima)).zip(&self.counts);
        columns.map(|(((&id, &value), (&min, &max)), &count)| Row { id, value, min, max, count })
    }
}
