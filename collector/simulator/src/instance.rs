//! One running instance of a service: its processor, memory, disk, connections, and what it has counted so far.

use crate::{
    measure::Distribution,
    model::{Language, ServiceId},
    noise::{Dice, Drift},
    services::{SERVICES, SHIPPING, SHIPPING_DISK_SHARE},
    trouble::Trouble,
};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
};
use std::{collections::BTreeMap, sync::Arc};

pub(crate) const NANOS: u64 = 1_000_000_000;

/// Size of the volume of `shipping`, in bytes.
pub(crate) const DISK_BYTES: f64 = 20.0 * 1024.0 * 1024.0 * 1024.0;

/// What a finished request leaves in the counters of its instance.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Server {
        operation: usize,
        status: u16,
        seconds: f64,
    },
    /// `error` is the class of what was thrown.
    Consumed {
        operation: usize,
        error: Option<&'static str>,
        seconds: f64,
    },
    Sent {
        topic: &'static str,
    },
    External {
        peer: &'static str,
        status: u16,
        trouble: Option<Trouble>,
        seconds: f64,
    },
    Query {
        verb: &'static str,
        table: &'static str,
        seconds: f64,
    },
    PoolWait {
        seconds: f64,
    },
    PoolTimeout,
}

#[derive(Debug)]
pub(crate) struct Instance {
    /// Unique over the whole run; a replaced process is another one.
    pub(crate) serial: u64,
    pub(crate) version: &'static str,
    pub(crate) resource: Arc<Resource>,
    /// Start of the process: the start of all that it counts.
    pub(crate) started: u64,
    /// Nobody answers before this time.
    pub(crate) down_until: u64,
    /// This instance against its neighbours: a little faster or slower.
    pub(crate) pace: f64,
    /// Duration against the ordinary, from noise.
    pub(crate) wobble: Drift,
    pub(crate) cpu_used_ms: f64,
    /// Share of its cores in use, smoothed over some seconds.
    pub(crate) utilization: f64,
    pub(crate) leaked_mib: f64,
    memory_noise: Drift,
    /// Phase of the garbage collector's saw tooth, 0 to 1.
    pub(crate) heap_phase: f64,
    pub(crate) gc: Distribution,
    pub(crate) disk_share: f64,
    /// When each connection of the pool is free again.
    pub(crate) connections: Vec<u64>,
    pub(crate) server: BTreeMap<(usize, u16), Distribution>,
    pub(crate) consumed: BTreeMap<(usize, Option<&'static str>), Distribution>,
    /// By peer and `error.type`, with its status.
    pub(crate) external: BTreeMap<(&'static str, u16, Option<String>), Distribution>,
    pub(crate) queries: BTreeMap<(&'static str, &'static str), Distribution>,
    pub(crate) pool_wait: Distribution,
    pub(crate) pool_timeouts: u64,
    pub(crate) sent: BTreeMap<&'static str, u64>,
    pub(crate) counted: BTreeMap<&'static str, u64>,
}

impl Instance {
    pub(crate) fn new(
        service: ServiceId,
        slot: usize,
        version: &'static str,
        serial: u64,
        started: u64,
        dice: &mut Dice,
    ) -> Self {
        let about = &SERVICES[service];
        // The pods of one version belong to one replica set, whose hash is the same for all of them.
        let hash =
            Dice::new((service as u64) << 32 ^ version.bytes().fold(7, |hash, byte| hash * 31 + u64::from(byte)))
                .suffix(9);
        let pod = format!("{}-{hash}-{}", about.name, dice.suffix(5));
        let (language, sdk) = about.language.sdk();
        let (runtime, runtime_version) = about.language.runtime();
        let resource = Resource {
            attributes: vec![
                text("service.name", about.name),
                text("service.namespace", "shop"),
                text("service.version", version),
                text("service.instance.id", &dice.uuid()),
                text("deployment.environment.name", "production"),
                text("k8s.namespace.name", "shop"),
                text("k8s.pod.name", &pod),
                text("k8s.deployment.name", about.name),
                text("k8s.container.name", about.name),
                text("host.name", &format!("node-{}", 1 + (service + slot) % 4)),
                text("telemetry.sdk.name", "opentelemetry"),
                text("telemetry.sdk.language", language),
                text("telemetry.sdk.version", sdk),
                text("process.runtime.name", runtime),
                text("process.runtime.version", runtime_version),
            ],
            ..Resource::default()
        };
        Self {
            serial,
            version,
            resource: Arc::new(resource),
            started,
            down_until: 0,
            pace: dice.skewed(1.0, 0.04),
            wobble: Drift::new(0.04, 180.0),
            cpu_used_ms: 0.0,
            utilization: 0.15,
            leaked_mib: 0.0,
            memory_noise: Drift::new(0.012, 240.0),
            heap_phase: dice.unit(),
            gc: Distribution::default(),
            disk_share: SHIPPING_DISK_SHARE * dice.between(0.97, 1.0),
            connections: vec![0; about.pool.as_ref().map_or(0, |pool| pool.size)],
            server: BTreeMap::new(),
            consumed: BTreeMap::new(),
            external: BTreeMap::new(),
            queries: BTreeMap::new(),
            pool_wait: Distribution::default(),
            pool_timeouts: 0,
            sent: BTreeMap::new(),
            counted: BTreeMap::new(),
        }
    }

    /// Moves on by one second. Answers whether the process ran out of memory.
    pub(crate) fn tick(&mut self, service: ServiceId, leak_mib: f64, disk_share: f64, dice: &mut Dice) -> bool {
        let about = &SERVICES[service];
        let used = self.cpu_used_ms / 1_000.0 / about.cores + 0.015 * dice.between(0.7, 1.3);
        self.cpu_used_ms = 0.0;
        self.utilization += 0.2 * (used - self.utilization);
        self.wobble.step(dice);
        self.memory_noise.step(dice);
        self.leaked_mib += leak_mib * dice.between(0.7, 1.3);
        if about.language == Language::Java {
            // The fuller the heap, the sooner the next collection, and the longer it takes.
            let pressure = self.heap_pressure(service);
            self.heap_phase += (0.012 + 0.05 * self.utilization) * (1.0 + 6.0 * pressure) * dice.between(0.6, 1.4);
            if self.heap_phase >= 1.0 {
                self.heap_phase -= 1.0;
                self.gc.record(dice.skewed(0.012 + 0.35 * pressure, 0.3));
            }
        }
        if service == SHIPPING {
            // Grows with every label. Whatever is deleted, labels and journals stay.
            let share = self.disk_share + disk_share * dice.between(0.8, 1.2) + 2e-6 * dice.unit();
            self.disk_share = if disk_share < 0.0 { share.max(SHIPPING_DISK_SHARE * 0.98) } else { share.min(1.0) };
        }
        self.memory_mib(service) >= about.memory_limit_mib
    }

    /// How hard the garbage collector has to work: 0 up to 80 % of the limit, 1 at the limit.
    pub(crate) fn heap_pressure(&self, service: ServiceId) -> f64 {
        let share = self.memory_mib(service) / SERVICES[service].memory_limit_mib;
        ((share - 0.8) / 0.2).clamp(0.0, 1.0)
    }

    pub(crate) fn memory_mib(&self, service: ServiceId) -> f64 {
        SERVICES[service].memory_mib * (1.0 + self.memory_noise.value()) + self.leaked_mib
    }

    /// What the duration of own work is multiplied by: pace, noise, a busy processor, a collector at work.
    pub(crate) fn slowness(&self, service: ServiceId) -> f64 {
        // Waiting time of a single server under load (M/M/1: 1 / (1 - utilisation)), against that at 20 %.
        let queueing = 0.8 / (1.0 - self.utilization.clamp(0.0, 0.97));
        let pressure = self.heap_pressure(service);
        self.pace * (1.0 + self.wobble.value()).max(0.5) * queueing.max(0.8) * (1.0 + 30.0 * pressure * pressure)
    }

    /// Connections in use at `now`.
    pub(crate) fn connections_used(&self, now: u64) -> usize {
        self.connections.iter().filter(|free_at| **free_at > now).count()
    }

    pub(crate) fn apply(&mut self, service: ServiceId, record: &Record) {
        match *record {
            Record::Server { operation, status, seconds } => {
                self.server.entry((operation, status)).or_default().record(seconds);
                if status < 500 {
                    self.count(service, operation);
                }
            }
            Record::Consumed { operation, error, seconds } => {
                self.consumed.entry((operation, error)).or_default().record(seconds);
                if error.is_none() {
                    self.count(service, operation);
                }
            }
            Record::Sent { topic } => *self.sent.entry(topic).or_default() += 1,
            Record::External { peer, status, trouble, seconds } => {
                let error = trouble.map(Trouble::seen_by_client);
                self.external.entry((peer, status, error)).or_default().record(seconds);
            }
            Record::Query { verb, table, seconds } => self.queries.entry((verb, table)).or_default().record(seconds),
            Record::PoolWait { seconds } => self.pool_wait.record(seconds),
            Record::PoolTimeout => self.pool_timeouts += 1,
        }
    }

    fn count(&mut self, service: ServiceId, operation: usize) {
        if let Some(name) = SERVICES[service].operations[operation].counts {
            *self.counted.entry(name).or_default() += 1;
        }
    }
}

/// An attribute that is text.
pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

/// An attribute that is a whole number.
pub(crate) fn whole(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

/// An attribute that is true or false.
pub(crate) fn flag(key: &str, value: bool) -> KeyValue {
    attribute(key, Value::BoolValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
