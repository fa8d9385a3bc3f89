//! What became of forecasts: whether the limit was reached, how long before that the warning came, and how wide the interval was.

use serde::Serialize;

/// One warning that a limit will be reached. Times are nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// When it was raised.
    pub raised: u64,
    /// When it was cleared; `None` if it still stood at the end.
    pub cleared: Option<u64>,
    /// The limit, in the series' unit.
    pub limit: f64,
    /// Whether values rise to the limit; else they fall to it.
    pub upwards: bool,
    /// When the limit was said to be reached.
    pub reaches: u64,
    /// Early end of the 80 % interval.
    pub earliest: u64,
    /// Late end of the 80 % interval.
    pub latest: u64,
}

/// A prediction and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fulfilment {
    /// What was said.
    pub prediction: Prediction,
    /// When the limit was reached after it, if it was.
    pub reached: Option<u64>,
    /// Whether that can be told: it was reached within the horizon, or the data goes on that long.
    pub is_decided: bool,
}

/// Finds when each prediction's limit was reached: the first time at which the median of five values in a row is at or beyond it,
/// as one lone value is no exhaustion. `horizon` is how long after the raise that counts, in nanoseconds.
#[must_use]
pub fn fulfil(predictions: &[Prediction], times: &[u64], values: &[f64], horizon: u64) -> Vec<Fulfilment> {
    let rows = times.len().min(values.len());
    let end = times[..rows].last().copied().unwrap_or(0);
    let fulfil = |prediction: &Prediction| {
        let sign = if prediction.upwards { 1.0 } else { -1.0 };
        let from = times[..rows].partition_point(|time| *time < prediction.raised);
        let until = prediction.raised.saturating_add(horizon);
        let beyond = |row: &usize| sign * (values[*row] - prediction.limit) >= 0.0;
        let reached = (from..rows)
            .take_while(|row| times[*row] <= until)
            .find(|row| *row >= 4 && (row - 4..=*row).filter(beyond).count() >= 3)
            .map(|row| times[row]);
        Fulfilment { prediction: *prediction, reached, is_decided: reached.is_some() || end >= until }
    };
    predictions.iter().map(fulfil).collect()
}

/// Many predictions together. Those that the data does not decide are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Predictions that are decided.
    pub decided: usize,
    /// Those that are not: the data ends within their horizon.
    pub undecided: usize,
    /// Whose limit was reached within the horizon.
    pub right: usize,
    /// The horizon, in seconds.
    pub horizon_seconds: f64,
    /// Right over decided.
    pub precision: Option<f64>,
    /// Seconds from the raise to the limit, of right ones: half of them are no longer.
    pub lead_median_seconds: Option<f64>,
    /// Wrong ones a day of a series.
    pub false_per_day: Option<f64>,
    /// Share of right ones that came between the earliest and the latest time that was said at the raise.
    pub interval_coverage: Option<f64>,
}

impl Summary {
    /// Adds up. `days` are those of all series together.
    #[must_use]
    pub fn of(all: &[Fulfilment], days: f64, horizon_nanos: u64) -> Self {
        let decided: Vec<_> = all.iter().filter(|one| one.is_decided).collect();
        let mut leads = Vec::new();
        let mut covered = 0_usize;
        for (one, reached) in decided.iter().filter_map(|one| Some((one, one.reached?))) {
            leads.push(reached.saturating_sub(one.prediction.raised) as f64 / 1e9);
            covered += usize::from((one.prediction.earliest..=one.prediction.latest).contains(&reached));
        }
        leads.sort_by(f64::total_cmp);
        let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
        Self {
            decided: decided.len(),
            undecided: all.len() - decided.len(),
            right: leads.len(),
            horizon_seconds: horizon_nanos as f64 / 1e9,
            precision: share(leads.len(), decided.len()),
            lead_median_seconds: crate::events::quantile(&leads, 0.5),
            false_per_day: (days > 0.0).then(|| (decided.len() - leads.len()) as f64 / days),
            interval_coverage: share(covered, leads.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000_000_000;

    /// One forecast that comes true in its interval, one that does not, and one that nobody can judge yet.
    #[test]
    fn limits_are_reached_or_not() {
        let times: Vec<u64> = (0..200).map(|row| row * HOUR / 10).collect();
        // Rises to 1 at row 100, stays there until row 120, then is low. One lone value at row 30 is above the limit.
        let mut values: Vec<f64> =
            (0..200).map(|row: i32| if row > 120 { 0.2 } else { (f64::from(row) / 100.0).min(1.0) }).collect();
        values[30] = 1.5;
        let said = |raised: u64, limit: f64| Prediction {
            raised,
            cleared: None,
            limit,
            upwards: true,
            reaches: raised + 5 * HOUR,
            earliest: raised + 2 * HOUR,
            latest: raised + 6 * HOUR,
        };
        let predictions = [said(5 * HOUR, 1.0), said(2 * HOUR, 2.0), said(13 * HOUR, 1.0)];
        let all = fulfil(&predictions, &times, &values, 8 * HOUR);
        let reached: Vec<_> = all.iter().map(|one| (one.reached, one.is_decided)).collect();
        assert_eq!(reached, [(Some(HOUR / 10 * 102), true), (None, true), (None, false)]);
        let sum = Summary::of(&all, 2.0, 8 * HOUR);
        assert_eq!((sum.decided, sum.undecided, sum.right), (2, 1, 1));
        assert_eq!((sum.precision, sum.false_per_day, sum.interval_coverage), (Some(0.5), Some(0.5), Some(1.0)));
        assert_eq!(sum.lead_median_seconds, Some(5.2 * 3_600.0));
    }
}
