//! Reads the requests of one file, one after the other.

use super::{Place, Record, Unreadable};
use crate::{
    Signal,
    json::{self, JsonError},
    view::{ViewError, validate},
};
use bytes::Bytes;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    sync::Arc,
};

/// Longest request that is read, in bytes as it stands in the file after decompression.
pub const MAX_REQUEST_BYTES: usize = 64 << 20;

/// Why a part of a recording could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file could not be read on; its rest is lost.
    #[error("can't read the file")]
    Io(#[source] io::Error),
    /// Not OTLP/JSON.
    #[error("not OTLP/JSON")]
    Json(#[source] JsonError),
    /// Not an export request.
    #[error("not an export request in protobuf")]
    Protobuf(#[source] ViewError),
    /// JSON without `resourceMetrics`, `resourceLogs` or `resourceSpans`.
    #[error("no member that tells the signal, such as `resourceLogs`")]
    NoSignal,
    /// Protobuf that could be several signals.
    #[error("can't tell the signal; put `metrics`, `logs` or `traces` into the file's name")]
    AmbiguousSignal,
    /// Longer than [`MAX_REQUEST_BYTES`].
    #[error("longer than {} MiB", MAX_REQUEST_BYTES >> 20)]
    TooLong,
    /// The file ends within a request.
    #[error("ends within a request")]
    Truncated,
}

/// How the requests of a file stand in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Format {
    Json,
    Protobuf,
}

/// What a file's name says.
#[derive(Clone, Copy)]
struct Name {
    format: Option<Format>,
    compression: Option<Compression>,
    signal: Option<Signal>,
}

#[derive(Clone, Copy)]
enum Compression {
    Gzip,
    Zstd,
}

impl Name {
    fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let (name, compression) = match name.rsplit_once('.') {
            Some((stem, "gz")) => (stem, Some(Compression::Gzip)),
            Some((stem, "zst")) => (stem, Some(Compression::Zstd)),
            _ => (&*name, None),
        };
        let format = match name.rsplit_once('.') {
            Some((_, "json" | "jsonl" | "ndjson")) => Some(Format::Json),
            Some((_, "pb" | "binpb" | "proto" | "bin")) => Some(Format::Protobuf),
            _ => None,
        };
        let words = [
            ("metrics", Signal::Metrics),
            ("logs", Signal::Logs),
            ("traces", Signal::Traces),
            ("spans", Signal::Traces),
        ];
        let mut named = words.iter().filter(|(word, _)| name.contains(word)).map(|(_, signal)| *signal);
        let signal = named.next().filter(|first| named.all(|other| other == *first));
        Self { format, compression, signal }
    }
}

/// Whether a file in a folder is part of a recording, by its name.
pub(super) fn is_recording(path: &Path) -> bool {
    Name::of(path).format.is_some()
}

/// The requests of one file in their order.
pub(super) struct FileReader {
    path: Arc<Path>,
    source: Source,
    signal: Option<Signal>,
}

type Input = BufReader<Box<dyn Read + Send>>;

enum Source {
    Json(JsonReader),
    /// A whole message.
    Message(Input),
    /// Messages behind their lengths, and how many were read.
    Lengths(Input, u64),
    /// At the end, or broken.
    Done,
}

impl FileReader {
    /// Opens a file. One whose name does not tell its format is JSON if it begins with a brace, else protobuf.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let name = Name::of(path);
        let file = File::open(path)?;
        let plain: Box<dyn Read + Send> = match name.compression {
            None => Box::new(file),
            Some(Compression::Gzip) => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file))),
            Some(Compression::Zstd) => Box::new(zstd::stream::read::Decoder::new(file)?),
        };
        let mut input = BufReader::with_capacity(64 << 10, plain);
        let first = input.fill_buf()?.iter().copied().find(|byte| !byte.is_ascii_whitespace());
        let format = match (name.format, first) {
            (Some(format), _) => format,
            (None, Some(b'{')) => Format::Json,
            (None, _) => Format::Protobuf,
        };
        // A message begins with the key of its field 1. As the highest byte of a length it would stand for 160 MiB.
        const KEY_OF_FIELD_1: u8 = 0x0a;
        let source = match format {
            Format::Json => Source::Json(JsonReader::new(input)),
            Format::Protobuf if input.fill_buf()?.first() == Some(&KEY_OF_FIELD_1) => Source::Message(input),
            Format::Protobuf => Source::Lengths(input, 0),
        };
        Ok(Self { path: path.into(), source, signal: name.signal })
    }

    /// The next request; `None` at the end of the file.
    pub(super) fn read(&mut self) -> Option<Result<Record, Unreadable>> {
        let (line, result) = match &mut self.source {
            Source::Done => return None,
            Source::Json(reader) => match reader.next() {
                Ok(None) => return None,
                Ok(Some(line)) => (line, from_json(&reader.text)),
                Err((line, problem)) => (line, Err(problem)),
            },
            Source::Message(input) => {
                let result = take(input, None).and_then(|bytes| from_protobuf(bytes, self.signal));
                self.source = Source::Done;
                (1, result)
            }
            Source::Lengths(input, count) => {
                *count += 1;
                match read_length(input) {
                    Ok(None) => return None,
                    Ok(Some(length)) => {
                        (*count, take(input, Some(length)).and_then(|bytes| from_protobuf(bytes, self.signal)))
                    }
                    Err(problem) => (*count, Err(problem)),
                }
            }
        };
        if matches!(result, Err(Problem::Io(_) | Problem::Truncated)) {
            self.source = Source::Done;
        }
        let place = Place { path: Arc::clone(&self.path), line };
        Some(match result {
            Ok((signal, request)) => Ok(Record { signal, request, place }),
            Err(problem) => Err(Unreadable { place, problem }),
        })
    }
}

fn from_json(text: &[u8]) -> Result<(Signal, Bytes), Problem> {
    match json::signal(text) {
        Some(signal) => json::to_protobuf(signal, text).map(|request| (signal, request)).map_err(Problem::Json),
        // Without a signal any table will do to find what is wrong with the document itself.
        None => Err(json::to_protobuf(Signal::Logs, text).map_or_else(Problem::Json, |_| Problem::NoSignal)),
    }
}

fn from_protobuf(bytes: Bytes, signal: Option<Signal>) -> Result<(Signal, Bytes), Problem> {
    if let Some(signal) = signal {
        return validate(signal, &bytes).map(|_| (signal, bytes)).map_err(Problem::Protobuf);
    }
    let mut fitting = Signal::ALL.into_iter().filter(|signal| validate(*signal, &bytes).is_ok());
    match (fitting.next(), fitting.next()) {
        (Some(signal), None) => Ok((signal, bytes)),
        (Some(_), Some(_)) => Err(Problem::AmbiguousSignal),
        (None, _) => match validate(Signal::Metrics, &bytes) {
            Err(error) => Err(Problem::Protobuf(error)),
            Ok(_) => Err(Problem::AmbiguousSignal),
        },
    }
}

/// The length before a message; `None` at the end of the file.
fn read_length(input: &mut Input) -> Result<Option<usize>, Problem> {
    if input.fill_buf().map_err(Problem::Io)?.is_empty() {
        return Ok(None);
    }
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Ok(()) => Ok(Some(u32::from_be_bytes(length) as usize)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Problem::Truncated),
        Err(error) => Err(Problem::Io(error)),
    }
}

/// Reads so many bytes, or all that is left. What is too long is stepped over.
fn take(input: &mut Input, length: Option<usize>) -> Result<Bytes, Problem> {
    let wanted = length.unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    let limit = wanted.min(MAX_REQUEST_BYTES + 1);
    input.take(limit as u64).read_to_end(&mut bytes).map_err(Problem::Io)?;
    if bytes.len() > MAX_REQUEST_BYTES {
        let rest = (wanted - bytes.len()) as u64;
        io::copy(&mut input.take(rest), &mut io::sink()).map_err(Problem::Io)?;
        return Err(Problem::TooLong);
    }
    match length {
        Some(length) if bytes.len() < length => Err(Problem::Truncated),
        _ => Ok(bytes.into()),
    }
}

/// Cuts a text into documents: lines, joined until their braces balance.
struct JsonReader {
    input: Input,
    /// The document that was found last.
    text: Vec<u8>,
    /// A line that was read and belongs to the next document.
    pending: Vec<u8>,
    /// Lines read, that one included.
    lines: u64,
}

impl JsonReader {
    fn new(input: Input) -> Self {
        Self { input, text: Vec::new(), pending: Vec::new(), lines: 0 }
    }

    /// Finds the next document and says at which line it begins.
    fn next(&mut self) -> Result<Option<u64>, (u64, Problem)> {
        self.text.clear();
        let mut start = self.lines;
        let mut balance = Balance::default();
        loop {
            if self.pending.is_empty() && !self.read_line()? {
                // What is left is a document that lacks its end.
                return Ok((!self.text.is_empty()).then_some(start));
            }
            let blank = self.pending.iter().all(u8::is_ascii_whitespace);
            if self.text.is_empty() {
                start = self.lines;
                if blank {
                    self.pending.clear();
                    continue;
                }
            } else if self.pending.first() == Some(&b'{') {
                // Documents over several lines are indented, so this is a new one and the one before lacks its end.
                return Ok(Some(start));
            }
            if self.text.len() + self.pending.len() > MAX_REQUEST_BYTES {
                self.pending.clear();
                return Err((start, Problem::TooLong));
            }
            balance.add(&self.pending);
            self.text.append(&mut self.pending);
            if balance.is_complete() {
                return Ok(Some(start));
            }
        }
    }

    /// Reads a line into `pending`; false at the end of the file.
    fn read_line(&mut self) -> Result<bool, (u64, Problem)> {
        self.lines += 1;
        let line = self.lines;
        let broken = |error| (line, Problem::Io(error));
        let limit = MAX_REQUEST_BYTES as u64 + 1;
        let read = (&mut self.input).take(limit).read_until(b'\n', &mut self.pending).map_err(broken)?;
        if self.pending.len() > MAX_REQUEST_BYTES {
            self.pending.clear();
            self.input.skip_until(b'\n').map_err(broken)?;
            return Err((line, Problem::TooLong));
        }
        Ok(read > 0)
    }
}

/// Counts braces outside of texts.
#[derive(Default)]
struct Balance {
    open: i64,
    in_text: bool,
}

impl Balance {
    fn add(&mut self, line: &[u8]) {
        let mut escaped = false;
        for byte in line {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = self.in_text,
                b'"' => self.in_text = !self.in_text,
                b'{' if !self.in_text => self.open += 1,
                b'}' if !self.in_text => self.open -= 1,
                _ => {}
            }
        }
    }

    /// Whether nothing more belongs to the document, be it sound or not: a text can't go over the end of a line.
    fn is_complete(&self) -> bool {
        self.open <= 0 || self.in_text
    }
}
