//! Generated series of which it is known whether and when they reach their limit of 1: seven kinds that do, eleven that don't, and those of
//! `added`.
//!
//! A breaching series ends where the median of five values reaches the limit. Harmless ones never do. The kinds are those of
//! resources as they are met in practice; sizes, noise, steps and rhythms are drawn anew for each seed.

mod added;
pub(crate) mod measure;

use foreshock_detector::testkit::Noise;
use std::f64::consts::TAU;

/// Seconds of a day.
pub(crate) const DAY: f64 = 86_400.0;

/// What a series does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    LinearLeak,
    AcceleratingLeak,
    Disk,
    Pool,
    Queue,
    Latency,
    Countdown,
    Daily,
    Weekly,
    Sawtooth,
    Shift,
    Batch,
    Burst,
    TurnBack,
    Reset,
    Flat,
    HeavyTail,
    WarmUp,
    /// Collected again and again, each time a little less: reaches the limit.
    Heap,
    /// Cleaned up, and filled again to the limit, past an old high.
    Refill,
    /// A day with more to do than any before.
    Campaign,
    /// Grows, but not for weeks to the limit.
    Growth,
}

/// Kinds that reach the limit.
pub(crate) const BREACHING: [Kind; 7] =
    [Kind::LinearLeak, Kind::AcceleratingLeak, Kind::Disk, Kind::Pool, Kind::Queue, Kind::Latency, Kind::Countdown];

/// Kinds that never do.
pub(crate) const HARMLESS: [Kind; 11] = [
    Kind::Daily,
    Kind::Weekly,
    Kind::Sawtooth,
    Kind::Shift,
    Kind::Batch,
    Kind::Burst,
    Kind::TurnBack,
    Kind::Reset,
    Kind::Flat,
    Kind::HeavyTail,
    Kind::WarmUp,
];

/// Kinds that were added later, and are summed up apart; the first two reach the limit.
pub(crate) const ADDED: [Kind; 4] = [Kind::Heap, Kind::Refill, Kind::Campaign, Kind::Growth];

impl Kind {
    /// Whether its series reach the limit.
    pub(crate) fn reaches(self) -> bool {
        BREACHING.contains(&self) || matches!(self, Self::Heap | Self::Refill)
    }

    /// What the series is called: what is known to be filled and emptied is judged by other highs.
    pub(crate) fn series(self) -> &'static str {
        if self == Self::Refill { "disk.level" } else { "level" }
    }
}

/// One series.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// One value a step; the limit is 1.
    pub(crate) values: Vec<f64>,
    /// Seconds between values.
    pub(crate) step: f64,
    /// Where the rise begins; 0 for harmless ones.
    pub(crate) onset: usize,
    /// The last value, if it is there that the limit is reached.
    pub(crate) breach: Option<usize>,
}

/// The case of a kind for a seed.
pub(crate) fn case(kind: Kind, seed: u64) -> Case {
    let mut random = Random(Noise::new(seed.wrapping_mul(1_000_003).wrapping_add(kind as u64 * 7_919 + 1)));
    for _ in 0..200 {
        let (mut values, step, onset) = draw(kind, &mut random);
        let breach = values.windows(5).position(|five| five.iter().filter(|value| **value >= 1.0).count() >= 3);
        match (kind.reaches(), breach) {
            (true, Some(first)) if first + 4 > onset + 10 => {
                values.truncate(first + 5);
                return Case { values, step, onset, breach: Some(first + 4) };
            }
            (false, None) => return Case { values, step, onset: 0, breach: None },
            _ => {}
        }
    }
    panic!("no case of {kind:?} for {seed}");
}

/// Draws of the distributions that are needed.
struct Random(Noise);

impl Random {
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.uniform()
    }

    /// Even in the logarithm.
    fn size(&mut self, low: f64, high: f64) -> f64 {
        libm::exp(self.between(libm::log(low), libm::log(high)))
    }

    fn normal(&mut self, deviation: f64) -> f64 {
        self.0.normal() * deviation
    }

    fn chance(&mut self, share: f64) -> bool {
        self.0.uniform() < share
    }

    fn one_of(&mut self, choices: &[f64]) -> f64 {
        choices[(self.0.uniform() * choices.len() as f64) as usize % choices.len()]
    }

    /// Marsaglia and Tsang 2000, scale 1.
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let boost = libm::pow(1.0 - self.0.uniform(), 1.0 / shape);
            return self.gamma(shape + 1.0) * boost;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / libm::sqrt(9.0 * d);
        loop {
            let x = self.0.normal();
            let v = libm::pow(1.0 + c * x, 3.0);
            if v > 0.0 && libm::log(1.0 - self.0.uniform()) < 0.5 * x * x + d - d * v + d * libm::log(v) {
                return d * v;
            }
        }
    }

    fn student(&mut self, freedom: f64) -> f64 {
        self.0.normal() / libm::sqrt(2.0 * self.gamma(freedom / 2.0) / freedom)
    }

    /// White, autocorrelated or heavy-tailed noise.
    fn noise(&mut self, many: usize, deviation: f64) -> Vec<f64> {
        match self.one_of(&[0.0, 1.0, 2.0]) as u8 {
            0 => (0..many).map(|_| self.normal(deviation)).collect(),
            1 => {
                let memory = self.between(0.3, 0.9);
                self.wander(many, memory, deviation)
            }
            _ => (0..many).map(|_| self.student(3.0) * deviation * 0.6).collect(),
        }
    }

    /// An autoregression of first order.
    fn wander(&mut self, many: usize, memory: f64, deviation: f64) -> Vec<f64> {
        let push = deviation * libm::sqrt(1.0 - memory * memory);
        let mut at = self.normal(deviation);
        (0..many)
            .map(|_| {
                at = memory * at + self.normal(push);
                at
            })
            .collect()
    }

    /// A daily rhythm, about -1 to 1.
    fn rhythm(&mut self, many: usize, step: f64) -> Vec<f64> {
        let (phase, second, turn) = (self.between(0.0, DAY), self.between(0.0, 0.5), self.between(0.0, 6.0));
        let at = |i: usize| {
            let x = TAU * (i as f64 * step - phase) / DAY;
            (libm::sin(x) + second * libm::sin(2.0 * x + turn)) / (1.0 + 0.6 * second)
        };
        (0..many).map(at).collect()
    }

    /// A step and how much calm there is before the rise.
    fn start(&mut self, steps: &[f64]) -> (f64, f64) {
        let step = self.one_of(steps);
        let calm = self.between(0.0, 3.0) * DAY;
        let most = if step <= 10.0 {
            0.8
        } else if step <= 30.0 {
            1.6
        } else {
            3.0
        };
        (step, calm.min(most * DAY))
    }
}

const STEPS: [f64; 4] = [10.0, 30.0, 60.0, 300.0];

/// Values, step and onset.
fn draw(kind: Kind, random: &mut Random) -> (Vec<f64>, f64, usize) {
    match kind {
        Kind::LinearLeak | Kind::AcceleratingLeak => leak(kind, random),
        Kind::Disk => disk(random),
        Kind::Pool => pool(random),
        Kind::Queue => queue(random),
        Kind::Latency => latency(random),
        Kind::Countdown => countdown(random),
        kind if ADDED.contains(&kind) => added::draw(kind, random),
        _ => harmless(kind, random),
    }
}

fn leak(kind: Kind, random: &mut Random) -> (Vec<f64>, f64, usize) {
    let (step, calm) = random.start(&STEPS);
    let longest = if step <= 30.0 { DAY } else { 4.0 * DAY };
    let ramp = random.size(1.5 * 3_600.0, longest).max(40.0 * step);
    let many = ((calm + 1.3 * ramp) / step) as usize + 20;
    let base = random.between(0.25, 0.7);
    let (power, rate) = (random.between(1.4, 3.0), random.between(1.5, 4.0));
    let is_power = random.chance(0.5);
    let grown = |u: f64| match kind {
        Kind::LinearLeak => u,
        _ if is_power => libm::pow(u, power),
        _ => (libm::exp(rate * u.min(2.0)) - 1.0) / (libm::exp(rate) - 1.0),
    };
    let spread = random.size(0.001, 0.02);
    let noise = random.noise(many, spread);
    let swing = if random.chance(0.7) { random.between(0.0, 0.06) } else { 0.0 };
    let rhythm = random.rhythm(many, step);
    let at = |i: usize| {
        let u = ((i as f64 * step - calm) / ramp).max(0.0);
        base + (1.0 - base) * grown(u) + noise[i] + swing * rhythm[i]
    };
    ((0..many).map(at).collect(), step, (calm / step) as usize)
}

fn disk(random: &mut Random) -> (Vec<f64>, f64, usize) {
    let step = random.one_of(&[60.0, 300.0]);
    let total = random.between(1.5, if step == 300.0 { 10.0 } else { 4.0 }) * DAY;
    let calm = if random.chance(0.5) { 0.0 } else { random.between(0.2, 2.0) * DAY };
    let many = ((1.3 * total + calm) / step) as usize + 20;
    let base = random.between(0.3, 0.75);
    let (swing, idle) = (random.between(0.0, 0.95), random.between(0.0, 0.1));
    let (rhythm, luck) = (random.rhythm(many, step), random.wander(many, 0.98, 0.3));
    let period = random.one_of(&[6.0 * 3_600.0, DAY, 2.0 * 3_600.0, 43_200.0]);
    let (tooth, phase) = (random.between(0.005, 0.08), random.between(0.0, period));
    let tooth = if random.chance(0.7) { tooth } else { 0.0 };
    let spread = random.between(0.0, 0.003);
    let noise = random.noise(many, spread);
    let mut filled = base;
    let mut at = |i: usize| {
        let time = i as f64 * step;
        let rate = (1.0 - base) / total * (1.0 + swing * rhythm[i]) * libm::exp(luck[i]);
        filled += rate * step * if time < calm { idle } else { 1.0 };
        filled + tooth * libm::fmod(time + phase, period) / period + noise[i]
    };
    ((0..many).map(&mut at).collect(), step, (calm / step) as usize)
}

fn pool(random: &mut Random) -> (Vec<f64>, f64, usize) {
    let size = random.one_of(&[20.0, 50.0, 100.0, 200.0]);
    let (load, step, onset): (Vec<f64>, f64, f64) = if random.chance(0.5) {
        // The same rhythm each day, and a little more of it from day to day.
        let step = 300.0;
        let many = (12.0 * DAY / step) as usize;
        let (onset, growth, swing) =
            (random.between(1.0, 4.0) * DAY, random.between(0.05, 0.2), random.between(0.2, 0.6));
        let level = random.between(0.45, 0.8) / (1.0 + swing);
        let rhythm = random.rhythm(many, step);
        let at = |i: usize| {
            let days = ((i as f64 * step - onset) / DAY).max(0.0);
            level * (1.0 + swing * rhythm[i]) * (1.0 + growth * days)
        };
        ((0..many).map(at).collect(), step, onset)
    } else {
        let (step, calm) = random.start(&STEPS);
        let ramp = random.size(3_600.0, DAY).max(40.0 * step);
        let many = ((calm + 1.5 * ramp) / step) as usize + 20;
        let (base, power, swing) = (random.between(0.2, 0.6), random.between(0.9, 1.5), random.between(0.0, 0.12));
        let rhythm = random.rhythm(many, step);
        let at = |i: usize| {
            let u = ((i as f64 * step - calm) / ramp).max(0.0);
            (base + (1.0 - base) * libm::pow(u, power)) * (1.0 + swing * rhythm[i])
        };
        ((0..many).map(at).collect(), step, calm)
    };
    let share = random.between(0.2, 1.0);
    let busy = |load: &f64| {
        let mean = load.max(0.0) * size;
        let drawn = random.0.poisson(mean * share) - mean * share;
        libm::round((mean + 0.5 * drawn).max(0.0)) / size
    };
    (load.iter().map(busy).collect(), step, (onset / step) as usize)
}

fn queue(random: &mut Random) -> (Vec<f64>, f64, usize) {
    let (step, calm) = random.start(&STEPS[..3]);
    let ramp = random.size(1_200.0, 12.0 * 3_600.0).max(40.0 * step);
    let many = ((calm + 2.0 * ramp) / step) as usize + 20;
    let (swing, luck) = (random.between(0.0, 0.3), random.between(0.0, 0.6));
    let (rhythm, wander) = (random.rhythm(many, step), random.wander(many, 0.95, 1.0));
    let spread = random.between(0.002, 0.03);
    let idle = random.wander(many, 0.9, spread);
    let (mut sum, mut most) = (0.0_f64, 0.0_f64);
    let mut at = |i: usize| {
        if i as f64 * step >= calm {
            sum += step / ramp * (1.0 + swing * rhythm[i] + luck * wander[i]);
        }
        most = most.max(sum);
        let waiting = idle[i].abs() * libm::exp(random.normal(0.5));
        0.3 * most + 0.7 * sum.max(0.0) + waiting
    };
    ((0..many).map(&mut at).collect(), step, (calm / step) as usize)
}

/// The waiting time of M/M/1 under growing load.
fn latency(random: &mut Random) -> (Vec<f64>, f64, usize) {
    let (step, calm) = random.start(&STEPS);
    let longest = if step <= 30.0 { DAY } else { 3.0 * DAY };
    let ramp = random.size(3_600.0, longest).max(40.0 * step);
    let many = ((calm + 1.1 * ramp) / step) as usize + 20;
    let (base, times) = (random.between(0.2, 0.6), random.between(3.0, 10.0));
    let end = 1.0 - (1.0 - base) / times;
    let swing = random.between(0.0, 0.05) * (1.0 - base);
    let rhythm = random.rhythm(many, step);
    let spread = random.between(0.02, 0.12);
    let noise = random.noise(many, spread);
    let at = |i: usize| {
        let u = ((i as f64 * step - calm) / ramp).max(0.0);
        let load = (base + (end - base) * u + swing * rhythm[i]).min(0.995);
        (1.0 - end) / (1.0 - load) * libm::exp(noise[i])
    };
    ((0..many).map(at).collect(), step, (calm / step) as usize)
}

/// What is used up bit by bit: evenly, in steps, or in bursts.
fn countdown(random: &mut Random) -> (Vec<f64>, f64, usize) {
    let step = random.one_of(&[60.0, 300.0]);
    let total = random.between(2.0, if step == 300.0 { 10.0 } else { 4.0 }) * DAY;
    let many = (1.2 * total / step) as usize + 20;
    let base = random.between(0.2, 0.8);
    let rate = (1.0 - base) / total;
    let values = match random.one_of(&[0.0, 1.0, 2.0]) as u8 {
        0 => (0..many).map(|i| base + rate * i as f64 * step).collect(),
        1 => {
            let stair = rate * random.one_of(&[3_600.0, 6.0 * 3_600.0, DAY]);
            (0..many).map(|i| base + libm::floor(rate * i as f64 * step / stair) * stair).collect()
        }
        _ => {
            let swing = random.between(0.0, 0.9);
            let rhythm = random.rhythm(many, step);
            let mut used = base;
            let mut at = |i: usize| {
                used += rate * step * (1.0 + swing * rhythm[i]) * 2.0 * random.gamma(0.5);
                used
            };
            (0..many).map(&mut at).collect()
        }
    };
    (values, step, 0)
}

fn harmless(kind: Kind, random: &mut Random) -> (Vec<f64>, f64, usize) {
    let step = if kind == Kind::Weekly { 300.0 } else { random.one_of(&[30.0, 60.0, 300.0]) };
    let days = match kind {
        Kind::Weekly => random.between(13.0, 18.0),
        _ if step == 30.0 => 1.8 * random.between(0.8, 1.2),
        _ if step == 60.0 => 3.5 * random.between(0.8, 1.2),
        _ => 10.0 * random.between(0.8, 1.2),
    };
    let many = (days * DAY / step) as usize;
    let values = match kind {
        Kind::Daily => {
            let (peak, swing) = (random.between(0.8, 0.97), random.between(0.05, 0.35));
            let heights: Vec<f64> = (0..=days as usize + 1).map(|_| 1.0 + random.normal(0.05)).collect();
            let rhythm = random.rhythm(many, step);
            let spread = random.between(0.002, 0.02);
            let noise = random.noise(many, spread);
            let day = |i: usize| (i as f64 * step / DAY) as usize;
            (0..many).map(|i| peak - swing + swing * rhythm[i] * heights[day(i)] + noise[i]).collect()
        }
        Kind::Weekly => weekly(random, many, step),
        Kind::Sawtooth => sawtooth(random, many, step),
        Kind::Shift => {
            let mut level = vec![random.between(0.2, 0.5); many];
            for _ in 0..1 + random.between(0.0, 4.0) as usize {
                let at = random.between(0.1 * many as f64, many as f64) as usize;
                let (width, to) = (1.0 + libm::floor(random.between(0.0, 11.0)), random.between(0.3, 0.93));
                let from = level[at.min(many - 1)];
                for (i, value) in level.iter_mut().enumerate().skip(at) {
                    let part = ((i - at) as f64 / width).min(1.0);
                    *value = from * (1.0 - part) + to * part;
                }
            }
            finish(random, level, step, (0.002, 0.02), 0.03)
        }
        Kind::Batch => batch(random, many, step),
        Kind::Burst => {
            let base = random.between(0.2, 0.6);
            let mut level = vec![base; many];
            let each_day = random.between(1.0, 6.0);
            for _ in 0..random.0.poisson(days * each_day) as usize {
                let at = random.between(0.0, many as f64) as usize;
                let (fall, height) = (random.size(3.0, 120.0), random.between(0.5, 0.97));
                for (i, value) in level.iter_mut().enumerate().skip(at) {
                    *value = value.max(base + (height - base) * libm::exp(-((i - at) as f64) / fall));
                }
            }
            finish(random, level, step, (0.005, 0.02), 0.0)
        }
        Kind::TurnBack => turn_back(random, many, step),
        Kind::Reset => {
            let rate = random.size(0.8, 8.0) / DAY;
            let (mut at, high, daily) = (random.between(0.0, 0.5), random.between(0.6, 0.95), random.chance(0.5));
            let (mut target, luck) = (high, random.between(0.0, 0.1));
            let a_day = (DAY / step) as usize;
            let mut next = |i: usize| {
                at += rate * step * 0.5 * random.gamma(2.0);
                if at >= target || (daily && i.is_multiple_of(a_day)) {
                    at = 0.0;
                    target = (high * (1.0 + random.normal(luck))).min(0.98);
                }
                at
            };
            (0..many).map(&mut next).collect()
        }
        Kind::Flat => {
            let level = random.between(0.82, 0.96);
            let memory = libm::exp(-step / random.size(1_800.0, 2.0 * DAY));
            let (slow, fast) = (random.between(0.002, 0.012), random.between(0.001, 0.01));
            let (wander, noise) = (random.wander(many, memory, slow), random.noise(many, fast));
            (0..many).map(|i| level + wander[i] + noise[i]).collect()
        }
        Kind::HeavyTail => {
            let base = random.between(0.2, 0.6);
            let swing = random.between(0.0, 0.1);
            let rhythm = random.rhythm(many, step);
            let (freedom, wide) = (random.between(1.3, 3.0), random.between(0.005, 0.04));
            let (is_student, spread) = (random.chance(0.5), random.between(0.1, 0.35));
            let mut at = |i: usize| {
                let value = if is_student {
                    base + random.student(freedom) * wide
                } else {
                    base * libm::exp(random.normal(spread))
                };
                (value + swing * rhythm[i]).clamp(0.0, 1.5)
            };
            (0..many).map(&mut at).collect()
        }
        _ => {
            // Fills up like a cache, towards a level below the limit.
            let (base, full) = (random.between(0.1, 0.4), random.between(0.65, 0.93));
            let at = (random.between(0.0, 0.6) * many as f64) as usize;
            let slowness = random.size(10.0, 0.2 * many as f64);
            let rise = |i: usize| 1.0 - libm::exp(-(i.saturating_sub(at) as f64) / slowness);
            let level = (0..many).map(|i| base + (full - base) * rise(i)).collect();
            finish(random, level, step, (0.001, 0.01), 0.02)
        }
    };
    (values, step, 0)
}

/// Noise, and perhaps a little of a daily rhythm.
fn finish(random: &mut Random, mut level: Vec<f64>, step: f64, spread: (f64, f64), most_swing: f64) -> Vec<f64> {
    let deviation = random.between(spread.0, spread.1);
    let noise = random.noise(level.len(), deviation);
    let swing = random.between(0.0, most_swing);
    let rhythm = random.rhythm(level.len(), step);
    for (i, value) in level.iter_mut().enumerate() {
        *value += noise[i] + swing * rhythm[i];
    }
    level
}

fn weekly(random: &mut Random, many: usize, step: f64) -> Vec<f64> {
    let first = random.between(0.0, 7.0) as usize;
    let quiet = random.between(0.3, 0.8);
    let is_weekend = |i: usize| ((i as f64 * step / DAY) as usize + first) % 7 >= 5;
    let raw: Vec<f64> = (0..many).map(|i| if is_weekend(i) { quiet } else { 1.0 }).collect();
    // The change takes four hours.
    let smooth = |i: usize| {
        let part = &raw[i.saturating_sub(24)..(i + 24).min(many)];
        part.iter().sum::<f64>() / part.len() as f64
    };
    let (top, swing) = (random.between(0.8, 0.97), random.between(0.2, 0.6));
    let rhythm = random.rhythm(many, step);
    let spread = random.between(0.002, 0.015);
    let noise = random.noise(many, spread);
    (0..many).map(|i| top * (1.0 - swing / 2.0 + swing / 2.0 * rhythm[i]) * smooth(i) + noise[i]).collect()
}

/// A heap between collections.
fn sawtooth(random: &mut Random, many: usize, step: f64) -> Vec<f64> {
    let period = random.size(600.0, 6.0 * 3_600.0).max(12.0 * step);
    let (low, high, luck) = (random.between(0.2, 0.6), random.between(0.75, 0.97), random.between(0.0, 0.08));
    let spread = random.between(0.001, 0.01);
    let noise = random.noise(many, spread);
    let (mut at, mut target) = (low, high);
    let mut next = |i: usize| {
        at += (high - low) * step / period * (1.0 + 0.3 * libm::sin(0.1 * i as f64));
        if at >= target {
            at = low + random.normal(0.3 * luck);
            target = (high + random.normal(luck)).min(0.99);
        }
        at + noise[i]
    };
    (0..many).map(&mut next).collect()
}

fn batch(random: &mut Random, many: usize, step: f64) -> Vec<f64> {
    let base = random.between(0.2, 0.5);
    let period = random.one_of(&[3_600.0, 4.0 * 3_600.0, DAY, DAY, 12.0 * 3_600.0]);
    let length = (random.between(0.15, 0.5) * period.min(4.0 * 3_600.0)).max(8.0 * step);
    let (height, phase, shape) =
        (random.between(0.6, 0.95), random.between(0.0, period), random.one_of(&[0.0, 1.0, 2.0]));
    let runs = (many as f64 * step / period) as usize + 2;
    let heights: Vec<f64> =
        (0..runs).map(|_| (base + (height - base) * (1.0 + random.normal(0.05))).min(0.98)).collect();
    let at = |i: usize| {
        let time = i as f64 * step + phase;
        let x = libm::fmod(time, period) / length;
        let part = match shape as u8 {
            _ if x >= 1.0 => 0.0,
            0 => (5.0 * x).min(1.0) * (5.0 * (1.0 - x)).min(1.0),
            1 => x,
            _ => 1.0 - (2.0 * x - 1.0).abs(),
        };
        base + part.max(0.0) * (heights[((time / period) as usize).min(runs - 1)] - base)
    };
    let level = (0..many).map(at).collect();
    finish(random, level, step, (0.002, 0.02), 0.0)
}

/// A rise that ends before the limit: in a fall, in a rounded top, or on a plateau.
fn turn_back(random: &mut Random, many: usize, step: f64) -> Vec<f64> {
    let base = random.between(0.2, 0.5);
    let at = (random.between(0.1, 0.6) * many as f64) as usize;
    let most = (many - at) as f64 * 0.7;
    let up = random.size(40.0, many as f64).clamp(30.0, most.max(30.0));
    let (top, down) = (random.between(0.6, 0.93), up * random.between(0.1, 1.5) + 1.0);
    let shape = random.one_of(&[0.0, 1.0, 2.0]) as u8;
    let risen = |i: usize| {
        let x = i.saturating_sub(at) as f64;
        let rise = (x / up).min(1.0);
        let rise = if shape == 1 { libm::sin(rise * TAU / 4.0) } else { rise };
        if shape < 2 && x > up { (1.0 - (x - up) / down).clamp(0.0, 1.0) } else { rise }
    };
    let level = (0..many).map(|i| base + (top - base) * risen(i)).collect();
    finish(random, level, step, (0.002, 0.015), 0.03)
}
