//! The promises of the README, each kept by the real program over real sockets. What needs a program of somebody else belongs
//! in `peers.rs`.

use super::{PATIENCE, SHAPE, next, now_nanos, repository};
use anyhow::{Context, Result, ensure};
use e2e::{
    foreshock::{Foreshock, STANDARD, Setup, THREE},
    payload, process,
    wire::{self, Client, Manner, Upstream},
};
use serde_json::Value;
use std::{collections::BTreeSet, process::Command};
use tempfile::TempDir;

/// A field that no version of OTLP has: number 1999, length-delimited.
fn with_unknown_field(mut message: Vec<u8>) -> Vec<u8> {
    message.extend([0xfa, 0x7c, 0x05]);
    message.extend(b"later");
    message
}

/// Protects the first promise: for every signal and compression the bytes that came in are the bytes that go out, fields of
/// later versions included, with detectors running.
#[tokio::test(flavor = "multi_thread")]
async fn forwarded_bytes_are_the_bytes_that_came() -> Result<()> {
    for compression in ["none", "gzip", "zstd"] {
        let folder = TempDir::new()?;
        let mut upstream = Upstream::start().await?;
        let setup = Setup { compression: compression.to_owned(), ..Setup::detecting(upstream.address) };
        let foreshock = Foreshock::start(&setup, folder.path())?;
        let mut client = Client::connect(foreshock.grpc).await?;
        for signal in ["metrics", "logs", "traces"] {
            for encoding in ["identity", "gzip", "zstd"] {
                let message = with_unknown_field(payload::batch(signal, SHAPE, 7, now_nanos()));
                let frame = wire::frame(encoding, &message)?;
                ensure!(client.send(signal, encoding, frame.clone()).await? == 0, "{signal} {encoding}");
                let received = next(&mut upstream).await?;
                ensure!(received.path == wire::export_path(signal), "{}", received.path);
                ensure!(
                    received.plain(64 << 20)? == message,
                    "{signal} {encoding} to {compression}: the message changed"
                );
                if encoding == compression {
                    ensure!(received.message == frame.slice(5..), "{signal} {encoding}: it was compressed again");
                }
            }
        }
    }
    Ok(())
}

/// Detectors that fail in every call or as soon as they are opened, each in another way.
const GUESTS: [&str; 4] =
    ["memory bomb in open", "endless recursion in clean-up of open", "allocation out of bounds", "crash loop"];

/// Protects forwarding from detectors: with components that loop for ever, trap, recurse, take all memory and answer nonsense
/// beside the good ones, every batch arrives as it came, the process lives, and the console says which of them failed for which service.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_detectors_cost_no_forwarded_byte() -> Result<()> {
    let folder = TempDir::new()?;
    let mut upstream = Upstream::start().await?;
    let mut setup = Setup::detecting(upstream.address);
    let component = folder.path().join("chaos.wasm");
    std::fs::write(&component, foreshock_builtin::chaos())?;
    for act in ["loop", "trap", "memory", "wrong-length", "log-flood"] {
        let config = format!("{{ act: {act}, trigger: 0 }}");
        setup.detectors.push((format!("chaos-{act}"), component.display().to_string(), config));
    }
    for (number, name) in GUESTS.into_iter().enumerate() {
        let component = folder.path().join(format!("guest-{number}.wasm"));
        std::fs::write(&component, foreshock_guests::named(name).component())?;
        setup.detectors.push((format!("guest-{number}"), component.display().to_string(), "{}".to_owned()));
    }
    let foreshock = Foreshock::start(&setup, folder.path())?;
    let mut client = Client::connect(foreshock.grpc).await?;
    let start = now_nanos() - 600_000_000_000;
    for sequence in 0..60 {
        let message = payload::batch("metrics", SHAPE, sequence, start + sequence * 10_000_000_000);
        ensure!(client.send("metrics", "identity", wire::frame("identity", &message)?).await? == 0);
        loop {
            let received = next(&mut upstream).await?;
            if received.path == wire::export_path("metrics") {
                ensure!(received.message[..] == message[..], "batch {sequence} changed");
                break;
            }
        }
    }
    foreshock.wait(PATIENCE, |foreshock| {
        foreshock.metric("foreshock_detector_faults_total").is_ok_and(|faults| faults > 0.0)
    })?;
    let blamed = |service: &Value, guest: usize| {
        let faults = service["detector_faults"].as_array().into_iter().flatten();
        faults.clone().any(|fault| fault["detector"] == format!("guest-{guest}") && fault["faults"].as_u64() > Some(0))
    };
    foreshock.wait(PATIENCE, |foreshock| {
        let text = process::http_get(foreshock.console, "/api/v1/services").unwrap_or_default();
        let services: Value = serde_json::from_str(&text).unwrap_or_default();
        let services = services["services"].as_array().cloned().unwrap_or_default();
        !services.is_empty() && services.iter().all(|service| (0..GUESTS.len()).all(|guest| blamed(service, guest)))
    })?;
    ensure!(process::http_get(foreshock.health, "/").is_ok());
    Ok(())
}

/// Protects data that was accepted when the program is told to stop while its upstream is away: it says what is left, and
/// after the next start everything arrives.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_survives_a_restart() -> Result<()> {
    let folder = TempDir::new()?;
    let mut upstream = Upstream::start().await?;
    let setup = Setup { extra: "  shutdown_timeout: 2s\n".to_owned(), ..Setup::forwarding(upstream.address) };
    let mut foreshock = Foreshock::start(&setup, folder.path())?;
    upstream.set(Manner::Refuse);
    let mut client = Client::connect(foreshock.grpc).await?;
    for sequence in 0..20 {
        let message = payload::batch("logs", SHAPE, sequence, now_nanos());
        ensure!(client.send("logs", "identity", wire::frame("identity", &message)?).await? == 0);
    }
    let code = foreshock.program.terminate(PATIENCE)?;
    ensure!(code == Some(0), "it ended with {code:?}: {}", foreshock.program.output());
    upstream.set(Manner::Take);
    let _foreshock = Foreshock::start(&setup, folder.path())?;
    let mut arrived = BTreeSet::new();
    while arrived.len() < 20 {
        let received = next(&mut upstream).await?;
        arrived.extend(payload::sequence(&received.plain(400)?));
    }
    ensure!(arrived == (0..20).collect());
    Ok(())
}

/// Protects what was learned from a crash: killed without warning, it starts again in the same folder, knows its services before
/// anything is sent, has nothing to complain of, and forwards. `killed_at_any_moment_it_goes_on_from_a_whole_and_recent_state` looks
/// into what is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_a_state_that_starts() -> Result<()> {
    let folder = TempDir::new()?;
    let mut upstream = Upstream::start().await?;
    let setup = Setup::detecting(upstream.address);
    for round in 0..4u64 {
        let mut foreshock = Foreshock::start(&setup, folder.path())?;
        if round > 0 {
            foreshock.wait(PATIENCE, |foreshock| {
                foreshock.metric("foreshock_services").is_ok_and(|services| services > 0.0)
            })?;
        }
        let mut client = Client::connect(foreshock.grpc).await?;
        for sequence in 0..10 + round * 7 {
            let nanos = now_nanos() - 300_000_000_000 + sequence * 10_000_000_000;
            let message = payload::batch("metrics", SHAPE, sequence, nanos);
            ensure!(
                client.send("metrics", "identity", wire::frame("identity", &message)?).await? == 0,
                "round {round}"
            );
            next(&mut upstream).await?;
        }
        foreshock
            .wait(PATIENCE, |foreshock| foreshock.metric("foreshock_state_kept_total").is_ok_and(|kept| kept > 0.0))?;
        foreshock.program.kill();
        for complaint in ["cold", "moved aside"] {
            ensure!(!foreshock.program.output().contains(complaint), "round {round}: {}", foreshock.program.output());
        }
    }
    Ok(())
}

/// Protects real telemetry on the live path: the recorded TrainTicket shop, sent over a socket to detectors that run,
/// arrives request by request as it was recorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_recording_sent_live_arrives_as_it_was() -> Result<()> {
    let folder = TempDir::new()?;
    let mut upstream = Upstream::start().await?;
    let foreshock = Foreshock::start(&Setup::detecting(upstream.address), folder.path())?;
    let mut client = Client::connect(foreshock.grpc).await?;
    let mut sent = 0;
    for record in foreshock_otlp::read::open(&repository().join("examples/recordings/trainticket"))? {
        let record = record.map_err(|unreadable| anyhow::anyhow!("{unreadable}"))?;
        let signal = match record.signal {
            foreshock_otlp::Signal::Metrics => "metrics",
            foreshock_otlp::Signal::Logs => "logs",
            foreshock_otlp::Signal::Traces => "traces",
        };
        ensure!(
            client.send(signal, "identity", wire::frame("identity", &record.request)?).await? == 0,
            "{}",
            record.place
        );
        sent += 1;
        loop {
            let received = next(&mut upstream).await?;
            // What Foreshock says itself comes on the same way.
            if received.message == record.request {
                break;
            }
            let own = received.plain(64 << 20)?;
            ensure!(own.windows(9).any(|window| window == b"foreshock"), "{}: another request arrived", record.place);
        }
    }
    ensure!(sent > 100, "the recording has only {sent} requests");
    Ok(())
}

/// Protects reproducibility: the recorded faults of the TrainTicket shop give the same bytes for any number of shards, and
/// something is found.
#[test]
fn replay_gives_the_same_bytes_for_any_number_of_shards() -> Result<()> {
    let folder = TempDir::new()?;
    let mut first: Option<Vec<u8>> = None;
    for shards in ["1", "3", "8"] {
        let output = folder.path().join(format!("events-{shards}.jsonl"));
        let ended = Command::new(process::foreshock()?)
            .args(["replay", "--input"])
            .arg(repository().join("examples/recordings/trainticket"))
            .arg("--output")
            .arg(&output)
            .env("FORESHOCK_SHARDS", shards)
            .output()?;
        ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        let events = std::fs::read(&output)?;
        ensure!(!events.is_empty(), "nothing was found");
        match &first {
            None => first = Some(events),
            Some(first) => ensure!(*first == events, "{shards} shards give other events than one"),
        }
    }
    Ok(())
}

/// Protects people who read findings: every anomaly says what was seen and since when in a sentence, names its series, its
/// detector and the detector's digest, and gives a score in range.
#[test]
fn every_finding_explains_itself() -> Result<()> {
    let folder = TempDir::new()?;
    let output = folder.path().join("events.jsonl");
    let ended = Command::new(process::foreshock()?)
        .args(["replay", "--input"])
        .arg(repository().join("examples/recordings/trainticket"))
        .arg("--output")
        .arg(&output)
        .output()?;
    ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let mut seen = 0;
    for line in std::fs::read_to_string(&output)?.lines() {
        let value: Value = serde_json::from_str(line)?;
        for record in value["resourceLogs"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|resource| resource["scopeLogs"].as_array().into_iter().flatten())
            .flat_map(|scope| scope["logRecords"].as_array().into_iter().flatten())
        {
            if !record["eventName"].as_str().is_some_and(|name| name.starts_with("foreshock.anomaly.")) {
                continue;
            }
            seen += 1;
            let attribute = |key: &str| {
                let all = record["attributes"].as_array()?;
                Some(all.iter().find(|attribute| attribute["key"] == key)?["value"].clone())
            };
            let body = record["body"]["stringValue"].as_str().unwrap_or_default();
            ensure!(body.split_whitespace().count() >= 5, "no sentence: {record}");
            let keys = [
                "foreshock.anomaly.id",
                "foreshock.anomaly.kind",
                "foreshock.series.name",
                "foreshock.detector.name",
                "foreshock.detector.digest",
            ];
            for key in keys {
                ensure!(attribute(key).is_some(), "{key} is missing: {record}");
            }
            let score = attribute("foreshock.anomaly.score")
                .and_then(|value| value["doubleValue"].as_f64())
                .context("no score")?;
            ensure!((0.0..=1.0).contains(&score), "{record}");
        }
    }
    ensure!(seen > 0, "no anomaly in the recording");
    Ok(())
}

/// Protects the lists of detectors that tests and measurements rely on: the program has all of them, and the default configuration uses
/// just those.
#[test]
fn builtin_detectors_are_those_of_the_program() -> Result<()> {
    let folder = TempDir::new()?;
    let address = process::free_address()?;
    let default = std::fs::read_to_string(repository().join("otel-config/foreshock.yaml"))?;
    let used = default.lines().filter_map(|line| line.trim().strip_prefix("module: builtin:"));
    ensure!(used.collect::<BTreeSet<_>>() == BTreeSet::from(STANDARD), "the default configuration has others");
    ensure!(THREE.iter().all(|name| STANDARD.contains(name)));
    for name in STANDARD {
        let file = folder.path().join("config.yaml");
        let text = format!(
            "receivers:\n  otlp:\n    protocols:\n      grpc:\n        endpoint: {address}\nexporters:\n  debug: {{}}\ndetectors:\n  {name}:\n    module: builtin:{name}\n\
             service:\n  pipelines:\n    metrics:\n      receivers: [otlp]\n      detectors: [{name}]\n      exporters: [debug]\n"
        );
        std::fs::write(&file, text)?;
        let output = Command::new(process::foreshock()?).args(["validate", "--config"]).arg(&file).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
