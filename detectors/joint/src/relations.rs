//! Owns how the series of a service go together: a covariance that forgets, and what each series should be given the others.

use crate::metric::REACH;
use foreshock_detector::math::sqrt;
use serde::{Deserialize, Serialize};

/// Added to each variance before inverting, so that it can be inverted.
const RIDGE: f64 = 0.1;

/// Two numbers for each series: where it is, and where it was of late, both in deviations and clipped. The residual of one number
/// given all others is `(B u)_j / B_jj` with `B` the inverse of the covariance (Lauritzen, "Graphical Models", 1996, section 5.1).
///
/// Slot `s` has the numbers `2 s` (now) and `2 s + 1` (before). All matrices are symmetric; kept are their lower halves, row by row.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Relations {
    slots: usize,
    /// Rows learned.
    rows: u32,
    means: Vec<f64>,
    covariance: Vec<f32>,
    /// The inverse for all numbers, and the one for the numbers of now alone.
    all: Vec<f32>,
    now: Vec<f32>,
}

/// Where the entry of a symmetric matrix stands.
fn at(a: usize, b: usize) -> usize {
    let (row, column) = if a >= b { (a, b) } else { (b, a) };
    row * (row + 1) / 2 + column
}

/// Makes a lower half larger, with ones on the new diagonal.
fn grow(matrix: &mut Vec<f32>, from: usize, to: usize) {
    for row in from..to {
        matrix.extend(std::iter::repeat_n(0.0, row));
        matrix.push(1.0);
    }
}

/// Makes a number independent of all others.
fn part(matrix: &mut [f32], size: usize, k: usize) {
    for other in 0..size {
        matrix[at(k, other)] = if other == k { 1.0 } else { 0.0 };
    }
}

impl Relations {
    /// Makes room for `slots` slots.
    pub(crate) fn make_room(&mut self, slots: usize) {
        if slots > self.slots {
            grow(&mut self.covariance, 2 * self.slots, 2 * slots);
            grow(&mut self.all, 2 * self.slots, 2 * slots);
            grow(&mut self.now, self.slots, slots);
            self.means.resize(2 * slots, 0.0);
            self.slots = slots;
        }
    }

    /// Forgets what is known of a slot, for another series.
    pub(crate) fn clear(&mut self, slot: usize) {
        if slot < self.slots {
            for number in [2 * slot, 2 * slot + 1] {
                part(&mut self.covariance, 2 * self.slots, number);
                part(&mut self.all, 2 * self.slots, number);
                self.means[number] = 0.0;
            }
            part(&mut self.now, self.slots, slot);
        }
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// Numbers as they go into the relations: clipped and centred; `None` (not seen) is the mean.
    pub(crate) fn centred(&self, numbers: &[Option<f64>]) -> Vec<f64> {
        let centre = |(number, mean): (&Option<f64>, &f64)| number.map_or(0.0, |x| x.clamp(-REACH, REACH) - mean);
        numbers.iter().zip(&self.means).map(centre).collect()
    }

    /// The residuals of a slot's number of now: given the others' of now, and given all.
    pub(crate) fn residuals(&self, centred: &[f64], slot: usize) -> [f64; 2] {
        let sum = |matrix: &[f32], size: usize, row: usize, stride: usize| {
            let below = matrix[row * (row + 1) / 2..].iter().take(row + 1).enumerate();
            let mut sum: f64 = below.map(|(k, b)| f64::from(*b) * centred[k * stride]).sum();
            for k in row + 1..size {
                sum += f64::from(matrix[k * (k + 1) / 2 + row]) * centred[k * stride];
            }
            sum / f64::from(matrix[at(row, row)])
        };
        [sum(&self.now, self.slots, slot, 2), sum(&self.all, 2 * self.slots, 2 * slot, 1)]
    }

    /// Learns one row: the covariance takes the products of the deviations from the old means.
    pub(crate) fn learn(&mut self, centred: &[f64], pace: f64) {
        let mut entries = self.covariance.iter_mut();
        for (row, a) in centred.iter().enumerate() {
            for b in &centred[..=row] {
                let Some(entry) = entries.next() else { return };
                *entry += (pace * (a * b - f64::from(*entry))) as f32;
            }
        }
        self.means.iter_mut().zip(centred).for_each(|(mean, x)| *mean += pace * x);
        self.rows = self.rows.saturating_add(1);
    }

    /// Inverts the covariance anew: of the numbers of now when enough rows were seen for them, of all when enough for all.
    pub(crate) fn solve(&mut self, may_now: bool, may_all: bool) {
        if may_now {
            let even: Vec<usize> = (0..self.slots).map(|slot| 2 * slot).collect();
            if let Some(inverse) = self.inverse(&even) {
                self.now = inverse;
            }
        }
        if may_all {
            let each: Vec<usize> = (0..2 * self.slots).collect();
            if let Some(inverse) = self.inverse(&each) {
                self.all = inverse;
            }
        }
    }

    /// The inverse of the covariance of some numbers with the ridge, by Cholesky's method. `None` if rounding made it impossible.
    fn inverse(&self, numbers: &[usize]) -> Option<Vec<f32>> {
        let n = numbers.len();
        let mut lower = vec![0.0_f64; n * (n + 1) / 2];
        for row in 0..n {
            for column in 0..=row {
                let (start_row, start_column) = (row * (row + 1) / 2, column * (column + 1) / 2);
                let given = f64::from(self.covariance[at(numbers[row], numbers[column])]);
                let dot: f64 = (0..column).map(|k| lower[start_row + k] * lower[start_column + k]).sum();
                if row == column {
                    let square = given + RIDGE - dot;
                    if square <= 1e-9 {
                        return None;
                    }
                    lower[start_row + row] = sqrt(square);
                } else {
                    lower[start_row + column] = (given - dot) / lower[start_column + column];
                }
            }
        }
        // The inverse of the triangle, in its place.
        for column in 0..n {
            let diagonal = column * (column + 1) / 2 + column;
            lower[diagonal] = 1.0 / lower[diagonal];
            for row in column + 1..n {
                let start = row * (row + 1) / 2;
                let dot: f64 = (column..row).map(|k| lower[start + k] * lower[k * (k + 1) / 2 + column]).sum();
                lower[start + column] = -dot / lower[start + row];
            }
        }
        // Its transpose times itself.
        let mut inverse = Vec::with_capacity(lower.len());
        for row in 0..n {
            for column in 0..=row {
                let dot: f64 = (row..n).map(|k| lower[k * (k + 1) / 2 + row] * lower[k * (k + 1) / 2 + column]).sum();
                inverse.push(dot as f32);
            }
        }
        inverse.iter().all(|x| x.is_finite()).then_some(inverse)
    }

    /// Whether what was restored can be worked with.
    pub(crate) fn is_sane(&self, most: usize) -> bool {
        let half = |n: usize| n * (n + 1) / 2;
        self.slots <= most
            && self.means.len() == 2 * self.slots
            && self.covariance.len() == half(2 * self.slots)
            && self.all.len() == half(2 * self.slots)
            && self.now.len() == half(self.slots)
            && (0..2 * self.slots).all(|k| self.all[at(k, k)] > 0.0)
            && (0..self.slots).all(|k| self.now[at(k, k)] > 0.0)
            && self.means.iter().all(|x| x.is_finite())
            && self.covariance.iter().chain(&self.all).chain(&self.now).all(|x| x.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One series that is another's double must be foreseen by it, and a row that breaks the rule must show in both.
    #[test]
    fn a_broken_relation_shows() {
        let mut noise = foreshock_detector::testkit::Noise::new(3);
        let mut relations = Relations::default();
        relations.make_room(3);
        for row in 0..2_000 {
            let (a, b) = (noise.normal(), noise.normal());
            let numbers = [Some(a), Some(0.0), Some(a + 0.05 * noise.normal()), Some(0.0), Some(b), None];
            let centred = relations.centred(&numbers);
            relations.learn(&centred, (1.0 / f64::from(row + 2)).max(0.001));
        }
        relations.solve(true, true);
        let usual = relations.centred(&[Some(2.0), Some(0.0), Some(2.0), Some(0.0), Some(2.0), Some(0.0)]);
        let broken = relations.centred(&[Some(2.0), Some(0.0), Some(-2.0), Some(0.0), Some(2.0), Some(0.0)]);
        for way in 0..2 {
            assert!(relations.residuals(&usual, 0)[way].abs() < 0.3);
            assert!(relations.residuals(&broken, 0)[way] > 3.0);
            assert!((relations.residuals(&broken, 2)[way] - 2.0).abs() < 0.3, "the third has nothing to do with them");
        }
        relations.clear(1);
        assert!((relations.residuals(&broken, 1)[0] + 2.0).abs() < 0.2, "a new series is related to none");
        assert!(relations.is_sane(3) && !relations.is_sane(2));
    }

    /// Worked out by hand: the inverse of [[1.1, 0.5], [0.5, 1.1]] is [[1.1, -0.5], [-0.5, 1.1]] / 0.96.
    #[test]
    fn inverses_are_right() {
        let mut relations = Relations::default();
        relations.make_room(1);
        relations.covariance = vec![1.0, 0.5, 1.0];
        let inverse = relations.inverse(&[0, 1]).expect("regular");
        for (got, expected) in inverse.iter().zip([1.1 / 0.96, -0.5 / 0.96, 1.1 / 0.96]) {
            assert!((f64::from(*got) - expected).abs() < 1e-6);
        }
    }
}
