//! What can be had for nothing: chance, a constant, and the size of the last step. A measure on which these do well measures
//! little, and a detector that does not beat them is of no use.

use crate::{Rows, Track};

/// A naive detector.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Naive {
    /// Even random scores, and as many alarms as the detector under test raised, at random rows.
    Random {
        /// Where the numbers start from.
        seed: u64,
    },
    /// The same score in every row, and one alarm that is raised at once and never ends.
    Constant,
    /// The difference to the value before, as it compares with the mean difference so far.
    Step,
}

/// Steps of ten times the mean one are alarms.
const ODD_STEP: f64 = 10.0;

impl Naive {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Random { .. } => "random",
            Self::Constant => "constant",
            Self::Step => "|dx|",
        }
    }

    /// What it would have said of the same rows. `values` are those of the rows; NaN where there is none.
    #[must_use]
    pub fn track(self, given: &Track, values: &[f64]) -> Track {
        let rows = given.rows();
        let (scores, alarms) = match self {
            Self::Random { seed } => {
                let mut random = SplitMix(seed);
                let scores = (0..rows).map(|_| random.next()).collect();
                let many = given.alarms.iter().filter(|alarm| alarm.first >= given.scored_from).count();
                let room = rows.saturating_sub(given.scored_from);
                let at = |_| given.scored_from + (random.next() * room as f64) as usize;
                let mut alarms: Vec<usize> = if room == 0 { Vec::new() } else { (0..many).map(at).collect() };
                alarms.sort_unstable();
                (scores, alarms.into_iter().map(|row| Rows { first: row, last: row }).collect())
            }
            Self::Constant => {
                let always = Rows { first: given.scored_from, last: rows.saturating_sub(1) };
                (vec![0.5; rows], if rows > given.scored_from { vec![always] } else { Vec::new() })
            }
            Self::Step => steps(rows, values),
        };
        Track { scores, alarms, ..given.clone() }
    }
}

/// Scores `d / (d + 10 m)` with the mean difference `m` of the rows before, so that an alarm, ten times the mean, is 0.5.
fn steps(rows: usize, values: &[f64]) -> (Vec<f64>, Vec<Rows>) {
    let (mut scores, mut alarms) = (vec![0.0; rows], Vec::new());
    let (mut before, mut sum, mut many) = (f64::NAN, 0.0, 0.0);
    for (row, value) in values.iter().copied().enumerate().take(rows).filter(|(_, value)| value.is_finite()) {
        let step = (value - before).abs();
        if step.is_finite() {
            let usual = if many > 0.0 { sum / many } else { step };
            if step > 0.0 {
                scores[row] = step / (step + ODD_STEP * usual);
            }
            if scores[row] >= 0.5 && many >= 10.0 {
                alarms.push(Rows { first: row, last: row });
            }
            sum += step;
            many += 1.0;
        }
        before = value;
    }
    (scores, alarms)
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct SplitMix(u64);

impl SplitMix {
    /// Evenly between 0 and 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{events, vus};

    /// Keeps the measures honest: on a rare event chance and a constant get next to nothing, and the size of a step gets a spike
    /// right.
    #[test]
    fn chance_gets_next_to_nothing() {
        let rows = 4_000;
        let mut values: Vec<f64> = (0..rows).map(|row| f64::from(row % 5)).collect();
        values[3_000] = 500.0;
        let given = Track {
            times: (0..rows as u64).map(|row| row * 300_000_000_000).collect(),
            scores: vec![0.0; rows as usize],
            alarms: vec![Rows { first: 3_000, last: 3_010 }],
            labels: vec![Rows { first: 2_990, last: 3_020 }],
            scored_from: 600,
            ..Track::default()
        };
        let judge = |naive: Naive| {
            let track = naive.track(&given, &values);
            let volume = vus::vus_pr(&track, vus::Buffers::for_step(300.0)).unwrap();
            let outcome = events::judge(&track);
            (volume, outcome.events[0].raised, outcome.false_episodes.len())
        };
        for naive in [Naive::Random { seed: 7 }, Naive::Constant] {
            let (volume, raised, false_episodes) = judge(naive);
            assert!(volume < 0.05, "{naive:?} {volume}");
            assert_eq!((raised, false_episodes), (None, 1), "{naive:?}");
        }
        let (volume, raised, false_episodes) = judge(Naive::Step);
        assert!(volume > 0.05, "{volume}");
        assert_eq!((raised, false_episodes), (Some(3_000), 0));
    }
}
