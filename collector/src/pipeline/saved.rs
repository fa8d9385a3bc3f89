//! How what was learned lies in the store: one piece per service and part of the program.

use foreshock_engine::window::ServiceKey;
use foreshock_store::State;
use std::collections::BTreeMap;

/// Series, windows and anomalies of one service.
pub const SERVICE: &str = "service";
/// State of all detectors of one service.
pub const DETECTORS: &str = "detectors";
/// State of `engine::incident`.
pub const CORRELATOR: &str = "correlator";
/// Layout of the detectors' state; the parts of the engine keep their own numbers inside their bytes.
pub const SCHEMA: u32 = 1;

/// The name of a service in the store: namespace, line feed, name. Unlike the name for people it can be taken apart again.
#[must_use]
pub fn service_id(service: &ServiceKey) -> String {
    format!("{}\n{}", service.namespace, service.name)
}

/// The service that [`service_id`] named.
#[must_use]
pub fn service_of(id: &str) -> Option<ServiceKey> {
    let (namespace, name) = id.split_once('\n')?;
    Some(ServiceKey::new(namespace, name))
}

/// One piece for the store.
#[must_use]
pub fn piece(kind: &str, service: Option<&ServiceKey>, bytes: Vec<u8>, now: u64) -> State {
    State {
        kind: kind.to_owned(),
        service: service.map(service_id).unwrap_or_default(),
        key: String::new(),
        schema: SCHEMA,
        bytes,
        updated: now,
    }
}

/// All that a store held, by service.
#[derive(Debug, Default)]
pub struct Kept {
    /// State of the correlator.
    pub correlator: Option<Vec<u8>>,
    /// Pieces per service, those that were written longest ago first.
    pub services: Vec<(ServiceKey, Vec<State>)>,
}

impl Kept {
    /// Sorts what a store held. Pieces of a layout that this version does not know are left out.
    #[must_use]
    pub fn sort(states: Vec<State>) -> Self {
        let mut kept = Self::default();
        let mut services: BTreeMap<ServiceKey, Vec<State>> = BTreeMap::new();
        for state in states.into_iter().filter(|state| state.schema == SCHEMA) {
            if state.kind == CORRELATOR {
                kept.correlator = Some(state.bytes);
            } else if let Some(service) = service_of(&state.service) {
                services.entry(service).or_default().push(state);
            }
        }
        kept.services = services.into_iter().collect();
        kept.services.sort_by_key(|(_, states)| states.iter().map(|state| state.updated).max());
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names with slashes and empty namespaces come back as they were, so that no service gets another one's state.
    #[test]
    fn service_names_come_back() {
        for (namespace, name) in [("", "cart"), ("shop", "cart"), ("", "shop/cart"), ("a\nb", "c")] {
            let service = ServiceKey::new(namespace, name);
            let back = service_of(&service_id(&service));
            if namespace.contains('\n') {
                assert_ne!(back, Some(service), "a line feed in a namespace means a cold start");
            } else {
                assert_eq!(back, Some(service));
            }
        }
    }

    /// The services heard last are restored last, so that they are the last to be evicted.
    #[test]
    fn order_of_restoring() {
        let at = |name: &str, time| piece(SERVICE, Some(&ServiceKey::new("", name)), vec![], time);
        let kept = Kept::sort(vec![at("a", 3), at("b", 1), piece(CORRELATOR, None, vec![7], 9)]);
        assert_eq!(kept.correlator, Some(vec![7]));
        let names: Vec<_> = kept.services.iter().map(|(service, _)| service.name.to_string()).collect();
        assert_eq!(names, ["b", "a"]);
    }
}
