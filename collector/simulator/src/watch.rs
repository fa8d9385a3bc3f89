//! Static thresholds, as people set them by hand, for comparison.

use crate::{
    model::{SERVICES, ServiceId},
    scenario::Crossing,
};
use std::time::Duration;

/// Fewer requests in a minute than this say nothing.
const ENOUGH: usize = 20;

#[derive(Debug, Default)]
struct Minute {
    seconds: Vec<f64>,
    errors: usize,
}

/// Watches every service, minute by minute, and remembers the first crossing.
#[derive(Debug)]
pub(crate) struct Watch {
    minutes: Vec<Minute>,
    first: Option<Crossing>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self { minutes: SERVICES.iter().map(|_| Minute::default()).collect(), first: None }
    }

    pub(crate) fn request(&mut self, service: ServiceId, seconds: f64, failed: bool) {
        let minute = &mut self.minutes[service];
        minute.seconds.push(seconds);
        minute.errors += usize::from(failed);
    }

    /// Ends a minute, `after` the start of the simulation. `disk` is the fullest volume and whose it is.
    pub(crate) fn end_minute(&mut self, after: Duration, disk: (ServiceId, f64)) {
        for (service, minute) in self.minutes.iter_mut().enumerate() {
            let mut crossed = |rule, observed| {
                self.first.get_or_insert(Crossing { after, service: SERVICES[service].name, rule, observed });
            };
            let requests = minute.seconds.len();
            if requests >= ENOUGH {
                minute.seconds.sort_by(f64::total_cmp);
                let p95 = minute.seconds[(requests * 95).div_ceil(100) - 1];
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
