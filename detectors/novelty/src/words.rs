//! Owns what a finding says, and how a vote becomes a surprise.

use crate::series::Opinion;
use foreshock_detector::{
    Finding, Kind, Row, Series, Severity,
    words::{cut, label, number, short},
};

/// Votes, and `-log10` of the share of ordinary rows at which an alarm as loud begins: measured on the unlabelled rows of the
/// Numenta Anomaly Benchmark's 31 tuning series, extrapolated beyond 1.3. It counts beginnings and not rows, because one event
/// makes many rows. A tail fitted for each series did worse: what is novel is rare by construction.
const SURPRISES: [(f64, f64); 9] =
    [(0.0, 0.0), (0.05, 2.0), (0.2, 3.2), (0.34, 3.8), (0.46, 4.0), (0.7, 4.4), (1.0, 4.95), (1.3, 5.5), (2.3, 7.0)];

/// The surprise of a vote.
pub(crate) fn surprise(vote: f64) -> f64 {
    let pairs = SURPRISES.iter().zip(&SURPRISES[1..]);
    let mut between = pairs.filter(|((from, _), (to, _))| (*from..=*to).contains(&vote));
    let largest = SURPRISES[SURPRISES.len() - 1].1;
    between.next().map_or(largest, |((x0, y0), (x1, y1))| y0 + (vote - x0) / (x1 - x0) * (y1 - y0))
}

/// The finding while an alarm holds.
pub(crate) fn finding(series: &Series, row: &Row, opinion: &Opinion, threshold: f64) -> Finding {
    let (observed, usual) = match opinion.seasonal {
        Some(hour) => (hour.mean, Some((hour.usual - 3.0 * hour.spread, hour.usual + 3.0 * hour.spread))),
        None => (row.value, opinion.usual),
    };
    let usual =
        usual.map(|(low, high)| if series.kind == Kind::Gauge { (low, high) } else { (low.max(0.0), high.max(0.0)) });
    let (kind, verb) = match (opinion.seasonal, usual) {
        (Some(_), _) => ("seasonal", "is unusual for this hour:"),
        (None, Some((_, high))) if row.value > high => ("spike", "left its usual course:"),
        (None, Some((low, _))) if row.value < low => ("dip", "left its usual course:"),
        _ => ("distribution", "takes a course not seen before:"),
    };
    let expected = match usual {
        Some((low, high)) => format!(", usual {} to {}", short(low), number(high, &series.unit)),
        None => String::new(),
    };
    let summary = format!("{} {verb} {}{expected}", label(series), number(observed, &series.unit));
    let mut evidence = vec![
        ("vote".to_owned(), format!("{} of at least {}", short(opinion.vote), short(threshold))),
        ("members".to_owned(), format!("{} of {} speak", opinion.speaking, opinion.members)),
        ("course".to_owned(), format!("{} windows", opinion.course)),
        ("began".to_owned(), format!("{} windows ago", opinion.began)),
    ];
    if let Some(hour) = opinion.seasonal {
        let of = if hour.weekly { "the same hour of the week" } else { "the same hour of the day" };
        evidence.push(("compared with".to_owned(), of.to_owned()));
    }
    Finding {
        ids: vec![row.id],
        kind: kind.to_owned(),
        severity: Severity::Warning,
        score: surprise(opinion.vote),
        observed: Some(observed),
        // A gauge in no unit may have its zero anywhere: how far it is from the middle of what is usual, as a ratio, says nothing.
        expected: usual.filter(|_| has_zero(series)).map(|(low, high)| low / 2.0 + high / 2.0),
        lower: usual.map(|(low, _)| low),
        upper: usual.map(|(_, high)| high),
        forecast: None,
        summary: cut(&summary, 512).to_owned(),
        evidence,
    }
}

/// Whether 0 means none, so that ratios of values mean something.
fn has_zero(series: &Series) -> bool {
    series.kind != Kind::Gauge || !series.unit.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scale that the host compares with others must grow with the vote and stay in its range.
    #[test]
    fn louder_votes_are_rarer() {
        let scores: Vec<f64> = (0..=30).map(|k| surprise(f64::from(k) / 10.0)).collect();
        assert!(scores.is_sorted() && scores[0] == 0.0 && scores[30] == 7.0, "{scores:?}");
        assert!((surprise(0.4) - 3.9).abs() < 1e-9);
    }
}
