//! A detector as it stands in the configuration, with its component compiled.

use crate::{
    bindings::{exports::foreshock::detector::detector as exported, foreshock::detector::types},
    guest::Prepared,
    places::Places,
    registry::Kinds,
    sandbox::Compiled,
    settings::Limits,
    stats::Stats,
};
use foreshock_engine::{
    verdict::Detector,
    window::{SeriesKind, ServiceKey},
};
use sha2::{Digest, Sha256};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

const LONGEST_NAME: usize = 64;
const LONGEST_SCHEMA: usize = 64 << 10;

/// Says whether a detector is for a service.
pub type ServiceFilter = Arc<dyn Fn(&ServiceKey) -> bool + Send + Sync>;

/// A detector as the configuration names it.
#[derive(Clone)]
pub struct DetectorSpec {
    /// Its name in the configuration: what events, metrics and saved states call it.
    pub name: String,
    /// The component's bytes.
    pub component: Arc<[u8]>,
    /// Which services it is for.
    pub services: ServiceFilter,
    /// Its configuration, a JSON object. The caller checks it against [`About::config_schema`].
    pub config: serde_json::Value,
    /// How much it counts where several detectors have an opinion on the same series; more than 0, usually 1.
    pub weight: f64,
    /// What it may use.
    pub limits: Limits,
}

/// What a component says about itself, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// 1 to 64 characters of `a-z`, `0-9` and `-`.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// JSON Schema of its configuration.
    pub config_schema: serde_json::Value,
    /// Version of the layout of its saved state.
    pub state_schema: u32,
    /// How many windows a fresh model needs before its scores mean anything.
    pub warmup_windows: u32,
    /// The kinds of series it wants to see; empty means all.
    pub kinds: Vec<SeriesKind>,
}

impl About {
    /// Whether it wants to see series of a kind.
    #[must_use]
    pub fn wants(&self, kind: SeriesKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    /// The kinds of series that it wants to see, in the order of the contract.
    pub fn wanted(&self) -> impl Iterator<Item = SeriesKind> {
        SeriesKind::ALL.into_iter().filter(|kind| self.wants(*kind))
    }
}

/// A detector that is ready to run. Shared by all shards.
pub struct LoadedDetector {
    pub(crate) identity: Arc<Detector>,
    pub(crate) about: About,
    pub(crate) component: Prepared,
    pub(crate) services: ServiceFilter,
    pub(crate) config: String,
    pub(crate) weight: f64,
    pub(crate) limits: Limits,
    pub(crate) kinds: Kinds,
    pub(crate) stats: Arc<Stats>,
    pub(crate) log: Arc<LogBudget>,
    pub(crate) places: Arc<Places>,
    /// Keeps the compiled component where others can find it.
    pub(crate) _compiled: Arc<Compiled>,
}

impl LoadedDetector {
    /// Name in the configuration, version and digest.
    #[must_use]
    pub fn identity(&self) -> &Arc<Detector> {
        &self.identity
    }

    /// What the component says about itself.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// What it did so far, over all services and shards.
    #[must_use]
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Counts on where `old` stands, whose place it takes.
    #[must_use]
    pub fn counting_on(self, old: &Self) -> Self {
        Self { stats: Arc::clone(&old.stats), ..self }
    }

    /// The same detector, for trials: what is done with it is not counted as its work, nor are its lines taken for it.
    #[must_use]
    pub fn apart(&self) -> Self {
        let name = Arc::clone(&self.identity.name);
        Self {
            identity: Arc::clone(&self.identity),
            about: self.about.clone(),
            component: self.component.clone(),
            services: Arc::clone(&self.services),
            config: self.config.clone(),
            stats: Arc::default(),
            log: Arc::new(LogBudget::new(name, self.limits.log_lines_per_second)),
            places: Arc::clone(&self.places),
            _compiled: Arc::clone(&self._compiled),
            ..*self
        }
    }

    /// Whether it is for this service.
    #[must_use]
    pub fn is_for(&self, service: &ServiceKey) -> bool {
        (self.services)(service)
    }

    /// Which configuration a saved state was learned under.
    pub(crate) fn config_hash(&self, step_ns: u64) -> u64 {
        first_eight(Sha256::new().chain_update(step_ns.to_le_bytes()).chain_update(&self.config))
    }

    /// The only source of randomness of the model of a service.
    #[must_use]
    pub fn seed(&self, service: &ServiceKey) -> u64 {
        let separate = [0xff];
        let hash = Sha256::new().chain_update(&*service.namespace).chain_update(separate);
        let hash = hash.chain_update(&*service.name).chain_update(separate).chain_update(&*self.identity.name);
        first_eight(hash)
    }
}

impl fmt::Debug for LoadedDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedDetector")
            .field("identity", &self.identity)
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

fn first_eight(hash: Sha256) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.finalize()[..8]);
    u64::from_le_bytes(bytes)
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn digest(component: &[u8]) -> String {
    Sha256::digest(component).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl About {
    /// Checks what a component says about itself; the error names what is wrong.
    pub(crate) fn check(about: exported::About) -> Result<Self, String> {
        let name_character = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if !(1..=LONGEST_NAME).contains(&about.name.len()) || !about.name.bytes().all(name_character) {
            return Err("its name is not 1 to 64 characters of a-z, 0-9 and -".into());
        }
        if about.version.len() > LONGEST_NAME || !is_semantic_version(&about.version) {
            return Err("its version is no semantic version".into());
        }
        if about.config_schema.len() > LONGEST_SCHEMA {
            return Err(format!(
                "its configuration schema has {} bytes, at most 64 KiB are allowed",
                about.config_schema.len()
            ));
        }
        let config_schema: serde_json::Value = serde_json::from_str(&about.config_schema)
            .map_err(|error| format!("its configuration schema is no JSON: {error}"))?;
        if !config_schema.is_object() && !config_schema.is_boolean() {
            return Err("its configuration schema is neither an object nor a truth value".into());
        }
        let kinds: Vec<SeriesKind> = about.kinds.iter().copied().map(kind_in).collect();
        if kinds.iter().enumerate().any(|(index, kind)| kinds[..index].contains(kind)) {
            return Err("it asks for a kind of series twice".into());
        }
        Ok(Self {
            name: about.name,
            version: about.version,
            config_schema,
            state_schema: about.state_schema,
            warmup_windows: about.warmup_windows,
            kinds,
        })
    }
}

/// `major.minor.patch`, then possibly `-` or `+` and more of `0-9A-Za-z.+-` (semver.org, without the finer rules).
fn is_semantic_version(version: &str) -> bool {
    let end = version.find(['-', '+']).unwrap_or(version.len());
    let (core, rest) = version.split_at(end);
    let numbers: Vec<&str> = core.split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    let rest_character = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'+');
    numbers.len() == 3 && numbers.iter().all(is_number) && rest.len() != 1 && rest.bytes().all(rest_character)
}

pub(crate) fn kind_out(kind: SeriesKind) -> types::Kind {
    match kind {
        SeriesKind::Gauge => types::Kind::Gauge,
        SeriesKind::Rate => types::Kind::Rate,
        SeriesKind::Quantile => types::Kind::Quantile,
        SeriesKind::SpanRate => types::Kind::SpanRate,
        SeriesKind::SpanErrors => types::Kind::SpanErrors,
        SeriesKind::SpanDuration => types::Kind::SpanDuration,
        SeriesKind::LogTemplate => types::Kind::LogTemplate,
        SeriesKind::LogSeverity => types::Kind::LogSeverity,
    }
}

fn kind_in(kind: types::Kind) -> SeriesKind {
    match kind {
        types::Kind::Gauge => SeriesKind::Gauge,
        types::Kind::Rate => SeriesKind::Rate,
        types::Kind::Quantile => SeriesKind::Quantile,
        types::Kind::SpanRate => SeriesKind::SpanRate,
        types::Kind::SpanErrors => SeriesKind::SpanErrors,
        types::Kind::SpanDuration => SeriesKind::SpanDuration,
        types::Kind::LogTemplate => SeriesKind::LogTemplate,
        types::Kind::LogSeverity => SeriesKind::LogSeverity,
    }
}

/// How many lines a detector may still log, over all services and shards.
#[derive(Debug)]
pub(crate) struct LogBudget {
    detector: Arc<str>,
    a_second: f64,
    /// Held for a few instructions, never across a call.
    left: Mutex<(f64, Instant)>,
}

impl LogBudget {
    /// Seconds for which unused lines are kept.
    const KEPT_SECONDS: f64 = 10.0;

    pub(crate) fn new(detector: Arc<str>, lines_per_second: u32) -> Self {
        let a_second = f64::from(lines_per_second);
        Self { detector, a_second, left: Mutex::new((a_second * Self::KEPT_SECONDS, Instant::now())) }
    }

    pub(crate) fn detector(&self) -> &str {
        &self.detector
    }

    /// Takes one line from the budget; `false` if there is none left.
    pub(crate) fn take(&self) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let refill = now.duration_since(left.1).as_secs_f64() * self.a_second;
        let lines = (left.0 + refill).min(self.a_second * Self::KEPT_SECONDS);
        let granted = lines >= 1.0;
        *left = (if granted { lines - 1.0 } else { lines }, now);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> exported::About {
        exported::About {
            name: "my-detector".into(),
            version: "1.2.3-rc.1+build".into(),
            config_schema: "{}".into(),
            state_schema: 1,
            warmup_windows: 0,
            kinds: vec![types::Kind::Gauge],
        }
    }

    /// What a component says about itself ends up in events, metrics and pages; nothing out of range may get there.
    #[test]
    fn self_descriptions_are_checked() {
        assert_eq!(About::check(about()).unwrap().kinds, [SeriesKind::Gauge]);
        let bad = [
            exported::About { name: String::new(), ..about() },
            exported::About { name: "x".repeat(65), ..about() },
            exported::About { name: "Mine".into(), ..about() },
            exported::About { version: "1.2".into(), ..about() },
            exported::About { version: "1.2.3-".into(), ..about() },
            exported::About { version: "1.2.x".into(), ..about() },
            exported::About { version: "1.2.3\n".into(), ..about() },
            exported::About { config_schema: "{".into(), ..about() },
            exported::About { config_schema: "[]".into(), ..about() },
            exported::About { config_schema: format!("{{\"a\":\"{}\"}}", "x".repeat(64 << 10)), ..about() },
            exported::About { kinds: vec![types::Kind::Rate, types::Kind::Rate], ..about() },
        ];
        for about in bad {
            let debug = format!("{about:?}");
            assert!(About::check(about).is_err(), "{debug}");
        }
    }
}
