//! Detectors from an OCI registry on loopback that others wrote: the one of go-containerregistry, which `crane` is of too.

use super::PATIENCE;
use anyhow::{Context, Result, ensure};
use e2e::{
    foreshock::{Foreshock, Setup},
    process::{self, Program},
    wire::Upstream,
};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
};
use tempfile::TempDir;

/// One request as a pusher makes it: the status, and where the answer leads.
fn push(address: SocketAddr, method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    let header = |line: &&str| line.to_ascii_lowercase().starts_with("location:");
    let location = answer.lines().find(header).and_then(|line| line.split_once(": ")).map_or("", |(_, value)| value);
    // The path alone: registries answer with it, or with a whole URL.
    let path = location.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
    Ok((status, path.unwrap_or(location).to_owned()))
}

/// SHA-256 by the system's own program, so that nothing of Foreshock says what a digest is.
fn digest(bytes: &[u8], folder: &Path) -> Result<String> {
    let file = folder.join("digested");
    fs::write(&file, bytes)?;
    let output = Command::new("sha256sum").arg(&file).output().context("sha256sum")?;
    let text = String::from_utf8(output.stdout)?;
    Ok(format!("sha256:{}", text.split(' ').next().unwrap_or_default()))
}

/// Pushes a component as tools for WebAssembly artifacts do; gives the manifest's digest.
fn publish(registry: SocketAddr, component: &[u8], folder: &Path) -> Result<String> {
    let config = b"{}";
    for blob in [&config[..], component] {
        let (status, upload) =
            push(registry, "POST", "/v2/acme/guard/blobs/uploads/", "application/octet-stream", b"")?;
        ensure!(status == 202, "the upload was not opened: {status}");
        let separator = if upload.contains('?') { '&' } else { '?' };
        let path = format!("{upload}{separator}digest={}", digest(blob, folder)?);
        let (status, _) = push(registry, "PUT", &path, "application/octet-stream", blob)?;
        ensure!(status == 201, "the blob was not taken: {status}");
    }
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.wasm.config.v0+json","digest":"{}","size":{}}},"layers":[{{"mediaType":"application/wasm","digest":"{}","size":{}}}]}}"#,
        digest(config, folder)?,
        config.len(),
        digest(component, folder)?,
        component.len()
    );
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let (status, _) = push(registry, "PUT", "/v2/acme/guard/manifests/1.0.0", manifest_type, manifest.as_bytes())?;
    ensure!(status == 201, "the manifest was not taken: {status}");
    digest(manifest.as_bytes(), folder)
}

/// Protects components from registries, with a registry that others wrote: what was pushed there runs by its digest, and still does when
/// the registry is gone; a digest that it does not have is said to be missing, with the address.
#[tokio::test(flavor = "multi_thread")]
async fn a_detector_comes_from_a_registry() -> Result<()> {
    let Some(path) = process::peer("FORESHOCK_PEER_REGISTRY")? else { return Ok(()) };
    let folder = TempDir::new()?;
    let address = process::free_address()?;
    let mut command = Command::new(path);
    command.arg("-port").arg(address.port().to_string());
    let mut registry = Program::start("registry", &mut command)?;
    registry.wait_for_port(address, PATIENCE)?;
    let digest = publish(address, foreshock_builtin::chaos(), folder.path())?;

    let upstream = Upstream::start().await?;
    let setup = |digest: &str| {
        let module = format!("\"oci://{address}/acme/guard:1.0.0@{digest}\"");
        Setup { detectors: vec![("guard".to_owned(), module, "{}".to_owned())], ..Setup::forwarding(upstream.address) }
    };
    let mut foreshock = Foreshock::start(&setup(&digest), folder.path())?;
    ensure!(foreshock.program.terminate(PATIENCE)? == Some(0), "{}", foreshock.program.output());

    let missing = format!("sha256:{}", "0".repeat(64));
    let module = format!("oci://{address}/acme/guard@{missing}");
    let output = Command::new(process::foreshock()?).args(["detector", "check", &module]).output()?;
    ensure!(output.status.code() == Some(2), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let where_it_was = format!("http://{address}/v2/acme/guard/manifests/{missing}");
    ensure!(said.contains(&where_it_was) && said.contains("404"), "{said}");

    registry.kill();
    let mut foreshock = Foreshock::start(&setup(&digest), folder.path())?;
    ensure!(foreshock.program.terminate(PATIENCE)? == Some(0), "{}", foreshock.program.output());
    Ok(())
}
