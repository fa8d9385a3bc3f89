//! Tries a detector with absurd windows: it must keep the contract, and a restart must change nothing.

use super::{Driver, Noise, without_ids};
use crate::{Detector, Kind, Verdict};

/// Windows after which all series close and others open.
const GENERATION: usize = 37;

/// Expects of a detector, for `cases` seeds with up to `most` windows each of one series of each of `kinds`: whatever the numbers, counts and gaps in
/// time, whichever series speak, close and come, it answers, its verdicts keep the contract, and a restart at any window changes
/// no later score and no later finding.
///
/// # Panics
/// If it does not; names the seed and the window.
pub fn expect_sound<D: Detector>(config: &str, kinds: &[Kind], most: usize, cases: u64) {
    for seed in 0..cases {
        let mut noise = Noise::new(seed);
        let windows = below(&mut noise, most) + 1;
        let restart = below(&mut noise, most);
        let open = || Driver::<D>::open(config).unwrap_or_else(|fault| panic!("{config} is refused: {fault}"));
        let (mut straight, mut restarted) = (open(), open());
        let (mut ids, mut others) = (generation(&mut straight, kinds, 0), generation(&mut restarted, kinds, 0));
        for window in 0..windows {
            if window == restart {
                let renamed = restarted.restart().unwrap_or_else(|fault| panic!("seed {seed}, restart: {fault}"));
                others.iter_mut().for_each(|id| *id = renamed[id]);
            }
            // A series that closes with a restart is never shown to the new model, which then keeps what it knows of it for longer.
            if window % GENERATION == GENERATION - 1 && window != restart {
                for (driver, ids) in [(&mut straight, &mut ids), (&mut restarted, &mut others)] {
                    ids.iter().for_each(|id| driver.close(*id));
                    *ids = generation(driver, kinds, window);
                }
            }
            let gap = if noise.uniform() < 0.1 { below(&mut noise, 10_000) as u64 } else { 0 };
            let cells: Vec<Option<(f64, u64)>> =
                kinds.iter().map(|_| (noise.uniform() < 0.7).then(|| (value(&mut noise), count(&mut noise)))).collect();
            let judge = |driver: &mut Driver<D>, ids: &[u32]| {
                driver.skip(gap);
                let spoke =
                    ids.iter().zip(&cells).filter_map(|(id, cell)| cell.map(|(value, count)| (*id, value, count)));
                let rows: Vec<_> = spoke.map(|(id, value, count)| (id, value, value, value, count)).collect();
                let window_of = driver.window_of(&rows);
                driver.feed(&window_of).unwrap_or_else(|fault| panic!("seed {seed}, window {window}: {fault}"))
            };
            let (before, after) = (judge(&mut straight, &ids), judge(&mut restarted, &others));
            assert!(
                bits(&before) == bits(&after) && without_ids(&before) == without_ids(&after),
                "seed {seed}: window {window} is judged {before:?}, but {after:?} after a restart before window {restart}"
            );
        }
    }
}

/// Opens one series of each kind, with the attributes that tell templates and severities apart.
fn generation<D: Detector>(driver: &mut Driver<D>, kinds: &[Kind], born: usize) -> Vec<u32> {
    let open = |(k, kind): (usize, &Kind)| {
        let name = match kind {
            Kind::LogTemplate => "log.template",
            Kind::LogSeverity => "log.records",
            _ => "measured",
        };
        let severity = ["info", "warn", "error", "unspecified"][k % 4];
        driver.series(name, *kind, &[("foreshock.template.id", &format!("{born} {k}")), ("log.severity", severity)])
    };
    kinds.iter().enumerate().map(open).collect()
}

fn below(noise: &mut Noise, end: usize) -> usize {
    (noise.uniform() * end as f64) as usize
}

/// Ordinary numbers, the ends of the range, and any finite bits.
fn value(noise: &mut Noise) -> f64 {
    match below(noise, 8) {
        0 => 0.0,
        1 => 1.0,
        2 => -0.0,
        3 => [f64::MAX, f64::MIN, f64::MIN_POSITIVE][below(noise, 3)],
        4 => {
            let bits = (noise.uniform() * 2.0_f64.powi(53)) as u64;
            let any = f64::from_bits(bits << 11 | bits >> 42);
            if any.is_finite() { any } else { 0.5 }
        }
        5 => 50.0 + noise.normal(),
        _ => 2e3 * (noise.uniform() - 0.5),
    }
}

fn count(noise: &mut Noise) -> u64 {
    match below(noise, 6) {
        0 => u64::MAX,
        1 => 1,
        _ => 1 + below(noise, 1_000) as u64,
    }
}

fn bits(verdict: &Verdict) -> Vec<u64> {
    verdict.scores.iter().map(|score| score.to_bits()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{About, Fault, Setup, State, Window};

    /// Scores each row by how many windows it saw; forgets that on a restart if told to.
    struct Counter {
        seen: u32,
    }

    impl Detector for Counter {
        type Config = bool;

        fn about() -> About {
            unreachable!("nobody asks")
        }

        fn open(setup: Setup<bool>, saved: Option<State>) -> Result<Self, Fault> {
            let seen = saved.map_or(Ok(0), |state| state.decode(1))?;
            Ok(Self { seen: if setup.config { 0 } else { seen } })
        }

        fn observe(&mut self, window: &Window) -> Result<Verdict, Fault> {
            self.seen += 1;
            Ok(Verdict { scores: vec![f64::from(self.seen % 16); window.len()], findings: vec![] })
        }

        fn snapshot(&self) -> Result<State, Fault> {
            State::encode(1, &self.seen)
        }
    }

    /// A detector that keeps what it knows passes.
    #[test]
    fn one_that_remembers_is_sound() {
        expect_sound::<Counter>("false", &[Kind::Gauge, Kind::LogTemplate], 80, 8);
    }

    /// One that forgets is caught, with the window named.
    #[test]
    #[should_panic(expected = "after a restart before window")]
    fn one_that_forgets_is_caught() {
        expect_sound::<Counter>("true", &[Kind::Gauge, Kind::LogTemplate], 80, 8);
    }
}
