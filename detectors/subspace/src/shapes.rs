//! Owns the few shapes that shingles of a series usually are mixtures of.

use foreshock_detector::math::sqrt;
use serde::{Deserialize, Serialize};

/// Values of a shingle.
pub(crate) const LENGTH: usize = 24;
/// Shapes that are kept.
pub(crate) const SHAPES: usize = 4;
/// Windows between two steps towards the strongest shapes.
const TURN: u32 = 8;

/// The covariance of shingles and an orthonormal basis of its strongest directions. About 1.6 KB.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Shapes {
    seen: u32,
    /// The lower half, row by row.
    covariance: Vec<f32>,
    /// The shapes one after another.
    basis: Vec<f32>,
}

impl Shapes {
    pub(crate) fn new() -> Self {
        // Any basis does to start from that is not orthogonal to what is to be found: steps of different lengths.
        let start = |k: usize| {
            let (shape, place) = (k / LENGTH, k % LENGTH);
            if (place >> shape).is_multiple_of(2) { 1.0 } else { -1.0 }
        };
        let basis = (0..SHAPES * LENGTH).map(start).collect();
        let mut new = Self { seen: 0, covariance: vec![0.0; LENGTH * (LENGTH + 1) / 2], basis };
        new.straighten();
        new
    }

    /// What of a shingle the shapes leave over.
    pub(crate) fn rest(&self, shingle: &[f64; LENGTH]) -> [f64; LENGTH] {
        let mut rest = *shingle;
        for shape in self.basis.chunks_exact(LENGTH) {
            let share: f64 = shape.iter().zip(shingle).map(|(a, b)| f64::from(*a) * b).sum();
            rest.iter_mut().zip(shape).for_each(|(rest, a)| *rest -= share * f64::from(*a));
        }
        rest
    }

    /// Learns a shingle at a pace; now and then moves the basis on (one step of orthogonal iteration).
    pub(crate) fn learn(&mut self, shingle: &[f64; LENGTH], pace: f64) {
        self.seen = self.seen.saturating_add(1);
        let pace = pace.max(1.0 / f64::from(self.seen));
        let mut entries = self.covariance.iter_mut();
        for (row, a) in shingle.iter().enumerate() {
            for (b, entry) in shingle[..=row].iter().zip(&mut entries) {
                *entry += (pace * (a * b - f64::from(*entry))) as f32;
            }
        }
        if self.seen.is_multiple_of(TURN) {
            self.turn();
        }
    }

    fn turn(&mut self) {
        let mut turned = vec![0.0_f32; SHAPES * LENGTH];
        for (shape, turned) in self.basis.chunks_exact(LENGTH).zip(turned.chunks_exact_mut(LENGTH)) {
            let mut sums = [0.0_f64; LENGTH];
            let mut entries = self.covariance.iter();
            for row in 0..LENGTH {
                for column in 0..=row {
                    let Some(entry) = entries.next() else { return };
                    let entry = f64::from(*entry);
                    sums[row] += entry * f64::from(shape[column]);
                    if column < row {
                        sums[column] += entry * f64::from(shape[row]);
                    }
                }
            }
            turned.iter_mut().zip(sums).for_each(|(turned, sum)| *turned = sum as f32);
        }
        // A direction in which nothing varies keeps its old place in the basis.
        for (turned, shape) in turned.chunks_exact_mut(LENGTH).zip(self.basis.chunks_exact(LENGTH)) {
            if turned.iter().all(|x| x.abs() < 1e-12) {
                turned.copy_from_slice(shape);
            }
        }
        self.basis = turned;
        self.straighten();
    }

    /// Makes the basis orthonormal again (modified Gram-Schmidt). What vanishes is replaced by a single value's shape.
    fn straighten(&mut self) {
        for k in 0..SHAPES {
            for attempt in 0..=LENGTH {
                let (before, rest) = self.basis.split_at_mut(k * LENGTH);
                let shape = &mut rest[..LENGTH];
                if attempt > 0 {
                    shape.fill(0.0);
                    shape[attempt - 1] = 1.0;
                }
                let norm = |shape: &[f32]| sqrt(shape.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>());
                let size = norm(shape);
                if size > 0.0 {
                    shape.iter_mut().for_each(|x| *x = (f64::from(*x) / size) as f32);
                }
                for other in before.chunks_exact(LENGTH) {
                    let share: f64 = other.iter().zip(shape.iter()).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    shape.iter_mut().zip(other).for_each(|(x, a)| *x = (f64::from(*x) - share * f64::from(*a)) as f32);
                }
                let left = norm(shape);
                if left > 1e-3 {
                    shape.iter_mut().for_each(|x| *x = (f64::from(*x) / left) as f32);
                    break;
                }
            }
        }
    }

    /// Whether what was restored can be worked with.
    pub(crate) fn is_sane(&self) -> bool {
        self.covariance.len() == LENGTH * (LENGTH + 1) / 2
            && self.basis.len() == SHAPES * LENGTH
            && self.covariance.iter().chain(&self.basis).all(|x| x.is_finite() && x.abs() < 1e30)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foreshock_detector::math::sin;

    /// Shingles of a wave lie in two dimensions; what is no wave does not.
    #[test]
    fn a_wave_has_few_shapes() {
        let mut shapes = Shapes::new();
        let shingle = |start: usize| std::array::from_fn(|k| sin(0.5 * (start + k) as f64));
        (0..400).for_each(|start| shapes.learn(&shingle(start), 0.001));
        let energy = |rest: [f64; LENGTH]| rest.iter().map(|x| x * x).sum::<f64>();
        assert!(energy(shapes.rest(&shingle(1_234))) < 1e-6);
        let mut broken = shingle(1_234);
        broken[20] += 1.0;
        assert!(energy(shapes.rest(&broken)) > 0.5);
        for (a, shape) in shapes.basis.chunks_exact(LENGTH).enumerate() {
            for (b, other) in shapes.basis.chunks_exact(LENGTH).enumerate() {
                let dot: f32 = shape.iter().zip(other).map(|(x, y)| x * y).sum();
                assert!((dot - if a == b { 1.0 } else { 0.0 }).abs() < 1e-3, "{a} {b} {dot}");
            }
        }
    }

    /// A series that never moves must not break the basis.
    #[test]
    fn nothing_has_shapes_too() {
        let mut shapes = Shapes::new();
        (0..100).for_each(|_| shapes.learn(&[0.0; LENGTH], 0.001));
        assert!(shapes.is_sane() && shapes.rest(&[0.0; LENGTH]) == [0.0; LENGTH]);
    }
}
