//! From a body to the intake: decompress, validate, hand over. And why that may fail.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, header};

use super::in_flight::Reservation;
use super::{Settings, Transport};
use crate::compression::{Compression, InflateError, Inflater, Step};
use crate::request::{Intake, Refusal, Request};
use crate::signal::Signal;
use crate::{json, view};

/// Decompression lets other tasks run after so many bytes: about a millisecond.
const INFLATE_STEP: usize = 512 * 1024;
/// Larger messages are parsed on the pool of blocking threads: validating 1 MiB takes about a millisecond.
const INLINE_PARSE: usize = 1024 * 1024;
/// What a sender is told to wait when the budget of bytes in flight is used up, or when the process ends.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request was not taken. Each transport maps it to its own status.
#[derive(Debug)]
pub(super) enum Rejection {
    /// No bearer token, or a wrong one.
    Unauthenticated,
    /// An encoding other than identity, gzip and zstd.
    UnknownEncoding,
    /// Larger than `limit` bytes.
    TooLarge { limit: usize },
    /// Not what it should be; says where.
    Malformed(String),
    /// No room now.
    Busy {
        reason: &'static str,
        retry_after: Duration,
        /// Whether it was the intake that said so; its items are counted already.
        refused: bool,
    },
    /// Nothing takes this signal.
    NotConfigured,
    /// The body did not arrive in time.
    Slow,
    /// The connection broke while the body was on its way.
    Interrupted(String),
    /// A fault of ours.
    Internal(String),
}

/// How a message is encoded, apart from its compression.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    Protobuf,
    Json,
}

/// What both transports share.
pub(super) struct Gate {
    pub(super) settings: Settings,
    pub(super) transport: Transport,
    pub(super) intake: Arc<dyn Intake>,
}

impl Rejection {
    pub(super) fn busy() -> Self {
        Self::Busy { reason: "too many bytes in flight", retry_after: RETRY_AFTER, refused: false }
    }
}

impl From<InflateError> for Rejection {
    fn from(error: InflateError) -> Self {
        match error {
            InflateError::TooLarge { limit } => Self::TooLarge { limit },
            InflateError::Corrupt { compression, source } => {
                Self::Malformed(format!("body is not valid {compression}: {source}"))
            }
        }
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        let (reason, retry_after) = match refusal {
            Refusal::Full { retry_after } => ("queue full", retry_after),
            Refusal::ShuttingDown => ("shutting down", RETRY_AFTER),
            Refusal::NotConfigured => return Self::NotConfigured,
        };
        Self::Busy { reason, retry_after, refused: true }
    }
}

impl Gate {
    /// Counts a request that never reached the intake.
    pub(super) fn count_failed(&self, signal: Signal, rejection: &Rejection) {
        if !matches!(rejection, Rejection::Busy { refused: true, .. } | Rejection::NotConfigured) {
            self.settings.counters.add_failed(signal, self.transport);
        }
    }

    /// Checks the bearer token, if one is wanted.
    pub(super) fn authenticate(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        let Some(wanted) = &self.settings.bearer_token else {
            return Ok(());
        };
        headers
            .get(header::AUTHORIZATION)
            .and_then(|value| bearer(value.as_bytes()))
            .filter(|given| equal_in_constant_time(given, wanted.as_bytes()))
            .map(|_| ())
            .ok_or(Rejection::Unauthenticated)
    }

    /// Takes one message, as it came over the wire.
    pub(super) async fn admit(
        &self,
        signal: Signal,
        format: Format,
        compression: Option<Compression>,
        bytes: Bytes,
        reservation: &mut Reservation,
    ) -> Result<(), Rejection> {
        let plain = match compression {
            Some(compression) => self.inflate(compression, bytes.clone(), reservation).await?,
            None if bytes.len() > self.settings.max_plain_bytes => {
                return Err(Rejection::TooLarge { limit: self.settings.max_plain_bytes });
            }
            None => bytes.clone(),
        };
        let (plain, items) = if plain.len() > INLINE_PARSE {
            tokio::task::spawn_blocking(move || parse(signal, format, plain))
                .await
                .map_err(|error| Rejection::Internal(error.to_string()))??
        } else {
            parse(signal, format, plain)?
        };
        let encoded = compression.filter(|_| format == Format::Protobuf).map(|compression| (compression, bytes));
        let counters = &self.settings.counters;
        match self.intake.accept(Request::new(signal, items, plain, encoded)) {
            Ok(()) => {
                counters.add_accepted(signal, self.transport, items);
                Ok(())
            }
            Err(refusal) => {
                counters.add_refused(signal, self.transport, items);
                Err(refusal.into())
            }
        }
    }

    /// Decompresses in steps; each step is taken from the budget before it is made.
    async fn inflate(
        &self,
        compression: Compression,
        bytes: Bytes,
        reservation: &mut Reservation,
    ) -> Result<Bytes, Rejection> {
        let limit = self.settings.max_plain_bytes;
        let mut inflater = Inflater::new(compression, bytes, limit)?;
        loop {
            if !reservation.grow(INFLATE_STEP.min(limit)) {
                return Err(Rejection::busy());
            }
            match inflater.step(INFLATE_STEP)? {
                Step::Done => return Ok(inflater.finish().into()),
                Step::More => tokio::task::yield_now().await,
            }
        }
    }
}

/// Turns a message into protobuf if it is not, validates it and counts its items.
fn parse(signal: Signal, format: Format, bytes: Bytes) -> Result<(Bytes, u64), Rejection> {
    let bytes = match format {
        Format::Protobuf => bytes,
        Format::Json => json::to_protobuf(signal, &bytes).map_err(|error| Rejection::Malformed(error.to_string()))?,
    };
    let items = view::validate(signal, &bytes).map_err(|error| Rejection::Malformed(error.to_string()))?;
    Ok((bytes, items.count))
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Takes time by the length of `given` alone, so that a token can't be guessed byte by byte.
fn equal_in_constant_time(given: &[u8], wanted: &[u8]) -> bool {
    let mut difference = usize::from(given.len() != wanted.len());
    for (index, byte) in given.iter().enumerate() {
        let other = wanted.get(index).copied().unwrap_or(0);
        difference |= usize::from(std::hint::black_box(byte ^ other));
    }
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scheme is case-insensitive (RFC 9110), the token is not, and prefixes do not match.
    #[test]
    fn bearer_tokens() {
        let matches = |value: &[u8]| bearer(value).is_some_and(|given| equal_in_constant_time(given, b"secret"));
        assert!(matches(b"Bearer secret"));
        assert!(matches(b"bearer secret"));
        for wrong in
            [&b"Bearer secre"[..], b"Bearer secrets", b"Bearer Secret", b"Bearer ", b"Basic secret", b"secret", b""]
        {
            assert!(!matches(wrong), "{wrong:?}");
        }
    }
}
