//! Owns the check of a configuration's ranges, for callers that did not check it against its schema.

use crate::Fault;

/// Whether a number of the configuration is in its range, and the words for one that is not.
pub type Range = (bool, &'static str);

/// What detectors that tell of odd windows let a user set: from which surprise a window is odd, how many odd windows make a
/// finding, and for how many windows after its end twice as many are asked for.
#[must_use]
pub fn alarm_ranges(threshold: f64, persistence: u32, refractory: u32) -> [Range; 3] {
    [
        ((2.0..=15.0).contains(&threshold), "threshold must be 2 to 15"),
        ((1..=100).contains(&persistence), "persistence must be 1 to 100"),
        (refractory <= 10_000, "refractory must be at most 10,000"),
    ]
}

/// Whether all numbers are in their ranges.
///
/// # Errors
/// [`Fault::BadConfig`] with the words for the first that is not.
pub fn in_range(ranges: impl IntoIterator<Item = Range>) -> Result<(), Fault> {
    match ranges.into_iter().find(|(holds, _)| !holds) {
        Some((_, problem)) => Err(Fault::BadConfig(problem.to_owned())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first number out of range is named; the ends of a range belong to it, and NaN is in none.
    #[test]
    fn the_first_problem_is_named() {
        assert_eq!(in_range(alarm_ranges(2.0, 1, 10_000)), Ok(()));
        assert_eq!(in_range(alarm_ranges(15.0, 100, 0)), Ok(()));
        let problem =
            |threshold, persistence, refractory| match in_range(alarm_ranges(threshold, persistence, refractory)) {
                Err(Fault::BadConfig(problem)) => problem,
                other => panic!("{other:?}"),
            };
        assert_eq!(problem(f64::NAN, 0, 0), "threshold must be 2 to 15");
        assert_eq!(problem(5.0, 101, 0), "persistence must be 1 to 100");
        assert_eq!(problem(5.0, 2, 10_001), "refractory must be at most 10,000");
    }
}
