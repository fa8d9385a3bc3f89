//! What the detector says of generated cases, in the figures of its documentation.

use super::{Case, DAY, Kind, case};
use foreshock_detector::{
    Kind as SeriesKind, Setup,
    testkit::{Driver, FIRST_START_NS},
};
use foreshock_forecast::Forecast;
use std::fmt;

/// A warning and what was said while it stood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Warning {
    /// Row at which it was raised.
    pub(crate) raised: usize,
    /// Row at which it was last said.
    pub(crate) last: usize,
}

/// What became of one case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) warnings: Vec<Warning>,
    /// For a breach that was warned of: rows between, over rows of the rise.
    pub(crate) lead: Option<f64>,
    /// For it: `|said - true| / true` of the first warning, and whether the interval held the truth then.
    pub(crate) first_error: Option<f64>,
    pub(crate) covered: Vec<bool>,
    pub(crate) false_warnings: usize,
    pub(crate) right_warnings: usize,
    pub(crate) days: f64,
}

/// What was said at a row of when the limit is reached: earliest, likely and latest, in seconds since the first row.
pub(crate) type Word = Option<(f64, f64, f64)>;

/// Plays a case through the detector as it is shipped.
pub(crate) fn play(kind: Kind, case: &Case) -> Outcome {
    judge(case, &hear(kind, case))
}

/// What the detector says at each row of a case.
pub(crate) fn hear(kind: Kind, case: &Case) -> Vec<Word> {
    let setup = Setup {
        service: "test".to_owned(),
        resource_attributes: Vec::new(),
        config: format!(r#"{{"limits":[{{"series":"{}","limit":1}}]}}"#, kind.series()),
        seed: 1,
        step_ns: (case.step * 1e9) as u64,
    };
    let mut driver = Driver::<Forecast>::open_with(setup).expect("the configuration is right");
    let id = driver.series(kind.series(), SeriesKind::Gauge, &[]);
    let mut said: Vec<Word> = Vec::new();
    for value in &case.values {
        let window = driver.window(&[(id, *value)]);
        let verdict = driver.feed(&window).expect("the verdict keeps the contract");
        let since = |at: u64| (at - FIRST_START_NS) as f64 / 1e9;
        let forecast = verdict.findings.first().and_then(|finding| finding.forecast);
        said.push(forecast.map(|f| (since(f.earliest_ns), since(f.reaches_ns), since(f.latest_ns))));
    }
    said
}

/// Sets what was said beside what came.
pub(crate) fn judge(case: &Case, said: &[Word]) -> Outcome {
    let mut outcome = Outcome { days: case.values.len() as f64 * case.step / DAY, ..Outcome::default() };
    for (row, word) in said.iter().enumerate() {
        match (word, outcome.warnings.last_mut()) {
            (Some(_), Some(warning)) if warning.last + 1 == row => warning.last = row,
            (Some(_), _) => outcome.warnings.push(Warning { raised: row, last: row }),
            (None, _) => {}
        }
    }
    let Some(breach) = case.breach else {
        outcome.false_warnings = outcome.warnings.len();
        return outcome;
    };
    let truth = (breach + 1) as f64 * case.step;
    // Right is the warning that stands at the breach, or that was raised in the rise.
    for warning in &outcome.warnings {
        let is_right = warning.raised >= case.onset || warning.last + 1 >= breach;
        outcome.right_warnings += usize::from(is_right);
        outcome.false_warnings += usize::from(!is_right);
    }
    let first = outcome.warnings.iter().find(|warning| warning.raised >= case.onset || warning.last + 1 >= breach);
    if let Some(first) = first {
        let raised = first.raised.max(case.onset);
        outcome.lead = Some((breach - raised) as f64 / (breach - case.onset).max(1) as f64);
        if let Some((_, reaches, _)) = said[first.raised] {
            let left = truth - (first.raised + 1) as f64 * case.step;
            let guess = reaches - (first.raised + 1) as f64 * case.step;
            outcome.first_error = (left > 0.0).then(|| (guess - left).abs() / left);
        }
    }
    // The interval is asked at the first warning and where a half, a quarter and a tenth of the rise are left.
    let rise = breach - case.onset;
    let places =
        [first.map(|first| first.raised), Some(breach - rise / 2), Some(breach - rise / 4), Some(breach - rise / 10)];
    for (earliest, _, latest) in places.into_iter().flatten().filter_map(|row| said.get(row).copied().flatten()) {
        outcome.covered.push((earliest..=latest).contains(&truth));
    }
    outcome
}

/// Figures over many cases.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// Share of breaches warned of with at least a tenth of the rise left.
    pub(crate) recall: f64,
    /// Median share of the rise that was left at the first warning.
    pub(crate) lead: f64,
    /// Right warnings over all, on breaching kinds and on all kinds.
    pub(crate) precision_breaching: f64,
    pub(crate) precision: f64,
    /// On all kinds.
    pub(crate) false_per_day: f64,
    /// Share of intervals that held the truth.
    pub(crate) coverage: f64,
    /// Median error of the first time that was said, over the time that was left.
    pub(crate) first_error: f64,
}

/// The same of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfKind {
    /// Share of cases warned of.
    pub(crate) warned: f64,
    pub(crate) false_per_day: f64,
    /// Share of intervals that held the truth, where there is one.
    pub(crate) coverage: Option<f64>,
}

/// Plays `each` cases of every one of the kinds. `told` hears the figures of each kind. `outcome` gives what became of a case by its kind, its
/// number and itself.
pub(crate) fn figures(
    kinds: &[Kind],
    seed: u64,
    each: u64,
    outcome: &mut dyn FnMut(Kind, u64, &Case) -> Outcome,
    told: &mut dyn FnMut(Kind, OfKind),
) -> Figures {
    let (mut leads, mut errors, mut covered) = (Vec::new(), Vec::new(), Vec::new());
    let (mut right, mut wrong, mut wrong_breaching, mut days, mut breaches) = (0, 0, 0, 0.0, 0);
    for kind in kinds.iter().copied() {
        let (mut warned, mut its_wrong, mut its_days, before) = (0, 0, 0.0, covered.len());
        for number in 0..each {
            let outcome = outcome(kind, number, &case(kind, seed.wrapping_mul(10_007).wrapping_add(number)));
            its_wrong += outcome.false_warnings;
            its_days += outcome.days;
            right += outcome.right_warnings;
            if kind.reaches() {
                breaches += 1;
                wrong_breaching += outcome.false_warnings;
                let in_time = outcome.lead.is_some_and(|lead| lead >= 0.1);
                warned += usize::from(in_time);
                leads.push(outcome.lead.unwrap_or(0.0));
                errors.extend(outcome.first_error);
                covered.extend(outcome.covered);
            } else {
                warned += usize::from(outcome.false_warnings > 0);
            }
        }
        wrong += its_wrong;
        days += its_days;
        let its = &covered[before..];
        let coverage = (!its.is_empty()).then(|| its.iter().filter(|held| **held).count() as f64 / its.len() as f64);
        told(
            kind,
            OfKind { warned: warned as f64 / each as f64, false_per_day: its_wrong as f64 / its_days, coverage },
        );
    }
    let in_time = leads.iter().filter(|lead| **lead >= 0.1).count();
    let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
    Figures {
        recall: share(in_time, breaches),
        lead: middle(&mut leads),
        precision_breaching: share(right, right + wrong_breaching),
        precision: share(right, right + wrong),
        false_per_day: wrong as f64 / days,
        coverage: share(covered.iter().filter(|held| **held).count(), covered.len()),
        first_error: middle(&mut errors),
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "recall {:.3}, lead {:.3} of the rise", self.recall, self.lead)?;
        writeln!(f, "precision {:.3} on breaching kinds, {:.3} on all", self.precision_breaching, self.precision)?;
        writeln!(f, "false warnings a day {:.4}", self.false_per_day)?;
        write!(f, "interval coverage {:.3}, median error of the first time {:.3}", self.coverage, self.first_error)
    }
}

impl fmt::Display for OfKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6.3} {:>10.4}", self.warned, self.false_per_day)?;
        self.coverage.map_or(Ok(()), |held| write!(f, " {held:>14.3}"))
    }
}

fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
