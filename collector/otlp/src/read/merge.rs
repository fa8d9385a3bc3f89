//! Merges the files of a recording by time.

use super::{
    Record, Unreadable,
    file::{FileReader, is_recording},
};
use crate::view;
use foreshock_engine::time::UnixNanos;
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs, io,
    path::{Path, PathBuf},
};

/// Most files in a recording, as all of them are open at once.
const MAX_FILES: usize = 512;

/// How deep folders may lie within the recording's folder.
const MAX_FOLDERS: u32 = 16;

/// Why a recording can't be read at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file or folder is absent or may not be read.
    #[error("can't open {}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder without a file whose name says that it is a recording.
    #[error("no recording (.json, .jsonl, .ndjson, .pb, .binpb, .proto, .bin, each also with .gz or .zst) in {}", path.display())]
    Empty {
        /// Which folder.
        path: PathBuf,
    },
    /// More files than may be open at once.
    #[error("{count} files in {}, at most {MAX_FILES} can be merged", path.display())]
    TooManyFiles {
        /// Which folder.
        path: PathBuf,
        /// How many.
        count: usize,
    },
}

/// The requests of a recording in the order in which a replay takes them. Parts that can't be read come as errors in between,
/// at the time of the request before them in their file.
pub struct Recording {
    files: Vec<FileReader>,
    /// Time and file of each of `waiting`.
    heads: BinaryHeap<Reverse<(UnixNanos, usize)>>,
    /// What each file gave last.
    waiting: Vec<Option<Result<Record, Unreadable>>>,
    unreadable: u64,
}

/// Opens a file, or all files of a folder.
///
/// # Errors
/// If a file or folder can't be opened, if a folder has no recording in it, or more than 512 files.
pub fn open(path: &Path) -> Result<Recording, OpenError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    };
    let mut paths = Vec::new();
    if fs::metadata(path).map_err(failed(path))?.is_dir() {
        collect(path, MAX_FOLDERS, &mut paths)?;
        paths.sort();
        match paths.len() {
            0 => return Err(OpenError::Empty { path: path.to_owned() }),
            1..=MAX_FILES => {}
            count => return Err(OpenError::TooManyFiles { path: path.to_owned(), count }),
        }
    } else {
        paths.push(path.to_owned());
    }
    let mut recording = Recording {
        files: Vec::with_capacity(paths.len()),
        heads: BinaryHeap::with_capacity(paths.len()),
        waiting: Vec::with_capacity(paths.len()),
        unreadable: 0,
    };
    for path in &paths {
        recording.files.push(FileReader::open(path).map_err(failed(path))?);
        recording.waiting.push(None);
    }
    for index in 0..paths.len() {
        recording.advance(index, UnixNanos(0));
    }
    Ok(recording)
}

fn collect(folder: &Path, depth: u32, paths: &mut Vec<PathBuf>) -> Result<(), OpenError> {
    let failed = |source| OpenError::Io { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        // Follows links to files, but not to folders, which could lead in a circle.
        if path.is_file() {
            if is_recording(&path) {
                paths.push(path);
            }
        } else if depth > 0 && path.is_dir() && !path.is_symlink() {
            collect(&path, depth - 1, paths)?;
        }
    }
    Ok(())
}

impl Recording {
    /// How many parts could not be read so far.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Takes what a file gives next and queues it, at `before` if it holds no time.
    fn advance(&mut self, index: usize, before: UnixNanos) {
        let Some(read) = self.files.get_mut(index).and_then(FileReader::read) else { return };
        let time = match &read {
            Ok(record) => earliest(record).unwrap_or(before),
            Err(_) => before,
        };
        self.heads.push(Reverse((time, index)));
        self.waiting[index] = Some(read);
    }
}

impl Iterator for Recording {
    type Item = Result<Record, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((time, index)) = self.heads.pop()?;
        let read = self.waiting.get_mut(index)?.take()?;
        self.unreadable += u64::from(read.is_err());
        self.advance(index, time);
        Some(read)
    }
}

/// The earliest event time in a request, if it has any.
fn earliest(record: &Record) -> Option<UnixNanos> {
    view::split(record.signal, &record.request)
        .filter_map(|slice| view::times(record.signal, record.request.get(slice.bytes)?))
        .map(|(earliest, _)| earliest)
        .min()
}
