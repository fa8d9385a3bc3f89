//! Static thresholds, as people set them by hand, for comparison.

use crate::{model::ServiceId, scenario::Crossing, services::SERVICES};
use std::time::Duration;

/// Fewer requests in a minute than this say nothing.
const ENOUGH: usize = 20;

/// More durations than this are not kept for a percentile.
const MOST_DURATIONS: usize = 1 << 16;

#[derive(Debug, Default)]
struct Minute {
    requests: usize,
    /// Durations of the first [`MOST_DURATIONS`] of them.
    seconds: Vec<f64>,
    errors: usize,
}

impl Minute {
    fn add(&mut self, seconds: f64, failed: bool) {
        self.requests += 1;
        self.errors += usize::from(failed);
        if self.seconds.len() < MOST_DURATIONS {
            self.seconds.push(seconds);
        }
    }

    fn p95(&mut self) -> Option<f64> {
        self.seconds.sort_by(f64::total_cmp);
        let rank = (self.seconds.len() * 95).div_ceil(100);
        self.seconds.get(rank.saturating_sub(1)).copied()
    }
}

/// What a service did in one interval, over all of its requests, sampled or not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Health {
    /// Requests that were answered and messages that were handled, per second.
    pub requests_per_second: f64,
    /// Share of them that failed, 0 to 1.
    pub error_share: f64,
    /// 95th percentile of their duration in seconds; 0 without requests.
    pub p95_seconds: f64,
}

/// Watches every service, minute by minute, and remembers the first crossing.
#[derive(Debug)]
pub(crate) struct Watch {
    minutes: Vec<Minute>,
    /// What [`Watch::take_health`] has not taken yet.
    fresh: Vec<Minute>,
    first: Option<Crossing>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        let empty = || SERVICES.iter().map(|_| Minute::default()).collect();
        Self { minutes: empty(), fresh: empty(), first: None }
    }

    pub(crate) fn request(&mut self, service: ServiceId, seconds: f64, failed: bool) {
        self.minutes[service].add(seconds, failed);
        self.fresh[service].add(seconds, failed);
    }

    /// A message that was taken; no threshold is set for those.
    pub(crate) fn message(&mut self, service: ServiceId, seconds: f64, failed: bool) {
        self.fresh[service].add(seconds, failed);
    }

    /// What each service did since the last call, which was `seconds` ago.
    pub(crate) fn take_health(&mut self, seconds: f64) -> Vec<Health> {
        let taken = self.fresh.iter_mut().map(std::mem::take);
        taken
            .map(|mut minute| Health {
                requests_per_second: minute.requests as f64 / seconds,
                error_share: minute.errors as f64 / minute.requests.max(1) as f64,
                p95_seconds: minute.p95().unwrap_or(0.0),
            })
            .collect()
    }

    /// Ends a minute, `after` the start of the simulation. `disk` is the fullest volume and whose it is.
    pub(crate) fn end_minute(&mut self, after: Duration, disk: (ServiceId, f64)) {
        for (service, minute) in self.minutes.iter_mut().enumerate() {
            let mut crossed = |rule, observed| {
                self.first.get_or_insert(Crossing { after, service: SERVICES[service].name, rule, observed });
            };
            let requests = minute.requests;
            if let Some(p95) = minute.p95().filter(|_| requests >= ENOUGH) {
                let share = minute.errors as f64 / requests as f64;
                if p95 > 0.5 {
                    crossed("p95 latency above 500 ms", p95);
                }
                if share > 0.05 {
                    crossed("errors above 5 %", share);
                }
            }
            if service == disk.0 && disk.1 > 0.9 {
                crossed("disk above 90 %", disk.1);
            }
            *minute = Minute::default();
        }
    }

    pub(crate) fn first(&self) -> Option<&Crossing> {
        self.first.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The comparison is only fair if the thresholds speak when they say: at 95th percentiles above 500 ms, error shares
    /// above 5 %, and never for a handful of requests.
    #[test]
    fn thresholds_speak_at_their_limits() {
        let mut watch = Watch::new();
        let disk = (6, 0.5);
        for request in 0..100 {
            watch.request(1, if request < 5 { 0.6 } else { 0.2 }, request < 5);
        }
        watch.request(2, 9.0, true);
        watch.end_minute(Duration::from_secs(60), disk);
        assert_eq!(watch.first(), None);
        for request in 0..100 {
            watch.request(1, if request < 6 { 0.6 } else { 0.2 }, false);
        }
        watch.end_minute(Duration::from_secs(120), disk);
        let first = watch.first().cloned().unwrap();
        assert_eq!((first.after.as_secs(), first.service, first.observed), (120, "checkout", 0.6));
        watch.end_minute(Duration::from_secs(180), (6, 0.95));
        assert_eq!(watch.first(), Some(&first));
    }
}
