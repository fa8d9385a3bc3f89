//! TLS, certificates of clients, and credentials: all by configuration, between two running programs.

use super::{PATIENCE, SHAPE, next, now_nanos, pipelines};
use anyhow::{Result, ensure};
use e2e::{
    foreshock::{Foreshock, elsewhere, preamble},
    payload,
    wire::{self, Client, Upstream},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::{collections::BTreeSet, fs, path::Path};
use tempfile::TempDir;

/// Writes an authority `NAME-ca.pem`, and for each name a certificate `NAME-WHO.pem` and its key.
fn certificates(folder: &Path, name: &str, who: &[&str]) -> Result<()> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(folder.join(format!("{name}-ca.pem")), params.self_signed(&key)?.pem())?;
    let issuer = Issuer::new(params, key);
    for who in who {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![format!("{who}.test")])?.signed_by(&key, &issuer)?;
        fs::write(folder.join(format!("{name}-{who}.pem")), certificate.pem())?;
        fs::write(folder.join(format!("{name}-{who}.key")), key.serialize_pem())?;
    }
    Ok(())
}

/// A sender whose exporters, given as YAML, lead to `receiver`.
fn sender(folder: &Path, exporters: &str, names: &str, environment: &[(&str, &str)]) -> Result<Foreshock> {
    fs::create_dir_all(folder)?;
    let config = format!("{}exporters:\n{exporters}{}", preamble(folder), pipelines(names, ""));
    Foreshock::start_with(&config, folder, environment)
}

/// Protects what must not be read or forged on the way: with TLS, certificates of clients and credentials configured on both
/// sides everything passes, over gRPC with name and password and over HTTP with a token; and with a foreign authority,
/// without a certificate, or with a wrong secret nothing does, and the log says why.
#[tokio::test(flavor = "multi_thread")]
async fn tls_and_credentials_by_configuration() -> Result<()> {
    let folder = TempDir::new()?;
    let place = folder.path();
    certificates(place, "good", &["server", "client"])?;
    certificates(place, "other", &["client"])?;
    fs::write(place.join("token"), "t0ken\n")?;
    fs::write(place.join("password"), "open sesame\n")?;
    let mut upstream = Upstream::start().await?;
    let tls = "tls: { cert_file: good-server.pem, key_file: good-server.key, client_ca_file: good-ca.pem }";
    let config = format!(
        "receivers:\n  otlp:\n    protocols:\n      grpc:\n        endpoint: 127.0.0.1:0\n        {tls}\n        \
         auth: {{ basic: {{ username: aladdin, password_file: password }} }}\n      http:\n        endpoint: 127.0.0.1:0\n        \
         {tls}\n        auth: {{ bearer_token_file: token }}\n{}exporters:\n  otlp: {{ endpoint: \"http://{}\", compression: none }}\n{}",
        elsewhere(place),
        upstream.address,
        pipelines("otlp", "")
    );
    let receiver = Foreshock::start_with(&config, place, &[])?;
    let (grpc, http) = (receiver.grpc, receiver.http);
    let file = |name: &str| place.join(name).display().to_string();
    let exporter = |kind: &str, authority: &str, client: &str, auth: &str| {
        let endpoint = if kind.starts_with("otlphttp") { http } else { grpc };
        let certificate = match client {
            "" => String::new(),
            who => format!(", cert_file: {}, key_file: {}", file(&format!("{who}.pem")), file(&format!("{who}.key"))),
        };
        format!(
            "  {kind}:\n    endpoint: https://{endpoint}\n    compression: gzip\n    retry_on_failure: {{ initial_interval: 50ms, max_interval: 50ms }}\n    \
             tls: {{ ca_file: {}, server_name: server.test{certificate} }}\n    auth: {auth}\n",
            file(authority)
        )
    };
    let basic = "{ basic: { username: aladdin, password: \"${env:PASSWORD}\" } }";
    let bearer = "{ bearer_token: \"${env:TOKEN:-t0ken}\" }";

    let good = exporter("otlp", "good-ca.pem", "good-client", basic)
        + &exporter("otlphttp", "good-ca.pem", "good-client", bearer);
    let good = sender(&place.join("good"), &good, "otlp, otlphttp", &[("PASSWORD", "open sesame")])?;
    let mut client = Client::connect(good.grpc).await?;
    for (sequence, signal) in (0..).zip(["metrics", "logs", "traces"]) {
        let message = payload::batch(signal, SHAPE, sequence, now_nanos());
        ensure!(client.send(signal, "identity", wire::frame("identity", &message)?).await? == 0);
        for _ in 0..2 {
            ensure!(next(&mut upstream).await?.message == message, "{signal}: the message changed");
        }
    }

    // What each of these lacks, and what its log says of it.
    let bad = [
        ("otlp/stranger", "other-ca.pem", "good-client", basic, "cannot send, will retry"),
        ("otlphttp/nobody", "good-ca.pem", "", bearer, "cannot send, will retry"),
        ("otlp/foreigner", "good-ca.pem", "other-client", basic, "cannot send, will retry"),
        ("otlp/mistaken", "good-ca.pem", "good-client", "{ bearer_token: t0ken }", "Unauthenticated"),
        ("otlphttp/mistaken", "good-ca.pem", "good-client", "{ bearer_token: other }", "401"),
    ];
    let exporters: String = bad.iter().map(|(kind, ca, client, auth, _)| exporter(kind, ca, client, auth)).collect();
    let names: Vec<&str> = bad.iter().map(|(kind, ..)| *kind).collect();
    let environment = [("PASSWORD", "open sesame"), ("NO_COLOR", "1")];
    let bad_sender = sender(&place.join("bad"), &exporters, &names.join(", "), &environment)?;
    let mut client = Client::connect(bad_sender.grpc).await?;
    let message = payload::batch("logs", SHAPE, 7, now_nanos());
    ensure!(client.send("logs", "identity", wire::frame("identity", &message)?).await? == 0);
    bad_sender.wait(PATIENCE, |sender| {
        let log = sender.program.output();
        let told: BTreeSet<&str> = bad
            .iter()
            .filter(|(kind, .., why)| {
                let name = format!("exporter=\"{kind}\"");
                log.lines().any(|line| line.contains(&name) && line.contains(why))
            })
            .map(|(kind, ..)| *kind)
            .collect();
        told.len() == bad.len()
    })?;
    ensure!(upstream.received.try_recv().is_err(), "a sender that should not got something through");
    let log = receiver.program.output() + &good.program.output() + &bad_sender.program.output();
    ensure!(!log.contains("sesame") && !log.contains("t0ken"), "a secret stands in a log");
    Ok(())
}

/// Protects a receiver that asks for a secret in plain text, as behind a proxy: nothing passes without it, over either protocol,
/// and the refusal says what is wanted.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_asked_for_without_tls_too() -> Result<()> {
    let folder = TempDir::new()?;
    let mut upstream = Upstream::start().await?;
    let auth = "auth: { bearer_token: \"${env:FORESHOCK_TEST_TOKEN:-fallback}\" }";
    let config = format!(
        "receivers:\n  otlp:\n    protocols:\n      grpc: {{ endpoint: \"127.0.0.1:0\", {auth} }}\n      http: {{ endpoint: \"127.0.0.1:0\", {auth} }}\n\
         {}exporters:\n  otlp: {{ endpoint: \"http://{}\" }}\n{}",
        elsewhere(folder.path()),
        upstream.address,
        pipelines("otlp", "")
    );
    let foreshock = Foreshock::start_with(&config, folder.path(), &[])?;
    let message = payload::batch("traces", SHAPE, 1, now_nanos());
    let mut client = Client::connect(foreshock.grpc).await?;
    ensure!(client.send("traces", "identity", wire::frame("identity", &message)?).await? == 16);
    let protobuf = ("content-type", "application/x-protobuf");
    let answer = wire::post(foreshock.http, "/v1/traces", &[protobuf], message.clone().into()).await?;
    ensure!(answer.status() == 401 && answer.headers()["www-authenticate"] == "Bearer", "{answer:?}");
    ensure!(upstream.received.try_recv().is_err());
    let headers = [protobuf, ("authorization", "Bearer fallback")];
    ensure!(wire::post(foreshock.http, "/v1/traces", &headers, message.clone().into()).await?.status() == 200);
    ensure!(next(&mut upstream).await?.plain(64 << 20)? == message);
    Ok(())
}
