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
        match self.class {
            Class::Variable | Class::Free => WILDCARD,
            _ => source.get(usize::from(self.start)..usize::from(self.end)).unwrap_or_default(),
        }
    }

    /// Whether it is the single byte `byte`.
    pub(super) fn is(&self, source: &[u8], byte: u8) -> bool {
        self.class == Class::Punctuation && self.text(source) == [byte]
    }

    /// Whether it is a single byte out of `bytes`.
    pub(super) fn is_any(&self, source: &[u8], bytes: &[u8]) -> bool {
        self.class == Class::Punctuation && matches!(self.text(source), [byte] if bytes.contains(byte))
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
        let mut builder = LineBuilder::default();
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
