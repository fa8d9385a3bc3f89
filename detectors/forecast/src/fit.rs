//! Owns the lines and steps that are laid through blocks.

/// Up to this many values are sorted where one is sought.
const FEW: usize = 12;

/// The middle of the values, the mean of both where there are two; the values change places. 0 without values.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    let many = values.len();
    if many == 0 {
        return 0.0;
    }
    let upper = select(values, many / 2);
    match many % 2 {
        1 => upper,
        _ => {
            let below = values[..many / 2]
                .iter()
                .fold(f64::NEG_INFINITY, |high, value| if *value > high { *value } else { high });
            (below + upper) / 2.0
        }
    }
}

/// The value that has `rank` smaller ones before it; those stand before it afterwards. Quickselect (Hoare 1961, "Algorithm 65: find")
/// without branches on values: the library's compares by the total order, at three times the instructions.
pub(crate) fn select(values: &mut [f64], rank: usize) -> f64 {
    let mut part = values;
    let mut rank = rank;
    while part.len() > FEW {
        let last = part.len() - 1;
        let pivot = middle(part[0], part[last / 2], part[last]);
        let below = split(part, |value| value < pivot);
        if rank < below {
            part = &mut part[..below];
            continue;
        }
        part = &mut part[below..];
        rank -= below;
        if below > 0 {
            continue;
        }
        let same = split(part, |value| value <= pivot);
        if rank < same || same == 0 {
            return pivot;
        }
        part = &mut part[same..];
        rank -= same;
    }
    for i in 1..part.len() {
        let value = part[i];
        let mut at = i;
        while at > 0 && part[at - 1] > value {
            part[at] = part[at - 1];
            at -= 1;
        }
        part[at] = value;
    }
    part[rank]
}

/// Brings the values for which something is true to the front; gives how many those are.
fn split(values: &mut [f64], is_first: impl Fn(f64) -> bool) -> usize {
    let mut first = 0;
    for i in 0..values.len() {
        let value = values[i];
        values.swap(i, first);
        first += usize::from(is_first(value));
    }
    first
}

/// The middle one of three.
pub(crate) fn middle(a: f64, b: f64, c: f64) -> f64 {
    a.min(b).max(a.max(b).min(c))
}

/// A line by its value at the newest point and its rise from point to point.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Line {
    pub(crate) level: f64,
    pub(crate) slope: f64,
}

impl Line {
    /// The median of the slopes between all pairs of points (Sen 1968, "Estimates of the regression coefficient based on
    /// Kendall's tau"), laid through their median. Takes 2 to 16 points, further ones are not looked at.
    pub(crate) fn through(points: &[f64]) -> Self {
        let points = &points[..points.len().min(16)];
        let mut slopes = [0.0; 120];
        let mut many = 0;
        for (i, later) in points.iter().enumerate() {
            for (j, earlier) in points[..i].iter().enumerate() {
                slopes[many] = (later - earlier) / (i - j) as f64;
                many += 1;
            }
        }
        let slope = median(&mut slopes[..many]);
        let mut levels = [0.0; 16];
        let newest = points.len().saturating_sub(1);
        for (i, point) in points.iter().enumerate() {
            levels[i] = point - slope * (i as f64 - newest as f64);
        }
        Self { level: median(&mut levels[..points.len()]), slope }
    }

    /// The line at point `index` of `count`.
    pub(crate) fn at(&self, index: usize, count: usize) -> f64 {
        self.level + self.slope * (index as f64 + 1.0 - count as f64)
    }
}

/// Squared errors of what could be laid through points by least squares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Errors {
    /// Of their mean.
    pub(crate) mean: f64,
    /// Of a line.
    pub(crate) line: f64,
    /// Of the best two levels, one after the other.
    pub(crate) step: f64,
}

impl Errors {
    pub(crate) fn of(points: &[f64]) -> Self {
        let n = points.len() as f64;
        // Around the mean, so that large levels cost no digits.
        let centre = points.iter().sum::<f64>() / n;
        let sum: f64 = points.iter().map(|point| point - centre).sum();
        let squares: f64 = points.iter().map(|point| (point - centre) * (point - centre)).sum();
        let mean = squares - sum * sum / n;
        let middle = (n - 1.0) / 2.0;
        let tilt: f64 = points.iter().enumerate().map(|(i, point)| (i as f64 - middle) * (point - centre)).sum();
        let line = (mean - tilt * tilt / (n * (n * n - 1.0) / 12.0)).max(0.0);
        let (mut step, mut head) = (mean, 0.0);
        for (i, point) in points.iter().enumerate().take(points.len().saturating_sub(1)) {
            head += point - centre;
            let many = i as f64 + 1.0;
            let tail = sum - head;
            step = step.min(squares - head * head / many - tail * tail / (n - many));
        }
        Self { mean, line, step: step.max(0.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One wild point moves neither slope nor level; a line and a step are told apart.
    #[test]
    fn lines_stand_wild_points() {
        let mut points: Vec<f64> = (0..16).map(|i| 3.0 + 0.5 * f64::from(i)).collect();
        let errors = Errors::of(&points);
        assert!(errors.line < 1e-9 && errors.step > 10.0, "{errors:?}");
        points[7] = 900.0;
        let line = Line::through(&points);
        assert!((line.slope - 0.5).abs() < 1e-12 && (line.level - 10.5).abs() < 1e-12, "{line:?}");
        assert!((line.at(0, 16) - 3.0).abs() < 1e-12);
        let steps: Vec<f64> = (0..16).map(|i| if i < 9 { 1.0 } else { 2.0 }).collect();
        let errors = Errors::of(&steps);
        assert!(errors.step < 1e-12 && errors.line > 0.5, "{errors:?}");
        assert_eq!(median(&mut [3.0, 1.0, 2.0, 10.0]), 2.5);
    }

    /// What is selected is what sorting would give, whatever the order and however many are alike: every line stands on it.
    #[test]
    fn selecting_is_as_good_as_sorting() {
        let mut noise = foreshock_detector::testkit::Noise::new(3);
        for many in 1..=120 {
            for grain in [1.0, 3.0, 1e9] {
                let values: Vec<f64> = (0..many).map(|_| (noise.normal() * grain).round()).collect();
                let mut sorted = values.clone();
                sorted.sort_by(f64::total_cmp);
                for rank in 0..many {
                    let mut mixed = values.clone();
                    assert_eq!(select(&mut mixed, rank), sorted[rank], "{values:?}");
                    assert!(mixed[..rank].iter().all(|value| *value <= sorted[rank]), "{values:?}");
                }
                let expected = (sorted[(many - 1) / 2] + sorted[many / 2]) / 2.0;
                assert_eq!(median(&mut values.clone()), expected, "{values:?}");
                let mut three = [values[0], values[many / 2], values[many - 1]];
                let [a, b, c] = three;
                three.sort_by(f64::total_cmp);
                assert_eq!(middle(a, b, c), three[1]);
            }
        }
    }
}
