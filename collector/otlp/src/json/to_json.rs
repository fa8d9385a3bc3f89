//! Protobuf to OTLP/JSON.

use super::text::{push_double, push_string};
use crate::{
    Signal,
    schema::{self, Field, Kind, Label, Message, Wire},
    view::{Cursor, MAX_DEPTH, Merged},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::fmt::Write;

/// Renders an export request of this signal as OTLP/JSON on one line: names in camel case, ids in hexadecimal, enumerations
/// as numbers, 64-bit numbers as texts. Fields stand in the order in which the bytes have them first.
///
/// Unknown fields are left out. `request` should be one that [`validate`](crate::view::validate) accepts; of another one, what
/// follows the first malformed field of a message is left out.
#[must_use]
pub fn to_json(signal: Signal, request: &[u8]) -> String {
    let mut out = String::with_capacity(request.len() * 2);
    message(schema::request(signal), request, MAX_DEPTH, &mut out);
    out
}

/// A field that occurs in a message, and from where on its occurrences count.
struct Present {
    field: &'static Field,
    from: usize,
}

fn message(message: &'static Message, bytes: &[u8], depth: u32, out: &mut String) {
    out.push('{');
    for (index, present) in present(message, bytes).iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_string(out, present.field.json);
        out.push(':');
        field(present, bytes, depth, out);
    }
    out.push('}');
}

/// Which fields occur, in the order of their first occurrence. Of several alternatives only the last one counts, and of
/// that one only what comes after the last of the others.
fn present(message: &'static Message, bytes: &[u8]) -> Vec<Present> {
    let mut found: Vec<Present> = Vec::new();
    each(bytes, 0, |field_number, wire, from, _| {
        let Some(field) = message.field(field_number) else { return };
        if !fits(field, wire) || found.iter().any(|present| present.field.number == field.number) {
            return;
        }
        if field.label == Label::Oneof {
            found.retain(|present| present.field.label != Label::Oneof);
        }
        found.push(Present { field, from });
    });
    found
}

/// Whether a value on the wire can belong to the field.
fn fits(field: &Field, wire: Wire) -> bool {
    let expected = field.kind.wire();
    wire == expected || (wire == Wire::Len && field.label == Label::Repeated)
}

fn field(present: &Present, bytes: &[u8], depth: u32, out: &mut String) {
    let field = present.field;
    let number = u32::from(field.number);
    if field.label != Label::Repeated {
        let mut last = None;
        let mut merged = Merged::default();
        each(bytes, present.from, |found, wire, _, value| {
            if found == number && fits(field, wire) {
                if let (Kind::Message(_), Value::Bytes(piece)) = (&field.kind, value) {
                    merged.add(piece);
                }
                last = Some(value);
            }
        });
        match last {
            Some(Value::Bytes(_)) if matches!(field.kind, Kind::Message(_)) => {
                push(&field.kind, Value::Bytes(merged.bytes()), depth, out);
            }
            Some(value) => push(&field.kind, value, depth, out),
            None => out.push_str("null"),
        }
        return;
    }
    out.push('[');
    let mut first = true;
    let mut item = |value: Value<'_>| {
        if !first {
            out.push(',');
        }
        first = false;
        push(&field.kind, value, depth, out);
    };
    let expected = field.kind.wire();
    each(bytes, present.from, |found, wire, _, value| {
        if found != number || !fits(field, wire) {
            return;
        }
        match value {
            Value::Bytes(packed) if wire != expected => {
                let mut cursor = Cursor::new(packed);
                while let (false, Some(value)) = (cursor.is_empty(), Value::read(&mut cursor, expected)) {
                    item(value);
                }
            }
            value => item(value),
        }
    });
    out.push(']');
}

/// One value as it stands on the wire.
#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    fn read(cursor: &mut Cursor<'a>, wire: Wire) -> Option<Self> {
        Some(match wire {
            Wire::Varint => Self::Number(cursor.varint()?),
            Wire::I64 => Self::Number(cursor.fixed64()?),
            Wire::I32 => Self::Number(u64::from(cursor.fixed32()?)),
            Wire::Len => Self::Bytes(cursor.bytes()?),
            Wire::StartGroup | Wire::EndGroup => return None,
        })
    }
}

/// Calls `visit` with number, wire type, offset and value of each field from the offset `from` on.
fn each<'a>(bytes: &'a [u8], from: usize, mut visit: impl FnMut(u32, Wire, usize, Value<'a>)) -> Option<()> {
    let mut cursor = Cursor::new(bytes.get(from..)?);
    while !cursor.is_empty() {
        let offset = bytes.len() - cursor.rest().len();
        let key = cursor.key()?;
        let wire = Wire::of(key)?;
        if wire == Wire::StartGroup {
            cursor.skip(key)?;
            continue;
        }
        let value = Value::read(&mut cursor, wire)?;
        visit(key >> 3, wire, offset, value);
    }
    Some(())
}

fn push(kind: &Kind, value: Value<'_>, depth: u32, out: &mut String) {
    let _ = match (kind, value) {
        (Kind::Bool, Value::Number(value)) => write!(out, "{}", value != 0),
        (Kind::Int32 | Kind::Enum(_), Value::Number(value)) => write!(out, "{}", value as i32),
        (Kind::Sint32, Value::Number(value)) => {
            let value = value as u32;
            write!(out, "{}", (value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
        }
        (Kind::Uint32 | Kind::Fixed32, Value::Number(value)) => write!(out, "{}", value as u32),
        (Kind::Int64 | Kind::Sfixed64, Value::Number(value)) => write!(out, "\"{}\"", value.cast_signed()),
        (Kind::Uint64 | Kind::Fixed64, Value::Number(value)) => write!(out, "\"{value}\""),
        (Kind::Double, Value::Number(value)) => {
            push_double(out, f64::from_bits(value));
            Ok(())
        }
        (Kind::Str, Value::Bytes(text)) => {
            push_string(out, std::str::from_utf8(text).unwrap_or_default());
            Ok(())
        }
        (Kind::Bytes, Value::Bytes(bytes)) => {
            out.push('"');
            BASE64_STANDARD.encode_string(bytes, out);
            out.push('"');
            Ok(())
        }
        (Kind::Id, Value::Bytes(bytes)) => {
            out.push('"');
            for byte in bytes {
                let _ = write!(out, "{byte:02x}");
            }
            out.push('"');
            Ok(())
        }
        (Kind::Message(inner), Value::Bytes(bytes)) if depth > 0 => {
            message(inner, bytes, depth - 1, out);
            Ok(())
        }
        _ => write!(out, "null"),
    };
}
