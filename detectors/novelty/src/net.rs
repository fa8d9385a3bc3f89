//! Owns the prototypes: boxes of contexts that were seen, and how well a new context fits the best of them.

use foreshock_detector::packed;
use serde::{Deserialize, Serialize};

/// Room is made for so many prototypes at a time: a vector that doubles would keep up to twice what it needs.
const ROOM: usize = 8;

/// Which fits are good enough for what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    /// Below this fit a context is novel.
    pub(crate) low: f64,
    /// From this fit on the prototypes that fit grow to hold it.
    pub(crate) high: f64,
}

/// How a context fits what was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fit {
    /// 0 to 1.
    pub(crate) all: f64,
    /// The fit of its newest level alone, 0 to 1.
    pub(crate) newest: f64,
}

/// Fuzzy ART with complement coding (Carpenter, Grossberg and Rosen 1991): a prototype is the smallest box around the contexts
/// that it took, kept as the lower bounds of the levels and of their complements, a byte each.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Net {
    /// Bytes of one prototype.
    width: u8,
    capacity: u8,
    #[serde(with = "packed::bytes")]
    boxes: Vec<u8>,
    /// The prototypes, the one that fitted longest ago first.
    order: Vec<u8>,
}

impl Net {
    /// An empty net for contexts of `width` bytes, complements included. Its first prototype, all ones, fits everything a
    /// little and is never replaced.
    pub(crate) fn new(width: u8, capacity: u8) -> Self {
        Self { width, capacity, boxes: vec![255; usize::from(width)], order: vec![0] }
    }

    /// How the context fits each prototype: `((shared / box) ^ 3) * (newest shared / newest of the box) ^ 2`, the best of
    /// them, and where it is. Calls `each` for all prototypes that may reach `enough`.
    fn best(&self, context: &[u8], enough: f64, mut each: impl FnMut(usize, f64)) -> (usize, Fit) {
        let width = usize::from(self.width);
        let last = width - 1;
        let newest = width / 2 - 1;
        let mut best = (0, Fit { all: -1.0, newest: 0.0 });
        for (k, prototype) in self.boxes.chunks_exact(width).enumerate() {
            let (a, b) = (prototype[newest], prototype[last]);
            let shared = u32::from(a.min(context[newest])) + u32::from(b.min(context[last]));
            let fit_newest = f64::from(shared) / (f64::from(a) + f64::from(b)).max(1e-9);
            // A fit is at most this; most prototypes can't matter, and are left after two bytes.
            let most = fit_newest * fit_newest;
            if most <= best.1.all && most < enough {
                continue;
            }
            let (mut both, mut whole) = (0_u32, 0_u32);
            for (w, s) in prototype.iter().zip(context) {
                both += u32::from(*w.min(s));
                whole += u32::from(*w);
            }
            let share = if whole == 0 { 0.0 } else { f64::from(both) / f64::from(whole) };
            let all = share * share * share * most;
            if all > best.1.all {
                best = (k, Fit { all, newest: fit_newest });
            }
            if all >= enough {
                each(k, all);
            }
        }
        best
    }

    /// How well a context fits, without learning it.
    pub(crate) fn fit(&self, context: &[u8]) -> Fit {
        self.best(context, f64::INFINITY, |_, _| {}).1
    }

    /// Learns a context; says how it fitted before, and whether it was novel.
    pub(crate) fn learn(&mut self, context: &[u8], bounds: Bounds) -> (Fit, bool) {
        let mut fitting = Vec::new();
        let (best, fit) = self.best(context, bounds.high, |k, _| fitting.push(k));
        if fit.all >= bounds.high {
            for k in fitting {
                let start = k * context.len();
                self.boxes[start..start + context.len()].iter_mut().zip(context).for_each(|(w, s)| *w = (*w).min(*s));
                self.touch(k);
            }
            return (fit, false);
        }
        if fit.all >= bounds.low {
            self.touch(best);
        }
        self.add(context);
        (fit, fit.all < bounds.low)
    }

    /// Notes that a prototype fitted.
    fn touch(&mut self, k: usize) {
        if let Some(at) = self.order.iter().position(|other| usize::from(*other) == k) {
            self.order[at..].rotate_left(1);
        }
    }

    /// Takes the context as a prototype of its own, in the place of the one that fitted longest ago where there is no room.
    fn add(&mut self, context: &[u8]) {
        if self.order.len() < usize::from(self.capacity) {
            if self.boxes.capacity() < self.boxes.len() + context.len() {
                self.boxes.reserve_exact(ROOM * context.len());
                self.order.reserve_exact(ROOM);
            }
            self.boxes.extend_from_slice(context);
            self.order.push(self.order.len() as u8);
            return;
        }
        // The first one stays.
        let oldest = self.order.iter().find(|k| **k != 0).map_or(0, |k| usize::from(*k));
        let start = oldest * context.len();
        self.boxes[start..start + context.len()].copy_from_slice(context);
        self.touch(oldest);
    }

    /// Moves the raw levels of all prototypes, after the range was widened.
    pub(crate) fn widen(&mut self, share: f64, offset: f64) {
        let half = usize::from(self.width) / 2;
        // The levels are the second half of the first half; their complements the second half of the second.
        let moved = |level: f64| (level * share + offset).clamp(0.0, 1.0);
        for prototype in self.boxes.chunks_exact_mut(2 * half).skip(1) {
            let (plain, complement) = prototype.split_at_mut(half);
            for w in &mut plain[half / 2..] {
                *w = (moved(f64::from(*w) / 255.0) * 255.0) as u8;
            }
            for w in &mut complement[half / 2..] {
                *w = ((1.0 - moved(1.0 - f64::from(*w) / 255.0)) * 255.0) as u8;
            }
        }
    }

    /// Between which levels the newest one was seen after a course like this one: the newest side of the box that fits the
    /// older levels best. `None` while nothing was learned.
    pub(crate) fn usual_newest(&self, context: &[u8]) -> Option<(f64, f64)> {
        let width = usize::from(self.width);
        let (half, quarter) = (width / 2, width / 4);
        let older = (quarter..half - 1).chain(half + quarter..width - 1);
        let mut best: Option<(f64, (f64, f64))> = None;
        for prototype in self.boxes.chunks_exact(width).skip(1) {
            let (mut both, mut whole) = (0_u32, 0_u32);
            for k in older.clone() {
                both += u32::from(prototype[k].min(context[k]));
                whole += u32::from(prototype[k]);
            }
            let share = f64::from(both) / f64::from(whole.max(1));
            if best.is_none_or(|(most, _)| share > most) {
                let low = f64::from(prototype[half - 1]) / 255.0;
                let high = 1.0 - f64::from(prototype[width - 1]) / 255.0;
                best = Some((share, (low.min(high), low.max(high))));
            }
        }
        best.map(|(_, usual)| usual)
    }

    /// How many prototypes there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether what was restored can be worked with.
    pub(crate) fn is_sane(&self, width: u8, capacity: u8) -> bool {
        let mut order = self.order.clone();
        order.sort_unstable();
        self.width == width
            && self.capacity == capacity
            && (1..=usize::from(capacity)).contains(&order.len())
            // Each prototype stands in it once.
            && order.iter().zip(0..).all(|(k, place)| *k == place)
            && self.boxes.len() == usize::from(width) * order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { low: 0.5, high: 0.9 };

    /// A context and its complements, with no features but the levels.
    fn context(levels: [u8; 2]) -> Vec<u8> {
        let [a, b] = levels;
        vec![0, 0, a, b, 255, 255, 255 - a, 255 - b]
    }

    /// What was seen is not novel, what is far from it is; a box grows to hold what nearly fits.
    #[test]
    fn what_was_seen_is_not_novel() {
        let mut net = Net::new(8, 4);
        assert!(net.learn(&context([100, 100]), BOUNDS).1);
        let (fit, novel) = net.learn(&context([100, 100]), BOUNDS);
        assert!(fit == Fit { all: 1.0, newest: 1.0 } && !novel && net.len() == 2);
        let (fit, novel) = net.learn(&context([102, 104]), BOUNDS);
        assert!(fit.all > 0.9 && !novel && net.len() == 2, "{fit:?}");
        let (low, high) = net.usual_newest(&context([101, 250])).expect("learned");
        assert!((low - 100.0 / 255.0).abs() < 1e-9 && (high - 104.0 / 255.0).abs() < 1e-9, "{low} {high}");
        assert!(net.learn(&context([100, 250]), BOUNDS).1);
    }

    /// The net stays within its capacity and forgets what fitted longest ago, but not its first prototype.
    #[test]
    fn the_oldest_is_replaced() {
        let mut net = Net::new(8, 3);
        for level in [0, 120, 255] {
            net.learn(&context([level, level]), BOUNDS);
        }
        assert_eq!(net.len(), 3);
        assert!(net.fit(&context([0, 0])).all < 0.5 && net.fit(&context([120, 120])).all == 1.0);
        assert!(net.is_sane(8, 3) && !net.is_sane(8, 4));
    }

    /// The short cut over two bytes must not change an answer.
    #[test]
    fn the_short_cut_is_exact() {
        let mut noise = foreshock_detector::testkit::Noise::new(3);
        let mut net = Net::new(8, 40);
        for _ in 0..400 {
            let level = |u: f64| (u * 255.0) as u8;
            let context = context([level(noise.uniform()), level(noise.uniform())]);
            let slow = net.boxes.chunks_exact(8).fold(-1.0, |most: f64, prototype| {
                let sum =
                    |of: &dyn Fn(usize) -> u8, from: &[usize]| from.iter().map(|k| f64::from(of(*k))).sum::<f64>();
                let shared = |k: usize| prototype[k].min(context[k]);
                let all: Vec<usize> = (0..8).collect();
                let share = sum(&shared, &all) / sum(&|k| prototype[k], &all);
                let newest = sum(&shared, &[3, 7]) / sum(&|k| prototype[k], &[3, 7]).max(1e-9);
                most.max(share * share * share * (newest * newest))
            });
            assert_eq!(net.learn(&context, BOUNDS).0.all, slow);
        }
    }
}
