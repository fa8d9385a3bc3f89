//! How the program ends, and begins again.

use super::{PATIENCE, SHAPE, next, now_nanos, pipelines};
use anyhow::{Context, Result, ensure};
use e2e::{
    foreshock::{Foreshock, Setup, preamble},
    payload, process,
    wire::{self, Client, Manner, Upstream},
};
use std::{collections::BTreeSet, process::Command, time::Instant};
use tempfile::TempDir;

fn signal(foreshock: &Foreshock, name: &str) -> Result<()> {
    let status = Command::new("kill").arg(name).arg(foreshock.program.id().to_string()).status().context("kill")?;
    ensure!(status.success(), "kill {name}: {status}");
    Ok(())
}

async fn send(foreshock: &Foreshock, count: u64) -> Result<()> {
    let mut client = Client::connect(foreshock.grpc).await?;
    for sequence in 0..count {
        let message = payload::batch("logs", SHAPE, sequence, now_nanos());
        ensure!(client.send("logs", "identity", wire::frame("identity", &message)?).await? == 0);
    }
    Ok(())
}

/// Protects data at an orderly stop: with an upstream that comes back while the program drains, everything is sent, the program
/// says so, and the health check says that it is going.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_sends_what_is_queued() -> Result<()> {
    let folder = TempDir::new()?;
    let mut upstream = Upstream::start().await?;
    upstream.set(Manner::Refuse);
    let setup = Setup { extra: "  shutdown_timeout: 60s\n".to_owned(), ..Setup::forwarding(upstream.address) };
    let mut foreshock = Foreshock::start(&setup, folder.path())?;
    send(&foreshock, 30).await?;
    signal(&foreshock, "-TERM")?;
    foreshock.program.wait_for("SIGTERM, draining for at most 60s", PATIENCE)?;
    foreshock.wait(PATIENCE, |foreshock| process::http_get(foreshock.health, "/").is_err())?;
    let health = process::http_get(foreshock.health, "/").err().context("it says that it is ready")?;
    ensure!(health.to_string().contains("503"), "{health}");
    ensure!(Client::connect(foreshock.grpc).await.is_err(), "it takes new connections");
    upstream.set(Manner::Take);
    let mut arrived = BTreeSet::new();
    while arrived.len() < 30 {
        arrived.extend(payload::sequence(&next(&mut upstream).await?.message));
    }
    ensure!(foreshock.program.wait(PATIENCE)? == Some(0));
    let said = foreshock.program.output();
    ensure!(said.contains("foreshock: stopped, everything was sent"), "{said}");
    Ok(())
}

/// Protects the deadline, and people who look at the log: a stop whose upstream is away ends in time, with code 0, and says how
/// many requests are left for whom and that they are kept; SIGINT does what SIGTERM does; without a folder for the state they
/// are lost, and it says so. The requests are there after the next start.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_in_time_and_says_what_is_left() -> Result<()> {
    for (name, keeps) in [("-TERM", true), ("-INT", true), ("-TERM", false)] {
        let folder = TempDir::new()?;
        let mut upstream = Upstream::start().await?;
        upstream.set(Manner::Ignore);
        let mut config = format!(
            "{}exporters:\n  otlp: {{ endpoint: \"http://{}\", compression: none }}\n{}  shutdown_timeout: 2s\n",
            preamble(folder.path()),
            upstream.address,
            pipelines("otlp", "")
        );
        if !keeps {
            let storage = config.lines().find(|line| line.starts_with("storage:")).context("storage")?.to_owned();
            config = config.replace(&storage, "storage: { enabled: false }");
        }
        let mut foreshock = Foreshock::start_with(&config, folder.path(), &[])?;
        send(&foreshock, 20).await?;
        let asked = Instant::now();
        signal(&foreshock, name)?;
        ensure!(foreshock.program.wait(PATIENCE)? == Some(0));
        // The drain has 2 s; the rest is for a machine that is busy elsewhere.
        ensure!(asked.elapsed().as_secs() < 30, "it took {:?}", asked.elapsed());
        let said = foreshock.program.output();
        let fate = if keeps { "are kept for the next start" } else { "are lost" };
        ensure!(said.contains(&format!("20 requests for `otlp` could not be sent and {fate}")), "{name}: {said}");
        if keeps {
            upstream.set(Manner::Take);
            let mut foreshock = Foreshock::start_with(&config, folder.path(), &[])?;
            let mut arrived = BTreeSet::new();
            while arrived.len() < 20 {
                ensure!(arrived.insert(payload::sequence(&next(&mut upstream).await?.message)), "sent twice");
            }
            foreshock.wait(PATIENCE, |foreshock| {
                foreshock.metric("foreshock_exporter_queue_size").is_ok_and(|waiting| waiting == 0.0)
            })?;
            ensure!(foreshock.program.terminate(PATIENCE)? == Some(0));
            let third = Foreshock::start_with(&config, folder.path(), &[])?;
            send(&third, 1).await?;
            next(&mut upstream).await?;
            ensure!(upstream.received.try_recv().is_err(), "what was sent came a second time");
        }
    }
    Ok(())
}

/// Protects impatient people: a second signal ends a long drain at once, with code 1, and says what that means.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() -> Result<()> {
    let folder = TempDir::new()?;
    let upstream = Upstream::start().await?;
    upstream.set(Manner::Ignore);
    let setup = Setup { extra: "  shutdown_timeout: 1h\n".to_owned(), ..Setup::forwarding(upstream.address) };
    let mut foreshock = Foreshock::start(&setup, folder.path())?;
    send(&foreshock, 5).await?;
    signal(&foreshock, "-TERM")?;
    foreshock.program.wait_for("SIGTERM, draining", PATIENCE)?;
    signal(&foreshock, "-TERM")?;
    ensure!(foreshock.program.wait(PATIENCE)? == Some(1));
    let said = foreshock.program.output();
    ensure!(said.contains("SIGTERM again: stopped at once, what was queued is lost"), "{said}");
    Ok(())
}

/// Protects scripts: a port that is taken is a failure at the start, code 1, and the message names the key of the configuration.
#[test]
fn a_taken_port_is_named() -> Result<()> {
    let folder = TempDir::new()?;
    let holder = std::net::TcpListener::bind("127.0.0.1:0")?;
    let taken = holder.local_addr()?;
    let config = format!(
        "receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: \"{taken}\" }} }} }} }}\n\
         {}exporters: {{ debug: {{}} }}\n{}",
        e2e::foreshock::elsewhere(folder.path()),
        pipelines("debug", "")
    );
    let file = folder.path().join("taken.yaml");
    std::fs::write(&file, config)?;
    let output = Command::new(process::foreshock()?).args(["run", "--config"]).arg(&file).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "{said}");
    ensure!(said.contains("receivers.otlp.protocols.http.endpoint") && said.contains(&taken.to_string()), "{said}");
    Ok(())
}
