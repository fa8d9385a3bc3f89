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

/// The detectors of the default configuration for all services, but for `novelty` and `joint`, which learn for longer than a story
/// is calm; nothing kept, and everything sent to the demo's backend. Events go one after the
/// other, so that they arrive in their order, and detectors have all the time they need: a machine that is busy for a moment must
/// not change what is found.
const CONFIG: &str = "\
receivers: { otlp: { protocols: { grpc: { endpoint: '127.0.0.1:0' } } } }
exporters:
  otlp/backend: { endpoint: 'http://${env:BACKEND}' }
  otlp/events: { endpoint: 'http://${env:BACKEND}', sending_queue: { num_consumers: 1 } }
detectors:
  isolation-forest: { module: 'builtin:isolation-forest', services: ['*'], limits: { deadline: 10s } }
  baseline: { module: 'builtin:baseline', services: ['*'], limits: { deadline: 10s } }
  forecast: { module: 'builtin:forecast', services: ['*'], limits: { deadline: 10s } }
  log-patterns: { module: 'builtin:log-patterns', services: ['*'], limits: { deadline: 10s } }
detection: { selfcheck_every: 0s, exporters: { events: [otlp/events], traces: [otlp/events] } }
storage: { enabled: false }
console: { endpoint: '127.0.0.1:${env:CONSOLE}' }
health: { enabled: false }
service:
  telemetry: { logs: { level: error } }
  pipelines:
    metrics: { receivers: [otlp], detectors: [isolation-forest, baseline, forecast], exporters: [otlp/backend] }
    logs: { receivers: [otlp], detectors: [log-patterns], exporters: [otlp/backend] }
    traces: { receivers: [otlp], detectors: [isolation-forest, baseline], exporters: [otlp/backend] }
";

/// Added to the exporters where a real backend is asked for. If it can't keep up it misses something; the story goes on.
const FURTHER: &str = "  otlp/further: { endpoint: '${env:FURTHER}', sending_queue: { on_full: drop } }\ndetectors:\n";
const FURTHER_NAME: &str = "otlp/further";

/// Where the console usually is. If somebody has that port, another one is taken.
const CONSOLE_PORT: u16 = 4320;

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
        let live = match Self::live(&clock, backend, further, CONSOLE_PORT).await {
            Ok(live) => live,
            Err(_) => Self::live(&clock, backend, further, 0).await?,
        };
        let receiver = live.addresses().grpc.context("the receiver does not listen")?;
        Ok(Self { live, receiver })
    }

    async fn live(clock: &Arc<StoryClock>, backend: SocketAddr, further: Option<&str>, console: u16) -> Result<Live> {
        let config = configuration(backend, further, console)?;
        let telemetry = Arc::new(Telemetry::start(&config.telemetry)?);
        Live::start(&config, Arc::<StoryClock>::clone(clock), telemetry).await
    }

    /// Where it takes OTLP/gRPC.
    pub(super) fn receiver(&self) -> SocketAddr {
        self.receiver
    }

    /// Where its console is.
    pub(super) fn console(&self) -> Option<SocketAddr> {
        self.live.addresses().console
    }

    /// See [`Live::wait_for_detection`].
    pub(super) fn wait_for_detection(&self, requests: u64, patience: Duration) -> bool {
        self.live.wait_for_detection(requests, patience)
    }

    /// Tells detection that the clock has moved on.
    pub(super) fn wake_detection(&self) {
        self.live.wake_detection();
    }

    /// Items that the detectors did not look at.
    pub(super) fn shed(&self) -> u64 {
        Signal::ALL.iter().map(|signal| self.live.counters().shed(*signal)).sum()
    }

    /// Ends it as a signal would: nothing is lost. Answers how many requests the further backend did not take.
    pub(super) async fn stop(self) -> Result<usize> {
        let mut unsent = self.live.stop().await.unsent;
        let further = unsent.remove(FURTHER_NAME).unwrap_or(0);
        let missing: usize = unsent.values().sum();
        if missing > 0 {
            bail!("{missing} requests were not forwarded: {unsent:?}");
        }
        Ok(further)
    }
}

fn configuration(backend: SocketAddr, further: Option<&str>, console: u16) -> Result<Config> {
    let text = match further {
        Some(_) => {
            let text = CONFIG.replacen("detectors:\n", FURTHER, 1);
            text.replace("[otlp/backend]", "[otlp/backend, otlp/further]")
                .replace("[otlp/events]", "[otlp/events, otlp/further]")
        }
        None => CONFIG.to_owned(),
    };
    let components = Components::default();
    let mut around = surroundings(&components);
    let env = |name: &str| match name {
        "BACKEND" => Some(backend.to_string()),
        "FURTHER" => further.map(str::to_owned),
        "CONSOLE" => Some(console.to_string()),
        _ => std::env::var(name).ok(),
    };
    around.env = &env;
    match config::parse("demo", Path::new(""), &text, &around) {
        Ok(loaded) => Ok(loaded.config),
        Err(problems) if further.is_some() => bail!("--endpoint: can't be used\n{problems}"),
        Err(problems) => bail!("the demo's configuration can't be used:\n{problems}"),
    }
}
