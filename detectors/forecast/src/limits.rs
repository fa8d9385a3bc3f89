//! Owns which series have a limit, and what it is.
//!
//! In this order:
//! 1. what the configuration names;
//! 2. shares of a whole: gauges in `1` or `%` whose name says utilization, ratio, saturation or fraction, which end at 1 or 100. Not of
//!    processors: being busy is no exhaustion;
//! 3. gauges whose capacity is a series of the same service: `X.usage`, `X.used` or `X.count` beside `X.limit`, `X.max`, `X.capacity`
//!    or `X.size`, with no attribute that contradicts, in the state `used` where there are states, and only where no `X.utilization`
//!    says the same. So `system.filesystem.usage`, `jvm.memory.used`, `db.client.connection.count` and the like;
//! 4. the memory of a process beside the limit of its container.

use crate::config::Config;
use foreshock_detector::{Kind, Series, Window};
use std::collections::BTreeMap;

const SHARES: [&str; 4] = ["utilization", "ratio", "saturation", "fraction"];
const USED: [&str; 3] = [".usage", ".used", ".count"];
const CAPACITIES: [&str; 4] = [".limit", ".max", ".capacity", ".size"];
/// What ends where something around it ends.
const WITHIN: [(&str, &str); 3] = [
    ("process.memory.usage", "k8s.container.memory.limit"),
    ("process.memory.usage", "container.memory.limit"),
    ("process.memory.usage", "k8s.pod.memory.limit"),
];
/// Names of things that are emptied and filled again, where a high mark of the past is no measure.
const STORES: [&str; 3] = ["filesystem", "disk", "volume"];

/// From where a resource is used and where it ends, in the series' unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limit {
    pub(crate) from: f64,
    pub(crate) limit: f64,
}

impl Limit {
    /// The share that is used: 0 at `from`, 1 at the limit.
    pub(crate) fn share(&self, value: f64) -> f64 {
        (value - self.from) / (self.limit - self.from)
    }
}

/// Where a series' limit comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Fixed(Limit),
    /// The latest value of another series.
    Capacity(u32),
}

/// The limits of a service's series. Not kept across a restart: it follows from the series as they are opened.
#[derive(Debug)]
pub(crate) struct Limits {
    known: BTreeMap<u32, Series>,
    sources: BTreeMap<u32, Source>,
    /// The latest value of each series that may be a capacity.
    capacities: BTreeMap<u32, f64>,
    most: usize,
}

impl Limits {
    pub(crate) fn new(most: usize) -> Self {
        Self { known: BTreeMap::new(), sources: BTreeMap::new(), capacities: BTreeMap::new(), most }
    }

    /// Takes what a window opens, closes and says of capacities.
    pub(crate) fn follow(&mut self, window: &Window, config: &Config) {
        for id in &window.closed {
            self.known.remove(id);
            self.capacities.remove(id);
        }
        for series in &window.opened {
            if self.known.len() < self.most || self.known.contains_key(&series.id) {
                self.known.insert(series.id, series.clone());
            }
            self.capacities.remove(&series.id);
        }
        if !(window.opened.is_empty() && window.closed.is_empty()) {
            self.assign(config);
        }
        for row in window.rows() {
            let is_capacity = |series: &Series| CAPACITIES.iter().any(|ending| series.name.ends_with(ending));
            if row.value > 0.0 && self.known.get(&row.id).is_some_and(is_capacity) {
                self.capacities.insert(row.id, row.value);
            }
        }
    }

    /// The limit of a series as it stands.
    pub(crate) fn of(&self, id: u32) -> Option<Limit> {
        match self.sources.get(&id)? {
            Source::Fixed(limit) => Some(*limit),
            Source::Capacity(id) => self.capacities.get(id).map(|limit| Limit { from: 0.0, limit: *limit }),
        }
    }

    fn assign(&mut self, config: &Config) {
        let mut by_name: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for (id, series) in &self.known {
            by_name.entry(&series.name).or_default().push(*id);
        }
        let source = |series: &Series| {
            if let Some(named) = config.limits.iter().find(|named| named.fits(series)) {
                return Some(Source::Fixed(Limit { from: named.from, limit: named.limit }));
            }
            if !config.known_limits || series.kind != Kind::Gauge {
                return None;
            }
            let agrees = |id: &&u32| {
                let capacity = &self.known[*id];
                capacity.attributes.iter().all(|(key, value)| series.attribute(key) == Some(value))
            };
            let own = whole(series).map(|limit| Source::Fixed(Limit { from: 0.0, limit })).or_else(|| {
                let stem = USED.iter().find_map(|ending| series.name.strip_suffix(ending))?;
                let is_idle = series.attributes.iter().any(|(key, value)| key.ends_with(".state") && value != "used");
                if is_idle || by_name.contains_key(&*format!("{stem}.utilization")) {
                    return None;
                }
                let named = CAPACITIES.iter().filter_map(|ending| by_name.get(&*format!("{stem}{ending}")));
                named.flatten().find(agrees).map(|id| Source::Capacity(*id))
            });
            own.or_else(|| {
                let around = WITHIN.iter().filter(|(name, _)| *name == series.name);
                let around = around.filter_map(|(_, limit)| by_name.get(limit));
                around.flatten().find(agrees).map(|id| Source::Capacity(*id))
            })
        };
        self.sources = self.known.iter().filter_map(|(id, series)| Some((*id, source(series)?))).collect();
    }
}

/// Where a share of a whole ends.
fn whole(series: &Series) -> Option<f64> {
    let end = match series.unit.as_str() {
        "1" => 1.0,
        "%" => 100.0,
        _ => return None,
    };
    let name = series.name.to_lowercase();
    let is_share = SHARES.iter().any(|word| name.contains(word)) && !name.contains("cpu");
    // Of a disk, what is free or reserved says the same again, the other way round.
    let is_used = !series.attributes.iter().any(|(key, value)| key.ends_with(".state") && value != "used");
    (is_share && is_used).then_some(end)
}

/// Whether the resource is filled and emptied by its users, as a disk is.
pub(crate) fn is_store(series: &Series) -> bool {
    STORES.iter().any(|word| series.name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(id: u32, name: &str, unit: &str, attributes: &[(&str, &str)]) -> Series {
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Series { id, name: name.to_owned(), unit: unit.to_owned(), kind: Kind::Gauge, attributes }
    }

    /// Protects which series are followed at all: a limit that is none would make a false warning out of every rise.
    #[test]
    fn limits_come_from_names_units_and_capacities() {
        let opened = vec![
            series(1, "jvm.memory.used", "By", &[("jvm.memory.pool.name", "old")]),
            series(2, "jvm.memory.limit", "By", &[("jvm.memory.pool.name", "old")]),
            series(3, "jvm.memory.used", "By", &[("jvm.memory.pool.name", "eden")]),
            series(4, "system.filesystem.utilization", "1", &[("system.filesystem.state", "used")]),
            series(5, "system.filesystem.utilization", "1", &[("system.filesystem.state", "free")]),
            series(6, "system.filesystem.usage", "By", &[("system.filesystem.state", "used")]),
            series(7, "system.filesystem.limit", "By", &[]),
            series(8, "system.cpu.utilization", "1", &[]),
            series(9, "queue.depth", "1", &[("queue", "orders")]),
            series(10, "db.client.connection.count", "{connection}", &[("db.client.connection.state", "used")]),
            series(11, "db.client.connection.count", "{connection}", &[("db.client.connection.state", "idle")]),
            series(12, "db.client.connection.max", "{connection}", &[]),
            series(13, "disk.free", "By", &[]),
            series(14, "process.memory.usage", "By", &[]),
            series(15, "container.memory.limit", "By", &[]),
        ];
        let (ids, values) = (vec![2, 7, 12, 15], vec![4e9, 1e12, 20.0, 5e8]);
        let window = Window {
            opened,
            minima: values.clone(),
            maxima: values.clone(),
            counts: vec![1; 4],
            ids,
            values,
            ..Window::default()
        };
        let config: Config = Config {
            limits: vec![
                crate::Named {
                    series: "queue.*".to_owned(),
                    attributes: [("queue".to_owned(), "orders".to_owned())].into(),
                    limit: 500.0,
                    from: 0.0,
                },
                crate::Named { series: "disk.free".to_owned(), attributes: BTreeMap::new(), limit: 0.0, from: 8.0 },
            ],
            ..Config::default()
        };
        let mut limits = Limits::new(100);
        limits.follow(&window, &config);
        let of: Vec<Option<f64>> = (1..15).map(|id| limits.of(id).map(|limit| limit.limit)).collect();
        let some = Some;
        assert_eq!(
            of,
            [
                some(4e9),
                None,
                None,
                some(1.0),
                None,
                None,
                None,
                None,
                some(500.0),
                some(20.0),
                None,
                None,
                some(0.0),
                some(5e8)
            ]
        );
        assert_eq!(limits.of(13).map(|limit| limit.share(2.0)), Some(0.75));
        limits.follow(&Window { closed: vec![2], ..Window::default() }, &config);
        assert_eq!(limits.of(1), None, "a capacity that went away limits nothing");
    }
}
