//! Owns the coarser views of a line, in which lines of one template may look alike when their tokens do not.

use super::{
    normalise::{Stage, normalise},
    token::{Class, Line, LineBuilder, Token},
    tokenise::Hints,
};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// A way to look at a line.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum View {
    /// Its tokens.
    Tokens,
    /// Its tokens, the first word free to vary.
    FirstFree,
    /// White-space separated chunks.
    Chunks,
    /// Text in brackets taken as one token.
    Brackets,
}

impl View {
    /// The key of the bucket in which lines of the same skeleton stand.
    pub(super) fn bucket(self, line: &Line) -> u64 {
        let mut key = Vec::with_capacity(64);
        key.push(self as u8);
        if matches!(self, Self::Tokens | Self::Brackets)
            && let Some(first) = (0..line.len().min(2)).find(|&i| line.tokens[i].class == Class::Word)
        {
            key.extend_from_slice(line.text(first));
        }
        for (i, token) in line.tokens.iter().enumerate() {
            key.push(0xff);
            if token.class == Class::Punctuation {
                key.extend_from_slice(line.text(i));
            } else {
                key.push(b'x');
            }
        }
        xxh3_64(&key)
    }
}

/// The view [`View::Brackets`], if the line has a bracket with several tokens and neither `=` nor `:` in it.
pub(super) fn brackets(line: &Line) -> Option<Line> {
    let (source, tokens) = (line.source(), &line.tokens);
    let mut builder = LineBuilder::default();
    let mut found = false;
    let mut i = 0;
    while i < tokens.len() {
        let token = tokens[i];
        builder.push(token.text(source), token.class, token.space);
        i += 1;
        let Some(end) = closing(source, tokens, i - 1) else { continue };
        let inner = &tokens[i..end];
        let named = inner.iter().any(|token| matches!(token.class, Class::Word | Class::Soft));
        if inner.len() < 2 || !named || inner.iter().any(|token| token.is_any(source, b"=:")) {
            continue;
        }
        let text = inner.iter().map(|token| token.text(source)).collect::<Vec<_>>().join(&b' ');
        builder.push(&text, Class::Soft, false);
        builder.push(tokens[end].text(source), Class::Punctuation, tokens[end].space);
        i = end + 1;
        found = true;
    }
    found.then(|| renormalise(&builder.finish()))
}

/// Where the bracket that opens at `open` closes.
fn closing(source: &[u8], tokens: &[Token], open: usize) -> Option<usize> {
    let (opens, closes) =
        [(b'(', b')'), (b'[', b']'), (b'{', b'}')].into_iter().find(|pair| tokens[open].is(source, pair.0))?;
    let mut depth = 0_u32;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        if token.is(source, opens) {
            depth += 1;
        } else if token.is(source, closes) {
            depth -= 1;
            if depth == 0 {
                return Some(i);
            }
        }
    }
    None
}

/// A coarse form of the line: a chunk that holds a variable becomes one, but for a leading `key=` or `key:` and outer
/// brackets. `None` if that changes nothing.
pub(super) fn coarse(line: &Line) -> Option<Line> {
    let source = line.source();
    let mut builder = LineBuilder::default();
    let mut changed = false;
    for chunk in split_chunks(line) {
        let mut copy = |tokens: &[Token]| {
            for token in tokens {
                builder.push(token.text(source), token.class, token.space);
            }
        };
        if chunk.len() < 2 || !chunk.iter().any(|token| token.class == Class::Variable) {
            copy(chunk);
            continue;
        }
        let mut low = 0;
        while low < chunk.len() && chunk[low].class != Class::Variable {
            let is_key = matches!(chunk[low].class, Class::Word | Class::Soft)
                && chunk.get(low + 1).is_some_and(|sign| sign.is_any(source, b"=:([{"));
            if !(chunk[low].is_any(source, b"([{<\"") || is_key || (low > 0 && chunk[low].is_any(source, b"=:([{"))) {
                break;
            }
            low += 1;
        }
        let mut high = chunk.len();
        while high > low && chunk[high - 1].is_any(source, b")]}>\",;:") {
            high -= 1;
        }
        copy(&chunk[..low]);
        if high > low {
            changed |= high - low > 1;
            copy(&[Token::wildcard(Class::Variable, chunk[low].space)]);
        }
        copy(&chunk[high..]);
    }
    changed.then(|| renormalise(&builder.finish()))
}

/// The view [`View::Chunks`].
pub(super) fn chunks(line: &Line) -> Line {
    let source = line.source();
    let mut builder = LineBuilder::default();
    for chunk in split_chunks(line) {
        let trailing = chunk[1..].iter().rev().take_while(|token| token.is_any(source, b",;:")).count();
        let (body, rest) = chunk.split_at(chunk.len() - trailing);
        if let [token] = body {
            builder.push(token.text(source), token.class, token.space);
        } else {
            let text = body.iter().map(|token| token.text(source)).collect::<Vec<_>>().concat();
            builder.push(&text, Class::Chunk, body[0].space);
        }
        for token in rest {
            builder.push(token.text(source), token.class, token.space);
        }
    }
    builder.finish()
}

/// Tokens without white space between them; runs of dots or dashes stand alone. No chunk is empty.
fn split_chunks(line: &Line) -> Vec<&[Token]> {
    let is_run =
        |token: &Token| token.class == Class::Punctuation && matches!(token.text(line.source()), b".." | b"--");
    line.tokens.chunk_by(|before, token| !(token.space || is_run(token) || is_run(before))).collect()
}

fn renormalise(line: &Line) -> Line {
    let mut tokens = line.tokens.to_vec();
    normalise(line.source(), &mut tokens, Hints::UNKNOWN, Stage::View);
    Line::copy(line.source(), &tokens)
}
