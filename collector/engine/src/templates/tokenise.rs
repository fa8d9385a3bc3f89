//! Owns cutting a log line into tokens, with a guess of how likely each is to vary.

use super::{
    token::{Class, Token},
    words,
};

/// Tokenises `line`, at most `limit` tokens, into `out`, which is emptied first. `line` has at most 64 KiB.
pub(super) fn tokenise(line: &[u8], limit: usize, out: &mut Vec<Token>) {
    out.clear();
    let marks = Marks { at: line.contains(&b'@'), scheme: holds_scheme(line) };
    Scanner { line, limit, marks, out }.region(0, line.len(), true);
}

/// Whether `://` stands anywhere in the line. Goes from colon to colon, which is fast.
fn holds_scheme(line: &[u8]) -> bool {
    let mut rest = line;
    while let Some(colon) = rest.iter().position(|&byte| byte == b':') {
        rest = &rest[colon + 1..];
        if rest.starts_with(b"//") {
            return true;
        }
    }
    false
}

/// Which rare shapes a line can hold at all; saves looking for them at every word.
#[derive(Clone, Copy)]
struct Marks {
    at: bool,
    scheme: bool,
}

struct Scanner<'a> {
    line: &'a [u8],
    limit: usize,
    marks: Marks,
    out: &'a mut Vec<Token>,
}

/// What separates words.
enum Separator {
    Space,
    /// One token of punctuation, possibly of several bytes.
    Punctuation,
    /// A URL, path, address or the like.
    Shape,
    /// Text in quotes, quotes included.
    Quoted,
}

const ALPHA: u8 = 1;
const DIGIT: u8 = 2;
const HEX: u8 = 4;
const SPACE: u8 = 8;
/// Ends URLs and paths.
const STOP: u8 = 16;
/// A token by itself.
const SINGLE: u8 = 32;
/// ASCII letter, digit or underscore.
const NAME: u8 = 64;
const CONTROL_SPACES: [u8; 10] = [9, 10, 11, 12, 13, 28, 29, 30, 31, 32];

const TABLE: [u8; 256] = {
    let mut table = [0_u8; 256];
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
        if byte.is_ascii_hexdigit() {
            bits |= HEX;
        }
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

fn is(byte: u8, bits: u8) -> bool {
    TABLE[usize::from(byte)] & bits != 0
}

impl Scanner<'_> {
    /// Tokenises the bytes from `low` to `high`; what stands outside is not looked at.
    fn region(&mut self, mut low: usize, mut high: usize, mut space: bool) {
        while low < high && is(self.line[low], SPACE) {
            low += 1;
        }
        while low < high && is(self.line[high - 1], SPACE) {
            high -= 1;
        }
        let mut word = low;
        let mut i = low;
        // Where the runs of letters around `i` end, so that each is walked only once.
        let mut runs = Runs { mail: low, scheme: low };
        while i < high && self.out.len() < self.limit {
            if i > low && is(self.line[i], NAME) && is(self.line[i - 1], NAME) {
                i += 1;
                continue;
            }
            let Some((end, separator)) = self.separator(low, i, high, &mut runs) else {
                i += 1;
                continue;
            };
            if word < i {
                self.word(word, i, space);
                space = false;
            }
            match separator {
                Separator::Space => space = true,
                Separator::Punctuation => {
                    self.punctuation(i, end, space);
                    space = false;
                }
                Separator::Shape => {
                    self.word(i, end, space);
                    space = false;
                }
                Separator::Quoted => {
                    self.quoted(i, end, space);
                    space = false;
                }
            }
            i = end;
            word = end;
        }
        if word < i && self.out.len() < self.limit {
            self.word(word, i, space);
        }
        self.out.truncate(self.limit);
    }

    /// The separator that starts at `i`, and where it ends.
    fn separator(&self, low: usize, i: usize, high: usize, runs: &mut Runs) -> Option<(usize, Separator)> {
        let line = &self.line[..high];
        let byte = line[i];
        if is(byte, SPACE) {
            return Some((skip(line, i, |b| is(b, SPACE)), Separator::Space));
        }
        let before = if i > low { line[i - 1] } else { b' ' };
        if !is(before, NAME)
            && let Some(end) = self.shape(line, i, before, runs)
        {
            return Some((end, Separator::Shape));
        }
        let alphanumeric = |b: u8| is(b, ALPHA | DIGIT);
        match byte {
            b'.' => {
                let end = skip(line, i, |b| b == b'.');
                (end - i >= 2).then_some((end, Separator::Punctuation))
            }
            b'-' => {
                let end = skip(line, i, |b| b == b'-');
                let opens = !alphanumeric(before) && before != b'-';
                let closes = !line.get(end).is_some_and(|&b| alphanumeric(b));
                (end - i >= 2 && (opens || closes)).then_some((end, Separator::Punctuation))
            }
            b'@' | b'*' => {
                let inside = alphanumeric(before) && line.get(i + 1).is_some_and(|&b| alphanumeric(b));
                (!inside).then_some((i + 1, Separator::Punctuation))
            }
            b'"' | b'\'' => {
                if byte == b'"' || !alphanumeric(before) {
                    let end = skip(line, i + 1, |b| b != byte);
                    if end < high {
                        return Some((end + 1, Separator::Quoted));
                    }
                }
                Some((i + 1, Separator::Punctuation))
            }
            _ => is(byte, SINGLE).then_some((i + 1, Separator::Punctuation)),
        }
    }

    /// A URL, path, network address or mail address that starts at `i`, and where it ends. The byte before is no letter.
    fn shape(&self, line: &[u8], i: usize, before: u8, runs: &mut Runs) -> Option<usize> {
        let byte = line[i];
        let unstopped = |from: usize| skip(line, from, |b| !is(b, STOP));
        if self.marks.scheme && is(byte, ALPHA) {
            if runs.scheme <= i {
                runs.scheme = skip(line, i, |b| is(b, ALPHA | DIGIT) || matches!(b, b'+' | b'.' | b'-'));
            }
            if line[runs.scheme..].starts_with(b"://") {
                return Some(unstopped(runs.scheme + 3));
            }
        }
        if matches!(byte, b'/' | b'~' | b'.') && !matches!(before, b'.' | b'~' | b'-' | b'/' | b'*' | b'\\') {
            let rest = &line[i..];
            let lead = if rest.starts_with(b"../") {
                2
            } else {
                usize::from(rest.starts_with(b"./") || rest.starts_with(b"~/"))
            };
            if rest.get(lead) == Some(&b'/') {
                let from = i + lead + 1;
                let last =
                    line[from..unstopped(from)].iter().rposition(|&b| is(b, NAME) || matches!(b, b'*' | b'/' | b'-'));
                if let Some(last) = last {
                    return Some(from + last + 1);
                }
            }
        }
        if is(byte, ALPHA) && line[i + 1..].starts_with(b":\\") {
            return Some(unstopped(i + 3));
        }
        if (is(byte, HEX) || byte == b':')
            && !matches!(before, b':' | b'.')
            && let Some(end) = address(line, i)
        {
            return Some(end);
        }
        if self.marks.at && (is(byte, NAME) || matches!(byte, b'.' | b'+' | b'-')) {
            if runs.mail <= i {
                runs.mail = skip(line, i, |b| is(b, NAME) || matches!(b, b'.' | b'+' | b'-'));
            }
            if line.get(runs.mail) == Some(&b'@') {
                let from = runs.mail + 1;
                let end = skip(line, from, |b| is(b, NAME) || matches!(b, b'.' | b'-'));
                let last = line[from..end].iter().rposition(|&b| is(b, NAME));
                if let Some(last) = last {
                    return Some(from + last + 1);
                }
            }
        }
        None
    }

    fn push(&mut self, start: usize, end: usize, class: Class, space: bool) {
        let position = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        self.out.push(Token { start: position(start), end: position(end), class, space });
    }

    fn punctuation(&mut self, start: usize, end: usize, space: bool) {
        let open = match self.line[start] {
            b')' => b'(',
            b']' => b'[',
            b'}' => b'{',
            _ => 0,
        };
        // `name ()` is a list that happens to be empty.
        if open != 0 && self.out.last().is_some_and(|last| last.space && last.is(self.line, open)) {
            self.out.push(Token::wildcard(Class::Variable, false));
        }
        self.push(start, end.min(start + 2), Class::Punctuation, space);
    }

    fn quoted(&mut self, start: usize, end: usize, space: bool) {
        self.push(start, start + 1, Class::Punctuation, space);
        let body = &self.line[start + 1..end - 1];
        let spaces = body.iter().filter(|&&byte| byte == b' ').count();
        let digits = body.iter().any(u8::is_ascii_digit);
        if body.iter().all(|&byte| is(byte, SPACE)) {
            self.out.push(Token::wildcard(Class::Variable, false));
        } else if digits || matches!(body[0], b'/' | b'~' | b'.') {
            if spaces == 0 {
                self.out.push(Token::wildcard(Class::Variable, false));
            } else {
                self.region(start + 1, end - 1, false);
            }
        } else if spaces <= 2 {
            self.push(start + 1, end - 1, Class::Soft, false);
        } else {
            self.region(start + 1, end - 1, false);
        }
        self.push(end - 1, end, Class::Punctuation, false);
    }

    fn word(&mut self, start: usize, mut end: usize, space: bool) {
        if is_symbol(&self.line[start..end]) {
            self.punctuation(start, end, space);
            return;
        }
        while end > start + 1 && self.line[end - 1] == b'.' {
            end -= 1;
        }
        let class = classify(&self.line[start..end]);
        self.push(start, end, class, space);
    }
}

/// How far the runs of scheme and mail characters around the scanner's position reach.
struct Runs {
    mail: usize,
    scheme: usize,
}

/// The first position from `from` on at which `wanted` does not hold.
fn skip(line: &[u8], from: usize, wanted: impl Fn(u8) -> bool) -> usize {
    line[from.min(line.len())..].iter().position(|&byte| !wanted(byte)).map_or(line.len(), |n| from + n)
}

/// An IPv6 or MAC address or a time of day: two or more groups of up to four hexadecimal digits, each with a colon.
fn address(line: &[u8], start: usize) -> Option<usize> {
    let mut i = start;
    let mut groups = 0;
    loop {
        let end = skip(&line[..line.len().min(i + 4)], i, |b| is(b, HEX));
        if line.get(end) != Some(&b':') {
            break;
        }
        groups += 1;
        i = end + 1;
    }
    if groups < 2 {
        return None;
    }
    let free = |at: usize| !line.get(at).is_some_and(|&b| is(b, NAME) || b == b':');
    let tail = skip(line, i, |b| is(b, HEX) || b == b'.');
    if line.get(tail) == Some(&b'%') {
        let zone = skip(line, tail + 1, |b| is(b, NAME));
        if zone > tail + 1 && free(zone) {
            return Some(zone);
        }
    }
    (i..=tail).rev().find(|&end| free(end))
}

/// Whether a word is one character that is neither letter nor digit, and no operator that reads like a word.
fn is_symbol(word: &[u8]) -> bool {
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
fn classify(word: &[u8]) -> Class {
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
    word.len() == 36
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
