//! Gzip and zstd, both ways, with the memory of decompression bounded.

use std::fmt;
use std::io::{self, Cursor, Read, Write};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

/// Gzip level 6, what senders in other languages use by default.
const GZIP_LEVEL: u32 = 6;
/// Zstd level 1: OTLP repeats itself so much that higher levels cost far more than they save.
const ZSTD_LEVEL: i32 = 1;
/// The output buffer grows from here, by doubling, up to the limit.
const FIRST_CAPACITY: usize = 16 * 1024;
/// The decoder is asked for this much at a time; the buffer is zeroed by as much before.
const READ_SIZE: usize = 64 * 1024;
/// A stated size is believed up to this many times the compressed length; telemetry rarely compresses better.
const BELIEVED_RATIO: usize = 32;

/// A compression that OTLP peers speak. "None" is `Option::None` wherever one may be absent.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// Why bytes could not be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum InflateError {
    /// The output is larger than the limit.
    #[error("more than {limit} bytes after decompression")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The input is not what its encoding says, or ends early.
    #[error("not valid {compression}")]
    Corrupt {
        /// The stated encoding.
        compression: Compression,
        /// What the decoder says.
        source: io::Error,
    },
}

/// Decompresses in steps, so that a large message neither blocks its thread for long nor takes memory that nobody granted.
pub struct Inflater {
    source: Source,
    compression: Compression,
    out: Vec<u8>,
    limit: usize,
}

/// What a call of [`Inflater::step`] came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// There may be more output.
    More,
    /// All output has been produced.
    Done,
}

enum Source {
    Gzip(Box<MultiGzDecoder<Cursor<Bytes>>>),
    Zstd(Box<ZstdDecoder<'static, Cursor<Bytes>>>),
}

/// Decompresses `bytes` at once.
///
/// # Errors
/// [`InflateError::TooLarge`] where the output exceeds `limit` bytes, [`InflateError::Corrupt`] where the input is invalid.
pub fn inflate(compression: Compression, bytes: Bytes, limit: usize) -> Result<Vec<u8>, InflateError> {
    let mut inflater = Inflater::new(compression, bytes, limit)?;
    while inflater.step(limit.max(1))? == Step::More {}
    Ok(inflater.finish())
}

// === impl Compression ===

impl Compression {
    /// All of them, as in `grpc-accept-encoding` and `accept-encoding`.
    pub const ACCEPTED: &'static str = "identity,gzip,zstd";

    /// Its name in `grpc-encoding` and `content-encoding`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// Reads the value of an encoding header: `Some(None)` for `identity` and the empty value, `None` for what is not known.
    #[must_use]
    pub fn from_header(value: &[u8]) -> Option<Option<Self>> {
        let value = value.trim_ascii();
        if value.is_empty() || value.eq_ignore_ascii_case(b"identity") {
            Some(None)
        } else if value.eq_ignore_ascii_case(b"gzip") {
            Some(Some(Self::Gzip))
        } else if value.eq_ignore_ascii_case(b"zstd") {
            Some(Some(Self::Zstd))
        } else {
            None
        }
    }

    /// Compresses `plain`; the result has no spare capacity.
    ///
    /// # Errors
    /// What the encoder says; out of memory, in practice.
    pub fn compress(self, plain: &[u8]) -> io::Result<Vec<u8>> {
        let mut bytes = match self {
            Self::Gzip => {
                let room = Vec::with_capacity(plain.len() / 8 + 64);
                let level = flate2::Compression::new(GZIP_LEVEL);
                let mut encoder = flate2::write::GzEncoder::new(room, level);
                encoder.write_all(plain)?;
                encoder.finish()?
            }
            Self::Zstd => zstd::bulk::compress(plain, ZSTD_LEVEL)?,
        };
        bytes.shrink_to_fit();
        Ok(bytes)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl Inflater ===

impl Inflater {
    /// Prepares to decompress `bytes` to at most `limit` bytes. The buffer never has room for more than `limit` bytes.
    ///
    /// # Errors
    /// [`InflateError::Corrupt`] if the decoder can't be set up.
    pub fn new(compression: Compression, bytes: Bytes, limit: usize) -> Result<Self, InflateError> {
        let stated = stated_size(compression, &bytes).unwrap_or(0);
        let believed = stated.min(bytes.len().saturating_mul(BELIEVED_RATIO));
        let first_capacity = believed.max(FIRST_CAPACITY).min(limit);
        let corrupt = |source| InflateError::Corrupt { compression, source };
        let source = match compression {
            Compression::Gzip => Source::Gzip(Box::new(MultiGzDecoder::new(Cursor::new(bytes)))),
            Compression::Zstd => {
                let mut decoder = ZstdDecoder::with_buffer(Cursor::new(bytes)).map_err(corrupt)?;
                // The decoder allocates the window that the frame asks for: no more than the output may have.
                let log = limit.max(1).next_power_of_two().trailing_zeros();
                decoder.window_log_max(log.clamp(17, 27)).map_err(corrupt)?;
                Source::Zstd(Box::new(decoder))
            }
        };
        Ok(Self { source, compression, out: Vec::with_capacity(first_capacity), limit })
    }

    /// Produces at most `budget` more bytes.
    ///
    /// # Errors
    /// See [`inflate`]. The inflater is of no use after an error.
    pub fn step(&mut self, budget: usize) -> Result<Step, InflateError> {
        let stop = self.out.len().saturating_add(budget).min(self.limit);
        while self.out.len() < stop {
            self.grow();
            let filled = self.out.len();
            let end = self.out.capacity().min(stop).min(filled + READ_SIZE);
            self.out.resize(end, 0);
            let result = self.source.read(&mut self.out[filled..]);
            self.out.truncate(filled + *result.as_ref().unwrap_or(&0));
            match result {
                Ok(0) => return Ok(Step::Done),
                Ok(_) => {}
                Err(source) => return Err(self.corrupt(source)),
            }
        }
        if self.out.len() < self.limit {
            return Ok(Step::More);
        }
        match self.source.read(&mut [0]) {
            Ok(0) => Ok(Step::Done),
            Ok(_) => Err(InflateError::TooLarge { limit: self.limit }),
            Err(source) => Err(self.corrupt(source)),
        }
    }

    /// How many bytes have been produced.
    #[must_use]
    pub fn produced(&self) -> usize {
        self.out.len()
    }

    /// What was produced, with little spare capacity, because it may wait in a queue for long.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        if self.out.capacity() - self.out.len() > self.out.len() / 8 {
            self.out.shrink_to_fit();
        }
        self.out
    }

    fn grow(&mut self) {
        if self.out.len() == self.out.capacity() {
            let wanted = (self.out.capacity() * 2).clamp(FIRST_CAPACITY, self.limit.max(1));
            self.out.reserve_exact(wanted.saturating_sub(self.out.len()).max(1));
        }
    }

    fn corrupt(&self, source: io::Error) -> InflateError {
        InflateError::Corrupt { compression: self.compression, source }
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater")
            .field("compression", &self.compression)
            .field("produced", &self.out.len())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

/// The size that the sender claims: gzip's last four bytes (RFC 1952, ISIZE, modulo 2^32), zstd's frame header.
fn stated_size(compression: Compression, bytes: &[u8]) -> Option<usize> {
    match compression {
        Compression::Gzip => {
            let last = bytes.last_chunk::<4>()?;
            usize::try_from(u32::from_le_bytes(*last)).ok()
        }
        Compression::Zstd => {
            let stated = zstd::zstd_safe::get_frame_content_size(bytes).ok()??;
            usize::try_from(stated).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Compression; 2] = [Compression::Gzip, Compression::Zstd];

    /// What goes in comes out, for sizes around the buffer's steps, also in many small steps.
    #[test]
    fn round_trip() {
        for compression in BOTH {
            for size in [0, 1, FIRST_CAPACITY - 1, FIRST_CAPACITY, FIRST_CAPACITY + 1, 200_000] {
                let plain: Vec<u8> = (0..size).map(|i| (i * i % 251) as u8).collect();
                let bytes = Bytes::from(compression.compress(&plain).unwrap());
                assert_eq!(inflate(compression, bytes.clone(), size).unwrap(), plain);
                let mut inflater = Inflater::new(compression, bytes, size + 10).unwrap();
                while inflater.step(1000).unwrap() == Step::More {}
                assert_eq!(inflater.finish(), plain);
            }
        }
    }

    /// A bomb is refused at the limit, and the buffer never had room for more than the limit.
    #[test]
    fn bomb_stops_at_the_limit() {
        for compression in BOTH {
            let bomb = Bytes::from(compression.compress(&vec![0; 50_000_000]).unwrap());
            assert!(bomb.len() < 100_000);
            let limit = 1_000_003;
            let mut inflater = Inflater::new(compression, bomb, limit).unwrap();
            let error = loop {
                match inflater.step(64 * 1024) {
                    Ok(Step::More) => assert!(inflater.out.capacity() <= limit),
                    Ok(Step::Done) => panic!("bomb accepted"),
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, InflateError::TooLarge { limit: 1_000_003 }));
            assert!(inflater.out.capacity() <= limit);
        }
    }

    /// One byte too many is too many; exactly the limit is not.
    #[test]
    fn limit_is_exact() {
        for compression in BOTH {
            let bytes = Bytes::from(compression.compress(&[5; 1000]).unwrap());
            assert_eq!(inflate(compression, bytes.clone(), 1000).unwrap().len(), 1000);
            assert!(matches!(inflate(compression, bytes, 999), Err(InflateError::TooLarge { limit: 999 })));
        }
    }

    /// Input cut at any byte is an error, never a shorter message.
    #[test]
    fn truncated_input_is_corrupt() {
        for compression in BOTH {
            let plain: Vec<u8> = (0..500_u32).flat_map(u32::to_le_bytes).collect();
            let bytes = Bytes::from(compression.compress(&plain).unwrap());
            for cut in 1..bytes.len() {
                let result = inflate(compression, bytes.slice(..cut), 10_000);
                assert!(matches!(result, Err(InflateError::Corrupt { .. })), "{compression} {cut}");
            }
        }
    }

    /// Header values as they come: case does not matter, lists and unknown names are refused.
    #[test]
    fn encoding_headers() {
        assert_eq!(Compression::from_header(b""), Some(None));
        assert_eq!(Compression::from_header(b"Identity"), Some(None));
        assert_eq!(Compression::from_header(b" gzip "), Some(Some(Compression::Gzip)));
        assert_eq!(Compression::from_header(b"zstd"), Some(Some(Compression::Zstd)));
        assert_eq!(Compression::from_header(b"gzip, zstd"), None);
        assert_eq!(Compression::from_header(b"snappy"), None);
    }
}
