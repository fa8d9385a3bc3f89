//! Checks a whole request against the table of OTLP's messages.

use super::cursor::{Cursor, MAX_DEPTH};
use crate::{
    Signal,
    schema::{self, Field, Kind, Label, Message, Wire},
};
use std::fmt::Write;

/// What a valid request holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Items {
    /// Data points, log records or spans. Where a metric carries several kinds of data, only the last kind counts, as it is
    /// the only one that a decoder keeps.
    pub count: u64,
}

/// Why a request is not valid OTLP.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{path}: {problem} at byte {offset}")]
pub struct ViewError {
    /// The field, such as `resource_logs[2].scope_logs[0].log_records[17].body`; the name of the message if the problem
    /// lies before any field of the request.
    pub path: String,
    /// Bytes from the start of the request to the field's key, or to the value if that is what is wrong.
    pub offset: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// It ends after the message that it is in.
    #[error("truncated")]
    Truncated,
    /// A number is longer than ten bytes or larger than 64 bits.
    #[error("malformed number")]
    Varint,
    /// A key has field number 0, or is larger than 32 bits.
    #[error("malformed field key")]
    Key,
    /// A key has wire type 6 or 7, which do not exist.
    #[error("unknown wire type")]
    UnknownWireType,
    /// The wire type is not the one of the field's type.
    #[error("wrong wire type")]
    WireType,
    /// A text is not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// More than 100 messages or groups within each other.
    #[error("nested too deeply")]
    Depth,
    /// A group ends that did not begin, or under another number.
    #[error("unexpected end of a group")]
    Group,
}

/// Walks all of `request`, which is an export request of this signal, and counts its items.
///
/// Accepts exactly what prost accepts for the messages of opentelemetry-proto: known fields must have the wire type of their
/// type (numbers that repeat: packed or not), text must be UTF-8, messages nest at most 100 deep, unknown fields need only be
/// well-formed. Ids of the wrong length, unknown enumeration values, times of 0 and the like are valid. There is no known
/// difference to prost; a property test and the fuzz target `view` look for one.
///
/// # Errors
/// The first problem in the order of the bytes.
pub fn validate(signal: Signal, request: &[u8]) -> Result<Items, ViewError> {
    walk(schema::request(signal), request, MAX_DEPTH)
        .map(|count| Items { count })
        .map_err(|fault| explain(schema::request(signal), request, &fault))
}

/// [`validate`] for the content of one `ResourceMetrics`, `ResourceLogs` or `ResourceSpans`. Path and offset count from there.
pub(super) fn validate_resource(signal: Signal, resource: &[u8]) -> Result<Items, ViewError> {
    let Some(Field { kind: Kind::Message(message), .. }) = schema::request(signal).field(1) else {
        return Ok(Items::default());
    };
    walk(message, resource, MAX_DEPTH - 1)
        .map(|count| Items { count })
        .map_err(|fault| explain(message, resource, &fault))
}

/// A problem, and how many bytes of which messages were left when it was met, innermost first.
struct Fault {
    problem: Problem,
    /// Fields on the way to it with what was left of the message before each one's key.
    way: Vec<(Option<&'static Field>, usize)>,
}

#[cold]
fn fault(problem: Problem, field: Option<&'static Field>, left: usize) -> Fault {
    Fault { problem, way: vec![(field, left)] }
}

/// Checks one message and returns the number of items in it. `depth` is how many messages may still lie within it.
fn walk(message: &'static Message, bytes: &[u8], depth: u32) -> Result<u64, Fault> {
    let mut items = message.items;
    // Items in the alternative that was seen last, and its number.
    let (mut chosen, mut in_chosen) = (0, 0);
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        let left = cursor.rest().len();
        let key = match cursor.key() {
            Some(key) => key,
            None => return Err(fault(key_problem(cursor), None, left)),
        };
        let Some(wire) = Wire::of(key) else {
            return Err(fault(Problem::UnknownWireType, None, left));
        };
        let Some(field) = message.field(key >> 3) else {
            cursor = skip_unknown(cursor, key, depth).map_err(|problem| fault(problem, None, left))?;
            continue;
        };
        let expected = field.kind.wire();
        if wire != expected {
            if wire == Wire::Len && field.label == Label::Repeated && expected != Wire::Len {
                packed(&mut cursor, expected).map_err(|problem| fault(problem, Some(field), left))?;
                continue;
            }
            return Err(fault(Problem::WireType, Some(field), left));
        }
        match &field.kind {
            Kind::Message(inner) => {
                let bytes = len(&mut cursor).map_err(|problem| fault(problem, Some(field), left))?;
                if depth == 0 {
                    return Err(fault(Problem::Depth, Some(field), left));
                }
                if inner.is_pair && depth > 1 && is_plain_pair(bytes) {
                    continue;
                }
                let found = walk(inner, bytes, depth - 1).map_err(|mut fault| {
                    fault.way.push((Some(field), left));
                    fault
                })?;
                if field.label == Label::Oneof {
                    if chosen != field.number {
                        items -= in_chosen;
                        (chosen, in_chosen) = (field.number, 0);
                    }
                    in_chosen += found;
                }
                items += found;
            }
            Kind::Str => {
                let bytes = len(&mut cursor).map_err(|problem| fault(problem, Some(field), left))?;
                if std::str::from_utf8(bytes).is_err() {
                    return Err(fault(Problem::Utf8, Some(field), left));
                }
            }
            Kind::Bytes | Kind::Id => {
                len(&mut cursor).map_err(|problem| fault(problem, Some(field), left))?;
            }
            _ => scalar(&mut cursor, wire).map_err(|problem| fault(problem, Some(field), left))?,
        }
    }
    Ok(items)
}

/// Whether this is a `KeyValue` as nearly all of them are: a key, then a text, a number or a truth value, all short and each
/// once. Whatever else it is, the walk by the table decides.
#[inline]
fn is_plain_pair(pair: &[u8]) -> bool {
    const KEY: u8 = 1 << 3 | 2;
    const VALUE: u8 = 2 << 3 | 2;
    const STRING: u8 = 1 << 3 | 2;
    const BOOL: u8 = 2 << 3;
    const INT: u8 = 3 << 3;
    const DOUBLE: u8 = 4 << 3 | 1;
    let [KEY, key_length @ 0..0x80, rest @ ..] = pair else { return false };
    let Some((key, rest)) = rest.split_at_checked(usize::from(*key_length)) else { return false };
    let [VALUE, length @ 0..0x80, value @ ..] = rest else { return false };
    if value.len() != usize::from(*length) || std::str::from_utf8(key).is_err() {
        return false;
    }
    match value {
        [STRING, length @ 0..0x80, text @ ..] => {
            text.len() == usize::from(*length) && std::str::from_utf8(text).is_ok()
        }
        [BOOL | INT, number @ ..] => {
            let mut cursor = Cursor::new(number);
            cursor.varint().is_some() && cursor.is_empty()
        }
        [DOUBLE, number @ ..] => number.len() == size_of::<f64>(),
        _ => false,
    }
}

#[inline]
fn len<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Problem> {
    let before = *cursor;
    cursor.bytes().ok_or_else(|| {
        let mut again = before;
        if again.varint().is_some() { Problem::Truncated } else { varint_problem(before) }
    })
}

#[inline]
fn scalar(cursor: &mut Cursor<'_>, wire: Wire) -> Result<(), Problem> {
    match wire {
        Wire::Varint => {
            let before = *cursor;
            cursor.varint().map(drop).ok_or_else(|| varint_problem(before))
        }
        Wire::I64 => cursor.fixed64().map(drop).ok_or(Problem::Truncated),
        Wire::I32 => cursor.fixed32().map(drop).ok_or(Problem::Truncated),
        Wire::Len => len(cursor).map(drop),
        Wire::StartGroup | Wire::EndGroup => Err(Problem::WireType),
    }
}

fn packed(cursor: &mut Cursor<'_>, wire: Wire) -> Result<(), Problem> {
    let mut values = Cursor::new(len(cursor)?);
    while !values.is_empty() {
        scalar(&mut values, wire)?;
    }
    Ok(())
}

/// Steps over an unknown field, as deep as prost would.
fn skip_unknown(mut cursor: Cursor<'_>, key: u32, depth: u32) -> Result<Cursor<'_>, Problem> {
    if depth == 0 {
        return Err(Problem::Depth);
    }
    match Wire::of(key).ok_or(Problem::UnknownWireType)? {
        Wire::EndGroup => return Err(Problem::Group),
        Wire::StartGroup => loop {
            let before = cursor;
            let inner = cursor.key().ok_or_else(|| key_problem(before))?;
            if Wire::of(inner) == Some(Wire::EndGroup) {
                if inner >> 3 != key >> 3 {
                    return Err(Problem::Group);
                }
                break;
            }
            cursor = skip_unknown(cursor, inner, depth - 1)?;
        },
        wire => scalar(&mut cursor, wire)?,
    }
    Ok(cursor)
}

#[cold]
fn varint_problem(cursor: Cursor<'_>) -> Problem {
    let rest = cursor.rest();
    if rest.len() < 10 && rest.iter().all(|byte| *byte >= 0x80) { Problem::Truncated } else { Problem::Varint }
}

#[cold]
fn key_problem(cursor: Cursor<'_>) -> Problem {
    let mut again = cursor;
    match again.varint() {
        Some(_) => Problem::Key,
        None => varint_problem(cursor),
    }
}

/// Names the field: walks down once more and counts, for each field on the way, those of the same number before it.
#[cold]
fn explain(root: &'static Message, request: &[u8], fault: &Fault) -> ViewError {
    let mut path = String::new();
    let (mut bytes, mut start) = (request, 0);
    let mut offset = 0;
    for (field, left) in fault.way.iter().rev() {
        offset = start + bytes.len() - left;
        let Some(field) = field else { break };
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(field.name);
        let number = u32::from(field.number);
        let mut index = 0;
        let mut cursor = Cursor::new(bytes);
        while cursor.rest().len() > *left {
            let Some(key) = cursor.key() else { break };
            index += usize::from(key >> 3 == number);
            if cursor.skip(key).is_none() {
                break;
            }
        }
        if field.label == Label::Repeated && field.kind.wire() == Wire::Len {
            let _ = write!(path, "[{index}]");
        }
        if cursor.key().is_none() {
            break;
        }
        let Some(inner) = cursor.bytes() else { break };
        start += bytes.len() - cursor.rest().len() - inner.len();
        bytes = inner;
    }
    if path.is_empty() {
        path.push_str(root.name);
    }
    ViewError { path, offset, problem: fault.problem }
}
