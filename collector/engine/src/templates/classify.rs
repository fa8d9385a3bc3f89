//! Owns the guess how likely a word is to vary, by its shape alone.

use super::{
    bytes::{ALPHA, DIGIT, HEX, is},
    token::Class,
    words,
};

/// How long a UUID is. A shorter word without digits, joints and runs of hexadecimal letters only is an ordinary one.
pub(super) const UUID_LENGTH: usize = 36;

/// Whether a word is one character that is neither letter nor digit, and no operator that reads like a word.
pub(super) fn is_symbol(word: &[u8]) -> bool {
    match word {
        [byte] => !is(*byte, ALPHA | DIGIT) && !b"-_+~&%$^/\\".contains(byte),
        [first, ..] if *first >= 0xc2 && word.len() <= 4 => std::str::from_utf8(word).is_ok_and(|text| {
            let mut characters = text.chars();
            characters.next().is_some_and(|character| !character.is_alphanumeric()) && characters.next().is_none()
        }),
        _ => false,
    }
}

/// How likely a word is to vary, by its shape alone. `word` is not empty.
pub(super) fn classify(word: &[u8]) -> Class {
    let (mut slashes, mut dots, mut backslashes, mut colons, mut ats) = (0, 0, 0, 0, 0);
    let mut hex = true;
    for &byte in word {
        if is(byte, DIGIT) {
            return Class::Variable;
        }
        hex &= is(byte, HEX);
        match byte {
            b'/' => slashes += 1,
            b'.' => dots += 1,
            b'\\' => backslashes += 1,
            b':' => colons += 1,
            b'@' => ats += 1,
            _ => {}
        }
    }
    if hex && word.len() >= 8 || is_uuid(word) {
        return Class::Variable;
    }
    if slashes + dots + backslashes + colons + ats == 0 {
        return Class::Word;
    }
    let inner = |byte: u8| {
        let first = word.iter().position(|&b| b != byte);
        let last = word.iter().rposition(|&b| b != byte);
        matches!((first, last), (Some(first), Some(last)) if word[first..last].contains(&byte))
    };
    let is_url = word.windows(3).any(|three| three == b"://");
    if is_url || (ats > 0 && inner(b'@')) || colons >= 2 || word.get(1..3) == Some(b":\\") {
        return Class::Variable;
    }
    if word[0] == b'\\' && word.len() > 2 && word[1..word.len() - 1].contains(&b'\\') {
        return Class::Variable;
    }
    let is_path =
        word[0] == b'/' && word.len() > 1 || [&b"./"[..], b"~/", b"../"].iter().any(|start| word.starts_with(start));
    if is_path || (slashes > 0 && inner(b'/') && (slashes >= 2 || dots > 0)) {
        return Class::Variable;
    }
    if backslashes > 0 && inner(b'\\') {
        return Class::Soft;
    }
    if dots > 0 && inner(b'.') {
        return dotted(word, dots);
    }
    Class::Word
}

fn is_uuid(word: &[u8]) -> bool {
    word.len() == UUID_LENGTH
        && word
            .iter()
            .enumerate()
            .all(|(i, &byte)| if matches!(i, 8 | 13 | 18 | 23) { byte == b'-' } else { is(byte, HEX) })
}

/// The class of a name with dots inside: host, file, or class.
fn dotted(word: &[u8], dots: usize) -> Class {
    let last = word.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    let is_file = words::lower(last, words::is_file_extension);
    let is_country = last.len() == 2 && last.iter().all(u8::is_ascii_alphabetic) && (!is_file || dots >= 2);
    if is_country || words::lower(last, words::is_top_level_domain) {
        return Class::Variable;
    }
    let first = word.split(|&byte| byte == b'.').next().unwrap_or_default();
    if dots >= 2 && is_host(word) && !words::is_package_root(first) {
        return Class::Variable;
    }
    if is_file || dots >= 2 { Class::Soft } else { Class::Word }
}

/// Lower-case labels of letters, digits and dashes; the first starts with a letter.
fn is_host(word: &[u8]) -> bool {
    word[0].is_ascii_lowercase()
        && word.split(|&byte| byte == b'.').all(|label| {
            !label.is_empty()
                && label.iter().all(|&byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
}
