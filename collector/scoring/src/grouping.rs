//! Whether things that belong together were put together.
//!
//! Source: Zhu et al. 2019, "Tools and Benchmarks for Automated Log Parsing" (ICSE-SEIP): a line is grouped rightly if its group
//! holds exactly the lines that its true group holds; the accuracy is the share of such lines.

use std::{collections::BTreeMap, hash::Hash};

/// How many items are in a group that holds exactly the items of one true group. `found` and `truth` name the groups of the same
/// items; what is longer is cut.
#[must_use]
pub fn right<F: Ord + Hash, T: Ord + Hash>(found: &[F], truth: &[T]) -> usize {
    let mut of_found: BTreeMap<&F, (&T, usize, bool)> = BTreeMap::new();
    let mut of_truth: BTreeMap<&T, usize> = BTreeMap::new();
    for (group, wanted) in found.iter().zip(truth) {
        *of_truth.entry(wanted).or_default() += 1;
        let (first, many, is_pure) = of_found.entry(group).or_insert((wanted, 0, true));
        *many += 1;
        *is_pure &= *first == wanted;
    }
    let is_right = |(wanted, many, is_pure): &&(&T, usize, bool)| *is_pure && of_truth.get(wanted) == Some(many);
    of_found.values().filter(is_right).map(|(_, many, _)| many).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group that is split, and groups that are mixed, count for nothing, however few items are wrong.
    #[test]
    fn only_whole_groups_count() {
        let truth = ["a", "a", "b", "b", "b", "c", "d"];
        assert_eq!(right(&[1, 1, 2, 2, 2, 3, 4], &truth), 7);
        assert_eq!(right(&[1, 1, 2, 2, 9, 3, 4], &truth), 4, "b is split");
        assert_eq!(right(&[1, 1, 2, 2, 2, 3, 3], &truth), 5, "c and d are mixed");
        assert_eq!(right::<u8, &str>(&[], &truth), 0);
    }
}
