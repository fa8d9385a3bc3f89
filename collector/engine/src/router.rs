//! Which shard handles which service, and which services are kept at all.

use crate::{
    lru::{LruSlab, Slot},
    window::ServiceKey,
};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::Xxh3Default;

/// Which services this process handles. On one machine one process owns all of them.
pub trait Ownership {
    /// Whether the service is handled here. Must answer the same for the same key while the process runs.
    fn owns(&self, service: &ServiceKey) -> bool;
}

/// Owns every service.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnsAll;

impl Ownership for OwnsAll {
    fn owns(&self, _service: &ServiceKey) -> bool {
        true
    }
}

/// How services are spread and bounded.
#[derive(Clone, Copy, Debug)]
pub struct RouterSettings {
    /// Number of shards, 1 or more; 0 is taken as 1. Default 1.
    pub shards: usize,
    /// Services kept at a time over all shards, 1 or more; 0 is taken as 1. Default 10,000. One more evicts the service
    /// that was silent for longest, with all that was learned about it.
    pub max_services: usize,
}

impl Default for RouterSettings {
    fn default() -> Self {
        Self { shards: 1, max_services: 10_000 }
    }
}

/// A service that had to go to make room. Its shard must forget it before it takes anything that came later.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Evicted {
    /// The shard that holds it.
    pub shard: usize,
    /// Which one.
    pub service: ServiceKey,
}

/// Where telemetry of a service goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Route {
    /// To a shard of this process.
    Shard {
        /// Index of the shard, below the number of shards.
        shard: usize,
        /// Whether this service was not known before; its saved state, if any, should be restored first.
        is_new: bool,
        /// The service that was evicted to make room for it.
        evicted: Option<Evicted>,
    },
    /// Another process handles it.
    NotOwned,
}

/// Assigns services to shards and evicts those silent for longest.
///
/// Eviction looks at the order of input alone, before it is split by shard, so it is the same for any number of shards.
#[derive(Debug)]
pub struct Router<O = OwnsAll> {
    settings: RouterSettings,
    ownership: O,
    services: LruSlab<ServiceKey>,
    slots: BTreeMap<ServiceKey, Slot>,
    evictions: u64,
}

// === impl Router ===

impl Router<OwnsAll> {
    /// A router that owns every service.
    #[must_use]
    pub fn new(settings: RouterSettings) -> Self {
        Self::with_ownership(settings, OwnsAll)
    }
}

impl<O: Ownership> Router<O> {
    /// A router that leaves out services that `ownership` does not own.
    pub fn with_ownership(settings: RouterSettings, ownership: O) -> Self {
        let settings = RouterSettings { shards: settings.shards.max(1), max_services: settings.max_services.max(1) };
        Self { settings, ownership, services: LruSlab::default(), slots: BTreeMap::new(), evictions: 0 }
    }

    /// Where the next telemetry of `service` goes. Counts as a use of the service.
    pub fn route(&mut self, service: &ServiceKey) -> Route {
        if let Some(&slot) = self.slots.get(service) {
            self.services.touch(slot);
            return Route::Shard { shard: self.shard_of(service), is_new: false, evicted: None };
        }
        if !self.ownership.owns(service) {
            return Route::NotOwned;
        }
        let evicted = if self.services.len() >= self.settings.max_services { self.evict() } else { None };
        let slot = self.services.insert(service.clone());
        self.slots.insert(service.clone(), slot);
        Route::Shard { shard: self.shard_of(service), is_new: true, evicted }
    }

    /// The shard of a service: a stable hash of its key, modulo the number of shards.
    #[must_use]
    pub fn shard_of(&self, service: &ServiceKey) -> usize {
        usize::try_from(service_hash(service) % self.settings.shards as u64).unwrap_or(0)
    }

    /// Services known now, ascending.
    pub fn services(&self) -> impl Iterator<Item = &ServiceKey> {
        self.slots.keys()
    }

    /// How many services were evicted so far.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    fn evict(&mut self) -> Option<Evicted> {
        let service = self.services.remove(self.services.oldest()?)?;
        self.slots.remove(&service);
        self.evictions += 1;
        Some(Evicted { shard: self.shard_of(&service), service })
    }
}

/// A hash of a service's key that is the same in every process and on every platform.
#[must_use]
pub fn service_hash(service: &ServiceKey) -> u64 {
    let mut hasher = Xxh3Default::new();
    hasher.update(service.namespace.as_bytes());
    hasher.update(&[0xff]);
    hasher.update(service.name.as_bytes());
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ServiceKey {
        ServiceKey::new("", name)
    }

    /// Protects the bound on services, and that a shard hears whom to forget.
    #[test]
    fn evicts_the_service_silent_for_longest() {
        let mut router = Router::new(RouterSettings { shards: 3, max_services: 2 });
        router.route(&key("a"));
        router.route(&key("b"));
        router.route(&key("a"));
        let Route::Shard { is_new, evicted, .. } = router.route(&key("c")) else { panic!("not owned") };
        assert!(is_new);
        assert_eq!(evicted, Some(Evicted { shard: router.shard_of(&key("b")), service: key("b") }));
        assert_eq!(router.services().cloned().collect::<Vec<_>>(), [key("a"), key("c")]);
        assert_eq!(router.evictions(), 1);
    }

    /// Protects that the answer does not depend on the number of shards.
    #[test]
    fn evictions_do_not_depend_on_the_number_of_shards() {
        let names: Vec<String> = (0..200u32).map(|i| format!("s{}", i * i % 37)).collect();
        let evicted = |shards| -> Vec<Option<ServiceKey>> {
            let mut router = Router::new(RouterSettings { shards, max_services: 5 });
            names
                .iter()
                .map(|name| match router.route(&key(name)) {
                    Route::Shard { evicted, .. } => evicted.map(|evicted| evicted.service),
                    Route::NotOwned => None,
                })
                .collect()
        };
        assert_eq!(evicted(1), evicted(7));
    }

    /// Protects that services of other processes take no room.
    #[test]
    fn leaves_out_what_it_does_not_own() {
        struct Only(&'static str);
        impl Ownership for Only {
            fn owns(&self, service: &ServiceKey) -> bool {
                &*service.name == self.0
            }
        }
        let mut router = Router::with_ownership(RouterSettings::default(), Only("a"));
        assert_eq!(router.route(&key("b")), Route::NotOwned);
        assert_eq!(router.route(&key("a")), Route::Shard { shard: 0, is_new: true, evicted: None });
        assert_eq!(router.services().count(), 1);
    }

    /// Protects that services are spread, and that namespace and name are not run together.
    #[test]
    fn spreads_services() {
        let router = Router::new(RouterSettings { shards: 4, max_services: 1 });
        let mut counts = [0; 4];
        for i in 0..1000 {
            counts[router.shard_of(&key(&format!("service-{i}")))] += 1;
        }
        assert!(counts.iter().all(|&count| (180..320).contains(&count)), "{counts:?}");
        assert_ne!(service_hash(&ServiceKey::new("ab", "c")), service_hash(&ServiceKey::new("a", "bc")));
    }
}
