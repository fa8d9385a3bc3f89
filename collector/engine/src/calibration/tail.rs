//! The upper tail of one detector's scores on one series: how rare a score really is there.

use serde::{Deserialize, Serialize};
use std::f64::consts::LN_10;

/// Score at which the tail begins. A detector that keeps its word exceeds it in one window of a hundred.
const LEVEL: f64 = 2.0;
/// The share of windows beyond it, by that word.
const SHARE: f64 = 0.01;
/// Windows that this word is worth, against what is seen.
const SHARE_PRIOR: f64 = 500.0;
/// Windows over which the share forgets.
const SHARE_MEMORY: f64 = 20_000.0;
/// Mean and mean square of what scores are beyond the level, in decades, where their probability falls tenfold with each point:
/// an exponential distribution of mean `1 / ln 10`.
const EXCESS: f64 = 1.0 / LN_10;
const SQUARE: f64 = 2.0 * EXCESS * EXCESS;
/// Runs that this is worth, against what is seen.
const EXCESS_PRIOR: f64 = 30.0;
/// Runs over which it forgets.
const EXCESS_MEMORY: f64 = 100.0;
/// What is further beyond the level counts as this far, so that one event does not hide the next.
const MOST_EXCESS: f64 = 2.2;
/// Windows below the level that end a run.
const RUN_END: u8 = 3;
/// Windows of a run that count in the share. The rest of a long run is the same event.
const RUN_WINDOWS: u16 = 8;
/// Windows after which a run is no event any more but how the series is.
const RUN_ACCEPTED: u16 = 2_000;
/// Heaviest tail that is believed.
const MOST_SHAPE: f64 = 0.4;

/// A generalised Pareto distribution over a fixed threshold (Pickands 1975; as a streaming detector, with alarms kept out of the
/// fit: Siffer et al., "Anomaly Detection in Streams with Extreme Value Theory", KDD 2017). Fitted to the peaks of runs, as scores of
/// neighbouring windows are alike (runs declustering: Leadbetter 1991), by moments (Hosking and Wallis 1987), with a prior that says that
/// the detector keeps its word. 32 bytes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Tail {
    /// Windows that counted.
    seen: u32,
    /// Share of them beyond the level.
    share: f32,
    /// Runs that ended.
    runs: u32,
    mean: f32,
    square: f32,
    /// The largest score of the present run.
    peak: f32,
    run: u16,
    calm: u8,
}

impl Default for Tail {
    fn default() -> Self {
        Self {
            seen: 0,
            share: SHARE as f32,
            runs: 0,
            mean: EXCESS as f32,
            square: SQUARE as f32,
            peak: 0.0,
            run: 0,
            calm: 0,
        }
    }
}

impl Tail {
    /// `-log10` of the probability of a score of at least `score`, 0 to `score`: a detector is never believed more than it says.
    pub(super) fn surprise(&self, score: f64) -> f64 {
        let base = -f64::from(self.share).log10();
        let own = if score < LEVEL {
            base * score / LEVEL
        } else {
            let (shape, scale) = self.shape_and_scale();
            let excess = (score - LEVEL) / scale;
            base + if shape < 1e-3 { excess / LN_10 } else { (shape * excess).ln_1p() / shape / LN_10 }
        };
        // A word that nothing speaks against is kept to the last bit.
        if own > score - 1e-3 { score } else { own.max(0.0) }
    }

    /// By the method of moments, with `mean = scale / (1 - shape)` and `variance = mean^2 / (1 - 2 shape)`.
    fn shape_and_scale(&self) -> (f64, f64) {
        let (mean, square) = (f64::from(self.mean), f64::from(self.square));
        let variance = (square - mean * mean).max(1e-6);
        let shape = (0.5 * (1.0 - mean * mean / variance)).clamp(0.0, MOST_SHAPE);
        (shape, (mean * (1.0 - shape)).max(1e-3))
    }

    /// Learns the score of one window, after it was judged.
    pub(super) fn learn(&mut self, score: f64) {
        let beyond = score >= LEVEL;
        if beyond {
            self.run = self.run.saturating_add(1);
            self.calm = 0;
            self.peak = self.peak.max(score as f32);
        } else if self.run > 0 {
            self.calm += 1;
            if self.calm >= RUN_END {
                self.end_run();
            }
        }
        if (RUN_WINDOWS + 1..RUN_ACCEPTED).contains(&self.run) {
            return;
        }
        self.seen = self.seen.saturating_add(1);
        let memory = (f64::from(self.seen) + SHARE_PRIOR).min(SHARE_MEMORY);
        let share = f64::from(self.share);
        // Once in the memory is the least that can be claimed.
        self.share = (share + (f64::from(u8::from(beyond)) - share) / memory).max(1.0 / SHARE_MEMORY) as f32;
    }

    fn end_run(&mut self) {
        let excess = (f64::from(self.peak) - LEVEL).clamp(0.0, MOST_EXCESS);
        self.runs = self.runs.saturating_add(1);
        let memory = (f64::from(self.runs) + EXCESS_PRIOR).min(EXCESS_MEMORY);
        let (mean, square) = (f64::from(self.mean), f64::from(self.square));
        self.mean = (mean + (excess - mean) / memory) as f32;
        self.square = (square + (excess * excess - square) / memory) as f32;
        (self.run, self.calm, self.peak) = (0, 0, 0.0);
    }

    /// Whether restored numbers can be worked with.
    pub(super) fn is_sane(&self) -> bool {
        let is_in = |value: f32, least: f32, most: f32| (least..=most).contains(&value);
        is_in(self.share, 1e-6, 1.0)
            && is_in(self.mean, 0.0, MOST_EXCESS as f32)
            && is_in(self.square, 0.0, (MOST_EXCESS * MOST_EXCESS) as f32)
            && is_in(self.peak, 0.0, 16.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uniform numbers between 0 and 1 (SplitMix64: Steele, Lea and Flood 2014).
    struct Noise(u64);

    impl Noise {
        fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 + 1e-17
        }
    }

    /// Learns 200,000 windows of a detector that says `says(surprise)` where `surprise` would be true, and gives the tail with the number
    /// of windows that were called at least as rare as one in 10, 100, 1,000 and 10,000.
    fn played(says: impl Fn(f64) -> f64) -> (Tail, [u32; 4]) {
        let (mut tail, mut noise, mut over) = (Tail::default(), Noise(5), [0; 4]);
        for i in 0..200_000 {
            let score = says(-noise.next().log10()).clamp(0.0, 16.0);
            let surprise = tail.surprise(score);
            if i >= 20_000 {
                for (count, level) in over.iter_mut().zip([1.0, 2.0, 3.0, 4.0]) {
                    *count += u32::from(surprise >= level);
                }
            }
            tail.learn(score);
        }
        (tail, over)
    }

    /// A detector that keeps its word is believed as it speaks: what it calls one in 100,000 stays close to that.
    #[test]
    fn a_true_word_is_believed() {
        let (tail, over) = played(|surprise| surprise);
        for score in [1.0, 2.0, 4.0, 5.0, 8.0] {
            assert!((tail.surprise(score) - score).abs() < 0.12 * score, "{score}: {}", tail.surprise(score));
        }
        assert!((900..2_700).contains(&over[1]) && over[3] < 40, "{over:?}");
    }

    /// A detector that cries wolf on a series is taken at the rate at which it does, far into the tail.
    #[test]
    fn an_overconfident_detector_is_corrected() {
        for says in [|surprise: f64| 2.0 * surprise, |surprise: f64| surprise + 1.5, |surprise: f64| surprise.powf(1.6)]
        {
            let (_, over) = played(says);
            // Of 180,000 windows: 1,800 are one in a hundred, 180 one in a thousand, 18 one in ten thousand.
            assert!(over[1] < 3_600 && over[2] < 540 && over[3] < 108, "{over:?}");
        }
    }

    /// A detector that says less than it could is not made to say more.
    #[test]
    fn nobody_is_believed_more_than_he_says() {
        let (tail, _) = played(|surprise| 0.5 * surprise);
        for score in [0.5, 2.0, 3.0, 7.0, 16.0] {
            assert!(tail.surprise(score) <= score);
        }
    }

    /// A long anomaly is one event: it teaches little, and the next one is still heard.
    #[test]
    fn a_long_anomaly_poisons_nothing() {
        let mut tail = Tail::default();
        let mut noise = Noise(9);
        for _ in 0..2_000 {
            tail.learn(-noise.next().log10());
        }
        let before = tail.surprise(9.0);
        for _ in 0..1_000 {
            tail.learn(14.0);
        }
        for _ in 0..10 {
            tail.learn(0.3);
        }
        let after = tail.surprise(9.0);
        assert!(before > 7.5 && after > 0.7 * before, "{before} {after}");
        assert!(Tail::default().surprise(16.0) > 15.9, "nothing is known, so the detector is believed");
    }

    /// Surprise never falls as the score rises, whatever was learned; thresholds rely on it.
    #[test]
    fn more_odd_is_more_surprising() {
        for says in [|s: f64| s, |s: f64| 4.0 * s, |s: f64| 0.2 * s, |s: f64| s.floor() * 3.0] {
            let (tail, _) = played(says);
            let surprises: Vec<f64> = (0..160).map(|tenth| tail.surprise(f64::from(tenth) / 10.0)).collect();
            assert!(surprises.is_sorted(), "{surprises:?}");
            assert!(tail.is_sane());
        }
    }
}
