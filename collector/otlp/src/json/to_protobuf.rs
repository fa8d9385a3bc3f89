//! OTLP/JSON to protobuf.

use super::parser::{Parser, Problem, number_length};
use crate::{
    Signal,
    schema::{self, Field, Kind, Label, Message, Wire},
    view::MAX_DEPTH,
};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use std::{borrow::Cow, fmt::Write};

/// Why a document is not OTLP/JSON.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{path}: {problem} at byte {offset}")]
pub struct JsonError {
    /// The field, such as `resourceLogs[2].scopeLogs[0].logRecords[17].timeUnixNano`; `$` for the document as a whole.
    pub path: String,
    /// Bytes from the start of the document to where the problem was seen.
    pub offset: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// Converts an export request of this signal (or a `LogsData`, `MetricsData`, `TracesData`, which look the same).
///
/// Keeps every field that OTLP 1.10 knows. Names may be in camel case, as the specification demands, or as in the `.proto`
/// files; ids are hexadecimal; enumerations are numbers or names; whole numbers may be texts and doubles too (`"NaN"`,
/// `"Infinity"`, `"-Infinity"`); bytes are base64 in either alphabet. Unknown fields are passed over, `null` is the default.
/// A name that comes twice counts like a protobuf field that comes twice. Fields are written in the order in which they come.
/// What comes out is at most four times as long as `json` and passes [`validate`](crate::view::validate).
///
/// # Errors
/// The first problem in the order of the document.
pub fn to_protobuf(signal: Signal, json: &[u8]) -> Result<Bytes, JsonError> {
    let mut writer = match std::str::from_utf8(json) {
        Ok(text) => Writer { parser: Parser::new(text), out: Vec::with_capacity(json.len() / 2) },
        Err(error) => {
            return Err(JsonError { path: "$".into(), offset: error.valid_up_to(), problem: Problem::Utf8 });
        }
    };
    let result =
        writer.message(schema::request(signal), MAX_DEPTH).and_then(|()| writer.parser.end().map_err(Fault::from));
    match result {
        Ok(()) => Ok(writer.out.into()),
        Err(fault) => Err(fault.explain(writer.parser.offset())),
    }
}

/// The signal of a document, by its first member that belongs to one: `resourceLogs` and so on. `None` if there is no such
/// member before the document ends or breaks.
#[must_use]
pub fn signal(json: &[u8]) -> Option<Signal> {
    // What follows the first broken character can't hold the answer.
    let valid = std::str::from_utf8(json).map_or_else(|error| error.valid_up_to(), str::len);
    let mut parser = Parser::new(std::str::from_utf8(&json[..valid]).ok()?);
    parser.open(b'{', "an object").ok()?;
    let mut first = true;
    while let Some(key) = parser.key(first).ok()? {
        let of = |signal: &Signal| schema::request(*signal).field_named(&key).is_some();
        if let Some(signal) = Signal::ALL.into_iter().find(of) {
            return Some(signal);
        }
        parser.skip().ok()?;
        first = false;
    }
    None
}

/// A problem and the steps to it, innermost first.
struct Fault {
    problem: Problem,
    way: Vec<Step>,
}

enum Step {
    Field(&'static Field),
    Index(usize),
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self { problem, way: Vec::new() }
    }
}

impl Fault {
    fn within(mut self, step: Step) -> Self {
        self.way.push(step);
        self
    }

    fn explain(&self, offset: usize) -> JsonError {
        let mut path = String::new();
        for step in self.way.iter().rev() {
            match step {
                Step::Field(field) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(field.json);
                }
                Step::Index(index) => {
                    let _ = write!(path, "[{index}]");
                }
            }
        }
        if path.is_empty() {
            path.push('$');
        }
        JsonError { path, offset, problem: self.problem }
    }
}

struct Writer<'a> {
    parser: Parser<'a>,
    out: Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Writes the fields of a message. `depth` is how many messages may still lie within it.
    fn message(&mut self, message: &'static Message, depth: u32) -> Result<(), Fault> {
        self.parser.open(b'{', "an object")?;
        let mut first = true;
        while let Some(key) = self.parser.key(first)? {
            first = false;
            match message.field_named(&key) {
                Some(field) => self.field(field, depth).map_err(|fault| fault.within(Step::Field(field)))?,
                None => self.parser.skip()?,
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &'static Field, depth: u32) -> Result<(), Fault> {
        if self.parser.null()? {
            return Ok(());
        }
        if field.label != Label::Repeated {
            return self.value(field, field.label == Label::Plain, depth);
        }
        self.parser.open(b'[', "an array")?;
        let start = self.out.len();
        let packed = field.kind.wire() != Wire::Len;
        if packed {
            self.key(field, Wire::Len);
            self.out.push(0);
        }
        let content = self.out.len();
        let mut index = 0;
        while self.parser.item(index == 0)? {
            let written = if packed { self.scalar(&field.kind).map(drop) } else { self.value(field, false, depth) };
            written.map_err(|fault| fault.within(Step::Index(index)))?;
            index += 1;
        }
        if packed {
            if index == 0 {
                self.out.truncate(start);
            } else {
                self.close(content);
            }
        }
        Ok(())
    }

    /// Writes key and value, or nothing if the value is zero and `omit_zero` says so.
    fn value(&mut self, field: &'static Field, omit_zero: bool, depth: u32) -> Result<(), Fault> {
        let start = self.out.len();
        let wire = field.kind.wire();
        self.key(field, wire);
        if wire != Wire::Len {
            let zero = self.scalar(&field.kind)?;
            if zero && omit_zero {
                self.out.truncate(start);
            }
            return Ok(());
        }
        self.out.push(0);
        let content = self.out.len();
        // An item of a list that is null is an empty one.
        if !self.parser.null()? {
            match &field.kind {
                Kind::Message(inner) => {
                    let depth = depth.checked_sub(1).ok_or(Problem::Depth)?;
                    self.message(inner, depth)?;
                }
                Kind::Str => {
                    let text = self.text("a text")?;
                    self.out.extend_from_slice(text.as_bytes());
                }
                Kind::Id => {
                    let text = self.text("a hexadecimal id")?;
                    hexadecimal(text.as_bytes(), &mut self.out)?;
                }
                _ => {
                    let text = self.text("base64")?;
                    base64(&text, &mut self.out)?;
                }
            }
        }
        if self.out.len() == content && omit_zero {
            self.out.truncate(start);
        } else {
            self.close(content);
        }
        Ok(())
    }

    fn text(&mut self, expected: &'static str) -> Result<Cow<'a, str>, Problem> {
        if self.parser.peek()? != b'"' {
            return Err(Problem::Expected(expected));
        }
        self.parser.string()
    }

    /// Writes a number and says whether it is zero.
    fn scalar(&mut self, kind: &Kind) -> Result<bool, Fault> {
        if self.parser.null()? {
            self.number(kind, 0);
            return Ok(true);
        }
        if let Kind::Bool = kind {
            let value = self.parser.bool()?;
            self.out.push(u8::from(value));
            return Ok(!value);
        }
        let written = match self.parser.peek()? {
            b'"' => self.parser.string()?,
            b'-' | b'0'..=b'9' => Cow::Borrowed(self.parser.number()?),
            _ => return Err(Problem::Expected("a number").into()),
        };
        let bits = match kind {
            Kind::Double => double(&written)?.to_bits(),
            Kind::Fixed64 | Kind::Uint64 => whole::<u64>(&written)?,
            Kind::Uint32 | Kind::Fixed32 => u64::from(whole::<u32>(&written)?),
            Kind::Enum(names) => match names.iter().find(|(name, _)| *name == written) {
                Some((_, number)) => i64::from(*number).cast_unsigned(),
                None => i64::from(whole::<i32>(&written)?).cast_unsigned(),
            },
            Kind::Sint32 => {
                let value = whole::<i32>(&written)?;
                u64::from((value << 1 ^ value >> 31).cast_unsigned())
            }
            Kind::Int32 => i64::from(whole::<i32>(&written)?).cast_unsigned(),
            _ => whole::<i64>(&written)?.cast_unsigned(),
        };
        self.number(kind, bits);
        Ok(bits == 0)
    }

    fn number(&mut self, kind: &Kind, bits: u64) {
        match kind.wire() {
            Wire::I64 => self.out.extend_from_slice(&bits.to_le_bytes()),
            // The kinds of this wire type have 32 bits.
            Wire::I32 => self.out.extend_from_slice(&bits.to_le_bytes()[..4]),
            _ => push_varint(&mut self.out, bits),
        }
    }

    fn key(&mut self, field: &Field, wire: Wire) {
        push_varint(&mut self.out, u64::from(u32::from(field.number) << 3 | wire.bits()));
    }

    /// Writes the length of what was written from `content` on, into the byte before it and as many more as it needs.
    fn close(&mut self, content: usize) {
        let length = self.out.len() - content;
        if let (Ok(byte @ 0..0x80), Some(place)) = (u8::try_from(length), self.out.get_mut(content - 1)) {
            *place = byte;
            return;
        }
        let mut prefix = Vec::with_capacity(10);
        push_varint(&mut prefix, length as u64);
        self.out.splice(content - 1..content, prefix);
    }
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A whole number as it is written; `1.0` and `1e3` are whole too.
fn whole<T: TryFrom<i128>>(written: &str) -> Result<T, Problem> {
    if number_length(written.as_bytes()) != Some(written.len()) {
        return Err(Problem::Expected("a whole number"));
    }
    let value = match written.parse::<i128>() {
        Ok(value) => value,
        Err(_) => {
            let value = written.parse::<f64>().map_err(|_| Problem::Number)?;
            if value.fract() != 0.0 {
                return Err(Problem::Expected("a whole number"));
            }
            // Casting stops at the ends of `i128`, which no field can hold.
            value as i128
        }
    };
    T::try_from(value).map_err(|_| Problem::Range)
}

fn double(written: &str) -> Result<f64, Problem> {
    match written {
        "NaN" => return Ok(f64::NAN),
        "Infinity" => return Ok(f64::INFINITY),
        "-Infinity" => return Ok(f64::NEG_INFINITY),
        _ if number_length(written.as_bytes()) != Some(written.len()) => return Err(Problem::Expected("a number")),
        _ => {}
    }
    let value = written.parse::<f64>().map_err(|_| Problem::Number)?;
    if value.is_finite() { Ok(value) } else { Err(Problem::Range) }
}

fn hexadecimal(digits: &[u8], out: &mut Vec<u8>) -> Result<(), Problem> {
    const EXPECTED: Problem = Problem::Expected("a hexadecimal id");
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(EXPECTED);
    }
    for pair in pairs {
        let mut byte = 0;
        for digit in pair {
            byte = byte << 4 | char::from(*digit).to_digit(16).ok_or(EXPECTED)?;
        }
        out.push(byte as u8);
    }
    Ok(())
}

fn base64(text: &str, out: &mut Vec<u8>) -> Result<(), Problem> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);
    let engine = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
    engine.decode_vec(text, out).map_err(|_| Problem::Expected("base64"))
}
