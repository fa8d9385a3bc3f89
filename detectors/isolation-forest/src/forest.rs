//! Owns the forest: random trees that cut odd rows off early.
//!
//! Liu, Ting and Zhou, "Isolation Forest" (2008), with these changes. Rows are quantised to a byte a feature, so that a tree is
//! small: two cache lines. Trees are complete: 63 inner nodes and 64 leaves in flat arrays, walked without branches; what
//! isolated a row earlier is in the leaf's path length. Siblings look at the same feature, each with a cut of its own. A cut may fall a
//! little outside what a node has seen, so that a row beyond everything seen is cut off sooner than the outermost row seen. And a row
//! that the first trees find usual is not shown to the others.

use foreshock_detector::{math::log, packed};
use serde::{Deserialize, Serialize};

/// Features of a row.
pub(crate) const FEATURES: usize = 5;
/// A quantised row: the first feature in the lowest byte.
pub(crate) type Row = u64;

const DEPTH: u32 = 6;
/// Nodes are numbered from 1; the children of `n` are `2 n` and `2 n + 1`. 64 to 127 are the leaves.
const LEAVES: usize = 1 << DEPTH;
/// A tree: for each pair of siblings by how many bits a row is shifted for the feature they look at; for each inner node its cut, rows with
/// a byte below it go left; and for each pair of leaves their path lengths, whole numbers of four bits, the left one's lowest.
const TREE: usize = 2 * LEAVES;
const CUTS: usize = LEAVES / 2;
const PATHS: usize = CUTS + LEAVES;
/// The longest path that is told.
const LONGEST: f64 = 15.0;
/// Trees walked side by side.
const LANES: usize = 8;
const GROUP: usize = TREE * LANES;

/// Trees in one flat array: 128 bytes each, in whole groups.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Forest {
    #[serde(with = "packed::bytes")]
    trees: Vec<u8>,
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

    /// A number from 0 to `below` - 1; 0 if `below` is 0. `below` is at most 2^32.
    fn below(&mut self, below: usize) -> usize {
        (((self.next() >> 32) * below as u64) >> 32) as usize
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
        let mut forest = Self { trees: vec![0; trees * TREE] };
        let mut pool = rows.to_vec();
        let sample = sample.min(pool.len());
        let mut members = vec![0; sample];
        let deepest: Vec<u8> = (0..=sample).map(|count| whole(f64::from(DEPTH) + mean_path(count))).collect();
        for tree in forest.trees.chunks_exact_mut(TREE) {
            for i in 0..sample {
                let other = i + random.below(pool.len() - i);
                pool.swap(i, other);
            }
            members.copy_from_slice(&pool[..sample]);
            let mut grower = Grower { margins, random, tree, deepest: &deepest };
            grower.choose(1);
            grower.descend(1, 0, &mut members);
        }
        forest
    }

    /// Whether it was grown, and is whole.
    pub(crate) fn is_whole(&self) -> bool {
        !self.trees.is_empty() && self.trees.len().is_multiple_of(GROUP)
    }

    /// The mean number of cuts that isolate a row, 0 to about 16; small for odd rows. 0 for a forest that was not grown.
    pub(crate) fn path(&self, row: Row) -> f64 {
        self.glance(row, [f64::INFINITY; 3])
    }

    /// The same, but of the first trees alone where those find the row usual: the first group a mean path of at least `usual[0]`,
    /// the first two together at least `usual[1]`, or the first few at least `usual[2]`.
    pub(crate) fn glance(&self, row: Row, usual: [f64; 3]) -> f64 {
        let (mut sum, mut path) = (0, 0.0);
        for (number, group) in self.trees.chunks_exact(GROUP).enumerate() {
            sum += walk(group, row);
            path = f64::from(sum) / (LANES * (number + 1)) as f64;
            if path >= usual[number.min(2)] {
                break;
            }
        }
        path
    }
}

/// The sum of the path lengths of a row in a group of trees, which are walked side by side.
fn walk(group: &[u8], row: Row) -> u32 {
    let Some(group) = group.first_chunk::<GROUP>() else { return 0 };
    let mut at = [1_usize; LANES];
    for _ in 0..DEPTH {
        for (lane, at) in at.iter_mut().enumerate() {
            // The masks change nothing; they spare the check of the index.
            let (tree, node) = (lane * TREE, *at & (LEAVES - 1));
            let byte = (row >> (group[tree + node / 2] & 63)) as u8;
            *at = 2 * *at + usize::from(byte >= group[tree + CUTS + node]);
        }
    }
    let path = |(lane, at): (usize, &usize)| {
        let leaf = at & (LEAVES - 1);
        u32::from(group[lane * TREE + PATHS + leaf / 2] >> (leaf % 2 * 4) & 15)
    };
    at.iter().enumerate().map(path).sum()
}

struct Grower<'a> {
    margins: [u8; FEATURES],
    random: &'a mut Random,
    tree: &'a mut [u8],
    /// Path lengths of the deepest leaves, by how many rows reach one.
    deepest: &'a [u8],
}

impl Grower<'_> {
    /// Chooses the feature that a node and its sibling look at.
    fn choose(&mut self, node: usize) {
        self.tree[node / 2] = 8 * self.random.below(FEATURES) as u8;
    }

    /// Grows the subtree at `node`, whose feature is chosen, for the rows that reach it.
    fn descend(&mut self, node: usize, depth: u32, members: &mut [Row]) {
        if members.len() > 1 {
            return self.split(node, depth, members);
        }
        // All leaves below it get the same path, and they come in pairs.
        let below = LEAVES >> depth;
        let first = PATHS + (node * below - LEAVES) / 2;
        self.tree[first..first + below / 2].fill(depth as u8 * 0x11);
    }

    fn split(&mut self, node: usize, depth: u32, members: &mut [Row]) {
        let shift = self.tree[node / 2];
        let margin = self.margins[usize::from(shift / 8)];
        let (low, high) = members.iter().fold((u8::MAX, 0), |(low, high), member| {
            let byte = (member >> shift) as u8;
            (low.min(byte), high.max(byte))
        });
        let low = low.saturating_sub(margin);
        let high = high.saturating_add(margin.max(1));
        let cut = low + 1 + self.random.below(usize::from(high - low)) as u8;
        self.tree[CUTS + node] = cut;
        if depth + 1 == DEPTH {
            // Of leaves only matters how many rows reach them.
            let left = members.iter().filter(|row| ((**row >> shift) as u8) < cut).count();
            let paths = self.deepest[left] | self.deepest[members.len() - left] << 4;
            self.tree[PATHS + node - LEAVES / 2] = paths;
            return;
        }
        self.choose(2 * node);
        let mut left = 0;
        for i in 0..members.len() {
            // Without a branch, which would be wrong half of the time.
            let goes_left = ((members[i] >> shift) as u8) < cut;
            members.swap(i, left);
            left += usize::from(goes_left);
        }
        let (left, right) = members.split_at_mut(left);
        self.descend(2 * node, depth + 1, left);
        self.descend(2 * node + 1, depth + 1, right);
    }
}

/// A path length as it is kept.
fn whole(path: f64) -> u8 {
    (path + 0.5).clamp(0.0, LONGEST) as u8
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
    use std::collections::BTreeSet;

    fn row(bytes: [u8; FEATURES]) -> Row {
        bytes.iter().rev().fold(0, |row, byte| row << 8 | u64::from(*byte))
    }

    fn cloud(count: usize) -> Vec<Row> {
        let mut noise = Noise::new(5);
        let mut byte = || (128.0 + 20.0 * noise.normal()).clamp(0.0, 255.0) as u8;
        (0..count).map(|_| row([byte(), byte(), byte(), byte(), byte()])).collect()
    }

    /// How many different leaves the rows fall into, over all trees: 1 a tree if it never splits them.
    fn leaves_used(forest: &Forest, rows: &[Row]) -> usize {
        let leaf = |tree: &[u8], row: Row| {
            (0..DEPTH).fold(1, |at, _| 2 * at + usize::from((row >> tree[at / 2]) as u8 >= tree[CUTS + at]))
        };
        let leaves = |tree| rows.iter().map(|row| leaf(tree, *row)).collect::<BTreeSet<_>>().len();
        forest.trees.chunks_exact(TREE).map(leaves).sum()
    }

    /// Trees must really split: a forest whose trees keep all rows in one leaf gives every row the same score.
    #[test]
    fn trees_split_and_outliers_have_short_paths() {
        let rows = cloud(500);
        let forest = Forest::grow(&rows, 64, 256, [12; FEATURES], &mut Random(1));
        assert!(forest.is_whole());
        assert!(leaves_used(&forest, &rows) > 64 * 16, "{} leaves", leaves_used(&forest, &rows));
        let mut normal: Vec<f64> = rows.iter().map(|row| forest.path(*row)).collect();
        normal.sort_by(f64::total_cmp);
        let outlier = forest.path(row([250, 250, 128, 128, 250]));
        assert!(outlier < normal[0] - 1.0, "outlier {outlier}, shortest normal path {}", normal[0]);
        assert!(normal[250] - outlier > 3.0, "outlier {outlier}, median {}", normal[250]);
    }

    /// Equal rows must not break the growing, and what differs from them must stand out.
    #[test]
    fn equal_rows_are_no_trouble() {
        let rows = vec![row([128; FEATURES]); 100];
        let forest = Forest::grow(&rows, 64, 256, [32; FEATURES], &mut Random(2));
        let same = forest.path(rows[0]);
        assert!(same > forest.path(row([220, 128, 128, 128, 128])) + 3.0);
        assert!(Forest::grow(&[], 64, 256, [1; FEATURES], &mut Random(2)).path(rows[0]) >= 0.0);
    }

    /// The same seed must give the same forest, another one another.
    #[test]
    fn the_seed_decides() {
        let rows = cloud(100);
        let grow = |seed| Forest::grow(&rows, 16, 64, [8; FEATURES], &mut Random(seed));
        assert_eq!(grow(3), grow(3));
        assert_ne!(grow(3), grow(4));
    }

    /// A glance may end early only for what all trees find usual too: what is odd must be walked to the end.
    #[test]
    fn a_glance_ends_early_for_usual_rows_alone() {
        let rows = cloud(500);
        let forest = Forest::grow(&rows, 64, 128, [12; FEATURES], &mut Random(1));
        let median = forest.path(row([128; FEATURES]));
        let usual = [median, median - 0.5, median - 1.0];
        let odd = row([250, 250, 128, 128, 250]);
        assert_eq!(forest.glance(odd, usual), forest.path(odd));
        let early: Vec<f64> = rows
            .iter()
            .filter(|row| forest.glance(**row, usual) != forest.path(**row))
            .map(|row| forest.path(*row))
            .collect();
        assert!(early.len() > 150, "{} of 500", early.len());
        let shortest = early.iter().copied().fold(median, f64::min);
        assert!(shortest > median - 3.0, "{shortest}, median {median}");
    }
}
