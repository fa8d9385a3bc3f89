//! Owns the forecast of one series: values to blocks, blocks to scales, scales to one answer.

use crate::{
    fit::{median, middle},
    pairs::Pairs,
    scale::{BLOCKS, Moment, Scale},
};
use serde::{Deserialize, Serialize};

/// Seconds of the smallest block.
const BLOCK: f64 = 120.0;
/// Seconds of the largest one, and a little for rounding.
const LARGEST_BLOCK: f64 = 16.0 * 3_600.0 * 1.01;
/// A silence up to this long, in seconds, is bridged by a line; after a longer one everything is learned anew.
const LONGEST_BRIDGE: f64 = 6.0 * 3_600.0;
/// What the comparison of days is taken for when its interval is looked up: how uneven, and how long was looked at.
const PAIRS_AS: (f64, f64) = (0.05, 48.0 * 3_600.0);

/// The ends of the 80 % interval of a straight rise as factors of the time to the limit: rows by how uneven the line is (below 0.003, 0.02,
/// else), columns by the time to the limit over what was looked at (below 0.1, 0.25, else). These and `BENT` are the 10th and the 90th
/// percentile of what came, over what was said, in generated cases (`tests/cases`, seeds 101 to 105, 60 cases of each of the nine kinds
/// that reach their limit, each kind counting the same); the lower end is never later than what is said, and the longest is cut.
const INTERVALS: [[(f64, f64); 3]; 3] = [
    [(1.0, 2.1), (0.84, 1.25), (0.9, 1.27)],
    [(1.0, 4.4), (0.73, 1.82), (0.67, 1.35)],
    [(1.0, 20.0), (0.65, 2.1), (0.5, 1.29)],
];
/// The same for a rise that is bent: of the time to the limit along the bend, and of that along a straight line. What looks like a bend
/// may be the hours of the day in which more is used.
const BENT: (f64, f64) = (0.73, 1.03);

/// When the limit will be reached, in seconds from the end of the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outlook {
    pub(crate) reaches: f64,
    pub(crate) earliest: f64,
    pub(crate) latest: f64,
    /// Seconds looked at by the scale that is surest.
    pub(crate) looked_at: f64,
}

/// All that is known of one series, values being shares of its limit.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Trend {
    step: f64,
    /// Windows in the smallest block.
    per_block: u32,
    is_store: bool,
    /// End of the last window, in seconds since the epoch, and its value; `None` before the first.
    last: Option<(f64, f64)>,
    /// The last two values, oldest first.
    before: [f64; 2],
    block: Vec<f64>,
    scales: Vec<Scale>,
    pairs: Pairs,
}

impl Trend {
    /// Nothing known yet. `step` is the length of windows in seconds.
    pub(crate) fn new(step: f64, is_store: bool) -> Self {
        let per_block = (BLOCK / step + 0.5).max(1.0) as u32;
        let mut scales = Vec::new();
        let mut length = f64::from(per_block) * step;
        while length <= LARGEST_BLOCK && scales.len() < 11 {
            scales.push(Scale::new());
            length *= 2.0;
        }
        Self { step, per_block, is_store, last: None, before: [0.0; 2], block: Vec::new(), scales, pairs: Pairs::new() }
    }

    /// Takes the share of a window that ends at `end` seconds since the epoch. Says when the limit will be reached, while it warns.
    pub(crate) fn observe(&mut self, share: f64, end: f64) -> Option<Outlook> {
        if !share.is_finite() {
            return None;
        }
        match self.last {
            None => self.before = [share; 2],
            Some((last, _)) if end - last > LONGEST_BRIDGE.max(self.step * 1.5) => {
                *self = Self::new(self.step, self.is_store);
                self.before = [share; 2];
            }
            Some((last, value)) => {
                let missing = ((end - last) / self.step - 0.5).max(0.0) as u32;
                for gap in 1..=missing {
                    let part = f64::from(gap) / f64::from(missing + 1);
                    self.take(value + (share - value) * part, last + f64::from(gap) * self.step);
                }
            }
        }
        self.last = Some((end, share));
        self.take(share, end);
        self.outlook(end)
    }

    /// Takes one window of a series without holes.
    fn take(&mut self, share: f64, end: f64) {
        self.block.push(middle(self.before[0], self.before[1], share));
        self.before = [self.before[1], share];
        if self.block.len() < self.per_block as usize {
            return;
        }
        let mut centre = median(&mut self.block);
        self.block.clear();
        self.pairs.observe(centre, end);
        let mut top = centre;
        let mut length = f64::from(self.per_block) * self.step;
        for k in 0..self.scales.len() {
            let (finer, others) = self.scales.split_at_mut(k);
            let [scale, coarser @ ..] = others else { break };
            let (finer, coarser) = (&finer[k.saturating_sub(2)..], &coarser[..coarser.len().min(2)]);
            let moment = Moment { now: end, block: length, finer, coarser, is_store: self.is_store };
            let Some(larger) = scale.close(centre, top, moment) else { break };
            (centre, top) = larger;
            length *= 2.0;
        }
    }

    fn outlook(&self, end: f64) -> Option<Outlook> {
        let mut times = [0.0; 12];
        let mut many = 0;
        let mut surest: Option<(f64, f64, f64, Option<f64>)> = None;
        let mut length = f64::from(self.per_block) * self.step * BLOCKS as f64;
        let mut add = |reaches: f64, straight: f64, at: f64, unevenness: f64, looked_at: f64| {
            let left = |reaches: f64| (reaches - (end - at)).max(self.step);
            times[many] = left(reaches);
            many += 1;
            if surest.is_none_or(|(least, ..)| unevenness < least) {
                surest = Some((unevenness, left(reaches), looked_at, (straight > reaches).then(|| left(straight))));
            }
        };
        for scale in self.scales.iter().take(11) {
            if scale.is_active {
                add(scale.reaches, scale.straight, scale.at, scale.unevenness, length);
            }
            length *= 2.0;
        }
        if self.pairs.is_active {
            add(self.pairs.reaches, self.pairs.reaches, self.pairs.at, PAIRS_AS.0, PAIRS_AS.1);
        }
        let (unevenness, left, looked_at, straight) = surest?;
        let reaches = median(&mut times[..many]);
        let (earliest, latest) = match straight {
            Some(straight) => (reaches * BENT.0, straight * BENT.1),
            None => {
                let row = usize::from(unevenness >= 0.003) + usize::from(unevenness >= 0.02);
                let ahead = left / looked_at;
                let column = usize::from(ahead >= 0.1) + usize::from(ahead >= 0.25);
                let (early, late) = INTERVALS[row][column];
                (reaches * early, reaches * late)
            }
        };
        Some(Outlook { reaches, earliest, latest: latest.max(reaches), looked_at })
    }
}
