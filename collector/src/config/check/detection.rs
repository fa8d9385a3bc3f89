//! How detection works: detectors with their own configurations, windows, limits, thresholds, and who gets what is found.

use super::{
    super::{
        AnomalyConfig, Detection, DetectorConfig, IncidentConfig, Module, Pipeline,
        problem::{At, Mark},
        raw::{Raw, RawDetection, RawDetector},
        yaml::Node,
    },
    Checker, MIB, names,
};
use foreshock_otlp::Signal;
use jsonschema::error::ValidationErrorKind;
use std::time::Duration;

impl Checker<'_, '_> {
    pub(super) fn detector(&mut self, name: &At<String>, raw: &RawDetector) -> Option<DetectorConfig> {
        let key = format!("detectors.{}", name.value);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        if name.value.is_empty() || name.value.len() > 64 || !name.value.bytes().all(fits) {
            let message = format!("{key}: a name is 1 to 64 letters, digits, `-`, `_`, `.` and `/`");
            self.problems.error(name.mark, message);
        }
        let services = raw.services.clone().unwrap_or_else(|| vec![At { value: "*".to_owned(), mark: name.mark }]);
        if services.is_empty() {
            self.problems.warning(name.mark, format!("{key}.services: is empty, so it never runs"));
        }
        for glob in &services {
            if let Err(error) = globset::Glob::new(&glob.value) {
                self.problems
                    .error(glob.mark, format!("{key}.services: `{}` is not a glob: {}", glob.value, error.kind()));
            }
        }
        let given = raw.module.as_ref()?;
        let module = match given.value.split_once(':') {
            Some(("builtin", builtin)) => Module::Builtin(builtin.to_owned()),
            Some(("oci", _)) => match given.value.parse() {
                Ok(reference) => Module::Oci(reference),
                Err(reason) => {
                    self.problems.error(given.mark, format!("{key}.module: `{}` {reason}", given.value));
                    return None;
                }
            },
            _ => Module::File(self.file(&format!("{key}.module"), given)),
        };
        let config = raw.config.as_ref().map_or_else(|| serde_json::json!({}), Node::to_json);
        if !matches!(&module, Module::File(path) if !path.is_file()) {
            match self.surroundings.modules.about(&module) {
                Ok(about) => self.schema(&key, name.mark, raw.config.as_ref(), &config, &about.config_schema),
                Err(reason) => self.problems.error(given.mark, format!("{key}.module: `{}` {reason}", given.value)),
            }
        }
        Some(DetectorConfig {
            name: name.value.clone(),
            module,
            services: services.into_iter().map(|glob| glob.value).collect(),
            config,
            weight: raw.weight.unwrap_or(1.0),
            limits: raw.limits.or_defaults(),
        })
    }

    /// Checks a detector's configuration against its own schema; each complaint is placed at the key it is about.
    fn schema(&mut self, key: &str, name: Mark, node: Option<&Node>, config: &serde_json::Value, schema: &str) {
        let usable =
            serde_json::from_str(schema).map_err(|error| error.to_string()).and_then(|schema: serde_json::Value| {
                jsonschema::validator_for(&schema).map_err(|error| error.to_string())
            });
        match usable {
            Err(reason) => {
                self.problems
                    .error(name, format!("{key}: the component's configuration schema is of no use: {reason}"));
            }
            Ok(validator) => {
                for error in validator.iter_errors(config).take(32) {
                    let mut pointer = error.instance_path().to_string();
                    if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind()
                        && let Some(first) = unexpected.first()
                    {
                        pointer = format!("{pointer}/{first}");
                    }
                    let mark = node.map_or(name, |node| node.mark_of_pointer(&pointer));
                    let way = pointer.replace('/', ".");
                    self.problems.error(mark, format!("{key}.config{way}: {error}"));
                }
            }
        }
    }

    pub(super) fn detection(&mut self, raw: &RawDetection, all: &Raw, pipelines: &[Pipeline]) -> Detection {
        if let Some(window) = &raw.window
            && window.value.subsec_nanos() != 0
        {
            self.problems.error(window.mark, "detection.window: takes whole seconds");
        }
        if let (Some(open), Some(close)) = (&raw.anomalies.open_score, &raw.anomalies.close_score)
            && close.value > open.value
        {
            self.problems.error(close.mark, "detection.anomalies.close_score: must not be above `open_score`");
        }
        if let (Some(windows), Some(of)) = (&raw.anomalies.open_windows, &raw.anomalies.open_of)
            && windows.value > of.value
        {
            let message = "detection.anomalies.open_windows: must not be above `open_of`";
            self.problems.error(windows.mark, message);
        }
        let shards = match (self.surroundings.env)("FORESHOCK_SHARDS").filter(|text| !text.is_empty()) {
            Some(text) => match text.parse::<usize>().ok().filter(|shards| (1..=64).contains(shards)) {
                Some(shards) => shards,
                None => {
                    let message = format!("the environment variable FORESHOCK_SHARDS takes 1 to 64, this is `{text}`");
                    self.problems.error(all.service, message);
                    1
                }
            },
            None => {
                raw.shards.and_then(|n| usize::try_from(n).ok()).unwrap_or(self.surroundings.processors.clamp(1, 4))
            }
        };
        let size = |value: Option<u64>| value.and_then(|v| usize::try_from(v).ok());
        let count = |value: Option<u64>| value.and_then(|v| u32::try_from(v).ok());
        let mut chosen = |list: &Option<At<Vec<At<String>>>>, which: &str, signal: Signal| match list {
            Some(list) => {
                self.references("detection.exporters", which, "exporter", &list.value, &names(&all.exporters))
            }
            None => emission(pipelines, signal),
        };
        Detection {
            window: raw.window.as_ref().map_or(Duration::from_secs(10), |at| at.value),
            lateness: raw.lateness.unwrap_or(Duration::from_secs(5)),
            idle: raw.idle.unwrap_or(Duration::from_secs(30)),
            shards,
            queue_requests: size(raw.queue_requests).unwrap_or(4096),
            queue_bytes: size(raw.queue_size_mib).unwrap_or(64) * MIB,
            services: size(raw.services).unwrap_or(10_000),
            series_per_service: size(raw.series_per_service),
            streams_per_service: size(raw.streams_per_service),
            templates_per_service: size(raw.templates_per_service),
            operations_per_service: size(raw.operations_per_service),
            selfcheck_every: raw.selfcheck_every.unwrap_or(Duration::from_secs(900)),
            false_alarms_per_service_day: raw.false_alarms_per_service_day,
            anomalies: AnomalyConfig {
                open_score: raw.anomalies.open_score.as_ref().map(|at| at.value),
                close_score: raw.anomalies.close_score.as_ref().map(|at| at.value),
                open_windows: count(raw.anomalies.open_windows.as_ref().map(|at| at.value)),
                open_of: count(raw.anomalies.open_of.as_ref().map(|at| at.value)),
                close_windows: count(raw.anomalies.close_windows),
                refractory_windows: count(raw.anomalies.refractory_windows),
                minimum_duration: raw.anomalies.minimum_duration,
                minimum_volume: raw.anomalies.minimum_volume,
                unknown_volume_windows: count(raw.anomalies.unknown_volume_windows),
                minimum_change: raw.anomalies.minimum_change,
                minimum_latency_change: raw.anomalies.minimum_latency_change,
                minimum_error_change: raw.anomalies.minimum_error_change,
                minimum_share_change: raw.anomalies.minimum_share_change,
            },
            incidents: IncidentConfig {
                join_within: raw.incidents.join_within,
                persistence_windows: count(raw.incidents.persistence_windows),
                persistence_readings: count(raw.incidents.persistence_readings),
                growth_within: raw.incidents.growth_within,
                quiet: raw.incidents.quiet,
                reopen_within: raw.incidents.reopen_within,
                merge_within: raw.incidents.merge_within,
                version_change_within: raw.incidents.version_change_within,
            },
            event_exporters: chosen(&raw.event_exporters, "events", Signal::Logs),
            trace_exporters: chosen(&raw.trace_exporters, "traces", Signal::Traces),
        }
    }
}

/// Where events (`Logs`) or incident traces (`Traces`) go unless the file says: to the exporters of those pipelines of the
/// signal that have detectors, else to those of all pipelines that have detectors.
fn emission(pipelines: &[Pipeline], signal: Signal) -> Vec<String> {
    let with = |only: Option<Signal>| {
        let mut found: Vec<String> = Vec::new();
        for pipeline in pipelines {
            if !pipeline.detectors.is_empty() && only.is_none_or(|signal| pipeline.signal == signal) {
                for exporter in &pipeline.exporters {
                    if !found.contains(exporter) {
                        found.push(exporter.clone());
                    }
                }
            }
        }
        found
    };
    let own = with(Some(signal));
    if own.is_empty() { with(None) } else { own }
}
