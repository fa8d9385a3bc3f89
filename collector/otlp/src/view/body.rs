//! The body of a log record as text: borrowed where it is text, else rendered as compact JSON.

use super::{
    attributes::{any_value_keys, key_value},
    cursor::{Cursor, MAX_DEPTH, Merged, len},
};
use crate::json::text::{push_double, push_string};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::fmt::Write;

/// The value of an `AnyValue`, as far as one look at its own fields goes.
enum Value<'a> {
    Empty,
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(Merged<'a>),
    List(Merged<'a>),
    Bytes(&'a [u8]),
}

/// The body as text. A structured one is rendered into `scratch`, in the JSON that a person would write: an object for a
/// list of pairs, plain numbers, base64 for bytes, `null` for nothing, `"NaN"` and the like for doubles that JSON lacks. An
/// absent or empty body is the empty text.
pub(super) fn text<'a>(body: &'a [u8], scratch: &'a mut String) -> &'a str {
    match value(body) {
        Some(Value::Text(text)) => text,
        None | Some(Value::Empty) => "",
        Some(other) => {
            scratch.clear();
            render(other, scratch, MAX_DEPTH);
            scratch
        }
    }
}

#[inline(always)]
fn value(bytes: &[u8]) -> Option<Value<'_>> {
    use any_value_keys::{ARRAY, BOOL, BYTES, DOUBLE, INT, KVLIST, STRING, STRING_INDEX};
    let mut found = Value::Empty;
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        match cursor.key()? {
            STRING => found = Value::Text(cursor.text()?),
            BOOL => found = Value::Bool(cursor.varint()? != 0),
            INT => found = Value::Int(cursor.varint()?.cast_signed()),
            DOUBLE => found = Value::Double(cursor.double()?),
            ARRAY => {
                let mut values = if let Value::Array(before) = found { before } else { Merged::default() };
                values.add(cursor.bytes()?);
                found = Value::Array(values);
            }
            KVLIST => {
                let mut values = if let Value::List(before) = found { before } else { Merged::default() };
                values.add(cursor.bytes()?);
                found = Value::List(values);
            }
            BYTES => found = Value::Bytes(cursor.bytes()?),
            STRING_INDEX => {
                cursor.varint()?;
                found = Value::Empty;
            }
            other => cursor.skip(other)?,
        }
    }
    Some(found)
}

fn render(value: Value<'_>, out: &mut String, depth: u32) {
    match value {
        Value::Empty => out.push_str("null"),
        Value::Text(text) => push_string(out, text),
        Value::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Value::Int(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Double(value) => push_double(out, value),
        Value::Bytes(bytes) => {
            out.push('"');
            BASE64_STANDARD.encode_string(bytes, out);
            out.push('"');
        }
        Value::Array(values) => {
            out.push('[');
            each(values.bytes(), |index, item| {
                separate(out, index);
                nested(item, out, depth);
            });
            out.push(']');
        }
        Value::List(pairs) => {
            out.push('{');
            each(pairs.bytes(), |index, pair| {
                separate(out, index);
                key_value(pair, |key, item| {
                    push_string(out, key);
                    out.push(':');
                    nested(item, out, depth);
                });
            });
            out.push('}');
        }
    }
}

fn nested(bytes: &[u8], out: &mut String, depth: u32) {
    match (value(bytes), depth.checked_sub(1)) {
        (Some(value), Some(depth)) => render(value, out, depth),
        _ => out.push_str("null"),
    }
}

fn separate(out: &mut String, index: usize) {
    if index > 0 {
        out.push(',');
    }
}

/// Calls `visit` with each of the `values` of an `ArrayValue` or a `KeyValueList`.
fn each(bytes: &[u8], mut visit: impl FnMut(usize, &[u8])) -> Option<()> {
    const VALUES: u32 = len(1);
    let mut cursor = Cursor::new(bytes);
    let mut index = 0;
    while !cursor.is_empty() {
        match cursor.key()? {
            VALUES => {
                visit(index, cursor.bytes()?);
                index += 1;
            }
            other => cursor.skip(other)?,
        }
    }
    Some(())
}
