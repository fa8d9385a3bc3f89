//! Texts and numbers as JSON writes them.

use std::fmt::Write;

/// Appends `text` with quotes, escaping what JSON demands.
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut plain = 0;
    for (index, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[plain..index]);
        plain = index + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

/// Appends the shortest number that reads as `value` again; `"NaN"`, `"Infinity"` and `"-Infinity"` as text, as protobuf's
/// JSON mapping has it.
pub(crate) fn push_double(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("\"NaN\"");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    } else if value == value.trunc() && value.abs() < 1e15 && value.to_bits() != (-0.0f64).to_bits() {
        let _ = write!(out, "{value}");
    } else {
        let _ = write!(out, "{value:?}");
    }
}
