//! How long a start takes that finds services, models and compiled detectors of the last run.

use crate::{
    median, report,
    scale::{Sender, WARM_UP},
};
use anyhow::Result;
use e2e::{
    foreshock::{Foreshock, STANDARD, Setup},
    wire::Upstream,
};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SERVICES: [u64; 2] = [100, 1000];
const STARTS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(120);

/// Prints a table: the time from starting the program until it answers that it is ready and knows all services again.
pub(crate) async fn run() -> Result<()> {
    report(&format!(
        "\nStart with the state of the last run, default detectors, 10 series a service; medians of {STARTS} starts.\n"
    ));
    report(
        "| services | models | state MiB | first start, nothing compiled, ms | ready, ms | all services known, ms |",
    );
    report("| --- | --- | --- | --- | --- | --- |");
    for services in SERVICES {
        row(services).await?;
    }
    Ok(())
}

async fn row(services: u64) -> Result<()> {
    let folder = TempDir::new()?;
    let upstream = Upstream::start().await?;
    let setup = Setup::forwarding(upstream.address).with(&STANDARD);
    let began = Instant::now();
    let mut foreshock = Foreshock::start(&setup, folder.path())?;
    let cold = millis(began);
    Sender::new(foreshock.grpc, &foreshock.program, services, WARM_UP).await?.sweep(0..WARM_UP).await?;
    let known =
        |foreshock: &Foreshock| foreshock.metric("foreshock_services").is_ok_and(|known| known as u64 >= services);
    foreshock.wait(PATIENCE, known)?;
    let models = foreshock.metric("foreshock_detector_models")?;
    let (mut ready, mut whole) = (Vec::new(), Vec::new());
    for _start in 0..STARTS {
        foreshock.program.terminate(PATIENCE)?;
        let began = Instant::now();
        foreshock = Foreshock::start(&setup, folder.path())?;
        ready.push(millis(began));
        foreshock.wait(PATIENCE, known)?;
        whole.push(millis(began));
    }
    report(&format!(
        "| {services} | {models:.0} | {:.1} | {cold:.0} | {:.0} | {:.0} |",
        kept(&folder.path().join("state"))? as f64 / f64::from(1 << 20),
        median(&mut ready),
        median(&mut whole)
    ));
    Ok(())
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// Bytes of all files below a folder.
fn kept(folder: &std::path::Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => kept(&entry.path())?,
            false => entry.metadata()?.len(),
        };
    }
    Ok(bytes)
}
