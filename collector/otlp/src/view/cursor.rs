//! A cursor over the fields of one protobuf message, and the parts of a message that came in pieces.

use crate::schema::Wire;
use std::borrow::Cow;

/// How many messages may lie within each other below the request. The same as prost's limit, so that what we accept is not
/// refused for its depth by a peer that decodes with prost.
pub(crate) const MAX_DEPTH: u32 = 100;

/// What is left of a message. Reading returns `None` where the bytes break protobuf's rules; the cursor is of no use then.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline(always)]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Up to ten bytes with seven bits each, the lowest first.
    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        if let [byte, rest @ ..] = self.rest
            && *byte < 0x80
        {
            self.rest = rest;
            return Some(u64::from(*byte));
        }
        // The slow path takes and returns slices by value: a reference to the cursor would force it into memory and cost
        // the fast path a third of its speed.
        let (value, rest) = long_varint(self.rest)?;
        self.rest = rest;
        Some(value)
    }

    /// A field's number and wire type: `number << 3 | wire`. The number is not 0.
    #[inline(always)]
    pub(crate) fn key(&mut self) -> Option<u32> {
        let key = u32::try_from(self.varint()?).ok()?;
        (key >= 8).then_some(key)
    }

    #[inline(always)]
    pub(crate) fn fixed64(&mut self) -> Option<u64> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u64::from_le_bytes(*bytes))
    }

    #[inline(always)]
    pub(crate) fn fixed32(&mut self) -> Option<u32> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u32::from_le_bytes(*bytes))
    }

    #[inline(always)]
    pub(crate) fn double(&mut self) -> Option<f64> {
        self.fixed64().map(f64::from_bits)
    }

    /// A length and so many bytes.
    #[inline(always)]
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    /// Text; empty where it is not UTF-8, which validation refuses.
    #[inline(always)]
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        self.bytes().map(|bytes| std::str::from_utf8(bytes).unwrap_or_default())
    }

    /// Steps over the value of a field whose key was just read. Groups, which OTLP does not use, are stepped over whole.
    #[inline]
    pub(crate) fn skip(&mut self, key: u32) -> Option<()> {
        match Wire::of(key)? {
            Wire::Varint => self.varint().map(drop),
            Wire::I64 => self.fixed64().map(drop),
            Wire::Len => self.bytes().map(drop),
            Wire::I32 => self.fixed32().map(drop),
            Wire::StartGroup => {
                self.rest = after_group(self.rest, key >> 3)?;
                Some(())
            }
            Wire::EndGroup => None,
        }
    }
}

#[inline(never)]
fn long_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            // The tenth byte has room for one bit.
            return (index < 9 || byte < 2).then(|| (value, &bytes[index + 1..]));
        }
    }
    None
}

/// What follows the group `number`, whose start was read.
#[cold]
fn after_group(bytes: &[u8], number: u32) -> Option<&[u8]> {
    let mut open = vec![number];
    let mut cursor = Cursor::new(bytes);
    loop {
        let key = cursor.key()?;
        match Wire::of(key)? {
            Wire::StartGroup if open.len() < MAX_DEPTH as usize => open.push(key >> 3),
            Wire::StartGroup => return None,
            Wire::EndGroup => {
                if open.pop() != Some(key >> 3) {
                    return None;
                }
                if open.is_empty() {
                    return Some(cursor.rest);
                }
            }
            _ => cursor.skip(key)?,
        }
    }
}

/// A message field that may come in several pieces. Protobuf merges such pieces, and the merged message is the one whose
/// bytes are the pieces in a row. Copies only where there are several.
pub(crate) struct Merged<'a>(Cow<'a, [u8]>);

impl Default for Merged<'_> {
    fn default() -> Self {
        Self(Cow::Borrowed(&[]))
    }
}

impl<'a> Merged<'a> {
    #[inline(always)]
    pub(crate) fn add(&mut self, piece: &'a [u8]) {
        if self.0.is_empty() {
            self.0 = Cow::Borrowed(piece);
        } else {
            self.0.to_mut().extend_from_slice(piece);
        }
    }

    #[inline(always)]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Keys of fields by number, one function for each wire type, for use in constants.
pub(crate) const fn varint(number: u32) -> u32 {
    number << 3
}

pub(crate) const fn fixed64(number: u32) -> u32 {
    number << 3 | 1
}

pub(crate) const fn len(number: u32) -> u32 {
    number << 3 | 2
}
