//! The component that an author works on, and the sandbox it is tried in.

use super::contract::{self, Contract};
use crate::{
    cli::Failure,
    config::{Module, fields::parse_duration},
    detectors::{self, chain},
};
use foreshock_sandbox::{
    DetectorPool, DetectorSpec, Limits, LoadError, LoadedDetector, PoolSettings, Sandbox, Settings,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// A model is never stopped for what else the machine does: deadlines are this many times longer, and the time that calls
/// really took is compared with the deadline afterwards.
const PATIENCE: u32 = 100;

/// Components whose compiled code is kept from one command to the next: that of a scripting language takes a minute to make, and a
/// hundred megabytes of disk.
const MOST_KEPT: usize = 8;

/// Where their code is kept; `None` where the user has no cache.
fn code_folder() -> Option<PathBuf> {
    Some(detectors::user_cache()?.join("detector-code"))
}

/// Removes all code but the latest, so that there is room for one more.
fn tidy(folder: &Path) -> std::io::Result<()> {
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|suffix| suffix == "code") {
            kept.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    kept.sort();
    let too_many = (kept.len() + 1).saturating_sub(MOST_KEPT);
    kept.iter().take(too_many).try_for_each(|(_, path)| std::fs::remove_file(path))
}

/// Which component, and under what conditions.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Chosen {
    /// The component: a file, `builtin:NAME`, or `oci://REGISTRY/REPOSITORY@sha256:DIGEST`
    #[arg(value_name = "FILE.wasm")]
    pub module: String,
    /// The detector's configuration, a JSON object, or `@FILE` to read it from a file
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub config: String,
    /// How much memory a model may use, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 16)]
    pub memory_mib: usize,
    /// How long one call of `observe` may take
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = duration)]
    pub deadline: Duration,
    /// The length of a window
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = window)]
    pub window: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).filter(|time| !time.is_zero()).ok_or_else(|| "takes a time such as `250ms` or `5s`".to_owned())
}

fn window(text: &str) -> Result<Duration, String> {
    let fits = |time: &Duration| (Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(time);
    duration(text).ok().filter(fits).ok_or_else(|| "takes a time from `1s` to `24h`".to_owned())
}

/// A component's bytes, and what they say before anything runs.
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) bytes: Arc<[u8]>,
    pub(super) contract: Contract,
    config: serde_json::Value,
    limits: Limits,
    step_ns: u64,
}

/// A detector that is ready to run.
pub(super) struct Ready {
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) detector: Arc<LoadedDetector>,
    pub(super) limits: Limits,
    pub(super) step_ns: u64,
}

impl Candidate {
    /// Reads a component.
    ///
    /// # Errors
    /// [`Failure::Unusable`] if the file can't be read, is no component, or the arguments make no sense.
    pub(super) fn read(arguments: &Chosen) -> Result<Self, Failure> {
        let name = arguments.module.clone();
        let unusable = |why: String| Failure::Unusable(format!("foreshock: {name}: {why}"));
        let module = match name.split_once(':') {
            Some(("builtin", builtin)) => Module::Builtin(builtin.to_owned()),
            Some(("oci", _)) => Module::Oci(
                name.parse().map_err(|error: foreshock_registry::ReferenceError| unusable(error.to_string()))?,
            ),
            _ => Module::File(PathBuf::from(&name)),
        };
        let bytes = detectors::component(&module, None).map_err(unusable)?;
        let contract = contract::read(&bytes).map_err(unusable)?;
        let text = match arguments.config.strip_prefix('@') {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| Failure::Unusable(format!("foreshock: {path}: can't be read: {error}")))?,
            None => arguments.config.clone(),
        };
        let config: serde_json::Value = serde_json::from_str(&text)
            .map_err(|error| Failure::Unusable(format!("foreshock: --config: is no JSON: {error}")))?;
        if !config.is_object() {
            return Err(Failure::Unusable("foreshock: --config: takes a JSON object".to_owned()));
        }
        if !(1..=4096).contains(&arguments.memory_mib) {
            return Err(Failure::Unusable("foreshock: --memory-mib: takes 1 to 4096".to_owned()));
        }
        let limits =
            Limits { memory_bytes: arguments.memory_mib << 20, deadline: arguments.deadline, ..Limits::default() };
        let step_ns = u64::try_from(arguments.window.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self { name, bytes, contract, config, limits, step_ns })
    }

    /// Compiles it.
    ///
    /// # Errors
    /// If the machine can't make a sandbox, or (inside) the component can't be a detector.
    pub(super) fn load(&self) -> Result<Result<Ready, LoadError>, Failure> {
        let code_folder = code_folder();
        if let Some(folder) = &code_folder {
            // Kept code only saves time; where there is no tidying there is at most some disk to win.
            let _ = tidy(folder);
        }
        let max_memory_bytes = self.limits.memory_bytes;
        let settings = Settings { max_models: 64, max_memory_bytes, code_folder, ..Settings::default() };
        let sandbox = Sandbox::new(settings).map_err(|error| Failure::Running(error.into()))?;
        let spec = DetectorSpec {
            name: "candidate".to_owned(),
            component: Arc::clone(&self.bytes),
            services: Arc::new(|_| true),
            config: self.config.clone(),
            weight: 1.0,
            limits: self.limits,
        };
        Ok(sandbox.load(spec).map(|detector| Ready {
            sandbox: Arc::new(sandbox),
            detector: Arc::new(detector),
            limits: self.limits,
            step_ns: self.step_ns,
        }))
    }

    /// Compiles it for commands that have nothing to say about one that can't be loaded.
    ///
    /// # Errors
    /// If it can't be loaded or refuses its configuration.
    pub(super) fn ready(&self) -> Result<Ready, Failure> {
        let running = |error: LoadError| {
            let hint = "`foreshock detector check` says more";
            Failure::Running(anyhow::anyhow!("{}: {} ({hint})", self.name, chain(&error)))
        };
        let ready = self.load()?.map_err(running)?;
        if let Err(why) = self.fits_schema(&ready.detector.about().config_schema) {
            return Err(Failure::Unusable(format!("foreshock: --config: {why}")));
        }
        ready.sandbox.try_open(&ready.detector, self.step_ns).map_err(running)?;
        Ok(ready)
    }

    /// Whether the configuration is what the detector's schema asks for; the error says why not.
    pub(super) fn fits_schema(&self, schema: &serde_json::Value) -> Result<(), String> {
        detectors::fits_schema(&self.config, schema)
    }
}

impl Ready {
    /// A pool with this detector alone.
    pub(super) fn pool(&self) -> DetectorPool {
        let settings = PoolSettings {
            snapshot_every: u32::MAX,
            deadline_scale: PATIENCE,
            max_series: 20_000,
            ..PoolSettings::new(self.step_ns)
        };
        DetectorPool::new(Arc::clone(&self.sandbox), vec![Arc::clone(&self.detector)], settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An author who builds all day must not fill the disk with code: the latest few stay, other files are left alone.
    #[test]
    fn only_the_latest_code_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        for age in 0..12_u64 {
            let file = std::fs::File::create(folder.path().join(format!("{age}.code"))).expect("a file");
            file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_000 - age)).expect("a time");
        }
        std::fs::write(folder.path().join("secret"), "").expect("a file");
        tidy(folder.path()).expect("tidied");
        let mut left: Vec<_> = std::fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
            .collect();
        left.sort();
        assert_eq!(left, ["0.code", "1.code", "2.code", "3.code", "4.code", "5.code", "6.code", "secret"]);
    }
}
