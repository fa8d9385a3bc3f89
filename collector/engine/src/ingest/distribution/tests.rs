//! Tests of distributions: literals worked out by hand, and absurd layouts.

use super::*;
use proptest::prelude::*;

const NONE: ExponentialBuckets<'static> = ExponentialBuckets { offset: 0, counts: &[] };

/// All values of the distributions, for tests of conservation.
fn total(merged: &Merged) -> u64 {
    let explicit: u64 = merged.explicit.iter().flat_map(|layout| &layout.counts).sum();
    let exponential = merged.exponential.as_ref().map_or(0, |(exponential, _)| {
        let sides = exponential.positive.counts.iter().chain(&exponential.negative.counts);
        exponential.zero + sides.sum::<u64>()
    });
    explicit + exponential
}

fn explicit(bounds: &[f64], counts: &[u64]) -> Buckets {
    Buckets::explicit(bounds, counts, None).expect("a layout that makes sense")
}

fn merged(parts: &[(Buckets, Limits)]) -> Merged {
    let mut merged = Merged::default();
    parts.iter().for_each(|(buckets, limits)| merged.add(buckets, *limits));
    merged
}

fn near(got: f64, expected: f64) {
    assert!((got - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{got} instead of {expected}");
}

/// Protects interpolation: of 10 values, 4 in (0, 10] and 6 in (10, 20], the median has rank 5, one sixth into (10, 20].
#[test]
fn interpolates_within_the_bucket() {
    let merged = merged(&[(explicit(&[10.0, 20.0], &[4, 6, 0]), Limits::new(None, None))]);
    let [p25, p50, p95] = merged.quantiles([0.25, 0.5, 0.95]).expect("values");
    near(p25, 6.25);
    near(p50, 10.0 + 10.0 / 6.0);
    near(p95, 10.0 + 10.0 * 5.5 / 6.0);
}

/// Protects the outermost buckets: they end at the known limits, and at their bound where there is none.
#[test]
fn open_buckets_end_at_the_limits() {
    let buckets = explicit(&[10.0], &[0, 2]);
    near(merged(&[(buckets.clone(), Limits::new(None, None))]).quantiles([0.99]).expect("values")[0], 10.0);
    near(merged(&[(buckets, Limits::new(None, Some(30.0)))]).quantiles([0.5]).expect("values")[0], 20.0);
    let low = explicit(&[-5.0], &[2, 0]);
    near(merged(&[(low.clone(), Limits::new(None, None))]).quantiles([0.5]).expect("values")[0], -5.0);
    near(merged(&[(low, Limits::new(Some(-9.0), None))]).quantiles([0.5]).expect("values")[0], -7.0);
}

/// Protects merging of different bounds: 10 values over (0, 10] and 10 over (0, 20] have density 1.5 up to 10, so the
/// median (rank 10) lies at 20/3.
#[test]
fn merges_different_bounds() {
    let unlimited = Limits::new(None, None);
    let merged = merged(&[(explicit(&[10.0], &[10, 0]), unlimited), (explicit(&[20.0], &[10, 0]), unlimited)]);
    near(merged.quantiles([0.5]).expect("values")[0], 20.0 / 3.0);
}

/// Protects the layout of exponential buckets: at scale 0 the buckets of offset 1 are (2, 4] and (4, 8].
#[test]
fn exponential_buckets_are_powers_of_two_at_scale_zero() {
    let positive = ExponentialBuckets { offset: 1, counts: &[2, 2] };
    let negative = ExponentialBuckets { offset: 0, counts: &[4] };
    let merged = merged(&[(Buckets::exponential(0, 2, positive, negative), Limits::new(None, None))]);
    // Ascending: 4 in [-2, -1), 2 at 0, 2 in (2, 4], 2 in (4, 8].
    let [p20, p50, p70, p90] = merged.quantiles([0.2, 0.5, 0.7, 0.9]).expect("values");
    near(p20, -1.5);
    near(p50, 0.0);
    near(p70, 3.0);
    near(p90, 6.0);
}

/// Protects merging of scales: at scale 1 buckets 2 and 3 are (2, 2.83] and (2.83, 4], together bucket 1 at scale 0.
#[test]
fn merges_scales_by_scaling_down() {
    let fine = Buckets::exponential(1, 0, ExponentialBuckets { offset: 2, counts: &[1, 3] }, NONE);
    let coarse = Buckets::exponential(0, 0, ExponentialBuckets { offset: 1, counts: &[4] }, NONE);
    let both = merged(&[(fine, Limits::new(None, None)), (coarse, Limits::new(None, None))]);
    let (exponential, _) = both.exponential.as_ref().expect("exponential");
    assert_eq!((exponential.scale, exponential.positive.offset), (0, 1));
    assert_eq!(exponential.positive.counts, [8]);
    near(both.quantiles([0.5]).expect("values")[0], 3.0);
}

/// Protects negative indices: -1 and -2 at scale 1 are (0.5, 1] together, bucket -1 at scale 0.
#[test]
fn scales_negative_indices_down() {
    let side = Side { offset: -3, counts: vec![5, 1, 2] };
    assert_eq!(side.scaled_down(1), Side { offset: -2, counts: vec![5, 3] });
}

/// Protects differences: what was there before is taken away, a count that fell or bounds that changed are a reset.
#[test]
fn differences_notice_resets() {
    let old = explicit(&[1.0], &[1, 2]);
    assert_eq!(explicit(&[1.0], &[4, 2]).since(&old), Some(explicit(&[1.0], &[3, 0])));
    assert_eq!(explicit(&[1.0], &[0, 9]).since(&old), None);
    assert_eq!(explicit(&[2.0], &[4, 2]).since(&old), None);
    let old = Buckets::exponential(1, 1, ExponentialBuckets { offset: 2, counts: &[1, 1] }, NONE);
    let new = Buckets::exponential(0, 1, ExponentialBuckets { offset: 0, counts: &[7, 5] }, NONE);
    let rest = Buckets::exponential(0, 0, ExponentialBuckets { offset: 0, counts: &[7, 3] }, NONE);
    assert_eq!(new.since(&old), Some(rest));
}

proptest! {
    /// Protects against absurd layouts: whatever the scale, offsets and counts, quantiles are finite and in order, the
    /// memory is bounded, and no value is lost.
    #[test]
    fn absurd_layouts_stay_finite(
        parts in prop::collection::vec((any::<i32>(), any::<i32>(), any::<i32>(), 0u64..1 << 40,
            prop::collection::vec(0u64..1 << 40, 0..20), prop::collection::vec(0u64..1 << 40, 0..20)), 1..6),
        min in any::<f64>(), max in any::<f64>(),
    ) {
        let mut merged = Merged::default();
        let mut expected = 0;
        for (scale, offset, other_offset, zero, positive, negative) in &parts {
            expected += zero + positive.iter().sum::<u64>() + negative.iter().sum::<u64>();
            let buckets = Buckets::exponential(
                *scale,
                *zero,
                ExponentialBuckets { offset: *offset, counts: positive },
                ExponentialBuckets { offset: *other_offset, counts: negative },
            );
            merged.add(&buckets, Limits::new(Some(min), Some(max)));
        }
        prop_assert_eq!(total(&merged), expected);
        let (exponential, _) = merged.exponential.as_ref().expect("exponential");
        prop_assert!(exponential.positive.counts.len() as u64 <= MAX_EXPONENTIAL_BUCKETS);
        prop_assert!(exponential.negative.counts.len() as u64 <= MAX_EXPONENTIAL_BUCKETS);
        if let Some([p50, p99]) = merged.quantiles([0.5, 0.99]) {
            prop_assert!(p50.is_finite() && p99.is_finite() && p50 <= p99, "{} {}", p50, p99);
        }
    }

    /// Protects mixed layouts: quantiles of explicit and exponential buckets together are finite and in order.
    #[test]
    fn mixed_layouts_stay_finite(
        mut bounds in prop::collection::vec(any::<f64>(), 0..12), counts in prop::collection::vec(0u64..1000, 13),
        scale in -12i32..22, offset in -5000i32..5000,
    ) {
        bounds.retain(|bound| bound.is_finite());
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        let mut merged = Merged::default();
        if let Some(buckets) = Buckets::explicit(&bounds, &counts[..=bounds.len()], None) {
            merged.add(&buckets, Limits::new(None, None));
        }
        let positive = ExponentialBuckets { offset, counts: &counts };
        merged.add(&Buckets::exponential(scale, 1, positive, positive), Limits::new(None, None));
        let [p01, p50, p99] = merged.quantiles([0.01, 0.5, 0.99]).expect("values");
        prop_assert!(p01.is_finite() && p50.is_finite() && p99.is_finite());
        prop_assert!(p01 <= p50 && p50 <= p99, "{} {} {}", p01, p50, p99);
    }
}
