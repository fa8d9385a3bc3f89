//! `foreshock demo`: a small shop that goes wrong, in front of the real program, on this machine alone.
//!
//! The simulator sends OTLP over a loopback socket into the real receiver. Everything behind it is what `foreshock run`
//! starts: forwarding, detectors in their sandbox, incidents, the console. A second socket plays the backend; what the terminal
//! shows of anomalies and incidents is what arrived there. Only the clock is the story's, so more than an hour takes two minutes.

mod backend;
mod clock;
mod feeder;
mod fit;
mod hop;
mod plain;
mod play;
mod screen;
mod stage;
mod story;
mod summary;
mod terminal;

use self::{feeder::Pace, play::Play, stage::Stage};
use anyhow::{Context, Result, bail};
use foreshock_engine::UnixNanos;
use foreshock_simulator::{Plan, Scenario, Shop};
use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpStream, time::timeout};

/// How long the ordinary lead-in, the fault and the recovery take, in real time, unless a speed is asked for.
const LEAD_IN: Duration = Duration::from_secs(40);
const FAULT: Duration = Duration::from_secs(50);
const RECOVERY: Duration = Duration::from_secs(22);

/// Start of the stories that can be played again: 2026-09-21T14:00:00Z, a Monday.
const FIXED_START: UnixNanos = UnixNanos(1_789_999_200_000_000_000);

/// How long a backend that is asked for may take to answer a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// The arguments of `foreshock demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// What goes wrong: deployment-drift, database-saturation, memory-leak, disk-filling, dependency-outage, traffic-surge
    /// or calm.
    #[arg(long, value_name = "NAME", default_value = "database-saturation")]
    pub scenario: Scenario,
    /// Simulated seconds per second. By default the whole story takes about two minutes.
    #[arg(long, value_name = "N", value_parser = speed)]
    pub speed: Option<f64>,
    /// Another seed gives the same story with other details. With it the story starts at 2026-09-21 14:00 UTC, so that the same
    /// seed gives the same events; without it, it ends about now
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Send everything on to a real OTLP/gRPC backend too, such as http://localhost:4317.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Lines instead of the screen, as where the output is no terminal.
    #[arg(long)]
    pub plain: bool,
    /// Write how it ended as JSON, for programs.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if speed.is_finite() && (0.1..=10_000.0).contains(&speed) {
        Ok(speed)
    } else {
        Err("not between 0.1 and 10000".to_owned())
    }
}

/// Plays a story to its end, or until somebody interrupts it, and sums it up.
///
/// # Errors
/// If a socket can't be opened, or a part of the program fails. A missed fault is no error, it is the summary's subject.
pub(crate) fn start(arguments: Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no async runtime")?;
    runtime.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> Result<()> {
    let plan = arguments.scenario.plan();
    let start = match arguments.seed {
        Some(_) => FIXED_START,
        // The story ends about now, so that a real backend takes it for recent.
        None => about_now(&plan)?,
    };
    let seed = arguments.seed.unwrap_or(1);
    if let Some(endpoint) = &arguments.endpoint {
        reach(endpoint).await?;
    }
    let shop = Shop::with_plan(arguments.scenario, seed, start.0, plan);
    let stage = Stage::open(shop, pace(&plan, arguments.speed), arguments.endpoint.as_deref()).await?;
    let mut play = Play::new(arguments.scenario, seed, start, stage, arguments.plain)?;
    let interrupted = play.perform().await?;
    play.finish(interrupted, arguments.report.as_deref()).await
}

fn about_now(plan: &Plan) -> Result<UnixNanos> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the system's clock is before 1970")?;
    let start = u64::try_from(now.saturating_sub(plan.total()).as_nanos());
    Ok(UnixNanos(start.context("the system's clock is too far ahead")?))
}

fn pace(plan: &Plan, speed: Option<f64>) -> Pace {
    let over = |story: Duration, real: Duration| story.as_secs_f64() / real.as_secs_f64();
    match speed {
        Some(speed) => Pace { lead_in: speed, fault: speed, recovery: speed },
        None => Pace {
            lead_in: over(plan.lead_in, LEAD_IN),
            fault: over(plan.ramp + plan.hold, FAULT),
            recovery: over(plan.recovery, RECOVERY),
        },
    }
}

/// Whether somebody listens at `endpoint`: better said at once than at the end.
async fn reach(endpoint: &str) -> Result<()> {
    let (scheme, rest) = endpoint.split_once("://").unwrap_or(("http", endpoint));
    let authority = rest.split('/').next().unwrap_or_default();
    let has_port = authority.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok());
    let address = match (has_port, scheme) {
        (true, _) => authority.to_owned(),
        (false, "https") => format!("{authority}:443"),
        (false, _) => format!("{authority}:80"),
    };
    match timeout(CONNECT, TcpStream::connect(&address)).await {
        Ok(connected) => {
            connected.map(drop).with_context(|| format!("--endpoint {endpoint}: nobody takes a connection"))
        }
        Err(_) => bail!("--endpoint {endpoint}: no answer within {} s", CONNECT.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The README says how long the demo takes: every scenario must be over in two minutes at its own pace.
    #[test]
    fn a_newcomer_waits_two_minutes_at_most() {
        assert_eq!(FIXED_START.to_string(), "2026-09-21T14:00:00Z");
        for scenario in Scenario::ALL {
            let plan = scenario.plan();
            let pace = pace(&plan, None);
            let fault = (plan.ramp + plan.hold).as_secs_f64() / pace.fault;
            let all = plan.lead_in.as_secs_f64() / pace.lead_in + fault + plan.recovery.as_secs_f64() / pace.recovery;
            assert!((100.0..120.0).contains(&all), "{scenario}: {all} s");
        }
    }

    /// A backend that is not there is named at the start, not after two minutes.
    #[tokio::test]
    async fn an_endpoint_is_tried_first() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        reach(&format!("http://{address}")).await.expect("somebody listens");
        reach(&format!("http://{address}/")).await.expect("somebody listens");
        drop(listener);
        let error = reach(&format!("http://{address}")).await.expect_err("nobody listens");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}
