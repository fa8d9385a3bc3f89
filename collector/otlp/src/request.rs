//! One request on its way through the hop, and the door through which receivers hand it on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::compression::{Compression, InflateError, inflate};
use crate::signal::Signal;

/// A request that was received and validated.
///
/// Clones share all bytes, and share what is compressed on their behalf: of several exporters that need the same
/// compression one does the work.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it carries.
    pub signal: Signal,
    /// How many metric points, log records or spans it holds.
    pub items: u64,
    /// One `Export*ServiceRequest` as protobuf.
    pub plain: Bytes,
    /// The same bytes as they came over the wire, if they came compressed.
    pub encoded: Option<(Compression, Bytes)>,
    compressed: Arc<Compressed>,
}

/// Why an intake did not take a request. The sender still has it and is told to come again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// There is no room at the moment.
    #[error("queue full, retry in {} ms", retry_after.as_millis())]
    Full {
        /// How long the sender should wait.
        retry_after: Duration,
    },
    /// The process is about to end; its successor will take the request.
    #[error("shutting down")]
    ShuttingDown,
    /// Nothing here takes this signal, and nothing will while the process runs.
    #[error("no pipeline takes this signal")]
    NotConfigured,
}

/// Takes requests from receivers. Called on the async runtime's workers: it must not block.
pub trait Intake: Send + Sync + 'static {
    /// Takes `request`, wholly or not at all. `Ok` means that the sender may forget it.
    ///
    /// # Errors
    /// A [`Refusal`] is passed to the sender, as a retryable status except [`Refusal::NotConfigured`]; nothing of the request
    /// has been kept.
    fn accept(&self, request: Request) -> Result<(), Refusal>;
}

// === impl Request ===

impl Request {
    /// A request of `items` items. `encoded` must decompress to `plain`; exporters rely on it and never check.
    #[must_use]
    pub fn new(signal: Signal, items: u64, plain: Bytes, encoded: Option<(Compression, Bytes)>) -> Self {
        Self { signal, items, plain, encoded, compressed: Arc::default() }
    }
}

/// What has been compressed so far on behalf of all clones of a request.
///
/// A lock per compression, held while compressing: the second exporter waits for the first one's work instead of
/// repeating it. Callers are on threads that may block for that long.
#[derive(Debug, Default)]
struct Compressed {
    gzip: Mutex<Option<Bytes>>,
    zstd: Mutex<Option<Bytes>>,
}

impl Compressed {
    fn get(&self, compression: Compression, plain: &[u8]) -> std::io::Result<Bytes> {
        let slot = match compression {
            Compression::Gzip => &self.gzip,
            Compression::Zstd => &self.zstd,
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = &*slot {
            return Ok(bytes.clone());
        }
        let bytes = Bytes::from(compression.compress(plain)?);
        *slot = Some(bytes.clone());
        Ok(bytes)
    }
}

/// A request as an exporter keeps it: only the bytes that it is going to send.
///
/// Where the wire's compression is the exporter's, that is a tenth of the plain bytes; they are inflated again in the
/// rare case that they are needed (an upstream without that compression, or leftovers of a drain).
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) signal: Signal,
    pub(crate) items: u64,
    payload: Payload,
    compressed: Arc<Compressed>,
}

#[derive(Clone, Debug)]
enum Payload {
    Plain(Bytes),
    Encoded { compression: Compression, bytes: Bytes, plain_len: usize },
}

/// Why held bytes could not be brought into the wanted form.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecodeError {
    #[error("cannot decompress a held request")]
    Inflate(#[from] InflateError),
    #[error("cannot compress a held request")]
    Compress(#[from] std::io::Error),
}

impl Held {
    /// Keeps of `request` what an exporter with `compression` needs.
    pub(crate) fn new(request: Request, compression: Option<Compression>) -> Self {
        let payload = match request.encoded {
            Some((encoded, bytes)) if Some(encoded) == compression => {
                Payload::Encoded { compression: encoded, bytes, plain_len: request.plain.len() }
            }
            _ => Payload::Plain(request.plain),
        };
        Self { signal: request.signal, items: request.items, payload, compressed: request.compressed }
    }

    /// How many bytes [`Held::new`] would keep of `request`.
    pub(crate) fn size_of(request: &Request, compression: Option<Compression>) -> usize {
        match &request.encoded {
            Some((encoded, bytes)) if Some(*encoded) == compression => bytes.len(),
            _ => request.plain.len(),
        }
    }

    /// Whether [`Held::body`] has to compress or decompress more than `limit` bytes.
    pub(crate) fn is_work(&self, compression: Option<Compression>, limit: usize) -> bool {
        match (&self.payload, compression) {
            (Payload::Plain(_), None) => false,
            (Payload::Plain(plain), Some(_)) => plain.len() > limit,
            (Payload::Encoded { compression: has, .. }, Some(wanted)) if *has == wanted => false,
            (Payload::Encoded { plain_len, .. }, _) => *plain_len > limit,
        }
    }

    /// The bytes to send under `compression`.
    pub(crate) fn body(&self, compression: Option<Compression>) -> Result<Bytes, RecodeError> {
        match (&self.payload, compression) {
            (Payload::Encoded { compression: has, bytes, .. }, Some(wanted)) if *has == wanted => Ok(bytes.clone()),
            (_, Some(wanted)) => Ok(self.compressed.get(wanted, &self.plain()?)?),
            (_, None) => Ok(self.plain()?),
        }
    }

    /// The request again, as it came in where that is still known.
    pub(crate) fn into_request(self) -> Result<Request, RecodeError> {
        let plain = self.plain()?;
        let encoded = match self.payload {
            Payload::Plain(_) => None,
            Payload::Encoded { compression, bytes, .. } => Some((compression, bytes)),
        };
        Ok(Request { signal: self.signal, items: self.items, plain, encoded, compressed: self.compressed })
    }

    fn plain(&self) -> Result<Bytes, InflateError> {
        match &self.payload {
            Payload::Plain(bytes) => Ok(bytes.clone()),
            Payload::Encoded { compression, bytes, plain_len } => {
                Ok(inflate(*compression, bytes.clone(), *plain_len)?.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzipped() -> Request {
        let plain = Bytes::from(vec![7_u8; 10_000]);
        let encoded = Bytes::from(Compression::Gzip.compress(&plain).unwrap());
        Request::new(Signal::Logs, 3, plain, Some((Compression::Gzip, encoded)))
    }

    /// A queue of compressed requests must not cost the memory of the plain ones, and must give both forms back.
    #[test]
    fn held_request_keeps_only_what_it_sends() {
        let request = gzipped();
        let (_, encoded) = request.encoded.clone().unwrap();
        assert_eq!(Held::size_of(&request, Some(Compression::Gzip)), encoded.len());
        assert_eq!(Held::size_of(&request, Some(Compression::Zstd)), 10_000);

        let held = Held::new(request.clone(), Some(Compression::Gzip));
        assert_eq!(held.body(Some(Compression::Gzip)).unwrap().as_ptr(), encoded.as_ptr());
        assert!(!held.is_work(Some(Compression::Gzip), 0));
        assert!(held.is_work(None, 0));
        assert_eq!(held.body(None).unwrap(), request.plain);
        let back = held.into_request().unwrap();
        assert_eq!((back.plain, back.encoded, back.items), (request.plain, request.encoded, 3));
    }

    /// Two exporters with the same compression cost one compression.
    #[test]
    fn compressed_bytes_are_shared_between_clones() {
        let request = gzipped();
        let first = Held::new(request.clone(), Some(Compression::Zstd));
        let second = Held::new(request, Some(Compression::Zstd));
        let one = first.body(Some(Compression::Zstd)).unwrap();
        let two = second.body(Some(Compression::Zstd)).unwrap();
        assert_eq!(one.as_ptr(), two.as_ptr());
    }
}
