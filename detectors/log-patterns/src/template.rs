//! Owns the model of one template: how often its lines come, and how surprising it is that they come so often or so seldom.

use foreshock_detector::{
    Series,
    math::{log10, sqrt},
    stats::{Streak, surprise_of_few, surprise_of_many},
};
use serde::{Deserialize, Serialize};

/// Windows that the short sum covers.
const SHORT: usize = 6;
/// Windows over which the usual rate forgets.
const SLOW_WINDOWS: f64 = 180.0;

/// What a line's severity means for people.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) enum Weight {
    /// Trace, debug, info, and what nothing is known of.
    Quiet,
    /// Warnings, and lines without severity that speak of trouble.
    Warning,
    /// Error and fatal.
    Error,
}

/// What lines without a severity say when something is wrong.
const TROUBLE: [&str; 10] =
    ["error", "exception", "fail", "fatal", "panic", "refused", "timed out", "timeout", "unavailable", "denied"];

impl Weight {
    /// From the series' attributes.
    pub(crate) fn of(series: &Series) -> Self {
        match series.attribute("log.severity") {
            Some("error" | "fatal") => Self::Error,
            Some("warn") => Self::Warning,
            Some("trace" | "debug" | "info") => Self::Quiet,
            _ => {
                let text = series.attribute("foreshock.template.text").unwrap_or_default().to_ascii_lowercase();
                if TROUBLE.iter().any(|word| text.contains(word)) { Self::Warning } else { Self::Quiet }
            }
        }
    }
}

/// All that is known of one template: about 100 bytes.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Template {
    /// How many windows the service had been watched when the first line came; `None` if it is no news.
    pub(crate) born: Option<u32>,
    /// Windows since then.
    pub(crate) age: u32,
    /// Lines since then.
    pub(crate) lines: u64,
    /// Windows since the last line.
    pub(crate) silent: u32,
    /// Lines in the last windows, newest last.
    recent: [u32; SHORT],
    /// Usual lines a window.
    mean: f64,
    /// Variance by mean, 1 or more.
    dispersion: f64,
    pub(crate) streak: Streak,
}

/// What is thought of the rate of one template.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RateOpinion {
    pub(crate) score: f64,
    pub(crate) is_rise: bool,
    /// Lines a window: over the last windows, usual, and the bounds of what would be.
    pub(crate) observed: f64,
    pub(crate) expected: f64,
}

impl Template {
    /// A template whose first line comes now, after `watched` windows; `is_news` if it was never seen before.
    pub(crate) fn new(watched: u32, is_news: bool) -> Self {
        Self {
            born: is_news.then_some(watched),
            age: 0,
            lines: 0,
            silent: 0,
            recent: [0; SHORT],
            mean: 0.0,
            dispersion: 1.5,
            streak: Streak::default(),
        }
    }

    /// Surprise of a template that appeared lately: had it a rate of one line in all the time before, so many lines since
    /// would be this rare. `None` if it is no news any more.
    pub(crate) fn novelty(&self, novel_windows: u32) -> Option<f64> {
        let born = self.born?;
        if self.age > novel_windows || self.silent > 3 {
            return None;
        }
        let expected = f64::from(self.age + 1) / f64::from(born + 1);
        Some(surprise_of_many(self.lines as f64, expected))
    }

    /// Surprise of the present rate, `growth` being how the service's ordinary lines have changed lately. `None` while too
    /// little is known.
    pub(crate) fn rate(&self, min_windows: u32, growth: f64) -> Option<RateOpinion> {
        if self.age < min_windows {
            return None;
        }
        let age = f64::from(self.age);
        let now = f64::from(self.recent[SHORT - 1]);
        let short = self.recent.iter().map(|count| f64::from(*count)).sum::<f64>();
        // The usual rate is itself only known so well.
        let known = age.min(SLOW_WINDOWS);
        let slack = (sqrt(self.mean * known * self.dispersion) + 1.0) / known;
        let (least, most) = ((self.mean * growth.min(1.0) - slack).max(0.0), self.mean * growth.max(1.0) + slack);
        let by = self.dispersion;
        let over = SHORT as f64;
        // One window full of lines is a batch, not a rise: it counts once, in its own window.
        let largest = self.recent.iter().max().map_or(0.0, |count| f64::from(*count));
        let rise = surprise_of_many(now / by, most / by)
            .max(surprise_of_many((short - largest) / by, most * (over - 1.0) / by));
        let fall = surprise_of_few(short / by, least * over / by);
        let is_rise = rise >= fall;
        let limit = log10(age + 1.0) + if is_rise { 4.0 } else { 6.0 };
        Some(RateOpinion {
            score: (rise.max(fall) - 0.477).clamp(0.0, limit.min(16.0)),
            is_rise,
            observed: if is_rise { now.max(short / over) } else { short / over },
            expected: self.mean,
        })
    }

    /// Takes how many lines a window had, before it is judged.
    pub(crate) fn count(&mut self, count: u64) {
        self.lines = self.lines.saturating_add(count);
        self.silent = if count > 0 { 0 } else { self.silent.saturating_add(1) };
        self.recent.rotate_left(1);
        self.recent[SHORT - 1] = u32::try_from(count).unwrap_or(u32::MAX);
    }

    /// Learns from the window, after it was judged.
    pub(crate) fn learn(&mut self, score: f64) {
        let value = f64::from(self.recent[SHORT - 1]);
        self.age = self.age.saturating_add(1);
        // What is odd is learned slowly; after an hour of it, it is normal all the same.
        let trust = if score >= 3.0 && self.age >= 30 { 0.15 } else { 1.0 };
        let pace = trust * (1.0 / SLOW_WINDOWS).max(1.0 / f64::from(self.age));
        let off = value - self.mean;
        let spread = (off * off / (self.mean + 0.2)).min(50.0 * self.dispersion);
        let cap = if self.age < 30 { f64::INFINITY } else { 10.0 * sqrt(self.dispersion * (self.mean + 1.0)) };
        self.mean = (self.mean + pace * off.clamp(-cap, cap)).max(0.0);
        self.dispersion = (self.dispersion + pace.min(0.1) * (spread - self.dispersion)).clamp(1.0, 1e9);
    }

    /// Lets windows pass in which the service said nothing.
    pub(crate) fn pass(&mut self, windows: u32) {
        for _ in 0..windows {
            self.count(0);
            self.learn(0.0);
        }
    }
}
