//! The program under the demo: the same as `foreshock run`, on free ports of the loopback interface and by the story's clock.

use super::clock::StoryClock;
use crate::{
    cli::surroundings,
    config::{self, Config},
    detectors::Components,
    live::Live,
    pipeline::clock::Clock,
    telemetry::Telemetry,
};
use anyhow::{Context, Result, bail};
use foreshock_engine::UnixNanos;
use foreshock_otlp::Signal;
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

/// All built-in detectors for all services, nothing kept, and everything sent to the demo's backend.
const CONFIG: &str = "\
receivers: { otlp: { protocols: { grpc: { endpoint: '127.0.0.1:0' } } } }
exporters:
  otlp/backend: { endpoint: 'http://${env:BACKEND}' }
detectors:
  isolation-forest: { module: 'builtin:isolation-forest', services: ['*'] }
  baseline: { module: 'builtin:baseline', services: ['*'] }
  log-patterns: { module: 'builtin:log-patterns', services: ['*'] }
storage: { enabled: false }
console: { enabled: false }
health: { enabled: false }
service:
  telemetry: { logs: { level: error } }
  pipelines:
    metrics: { receivers: [otlp], detectors: [isolation-forest, baseline], exporters: [otlp/backend] }
    logs: { receivers: [otlp], detectors: [log-patterns], exporters: [otlp/backend] }
    traces: { receivers: [otlp], detectors: [isolation-forest, baseline], exporters: [otlp/backend] }
";

/// Added to the exporters where a real backend is asked for.
const FURTHER: &str = "  otlp/further: { endpoint: '${env:FURTHER}' }\ndetectors:\n";

/// Requests that may wait for the detectors before the story waits for them.
const MOST_BACKLOG: usize = 64;

/// The running program.
#[derive(Debug)]
pub(super) struct Hop {
    live: Live,
    receiver: SocketAddr,
}

impl Clock for StoryClock {
    fn now(&self) -> UnixNanos {
        Self::now(self)
    }

    fn until(&self, time: UnixNanos) -> Duration {
        Self::until(self, time)
    }
}

impl Hop {
    /// Starts it in front of `backend`, and in front of `further` too, if given.
    pub(super) async fn start(clock: Arc<StoryClock>, backend: SocketAddr, further: Option<&str>) -> Result<Self> {
        let config = configuration(backend, further)?;
        let telemetry = Arc::new(Telemetry::start(&config.telemetry)?);
        let live = Live::start(&config, clock, telemetry).await?;
        let receiver = live.addresses().grpc.context("the receiver does not listen")?;
        Ok(Self { live, receiver })
    }

    /// Where it takes OTLP/gRPC.
    pub(super) fn receiver(&self) -> SocketAddr {
        self.receiver
    }

    /// Whether requests pile up in front of the detectors.
    pub(super) fn is_behind(&self) -> bool {
        self.live.detection_backlog() > MOST_BACKLOG
    }

    /// Items that the detectors did not look at.
    pub(super) fn shed(&self) -> u64 {
        Signal::ALL.iter().map(|signal| self.live.counters().shed(*signal)).sum()
    }

    /// Ends it as a signal would: nothing is lost.
    pub(super) async fn stop(self) -> Result<()> {
        let stopped = self.live.stop().await;
        let unsent: usize = stopped.unsent.values().sum();
        if unsent > 0 {
            bail!("{unsent} requests were not forwarded: {:?}", stopped.unsent);
        }
        Ok(())
    }
}

fn configuration(backend: SocketAddr, further: Option<&str>) -> Result<Config> {
    let text = match further {
        Some(_) => {
            CONFIG.replacen("detectors:\n", FURTHER, 1).replace("[otlp/backend]", "[otlp/backend, otlp/further]")
        }
        None => CONFIG.to_owned(),
    };
    let components = Components::default();
    let mut around = surroundings(&components);
    let env = |name: &str| match name {
        "BACKEND" => Some(backend.to_string()),
        "FURTHER" => further.map(str::to_owned),
        _ => std::env::var(name).ok(),
    };
    around.env = &env;
    match config::parse("demo", Path::new(""), &text, &around) {
        Ok(loaded) => Ok(loaded.config),
        Err(problems) => bail!("the demo's configuration can't be used:\n{problems}"),
    }
}
