//! Owns the token: a piece of a log line and how likely it is to vary.

use serde::{Deserialize, Serialize};

/// How likely a token is to vary between lines of one template.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Class {
    /// Punctuation: part of the line's skeleton.
    Punctuation,
    /// Varies for sure: a number, an address, a path.
    Variable,
    /// Looks like a name, so varies easily.
    Soft,
    /// An ordinary word.
    Word,
    /// Several tokens without white space between them, taken as one.
    Chunk,
    /// A position that was found to vary.
    Free,
}

impl Class {
    /// A bit of its own for each class, for sets of classes.
    pub(super) fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// What stands in a template for everything that varies.
pub(super) const WILDCARD: &[u8] = b"<*>";

/// A piece of a source text that is kept elsewhere.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Token {
    /// First byte in the source.
    pub(super) start: u16,
    /// One past its last byte in the source.
    pub(super) end: u16,
    /// How likely it is to vary.
    pub(super) class: Class,
    /// Whether white space stood before it.
    pub(super) space: bool,
}

impl Token {
    /// A wildcard, which needs no text.
    pub(super) fn wildcard(class: Class, space: bool) -> Self {
        Self { start: 0, end: 0, class, space }
    }

    /// Its text; the wildcard for what varies, empty if the source is not the one it was made for.
    pub(super) fn text<'a>(&self, source: &'a [u8]) -> &'a [u8] {
        if self.is_wildcard() { WILDCARD } else { self.own_text(source) }
    }

    /// What of it stands in the source: nothing of a wildcard.
    fn own_text<'a>(&self, source: &'a [u8]) -> &'a [u8] {
        if self.is_wildcard() {
            return &[];
        }
        source.get(usize::from(self.start)..usize::from(self.end)).unwrap_or_default()
    }

    /// Whether a wildcard stands for it.
    fn is_wildcard(&self) -> bool {
        matches!(self.class, Class::Variable | Class::Free)
    }

    /// Appends its text to `out`.
    pub(super) fn append(&self, source: &[u8], out: &mut Vec<u8>) {
        const CHUNK: usize = 16;
        if self.is_wildcard() {
            out.extend_from_slice(WILDCARD);
            return;
        }
        let text = self.own_text(source);
        let length = out.len() + text.len();
        match source.get(usize::from(self.start)..).and_then(<[u8]>::first_chunk::<CHUNK>) {
            // A copy of fixed length needs no call; what is too much of it is cut off again.
            Some(chunk) if text.len() <= CHUNK => {
                out.extend_from_slice(chunk);
                out.truncate(length);
            }
            _ => out.extend_from_slice(text),
        }
    }

    /// Whether it is the single byte `byte`.
    pub(super) fn is(&self, source: &[u8], byte: u8) -> bool {
        self.single(source) == Some(byte)
    }

    /// Whether it is a single byte out of `bytes`.
    pub(super) fn is_any(&self, source: &[u8], bytes: &[u8]) -> bool {
        self.single(source).is_some_and(|byte| bytes.contains(&byte))
    }

    /// Its byte, if it is punctuation of one byte.
    fn single(&self, source: &[u8]) -> Option<u8> {
        if self.class == Class::Punctuation && self.end.wrapping_sub(self.start) == 1 {
            source.get(usize::from(self.start)).copied()
        } else {
            None
        }
    }
}

/// A tokenised line that owns its text.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Line {
    source: Box<[u8]>,
    /// In order.
    pub(super) tokens: Box<[Token]>,
}

impl Line {
    /// Copies the tokens and as much of the source as they need.
    pub(super) fn copy(source: &[u8], tokens: &[Token]) -> Self {
        let mut builder = LineBuilder {
            source: Vec::with_capacity(tokens.iter().map(|token| token.own_text(source).len()).sum()),
            tokens: Vec::with_capacity(tokens.len()),
        };
        for token in tokens {
            builder.push(token.text(source), token.class, token.space);
        }
        builder.finish()
    }

    /// How many tokens.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The text of token `i`; empty if there is none.
    pub(super) fn text(&self, i: usize) -> &[u8] {
        self.tokens.get(i).map_or(&[], |token| token.text(&self.source))
    }

    /// All its text, for reading tokens from.
    pub(super) fn source(&self) -> &[u8] {
        &self.source
    }

    /// Heap bytes that it holds.
    pub(super) fn heap_bytes(&self) -> usize {
        self.source.len() + self.tokens.len() * size_of::<Token>()
    }

    /// How many ordinary words it has.
    pub(super) fn words(&self) -> usize {
        self.tokens.iter().filter(|token| token.class == Class::Word).count()
    }

    /// As people read it: tokens with single spaces where the line had white space.
    pub(super) fn render(&self) -> String {
        let mut text = Vec::with_capacity(self.source.len() + self.tokens.len());
        for (i, token) in self.tokens.iter().enumerate() {
            if i > 0 && token.space {
                text.push(b' ');
            }
            text.extend_from_slice(token.text(&self.source));
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Puts a [`Line`] together.
#[derive(Default)]
pub(super) struct LineBuilder {
    source: Vec<u8>,
    tokens: Vec<Token>,
}

impl LineBuilder {
    /// Adds a token. What does not fit into the 64 KiB that a line may have is cut off.
    pub(super) fn push(&mut self, text: &[u8], class: Class, space: bool) {
        if matches!(class, Class::Variable | Class::Free) {
            self.tokens.push(Token::wildcard(class, space));
            return;
        }
        let position = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
        let start = position(self.source.len());
        let room = usize::from(u16::MAX) - usize::from(start);
        self.source.extend_from_slice(&text[..text.len().min(room)]);
        self.tokens.push(Token { start, end: position(self.source.len()), class, space });
    }

    /// The line.
    pub(super) fn finish(self) -> Line {
        Line { source: self.source.into(), tokens: self.tokens.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text must be appended whole and nothing of what follows it, wherever in the source it stands.
    #[test]
    fn appending_takes_the_text_and_no_more() {
        let source: Vec<u8> = (b'A'..=b'z').collect();
        let length = u16::try_from(source.len()).expect("58 bytes");
        for start in 0..length {
            for end in start..=length {
                let token = Token { start, end, class: Class::Word, space: false };
                let mut out = b"before".to_vec();
                token.append(&source, &mut out);
                assert_eq!(out, [b"before", &source[usize::from(start)..usize::from(end)]].concat());
            }
        }
    }
}
