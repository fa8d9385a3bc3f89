//! The programs that are measured, each between the load and a recording upstream.

use anyhow::{Context, Result};
use e2e::{
    process::{self, Program},
    wire::Upstream,
};
use std::{fmt::Write, net::SocketAddr, process::Command, time::Duration};
use tempfile::TempDir;

/// Which program stands between the load and the upstream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Nothing: the load talks to the upstream.
    Direct,
    /// An OpenTelemetry Collector that forwards.
    Collector,
    /// Foreshock that forwards.
    Forwarding,
    /// Foreshock that forwards and runs its default detectors.
    Detecting,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "no hop",
            Self::Collector => "Collector, forwarding",
            Self::Forwarding => "Foreshock, forwarding",
            Self::Detecting => "Foreshock, detecting",
        }
    }
}

/// A running hop with its upstream.
pub(crate) struct Hop {
    /// Where the load goes.
    pub(crate) address: SocketAddr,
    /// What comes out.
    pub(crate) upstream: Upstream,
    /// The program, unless there is none.
    pub(crate) program: Option<Program>,
    console: Option<SocketAddr>,
    _folder: TempDir,
}

impl Hop {
    /// Starts a hop that exports with the given compression (`none`, `gzip`, `zstd`).
    pub(crate) async fn start(kind: Kind, compression: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let upstream = Upstream::start().await?;
        if kind == Kind::Direct {
            return Ok(Self { address: upstream.address, upstream, program: None, console: None, _folder: folder });
        }
        let address = process::free_address()?;
        let file = folder.path().join("config.yaml");
        let console = process::free_address()?;
        let mut command = if kind == Kind::Collector {
            let program = process::peer("FORESHOCK_PEER_COLLECTOR")?.context("the bench needs the Collector")?;
            std::fs::write(&file, collector_config(address, upstream.address, compression))?;
            let mut command = Command::new(program);
            command.arg("--config").arg(&file);
            command
        } else {
            let detecting = kind == Kind::Detecting;
            let text = foreshock_config(address, upstream.address, compression, detecting, console, &folder)?;
            std::fs::write(&file, text)?;
            let mut command = Command::new(process::foreshock()?);
            command.args(["run", "--config"]).arg(&file);
            command
        };
        let mut program = Program::start(kind.name(), &mut command)?;
        program.wait_for_port(address, Duration::from_secs(60))?;
        let console = (kind != Kind::Collector).then_some(console);
        Ok(Self { address, upstream, program: Some(program), console, _folder: folder })
    }

    /// Requests that detection left out because it was behind.
    pub(crate) fn shed_requests(&self) -> Result<f64> {
        let Some(console) = self.console else { return Ok(0.0) };
        Ok(process::prometheus_sum(&process::http_get(console, "/metrics")?, "foreshock_detection_shed_total"))
    }
}

fn collector_config(address: SocketAddr, upstream: SocketAddr, compression: &str) -> String {
    let mut text = format!(
        "receivers:\n  otlp:\n    protocols:\n      grpc:\n        endpoint: {address}\n        max_recv_msg_size_mib: 64\n\
         exporters:\n  otlp:\n    endpoint: {upstream}\n    compression: {compression}\n    tls:\n      insecure: true\n\
         service:\n  telemetry:\n    metrics:\n      level: none\n  pipelines:\n"
    );
    for signal in ["metrics", "logs", "traces"] {
        // Writing to a string cannot fail.
        let _written = write!(text, "    {signal}:\n      receivers: [otlp]\n      exporters: [otlp]\n");
    }
    text
}

fn foreshock_config(
    address: SocketAddr,
    upstream: SocketAddr,
    compression: &str,
    detecting: bool,
    console: SocketAddr,
    folder: &TempDir,
) -> Result<String> {
    let (http, health) = (process::free_address()?, process::free_address()?);
    let mut text = format!(
        "receivers:\n  otlp:\n    protocols:\n      grpc:\n        endpoint: {address}\n        max_recv_msg_size_mib: 64\n      http:\n        endpoint: {http}\n\
         exporters:\n  otlp:\n    endpoint: {upstream}\n    compression: {compression}\n    tls:\n      insecure: true\n\
         console:\n  endpoint: {console}\nhealth:\n  endpoint: {health}\nstorage:\n  path: {}\n",
        folder.path().join("state").display()
    );
    if detecting {
        text.push_str("detectors:\n");
        for detector in ["baseline", "isolation-forest", "log-patterns"] {
            let _written = write!(text, "  {detector}:\n    module: builtin:{detector}\n");
        }
    }
    text.push_str("service:\n  pipelines:\n");
    for signal in ["metrics", "logs", "traces"] {
        let _written = write!(text, "    {signal}:\n      receivers: [otlp]\n      exporters: [otlp]\n");
        if detecting {
            text.push_str("      detectors: [baseline, isolation-forest, log-patterns]\n");
        }
    }
    Ok(text)
}
