//! From a body to the intake: decompress, validate, hand over. And why that may fail.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use tracing::{Instrument, Span, field};

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
    /// No credentials, or wrong ones; says what is wanted.
    Unauthenticated(HeaderValue),
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
    /// A word for spans.
    fn name(&self) -> &'static str {
        match self {
            Self::Unauthenticated(_) => "unauthenticated",
            Self::UnknownEncoding => "unknown_encoding",
            Self::TooLarge { .. } => "too_large",
            Self::Malformed(_) => "malformed",
            Self::Busy { .. } => "busy",
            Self::NotConfigured => "not_configured",
            Self::Slow => "slow",
            Self::Interrupted(_) => "interrupted",
            Self::Internal(_) => "internal",
        }
    }

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
    /// Takes one request in a span of its own, and counts it if it never reached the intake.
    pub(super) async fn watch(
        &self,
        signal: Signal,
        take: impl Future<Output = Result<(), Rejection>>,
    ) -> Result<(), Rejection> {
        let span = tracing::debug_span!(
            "receive",
            otel.kind = "server",
            %signal,
            transport = self.transport.name(),
            bytes = field::Empty,
            items = field::Empty,
            otel.status_code = field::Empty,
            error.type = field::Empty,
        );
        let taken = take.instrument(span.clone()).await;
        if let Err(rejection) = &taken {
            if !matches!(rejection, Rejection::Busy { refused: true, .. } | Rejection::NotConfigured) {
                self.settings.counters.add_failed(signal, self.transport);
            }
            span.record("otel.status_code", "ERROR").record("error.type", rejection.name());
        }
        taken
    }

    /// Checks the credentials, if some are wanted.
    pub(super) fn authenticate(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        let Some(wanted) = &self.settings.authorization else {
            return Ok(());
        };
        let shown = headers.get(header::AUTHORIZATION).is_some_and(|given| wanted.is_shown_by(given.as_bytes()));
        if shown { Ok(()) } else { Err(Rejection::Unauthenticated(wanted.challenge())) }
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
        Span::current().record("bytes", bytes.len());
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
        Span::current().record("items", items);
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
