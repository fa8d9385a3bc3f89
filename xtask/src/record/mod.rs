//! Recorded data: converters from the public form of a data set to what `foreshock replay` reads, and altered copies to try choices on.

mod altered;
mod nezha;
mod otlp;

use anyhow::{Context, Result, bail};
use std::path::PathBuf;

const USAGE: &str = "\
Usage: cargo xtask record FORMAT --from PATH --to PATH [OPTIONS]

  trainticket   a day of the Nezha data set, such as rca_data/2023-01-30, as OTLP JSON lines (gzip if PATH ends in .gz)
                  --start TIME --end TIME   only this part; RFC 3339 in UTC, such as 2023-01-30T12:40:00Z
                  --traces SHARE            keep this share of the traces, 0 to 1, with their log records
  altered-nab   eight altered copies of each series of the Numenta Anomaly Benchmark, in a folder of the same form";

/// What the command line asks for.
#[derive(Debug, Default)]
struct Options {
    from: PathBuf,
    to: PathBuf,
    start: Option<u64>,
    end: Option<u64>,
    traces: Option<f64>,
}

/// Converts one data set; `arguments` are those after `record`.
///
/// # Errors
/// If the arguments make no sense, a file can't be read or written, or a row breaks the form of its data set.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let Some((format, rest)) = arguments.split_first() else { bail!("which format?\n\n{USAGE}") };
    let options = options(rest)?;
    match format.as_str() {
        "trainticket" => nezha::convert(&options),
        "altered-nab" => altered::convert(&options),
        other => bail!("no such format: {other}\n\n{USAGE}"),
    }
}

fn options(arguments: &[String]) -> Result<Options> {
    let mut options = Options::default();
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        let value = rest.next().with_context(|| format!("{name} needs a value\n\n{USAGE}"))?;
        match name.as_str() {
            "--from" => options.from = value.into(),
            "--to" => options.to = value.into(),
            "--start" => options.start = Some(time(value)?),
            "--end" => options.end = Some(time(value)?),
            "--traces" => {
                let share: f64 = value.parse().with_context(|| format!("--traces {value}"))?;
                if !(0.0..=1.0).contains(&share) {
                    bail!("--traces {value}: not between 0 and 1");
                }
                options.traces = Some(share);
            }
            other => bail!("no such option: {other}\n\n{USAGE}"),
        }
    }
    if options.from.as_os_str().is_empty() || options.to.as_os_str().is_empty() {
        bail!("--from and --to are needed\n\n{USAGE}");
    }
    Ok(options)
}

/// Nanoseconds since the epoch of an RFC 3339 time.
fn time(text: &str) -> Result<u64> {
    let timestamp: jiff::Timestamp = text.parse().with_context(|| format!("{text} is no RFC 3339 time"))?;
    u64::try_from(timestamp.as_nanosecond()).with_context(|| format!("{text} is before 1970"))
}
