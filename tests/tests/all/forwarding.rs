//! What exporters make of what is taken: several at once, headers, answers that are not a plain yes.

use super::{PATIENCE, SHAPE, next, now_nanos, pipelines};
use anyhow::{Result, ensure};
use e2e::{
    foreshock::{Foreshock, preamble},
    payload, process,
    wire::{self, Client, Manner, Upstream},
};
use std::collections::BTreeSet;
use tempfile::TempDir;

/// Protects the good exporters from the others: of four, one leads nowhere and one to a peer that never answers, and the
/// other two get every request, each in its own protocol and compression, with its headers.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_or_dead_exporter_does_not_stall_the_others() -> Result<()> {
    let folder = TempDir::new()?;
    let (mut grpc, mut http, silent) = (Upstream::start().await?, Upstream::start().await?, Upstream::start().await?);
    silent.set(Manner::Ignore);
    let config = format!(
        "{}exporters:\n  otlp/good: {{ endpoint: \"{}\", compression: gzip, tls: {{ insecure: true }} }}\n  \
         otlphttp/good:\n    endpoint: http://{}/behind/a/prefix\n    compression: zstd\n    \
         headers: {{ X-Tenant: \"${{env:FORESHOCK_TEST_TENANT}}\", x-stage: \"${{env:FORESHOCK_TEST_STAGE:-production}}\" }}\n  \
         otlp/dead: {{ endpoint: \"http://{}\" }}\n  otlp/silent: {{ endpoint: \"http://{}\", timeout: 1h }}\n{}  shutdown_timeout: 1s\n",
        preamble(folder.path()),
        grpc.address,
        http.address,
        process::free_address()?,
        silent.address,
        pipelines("otlp/dead, otlp/silent, otlp/good, otlphttp/good", "")
    );
    let mut foreshock = Foreshock::start_with(&config, folder.path(), &[("FORESHOCK_TEST_TENANT", "shop")])?;
    let mut client = Client::connect(foreshock.grpc).await?;
    for sequence in 0..100 {
        let message = payload::batch("logs", SHAPE, sequence, now_nanos());
        ensure!(client.send("logs", "identity", wire::frame("identity", &message)?).await? == 0, "{sequence}");
        let received = next(&mut grpc).await?;
        ensure!(received.encoding == "gzip" && received.plain(64 << 20)? == message, "{sequence} over gRPC");
        let received = next(&mut http).await?;
        ensure!(received.encoding == "zstd" && received.plain(64 << 20)? == message, "{sequence} over HTTP");
        ensure!(received.path == "/behind/a/prefix/v1/logs", "{}", received.path);
        ensure!(received.headers["x-tenant"] == "shop" && received.headers["x-stage"] == "production");
    }
    let waiting = |metrics: &str, exporter: &str| {
        let sample = format!("foreshock_exporter_queue_size{{exporter=\"{exporter}\"");
        metrics.lines().find(|line| line.starts_with(&sample)).map(str::to_owned)
    };
    let metrics = process::http_get(foreshock.console, "/metrics")?;
    for exporter in ["otlp/dead", "otlp/silent"] {
        ensure!(waiting(&metrics, exporter).is_some_and(|line| line.ends_with(" 100")), "{metrics}");
    }
    ensure!(foreshock.program.terminate(PATIENCE)? == Some(0));
    let said = foreshock.program.output();
    ensure!(
        said.contains("100 requests for `otlp/dead` and 100 requests for `otlp/silent` could not be sent"),
        "{said}"
    );
    Ok(())
}

/// Protects against data that is lost without a word: what a peer rejects of a request is counted as lost and stands in the log,
/// over both protocols; the rest is counted as sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_partial_success_is_counted_and_told() -> Result<()> {
    for (kind, scheme) in [("otlp", "http://"), ("otlphttp", "http://")] {
        let folder = TempDir::new()?;
        let mut upstream = Upstream::start().await?;
        upstream.set(Manner::TakeAllBut(3));
        let config = format!(
            "{}exporters:\n  {kind}: {{ endpoint: \"{scheme}{}\" }}\n{}",
            preamble(folder.path()),
            upstream.address,
            pipelines(kind, "")
        );
        let foreshock = Foreshock::start_with(&config, folder.path(), &[("NO_COLOR", "1")])?;
        let mut client = Client::connect(foreshock.grpc).await?;
        let message = payload::batch("traces", SHAPE, 0, now_nanos());
        ensure!(client.send("traces", "identity", wire::frame("identity", &message)?).await? == 0);
        next(&mut upstream).await?;
        let line = foreshock.program.wait_for("partial success", PATIENCE)?;
        ensure!(line.contains("rejected=3") && line.contains("no"), "{line}");
        foreshock.wait(PATIENCE, |foreshock| {
            let metric = |name: &str| foreshock.metric(name).unwrap_or(0.0);
            metric("foreshock_exporter_send_failed_spans_total") == 3.0
                && metric("foreshock_exporter_sent_spans_total") == 197.0
        })?;
        ensure!(upstream.received.try_recv().is_err(), "a partial success was sent again");
    }
    Ok(())
}

/// Protects the exporters beside one whose queue is full and that may drop: they get everything, and what it dropped is
/// counted and told once.
#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_that_may_drop_holds_nobody_up() -> Result<()> {
    let folder = TempDir::new()?;
    let (mut good, silent) = (Upstream::start().await?, Upstream::start().await?);
    silent.set(Manner::Ignore);
    let config = format!(
        "{}exporters:\n  otlp/good: {{ endpoint: \"http://{}\" }}\n  otlp/lossy:\n    endpoint: http://{}\n    \
         timeout: 1h\n    sending_queue: {{ queue_size: 2, on_full: drop }}\n{}  shutdown_timeout: 1s\n",
        preamble(folder.path()),
        good.address,
        silent.address,
        pipelines("otlp/lossy, otlp/good", "")
    );
    let foreshock = Foreshock::start_with(&config, folder.path(), &[])?;
    let mut client = Client::connect(foreshock.grpc).await?;
    let mut arrived = BTreeSet::new();
    for sequence in 0..50 {
        let message = payload::batch("logs", SHAPE, sequence, now_nanos());
        ensure!(client.send("logs", "identity", wire::frame("identity", &message)?).await? == 0, "{sequence}");
        arrived.extend(payload::sequence(&next(&mut good).await?.plain(4000)?));
    }
    ensure!(arrived == (0..50).collect());
    ensure!(foreshock.metric("foreshock_exporter_enqueue_failed_log_records_total")? == 48.0 * 200.0);
    let told = foreshock.program.output().matches("queue full, dropping").count();
    ensure!(told == 1, "told {told} times");
    Ok(())
}
