//! Makes every figure of RESULTS.md again from the raw files of public data sets, and writes the page.
//!
//! `--data DIR` has a folder for each set: `nab` (a clone of the benchmark), `smd` and `asd` (`train/`, `test/`, `test_label/`), `loghub_2k` and
//! `loghub_2k_corrected` (a folder a system). What is not there is left out of the page. Nothing is fitted on the way: the configuration is
//! the one that ships. What was written by hand at the end of the page stays as it is.

mod forecasts;
mod logs;
mod page;

use crate::{cargo, run, say, setup, target_directory};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const USAGE: &str = "\
usage: cargo xtask results --data DIR [--output FILE] [--note TEXT] [--each] [--profile NAME] [--seed N] [--cases N] [--demo SEEDS]

  --data DIR      folders nab, smd, asd, loghub_2k, loghub_2k_corrected
  --output FILE   where the page goes; by default to the terminal
  --note TEXT     what to say of the data, such as whether it was used for tuning
  --each          every detector by itself, too
  --profile NAME  how the program is built; by default release
  --seed N        seed of the generated cases for forecasts, by default 11
  --cases N       cases of each kind, by default 60; 0 leaves them out
  --demo SEEDS    the demonstration's stories with so many seeds each";

/// What follows this line on the page was written by hand, and is kept when the page is made again.
const BY_HAND: &str = "<!-- written by hand from here on -->";

/// Detectors that can be measured by themselves on metrics.
const DETECTORS: [&str; 7] = ["novelty", "joint", "baseline", "isolation-forest", "spectral", "subspace", "shift"];

/// What is asked for.
struct Arguments {
    data: Option<PathBuf>,
    output: Option<PathBuf>,
    note: String,
    each: bool,
    profile: String,
    seed: u64,
    cases: u64,
    demo: u64,
}

/// The programs that are measured, and where they may write.
struct Bench {
    foreshock: PathBuf,
    accuracy: PathBuf,
    folder: PathBuf,
}

/// Measures everything and writes the page.
pub(crate) fn run_all(arguments: &[String]) -> Result<()> {
    let arguments = parse(arguments)?;
    let bench = build(&arguments.profile, arguments.cases > 0)?;
    let mut page = page::Page::new(&arguments.note);
    if let Some(data) = &arguments.data {
        let mut configs = vec![("as shipped".to_owned(), None)];
        if arguments.each {
            for name in DETECTORS {
                configs.push((format!("`{name}` alone"), Some(bench.lone(name)?)));
            }
        }
        let place = |name: &str| Some(data.join(name)).filter(|path| path.is_dir());
        if let Some(nab) = place("nab") {
            let reports = bench.all(&configs, "nab", &nab, None)?;
            let published = nab.join("published_on_this_half.json");
            let published = fs::read_to_string(published).ok().map(|text| serde_json::from_str(&text)).transpose()?;
            page.nab(&reports, published.as_ref());
        }
        for (name, step) in [("smd", 60), ("asd", 300)] {
            if let Some(folder) = place(name) {
                let reports = bench.all(&configs, "csv", &folder, Some(step))?;
                page.servers(name, &reports);
            }
        }
        if let Some(folder) = place("loghub_2k") {
            page.logs(&logs::measure(&bench, &folder, place("loghub_2k_corrected").as_deref())?);
        }
    }
    if arguments.cases > 0 {
        page.forecasts(&forecasts::measure(&bench, arguments.seed, arguments.cases)?);
    }
    if arguments.demo > 0 {
        page.demo(arguments.demo, &crate::matrix::table(&bench.foreshock, arguments.demo)?);
    }
    match &arguments.output {
        Some(path) => {
            let before = fs::read_to_string(path).unwrap_or_default();
            fs::write(path, page.text() + by_hand(&before)).with_context(|| path.display().to_string())
        }
        None => {
            say(&page.text());
            Ok(())
        }
    }
}

/// The part of a page that was written by hand, with the line that says so.
fn by_hand(page: &str) -> &str {
    page.find(BY_HAND).and_then(|start| page.get(start..)).unwrap_or_default()
}

fn parse(words: &[String]) -> Result<Arguments> {
    let mut arguments = Arguments {
        data: None,
        output: None,
        note: String::new(),
        each: false,
        profile: "release".to_owned(),
        seed: 11,
        cases: 60,
        demo: 0,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--each" {
            arguments.each = true;
            continue;
        }
        let value = words.next().with_context(|| format!("{word} needs a value\n\n{USAGE}"))?;
        let number = || value.parse().with_context(|| format!("{word} takes a number, not {value}"));
        match word.as_str() {
            "--data" => arguments.data = Some(value.into()),
            "--output" => arguments.output = Some(value.into()),
            "--note" => arguments.note.clone_from(value),
            "--profile" => arguments.profile.clone_from(value),
            "--seed" => arguments.seed = number()?,
            "--cases" => arguments.cases = number()?,
            "--demo" => arguments.demo = number()?,
            _ => bail!("there is no {word}\n\n{USAGE}"),
        }
    }
    if let Some(data) = arguments.data.as_ref().filter(|data| !data.is_dir()) {
        bail!("{} is no folder", data.display());
    }
    Ok(arguments)
}

fn build(profile: &str, with_forecasts: bool) -> Result<Bench> {
    setup::wasm_target()?;
    let of = ["--quiet", "--profile", profile];
    run(cargo("build").args(of).args(["--package", "foreshock", "--bin", "foreshock"]))?;
    if with_forecasts {
        run(cargo("build").args(of).args(["--package", "foreshock-forecast", "--example", "accuracy"]))?;
    }
    let target = target_directory()?;
    let built = target.join(if profile == "dev" { "debug" } else { profile });
    let folder = target.join("results");
    fs::create_dir_all(&folder)?;
    Ok(Bench { foreshock: built.join("foreshock"), accuracy: built.join("examples/accuracy"), folder })
}

impl Bench {
    /// Runs `foreshock`; fails with what it said.
    fn foreshock(&self, words: &[&OsStr]) -> Result<()> {
        let output = Command::new(&self.foreshock).args(words).output().context("foreshock does not start")?;
        if !output.status.success() {
            let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
            bail!("foreshock {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// A backtest's report.
    fn backtest(&self, format: &str, data: &Path, step: Option<u64>, config: Option<&Path>) -> Result<Value> {
        let json = self.folder.join("report.json");
        let step = step.map(|step| step.to_string());
        let mut words = vec![OsStr::new("backtest"), OsStr::new(format)];
        words.extend([OsStr::new("--data"), data.as_os_str(), OsStr::new("--json"), json.as_os_str()]);
        if let Some(step) = &step {
            words.extend([OsStr::new("--step"), OsStr::new(step)]);
        }
        if let Some(config) = config {
            words.extend([OsStr::new("--config"), config.as_os_str()]);
        }
        self.foreshock(&words)?;
        serde_json::from_str(&fs::read_to_string(&json)?).context("the report")
    }

    /// Backtests with each of the configurations.
    fn all(
        &self,
        configs: &[(String, Option<PathBuf>)],
        format: &str,
        data: &Path,
        step: Option<u64>,
    ) -> Result<Vec<(String, Value)>> {
        let one = |(name, config): &(String, Option<PathBuf>)| {
            say(&format!("{}: {name}", data.display()));
            Ok((name.clone(), self.backtest(format, data, step, config.as_deref())?))
        };
        configs.iter().map(one).collect()
    }

    /// The shipped configuration with one detector only.
    fn lone(&self, detector: &str) -> Result<PathBuf> {
        let text = format!(
            "receivers: {{ otlp: {{ protocols: {{ grpc: {{ endpoint: '127.0.0.1:0' }} }} }} }}\n\
             exporters: {{ debug: {{}} }}\n\
             detectors: {{ {detector}: {{ module: 'builtin:{detector}', services: ['*'] }} }}\n\
             service: {{ pipelines: {{ metrics: {{ receivers: [otlp], detectors: [{detector}], exporters: [debug] }} }} }}\n"
        );
        let path = self.folder.join(format!("{detector}.yaml"));
        fs::write(&path, text)?;
        Ok(path)
    }
}

/// The folder's folders, in order.
fn folders(path: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new measurement must not cost what was written about the last one.
    #[test]
    fn what_was_written_by_hand_is_kept() {
        let page = format!("# Results\n\n| old | figures |\n\n{BY_HAND}\n\n## How they came about\n");
        assert_eq!(by_hand(&page), format!("{BY_HAND}\n\n## How they came about\n"));
        assert_eq!(by_hand("# Results\n"), "");
    }
}
