//! Recorded OTLP from files, for replay.
//!
//! A recording is a file or a folder. Files are told by their names, `.gz` and `.zst` behind them meaning what they say:
//!
//! | name | content |
//! | --- | --- |
//! | `.json`, `.jsonl`, `.ndjson` | OTLP/JSON, one export request a line as the Collector's file exporter writes it, or one over several lines; the signal is told by the member at the top |
//! | `.pb`, `.binpb`, `.proto`, `.bin` | one export request in protobuf, or many, each behind its length in four bytes, the highest first, as the file exporter writes them with `format: proto` |
//!
//! Protobuf does not say which signal it is: a file name with `metrics`, `logs`, `traces` or `spans` in it does; else the
//! request must be valid for one signal only.
//!
//! A folder is read with its subfolders, files of other names apart. Its files are merged by the earliest event time of the
//! request at the head of each; at equal times the file with the smaller path comes first; the order within a file stays. One
//! request per file is held in memory.

mod file;
mod merge;

pub use file::{MAX_REQUEST_BYTES, Problem};
pub use merge::{OpenError, Recording, open};

use crate::Signal;
use bytes::Bytes;
use std::{path::Path, sync::Arc};

/// One recorded request.
#[derive(Clone, Debug)]
pub struct Record {
    /// What it carries.
    pub signal: Signal,
    /// The export request in protobuf; [`validate`](crate::view::validate) accepts it.
    pub request: Bytes,
    /// Where it stood.
    pub place: Place,
}

/// A place in a recording.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// Which file.
    pub path: Arc<Path>,
    /// Its line, for protobuf the number of the request; the first is 1.
    pub line: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

/// A part of a recording that could not be read. What follows it is read on.
#[derive(Debug, thiserror::Error)]
#[error("{place}: not read")]
pub struct Unreadable {
    /// Where it stood.
    pub place: Place,
    /// Why.
    #[source]
    pub problem: Problem,
}
