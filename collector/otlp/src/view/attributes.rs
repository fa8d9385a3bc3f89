//! Attributes as they lie in the message that carries them.

use super::cursor::{Cursor, Merged, len};
use foreshock_engine::signal::{AttributeValue, Attributes};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

/// Keys of the fields of an `AnyValue`.
pub(super) mod any_value_keys {
    use crate::view::cursor::{fixed64, len, varint};

    pub(in crate::view) const STRING: u32 = len(1);
    pub(in crate::view) const BOOL: u32 = varint(2);
    pub(in crate::view) const INT: u32 = varint(3);
    pub(in crate::view) const DOUBLE: u32 = fixed64(4);
    pub(in crate::view) const ARRAY: u32 = len(5);
    pub(in crate::view) const KVLIST: u32 = len(6);
    pub(in crate::view) const BYTES: u32 = len(7);
    /// A text in a dictionary that only profiles carry.
    pub(in crate::view) const STRING_INDEX: u32 = varint(8);
}

/// The attributes of one message: the bytes from the first one to the last one.
#[derive(Clone, Copy)]
pub(super) struct RawAttributes<'a> {
    bytes: &'a [u8],
    key: u32,
    /// Whether other fields lie between.
    mixed: bool,
}

/// Collects where in a message its attributes lie.
pub(super) struct Run {
    start: usize,
    end: usize,
    mixed: bool,
}

impl Run {
    pub(super) fn new() -> Self {
        Self { start: 0, end: 0, mixed: false }
    }

    /// Takes an attribute between two states of the cursor over `message`.
    #[inline(always)]
    pub(super) fn add(&mut self, message: &[u8], before: Cursor<'_>, after: Cursor<'_>) {
        let start = message.len() - before.rest().len();
        if self.end == 0 {
            self.start = start;
        } else if self.end != start {
            self.mixed = true;
        }
        self.end = message.len() - after.rest().len();
    }

    /// All that was taken; `key` is the key of the field.
    #[inline(always)]
    pub(super) fn of<'a>(&self, message: &'a [u8], key: u32) -> RawAttributes<'a> {
        RawAttributes { bytes: message.get(self.start..self.end).unwrap_or_default(), key, mixed: self.mixed }
    }
}

impl<'a> RawAttributes<'a> {
    /// The attributes in field `number` of a message.
    pub(super) fn within(message: &'a [u8], number: u32) -> Self {
        Self { bytes: message, key: len(number), mixed: true }
    }

    /// Calls `visit` with each encoded field, key included, and its content.
    #[inline(always)]
    fn fields(&self, mut visit: impl FnMut(&'a [u8], &'a [u8])) -> Option<()> {
        let mut cursor = Cursor::new(self.bytes);
        while !cursor.is_empty() {
            let before = cursor.rest();
            let key = cursor.key()?;
            if key == self.key {
                let content = cursor.bytes()?;
                visit(&before[..before.len() - cursor.rest().len()], content);
            } else {
                cursor.skip(key)?;
            }
        }
        Some(())
    }
}

impl Attributes for RawAttributes<'_> {
    fn raw_hash(&self) -> u64 {
        if !self.mixed {
            return xxh3_64(self.bytes);
        }
        let mut hasher = Xxh3Default::new();
        self.fields(|field, _| hasher.update(field));
        hasher.digest()
    }

    fn for_each(&self, visit: &mut dyn FnMut(&str, AttributeValue<'_>)) {
        self.fields(|_, pair| {
            key_value(pair, |key, value| visit(key, any_value(value)));
        });
    }
}

/// Reads a `KeyValue` and calls `then` with its key and the bytes of its `AnyValue`.
#[inline(always)]
pub(super) fn key_value(pair: &[u8], then: impl FnOnce(&str, &[u8])) -> Option<()> {
    const KEY: u32 = len(1);
    const VALUE: u32 = len(2);
    let mut name = "";
    let mut value = Merged::default();
    let mut cursor = Cursor::new(pair);
    while !cursor.is_empty() {
        match cursor.key()? {
            KEY => name = cursor.text()?,
            VALUE => value.add(cursor.bytes()?),
            other => cursor.skip(other)?,
        }
    }
    then(name, value.bytes());
    Some(())
}

/// Reads an `AnyValue` as far as an attribute needs it.
#[inline]
pub(super) fn any_value(value: &[u8]) -> AttributeValue<'_> {
    read_any_value(value).unwrap_or(AttributeValue::Other)
}

#[inline(always)]
fn read_any_value(value: &[u8]) -> Option<AttributeValue<'_>> {
    use any_value_keys::{ARRAY, BOOL, BYTES, DOUBLE, INT, KVLIST, STRING, STRING_INDEX};
    let mut found = AttributeValue::Other;
    let mut cursor = Cursor::new(value);
    while !cursor.is_empty() {
        match cursor.key()? {
            STRING => found = AttributeValue::Str(cursor.text()?),
            BOOL => found = AttributeValue::Bool(cursor.varint()? != 0),
            INT => found = AttributeValue::Int(cursor.varint()?.cast_signed()),
            DOUBLE => found = AttributeValue::Double(cursor.double()?),
            other @ (ARRAY | KVLIST | BYTES | STRING_INDEX) => {
                cursor.skip(other)?;
                found = AttributeValue::Other;
            }
            other => cursor.skip(other)?,
        }
    }
    Some(found)
}
