//! Owns the forest: random trees that cut odd rows off early.
//!
//! Liu, Ting and Zhou, "Isolation Forest" (2008), with these changes. Rows are quantised to a byte a feature, so that a tree is
//! small. Trees are complete: 63 inner nodes and 64 leaves in flat arrays, walked without branches; what isolated a row
//! earlier is in the leaf's path length. And a cut may fall a little outside what a node has seen, so that a row beyond
//! everything seen is cut off sooner than the outermost row seen.

use foreshock_detector::math::log;
use serde::{Deserialize, Serialize};

/// Features of a row.
pub(crate) const FEATURES: usize = 5;
/// A quantised row; the last entries are always 0, so that any feature index fits.
pub(crate) type Row = [u8; 8];

const DEPTH: usize = 6;
const NODES: usize = (1 << DEPTH) - 1;
const LEAVES: usize = 1 << DEPTH;
/// Path lengths are kept as bytes of this many steps.
const STEPS: f64 = 12.0;
/// Trees walked side by side.
const LANES: usize = 8;

/// Trees in flat arrays: 190 bytes each.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Forest {
    /// Which feature each inner node looks at.
    features: Vec<u8>,
    /// Rows with a byte below this go left.
    cuts: Vec<u8>,
    /// Path lengths, in [`STEPS`]ths.
    paths: Vec<u8>,
}

/// A small generator (SplitMix64, Steele, Lea and Flood 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number from 0 to `below` - 1; 0 if `below` is 0.
    fn below(&mut self, below: usize) -> usize {
        ((u128::from(self.next()) * below as u128) >> 64) as usize
    }
}

impl Forest {
    /// Grows `trees` trees, each on `sample` of the rows (or all, if there are fewer). `margins` says how far beyond what a node
    /// has seen a cut may fall, for each feature.
    pub(crate) fn grow(
        rows: &[Row],
        trees: usize,
        sample: usize,
        margins: [u8; FEATURES],
        random: &mut Random,
    ) -> Self {
        // Whole groups of trees, so that the walk has no remainder.
        let trees = trees.div_ceil(LANES) * LANES;
        let mut forest =
            Self { features: vec![0; trees * NODES], cuts: vec![0; trees * NODES], paths: vec![0; trees * LEAVES] };
        let mut order: Vec<u32> = (0..u32::try_from(rows.len()).unwrap_or(u32::MAX)).collect();
        let sample = sample.min(order.len());
        for tree in 0..trees {
            for i in 0..sample {
                let other = i + random.below(order.len() - i);
                order.swap(i, other);
            }
            let mut grower = Grower {
                rows,
                margins,
                random,
                features: &mut forest.features[tree * NODES..][..NODES],
                cuts: &mut forest.cuts[tree * NODES..][..NODES],
                paths: &mut forest.paths[tree * LEAVES..][..LEAVES],
            };
            grower.grow(0, 0, &mut order[..sample]);
        }
        forest
    }

    /// Whether it was grown, and is whole.
    pub(crate) fn is_whole(&self) -> bool {
        let trees = self.paths.len() / LEAVES;
        trees > 0
            && trees.is_multiple_of(LANES)
            && self.paths.len() == trees * LEAVES
            && self.features.len() == trees * NODES
            && self.cuts.len() == trees * NODES
    }

    /// The mean number of cuts that isolate a row, 0 to about 16; small for odd rows. 0 for a forest that was not grown.
    pub(crate) fn path(&self, row: &Row) -> f64 {
        let mut sum = 0_u32;
        let groups = self
            .features
            .chunks_exact(NODES * LANES)
            .zip(self.cuts.chunks_exact(NODES * LANES))
            .zip(self.paths.chunks_exact(LEAVES * LANES));
        for ((features, cuts), paths) in groups {
            let mut at = [0_usize; LANES];
            for _ in 0..DEPTH {
                for (lane, at) in at.iter_mut().enumerate() {
                    let node = lane * NODES + *at;
                    let is_right = row[usize::from(features[node] & 7)] >= cuts[node];
                    *at = 2 * *at + 1 + usize::from(is_right);
                }
            }
            for (lane, at) in at.iter().enumerate() {
                sum += u32::from(paths[lane * LEAVES + at - NODES]);
            }
        }
        let trees = (self.paths.len() / LEAVES).max(1);
        f64::from(sum) / STEPS / trees as f64
    }

    /// How many different leaves the rows fall into, over all trees: 1 a tree if it never splits them.
    #[cfg(test)]
    pub(crate) fn leaves_used(&self, rows: &[Row]) -> usize {
        let walk = |tree: usize, row: &Row| {
            (0..DEPTH).fold(0, |at, _| {
                let node = tree * NODES + at;
                2 * at + 1 + usize::from(row[usize::from(self.features[node])] >= self.cuts[node])
            })
        };
        let trees = self.paths.len() / LEAVES;
        (0..trees)
            .map(|tree| rows.iter().map(|row| walk(tree, row)).collect::<std::collections::BTreeSet<_>>().len())
            .sum()
    }
}

struct Grower<'a> {
    rows: &'a [Row],
    margins: [u8; FEATURES],
    random: &'a mut Random,
    features: &'a mut [u8],
    cuts: &'a mut [u8],
    paths: &'a mut [u8],
}

impl Grower<'_> {
    /// Grows the subtree at `node` for the rows that reach it.
    fn grow(&mut self, node: usize, depth: usize, members: &mut [u32]) {
        if depth == DEPTH {
            self.paths[node - NODES] = steps(depth as f64 + mean_path(members.len()));
            return;
        }
        if members.len() <= 1 {
            self.seal(node, depth, steps(depth as f64));
            return;
        }
        let feature = self.random.below(FEATURES);
        let byte = |member: &u32| self.rows[*member as usize][feature];
        let (low, high) =
            members.iter().fold((u8::MAX, 0), |(low, high), member| (low.min(byte(member)), high.max(byte(member))));
        let low = low.saturating_sub(self.margins[feature]);
        let high = high.saturating_add(self.margins[feature].max(1));
        let cut = low + 1 + self.random.below(usize::from(high - low)) as u8;
        self.features[node] = feature as u8;
        self.cuts[node] = cut;
        let mut left = 0;
        for i in 0..members.len() {
            if self.rows[members[i] as usize][feature] < cut {
                members.swap(left, i);
                left += 1;
            }
        }
        let (left, right) = members.split_at_mut(left);
        self.grow(2 * node + 1, depth + 1, left);
        self.grow(2 * node + 2, depth + 1, right);
    }

    /// Gives all leaves below `node` the same path.
    fn seal(&mut self, node: usize, depth: usize, path: u8) {
        if depth == DEPTH {
            self.paths[node - NODES] = path;
            return;
        }
        self.seal(2 * node + 1, depth + 1, path);
        self.seal(2 * node + 2, depth + 1, path);
    }
}

fn steps(path: f64) -> u8 {
    (path * STEPS).clamp(0.0, 255.0) as u8
}

/// The mean path of an unsuccessful search in a binary search tree of `count` rows (Liu, Ting and Zhou, equation 1).
fn mean_path(count: usize) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    match count {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => {
            let rest = (count - 1) as f64;
            2.0 * (log(rest) + EULER) - 2.0 * rest / count as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foreshock_detector::testkit::Noise;

    fn cloud(count: usize) -> Vec<Row> {
        let mut noise = Noise::new(5);
        let mut byte = || (128.0 + 20.0 * noise.normal()).clamp(0.0, 255.0) as u8;
        (0..count).map(|_| [byte(), byte(), byte(), byte(), byte(), 0, 0, 0]).collect()
    }

    /// Trees must really split: a forest whose trees keep all rows in one leaf gives every row the same score.
    #[test]
    fn trees_split_and_outliers_have_short_paths() {
        let rows = cloud(500);
        let forest = Forest::grow(&rows, 64, 256, [12; FEATURES], &mut Random(1));
        assert!(forest.is_whole());
        assert!(forest.leaves_used(&rows) > 64 * 16, "{} leaves", forest.leaves_used(&rows));
        let mut normal: Vec<f64> = rows.iter().map(|row| forest.path(row)).collect();
        normal.sort_by(f64::total_cmp);
        let outlier = forest.path(&[250, 250, 128, 128, 250, 0, 0, 0]);
        assert!(outlier < normal[0] - 1.0, "outlier {outlier}, shortest normal path {}", normal[0]);
        assert!(normal[250] - outlier > 3.0, "outlier {outlier}, median {}", normal[250]);
    }

    /// Equal rows must not break the growing, and what differs from them must stand out.
    #[test]
    fn equal_rows_are_no_trouble() {
        let rows = vec![[128, 128, 128, 128, 128, 0, 0, 0]; 100];
        let forest = Forest::grow(&rows, 64, 256, [32; FEATURES], &mut Random(2));
        let same = forest.path(&rows[0]);
        assert!(same > forest.path(&[220, 128, 128, 128, 128, 0, 0, 0]) + 3.0);
        assert!(Forest::grow(&[], 64, 256, [1; FEATURES], &mut Random(2)).path(&rows[0]) >= 0.0);
    }

    /// The same seed must give the same forest, another one another.
    #[test]
    fn the_seed_decides() {
        let rows = cloud(100);
        let grow = |seed| Forest::grow(&rows, 16, 64, [8; FEATURES], &mut Random(seed));
        assert_eq!(grow(3), grow(3));
        assert_ne!(grow(3), grow(4));
    }
}
