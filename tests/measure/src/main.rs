//! Measures detectors natively on public labelled data: `measure nab DETECTOR FOLDER [CONFIG]` or
//! `measure servers DETECTOR FOLDER STEP [CONFIG]`; and on calm weeks, how many anomalies they open: `measure calm BUDGETS [DETECTORS]
//! [LINES]`, where lists are separated by commas, budgets are false alarms a service-day, and so many anomalies are shown; and `measure
//! faults [DETECTORS]`, how soon faults are told that come after such weeks.
//!
//! This is the short way for whoever tunes a detector: one model, one thread, no sandbox, no collector. What the product
//! does with the same data is `foreshock backtest`. `CONFIG` is the detector's configuration as JSON; `$P` in it stands for
//! the length of NAB's probation of the series, in rows.
//!
//! `nab` takes a clone of the Numenta Anomaly Benchmark (`data/`, `labels/`). `servers` takes a folder with `train/`,
//! `test/` and `test_label/` in the manner of the Server Machine and Application Server Datasets, plain or gzipped, and the
//! seconds between two rows (60 and 300 there).

mod nab;
mod servers;

use anyhow::{Context, Result, bail};
use foreshock_detector::{Detector, Setup, Verdict, Window};
use foreshock_joint::Joint;
use foreshock_measure::calm;
use std::{
    env, fs,
    io::{Read, Write, stdout},
    path::Path,
};

/// A model of any detector.
trait Judge {
    fn observe(&mut self, window: &Window) -> Result<Verdict>;

    /// How odd the whole service is, after a window with this verdict.
    fn severity(&self, verdict: &Verdict) -> f64 {
        verdict.scores.iter().filter(|score| !score.is_nan()).sum()
    }
}

struct JointModel(Joint);

impl Judge for JointModel {
    fn observe(&mut self, window: &Window) -> Result<Verdict> {
        Ok(self.0.observe(window)?)
    }

    fn severity(&self, _: &Verdict) -> f64 {
        self.0.severity()
    }
}

struct Model<D>(D);

impl<D: Detector> Judge for Model<D> {
    fn observe(&mut self, window: &Window) -> Result<Verdict> {
        Ok(self.0.observe(window)?)
    }
}

/// A fresh model of the named detector, for windows of `step` seconds.
fn open(detector: &str, config: &str, step: u64) -> Result<Box<dyn Judge>> {
    fn of<D: Detector + 'static>(setup: Setup<String>) -> Result<Box<dyn Judge>> {
        Ok(Box::new(Model(D::open(setup.parse()?, None)?)))
    }
    let setup = Setup {
        service: "measured".into(),
        resource_attributes: Vec::new(),
        config: config.to_owned(),
        seed: 1,
        step_ns: step * 1_000_000_000,
    };
    match detector {
        "baseline" => of::<foreshock_baseline::Baseline>(setup),
        "joint" => Ok(Box::new(JointModel(Joint::open(setup.parse()?, None)?))),
        "isolation-forest" => of::<foreshock_isolation_forest::IsolationForest>(setup),
        "spectral" => of::<foreshock_spectral::Spectral>(setup),
        "subspace" => of::<foreshock_subspace::Subspace>(setup),
        "shift" => of::<foreshock_shift::Shift>(setup),
        "novelty" => of::<foreshock_novelty::Novelty>(setup),
        _ => bail!("there is no detector {detector:?} here"),
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let report = match words[..] {
        ["nab", detector, folder] => nab::measure(detector, Path::new(folder), "{}"),
        ["nab", detector, folder, config] => nab::measure(detector, Path::new(folder), config),
        ["servers", detector, folder, step] => {
            servers::measure(detector, Path::new(folder), step.parse().context("STEP is a number")?, "{}")
        }
        ["servers", detector, folder, step, config] => {
            servers::measure(detector, Path::new(folder), step.parse().context("STEP is a number")?, config)
        }
        ["calm", budgets, ref more @ ..] => {
            let budgets =
                budgets.split(',').map(str::parse).collect::<Result<Vec<f64>, _>>().context("BUDGETS are numbers")?;
            let detectors = more.first().map_or(calm::DEFAULT.to_vec(), |names| names.split(',').collect());
            let show = more.get(1).map_or(Ok(0), |number| number.parse()).context("LINES is a number")?;
            return calm::measure(&detectors, &budgets, show, &mut stdout());
        }
        ["faults", ref more @ ..] => {
            let detectors = more.first().map_or(calm::DEFAULT.to_vec(), |names| names.split(',').collect());
            return calm::measure_faults(&detectors, &mut stdout());
        }
        _ => bail!(
            "usage: measure calm BUDGETS [DETECTORS] [LINES], measure faults [DETECTORS], or measure nab|servers DETECTOR FOLDER [STEP] [CONFIG]"
        ),
    }?;
    stdout().write_all(report.as_bytes())?;
    Ok(())
}

/// The text of a file, unpacked where its name ends in `.gz`.
fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    if path.extension().is_none_or(|extension| extension != "gz") {
        return Ok(String::from_utf8(bytes)?);
    }
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text)?;
    Ok(text)
}
