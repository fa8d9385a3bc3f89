//! Reads JSON token by token, strictly as RFC 8259 has it, without building a tree.

use std::borrow::Cow;

/// What can be wrong with a JSON document or with a value in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// It is not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// It ends within a value.
    #[error("ends too early")]
    End,
    /// Something stands where JSON allows only the named thing.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A text holds a control character, or a bad escape or surrogate.
    #[error("malformed text")]
    Text,
    /// A number that breaks JSON's grammar.
    #[error("malformed number")]
    Number,
    /// A number that its field can't hold.
    #[error("number out of range")]
    Range,
    /// More than 100 messages, or 256 values of unknown fields, within each other.
    #[error("nested too deeply")]
    Depth,
}

pub(super) struct Parser<'a> {
    text: &'a str,
    at: usize,
}

type Result<T> = std::result::Result<T, Problem>;

/// How deep the value of an unknown field may nest.
const MAX_UNKNOWN_DEPTH: u32 = 256;

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Bytes read so far.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// The first byte of the next token.
    pub(super) fn peek(&mut self) -> Result<u8> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(&byte) => return Ok(byte),
                None => return Err(Problem::End),
            }
        }
    }

    /// Nothing but white space may follow.
    pub(super) fn end(&mut self) -> Result<()> {
        match self.peek() {
            Err(_) => Ok(()),
            Ok(_) => Err(Problem::Expected("the end of the document")),
        }
    }

    /// Steps into an object or an array.
    pub(super) fn open(&mut self, bracket: u8, expected: &'static str) -> Result<()> {
        if self.peek()? != bracket {
            return Err(Problem::Expected(expected));
        }
        self.at += 1;
        Ok(())
    }

    /// Within an object: the next key, its colon included; `None` at the end. `first` says whether it is the first.
    pub(super) fn key(&mut self, first: bool) -> Result<Option<Cow<'a, str>>> {
        if !self.more(first, b'}', "a comma or a closing brace")? {
            return Ok(None);
        }
        if self.peek()? != b'"' {
            return Err(Problem::Expected("a key"));
        }
        let key = self.string()?;
        if self.peek()? != b':' {
            return Err(Problem::Expected("a colon"));
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Within an array: whether another value follows.
    pub(super) fn item(&mut self, first: bool) -> Result<bool> {
        self.more(first, b']', "a comma or a closing bracket")
    }

    fn more(&mut self, first: bool, close: u8, expected: &'static str) -> Result<bool> {
        let byte = self.peek()?;
        if byte == close {
            self.at += 1;
            return Ok(false);
        }
        if !first {
            if byte != b',' {
                return Err(Problem::Expected(expected));
            }
            self.at += 1;
            if self.peek()? == close {
                return Err(Problem::Expected("a value after the comma"));
            }
        }
        Ok(true)
    }

    /// Takes `null` if it comes next.
    pub(super) fn null(&mut self) -> Result<bool> {
        Ok(self.peek()? == b'n' && self.word("null")?)
    }

    pub(super) fn bool(&mut self) -> Result<bool> {
        match self.peek()? {
            b't' => self.word("true"),
            b'f' => self.word("false").map(|_| false),
            _ => Err(Problem::Expected("true or false")),
        }
    }

    fn word(&mut self, word: &'static str) -> Result<bool> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(Problem::Expected(word));
        }
        self.at += word.len();
        Ok(true)
    }

    /// A number as it is written.
    pub(super) fn number(&mut self) -> Result<&'a str> {
        self.peek()?;
        let rest = &self.text[self.at..];
        let length = number_length(rest.as_bytes()).ok_or(Problem::Number)?;
        self.at += length;
        Ok(&rest[..length])
    }

    /// A text; borrowed unless it has escapes. The next byte must be a quote.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>> {
        let text: &'a str = self.text;
        let start = self.at + 1;
        let mut plain = start;
        let mut owned: Option<String> = None;
        self.at = start;
        loop {
            let byte = *text.as_bytes().get(self.at).ok_or(Problem::End)?;
            match byte {
                b'"' => {
                    let last = &text[plain..self.at];
                    self.at += 1;
                    return Ok(match owned {
                        None => Cow::Borrowed(last),
                        Some(mut owned) => {
                            owned.push_str(last);
                            Cow::Owned(owned)
                        }
                    });
                }
                b'\\' => {
                    let owned = owned.get_or_insert_default();
                    owned.push_str(&text[plain..self.at]);
                    owned.push(self.escape()?);
                    plain = self.at;
                }
                0..0x20 => return Err(Problem::Text),
                _ => self.at += 1,
            }
        }
    }

    /// The character of an escape; the next byte is the backslash.
    fn escape(&mut self) -> Result<char> {
        let byte = *self.text.as_bytes().get(self.at + 1).ok_or(Problem::End)?;
        self.at += 2;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.four_digits()?;
                if !(0xd800..0xe000).contains(&unit) {
                    return char::from_u32(unit).ok_or(Problem::Text);
                }
                // A character beyond the first 65,536 comes as a pair, the high half first.
                if unit >= 0xdc00 || !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                    return Err(Problem::Text);
                }
                self.at += 2;
                let low = self.four_digits()?;
                if !(0xdc00..0xe000).contains(&low) {
                    return Err(Problem::Text);
                }
                char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)).ok_or(Problem::Text)?
            }
            _ => return Err(Problem::Text),
        })
    }

    fn four_digits(&mut self) -> Result<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or(Problem::End)?;
        let mut value = 0;
        for digit in digits {
            value = value << 4 | char::from(*digit).to_digit(16).ok_or(Problem::Text)?;
        }
        self.at += 4;
        Ok(value)
    }

    /// Steps over any value.
    pub(super) fn skip(&mut self) -> Result<()> {
        self.skip_within(MAX_UNKNOWN_DEPTH)
    }

    fn skip_within(&mut self, depth: u32) -> Result<()> {
        let deeper = depth.checked_sub(1).ok_or(Problem::Depth);
        match self.peek()? {
            b'{' => {
                let deeper = deeper?;
                self.at += 1;
                let mut first = true;
                while self.key(first)?.is_some() {
                    self.skip_within(deeper)?;
                    first = false;
                }
                Ok(())
            }
            b'[' => {
                let deeper = deeper?;
                self.at += 1;
                let mut first = true;
                while self.item(first)? {
                    self.skip_within(deeper)?;
                    first = false;
                }
                Ok(())
            }
            b'"' => self.string().map(drop),
            b't' | b'f' => self.bool().map(drop),
            b'n' => self.null().map(drop),
            _ => self.number().map(drop).map_err(|_| Problem::Expected("a value")),
        }
    }
}

/// How many bytes at the front are a JSON number; `None` if there is none.
pub(super) fn number_length(bytes: &[u8]) -> Option<usize> {
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    match (bytes.get(at), digits(at)) {
        (Some(b'0'), _) => at += 1,
        (_, 0) => return None,
        (_, count) => at += count,
    }
    if bytes.get(at) == Some(&b'.') {
        let count = digits(at + 1);
        if count == 0 {
            return None;
        }
        at += 1 + count;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = bytes.get(at) {
            at += 1;
        }
        let count = digits(at);
        if count == 0 {
            return None;
        }
        at += count;
    }
    Some(at)
}
