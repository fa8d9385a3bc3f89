//! The scenarios: what goes wrong, where it starts, and how strongly it acts at each moment.

use crate::services;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

/// What happens in the shop.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// `checkout` 1.8.0 rolls out. It asks the database once per order line and loses a connection now and then, a
    /// little more as its caches fill, until its connection pool runs dry.
    DeploymentDrift,
    /// A table of `inventory` outgrew its index: its database becomes slower and slower until the pool is exhausted.
    DatabaseSaturation,
    /// `recommendation` never frees a cache. The garbage collector works harder and harder, then the process is killed.
    MemoryLeak,
    /// `shipping` writes a debug log that nothing rotates. Its volume fills up, and then every write fails.
    DiskFilling,
    /// The bank behind `payment` answers slowly or not at all.
    DependencyOutage,
    /// A campaign brings three and a half times the visitors within eight minutes. `catalog` is the first to be too small.
    TrafficSurge,
    /// Nothing goes wrong: harmless deployments, batch jobs, services with little traffic, the ordinary course of a day.
    Calm,
}

/// A name that is no scenario.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown scenario `{name}`; there are: {}", Scenario::ALL.map(Scenario::name).join(", "))]
pub struct UnknownScenario {
    /// What was asked for.
    pub name: String,
}

/// What a detector should say about a scenario.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Truth {
    /// From the start of the simulation to the start of the fault.
    pub starts_after: Duration,
    /// From the start of the simulation to the moment when somebody mends it. It takes a minute or a few until all is well.
    pub ends_after: Duration,
    /// The service in which it starts.
    pub root: &'static str,
    /// Other services that a careful person could name, because they are one step from the root.
    pub also_right: &'static [&'static str],
    /// What changed there: `deployment`, `database`, `memory`, `disk`, `dependency` or `traffic`.
    pub kind: &'static str,
    /// Services whose telemetry visibly changes by the end, the root among them, in the order in which it reaches them.
    pub affected: &'static [&'static str],
}

/// How long the phases of a scenario last, in simulated time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Plan {
    /// Ordinary operation before the fault, for detectors to learn from.
    pub lead_in: Duration,
    /// From the start of the fault to its full strength.
    pub ramp: Duration,
    /// How long it stays at full strength, until somebody mends it.
    pub hold: Duration,
    /// From there to the end: the shop becomes well again, and stays so.
    pub recovery: Duration,
}

/// A static threshold, as people set them by hand, and when it would have spoken.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Crossing {
    /// From the start of the simulation to the end of the minute that crossed it.
    pub after: Duration,
    /// Which service crossed it.
    pub service: &'static str,
    /// `p95 latency above 500 ms`, `errors above 5 %` or `disk above 90 %`.
    pub rule: &'static str,
    /// What was measured: seconds, or a share from 0 to 1.
    pub observed: f64,
}

// === impl Scenario ===

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::DeploymentDrift,
        Self::DatabaseSaturation,
        Self::MemoryLeak,
        Self::DiskFilling,
        Self::DependencyOutage,
        Self::TrafficSurge,
        Self::Calm,
    ];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DeploymentDrift => "deployment-drift",
            Self::DatabaseSaturation => "database-saturation",
            Self::MemoryLeak => "memory-leak",
            Self::DiskFilling => "disk-filling",
            Self::DependencyOutage => "dependency-outage",
            Self::TrafficSurge => "traffic-surge",
            Self::Calm => "calm",
        }
    }

    /// One sentence for people.
    #[must_use]
    pub fn story(self) -> &'static str {
        match self {
            Self::DeploymentDrift => {
                "checkout 1.8.0 rolls out; it asks its database too often and loses connections, a little more every minute"
            }
            Self::DatabaseSaturation => {
                "the database of inventory outgrew an index and becomes slower until its pool is exhausted"
            }
            Self::MemoryLeak => {
                "recommendation never frees a cache, until the garbage collector chokes and the process is killed"
            }
            Self::DiskFilling => "shipping writes a debug log that nothing rotates, until its disk is full",
            Self::DependencyOutage => "the bank behind payment answers slowly or not at all",
            Self::TrafficSurge => {
                "a campaign brings three and a half times the visitors; catalog is the first to be too small"
            }
            Self::Calm => "nothing goes wrong: harmless deployments, batch jobs, little traffic here and there",
        }
    }

    /// What mends it, one sentence for people; empty where nothing goes wrong.
    #[must_use]
    pub fn cure(self) -> &'static str {
        match self {
            Self::DeploymentDrift => "checkout is rolled back to 1.7.3",
            Self::DatabaseSaturation => "the index of the table is built anew",
            Self::MemoryLeak => "recommendation 0.31.1 rolls out, which frees its cache",
            Self::DiskFilling => "the debug log is turned off and deleted",
            Self::DependencyOutage => "the bank answers again",
            Self::TrafficSurge => "the campaign is over and the visitors leave",
            Self::Calm => "",
        }
    }

    /// The ordinary plan: 40 minutes of quiet, the fault, and half an hour to recover from it.
    #[must_use]
    pub fn plan(self) -> Plan {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let (ramp, hold, recovery) = match self {
            Self::DeploymentDrift | Self::DatabaseSaturation | Self::DiskFilling => {
                (minutes(18), minutes(4), minutes(30))
            }
            Self::MemoryLeak => (minutes(20), minutes(4), minutes(30)),
            Self::DependencyOutage => (minutes(2), minutes(14), minutes(30)),
            Self::TrafficSurge => (minutes(8), minutes(10), minutes(30)),
            Self::Calm => (minutes(20), minutes(0), minutes(30)),
        };
        Plan { lead_in: minutes(40), ramp, hold, recovery }
    }

    /// What is to be found; `None` where nothing is.
    #[must_use]
    pub fn truth(self, plan: &Plan) -> Option<Truth> {
        let (root, also_right, kind, affected): (_, &[_], _, &[_]) = match self {
            Self::DeploymentDrift => ("checkout", &[], "deployment", &["checkout", "frontend"]),
            Self::DatabaseSaturation => {
                ("inventory", &["postgresql:inventory-db"], "database", &["inventory", "checkout", "frontend"])
            }
            Self::MemoryLeak => ("recommendation", &[], "memory", &["recommendation", "frontend"]),
            Self::DiskFilling => ("shipping", &[], "disk", &["shipping", "checkout", "frontend"]),
            // The bank itself sends nothing; payment knows it only as the far side of its calls.
            Self::DependencyOutage => {
                ("payment", &["bank-gateway"], "dependency", &["payment", "checkout", "frontend"])
            }
            Self::TrafficSurge => (
                "frontend",
                &["catalog"],
                "traffic",
                &["frontend", "catalog", "recommendation", "inventory", "cart", "checkout"],
            ),
            Self::Calm => return None,
        };
        let (starts_after, ends_after) = (plan.lead_in, plan.mended());
        Some(Truth { starts_after, ends_after, root, also_right, kind, affected })
    }

    /// When static thresholds would have spoken first: p95 latency above 500 ms or errors above 5 % in a minute with at
    /// least 20 requests, or a disk above 90 %. Computed by simulating the scenario to its end, without output.
    #[must_use]
    pub fn threshold_crossing(self, seed: u64, start_unix_nanos: u64, plan: Plan) -> Option<Crossing> {
        let mut shop = crate::Shop::with_plan(self, seed, start_unix_nanos, plan);
        while shop.elapsed() < plan.total() {
            drop(shop.step(Duration::from_secs(60)));
        }
        shop.threshold_crossing().cloned()
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scenario {
    type Err = UnknownScenario;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|scenario| scenario.name() == name)
            .ok_or_else(|| UnknownScenario { name: name.to_owned() })
    }
}

// === impl Plan ===

impl Plan {
    /// All phases together.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.mended() + self.recovery
    }

    /// From the start of the simulation to the moment when somebody mends the fault.
    #[must_use]
    pub fn mended(&self) -> Duration {
        self.lead_in + self.ramp + self.hold
    }

    /// How far the fault has come `second` seconds after the start of the simulation: 0 before it, 1 at full strength. Once
    /// it was mended it goes back to 0 within `healing`.
    fn progress(&self, second: u64, healing: Duration) -> f64 {
        let since = second as f64 - self.lead_in.as_secs_f64();
        let healed = (second as f64 - self.mended().as_secs_f64()) / healing.as_secs_f64().max(1.0);
        (since / self.ramp.as_secs_f64().max(1.0)).clamp(0.0, 1.0) * (1.0 - healed.clamp(0.0, 1.0))
    }

    fn is_mended(&self, second: u64) -> bool {
        second >= self.mended().as_secs()
    }
}

/// How strongly the scenario acts in one second. The default is: not at all.
#[derive(Clone, Debug)]
pub(crate) struct Effects {
    /// Times the ordinary number of visitors.
    pub(crate) traffic: f64,
    /// Times the ordinary duration of a query to `inventory-db`.
    pub(crate) inventory_database: f64,
    /// Queries that checkout 1.8.0 sends on top, per order.
    pub(crate) checkout_queries: f64,
    /// Share of orders after which checkout 1.8.0 keeps its connection for a while.
    pub(crate) checkout_lost_connections: f64,
    /// MiB that each instance of `recommendation` leaks per second.
    pub(crate) recommendation_leak_mib: f64,
    /// Share of the volume that `shipping` fills per second; below zero where it is emptied.
    pub(crate) shipping_disk_share: f64,
    /// Share of requests to the bank that fail.
    pub(crate) bank_failures: f64,
    /// Times the ordinary duration of a request to the bank.
    pub(crate) bank_duration: f64,
}

impl Default for Effects {
    fn default() -> Self {
        Self {
            traffic: 1.0,
            inventory_database: 1.0,
            checkout_queries: 0.0,
            checkout_lost_connections: 0.0,
            recommendation_leak_mib: 0.0,
            shipping_disk_share: 0.0,
            bank_failures: 0.0,
            bank_duration: 1.0,
        }
    }
}

/// A rollout of a new version to one slot of a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rollout {
    pub(crate) service: usize,
    pub(crate) slot: usize,
    pub(crate) version: &'static str,
}

impl Scenario {
    pub(crate) fn effects(self, plan: &Plan, second: u64) -> Effects {
        // A rollback is over when the last process is replaced; visitors leave slowly; the rest is a matter of a minute.
        let healing = Duration::from_secs(match self {
            Self::DeploymentDrift => 120,
            Self::TrafficSurge => 240,
            _ => 60,
        });
        let progress = plan.progress(second, healing);
        let mut effects = Effects::default();
        if progress <= 0.0 {
            return effects;
        }
        let is_mended = plan.is_mended(second);
        let ramp_seconds = plan.ramp.as_secs_f64().max(1.0);
        match self {
            Self::DeploymentDrift => {
                effects.checkout_queries = 2.0 + 26.0 * progress;
                effects.checkout_lost_connections = 0.02 + 0.16 * progress;
            }
            Self::DatabaseSaturation => effects.inventory_database = 140f64.powf(progress),
            // From the ordinary level to the limit within the ramp.
            Self::MemoryLeak if !is_mended => {
                let recommendation = &services::SERVICES[services::RECOMMENDATION];
                effects.recommendation_leak_mib =
                    (recommendation.memory_limit_mib - recommendation.memory_mib) / ramp_seconds;
            }
            Self::DiskFilling if is_mended => {
                effects.shipping_disk_share = -(1.0 - services::SHIPPING_DISK_SHARE) / healing.as_secs_f64();
            }
            Self::DiskFilling => {
                effects.shipping_disk_share = (1.0 - services::SHIPPING_DISK_SHARE) / ramp_seconds * 1.05;
            }
            Self::DependencyOutage => {
                effects.bank_failures = 0.75 * progress;
                effects.bank_duration = 1.0 + 9.0 * progress;
            }
            Self::TrafficSurge => effects.traffic = 1.0 + 2.5 * progress,
            Self::MemoryLeak | Self::Calm => {}
        }
        effects
    }

    /// Which slots get a new version in this second.
    pub(crate) fn rollouts(self, plan: &Plan, second: u64) -> Vec<Rollout> {
        let (lead_in, mended) = (plan.lead_in.as_secs(), plan.mended().as_secs());
        let changes: &[(usize, u64, &'static str)] = match self {
            Self::DeploymentDrift => &[(services::CHECKOUT, lead_in, "1.8.0"), (services::CHECKOUT, mended, "1.7.3")],
            Self::MemoryLeak => &[(services::RECOMMENDATION, mended, "0.31.1")],
            Self::Calm => &[
                (services::CATALOG, lead_in + 240, "2.3.2"),
                (services::CART, lead_in + 600, "3.0.9"),
                (services::NOTIFICATION, lead_in + 900, "0.9.5"),
            ],
            _ => &[],
        };
        changes
            .iter()
            .flat_map(|&(service, from, version)| {
                (0..services::SERVICES[service].instances)
                    .filter(move |slot| from + 40 * *slot as u64 == second)
                    .map(move |slot| Rollout { service, slot, version })
            })
            .collect()
    }
}
