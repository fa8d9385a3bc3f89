//! From what was written to what the program needs: references, files, endpoints, detectors, defaults.

mod detection;
mod telemetry;
mod transport;

use super::{
    Config, Detection, DetectorConfig, Listener, Pipeline, Surroundings,
    problem::{At, Mark, Problems, hint},
    raw::{Raw, RawEndpoint, RawListener, RawPipeline, RawReceiver},
};
use foreshock_otlp::Signal;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

const MIB: usize = 1 << 20;

/// Resolves everything; what could not be resolved is in `problems`, and the result is then of no use.
pub(super) fn check(raw: &Raw, folder: &Path, surroundings: &Surroundings<'_>, problems: &mut Problems) -> Config {
    let mut checker = Checker { folder, surroundings, problems };
    let receiver = raw.receiver.as_ref();
    let grpc = receiver
        .and_then(|receiver| receiver.grpc.as_ref())
        .and_then(|listener| checker.listener("grpc", listener, "127.0.0.1:4317"));
    let http = receiver
        .and_then(|receiver| receiver.http.as_ref())
        .and_then(|listener| checker.listener("http", listener, "127.0.0.1:4318"));
    match receiver {
        None => checker.problems.error(raw.service, "receivers.otlp: is missing"),
        Some(receiver) if receiver.grpc.is_none() && receiver.http.is_none() => {
            checker.problems.error(receiver.mark, "receivers.otlp.protocols: takes `grpc`, `http` or both");
        }
        Some(_) => {}
    }
    let mut exporters = BTreeMap::new();
    for (name, exporter) in &raw.exporters {
        if let Some(exporter) = checker.exporter(name, exporter) {
            exporters.insert(name.value.clone(), exporter);
        }
    }
    let memory_bytes = raw.detectors.iter().map(|(_, detector)| detector.limits.or_defaults().memory_bytes).max();
    let services = raw.detection.services.and_then(|services| usize::try_from(services).ok()).unwrap_or(10_000);
    let models = (services + 1).saturating_mul(raw.detectors.len());
    let storage_is_chosen = raw.storage.is_some();
    let storage = (!raw.storage_off).then(|| match &raw.storage {
        Some(path) => PathBuf::from(&path.value),
        None => default_storage(surroundings),
    });
    surroundings.modules.expect(models, memory_bytes.unwrap_or(16 << 20), storage.as_deref());
    let detectors: Vec<DetectorConfig> =
        raw.detectors.iter().filter_map(|(name, detector)| checker.detector(name, detector)).collect();
    let pipelines: Vec<Pipeline> =
        raw.pipelines.iter().filter_map(|(name, pipeline)| checker.pipeline(name, pipeline, raw)).collect();
    if raw.pipelines.is_empty() {
        checker.problems.error(raw.service, "service.pipelines: is missing or empty; nothing would be received");
    }
    let detection = checker.detection(&raw.detection, raw, &pipelines);
    let used = checker.used(raw, &pipelines, &detection);
    let telemetry = checker.telemetry(raw);
    let console = checker.endpoint("console", &raw.console, "127.0.0.1:4320");
    let health = checker.endpoint("health", &raw.health, "127.0.0.1:13133");
    checker.collisions(raw, grpc.as_ref(), http.as_ref(), [console.as_deref(), health.as_deref()]);
    exporters.retain(|name, _| used.contains(name));
    Config {
        grpc,
        http,
        exporters,
        detectors: detectors.into_iter().filter(|detector| used.contains(&detector.name)).collect(),
        pipelines,
        detection,
        storage,
        storage_is_chosen,
        console,
        health,
        telemetry,
        shutdown_timeout: raw.shutdown_timeout.unwrap_or(Duration::from_secs(10)),
    }
}

/// The first folder of `STATE_DIRECTORY` (set by systemd), else `foreshock-data` in the working folder.
fn default_storage(surroundings: &Surroundings<'_>) -> PathBuf {
    let given = (surroundings.env)("STATE_DIRECTORY").unwrap_or_default();
    match given.split(':').next() {
        Some(first) if !first.is_empty() => PathBuf::from(first),
        _ => PathBuf::from("foreshock-data"),
    }
}

struct Checker<'a, 's> {
    folder: &'a Path,
    surroundings: &'a Surroundings<'s>,
    problems: &'a mut Problems,
}

impl Checker<'_, '_> {
    /// A path that must lead to a file. Relative ones lead from the configuration's folder, or else from the working folder.
    fn file(&mut self, key: &str, path: &At<String>) -> PathBuf {
        let near = self.folder.join(&path.value);
        let found = if near.exists() { near } else { PathBuf::from(&path.value) };
        match std::fs::metadata(&found) {
            Ok(about) if about.is_file() => {}
            Ok(_) => self.problems.error(path.mark, format!("{key}: `{}` is not a file", path.value)),
            Err(error) => self.problems.error(path.mark, format!("{key}: `{}` can't be read: {error}", path.value)),
        }
        found
    }

    fn pipeline(&mut self, name: &At<String>, raw: &RawPipeline, all: &Raw) -> Option<Pipeline> {
        let key = format!("service.pipelines.{}", name.value);
        let kind = name.value.split_once('/').map_or(name.value.as_str(), |(kind, _)| kind);
        let signal = Signal::ALL.into_iter().find(|signal| signal.name() == kind);
        if signal.is_none() {
            let hint = hint(kind, Signal::ALL.map(Signal::name));
            let message =
                format!("{key}: a pipeline is `metrics`, `logs` or `traces`, with `/name` behind it if need be{hint}");
            self.problems.error(name.mark, message);
        }
        match &raw.receivers {
            Some(receivers) if !receivers.value.is_empty() => {
                for receiver in &receivers.value {
                    if receiver.value != "otlp" {
                        let hint = hint(&receiver.value, ["otlp"]);
                        let message = format!("{key}.receivers: there is no receiver `{}`{hint}", receiver.value);
                        self.problems.error(receiver.mark, message);
                    } else if all.receiver.is_none() {
                        let message = format!("{key}.receivers: `otlp` is not configured under `receivers`");
                        self.problems.error(receiver.mark, message);
                    }
                }
            }
            _ => self.problems.error(raw.mark, format!("{key}.receivers: is missing or empty; it takes `[otlp]`")),
        }
        let detectors = self.references(&key, "detectors", "detector", &raw.detectors, &names(&all.detectors));
        let exporters = match &raw.exporters {
            Some(list) if !list.value.is_empty() => {
                self.references(&key, "exporters", "exporter", &list.value, &names(&all.exporters))
            }
            _ => {
                self.problems.error(raw.mark, format!("{key}.exporters: is missing or empty"));
                Vec::new()
            }
        };
        Some(Pipeline { name: name.value.clone(), signal: signal?, detectors, exporters })
    }

    fn references(&mut self, key: &str, list: &str, what: &str, given: &[At<String>], known: &[&str]) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for reference in given {
            if !known.contains(&reference.value.as_str()) {
                let hint = hint(&reference.value, known.iter().copied());
                self.problems
                    .error(reference.mark, format!("{key}.{list}: there is no {what} `{}`{hint}", reference.value));
            } else if found.contains(&reference.value) {
                self.problems.warning(reference.mark, format!("{key}.{list}: `{}` stands here twice", reference.value));
            } else {
                found.push(reference.value.clone());
            }
        }
        found
    }

    /// Two listeners on one port, and exporters that lead back to the receivers.
    fn collisions(
        &mut self,
        raw: &Raw,
        grpc: Option<&Listener>,
        http: Option<&Listener>,
        [console, health]: [Option<&str>; 2],
    ) {
        let receiver = raw.receiver.as_ref();
        let given =
            |listener: Option<&RawListener>| listener.and_then(|listener| Some(listener.endpoint.as_ref()?.mark));
        let protocols = |receiver: &RawReceiver| [given(receiver.grpc.as_ref()), given(receiver.http.as_ref())];
        let [grpc_mark, http_mark] = receiver.map(protocols).unwrap_or_default();
        let mark = |endpoint: &RawEndpoint| endpoint.endpoint.as_ref().map(|endpoint| endpoint.mark);
        let listeners = [
            ("receivers.otlp.protocols.grpc", grpc.map(|listener| listener.endpoint.as_str()), grpc_mark),
            ("receivers.otlp.protocols.http", http.map(|listener| listener.endpoint.as_str()), http_mark),
            ("console", console, mark(&raw.console)),
            ("health", health, mark(&raw.health)),
        ];
        let taken: Vec<(&str, &str, Option<Mark>)> =
            listeners.iter().filter_map(|&(key, endpoint, mark)| Some((key, endpoint?, mark))).collect();
        for (index, (key, endpoint, mark)) in taken.iter().enumerate() {
            if let Some((first, ..)) =
                taken.iter().take(index).find(|(_, other, _)| transport::is_same(other, endpoint))
            {
                let message = format!("{key}.endpoint: `{endpoint}` is taken by `{first}`");
                self.problems.error(mark.unwrap_or(raw.service), message);
            }
        }
        for (name, exporter) in &raw.exporters {
            let Some(given) = &exporter.endpoint else { continue };
            let address = given.value.split_once("://").map_or(given.value.as_str(), |(_, rest)| rest);
            let address = address.split('/').next().unwrap_or("");
            if let Some((key, ..)) = taken
                .iter()
                .take(2)
                .find(|(key, listener, _)| key.starts_with("receivers") && transport::is_same(listener, address))
            {
                let message = format!(
                    "exporters.{}.endpoint: leads back to `{key}`, so everything would go round for ever",
                    name.value
                );
                self.problems.error(given.mark, message);
            }
        }
    }

    /// Names of exporters and detectors that something uses; the others are warned about.
    fn used(&mut self, raw: &Raw, pipelines: &[Pipeline], detection: &Detection) -> BTreeSet<String> {
        let exporters: BTreeSet<&String> = pipelines
            .iter()
            .flat_map(|pipeline| &pipeline.exporters)
            .chain(&detection.event_exporters)
            .chain(&detection.trace_exporters)
            .collect();
        let detectors: BTreeSet<&String> = pipelines.iter().flat_map(|pipeline| &pipeline.detectors).collect();
        for (name, _) in &raw.exporters {
            if !exporters.contains(&name.value) {
                self.problems.warning(name.mark, format!("exporters.{}: no pipeline uses it", name.value));
            }
        }
        for (name, _) in &raw.detectors {
            if !detectors.contains(&name.value) {
                self.problems.warning(name.mark, format!("detectors.{}: no pipeline uses it", name.value));
            }
        }
        exporters.into_iter().chain(detectors).cloned().collect()
    }
}

fn names<T>(list: &[(At<String>, T)]) -> Vec<&str> {
    list.iter().map(|(name, _)| name.value.as_str()).collect()
}
