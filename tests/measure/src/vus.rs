//! Owns the volume under the surface of precision and recall (VUS-PR) over buffers around labels: Paparrizos et al., "Volume
//! Under the Surface: A New Accuracy Evaluation Measure for Time-Series Anomaly Detection", VLDB 2022. All ranks of the scores
//! are thresholds, and buffers rise and fall with a square root.

/// Buffers that are averaged over, from 0 to the widest.
const BUFFERS: usize = 11;

/// VUS-PR of scores (larger is odder) against labelled rows, with buffers of up to `widest` rows. 0 where nothing is labelled.
pub(crate) fn vus_pr(scores: &[f64], labels: &[bool], widest: usize) -> f64 {
    let segments = segments(labels);
    if segments.is_empty() {
        return 0.0;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    let of = |k: usize| area(scores, labels, &segments, &order, widest * k / (BUFFERS - 1));
    (0..BUFFERS).map(of).sum::<f64>() / BUFFERS as f64
}

/// First and last row of each run of labels.
pub(crate) fn segments(labels: &[bool]) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for row in (0..labels.len()).filter(|row| labels[*row]) {
        match found.last_mut() {
            Some((_, last)) if *last + 1 == row => *last = row,
            _ => found.push((row, row)),
        }
    }
    found
}

fn area(scores: &[f64], labels: &[bool], segments: &[(usize, usize)], order: &[usize], buffer: usize) -> f64 {
    let mut soft: Vec<f64> = labels.iter().map(|label| f64::from(u8::from(*label))).collect();
    let half = buffer / 2;
    for (first, last) in segments {
        for off in 1..=half {
            let weight = (1.0 - off as f64 / buffer as f64).sqrt();
            for row in [first.checked_sub(off), Some(last + off)].into_iter().flatten() {
                if let Some(soft) = soft.get_mut(row) {
                    *soft = (*soft + weight).min(1.0);
                }
            }
        }
    }
    // Segments whose buffers touch are one.
    let wide: Vec<bool> = soft.iter().map(|weight| *weight > 0.0).collect();
    let mut owner = vec![usize::MAX; labels.len()];
    let wide = self::segments(&wide);
    for (k, (first, last)) in wide.iter().enumerate() {
        owner[*first..=*last].fill(k);
    }
    let positives = labels.iter().filter(|label| **label).count() as f64;
    let mut found = vec![false; wide.len()];
    let (mut hits, mut in_buffers, mut existing) = (0.0, 0.0, 0_usize);
    let (mut area, mut recall_before) = (0.0, 0.0);
    for (rank, row) in order.iter().enumerate() {
        hits += soft[*row];
        if !labels[*row] {
            in_buffers += soft[*row];
        }
        if owner[*row] != usize::MAX && !std::mem::replace(&mut found[owner[*row]], true) {
            existing += 1;
        }
        let is_last_of_equals = order.get(rank + 1).is_none_or(|next| scores[*next] < scores[*row]);
        if is_last_of_equals {
            let recall = (hits / (positives + in_buffers / 2.0)).min(1.0) * existing as f64 / wide.len() as f64;
            area += (recall - recall_before) * hits / (rank + 1) as f64;
            recall_before = recall;
        }
    }
    area
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A perfect ranking is near 1, a constant one is the share of labels, and one beside the label has something only from the
    /// buffers.
    #[test]
    fn rankings_have_their_volume() {
        let labels: Vec<bool> = (0..1_000).map(|row| (400..500).contains(&row)).collect();
        let perfect: Vec<f64> = labels.iter().map(|label| f64::from(u8::from(*label))).collect();
        assert!(vus_pr(&perfect, &labels, 20) > 0.9);
        assert!((vus_pr(&perfect, &labels, 0) - 1.0).abs() < 1e-12);
        assert!((vus_pr(&[1.0; 1_000], &labels, 0) - 0.1).abs() < 1e-12);
        let beside: Vec<f64> = (0..1_000).map(|row| f64::from(u8::from(row == 505))).collect();
        assert!(vus_pr(&beside, &labels, 100) > vus_pr(&beside, &labels, 0));
        assert_eq!(vus_pr(&beside, &[false; 1_000], 100), 0.0);
    }
}
