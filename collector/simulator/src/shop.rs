//! The shop at work: visitors come, a second passes, services send what they saw.

use crate::{
    calls::Queue,
    export::{self, Export},
    instance::{Instance, NANOS, Record},
    lines::Words,
    metrics,
    model::Entry,
    noise::{Dice, Drift},
    scenario::{Crossing, Effects, Plan, Scenario},
    seen::{LogLine, Outbox, millis},
    services::{self, SERVICES, SHIPPING},
    walk::World,
    watch::{Health, Watch},
};
use std::time::Duration;

/// Metrics are sent every so many seconds, logs and spans twice as often.
const METRICS_EVERY: u64 = 10;
const REST_EVERY: u64 = 5;

/// How long a process that ran out of memory takes to come back.
const RESTART_SECONDS: u64 = 18;

/// A small shop that emits OTLP.
///
/// The same scenario, plan, seed and start give the same bytes, in whatever steps the time is moved on.
#[derive(Debug)]
pub struct Shop {
    scenario: Scenario,
    plan: Plan,
    start: u64,
    /// Whole seconds simulated so far.
    second: u64,
    /// Second at which health was last taken.
    health_taken: u64,
    /// Time asked for but not simulated yet, less than a second.
    owed: Duration,
    load: Drift,
    serials: u64,
    world: World,
    watch: Watch,
}

impl Shop {
    /// A shop that opens at `start_unix_nanos` with the scenario's ordinary plan.
    #[must_use]
    pub fn new(scenario: Scenario, seed: u64, start_unix_nanos: u64) -> Self {
        Self::with_plan(scenario, seed, start_unix_nanos, scenario.plan())
    }

    /// A shop with a plan of one's own. `start_unix_nanos` is rounded down to a whole second.
    #[must_use]
    pub fn with_plan(scenario: Scenario, seed: u64, start_unix_nanos: u64, plan: Plan) -> Self {
        let mut dice = Dice::new(seed);
        let start = start_unix_nanos - start_unix_nanos % NANOS;
        let mut serials = 0;
        let slots = SERVICES
            .iter()
            .enumerate()
            .map(|(service, about)| {
                let instance = |slot| {
                    serials += 1;
                    // The processes have been running for hours when the simulation starts.
                    let started = start.saturating_sub((3_600.0 * dice.between(2.0, 60.0)) as u64 * NANOS);
                    Instance::new(service, slot, about.version, serials, started, &mut dice)
                };
                (0..about.instances).map(instance).collect()
            })
            .collect();
        let world = World {
            dice,
            effects: Effects::default(),
            slots,
            outboxes: SERVICES.iter().map(|_| Outbox::default()).collect(),
            queues: SERVICES.iter().map(|_| Queue::default()).collect(),
        };
        Self {
            scenario,
            plan,
            start,
            second: 0,
            health_taken: 0,
            owed: Duration::ZERO,
            load: Drift::new(0.05, 150.0),
            serials,
            world,
            watch: Watch::new(),
        }
    }

    /// Names of all services, in the order of the call graph from the visitors inwards.
    #[must_use]
    pub fn services() -> Vec<&'static str> {
        SERVICES.iter().map(|service| service.name).collect()
    }

    /// What happens here.
    #[must_use]
    pub fn scenario(&self) -> Scenario {
        self.scenario
    }

    /// How long the phases last.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Simulated time, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.start + self.second * NANOS
    }

    /// Simulated time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_secs(self.second)
    }

    /// The first time that a static threshold spoke so far; see [`Scenario::threshold_crossing`].
    #[must_use]
    pub fn threshold_crossing(&self) -> Option<&Crossing> {
        self.watch.first()
    }

    /// What each service did since the last call, in the order of [`Shop::services`]. It comes from the requests
    /// themselves, not from what was sent about them. `None` if no time has passed.
    pub fn take_health(&mut self) -> Option<Vec<Health>> {
        let seconds = self.second - self.health_taken;
        self.health_taken = self.second;
        (seconds > 0).then(|| self.watch.take_health(seconds as f64))
    }

    /// Moves simulated time on by `by`, and answers what was sent meanwhile, in order of time. Parts of a second are
    /// kept for the next step.
    pub fn step(&mut self, by: Duration) -> Vec<Export> {
        let due = self.owed + by;
        self.owed = Duration::from_nanos(u64::from(due.subsec_nanos()));
        let mut exports = Vec::new();
        for _ in 0..due.as_secs() {
            self.second(&mut exports);
        }
        exports
    }

    fn second(&mut self, exports: &mut Vec<Export>) {
        let now = self.now();
        self.world.effects = self.scenario.effects(&self.plan, self.second);
        self.roll_out(now);
        self.tick_instances(now);
        self.visits(now);
        self.background(now);
        self.second += 1;
        let end = self.now();
        self.settle(end);
        for service in 0..SERVICES.len() {
            self.send(service, end, exports);
        }
        if self.second.is_multiple_of(60) {
            let shares = self.world.slots[SHIPPING].iter().map(|instance| instance.disk_share);
            let fullest = shares.fold(0.0, f64::max);
            self.watch.end_minute(self.elapsed(), (SHIPPING, fullest));
        }
    }

    fn roll_out(&mut self, now: u64) {
        for rollout in self.scenario.rollouts(&self.plan, self.second) {
            self.replace(rollout.service, rollout.slot, rollout.version, now, 0);
        }
    }

    /// A new process takes a slot and answers from `down_until` on.
    fn replace(&mut self, service: usize, slot: usize, version: &'static str, now: u64, down_until: u64) {
        self.serials += 1;
        let started = now.max(down_until);
        let old = &self.world.slots[service][slot];
        let (pace, disk_share) = (old.pace, old.disk_share);
        let mut fresh = Instance::new(service, slot, version, self.serials, started, &mut self.world.dice);
        fresh.pace = pace;
        fresh.disk_share = disk_share;
        fresh.down_until = down_until;
        self.world.slots[service][slot] = fresh;
        let name = SERVICES[service].name;
        let words = Words { peer: name, route: version, ..Words::default() };
        for (at, template) in
            [(started, "starting {peer} {route}"), (started + millis(900.0), "{peer} is ready after {ms} ms")]
        {
            self.world.log_line(
                service,
                slot,
                LogLine { at, severity: 9, template, words: &words, trouble: None },
                None,
            );
        }
    }

    fn tick_instances(&mut self, now: u64) {
        let Effects { recommendation_leak_mib, shipping_disk_share, .. } = self.world.effects;
        for service in 0..SERVICES.len() {
            let leak = if service == services::RECOMMENDATION { recommendation_leak_mib } else { 0.0 };
            let disk = if service == SHIPPING { shipping_disk_share } else { 0.0 };
            for slot in 0..self.world.slots[service].len() {
                let World { slots, dice, .. } = &mut self.world;
                let instance = &mut slots[service][slot];
                if instance.tick(service, leak, disk, dice) {
                    let version = instance.version;
                    self.replace(service, slot, version, now, now + RESTART_SECONDS * NANOS);
                }
            }
        }
    }

    /// Visitors per second now: the course of the day and of the week, slow noise, and what the scenario adds.
    fn visitors(&mut self, now: u64) -> f64 {
        let seconds = (now / NANOS) as f64;
        let day = (seconds / 86_400.0 - 0.8).fract() * std::f64::consts::TAU;
        // 1970-01-01 was a Thursday, so days 2 and 3 of each week since are Saturday and Sunday.
        let weekend = matches!((now / NANOS / 86_400) % 7, 2 | 3);
        let noise = self.load.step(&mut self.world.dice);
        let course = 1.0 + 0.15 * day.cos();
        let week = if weekend { 1.08 } else { 1.0 };
        services::VISITORS_PER_SECOND * course * week * (1.0 + noise) * self.world.effects.traffic
    }

    fn visits(&mut self, now: u64) {
        let mean = self.visitors(now);
        let mut arrivals = Vec::new();
        for _ in 0..self.world.dice.count(mean) {
            let mut lot = self.world.dice.unit();
            let visit = services::VISITS.iter().find(|(_, share)| {
                lot -= share;
                lot < 0.0
            });
            arrivals.push((self.world.dice.unit(), visit.map_or((services::FRONTEND, 0), |visit| visit.0)));
        }
        for _ in 0..self.world.dice.count(services::ADMINS_PER_SECOND) {
            arrivals.push((self.world.dice.unit(), (services::ADMIN, 0)));
        }
        // A report goes through its pages in half a minute.
        let into_report = (self.second + 240) % services::REPORT_EVERY_SECONDS;
        if into_report < 30 {
            for _ in 0..self.world.dice.count(services::REPORT_REQUESTS as f64 / 30.0) {
                arrivals.push((self.world.dice.unit(), (services::REPORTING, 0)));
            }
        }
        arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (offset, operation) in arrivals {
            let context = self.world.root();
            self.world.serve(operation, now + millis(offset * 1_000.0), context);
        }
    }

    fn background(&mut self, now: u64) {
        for (service, about) in SERVICES.iter().enumerate() {
            for slot in 0..about.instances {
                for background in about.background {
                    if self.world.dice.chance(background.per_minute / 60.0) {
                        let at = now + millis(self.world.dice.unit() * 1_000.0);
                        let (severity, template) = (background.severity, background.line);
                        let line = LogLine { at, severity, template, words: &Words::default(), trouble: None };
                        self.world.log_line(service, slot, line, None);
                    }
                }
            }
        }
    }

    /// Counts what has finished by `now`.
    fn settle(&mut self, now: u64) {
        let World { outboxes, slots, .. } = &mut self.world;
        for (service, outbox) in outboxes.iter_mut().enumerate() {
            for (_, slot, serial, record) in outbox.records.extract_if(.., |record| record.0 <= now) {
                match record {
                    Record::Server { status, seconds, .. } => self.watch.request(service, seconds, status >= 500),
                    Record::Consumed { error, seconds, .. } => self.watch.message(service, seconds, error.is_some()),
                    _ => {}
                }
                let instance = &mut slots[service][slot];
                // What a killed process was about to count is lost with it.
                if instance.serial == serial {
                    instance.apply(service, &record);
                }
            }
        }
    }

    /// What `service` sends at `now`. Services send at different seconds, as real ones do.
    fn send(&mut self, service: usize, now: u64, exports: &mut Vec<Export>) {
        let phase = self.second + 3 * service as u64;
        let mut push = |request| {
            exports.push(Export { at: now, service: SERVICES[service].name, request });
        };
        if phase.is_multiple_of(REST_EVERY) {
            let outbox = &mut self.world.outboxes[service];
            if let Some(request) = export::spans(service, &mut outbox.spans, now) {
                push(request);
            }
            if let Some(request) = export::logs(service, &mut outbox.logs, now) {
                push(request);
            }
        }
        if phase.is_multiple_of(METRICS_EVERY) {
            let topic = SERVICES[service].operations.iter().find_map(|operation| match operation.entry {
                Entry::Consume { topic } => Some(topic),
                Entry::Http { .. } | Entry::Job { .. } => None,
            });
            let lag = topic.map(|topic| (topic, self.world.queues[service].depth(now)));
            push(metrics::metrics(service, &self.world.slots[service], now, lag));
        }
    }
}
