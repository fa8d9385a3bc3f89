//! Owns the forest: random trees that cut odd rows off early.
//!
//! Liu, Ting and Zhou, "Isolation Forest" (2008), with these changes. Rows are quantised to a byte a feature, so that a tree is
//! small. Trees are complete: 63 inner nodes and 64 leaves in flat arrays, walked without branches; what
//! isolated a row earlier is in the leaf's path length. Four trees, a bundle, look at the same feature at the same depth, each node with a cut of
//! its own; at each feature once at least, and the next bundle in the reverse order, so that no two bundles miss what is odd in one feature.
//! A cut may fall a little outside what a node has seen, so that a row beyond everything seen is cut off sooner than the outermost row
//! seen. And a row that the first bundles find usual is not shown to the others.

use foreshock_detector::{math::log, packed};
use serde::{Deserialize, Serialize};

/// Features of a row.
pub(crate) const FEATURES: usize = 5;
/// A quantised row: the first feature in the lowest byte.
pub(crate) type Row = u64;

const DEPTH: usize = 6;
/// Nodes are numbered from 1; the children of `n` are `2 n` and `2 n + 1`. 64 to 127 are the leaves.
const LEAVES: usize = 1 << DEPTH;
/// A tree: for each inner node its cut, rows with a byte below it go left; and for each pair of leaves their path lengths, whole numbers
/// of four bits, the left one's lowest.
const TREE: usize = LEAVES + LEAVES / 2;
/// Trees that are walked side by side; more would want more registers than there are.
const BUNDLED: usize = 4;
/// A bundle: for each depth by how many bits a row is shifted for the feature that is looked at, then the trees.
const BUNDLE: usize = DEPTH + BUNDLED * TREE;
/// Bundles after which a forest is asked whether it has seen enough.
const ASKED: usize = 2;
/// The longest path that is told.
const LONGEST: f64 = 15.0;

/// Bundles of trees in one flat array, 98 bytes a tree; an even number of them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Forest {
    #[serde(with = "packed::bytes")]
    bundles: Vec<u8>,
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

    /// The shift of a feature for each depth: all in any order, then any.
    fn order(&mut self) -> [u8; DEPTH] {
        let mut order = [0; DEPTH];
        for i in 0..FEATURES {
            let other = self.below(i + 1);
            order[i] = order[other];
            order[other] = 8 * i as u8;
        }
        order[FEATURES..].fill_with(|| 8 * self.below(FEATURES) as u8);
        order
    }
}

impl Forest {
    /// Grows `trees` trees, each on `sample` of the rows (or all, if there are fewer), and each row in about as many trees. `margins`
    /// says how far beyond what a node has seen a cut may fall, for each feature.
    pub(crate) fn grow(
        rows: &[Row],
        trees: usize,
        sample: usize,
        margins: [u8; FEATURES],
        random: &mut Random,
    ) -> Self {
        let bundles = trees.div_ceil(ASKED * BUNDLED) * ASKED;
        let mut forest = Self { bundles: vec![0; bundles * BUNDLE] };
        let sample = sample.min(rows.len());
        let mut pool = Vec::with_capacity(rows.len() + sample);
        pool.extend_from_slice(rows);
        for i in (1..pool.len()).rev() {
            pool.swap(i, random.below(i + 1));
        }
        // Samples are stretches of the shuffled rows, which begin again where they end: a shuffle for each would cost as much as a tree.
        pool.extend_from_within(..sample);
        let mut members = vec![0; sample];
        let deepest: Vec<u8> = (0..=sample).map(|count| whole(DEPTH as f64 + mean_path(count))).collect();
        let mut shifts = [0; DEPTH];
        for (number, bundle) in forest.bundles.chunks_exact_mut(BUNDLE).enumerate() {
            match number % ASKED {
                0 => shifts = random.order(),
                _ => shifts.reverse(),
            }
            let (told, trees) = bundle.split_at_mut(DEPTH);
            told.copy_from_slice(&shifts);
            for (k, tree) in trees.chunks_exact_mut(TREE).enumerate() {
                let first = spread((number * BUNDLED + k) as u32, rows.len());
                members.copy_from_slice(&pool[first..first + sample]);
                let (cuts, paths) = tree.split_at_mut(LEAVES);
                Grower { margins, shifts, random, cuts, paths, deepest: &deepest }.descend(1, 0, &mut members);
            }
        }
        forest
    }

    /// Whether it was grown, and is whole.
    pub(crate) fn is_whole(&self) -> bool {
        !self.bundles.is_empty() && self.bundles.len().is_multiple_of(ASKED * BUNDLE)
    }

    /// The mean number of cuts that isolate a row, 0 to about 16; small for odd rows. 0 for a forest that was not grown.
    pub(crate) fn path(&self, row: Row) -> f64 {
        self.glance(row, [f64::INFINITY; 3])
    }

    /// The same, but of the first trees alone where those find the row usual: the first two bundles a mean path of at least `usual[0]`,
    /// the first four at least `usual[1]`, or the first few at least `usual[2]`.
    pub(crate) fn glance(&self, row: Row, usual: [f64; 3]) -> f64 {
        let (mut sum, mut path) = (0, 0.0);
        for (number, bundles) in self.bundles.chunks_exact(ASKED * BUNDLE).enumerate() {
            sum += bundles.as_chunks().0.iter().map(|bundle| walk(bundle, row)).sum::<u32>();
            path = f64::from(sum) / (ASKED * BUNDLED * (number + 1)) as f64;
            if path >= usual[number.min(2)] {
                break;
            }
        }
        path
    }
}

/// The sum of the path lengths of a row in a bundle.
fn walk(bundle: &[u8; BUNDLE], row: Row) -> u32 {
    let mut at = [1_usize; BUNDLED];
    let mut depth = 0;
    // Until the leaves, not so many times: a compiler that knows how many writes the six rounds out with all nodes' bits apart. The masks
    // change nothing; they spare checks.
    while at[0] < LEAVES {
        let byte = (row >> (bundle[depth & 7] & 63)) as u8;
        depth += 1;
        for (k, at) in at.iter_mut().enumerate() {
            *at = 2 * *at + usize::from(byte >= bundle[DEPTH + k * TREE + (*at & (LEAVES - 1))]);
        }
    }
    let path = |(k, at): (usize, usize)| {
        let leaf = at & (LEAVES - 1);
        u32::from(bundle[DEPTH + k * TREE + LEAVES + leaf / 2] >> (leaf % 2 * 4) & 15)
    };
    at.into_iter().enumerate().map(path).sum()
}

struct Grower<'a> {
    margins: [u8; FEATURES],
    /// For each depth.
    shifts: [u8; DEPTH],
    random: &'a mut Random,
    cuts: &'a mut [u8],
    paths: &'a mut [u8],
    /// Path lengths of the deepest leaves, by how many rows reach one.
    deepest: &'a [u8],
}

impl Grower<'_> {
    /// Grows the subtree at `node` for the rows that reach it.
    fn descend(&mut self, node: usize, depth: usize, members: &mut [Row]) {
        if members.len() > 1 {
            return self.split(node, depth, members);
        }
        // All leaves below it get the same path, and they come in pairs.
        let below = LEAVES >> depth;
        let first = (node * below - LEAVES) / 2;
        self.paths[first..first + below / 2].fill(depth as u8 * 0x11);
    }

    fn split(&mut self, node: usize, depth: usize, members: &mut [Row]) {
        let shift = self.shifts[depth];
        let margin = self.margins[usize::from(shift / 8)];
        let bytes = members.iter().map(|row| (row >> shift) as u8);
        let (low, high) = bytes.fold((u8::MAX, 0), |(low, high), byte| (low.min(byte), high.max(byte)));
        let low = low.saturating_sub(margin);
        let high = high.saturating_add(margin.max(1));
        let cut = low + 1 + self.random.below(usize::from(high - low)) as u8;
        self.cuts[node] = cut;
        if depth + 1 == DEPTH {
            // Of leaves only matters how many rows reach them.
            let left = members.iter().filter(|row| ((**row >> shift) as u8) < cut).count();
            let paths = self.deepest[left] | self.deepest[members.len() - left] << 4;
            self.paths[node - LEAVES / 2] = paths;
            return;
        }
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

/// Places below `below` that stay evenly spread while `number` counts up: multiples of the golden ratio's fraction (Weyl 1916).
fn spread(number: u32, below: usize) -> usize {
    const GOLDEN: u32 = 0x9e37_79b9;
    ((u64::from(number.wrapping_mul(GOLDEN)) * below as u64) >> 32) as usize
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
        let leaf = |shifts: &[u8], cuts: &[u8], row: Row| {
            shifts.iter().fold(1, |at, shift| 2 * at + usize::from((row >> shift) as u8 >= cuts[at]))
        };
        let leaves = |bundle: &[u8]| -> usize {
            let (shifts, trees) = bundle.split_at(DEPTH);
            let used = |cuts| rows.iter().map(|row| leaf(shifts, cuts, *row)).collect::<BTreeSet<_>>().len();
            trees.chunks_exact(TREE).map(used).sum()
        };
        forest.bundles.chunks_exact(BUNDLE).map(leaves).sum()
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

    /// Whatever feature a row is odd in, each bundle looks at it, and of two bundles one within three cuts: the first two decide whether
    /// the others are asked.
    #[test]
    fn no_two_bundles_miss_a_feature() {
        for seed in 0..50 {
            let forest = Forest::grow(&cloud(100), 32, 64, [12; FEATURES], &mut Random(seed));
            let orders: Vec<&[u8]> = forest.bundles.chunks_exact(BUNDLE).map(|bundle| &bundle[..DEPTH]).collect();
            assert_eq!(orders.len(), 8);
            for pair in orders.chunks_exact(ASKED) {
                for shift in (0..FEATURES as u8).map(|feature| 8 * feature) {
                    assert!(pair.iter().all(|order| order.contains(&shift)), "{pair:?}");
                    assert!(pair.iter().any(|order| order[..DEPTH / 2].contains(&shift)), "{pair:?}");
                }
            }
        }
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
