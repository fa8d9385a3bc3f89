//! Owns the kinds of bytes that the tokeniser tells apart.

pub(super) const ALPHA: u16 = 1;
pub(super) const DIGIT: u16 = 2;
pub(super) const HEX: u16 = 4;
pub(super) const NOT_HEX: u16 = 8;
pub(super) const SPACE: u16 = 16;
/// Ends URLs and paths.
pub(super) const STOP: u16 = 32;
/// A token by itself.
pub(super) const SINGLE: u16 = 64;
/// ASCII letter, digit or underscore.
pub(super) const NAME: u16 = 128;
/// Joins the parts of paths, dotted names and addresses; a word without any has no parts.
pub(super) const JOINT: u16 = 256;
/// Neither a [`NAME`] nor a [`SPACE`], but a path or an address may begin with it.
pub(super) const LEAD: u16 = 512;
const CONTROL_SPACES: [u8; 10] = [9, 10, 11, 12, 13, 28, 29, 30, 31, 32];

const TABLE: [u16; 256] = {
    let mut table = [0_u16; 256];
    let mut i = 0;
    while i < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "i is below 256")]
        let byte = i as u8;
        let mut bits = 0;
        if byte.is_ascii_alphabetic() {
            bits |= ALPHA | NAME;
        }
        if byte.is_ascii_digit() {
            bits |= DIGIT | NAME;
        }
        if byte == b'_' {
            bits |= NAME;
        }
        bits |= if byte.is_ascii_hexdigit() { HEX } else { NOT_HEX };
        if matches!(
            byte,
            b'=' | b':'
                | b','
                | b';'
                | b'('
                | b')'
                | b'['
                | b']'
                | b'{'
                | b'}'
                | b'<'
                | b'>'
                | b'|'
                | b'#'
                | b'!'
                | b'?'
                | b'`'
        ) {
            bits |= SINGLE;
        }
        if matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'[' | b']' | b'(' | b')' | b'{' | b'}' | b',' | b';' | b'|') {
            bits |= STOP;
        }
        if matches!(byte, b'/' | b'.' | b'\\' | b':' | b'@') {
            bits |= JOINT;
        }
        if matches!(byte, b'/' | b'~' | b'.' | b':' | b'+' | b'-') {
            bits |= LEAD;
        }
        table[i] = bits;
        i += 1;
    }
    let mut i = 0;
    while i < CONTROL_SPACES.len() {
        table[CONTROL_SPACES[i] as usize] |= SPACE | STOP;
        i += 1;
    }
    table
};

/// All that a byte is.
pub(super) fn kinds(byte: u8) -> u16 {
    TABLE[usize::from(byte)]
}

/// Whether a byte is any of `wanted`.
pub(super) fn is(byte: u8, wanted: u16) -> bool {
    kinds(byte) & wanted != 0
}

/// The first position from `from` on at which `wanted` does not hold.
pub(super) fn skip(line: &[u8], from: usize, wanted: impl Fn(u8) -> bool) -> usize {
    line[from.min(line.len())..].iter().position(|&byte| !wanted(byte)).map_or(line.len(), |n| from + n)
}
