//! What the demo knows so far: how services fare, which anomalies and incidents are open, and how it compares to the truth.

use super::backend::{Notice, Tally};
use foreshock_engine::UnixNanos;
use foreshock_simulator::{Crossing, Health, Plan, Scenario, Shop, Truth};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// Points of a service's latency curve.
const CURVE: usize = 40;

/// Lines of what happened that are kept.
const LINES: usize = 400;

/// Anomalies of a service that are told apart; further ones are counted with the rest.
const MOST_ANOMALIES: usize = 256;

/// A service on the screen.
#[derive(Debug)]
pub(super) struct ServiceView {
    pub(super) name: &'static str,
    pub(super) health: Health,
    /// 95th percentiles in seconds, the newest last.
    pub(super) curve: VecDeque<f64>,
    /// Open anomalies: id and OTLP severity number.
    pub(super) open: BTreeMap<String, i32>,
    /// Whether an open incident names it as the root.
    pub(super) root: bool,
}

/// An incident as last heard of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct IncidentView {
    pub(super) id: String,
    pub(super) opened: UnixNanos,
    pub(super) state: String,
    /// OTLP severity number.
    pub(super) severity: i32,
    pub(super) sentence: String,
    /// Named when it opened, and now.
    pub(super) first_root: String,
    pub(super) root: String,
    pub(super) reason: String,
    /// When it was resolved, if it is.
    pub(super) resolved: Option<UnixNanos>,
    /// Trace id of the trace that was sent, or will be.
    pub(super) trace: String,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) time: UnixNanos,
    /// OTLP severity number; 9 for what is no trouble.
    pub(super) severity: i32,
    /// Such as `incident opened`.
    pub(super) what: String,
    pub(super) service: String,
    pub(super) text: String,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) scenario: Scenario,
    pub(super) plan: Plan,
    pub(super) truth: Option<Truth>,
    pub(super) start: UnixNanos,
    pub(super) now: UnixNanos,
    pub(super) services: Vec<ServiceView>,
    pub(super) incidents: Vec<IncidentView>,
    pub(super) lines: VecDeque<Line>,
    pub(super) anomalies: u64,
    /// Anomalies that began before the fault, or at all where there is none.
    pub(super) early_anomalies: u64,
    first_sign: Option<(UnixNanos, String, String)>,
    pub(super) crossing: Option<Crossing>,
    pub(super) sent: Tally,
    pub(super) forwarded: Tally,
}

/// How the story ended, against the truth.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    /// Start of the fault, if there is one.
    pub(super) fault: Option<UnixNanos>,
    /// Incidents that opened before the fault, or at all where there is none.
    pub(super) false_incidents: usize,
    /// From the fault to the first anomaly of an affected service: how long, where, and the sentence.
    pub(super) first_sign: Option<(Duration, String, String)>,
    /// From the fault to the first incident: how long, and the incident.
    pub(super) detected: Option<(Duration, IncidentView)>,
    /// Incidents after that one.
    pub(super) further_incidents: usize,
    /// From the moment when the fault was mended to the moment when the first incident was resolved.
    pub(super) resolved: Option<Duration>,
    /// Whether the first incident names the right service, when it opened and at the end.
    pub(super) root_right: Option<(bool, bool)>,
    /// From the fault to the first static threshold.
    pub(super) threshold: Option<Duration>,
}

impl Story {
    /// A story by its ordinary plan that begins at `start`.
    pub(super) fn new(scenario: Scenario, start: UnixNanos) -> Self {
        let plan = scenario.plan();
        let services = Shop::services().into_iter().map(|name| ServiceView {
            name,
            health: Health::default(),
            curve: VecDeque::new(),
            open: BTreeMap::new(),
            root: false,
        });
        Self {
            scenario,
            truth: scenario.truth(&plan),
            plan,
            start,
            now: start,
            services: services.collect(),
            incidents: Vec::new(),
            lines: VecDeque::new(),
            anomalies: 0,
            early_anomalies: 0,
            first_sign: None,
            crossing: None,
            sent: Tally::default(),
            forwarded: Tally::default(),
        }
    }

    /// When the fault begins; `None` where there is none.
    pub(super) fn fault(&self) -> Option<UnixNanos> {
        let truth = self.truth.as_ref()?;
        Some(self.start.plus(nanos(truth.starts_after)))
    }

    /// When somebody mends it.
    pub(super) fn mended(&self) -> Option<UnixNanos> {
        let truth = self.truth.as_ref()?;
        Some(self.start.plus(nanos(truth.ends_after)))
    }

    /// How the services fare, in the order of [`Shop::services`].
    pub(super) fn health(&mut self, health: &[Health]) {
        for (service, health) in self.services.iter_mut().zip(health) {
            service.health = *health;
            service.curve.push_back(health.p95_seconds);
            if service.curve.len() > CURVE {
                service.curve.pop_front();
            }
        }
    }

    /// Takes in one event. Answers the line to show, if it is worth one.
    pub(super) fn event(&mut self, notice: &Notice) -> Option<Line> {
        let kind = notice.name.strip_prefix("foreshock.")?;
        let line = match kind.split_once('.')? {
            ("anomaly", change) => self.anomaly(notice, change),
            ("incident", change) => self.incident(notice, change),
            ("prediction", "raised") => Some(("prediction", notice.service.clone())),
            ("detector", _) => Some(("detector health", notice.service.clone())),
            _ => None,
        };
        let (what, service) = line?;
        let line = Line {
            time: notice.time,
            severity: notice.severity,
            what: what.to_owned(),
            service,
            text: notice.body.clone(),
        };
        if self.lines.len() >= LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.clone());
        Some(line)
    }

    fn anomaly(&mut self, notice: &Notice, change: &str) -> Option<(&'static str, String)> {
        let id = attribute(notice, "foreshock.anomaly.id");
        if change == "detected" {
            self.anomalies += 1;
            let affected = self.truth.as_ref().is_some_and(|truth| truth.affected.contains(&notice.service.as_str()));
            match self.fault() {
                Some(fault) if notice.time >= fault => {
                    if affected && self.first_sign.is_none() {
                        self.first_sign = Some((notice.time, notice.service.clone(), notice.body.clone()));
                    }
                }
                _ => self.early_anomalies += 1,
            }
        }
        if let Some(service) = self.services.iter_mut().find(|service| service.name == notice.service) {
            if change == "ended" {
                service.open.remove(&id);
            } else if service.open.len() < MOST_ANOMALIES {
                service.open.insert(id, notice.severity);
            }
        }
        (change == "detected").then(|| ("anomaly", notice.service.clone()))
    }

    fn incident(&mut self, notice: &Notice, change: &str) -> Option<(&'static str, String)> {
        let id = attribute(notice, "foreshock.incident.id");
        let root = attribute(notice, "foreshock.incident.root_cause.service");
        // With a namespace it reads `shop/inventory`.
        let root = root.rsplit('/').next().unwrap_or_default().to_owned();
        let fresh = IncidentView {
            id: id.clone(),
            opened: notice.time,
            state: attribute(notice, "foreshock.incident.state"),
            severity: notice.severity,
            sentence: notice.body.clone(),
            first_root: root.clone(),
            root: root.clone(),
            reason: attribute(notice, "foreshock.incident.root_cause.summary"),
            resolved: (change == "resolved").then_some(notice.time),
            trace: notice.trace.clone(),
        };
        let mut changed = true;
        match self.incidents.iter_mut().find(|incident| incident.id == id) {
            Some(known) => {
                changed = known.root != fresh.root || known.severity != fresh.severity;
                // The trace of the first time is sent before the incident is opened again.
                let trace = if change == "resolved" { &fresh.trace } else { &known.trace }.clone();
                *known = IncidentView { opened: known.opened, first_root: known.first_root.clone(), trace, ..fresh };
            }
            None => self.incidents.push(fresh),
        }
        for service in &mut self.services {
            service.root = self.incidents.iter().any(|incident| incident.is_open() && incident.root == service.name);
        }
        let what = match change {
            "opened" => "incident opened",
            "updated" if changed => "incident updated",
            "resolved" => "incident resolved",
            "reopened" => "incident reopened",
            "merged" => "incident merged",
            _ => return None,
        };
        Some((what, root))
    }

    /// How it stands against the truth.
    pub(super) fn outcome(&self) -> Outcome {
        let fault = self.fault();
        let after = |time: UnixNanos| fault.is_some_and(|fault| time >= fault);
        let since = |time: UnixNanos| Duration::from_nanos(time.since(fault.unwrap_or_default()));
        let mut found = self.incidents.iter().filter(|incident| after(incident.opened));
        let first = found.next();
        let right = |name: &str| {
            self.truth.as_ref().is_some_and(|truth| truth.root == name || truth.also_right.contains(&name))
        };
        Outcome {
            fault,
            false_incidents: self.incidents.iter().filter(|incident| !after(incident.opened)).count(),
            first_sign: self
                .first_sign
                .as_ref()
                .map(|(time, service, text)| (since(*time), service.clone(), text.clone())),
            detected: first.map(|incident| (since(incident.opened), incident.clone())),
            further_incidents: found.count(),
            resolved: first
                .and_then(|incident| incident.resolved)
                .zip(self.mended())
                .map(|(resolved, mended)| Duration::from_nanos(resolved.since(mended))),
            root_right: first.map(|incident| (right(&incident.first_root), right(&incident.root))),
            threshold: self.crossing.as_ref().and_then(|crossing| {
                let fault = self.truth.as_ref()?.starts_after;
                crossing.after.checked_sub(fault)
            }),
        }
    }

    /// Time since the fault, such as `+3:20`, or until it, such as `-12:00`; empty where there is none.
    pub(super) fn against_fault(&self, time: UnixNanos) -> String {
        match self.fault() {
            Some(fault) if time >= fault => format!("+{}", minutes(Duration::from_nanos(time.since(fault)))),
            Some(fault) => format!("-{}", minutes(Duration::from_nanos(fault.since(time)))),
            None => String::new(),
        }
    }
}

impl IncidentView {
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state.as_str(), "resolved" | "merged")
    }
}

fn attribute(notice: &Notice, key: &str) -> String {
    notice.attributes.get(key).cloned().unwrap_or_default()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Minutes and seconds, such as `3:07`.
pub(super) fn minutes(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// The time of day in UTC, such as `14:03:20`.
pub(super) fn time_of_day(time: UnixNanos) -> String {
    let text = time.to_string();
    text.get(11..19).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(name: &str, minute: u64, service: &str, attributes: &[(&str, &str)]) -> Notice {
        let pairs = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Notice {
            name: format!("foreshock.{name}"),
            time: UnixNanos(1_790_000_000_000_000_000 + minute * 60_000_000_000),
            severity: 17,
            body: "it broke".to_owned(),
            service: service.to_owned(),
            trace: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
            attributes: pairs.collect(),
        }
    }

    /// The summary is the demo's claim: delays count from the fault, what came before it is a false alarm, and the root is
    /// judged when the incident opens and at the end.
    #[test]
    fn the_outcome_is_measured_against_the_truth() {
        let mut story = Story::new(Scenario::DatabaseSaturation, UnixNanos(1_790_000_000_000_000_000));
        let id = "foreshock.incident.id";
        let root = "foreshock.incident.root_cause.service";
        let state = "foreshock.incident.state";
        story.event(&notice("anomaly.detected", 30, "cart", &[("foreshock.anomaly.id", "a")]));
        story.event(&notice("incident.opened", 31, "foreshock", &[(id, "1"), (root, "shop/cart"), (state, "open")]));
        story.event(&notice(
            "incident.resolved",
            36,
            "foreshock",
            &[(id, "1"), (root, "shop/cart"), (state, "resolved")],
        ));
        story.event(&notice("anomaly.detected", 44, "inventory", &[("foreshock.anomaly.id", "b")]));
        story.event(&notice(
            "incident.opened",
            45,
            "foreshock",
            &[(id, "2"), (root, "shop/checkout"), (state, "open")],
        ));
        story.event(&notice(
            "incident.updated",
            46,
            "foreshock",
            &[(id, "2"), (root, "shop/inventory"), (state, "open")],
        ));
        story.event(&notice(
            "incident.resolved",
            71,
            "foreshock",
            &[(id, "2"), (root, "shop/inventory"), (state, "resolved")],
        ));
        story.crossing = Some(Crossing {
            after: Duration::from_secs(53 * 60),
            service: "frontend",
            rule: "p95 latency above 500 ms",
            observed: 0.6,
        });
        let outcome = story.outcome();
        assert_eq!(outcome.false_incidents, 1);
        assert_eq!(outcome.first_sign.unwrap().0, Duration::from_secs(4 * 60));
        let (after, incident) = outcome.detected.unwrap();
        assert_eq!(after, Duration::from_secs(5 * 60));
        assert_eq!((incident.trace.as_str(), incident.is_open()), ("4bf92f3577b34da6a3ce929d0e0e4736", false));
        // The fault begins after 40 minutes, and is mended 22 minutes later.
        assert_eq!(outcome.resolved, Some(Duration::from_secs(9 * 60)));
        assert_eq!(outcome.further_incidents, 0);
        assert_eq!(outcome.root_right, Some((false, true)));
        assert_eq!(outcome.threshold, Some(Duration::from_secs(13 * 60)));
        assert_eq!(story.early_anomalies, 1);
        let inventory = story.services.iter().find(|service| service.name == "inventory").unwrap();
        assert!(!inventory.root && inventory.open.contains_key("b"));
    }

    /// A clock on the screen must be read at a glance.
    #[test]
    fn times_are_short() {
        assert_eq!(minutes(Duration::from_secs(187)), "3:07");
        assert_eq!(time_of_day(UnixNanos(1_790_000_000_000_000_000)), "14:13:20");
    }
}
