//! Which groups of anomalies can be connected at all: of thousands of groups, each is near a few.

use super::{case::Case, graph::Graph, history::History};
use crate::window::ServiceKey;
use std::collections::{BTreeMap, BTreeSet};

/// Groups by the services they are about.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    by_service: BTreeMap<ServiceKey, BTreeSet<u64>>,
}

impl Neighbours {
    pub(super) fn of<'a>(cases: impl Iterator<Item = (&'a u64, &'a Case)>) -> Self {
        let mut neighbours = Self::default();
        for (number, case) in cases {
            neighbours.add(*number, case);
        }
        neighbours
    }

    /// Notes the services of a group, which may have become more.
    pub(super) fn add(&mut self, number: u64, case: &Case) {
        for service in &case.services {
            self.by_service.entry(service.clone()).or_default().insert(number);
        }
    }

    /// All groups that [`Graph::link`] may connect with this one, and some more. Groups that are gone may be among them.
    pub(super) fn pairs(&self, number: u64, case: &Case, graph: &Graph, history: &History) -> BTreeSet<(u64, u64)> {
        let nodes = case.services.iter().filter_map(|service| history.find(service)).collect();
        let near = graph.around(&nodes);
        let services = case.services.iter().chain(near.iter().filter_map(|node| history.service(*node)));
        let others = services.filter_map(|service| self.by_service.get(service)).flatten();
        others.filter(|other| **other != number).map(|other| (number.min(*other), number.max(*other))).collect()
    }
}
