//! The budget of false alarms, and the thresholds that follow from it.
//!
//! A service whose `n` series are each judged in `w` windows a day gives `n w` chances a day to be odd by mere chance. Odd windows come in
//! runs of about `RUN_WINDOWS`, which are one event. So events of a surprise of at least `x` begin `n w / RUN_WINDOWS * 10^-x` times a day,
//! if every surprise is true, and the threshold that keeps a budget of `b` a day is
//!
//! ```text
//! x0 = log10(n w / (RUN_WINDOWS * b'))        b' = b (1 - CERTAIN_SHARE)
//! ```
//!
//! the Bonferroni correction for series and windows together. A fifth of the budget, `CERTAIN_SHARE`, is set aside for findings that carry
//! a certainty of their own (forecasts, new log patterns), which have no surprise that a threshold could be set against: see
//! `Spending::grants`.
//!
//! Surprises are not always true, whatever was learned of single series: deployments, batch jobs and clock changes touch many at once. So the
//! service's own record corrects the threshold. Events beyond `x0` are counted, whether they were told or not; their rate, with the budget
//! itself as what is expected beforehand (the mean of a gamma-Poisson posterior, Gelman et al., "Bayesian Data Analysis", section 2.6), and the mean of
//! their peaks beyond `x0` (peaks over threshold) say where the budget is kept:
//!
//! ```text
//! rate = (b' * T0 + events) / (T0 + days)      x = x0 + mean excess * ln(rate / b'), at least x0, at most 3 more
//! ```
//!
//! Peaks count as at most 1.5 beyond `x0`, events that are closer together than the refractory period are one, and all of it forgets
//! within two weeks: an outage teaches little, a service that cries wolf every day is heard less.

use crate::{time::UnixNanos, window::Window};
use serde::{Deserialize, Serialize};

/// Windows in a run of odd ones: what `baseline` and `isolation-forest` average over, about.
const RUN_WINDOWS: f64 = 8.0;
/// Part of the budget for findings with a certainty of their own.
const CERTAIN_SHARE: f64 = 0.2;
/// Such events that may come at once, for a service that had none for long.
const CERTAIN_AT_ONCE: f64 = 3.0;
/// Days that the budget as expectation is worth, against what was seen; and events that it is worth at least.
const PRIOR_DAYS: f64 = 3.0;
const PRIOR_EVENTS: f64 = 1.0;
/// Days over which what was seen is forgotten.
const MEMORY_DAYS: f64 = 14.0;
/// Peaks beyond the threshold count as at most so much: what is thirty times as rare as was asked for is hardly chance.
const MOST_EXCESS: f64 = 1.5;
/// How far the threshold may be raised.
const MOST_RAISE: f64 = 3.0;
/// Mean of what true surprises are beyond a threshold, `1 / ln 10`, and events that this is worth.
const EXCESS: f64 = std::f64::consts::LOG10_E;
const EXCESS_PRIOR: f64 = 5.0;
const EXCESS_MEMORY: f64 = 30.0;
/// Surprise that an anomaly needs at least, whatever the budget: one window in 400. Few series that are looked at rarely would need less, but
/// no tail is known better than that from so few windows.
const LEAST: f64 = 2.6;
/// For the refractory period after an anomaly, its series needs this much more.
pub(crate) const REFRACTORY_SURPRISE: f64 = 2.0;
/// Windows without a word from the service that count as watched, no more.
const SILENT_WINDOWS: u32 = 10;
const DAY: f64 = 86_400e9;

/// What users allow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetSettings {
    /// False alarms of one service in one day. More than 0.
    pub per_service_day: f64,
    /// Windows after the end of an anomaly in which its series is not told again unless it is a hundred times as odd as otherwise needed; also
    /// the quiet time between two events.
    pub refractory_windows: u32,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self { per_service_day: 0.5, refractory_windows: 30 }
    }
}

impl BudgetSettings {
    fn rest(&self) -> f64 {
        self.per_service_day.clamp(1e-6, 1e6) * (1.0 - CERTAIN_SHARE)
    }

    /// The surprise that keeps the budget if every surprise is true, for a service of `series` series and windows of `step` nanoseconds.
    #[must_use]
    pub fn threshold(&self, series: usize, step: u64) -> f64 {
        let windows = DAY / step.max(1) as f64;
        let chances = series.max(1) as f64 * windows / RUN_WINDOWS;
        (chances / self.rest()).log10().max(LEAST)
    }

    /// The refractory period in nanoseconds.
    pub(crate) fn refractory_nanos(&self, window: &Window) -> u64 {
        window.end.since(window.start).saturating_mul(u64::from(self.refractory_windows))
    }
}

/// Odd windows that are no more than the refractory period apart.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
struct Episode {
    last: UnixNanos,
    peak: f64,
    granted: bool,
}

/// What a service has spent of its budget.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Spending {
    now: UnixNanos,
    /// Days watched and events seen, as far as they are remembered.
    days: f64,
    events: f64,
    /// Mean of the events' peaks beyond the threshold, and of how many, as far as they are remembered.
    excess: f64,
    peaks: f64,
    episode: Option<Episode>,
    /// Events with a certainty of their own that may still be told.
    certain: f64,
    certain_episode: Option<Episode>,
}

impl Default for Spending {
    fn default() -> Self {
        Self {
            now: UnixNanos(0),
            days: 0.0,
            events: 0.0,
            excess: EXCESS,
            peaks: 0.0,
            episode: None,
            certain: CERTAIN_AT_ONCE,
            certain_episode: None,
        }
    }
}

impl Spending {
    /// By how much the service's record raises its threshold.
    pub(crate) fn raise(&self, budget: &BudgetSettings) -> f64 {
        let rest = budget.rest();
        let prior = PRIOR_DAYS.max(PRIOR_EVENTS / rest);
        let rate = (rest * prior + self.events) / (prior + self.days);
        (self.excess * (rate / rest).ln()).clamp(0.0, MOST_RAISE)
    }

    /// Takes the largest surprise of a window that was beyond `threshold`, see [`BudgetSettings::threshold`]; 0 or less if none was.
    pub(crate) fn step(&mut self, budget: &BudgetSettings, window: &Window, threshold: f64, loudest: f64) {
        let step = window.end.since(window.start);
        // Silence is not watched.
        let days = window.end.since(self.now).min(step.saturating_mul(u64::from(SILENT_WINDOWS))) as f64 / DAY;
        self.now = window.end;
        let kept = (-days / MEMORY_DAYS).exp();
        self.days = self.days * kept + days;
        self.events *= kept;
        self.certain = (self.certain + budget.per_service_day * CERTAIN_SHARE * days).min(CERTAIN_AT_ONCE);
        let gap = budget.refractory_nanos(window);
        let is_over = |episode: &Episode| window.end.since(episode.last) > gap;
        self.certain_episode = self.certain_episode.filter(|episode| !is_over(episode));
        if let Some(over) = self.episode.take_if(|episode| is_over(episode)) {
            self.peaks = (self.peaks + 1.0).min(EXCESS_MEMORY - EXCESS_PRIOR);
            self.excess +=
                ((over.peak - threshold).clamp(0.0, MOST_EXCESS) - self.excess) / (self.peaks + EXCESS_PRIOR);
        }
        if loudest >= threshold {
            if self.episode.is_none() {
                self.events += 1.0;
            }
            let peak = self.episode.map_or(loudest, |episode| episode.peak.max(loudest));
            self.episode = Some(Episode { last: window.end, peak, granted: true });
        }
    }

    /// Whether findings with a certainty of their own may be more than notes in this window. Those of one event, no further apart than the
    /// refractory period, share one answer, and cost one; `CERTAIN_SHARE` of the budget comes in each day. To be asked only where there are
    /// such findings, before [`Spending::step`] of the window.
    pub(crate) fn grants(&mut self, budget: &BudgetSettings, window: &Window) -> bool {
        let gap = budget.refractory_nanos(window);
        let going_on = self.certain_episode.filter(|episode| window.end.since(episode.last) <= gap);
        let granted = match going_on {
            Some(episode) => episode.granted,
            None if self.certain >= 1.0 => {
                self.certain -= 1.0;
                true
            }
            None => false,
        };
        self.certain_episode = Some(Episode { last: window.end, peak: 0.0, granted });
        granted
    }

    /// Whether restored numbers can be worked with.
    pub(crate) fn is_sane(&self) -> bool {
        let numbers = [self.days, self.events, self.excess, self.peaks, self.certain];
        numbers.iter().all(|number| number.is_finite() && *number >= 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn window(second: u64) -> Window {
        Window { start: UnixNanos(second * SECOND), end: UnixNanos((second + 10) * SECOND), ..Window::default() }
    }

    /// A service with many series, and one that is looked at more often, must not cry wolf more often; and a smaller budget asks for more.
    #[test]
    fn the_threshold_follows_from_budget_series_and_step() {
        let budget = |per_service_day| BudgetSettings { per_service_day, ..BudgetSettings::default() };
        let usual = budget(0.5).threshold(50, 10 * SECOND);
        assert!(
            (usual - (50.0 * 8_640.0 / 8.0 / 0.4_f64).log10()).abs() < 1e-9 && (5.0..5.3).contains(&usual),
            "{usual}"
        );
        for (threshold, more) in [
            (budget(0.5).threshold(500, 10 * SECOND), 1.0),
            (budget(0.05).threshold(50, 10 * SECOND), 1.0),
            (budget(0.5).threshold(50, 100 * SECOND), -1.0),
        ] {
            assert!((threshold - usual - more).abs() < 1e-9, "{threshold}");
        }
        assert!(budget(0.5).threshold(0, 0).is_finite() && budget(f64::NAN.max(0.0)).threshold(1, SECOND).is_finite());
        assert_eq!(budget(1e9).threshold(1, 3_600 * SECOND), LEAST);
    }

    /// Plays a service for so many days in which an event of this much beyond the threshold comes so many times a day.
    fn played(budget: &BudgetSettings, days: u64, a_day: u64, excess: f64) -> Spending {
        let mut spending = Spending::default();
        for second in (0..days * 86_400).step_by(10) {
            let is_odd = second / 10 % (8_640 / a_day) < 5;
            spending.step(budget, &window(second), 5.0, if is_odd { 5.0 + excess } else { 0.0 });
        }
        spending
    }

    /// A service that has more events than its budget is heard less until it has not, and one within its budget is heard as before.
    #[test]
    fn the_record_corrects_the_threshold() {
        let budget = BudgetSettings { per_service_day: 1.0, ..BudgetSettings::default() };
        assert!(played(&budget, 10, 1, 0.4).raise(&budget) < 0.15);
        // Ten times the budget: the threshold for a tenth of it lies `0.434 ln 10`, a whole point, higher.
        let noisy = played(&budget, 14, 10, 0.434).raise(&budget);
        assert!((0.7..1.3).contains(&noisy), "{noisy}");
        assert!(played(&budget, 14, 10, 2.5).raise(&budget) > 1.3, "heavier tails need more");
        let one_outage = played(&budget, 1, 1, 9.0).raise(&budget);
        assert!(one_outage < 0.5, "{one_outage}");
    }

    /// Forecasts and new patterns have their own part: a burst is one event, three may come at once, then no more than come in.
    #[test]
    fn own_certainty_has_its_part_of_the_budget() {
        let budget = BudgetSettings { per_service_day: 5.0, ..BudgetSettings::default() };
        let mut spending = Spending::default();
        let mut granted = Vec::new();
        for second in (0..10 * 86_400_u64).step_by(10) {
            // An event of three windows each hour.
            if second % 3_600 < 30 {
                let grants = spending.grants(&budget, &window(second));
                match second % 3_600 {
                    0 => granted.push(grants),
                    _ => assert_eq!(granted.last(), Some(&grants), "one event, one answer"),
                }
            }
            spending.step(&budget, &window(second), 5.0, 0.0);
        }
        assert_eq!(granted[..4], [true, true, true, false]);
        let told = granted.iter().filter(|granted| **granted).count();
        assert!((11..=13).contains(&told), "a fifth of 5 a day for ten days, and three at once: {told}");
        assert!(spending.is_sane());
    }
}
