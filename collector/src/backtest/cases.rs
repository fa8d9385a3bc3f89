//! The recordings of a data folder, each a case of its own: what is learned in one says nothing in another.

use super::{Arguments, Format, labels::Labels};
use crate::{
    cli::Failure,
    detectors::chain,
    replay::{
        CSV_MAX_JUMP_NANOS, Recorded,
        csv::{self, Table},
        mapping,
    },
};
use foreshock_engine::ticks::TickSettings;
use foreshock_otlp::read;
use std::path::{Path, PathBuf};

/// Files of a data folder that are looked at.
const MOST_FILES: usize = 100_000;

/// One recording.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// Path below the data folder, with slashes; the name of the folder itself for OTLP.
    pub(super) name: String,
    file: PathBuf,
    mapping: Option<PathBuf>,
    format: Format,
}

/// What is to be played.
pub(super) struct Played {
    pub(super) recording: Box<dyn Iterator<Item = Recorded>>,
    pub(super) ticks: TickSettings,
    /// The rows, where each column is one series.
    pub(super) table: Option<Table>,
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
    let case = |name: String, file: PathBuf| Case {
        name,
        file,
        mapping: arguments.csv_mapping.clone(),
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
    let base = if root.is_file() { root.parent().unwrap_or(Path::new("")).to_owned() } else { root.clone() };
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
        return Err(unusable(&root, "holds no file that ends in `.csv`".to_owned()));
    }
    Ok((cases, labels))
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
            if files.len() >= MOST_FILES {
                return Ok(());
            }
            files.push(path);
        }
    }
    Ok(())
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
            return Ok(Played { recording: Box::new(requests), ticks: TickSettings::default(), table: None });
        }
        let mapping = || {
            mapping::load(self.mapping.as_deref(), &self.file).map_err(|failure| match failure {
                Failure::Unusable(text) => text,
                Failure::Running(error) => format!("{error:#}"),
            })
        };
        let rows = csv::open(&self.file, mapping()?).map_err(place)?;
        let table = match rows.is_plain() {
            true => Some(csv::open(&self.file, mapping()?).map_err(place)?.table()),
            false => None,
        };
        let ticks = TickSettings { max_jump_nanos: CSV_MAX_JUMP_NANOS, ..TickSettings::default() };
        Ok(Played { recording: Box::new(rows), ticks, table })
    }
}
