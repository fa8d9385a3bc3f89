//! The detector on generated cases: that it warns of what comes and not of what doesn't.

mod cases;

use cases::{
    BREACHING, HARMLESS, Kind,
    measure::{figures, play},
};

/// Holds the detector to a floor under the figures of its documentation, on fewer cases than those were measured on: enough to notice
/// a broken gate, too few to notice a nuance.
#[test]
fn it_warns_of_what_comes_and_not_of_what_does_not() {
    let mut worst = (Kind::Flat, 0.0);
    let kinds: Vec<Kind> = BREACHING.into_iter().chain(HARMLESS).collect();
    let sum = figures(&kinds, 3, 3, &mut |kind, _, case| play(kind, case), &mut |kind, of| {
        if of.false_per_day > worst.1 {
            worst = (kind, of.false_per_day);
        }
    });
    assert!(sum.recall >= 0.75, "{sum:?}");
    assert!(sum.lead >= 0.25, "{sum:?}");
    assert!(sum.false_per_day <= 0.15, "{sum:?}, the worst are {worst:?}");
    assert!(sum.precision_breaching >= 0.7, "{sum:?}");
    assert!(sum.coverage >= 0.6, "{sum:?}");
}
