//! Collects the body of a request within limits, and is the body of a reply.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use super::admit::Rejection;
use super::in_flight::Reservation;

/// Length of what precedes each gRPC message: a flag, and the length as a big-endian `u32`.
pub(super) const GRPC_PREFIX: usize = 5;
/// The first allocation is at most this large, whatever length the sender announces.
const FIRST_ALLOCATION: usize = 256 * 1024;

/// How long a body is going to be, as far as the sender says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Announced {
    /// By `content-length`, if there was one.
    ByHeader(Option<u64>),
    /// By the prefix of its gRPC message.
    ByGrpcPrefix,
}

/// Collects `body` into one buffer of its size, whose spare capacity is small once the length was announced right.
///
/// More than `limit` bytes, announced or sent, are [`Rejection::TooLarge`]; announced ones before they are read. Each chunk is
/// taken from the budget before it is kept.
pub(super) async fn collect<B>(
    body: B,
    announced: Announced,
    limit: usize,
    reservation: &mut Reservation,
) -> Result<Bytes, Rejection>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let mut body = pin!(body);
    let mut expected = match announced {
        Announced::ByHeader(Some(length)) => Some(within(length, limit)?),
        _ => None,
    };
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Rejection::Interrupted(error.to_string()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if data.is_empty() {
            continue;
        }
        if data.len() > limit - bytes.len() {
            return Err(Rejection::TooLarge { limit });
        }
        if expected.is_none()
            && bytes.is_empty()
            && matches!(announced, Announced::ByGrpcPrefix)
            && let Some(length) = announced_by_prefix(&data)
        {
            expected = Some(within(length, limit)?);
        }
        if !reservation.grow(data.len()) {
            return Err(Rejection::busy());
        }
        make_room(&mut bytes, data.len(), expected.unwrap_or(0));
        bytes.extend_from_slice(&data);
    }
    if bytes.capacity() - bytes.len() > bytes.len() / 8 {
        bytes.shrink_to_fit();
    }
    Ok(bytes.into())
}

fn within(length: u64, limit: usize) -> Result<usize, Rejection> {
    usize::try_from(length).ok().filter(|&length| length <= limit).ok_or(Rejection::TooLarge { limit })
}

/// The length of the whole body, if its first chunk holds the whole prefix.
fn announced_by_prefix(first: &[u8]) -> Option<u64> {
    let (_flag, rest) = first.split_first()?;
    let length = u32::from_be_bytes(*rest.first_chunk::<4>()?);
    Some(u64::from(length) + GRPC_PREFIX as u64)
}

/// Grows by doubling, and towards `expected`.
fn make_room(bytes: &mut Vec<u8>, more: usize, expected: usize) {
    let needed = bytes.len() + more;
    if needed > bytes.capacity() {
        let believed = if bytes.is_empty() {
            expected.min(FIRST_ALLOCATION)
        } else {
            (bytes.capacity() * 2).min(expected.max(needed))
        };
        let doubled = if expected < needed { bytes.capacity() * 2 } else { 0 };
        bytes.reserve_exact(believed.max(doubled).max(needed) - bytes.len());
    }
}

/// The body of a reply: at most one chunk, and at most one set of trailers.
#[derive(Debug, Default)]
pub(super) struct Reply {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Reply {
    pub(super) fn new(data: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self { data: Some(data).filter(|data| !data.is_empty()), trailers }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = match self.data.take() {
            Some(data) => Some(Frame::data(data)),
            None => self.trailers.take().map(Frame::trailers),
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.remaining() as u64))
    }
}
