//! Tells when a series is higher than ever before: a detector written against `wit/detector.wit` alone.
//!
//! Nothing of Foreshock is in it but the contract, which `wit_bindgen` turns into Rust's types; any other tool for the component model does
//! as well. What the crate for authors does for you is done by hand here: the configuration's schema, finding series again by their
//! names after a restart, and the state's bytes.

wit_bindgen::generate!({ path: "../../../wit", world: "plugin" });

use exports::foreshock::detector::detector::{
    About, Fault, Guest, GuestModel, Model, Setup, State, Verdict, Window,
};
use foreshock::detector::types::{Finding, Series, Severity};
use std::{cell::RefCell, collections::BTreeMap};

const STATE_SCHEMA: u32 = 1;
/// Series of one service that are followed; further ones are left alone.
const MOST_SERIES: usize = 10_000;
/// Findings of one verdict, by the contract.
const MOST_FINDINGS: usize = 256;

const CONFIG_SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "warmup_windows": { "type": "integer", "minimum": 1, "maximum": 100000 },
    "margin": { "type": "number", "minimum": 0 }
  }
}"#;

/// The component.
struct Plugin;

/// One service's model. Calls never nest, so the cell is never borrowed twice.
struct NewHigh {
    warmup_windows: u64,
    margin: f64,
    learned: RefCell<Learned>,
}

#[derive(Default)]
struct Learned {
    /// By identity, which outlives a restart: windows seen, and the highest value of them.
    highest: BTreeMap<String, (u64, f64)>,
    /// Identity of each open series, by the id that it has now.
    open: BTreeMap<u32, String>,
}

impl Guest for Plugin {
    type Model = NewHigh;

    fn describe() -> About {
        About {
            name: "new-high".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_schema: CONFIG_SCHEMA.to_owned(),
            state_schema: STATE_SCHEMA,
            warmup_windows: 60,
            kinds: Vec::new(),
        }
    }
}

impl GuestModel for NewHigh {
    fn open(setup: Setup, saved: Option<State>) -> Result<Model, Fault> {
        let config: serde_json::Value =
            serde_json::from_str(&setup.config).map_err(|error| Fault::BadConfig(error.to_string()))?;
        let bad_state = |why: &dyn std::fmt::Display| Fault::BadState(why.to_string());
        let highest = match saved {
            None => BTreeMap::new(),
            Some(State { schema: STATE_SCHEMA, bytes }) => {
                serde_json::from_slice(&bytes).map_err(|error| bad_state(&error))?
            }
            Some(other) => return Err(bad_state(&format!("schema {} is not {STATE_SCHEMA}", other.schema))),
        };
        Ok(Model::new(Self {
            warmup_windows: config["warmup_windows"].as_u64().unwrap_or(60),
            margin: config["margin"].as_f64().unwrap_or(0.5),
            learned: RefCell::new(Learned { highest, open: BTreeMap::new() }),
        }))
    }

    fn observe(&self, window: Window) -> Result<Verdict, Fault> {
        let mut learned = self.learned.borrow_mut();
        let Learned { highest, open } = &mut *learned;
        for id in &window.closed {
            if let Some(identity) = open.remove(id) {
                highest.remove(&identity);
            }
        }
        for series in &window.opened {
            open.insert(series.id, identity(series));
        }
        let mut verdict = Verdict { scores: vec![f64::NAN; window.ids.len()], findings: Vec::new() };
        let rows = window.ids.iter().zip(&window.values);
        for (score, (id, &value)) in verdict.scores.iter_mut().zip(rows) {
            let Some(identity) = open.get(id) else { continue };
            if highest.len() >= MOST_SERIES && !highest.contains_key(identity) {
                continue;
            }
            let (seen, high) = highest.entry(identity.clone()).or_insert((0, value));
            if *seen >= self.warmup_windows {
                let bound = *high + self.margin * high.abs();
                let is_new = value > bound && bound.is_finite();
                // A window that is higher than all of n before has a chance of one in n + 1.
                let surprise = (*seen as f64 + 1.0).log10().min(16.0);
                *score = if value > *high { surprise } else { 0.0 };
                if is_new && verdict.findings.len() < MOST_FINDINGS {
                    verdict.findings.push(finding(*id, surprise, value, *high, bound));
                }
            }
            *seen += 1;
            *high = high.max(value);
        }
        Ok(verdict)
    }

    fn snapshot(&self) -> Result<State, Fault> {
        let bytes = serde_json::to_vec(&self.learned.borrow().highest);
        Ok(State { schema: STATE_SCHEMA, bytes: bytes.map_err(|error| Fault::Internal(error.to_string()))? })
    }
}

fn finding(id: u32, score: f64, value: f64, high: f64, bound: f64) -> Finding {
    Finding {
        ids: vec![id],
        kind: "spike".to_owned(),
        severity: Severity::Warning,
        score,
        observed: Some(value),
        expected: Some(high),
        lower: None,
        upper: Some(bound),
        forecast: None,
        summary: format!("{value} is higher than ever before, the highest was {high}"),
        evidence: Vec::new(),
    }
}

/// What a series is called across restarts: ids are dealt anew.
fn identity(series: &Series) -> String {
    let mut identity = format!("{}\n{:?}", series.name, series.kind);
    for (key, value) in &series.attributes {
        identity.push_str(&format!("\n{key}\n{value}"));
    }
    identity
}

export!(Plugin);
