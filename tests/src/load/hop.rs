//! The programs that are measured, each between the load and a recording upstream.

use anyhow::{Context, Result};
use e2e::{
    foreshock::{Foreshock, STANDARD, Setup, THREE},
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
    /// Foreshock that forwards and runs `baseline`, `isolation-forest` and `log-patterns`.
    Three,
    /// Foreshock that forwards and runs the six detectors of the default configuration.
    Standard,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "no hop",
            Self::Collector => "Collector, forwarding",
            Self::Forwarding => "Foreshock, forwarding",
            Self::Three => "Foreshock, 3 detectors",
            Self::Standard => "Foreshock, 6 detectors",
        }
    }
}

/// A running hop with its upstream.
pub(crate) struct Hop {
    /// Where the load goes.
    pub(crate) address: SocketAddr,
    /// What comes out.
    pub(crate) upstream: Upstream,
    running: Running,
    _folder: TempDir,
}

enum Running {
    Nothing,
    Collector(Program),
    Foreshock(Box<Foreshock>),
}

impl Hop {
    /// Starts a hop that exports with the given compression (`none`, `gzip`, `zstd`).
    pub(crate) async fn start(kind: Kind, compression: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let upstream = Upstream::start().await?;
        let (address, running) = match kind {
            Kind::Direct => (upstream.address, Running::Nothing),
            Kind::Collector => {
                let address = process::free_address()?;
                let file = folder.path().join("config.yaml");
                std::fs::write(&file, collector_config(address, upstream.address, compression))?;
                let path = process::peer("FORESHOCK_PEER_COLLECTOR")?.context("the bench needs the Collector")?;
                let mut program = Program::start(kind.name(), Command::new(path).arg("--config").arg(&file))?;
                program.wait_for_port(address, Duration::from_secs(60))?;
                (address, Running::Collector(program))
            }
            Kind::Forwarding | Kind::Three | Kind::Standard => {
                // Event time runs up to a thousand times as fast as the clock here, and self-checks follow event time: they would be
                // most of the work, while in life there is one in a quarter of an hour.
                let extra = "detection: { selfcheck_every: 0s }\n".to_owned();
                let setup = Setup { compression: compression.to_owned(), extra, ..Setup::forwarding(upstream.address) };
                let setup = match kind {
                    Kind::Three => setup.with(&THREE),
                    Kind::Standard => setup.with(&STANDARD),
                    _ => setup,
                };
                let foreshock = Foreshock::start(&setup, folder.path())?;
                (foreshock.grpc, Running::Foreshock(Box::new(foreshock)))
            }
        };
        Ok(Self { address, upstream, running, _folder: folder })
    }

    /// The program, unless there is none.
    pub(crate) fn program(&self) -> Option<&Program> {
        match &self.running {
            Running::Nothing => None,
            Running::Collector(program) => Some(program),
            Running::Foreshock(foreshock) => Some(&foreshock.program),
        }
    }

    /// Items that detection left out because it was behind.
    pub(crate) fn shed_items(&self) -> Result<f64> {
        match &self.running {
            Running::Foreshock(foreshock) => foreshock.metric("foreshock_detection_shed_total"),
            _ => Ok(0.0),
        }
    }

    /// Models of detectors that live.
    pub(crate) fn models(&self) -> Result<f64> {
        match &self.running {
            Running::Foreshock(foreshock) => foreshock.metric("foreshock_detector_models"),
            _ => Ok(0.0),
        }
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
