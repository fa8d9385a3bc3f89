//! Owns one member of the vote: a net at one scale, its two bounds that follow the fits, and when it speaks.

use crate::{
    net::{Bounds, Fit, Net},
    scale::{Map, Range, Scale},
};
use foreshock_detector::{math::sqrt, packed};
use serde::{Deserialize, Serialize};

/// Levels of the longest context.
const MOST_LEVELS: usize = 8;
/// Half the orthonormal Haar wavelet's square: `1 / sqrt(2)`.
const HAAR: f64 = std::f64::consts::FRAC_1_SQRT_2;
/// The upper bound never asks for more than this fit.
const MOST_HIGH: f64 = 0.97;
/// How far the lower bound moves up to the smallest fit of late.
const RISE: f64 = 0.19;
/// Fits that miss the upper bound by more than this pull the lower bound down, each by at most [`MOST_MISS`].
const MISS: f64 = 0.05;
const MOST_MISS: f64 = 0.37;
/// What a member says at most.
pub(crate) const MOST_SCORE: f64 = 2.0;

/// A member's scale: its map, the levels of its context, and how many contexts fill the warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shape {
    pub(crate) map: Map,
    pub(crate) levels: usize,
    pub(crate) contexts: usize,
}

impl Shape {
    /// Rows of a step.
    pub(crate) fn step(self, warmup: usize) -> usize {
        (warmup / (self.levels * self.contexts)).max(1)
    }

    /// Bytes of a context.
    fn width(self) -> u8 {
        4 * self.levels as u8
    }

    /// Steps for which the member stays silent after it spoke.
    fn mask(self) -> u32 {
        self.levels as u32 * 3 / 2
    }
}

/// One member. Fits are kept in a byte each.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Member {
    scale: Scale,
    /// The newest levels, oldest first.
    levels: Vec<f32>,
    net: Net,
    /// Steps so far.
    steps: u32,
    low: f32,
    high: f32,
    mean_fit: f32,
    fits_seen: u32,
    /// The fits of as many steps as the last warm-up had, and one more; the newest stands at `steps` modulo their number.
    #[serde(with = "packed::bytes")]
    fits: Vec<u8>,
    /// When it last spoke and the fit then; the smallest fits of all times it spoke.
    spoke_at: u32,
    spoke_fit: f32,
    spoken: u32,
    spoken_sum: f32,
    spoken_last: f32,
    updated_at: u32,
    is_masked: bool,
    calm_steps: u32,
}

impl Member {
    /// A member that has learned the rows of the warm-up.
    pub(crate) fn train(shape: Shape, capacity: u8, rows: &[f64], range: Range) -> Self {
        let step = shape.step(rows.len()) as u32;
        let mut scale = Scale::new(shape.map);
        let mut levels = vec![0.0; shape.levels];
        let mut contexts = Vec::new();
        for row in rows {
            if let Some(value) = scale.step(*row, range, step) {
                // Here the range holds what the warm-up saw: both maps reach beyond it.
                push(&mut levels, scale.level(value) as f32);
                contexts.push(features(&levels));
            }
        }
        let first = (shape.levels - 1).min(contexts.len());
        // The first contexts are not full yet: they say nothing.
        for context in contexts.iter_mut().take(first) {
            let (plain, complement) = context.split_at_mut(2 * shape.levels);
            plain.fill(0);
            complement.fill(255);
        }
        let bound = first_bound(shape, capacity, &contexts, first);
        let steps = contexts.len() as u32;
        let mut member = Self {
            scale,
            levels,
            net: Net::new(shape.width(), capacity),
            steps: 0,
            low: bound as f32,
            high: bound as f32,
            mean_fit: 0.0,
            fits_seen: 0,
            fits: vec![u8::MAX; contexts.len() + 1],
            spoke_at: 0,
            spoke_fit: 0.0,
            spoken: 0,
            spoken_sum: 0.0,
            spoken_last: 0.0,
            updated_at: 0,
            is_masked: false,
            calm_steps: 0,
        };
        for (k, context) in contexts.iter().enumerate() {
            member.steps = k as u32 + 1;
            let (fit, is_novel) = if k == 0 {
                (Fit { all: 0.0, newest: 0.0 }, true)
            } else if k < first {
                (member.net.fit(context), true)
            } else {
                member.net.learn(context, member.bounds())
            };
            member.calm_steps = if is_novel { 0 } else { member.calm_steps + 1 };
            member.is_masked |= is_novel;
            member.remember(fit);
        }
        member.steps = steps;
        member
    }

    fn bounds(&self) -> Bounds {
        Bounds { low: f64::from(self.low), high: f64::from(self.high) }
    }

    fn remember(&mut self, fit: Fit) {
        self.fits_seen = self.fits_seen.saturating_add(1);
        self.mean_fit += (fit.all as f32 - self.mean_fit) / self.fits_seen as f32;
        let place = self.steps as usize % self.fits.len();
        self.fits[place] = (fit.all * 255.0) as u8;
    }

    /// The fits of so many steps, the newest first.
    fn latest_fits(&self, steps: usize) -> impl Iterator<Item = f64> {
        let (after, before) = self.fits.split_at(self.steps as usize % self.fits.len() + 1);
        after.iter().rev().chain(before.iter().rev()).take(steps).map(|fit| f64::from(*fit) / 255.0)
    }

    /// Steps of the warm-up.
    fn warmup_steps(&self) -> u32 {
        self.fits.len() as u32 - 1
    }

    /// Takes a row; `warmup` is the length of the warm-up in rows. Gives what the member says, 0 for nothing.
    pub(crate) fn step(&mut self, shape: Shape, warmup: usize, value: f64, range: Range) -> f64 {
        let Some(value) = self.scale.step(value, range, shape.step(warmup) as u32) else { return 0.0 };
        if let Some(widened) = self.scale.widen(value) {
            self.net.widen(widened.share, widened.offset);
            let moved = |level: f32| (f64::from(level) * widened.share + widened.offset) as f32;
            self.levels.iter_mut().for_each(|level| *level = moved(*level));
        }
        push(&mut self.levels, self.scale.level(value) as f32);
        let context = features(&self.levels);
        self.steps = self.steps.saturating_add(1);
        let (mask, warmup_steps) = (shape.mask(), self.warmup_steps());
        let since = self.steps - self.spoke_at;
        if self.steps > warmup_steps + mask && self.calm_steps >= mask {
            self.is_masked = false;
        }
        let (fit, is_novel) = self.net.learn(&context, self.bounds());
        self.calm_steps = if is_novel { 0 } else { self.calm_steps.saturating_add(1) };
        self.remember(fit);
        let all = fit.all as f32;
        if since < mask && self.spoken > 0 && all < self.spoken_last {
            self.spoken_sum += all - self.spoken_last;
            self.spoken_last = all;
        }
        let just_spoke = since <= mask;
        let far_worse = all < self.spoke_fit * if just_spoke { 0.9 } else { 0.7 };
        let mut says = 0.0;
        if is_novel && (far_worse || !(self.is_masked || just_spoke)) {
            says = self.score(fit);
            self.spoken = self.spoken.saturating_add(1);
            self.spoken_sum += all;
            (self.spoken_last, self.spoke_fit, self.spoke_at) = (all, all, self.steps);
        }
        self.is_masked |= is_novel;
        if since == mask || self.steps - self.updated_at >= warmup_steps / 2 {
            self.move_bounds();
        }
        says
    }

    /// How loud a novel context is: how far below both bounds, and how odd its newest level is.
    fn score(&self, fit: Fit) -> f64 {
        let all = fit.all.min(0.999);
        let Bounds { low, high } = self.bounds();
        let below_high = (high - all) / (1.0 - all);
        let below_low = (low - all) / (1.0 - all);
        (0.35 * below_high + 0.65 * below_low + 1.5 * (1.0 - fit.newest)).clamp(0.0, MOST_SCORE)
    }

    /// Lets the bounds follow the fits: the upper one the mean, the lower one the smallest of late.
    fn move_bounds(&mut self) {
        let Bounds { low: before, high: high_before } = self.bounds();
        let high = f64::from(self.mean_fit).min(MOST_HIGH);
        let smallest = self.latest_fits(self.fits.len() / 2 + 1).fold(1.0, f64::min);
        let low = if before <= smallest {
            before + RISE * (smallest - before)
        } else {
            let mut decrease = 0.01_f64;
            if self.steps > 2 * self.warmup_steps() {
                let missed = self.latest_fits(self.fits.len()).map(|fit| (high_before - fit).min(MOST_MISS));
                let (sum, count) =
                    missed.filter(|miss| *miss > MISS).fold((0.0, 0.0_f64), |(sum, n), miss| (sum + miss, n + 1.0));
                decrease = decrease.max(sum / count.max(1.0));
            }
            let lowest = match self.spoken {
                0 => f64::NEG_INFINITY,
                spoken => f64::from(self.spoken_sum) / f64::from(spoken),
            };
            (before - decrease / 2.0).max(lowest)
        };
        (self.low, self.high) = (low.min(high) as f32, high as f32);
        self.updated_at = self.steps;
        self.is_masked = true;
    }

    /// Between which values the newest one was usual after such a course.
    pub(crate) fn usual(&self, range: Range) -> Option<(f64, f64)> {
        Some(self.scale.values(self.net.usual_newest(&features(&self.levels))?, range))
    }

    /// Whether what was restored can be worked with.
    pub(crate) fn is_sane(&self, shape: Shape, capacity: u8) -> bool {
        let numbers = [self.low, self.high, self.mean_fit, self.spoke_fit, self.spoken_sum, self.spoken_last];
        self.levels.len() == shape.levels
            && self.net.is_sane(shape.width(), capacity)
            && self.scale.is_sane()
            && self.fits.len() > 1
            && self.steps >= self.spoke_at.max(self.updated_at)
            && numbers.iter().all(|number| number.is_finite())
    }
}

fn push(levels: &mut [f32], level: f32) {
    levels.rotate_left(1);
    if let Some(last) = levels.last_mut() {
        *last = level;
    }
}

/// A context as bytes: the shape of its levels (an orthonormal Haar transform of the levels stretched to 0..1, stretched
/// again), the levels, and the complements of both.
fn features(levels: &[f32]) -> Vec<u8> {
    let mut shape = [0.0; MOST_LEVELS];
    let shape = &mut shape[..levels.len()];
    shape.iter_mut().zip(levels).for_each(|(shape, level)| *shape = f64::from(*level));
    stretch(shape);
    let mut length = shape.len();
    while length > 1 {
        let half = length / 2;
        let mut next = [0.0; MOST_LEVELS];
        for k in 0..half {
            next[k] = (shape[2 * k] + shape[2 * k + 1]) * HAAR;
            next[half + k] = (shape[2 * k] - shape[2 * k + 1]) * HAAR;
        }
        shape[..length].copy_from_slice(&next[..length]);
        length = half;
    }
    stretch(shape);
    let mut bytes: Vec<u8> = Vec::with_capacity(4 * levels.len());
    let levels_too = shape.iter().copied().chain(levels.iter().map(|level| f64::from(*level)));
    bytes.extend(levels_too.map(|level| foreshock_detector::math::round(level * 255.0) as u8));
    for k in 0..2 * levels.len() {
        bytes.push(255 - bytes[k]);
    }
    bytes
}

/// Moves and scales the numbers to 0..1; equal numbers become 0.
fn stretch(numbers: &mut [f64]) {
    let (low, high) = numbers.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(*x), h.max(*x)));
    let width = if high > low { high - low } else { 1.0 };
    numbers.iter_mut().for_each(|x| *x = (*x - low) / width);
}

/// The bounds to start with: how well the more typical half of the warm-up's contexts fits a net that learned the others
/// first. Typical is what points the same way as most (summed cosine).
fn first_bound(shape: Shape, capacity: u8, contexts: &[Vec<u8>], first: usize) -> f64 {
    let half = 2 * shape.levels;
    let vectors: Vec<Vec<f64>> =
        contexts[first..].iter().map(|context| context[..half].iter().map(|byte| f64::from(*byte)).collect()).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let norms: Vec<f64> = vectors.iter().map(|vector| sqrt(dot(vector, vector)) / 255.0).collect();
    // The sum of the cosines with all others is the cosine with their sum, where no norm is 0.
    let mut sum = vec![0.0; half];
    let mut zeros = 0.0;
    let mut flat_sum = 0.0;
    for (vector, norm) in vectors.iter().zip(&norms) {
        if *norm > 0.0 {
            sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x / 255.0 / norm);
            flat_sum += 1.0 - norm;
        } else {
            zeros += 1.0;
        }
    }
    let typical = |k: usize| {
        let norm = norms[k];
        if norm > 0.0 { dot(&vectors[k], &sum) / 255.0 / norm + zeros * (1.0 - norm) } else { flat_sum + zeros }
    };
    let mut order: Vec<(f64, usize)> = (0..vectors.len()).map(|k| (typical(k), k)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut net = Net::new(shape.width(), capacity);
    let (mut fits, mut counted) = (0.0, 0.0_f64);
    for (place, (_, k)) in order.iter().enumerate().skip(1) {
        let (fit, _) = net.learn(&contexts[first + k], Bounds { low: 0.8, high: 0.8 });
        if place + 1 >= contexts.len() / 2 {
            fits += fit.all;
            counted += 1.0;
        }
    }
    fits / counted.max(1.0)
}
