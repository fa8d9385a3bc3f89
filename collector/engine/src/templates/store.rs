//! Owns what the template miner remembers, each part bounded, the least recently used going first.
//!
//! Hash maps here have a fixed hasher and are never iterated in their own order where that could show.

use super::{
    Merge,
    token::{Class, Line, Token},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

/// Lines kept in one bucket.
const BUCKET_LINES: usize = 64;
/// Bytes that a kept line may take on average.
const LINE_BYTES: usize = 512;
/// Bytes of a template's text that are kept.
const TEXT_BYTES: usize = 1_024;

/// Keys are good hashes already.
#[derive(Clone, Default)]
struct PassThrough(u64);

impl Hasher for PassThrough {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash_rust::xxh3::xxh3_64(bytes);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

type Map<V> = HashMap<u64, V, BuildHasherDefault<PassThrough>>;

/// Saves a map in the order of its keys, so that equal states give equal bytes.
mod in_order {
    use super::{BTreeMap, Deserialize, Deserializer, Map, Serialize, Serializer};

    pub(super) fn serialize<V: Serialize, S: Serializer>(map: &Map<V>, serializer: S) -> Result<S::Ok, S::Error> {
        map.iter().map(|(key, value)| (*key, value)).collect::<BTreeMap<_, _>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, V: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Map<V>, D::Error> {
        Ok(BTreeMap::deserialize(deserializer)?.into_iter().collect())
    }
}

/// Removes the least recently used eighth of a full map.
fn evict<V>(map: &mut Map<V>, limit: usize, used: impl Fn(&V) -> u64) {
    if map.len() < limit {
        return;
    }
    let mut ages: Vec<(u64, u64)> = map.iter().map(|(key, value)| (used(value), *key)).collect();
    let excess = (map.len() - limit + 1 + limit / 8).min(ages.len() - 1);
    let (old, ..) = ages.select_nth_unstable(excess);
    for (_, key) in old {
        map.remove(key);
    }
}

/// Which template each known signature has.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Signatures {
    #[serde(with = "in_order")]
    known: Map<Known>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Known {
    id: u64,
    used: u64,
}

impl Signatures {
    pub(super) fn touch(&mut self, signature: u64, now: u64) -> Option<u64> {
        let known = self.known.get_mut(&signature)?;
        known.used = now;
        Some(known.id)
    }

    pub(super) fn insert(&mut self, signature: u64, id: u64, now: u64, limit: usize) {
        if !self.known.contains_key(&signature) {
            evict(&mut self.known, limit, |known| known.used);
        }
        self.known.insert(signature, Known { id, used: now });
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.known.capacity() * (size_of::<(u64, Known)>() + 1)
    }
}

/// The templates themselves.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Groups {
    #[serde(with = "in_order")]
    groups: Map<Group>,
    text_bytes: usize,
}

#[derive(Debug, Deserialize, Serialize)]
struct Group {
    text: Arc<str>,
    born: u64,
    used: u64,
    count: u64,
}

impl Groups {
    /// Counts a line of the template and gives its text.
    pub(super) fn touch(&mut self, id: u64, now: u64) -> Option<Arc<str>> {
        let group = self.groups.get_mut(&id)?;
        group.used = now;
        group.count = group.count.saturating_add(1);
        Some(Arc::clone(&group.text))
    }

    /// Adds the template if it is not there; says whether it was not.
    pub(super) fn ensure(&mut self, id: u64, line: &Line, now: u64, limit: usize) -> bool {
        if self.groups.contains_key(&id) {
            return false;
        }
        if self.groups.len() >= limit {
            evict(&mut self.groups, limit, |group| group.used);
            self.text_bytes = self.groups.values().map(|group| group.text.len()).sum();
        }
        let text = rendered(line);
        self.text_bytes = self.text_bytes.saturating_add(text.len());
        self.groups.insert(id, Group { text, born: now, used: now, count: 0 });
        true
    }

    pub(super) fn rename(&mut self, id: u64, line: &Line) {
        if let Some(group) = self.groups.get_mut(&id) {
            let text = rendered(line);
            self.text_bytes = self.text_bytes.saturating_sub(group.text.len()).saturating_add(text.len());
            group.text = text;
        }
    }

    /// Puts two different templates together under the id of the older one; one that is not known counts as the younger.
    pub(super) fn merge(&mut self, a: u64, b: u64) -> Merge {
        let age = |id: u64| (self.groups.get(&id).map_or(u64::MAX, |group| group.born), id);
        let (into, from) = if age(a) <= age(b) { (a, b) } else { (b, a) };
        if let Some(gone) = self.groups.remove(&from) {
            self.text_bytes = self.text_bytes.saturating_sub(gone.text.len());
            if let Some(kept) = self.groups.get_mut(&into) {
                kept.count = kept.count.saturating_add(gone.count);
                kept.used = kept.used.max(gone.used);
            }
        }
        Merge { from, into }
    }

    pub(super) fn text(&self, id: u64) -> Option<Arc<str>> {
        self.groups.get(&id).map(|group| Arc::clone(&group.text))
    }

    pub(super) fn count(&self, id: u64) -> u64 {
        self.groups.get(&id).map_or(0, |group| group.count)
    }

    pub(super) fn all(&self) -> Vec<(u64, Arc<str>, u64)> {
        let mut all: Vec<_> =
            self.groups.iter().map(|(id, group)| (*id, Arc::clone(&group.text), group.count)).collect();
        all.sort_unstable_by_key(|(id, ..)| *id);
        all
    }

    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.groups.capacity() * (size_of::<(u64, Group)>() + 1) + self.text_bytes + self.groups.len() * 16
    }
}

/// A line as text, cut to the length that is kept.
pub(super) fn rendered(line: &Line) -> Arc<str> {
    let mut text = line.render();
    text.truncate(text.floor_char_boundary(TEXT_BYTES));
    text.into()
}

/// Where the ids that are no more went. Always straight to an id that goes on.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Merges {
    into: BTreeMap<u64, (u64, u64)>,
    made: u64,
}

impl Merges {
    pub(super) fn resolve(&self, id: u64) -> u64 {
        self.into.get(&id).map_or(id, |(into, _)| *into)
    }

    pub(super) fn insert(&mut self, merge: Merge, limit: usize) {
        self.made = self.made.saturating_add(1);
        for (into, _) in self.into.values_mut().filter(|(into, _)| *into == merge.from) {
            *into = merge.into;
        }
        // The id that goes on must not point anywhere, or two ids could point at each other.
        self.into.remove(&merge.into);
        if self.into.len() >= limit
            && let Some(oldest) = self.into.iter().min_by_key(|(_, (_, made))| *made).map(|(from, _)| *from)
        {
            self.into.remove(&oldest);
        }
        self.into.insert(merge.from, (merge.into, self.made));
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.into.len() * 40
    }
}

/// Lines kept to compare new ones with, those of the same skeleton together.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Buckets {
    #[serde(with = "in_order")]
    buckets: Map<Bucket>,
    entries: usize,
    bytes: usize,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Bucket {
    lines: Vec<(Arc<Line>, u64)>,
    used: u64,
}

fn cost(line: &Line) -> usize {
    size_of::<(Arc<Line>, u64)>() + size_of::<Line>() + 16 + line.heap_bytes()
}

impl Buckets {
    /// The template of the first line that equals `line` except where it is free.
    pub(super) fn find(&mut self, key: u64, line: &Line, now: u64) -> Option<u64> {
        let bucket = self.buckets.get_mut(&key)?;
        bucket.used = now;
        bucket.lines.iter().find(|(kept, _)| covers(kept, line)).map(|(_, id)| *id)
    }

    /// Adds a line; in a full bucket the oldest goes, those with free positions last.
    pub(super) fn insert(&mut self, key: u64, line: &Arc<Line>, id: u64, now: u64) {
        let bucket = self.buckets.entry(key).or_default();
        bucket.used = now;
        if bucket.lines.len() >= BUCKET_LINES {
            let is_plain = |(line, _): &(Arc<Line>, u64)| line.tokens.iter().all(|token| token.class != Class::Free);
            let oldest = bucket.lines.iter().position(is_plain).unwrap_or(0);
            let (gone, _) = bucket.lines.remove(oldest);
            self.entries = self.entries.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(cost(&gone));
        }
        bucket.lines.push((Arc::clone(line), id));
        self.entries = self.entries.saturating_add(1);
        self.bytes = self.bytes.saturating_add(cost(line));
    }

    /// Lets `decide` choose the positions of `line` that become free, then takes the lines that the more general line covers
    /// out of the bucket. Gives that line, and the templates of all that voted for it or are covered by it.
    pub(super) fn vote(
        &mut self,
        key: u64,
        line: &Line,
        decide: impl FnOnce(&[&Line]) -> Option<(Vec<usize>, Vec<usize>)>,
    ) -> Option<(Line, Vec<u64>)> {
        let bucket = self.buckets.get_mut(&key)?;
        let lines: Vec<&Line> = bucket.lines.iter().map(|(line, _)| &**line).collect();
        let (positions, voters) = decide(&lines)?;
        let is_free = |i: usize| {
            let free_at = |line: &Line| line.tokens.get(i).is_some_and(|token| token.class == Class::Free);
            positions.contains(&i) || free_at(line) || voters.iter().any(|&voter| free_at(lines[voter]))
        };
        let tokens: Vec<Token> = line
            .tokens
            .iter()
            .enumerate()
            .map(|(i, token)| if is_free(i) { Token::wildcard(Class::Free, token.space) } else { *token })
            .collect();
        let general = Line::copy(line.source(), &tokens);
        let mut members: Vec<u64> = voters.iter().map(|&voter| bucket.lines[voter].1).collect();
        let (entries, bytes) = (&mut self.entries, &mut self.bytes);
        bucket.lines.retain(|(kept, id)| {
            let is_covered = covers(&general, kept);
            if is_covered {
                members.push(*id);
                *entries = entries.saturating_sub(1);
                *bytes = bytes.saturating_sub(cost(kept));
            }
            !is_covered
        });
        Some((general, members))
    }

    /// Lets the least recently used buckets go once there are more than `limit` lines, or too many bytes.
    pub(super) fn shrink(&mut self, limit: usize) {
        let most_bytes = limit * LINE_BYTES;
        if self.entries <= limit && self.bytes <= most_bytes {
            return;
        }
        let mut ages: Vec<(u64, u64)> = self.buckets.iter().map(|(key, bucket)| (bucket.used, *key)).collect();
        ages.sort_unstable();
        for (_, key) in ages {
            if self.entries <= limit - limit / 8 && self.bytes <= most_bytes - most_bytes / 8 {
                break;
            }
            if let Some(bucket) = self.buckets.remove(&key) {
                self.entries = self.entries.saturating_sub(bucket.lines.len());
                self.bytes = self.bytes.saturating_sub(bucket.lines.iter().map(|(line, _)| cost(line)).sum::<usize>());
            }
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.buckets.capacity() * (size_of::<(u64, Bucket)>() + 1) + self.bytes
    }
}

/// Whether `line` equals `general` except where that is free.
fn covers(general: &Line, line: &Line) -> bool {
    general.len() == line.len()
        && general
            .tokens
            .iter()
            .enumerate()
            .all(|(i, token)| token.class == Class::Free || general.text(i) == line.text(i))
}
