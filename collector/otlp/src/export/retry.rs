//! How long to wait before the next attempt, and when to give up.

use std::time::Duration;

use tokio::time::Instant;

use super::settings::RetrySettings;

/// An upstream's wish is believed up to this; nobody means more.
const LONGEST_WISH: Duration = Duration::from_secs(600);

/// The waits of one request: exponential, with jitter, until the time is up.
#[derive(Debug)]
pub(super) struct Backoff {
    settings: RetrySettings,
    first_attempt: Instant,
    interval: Duration,
    random: u64,
}

impl Backoff {
    /// For a request whose first attempt is made now. Equal seeds give equal jitter.
    pub(super) fn new(settings: RetrySettings, now: Instant, seed: u64) -> Self {
        Self { settings, first_attempt: now, interval: settings.initial_interval, random: seed }
    }

    /// How long to wait after an attempt that failed at `now`. At least `wish`, which is what the upstream asked for. `None` to
    /// give up: retries are off, or the next attempt would be later than `max_elapsed_time` after the first.
    pub(super) fn next(&mut self, now: Instant, wish: Option<Duration>) -> Option<Duration> {
        if !self.settings.enabled {
            return None;
        }
        let wait = self.jittered().max(wish.unwrap_or_default().min(LONGEST_WISH));
        self.interval = self.scaled(self.settings.multiplier.max(1.0)).min(self.settings.max_interval);
        let limit = self.settings.max_elapsed_time;
        let elapsed = now.saturating_duration_since(self.first_attempt);
        (limit.is_zero() || elapsed.saturating_add(wait) <= limit).then_some(wait)
    }

    /// The interval times an even draw from `1 - randomization` to `1 + randomization`.
    fn jittered(&mut self) -> Duration {
        self.random = self.random.wrapping_add(1);
        let draw = xxhash_rust::xxh3::xxh3_64(&self.random.to_le_bytes());
        // 53 bits make an even draw from [0, 1).
        let unit = (draw >> 11) as f64 / (1_u64 << 53) as f64;
        let spread = self.settings.randomization.clamp(0.0, 1.0);
        self.scaled(1.0 + spread * (2.0 * unit - 1.0))
    }

    /// The interval times `factor`, whatever the configuration made of it.
    fn scaled(&self, factor: f64) -> Duration {
        Duration::try_from_secs_f64(self.interval.as_secs_f64() * factor).unwrap_or(self.settings.max_interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> RetrySettings {
        RetrySettings { randomization: 0.0, ..RetrySettings::default() }
    }

    fn seconds(wait: Option<Duration>) -> Option<f64> {
        wait.map(|wait| wait.as_secs_f64())
    }

    /// The documented defaults, worked out by hand: 5 s times 1.5 each, at most 30 s.
    #[test]
    fn intervals_grow_to_the_limit() {
        let now = Instant::now();
        let mut backoff = Backoff::new(settings(), now, 0);
        for expected in [5.0, 7.5, 11.25, 16.875, 25.3125, 30.0, 30.0] {
            assert_eq!(seconds(backoff.next(now, None)), Some(expected));
        }
    }

    /// The upstream's wish counts where it is longer, and does not where it is shorter.
    #[test]
    fn wish_is_a_lower_bound() {
        let now = Instant::now();
        let mut backoff = Backoff::new(settings(), now, 0);
        assert_eq!(seconds(backoff.next(now, Some(Duration::from_secs(60)))), Some(60.0));
        assert_eq!(seconds(backoff.next(now, Some(Duration::from_secs(1)))), Some(7.5));
        let wild = Some(Duration::MAX);
        let endless = RetrySettings { max_elapsed_time: Duration::ZERO, ..settings() };
        assert_eq!(seconds(Backoff::new(endless, now, 0).next(now, wild)), Some(600.0));
    }

    /// A request is given up when its time is over, at once when retries are off, and never when the limit is zero.
    #[test]
    fn gives_up() {
        let start = Instant::now();
        let late = start + Duration::from_secs(296);
        assert_eq!(Backoff::new(settings(), start, 0).next(late, None), None);
        let off = RetrySettings { enabled: false, ..settings() };
        assert_eq!(Backoff::new(off, start, 0).next(start, None), None);
        let endless = RetrySettings { max_elapsed_time: Duration::ZERO, ..settings() };
        assert_eq!(seconds(Backoff::new(endless, start, 0).next(late, None)), Some(5.0));
    }

    /// Jitter stays in its band, uses it, and differs between requests.
    #[test]
    fn jitter_spreads() {
        let now = Instant::now();
        let draw = |seed| {
            let settings = RetrySettings::default();
            Backoff::new(settings, now, seed).next(now, None).unwrap().as_secs_f64()
        };
        let draws: Vec<f64> = (0..1000).map(draw).collect();
        assert!(draws.iter().all(|wait| (2.5..=7.5).contains(wait)));
        assert!(draws.iter().any(|wait| *wait < 3.0) && draws.iter().any(|wait| *wait > 7.0));
        let mean = draws.iter().sum::<f64>() / 1000.0;
        assert!((4.8..5.2).contains(&mean), "{mean}");
    }

    /// Numbers that nobody should configure do not make it panic.
    #[test]
    fn absurd_settings() {
        let now = Instant::now();
        for (multiplier, randomization) in [(f64::NAN, f64::NAN), (f64::INFINITY, 9.0), (-1.0, -1.0)] {
            let absurd = RetrySettings {
                multiplier,
                randomization,
                initial_interval: Duration::MAX,
                max_elapsed_time: Duration::ZERO,
                ..settings()
            };
            let mut backoff = Backoff::new(absurd, now, 0);
            for _ in 0..5 {
                assert!(backoff.next(now, None).is_some());
            }
        }
    }
}
