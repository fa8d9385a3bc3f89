//! The recordings of a data folder, each a case of its own: what is learned in one says nothing in another.
//!
//! A folder with `train/`, `test/` and `test_label/`, as the Server Machine Dataset and the Application Server Dataset have it, has a case for
//! each file in `test/`: the file of the same name in `train/` goes before it and only warms up; the labels are a 0 or 1 a line.

use super::{
    Arguments, Format,
    labels::{self, Labels},
};
use crate::{
    cli::Failure,
    detectors::chain,
    replay::{
        CSV_MAX_JUMP_NANOS, Recorded,
        csv::{self, Table},
        mapping,
    },
};
use flate2::read::MultiGzDecoder;
use foreshock_engine::ticks::TickSettings;
use foreshock_otlp::read;
use foreshock_scoring::Rows;
use std::{
    fs::File,
    io::{Cursor, Read},
    path::{Path, PathBuf},
};

/// Files of a data folder that are looked at.
const MOST_FILES: usize = 100_000;

/// One recording.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// Path below the data folder, with slashes; the name of the folder itself for OTLP.
    pub(super) name: String,
    file: PathBuf,
    /// What goes before it, to learn from.
    before: Option<PathBuf>,
    /// A 0 or 1 for each of its rows.
    truth: Option<PathBuf>,
    mapping: Option<PathBuf>,
    step_nanos: Option<u64>,
    format: Format,
}

/// What is to be played.
pub(super) struct Played {
    pub(super) recording: Box<dyn Iterator<Item = Recorded>>,
    pub(super) ticks: TickSettings,
    /// The rows, where each column is one series.
    pub(super) table: Option<Table>,
    /// How many of the rows are there to learn from, where the data says so.
    pub(super) learned: Option<usize>,
    /// Labelled rows, where they lie beside the recording.
    pub(super) truth: Option<Vec<Rows>>,
}

/// The cases of a data folder, in the order of their names, and their labels.
pub(super) fn find(arguments: &Arguments) -> Result<(Vec<Case>, Labels), Failure> {
    let unusable = |path: &Path, why: String| Failure::Unusable(format!("foreshock: {}: {why}", path.display()));
    let data = &arguments.data;
    if !data.exists() {
        return Err(unusable(data, "is not there".to_owned()));
    }
    let inside = data.join("data");
    let root = if arguments.format == Format::Nab && inside.is_dir() { inside } else { data.clone() };
    // NAB keeps its labels beside its data.
    let usual = [data.join("labels/combined_windows.json"), data.join("../labels/combined_windows.json")];
    let is_nab = arguments.format == Format::Nab;
    let path = arguments.labels.clone().or_else(|| usual.into_iter().find(|path| is_nab && path.is_file()));
    let labels = match &path {
        Some(path) => Labels::read(path).map_err(|why| unusable(path, why))?,
        None => Labels::default(),
    };
    let is_servers = arguments.format == Format::Csv
        && arguments.labels.is_none()
        && ["test", "test_label"].iter().all(|part| data.join(part).is_dir());
    let root = if is_servers { data.join("test") } else { root };
    let case = |name: String, file: PathBuf| Case {
        before: is_servers.then(|| beside(&data.join("train"), &file)).flatten(),
        truth: is_servers.then(|| beside(&data.join("test_label"), &file)).flatten(),
        name,
        file,
        mapping: arguments.csv_mapping.clone(),
        step_nanos: arguments.step.map(|seconds| seconds * 1_000_000_000),
        format: arguments.format,
    };
    if arguments.format == Format::Otlp {
        let name = root.file_name().map_or_else(|| "recording".to_owned(), |name| name.to_string_lossy().into_owned());
        return Ok((vec![case(name, root)], labels));
    }
    let mut files = Vec::new();
    if root.is_file() {
        files.push(root.clone());
    } else {
        list(&root, &mut files).map_err(|error| unusable(&root, format!("can't be listed: {error}")))?;
    }
    let base = match (is_servers, root.is_file()) {
        (true, _) => data.clone(),
        (false, true) => root.parent().unwrap_or(Path::new("")).to_owned(),
        (false, false) => root.clone(),
    };
    let mut cases: Vec<Case> = files
        .into_iter()
        .map(|file| {
            let parts = file.strip_prefix(&base).unwrap_or(&file).components();
            let parts: Vec<_> = parts.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
            case(parts.join("/"), file)
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    if cases.is_empty() {
        return Err(unusable(&root, "holds no file that ends in `.csv` or `.csv.gz`".to_owned()));
    }
    Ok((cases, labels))
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if is_csv(&path) {
            if files.len() >= MOST_FILES {
                return Ok(());
            }
            files.push(path);
        }
    }
    Ok(())
}

fn is_csv(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    name.ends_with(".csv") || name.ends_with(".csv.gz")
}

/// The file in `folder` that has the same name as `file`, whatever the extension.
fn beside(folder: &Path, file: &Path) -> Option<PathBuf> {
    let stem = |path: &Path| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        ["csv", "csv.gz", "txt", "txt.gz"]
            .iter()
            .find_map(|ending| Some(name.strip_suffix(&format!(".{ending}"))?.to_owned()))
    };
    let wanted = stem(file)?;
    let mut there: Vec<PathBuf> =
        std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    there.sort();
    there.into_iter().find(|path| stem(path).as_ref() == Some(&wanted))
}

/// The content of a file, unpacked where its name ends in `.gz`.
fn unpacked(path: &Path) -> Result<Box<dyn Read>, String> {
    let file = File::open(path).map_err(|error| format!("{}: can't be read: {error}", path.display()))?;
    let is_packed = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    Ok(if is_packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

fn text(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    unpacked(path)?.read_to_string(&mut text).map_err(|error| format!("{}: can't be read: {error}", path.display()))?;
    Ok(text)
}

impl Case {
    /// Opens the recording; the error is a whole sentence.
    pub(super) fn open(&self) -> Result<Played, String> {
        let place = |why: String| format!("{}: {why}", self.file.display());
        if self.format == Format::Otlp {
            let recording = read::open(&self.file).map_err(|error| place(chain(&error)))?;
            let requests = recording.map(|record| match record {
                Ok(record) => Ok((record.signal, record.request)),
                Err(error) => Err(chain(&error)),
            });
            let recording = Box::new(requests);
            return Ok(Played { recording, ticks: TickSettings::default(), table: None, learned: None, truth: None });
        }
        let rows = self.rows()?;
        let table = if rows.is_plain() { Some(self.rows()?.table()) } else { None };
        let ticks = TickSettings { max_jump_nanos: CSV_MAX_JUMP_NANOS, ..TickSettings::default() };
        let own = || Case { before: None, ..self.clone() }.rows().map(|rows| rows.table().times.len());
        let learned = match (&self.before, &table) {
            (Some(_), Some(table)) => Some(table.times.len() - own()?.min(table.times.len())),
            _ => None,
        };
        let truth = match (&self.truth, &table) {
            (Some(path), Some(table)) => {
                let marks = labels::marks(&text(path)?);
                let expected = table.times.len() - learned.unwrap_or(0);
                if marks.len() != expected {
                    return Err(format!("{}: has {} lines for {expected} rows", path.display(), marks.len()));
                }
                Some(labels::runs(&marks, learned.unwrap_or(0)))
            }
            _ => None,
        };
        Ok(Played { recording: Box::new(rows), ticks, table, learned, truth })
    }

    /// The rows, those to learn from before the others.
    fn rows(&self) -> Result<csv::Rows, String> {
        let mapping = mapping::load(self.mapping.as_deref(), &self.file).map_err(|failure| match failure {
            Failure::Unusable(text) => text,
            Failure::Running(error) => format!("{error:#}"),
        })?;
        let file = self.file.display().to_string();
        let own = unpacked(&self.file)?;
        let whole: Box<dyn Read> = match &self.before {
            // A line may end with its file. Empty lines are no rows.
            Some(before) => Box::new(unpacked(before)?.chain(Cursor::new(b"\n")).chain(own)),
            None => own,
        };
        csv::read(csv::Source { file: file.clone(), text: whole, step_nanos: self.step_nanos }, mapping).map_err(
            |why| match self.step_nanos {
                Some(_) => format!("{file}: {why}"),
                None => format!("{file}: {why}. For rows without times, --step says the seconds between them"),
            },
        )
    }
}
