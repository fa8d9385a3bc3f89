//! Owns the template miner: log bodies in, stable template ids out, in bounded memory.
//!
//! A body is cut into tokens (`tokenise`), what varies by its shape becomes a wildcard (`normalise`), and the hash of
//! what is left, the *signature*, is looked up. That is all for a line whose signature is known. A new signature is compared
//! with lines of the same skeleton (`views`): it joins a template that has a free position where they differ, or founds one
//! of its own; and when a position has shown enough different values (`vote`) it becomes free and the templates merge.
//!
//! A template's id is the hash of its founding signature. A merge keeps the older id; [`TemplateMiner::resolve`] follows
//! merges, [`TemplateMiner::poll_merge`] tells of them.

mod bytes;
mod classify;
mod normalise;
mod shape;
mod store;
#[cfg(test)]
mod tests;
mod token;
mod tokenise;
mod views;
mod vote;
mod words;

use self::{
    normalise::{Stage, normalise},
    store::{Buckets, Groups, Merges, Signatures},
    token::{Class, Line, Token},
    tokenise::tokenise,
    views::{View, brackets, chunks, coarse},
    vote::generalise,
};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, sync::Arc};
use xxhash_rust::xxh3::xxh3_64;

/// Merges can set off further merges, this many deep.
const MERGE_DEPTH: u32 = 4;

/// How much a miner may keep.
///
/// With the defaults a miner holds at most about 10 MB against hostile input, and 1 to 3 MB on ordinary logs.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TemplateLimits {
    /// Signatures, templates and merges remembered, each; the least recently used go first. At least 16.
    pub signatures: usize,
    /// Lines kept for comparison with new signatures; the least recently used skeletons go first. At least 16. They hold at
    /// most 512 bytes each on average.
    pub bucket_entries: usize,
    /// Tokens of a line that are looked at, 1 to 1,024. The rest of a longer line does not count.
    pub max_tokens: usize,
    /// Bytes of a line that are looked at, 16 to 16,384.
    pub max_bytes: usize,
}

impl Default for TemplateLimits {
    fn default() -> Self {
        Self { signatures: 4_096, bucket_entries: 8_192, max_tokens: 256, max_bytes: 4_096 }
    }
}

impl TemplateLimits {
    fn checked(self) -> Self {
        Self {
            signatures: self.signatures.max(16),
            bucket_entries: self.bucket_entries.max(16),
            max_tokens: self.max_tokens.clamp(1, 1_024),
            max_bytes: self.max_bytes.clamp(16, 16_384),
        }
    }
}

/// The template of a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template {
    /// Stable: the hash of the signature that founded the template.
    pub id: u64,
    /// The line with `<*>` for what varies, at most 1,024 bytes. Becomes more general when templates merge, under the same
    /// id; the same `Arc` as long as it does not change.
    pub text: Arc<str>,
    /// Whether this line founded the template.
    pub is_new: bool,
}

/// One template became part of another.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Merge {
    /// The id that is no more.
    pub from: u64,
    /// The older id, which goes on.
    pub into: u64,
}

/// Finds the templates of one service's log lines. Deterministic: the same lines in the same order give the same ids.
#[derive(Debug, Deserialize, Serialize)]
pub struct TemplateMiner {
    limits: TemplateLimits,
    /// Lines seen: the clock of everything that is evicted by age.
    lines: u64,
    signatures: Signatures,
    groups: Groups,
    buckets: Buckets,
    merges: Merges,
    pending: VecDeque<Merge>,
    #[serde(skip)]
    scratch: Scratch,
}

/// Kept from line to line only to save allocations.
#[derive(Debug, Default)]
struct Scratch {
    tokens: Vec<Token>,
    signature: Vec<u8>,
}

impl TemplateMiner {
    /// An empty miner. Limits outside their range are moved to its nearest end.
    #[must_use]
    pub fn new(limits: TemplateLimits) -> Self {
        Self {
            limits: limits.checked(),
            lines: 0,
            signatures: Signatures::default(),
            groups: Groups::default(),
            buckets: Buckets::default(),
            merges: Merges::default(),
            pending: VecDeque::new(),
            scratch: Scratch::default(),
        }
    }

    /// The same miner under other limits, for a restored one whose configuration changed.
    #[must_use]
    pub fn with_limits(mut self, limits: TemplateLimits) -> Self {
        self.limits = limits.checked();
        self
    }

    /// The template of a log body.
    pub fn observe(&mut self, body: &str) -> Template {
        self.lines = self.lines.saturating_add(1);
        let cut = body.floor_char_boundary(self.limits.max_bytes);
        let source = &body.as_bytes()[..cut];
        let hints = tokenise(source, self.limits.max_tokens, &mut self.scratch.tokens);
        normalise(source, &mut self.scratch.tokens, hints, Stage::Tokens);
        let signature = signature(b't', source, &self.scratch.tokens, &mut self.scratch.signature);
        if let Some(id) = self.signatures.touch(signature, self.lines) {
            if let Some(text) = self.groups.touch(id, self.lines) {
                return Template { id, text, is_new: false };
            }
            let line = Line::copy(source, &self.scratch.tokens);
            return self.revisit(signature, id, &line);
        }
        let line = Arc::new(Line::copy(source, &self.scratch.tokens));
        let (id, is_new) = self.place(signature, &line);
        self.signatures.insert(signature, id, self.lines, self.limits.signatures);
        let text = self.groups.touch(id, self.lines).unwrap_or_else(|| store::rendered(&line));
        Template { id, text, is_new }
    }

    /// The id under which a template goes on after all merges so far; `id` itself if it never merged.
    #[must_use]
    pub fn resolve(&self, id: u64) -> u64 {
        self.merges.resolve(id)
    }

    /// The present text of a template, merges followed; `None` if it is not known (any more).
    #[must_use]
    pub fn text(&self, id: u64) -> Option<Arc<str>> {
        self.groups.text(self.resolve(id))
    }

    /// How many lines a template had, merges followed; 0 if it is not known (any more).
    #[must_use]
    pub fn count(&self, id: u64) -> u64 {
        self.groups.count(self.resolve(id))
    }

    /// All templates known at present as (id, text, lines), in ascending order of the id.
    #[must_use]
    pub fn templates(&self) -> Vec<(u64, Arc<str>, u64)> {
        self.groups.all()
    }

    /// How many templates are known at present.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether no template is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.len() == 0
    }

    /// The next merge that was not polled yet, oldest first. When nobody polls, only as many as `signatures` are kept.
    pub fn poll_merge(&mut self) -> Option<Merge> {
        self.pending.pop_front()
    }

    /// Roughly the bytes of memory held.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.signatures.memory_bytes()
            + self.groups.memory_bytes()
            + self.buckets.memory_bytes()
            + self.merges.memory_bytes()
    }

    /// A known signature whose template was merged away or evicted.
    fn revisit(&mut self, signature: u64, id: u64, line: &Line) -> Template {
        let id = self.keep(id, line).0;
        self.signatures.insert(signature, id, self.lines, self.limits.signatures);
        let text = self.groups.touch(id, self.lines).unwrap_or_else(|| store::rendered(line));
        Template { id, text, is_new: false }
    }

    /// Makes sure that the template is known, merges followed. Says whether it was not.
    fn keep(&mut self, id: u64, line: &Line) -> (u64, bool) {
        let id = self.merges.resolve(id);
        (id, self.groups.ensure(id, line, self.lines, self.limits.signatures))
    }

    /// The template of a signature that was not seen before, or not for long.
    fn place(&mut self, signature: u64, line: &Arc<Line>) -> (u64, bool) {
        let bracketed = brackets(line).map(Arc::new);
        let has_long = line.len() > 2;
        let matched = self
            .find(line, View::Tokens)
            .or_else(|| if has_long { self.find(line, View::FirstFree) } else { None })
            .or_else(|| bracketed.as_ref().and_then(|line| self.find(line, View::Brackets)));
        if let Some(id) = matched {
            return (self.keep(id, line).0, false);
        }
        let coarse = coarse(line);
        let coarse_line = coarse.as_ref().unwrap_or(line);
        let coarse_signature = signature_of(b'c', coarse_line, &mut self.scratch.signature);
        if coarse_line.words() >= 2
            && let Some(id) = self.signatures.touch(coarse_signature, self.lines)
        {
            return (self.keep(id, line).0, false);
        }
        let chunked = Arc::new(chunks(line));
        if let Some(id) = self.find(&chunked, View::Chunks) {
            return (self.keep(id, line).0, false);
        }
        let (mut id, is_new) = self.keep(signature, line);
        let founder = is_new.then_some(id);
        self.signatures.insert(coarse_signature, id, self.lines, self.limits.signatures);
        let has_first = line.tokens.iter().take(2).any(|token| token.class == Class::Word);
        id = self.enter(line, View::Tokens, id, founder);
        if has_long && has_first {
            id = self.enter(line, View::FirstFree, id, founder);
        }
        id = self.enter(&chunked, View::Chunks, id, founder);
        if let Some(line) = &bracketed {
            id = self.enter(line, View::Brackets, id, founder);
        }
        (id, founder == Some(id))
    }

    /// The template of the first line of the bucket that equals this one except where it is free.
    fn find(&mut self, line: &Line, view: View) -> Option<u64> {
        self.buckets.find(view.bucket(line), line, self.lines)
    }

    /// Puts a line into a bucket and merges what the bucket's lines then ask for. `founder` is the template that the present
    /// line founded, of whose end nobody needs to hear.
    fn enter(&mut self, line: &Arc<Line>, view: View, id: u64, founder: Option<u64>) -> u64 {
        self.buckets.insert(view.bucket(line), line, id, self.lines);
        let id = self.generalise(line, view, id, founder);
        self.buckets.shrink(self.limits.bucket_entries);
        id
    }

    fn generalise(&mut self, line: &Arc<Line>, view: View, mut id: u64, founder: Option<u64>) -> u64 {
        let mut line = Arc::clone(line);
        for _ in 0..=MERGE_DEPTH {
            let key = view.bucket(&line);
            let Some((general, members)) = self.buckets.vote(key, &line, |lines| generalise(&line, view, lines)) else {
                break;
            };
            for member in members {
                id = self.merge(id, member, founder);
            }
            let general = Arc::new(general);
            self.buckets.insert(key, &general, id, self.lines);
            self.groups.rename(id, &general);
            line = general;
        }
        id
    }

    /// Merges two templates into the older one.
    fn merge(&mut self, a: u64, b: u64, founder: Option<u64>) -> u64 {
        let (a, b) = (self.merges.resolve(a), self.merges.resolve(b));
        if a == b {
            return a;
        }
        let merge = self.groups.merge(a, b);
        self.merges.insert(merge, self.limits.signatures);
        if founder != Some(merge.from) {
            if self.pending.len() >= self.limits.signatures {
                self.pending.pop_front();
            }
            self.pending.push_back(merge);
        }
        merge.into
    }
}

fn signature_of(kind: u8, line: &Line, buffer: &mut Vec<u8>) -> u64 {
    signature(kind, line.source(), &line.tokens, buffer)
}

/// A hash of the tokens' texts.
fn signature(kind: u8, source: &[u8], tokens: &[Token], buffer: &mut Vec<u8>) -> u64 {
    buffer.clear();
    buffer.push(kind);
    for token in tokens {
        // Never a byte of UTF-8, so that no two lists of tokens look alike.
        buffer.push(0xff);
        token.append(source, buffer);
    }
    xxh3_64(buffer)
}
