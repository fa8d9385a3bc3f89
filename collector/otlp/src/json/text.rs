//! Texts and numbers as JSON writes them.

use std::fmt::Write;

/// From here on, `{:?}` writes an exponent, which is shorter than a row of zeros.
const EXPONENT_FROM: f64 = 1e16;

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
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
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
    } else if value == value.trunc() && value.abs() < EXPONENT_FROM && value.to_bits() != (-0.0f64).to_bits() {
        let _ = write!(out, "{value}");
    } else {
        let _ = write!(out, "{value:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::{push_double, push_string};

    /// What JSON demands is escaped, in the shortest way it has (RFC 8259, section 7), and nothing else is.
    #[test]
    fn texts_are_escaped_as_shortly_as_can_be() {
        let mut out = String::new();
        push_string(&mut out, "a\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}é\u{2028}");
        assert_eq!(out, "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}é\u{2028}\"");
        assert_eq!(
            serde_json::from_str::<String>(&out).expect("JSON"),
            "a\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}é\u{2028}"
        );
    }

    /// The same number has the same text from the smallest to the largest, no longer than it must be, so that equal bodies
    /// make equal log templates.
    #[test]
    fn doubles_are_as_short_as_they_can_be() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0.0"),
            (-3.0, "-3"),
            (0.1, "0.1"),
            (999_999_999_999_999.0, "999999999999999"),
            (1_584_511_047_619_238.0, "1584511047619238"),
            (-9_999_999_999_999_998.0, "-9999999999999998"),
            (1e16, "1e16"),
            (1.5e300, "1.5e300"),
            (5e-324, "5e-324"),
            (f64::NAN, "\"NaN\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            let mut out = String::new();
            push_double(&mut out, value);
            assert_eq!(out, expected);
        }
    }
}
