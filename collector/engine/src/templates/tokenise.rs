//! Owns cutting a log line into tokens, with a guess of how likely each is to vary.

use super::{
    bytes::{ALPHA, DIGIT, JOINT, LEAD, NAME, NOT_HEX, SINGLE, SPACE, is, kinds, skip},
    classify::{UUID_LENGTH, classify, is_symbol},
    shape::{Marks, Runs, shape},
    token::{Class, Token},
    words,
};

/// What the tokens of a line can hold; saves looking for what is not there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Hints {
    /// Words that may belong to a date.
    pub(super) dates: bool,
    /// Words of two hexadecimal letters.
    pub(super) pairs: bool,
    /// Signs of equality.
    pub(super) equals: bool,
}

impl Hints {
    /// Of tokens that nobody looked at.
    pub(super) const UNKNOWN: Self = Self { dates: true, pairs: true, equals: true };
}

/// Tokenises `line`, at most `limit` tokens, into `out`, which is emptied first. `line` has at most 64 KiB.
pub(super) fn tokenise(line: &[u8], limit: usize, out: &mut Vec<Token>) -> Hints {
    out.clear();
    let mut scanner = Scanner { line, limit, marks: Marks::of(line), hints: Hints::default(), out };
    scanner.region(0, line.len(), true);
    scanner.hints
}

struct Scanner<'a> {
    line: &'a [u8],
    limit: usize,
    marks: Marks,
    hints: Hints,
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

impl Scanner<'_> {
    /// Tokenises the bytes from `low` to `high`; what stands outside is not looked at.
    fn region(&mut self, mut low: usize, mut high: usize, mut space: bool) {
        while low < high && is(self.line[low], SPACE) {
            low += 1;
        }
        while low < high && is(self.line[high - 1], SPACE) {
            high -= 1;
        }
        let line = &self.line[..high];
        let mut word = low;
        // All that the bytes from `word` to `i` are.
        let mut seen = 0;
        let mut i = low;
        let mut runs = Runs::new(low);
        while i < high && self.out.len() < self.limit {
            let byte = kinds(line[i]);
            let found = if byte & NAME != 0 {
                let (end, run) = name(line, i);
                let found = self.shape_of_name(line, low, i, end, &mut runs);
                if found.is_none() {
                    seen |= run;
                    i = end;
                    continue;
                }
                found.map(|end| (end, Separator::Shape))
            } else if byte & SPACE != 0 {
                Some((skip(line, i + 1, |b| is(b, SPACE)), Separator::Space))
            } else {
                self.separator(line, low, i, &mut runs)
            };
            let Some((end, separator)) = found else {
                seen |= byte;
                i += 1;
                continue;
            };
            if word < i {
                self.word(word, i, seen, space);
                space = false;
            }
            match separator {
                Separator::Space => space = true,
                Separator::Punctuation => {
                    self.punctuation(i, end, space);
                    space = false;
                }
                Separator::Shape => {
                    self.push(i, end, Class::Variable, space);
                    space = false;
                }
                Separator::Quoted => {
                    self.quoted(i, end, space);
                    space = false;
                }
            }
            i = end;
            word = end;
            seen = 0;
        }
        if word < i && self.out.len() < self.limit {
            self.word(word, i, seen, space);
        }
        self.out.truncate(self.limit);
    }

    /// The shape that starts with the run of letters from `i` to `end`, and where it ends.
    fn shape_of_name(&self, line: &[u8], low: usize, i: usize, end: usize, runs: &mut Runs) -> Option<usize> {
        // A drive and the first group of an address are short and have a colon behind.
        let may_be = self.marks.any() || (end - i <= 4 && line.get(end) == Some(&b':'));
        if may_be { shape(line, i, before(line, low, i), self.marks, runs) } else { None }
    }

    /// The separator that starts at `i`, where there is neither letter nor space, and where it ends.
    fn separator(&self, line: &[u8], low: usize, i: usize, runs: &mut Runs) -> Option<(usize, Separator)> {
        let byte = line[i];
        let before = before(line, low, i);
        if is(byte, LEAD)
            && !is(before, NAME)
            && let Some(end) = shape(line, i, before, self.marks, runs)
        {
            return Some((end, Separator::Shape));
        }
        if is(byte, SINGLE) {
            return Some((i + 1, Separator::Punctuation));
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
                    if end < line.len() {
                        return Some((end + 1, Separator::Quoted));
                    }
                }
                Some((i + 1, Separator::Punctuation))
            }
            _ => None,
        }
    }

    fn push(&mut self, start: usize, end: usize, class: Class, space: bool) {
        let position = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        self.out.push(Token { start: position(start), end: position(end), class, space });
    }

    // What is inlined here and below has more than one caller and is needed for every token; calling it takes about a tenth
    // of the tokeniser's instructions.
    #[inline(always)]
    fn punctuation(&mut self, start: usize, end: usize, space: bool) {
        let open = match self.line[start] {
            b')' => b'(',
            b']' => b'[',
            b'}' => b'{',
            b'=' => {
                self.hints.equals = true;
                0
            }
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

    /// A word whose bytes are `seen` together.
    #[inline(always)]
    fn word(&mut self, start: usize, end: usize, seen: u16, space: bool) {
        if seen & DIGIT != 0 {
            self.push(start, end, Class::Variable, space);
        } else if seen & (ALPHA | JOINT | NOT_HEX) == ALPHA | NOT_HEX && end - start < UUID_LENGTH {
            self.plain(start, end, space);
        } else {
            self.odd(start, end, space);
        }
    }

    /// An ordinary word.
    #[inline(always)]
    fn plain(&mut self, start: usize, end: usize, space: bool) {
        let text = &self.line[start..end];
        self.hints.dates |= words::may_date(text);
        self.hints.pairs |= text.len() == 2 && text.iter().all(u8::is_ascii_hexdigit);
        self.push(start, end, Class::Word, space);
    }

    /// A word that must be looked at again, but has no digit.
    fn odd(&mut self, start: usize, mut end: usize, space: bool) {
        if is_symbol(&self.line[start..end]) {
            self.punctuation(start, end, space);
            return;
        }
        while end > start + 1 && self.line[end - 1] == b'.' {
            end -= 1;
        }
        match classify(&self.line[start..end]) {
            Class::Word => self.plain(start, end, space),
            class => self.push(start, end, class, space),
        }
    }
}

/// The byte before `i`, a space at the start of the region.
fn before(line: &[u8], low: usize, i: usize) -> u8 {
    if i > low { line[i - 1] } else { b' ' }
}

/// Where the run of letters that starts at `i` ends, and all that its bytes are.
fn name(line: &[u8], i: usize) -> (usize, u16) {
    let (mut end, mut seen) = (i, 0);
    while let Some(&byte) = line.get(end) {
        let byte = kinds(byte);
        if byte & NAME == 0 {
            break;
        }
        seen |= byte;
        end += 1;
    }
    (end, seen)
}
