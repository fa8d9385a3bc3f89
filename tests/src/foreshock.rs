//! A running Foreshock for a test or a bench, on ports of its own.

use crate::process::{self, Program};
use anyhow::Result;
use std::{fmt::Write, fs, net::SocketAddr, path::Path, process::Command, time::Duration};

/// Detectors that come with Foreshock.
pub const BUILTIN: [&str; 3] = ["baseline", "isolation-forest", "log-patterns"];

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

    /// Forwards to `upstream` and runs the detectors that come with Foreshock.
    #[must_use]
    pub fn detecting(upstream: SocketAddr) -> Self {
        let detectors =
            BUILTIN.iter().map(|name| ((*name).to_owned(), format!("builtin:{name}"), "{}".to_owned())).collect();
        Self { detectors, ..Self::forwarding(upstream) }
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
        let (grpc, http) = (process::free_address()?, process::free_address()?);
        let (console, health) = (process::free_address()?, process::free_address()?);
        let names: Vec<&str> = setup.detectors.iter().map(|(name, ..)| name.as_str()).collect();
        let mut text = format!(
            "receivers:\n  otlp:\n    protocols:\n      grpc:\n        endpoint: {grpc}\n        max_recv_msg_size_mib: 64\n      http:\n        endpoint: {http}\n\
             exporters:\n  otlp:\n    endpoint: {}\n    compression: {}\n    tls:\n      insecure: true\n\
             console:\n  endpoint: {console}\nhealth:\n  endpoint: {health}\nstorage:\n  path: {}\n",
            setup.upstream,
            setup.compression,
            folder.join("state").display()
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
        let file = folder.join("foreshock.yaml");
        fs::write(&file, text)?;
        let mut command = Command::new(process::foreshock()?);
        command.args(["run", "--config"]).arg(&file);
        let mut program = Program::start("foreshock", &mut command)?;
        program.wait_for_port(grpc, Duration::from_secs(60))?;
        let mut this = Self { program, grpc, http, console, health };
        this.wait_until_ready()?;
        Ok(this)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        self.program.wait_for_port(self.health, Duration::from_secs(60))?;
        self.wait(Duration::from_secs(60), |this| process::http_get(this.health, "/").is_ok())
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
