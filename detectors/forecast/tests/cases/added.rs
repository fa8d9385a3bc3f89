//! Kinds that were added to the first ones: two that reach the limit, two that never do.

use super::{DAY, Kind, Random};

/// Values, step and onset.
pub(super) fn draw(kind: Kind, random: &mut Random) -> (Vec<f64>, f64, usize) {
    match kind {
        Kind::Heap => heap(random),
        Kind::Refill => refill(random),
        Kind::Campaign => (campaign(random), 300.0, 0),
        _ => (growth(random), 300.0, 0),
    }
}

/// A heap that is collected again and again, but each time a little less of it.
fn heap(random: &mut Random) -> (Vec<f64>, f64, usize) {
    let (step, calm) = random.start(&[10.0, 30.0, 60.0]);
    let period = random.size(600.0, 2.0 * 3_600.0).max(12.0 * step);
    let ramp = random.size(8.0 * period, 3.0 * DAY).max(4.0 * 3_600.0);
    let many = ((calm + 1.2 * ramp) / step) as usize + 20;
    let (base, tooth) = (random.between(0.2, 0.5), random.between(0.05, 0.3));
    let spread = random.between(0.001, 0.01);
    let noise = random.noise(many, spread);
    let phase = random.between(0.0, period);
    let at = |i: usize| {
        let time = i as f64 * step;
        let kept = base + (1.0 - tooth - base) * ((time - calm) / ramp).max(0.0);
        kept + tooth * libm::fmod(time + phase, period) / period + noise[i]
    };
    ((0..many).map(at).collect(), step, (calm / step) as usize)
}

/// A disk that was nearly full, is cleaned up, and fills again, this time to the end.
fn refill(random: &mut Random) -> (Vec<f64>, f64, usize) {
    let step = random.one_of(&[60.0, 300.0]);
    let before = random.between(1.0, 3.0) * DAY;
    let idle = random.between(0.0, 0.5) * DAY;
    let total = random.between(0.7, if step == 300.0 { 5.0 } else { 2.0 }) * DAY;
    let many = ((before + idle + 1.4 * total) / step) as usize + 20;
    let (high, base) = (random.between(0.8, 0.93), random.between(0.2, 0.5));
    let (swing, rhythm) = (random.between(0.0, 0.6), random.rhythm(many, step));
    let spread = random.between(0.0, 0.003);
    let noise = random.noise(many, spread);
    let mut filled = base;
    let mut at = |i: usize| {
        let time = i as f64 * step;
        if time < before {
            return high - 0.05 * (1.0 - time / before) + noise[i];
        }
        if time >= before + idle {
            filled += (1.0 - base) / total * step * (1.0 + swing * rhythm[i]);
        }
        filled + noise[i]
    };
    ((0..many).map(&mut at).collect(), step, ((before + idle) / step) as usize)
}

/// Days like each other, and one with more to do than any before.
fn campaign(random: &mut Random) -> Vec<f64> {
    let many = (random.between(8.0, 12.0) * DAY / 300.0) as usize;
    let (peak, swing) = (random.between(0.45, 0.65), random.between(0.1, 0.3));
    let (more, day) = (random.between(1.15, 1.4), random.between(3.0, 6.0) * DAY);
    let rhythm = random.rhythm(many, 300.0);
    let spread = random.between(0.002, 0.015);
    let noise = random.noise(many, spread);
    let at = |i: usize| {
        let into = ((i as f64 * 300.0 - day) / DAY).clamp(0.0, 1.0);
        let hump = libm::sin(into * std::f64::consts::PI);
        (peak - swing + swing * rhythm[i]) * (1.0 + (more - 1.0) * hump * hump) + noise[i]
    };
    (0..many).map(at).collect()
}

/// Something that grows, but whose limit is many weeks away.
fn growth(random: &mut Random) -> Vec<f64> {
    let many = (random.between(8.0, 12.0) * DAY / 300.0) as usize;
    let (base, away) = (random.between(0.2, 0.7), random.size(40.0, 400.0) * DAY);
    let swing = random.between(0.0, 0.08);
    let rhythm = random.rhythm(many, 300.0);
    let spread = random.between(0.001, 0.01);
    let noise = random.noise(many, spread);
    let at = |i: usize| base + (1.0 - base) * i as f64 * 300.0 / away + swing * rhythm[i] + noise[i];
    (0..many).map(at).collect()
}
