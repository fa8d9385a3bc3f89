//! The last self-check of each service, for the console and as metrics.

use foreshock_console::selfcheck::Check;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Services whose last check is kept; the one checked longest ago goes first.
const MOST_SERVICES: usize = 1_000;

/// The last checks.
#[derive(Debug, Default)]
pub struct Board {
    /// By service, with a number that rises with each check. A std mutex: nothing waits while it is held.
    checks: Mutex<BTreeMap<String, (u64, Check)>>,
    made: AtomicU64,
}

impl Board {
    fn checks(&self) -> MutexGuard<'_, BTreeMap<String, (u64, Check)>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a check.
    pub fn put(&self, check: Check) {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let mut checks = self.checks();
        checks.insert(check.service.clone(), (number, check));
        if checks.len() > MOST_SERVICES
            && let Some(oldest) = checks.iter().min_by_key(|(_, (number, _))| *number).map(|(name, _)| name.clone())
        {
            checks.remove(&oldest);
        }
    }

    /// The last check of each service, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Check> {
        self.checks().values().map(|(_, check)| check.clone()).collect()
    }

    /// Checks made since the start.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// By detector and kind of anomaly, over the last check of each service: the share that was seen, 0 to 1. Under the name `foreshock` what
    /// all together would have opened an anomaly for.
    #[must_use]
    pub fn ratios(&self) -> Vec<(String, String, f64)> {
        let mut sums: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
        for (_, check) in self.checks().values() {
            let one = check.detectors.iter().map(|detector| (detector.detector.as_str(), &detector.trials));
            for (name, trials) in one.chain([("foreshock", &check.anomalies)]) {
                for trial in trials {
                    let sum = sums.entry((name.to_owned(), trial.kind.clone())).or_default();
                    sum.0 += trial.detected;
                    sum.1 += trial.tried;
                }
            }
        }
        let ratio = |detected: u64, tried: u64| detected as f64 / tried.max(1) as f64;
        sums.into_iter().map(|((name, kind), (detected, tried))| (name, kind, ratio(detected, tried))).collect()
    }

    /// By detector and reason, over the last check of each service: series on which it is blind. Every detector and reason is named, so that
    /// a number goes back to 0 when it is over.
    #[must_use]
    pub fn blind(&self) -> Vec<(String, &'static str, u64)> {
        let mut sums: BTreeMap<(String, &'static str), u64> = BTreeMap::new();
        for (_, check) in self.checks().values() {
            for detector in &check.detectors {
                for reason in ["warming_up", "flat", "broken"] {
                    let found = detector.blind.iter().find(|blind| blind.reason == reason);
                    *sums.entry((detector.detector.clone(), reason)).or_default() +=
                        found.map_or(0, |blind| blind.series);
                }
            }
        }
        sums.into_iter().map(|((name, reason), series)| (name, reason, series)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foreshock_console::selfcheck::{Blind, DetectorCheck, Trial};

    fn check(service: &str, detected: u64, blind: u64) -> Check {
        let trial = Trial { kind: "spike".to_owned(), tried: 4, detected, delay_seconds: Some(20.0) };
        let blind = (blind > 0).then(|| Blind { reason: "flat".to_owned(), series: blind });
        Check {
            service: service.to_owned(),
            checked: "2026-09-21T14:03:20Z".to_owned(),
            window_seconds: 10.0,
            series: Vec::new(),
            detectors: vec![DetectorCheck {
                detector: "baseline".to_owned(),
                trials: vec![trial.clone()],
                blind: blind.into_iter().collect(),
            }],
            anomalies: vec![trial],
        }
    }

    /// The metrics are about the last check of each service: a check that is better takes back what the one before said.
    #[test]
    fn the_last_check_of_each_service_counts() {
        let board = Board::default();
        board.put(check("a", 4, 0));
        board.put(check("b", 0, 3));
        let named = |name: &str, ratio| (name.to_owned(), "spike".to_owned(), ratio);
        assert_eq!(board.ratios(), [named("baseline", 0.5), named("foreshock", 0.5)]);
        let flat =
            |board: &Board| board.blind().into_iter().find(|(_, reason, _)| *reason == "flat").map(|blind| blind.2);
        assert_eq!(flat(&board), Some(3));
        board.put(check("b", 4, 0));
        assert_eq!((flat(&board), board.ratios()[0].2, board.made()), (Some(0), 1.0, 3));
    }

    /// Services come and go for ever; the board does not grow for ever.
    #[test]
    fn the_board_is_bounded() {
        let board = Board::default();
        for number in 0..MOST_SERVICES + 10 {
            board.put(check(&format!("service-{number}"), 1, 0));
        }
        let all = board.all();
        assert_eq!(all.len(), MOST_SERVICES);
        assert!(!all.iter().any(|check| check.service == "service-9"));
    }
}
