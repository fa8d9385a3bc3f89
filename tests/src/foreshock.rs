//! A running Foreshock for a test or a bench, on ports of its own.

use crate::process::{self, Program};
use anyhow::{Context as _, Result};
use std::{fmt::Write, fs, net::SocketAddr, path::Path, process::Command, time::Duration};

/// Three detectors that come with Foreshock and cost little.
pub const THREE: [&str; 3] = ["baseline", "isolation-forest", "log-patterns"];
/// The detectors of the default configuration, `otel-config/foreshock.yaml`.
pub const STANDARD: [&str; 6] = ["isolation-forest", "baseline", "forecast", "novelty", "joint", "log-patterns"];

/// How to configure it.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Upstream's gRPC address, `host:port`.
    pub upstream: SocketAddr,
    /// `none`, `gzip` or `zstd`.
    pub compression: String,
    /// Detectors as name, module and configuration (YAML on one line); none means that it only forwards.
    pub detectors: Vec<(String, String, String)>,
    /// Lines for the end of the configuration, at the left margin.
    pub extra: String,
}

impl Setup {
    /// Forwards to `upstream` without compression and detects nothing.
    #[must_use]
    pub fn forwarding(upstream: SocketAddr) -> Self {
        Self { upstream, compression: "none".to_owned(), detectors: Vec::new(), extra: String::new() }
    }

    /// Forwards to `upstream` and runs [`THREE`].
    #[must_use]
    pub fn detecting(upstream: SocketAddr) -> Self {
        Self::forwarding(upstream).with(&THREE)
    }

    /// Runs these of the detectors that come with Foreshock, as they are configured if nothing is said.
    #[must_use]
    pub fn with(self, builtin: &[&str]) -> Self {
        let detector = |name: &&str| ((*name).to_owned(), format!("builtin:{name}"), "{}".to_owned());
        Self { detectors: builtin.iter().map(detector).collect(), ..self }
    }
}

/// The running program. It is killed when dropped.
pub struct Foreshock {
    /// The process.
    pub program: Program,
    /// OTLP/gRPC.
    pub grpc: SocketAddr,
    /// OTLP/HTTP.
    pub http: SocketAddr,
    /// Page, API and metrics.
    pub console: SocketAddr,
    /// Readiness.
    pub health: SocketAddr,
}

impl Foreshock {
    /// Writes a configuration into `folder`, starts the program and waits until it is ready. A second start in the same
    /// folder finds the state of the first.
    ///
    /// # Errors
    /// If it does not become ready within a minute.
    pub fn start(setup: &Setup, folder: &Path) -> Result<Self> {
        let names: Vec<&str> = setup.detectors.iter().map(|(name, ..)| name.as_str()).collect();
        let mut text = format!(
            "{}exporters:\n  otlp:\n    endpoint: {}\n    compression: {}\n    tls:\n      insecure: true\n",
            preamble(folder),
            setup.upstream,
            setup.compression,
        );
        if !names.is_empty() {
            text.push_str("detectors:\n");
        }
        for (name, module, config) in &setup.detectors {
            // Writing to a string cannot fail.
            let _written = write!(text, "  {name}:\n    module: {module}\n    config: {config}\n");
        }
        text.push_str("service:\n  pipelines:\n");
        for signal in ["metrics", "logs", "traces"] {
            let _written = write!(text, "    {signal}:\n      receivers: [otlp]\n      exporters: [otlp]\n");
            if !names.is_empty() {
                let _written = writeln!(text, "      detectors: [{}]", names.join(", "));
            }
        }
        text.push_str(&setup.extra);
        Self::start_with(&text, folder, &[])
    }

    /// The same with a configuration as it is. All of its listeners must be there, with port 0; [`preamble`] has them.
    ///
    /// # Errors
    /// If it does not become ready within a minute.
    pub fn start_with(config: &str, folder: &Path, environment: &[(&str, &str)]) -> Result<Self> {
        let file = folder.join("foreshock.yaml");
        fs::write(&file, config)?;
        let mut command = Command::new(process::foreshock()?);
        command.args(["run", "--config"]).arg(&file).envs(environment.iter().copied());
        let program = Program::start("foreshock", &mut command)?;
        let line = program.wait_for("foreshock ready: ", Duration::from_secs(60))?;
        let address = |what: &str| -> Result<SocketAddr> {
            let (_, rest) = line.split_once(what).with_context(|| format!("no {what:?} in {line:?}"))?;
            Ok(rest.split(',').next().unwrap_or_default().parse()?)
        };
        let this = Self {
            grpc: address("otlp/grpc ")?,
            http: address("otlp/http http://")?,
            console: address("console http://")?,
            health: address("health http://")?,
            program,
        };
        this.wait(Duration::from_secs(60), |this| process::http_get(this.health, "/").is_ok())?;
        Ok(this)
    }

    /// One of its own metrics, summed over its labels.
    ///
    /// # Errors
    /// If the console does not answer.
    pub fn metric(&self, name: &str) -> Result<f64> {
        Ok(process::prometheus_sum(&process::http_get(self.console, "/metrics")?, name))
    }

    /// Waits until something about it is true.
    ///
    /// # Errors
    /// If that does not happen within `patience`; the error holds what it wrote.
    pub fn wait(&self, patience: Duration, mut is_so: impl FnMut(&Self) -> bool) -> Result<()> {
        let deadline = std::time::Instant::now() + patience;
        while !is_so(self) {
            if std::time::Instant::now() > deadline {
                anyhow::bail!("it never came true; foreshock wrote:\n{}", self.program.output());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// The beginning of a configuration: all listeners on free ports of loopback, and the state in `folder`.
#[must_use]
pub fn preamble(folder: &Path) -> String {
    format!(
        "receivers:\n  otlp:\n    protocols:\n      grpc: {{ endpoint: \"127.0.0.1:0\" }}\n      http: {{ endpoint: \"127.0.0.1:0\" }}\n{}",
        elsewhere(folder)
    )
}

/// What [`preamble`] has beside the receivers.
#[must_use]
pub fn elsewhere(folder: &Path) -> String {
    format!(
        "console: {{ endpoint: \"127.0.0.1:0\" }}\nhealth: {{ endpoint: \"127.0.0.1:0\" }}\nstorage: {{ path: \"{}\" }}\n",
        folder.join("state").display()
    )
}
