//! Identities: hashes of streams and resources, attributes as they stand in series, and shared strings.

use crate::signal::{AttributeValue, Attributes};
use std::{
    collections::BTreeSet,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

/// Sorted attributes with text as value.
pub(super) type Pairs = Vec<(Arc<str>, Arc<str>)>;

/// Names, keys and values are cut at this many bytes.
const MAX_TEXT_BYTES: usize = 256;

/// For keys that are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Identity(u64);

pub(super) type BuildIdentity = BuildHasherDefault<Identity>;

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 ^= xxh3_64(bytes);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// One hash from two; order matters.
pub(super) fn mix(left: u64, right: u64) -> u64 {
    let product = u128::from(left ^ 0x9e37_79b9_7f4a_7c15) * u128::from(right ^ 0xd6e8_feb8_6659_fd93);
    let folded = (product as u64) ^ ((product >> 64) as u64);
    folded ^ left.rotate_left(32) ^ right
}

/// Hash of a text.
pub(super) fn text_hash(text: &str) -> u64 {
    xxh3_64(text.as_bytes())
}

/// `text`, cut at the largest character boundary within `max` bytes.
pub(super) fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Attributes in ascending order of the key, the last of equal keys, values as text; without those of other types.
#[derive(Debug)]
pub(super) struct Canonical {
    pairs: Vec<(String, String)>,
}

impl Canonical {
    pub(super) fn read(attributes: &dyn Attributes) -> Self {
        let mut pairs: Vec<(String, String)> = Vec::new();
        attributes.for_each(&mut |key, value| {
            let value = match value {
                AttributeValue::Str(text) => text.to_owned(),
                AttributeValue::Bool(truth) => truth.to_string(),
                AttributeValue::Int(number) => number.to_string(),
                AttributeValue::Double(number) => number.to_string(),
                AttributeValue::Other => return,
            };
            pairs.push((key.to_owned(), value));
        });
        // A stable sort of the reverse puts the last of equal keys first, where `dedup_by` keeps it.
        pairs.reverse();
        pairs.sort_by(|left, right| left.0.cmp(&right.0));
        pairs.dedup_by(|later, kept| later.0 == kept.0);
        Self { pairs }
    }

    /// A hash that does not depend on the order in which the attributes were sent.
    pub(super) fn hash(&self) -> u64 {
        let mut hasher = Xxh3Default::new();
        for (key, value) in &self.pairs {
            hasher.update(key.as_bytes());
            hasher.update(&[0xff]);
            hasher.update(value.as_bytes());
            hasher.update(&[0xfe]);
        }
        hasher.digest()
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The first `max` that `keep` accepts, texts cut at 256 bytes.
    pub(super) fn shared(&self, interner: &mut Interner, max: usize, keep: impl Fn(&str) -> bool) -> Pairs {
        let kept = self.pairs.iter().filter(|(key, _)| keep(key)).take(max);
        kept.map(|(key, value)| (interner.share(key), interner.share(value))).collect()
    }
}

/// Whether a resource attribute names one instance of a service, and so says nothing about the service.
pub(super) fn names_one_instance(key: &str) -> bool {
    key == "service.instance.id"
        || key == "container.id"
        || ["host.", "k8s.pod.", "process."].iter().any(|prefix| key.starts_with(prefix))
}

/// Keeps one copy of each text that is in use.
#[derive(Debug, Default)]
pub(super) struct Interner {
    texts: BTreeSet<Arc<str>>,
    sweep_at: usize,
}

impl Interner {
    /// The shared copy of `text`, cut at 256 bytes.
    pub(super) fn share(&mut self, text: &str) -> Arc<str> {
        let text = cut(text, MAX_TEXT_BYTES);
        if let Some(shared) = self.texts.get(text) {
            return Arc::clone(shared);
        }
        // Texts that nobody uses any more go when their number may have doubled, so a sweep costs a constant per text.
        if self.texts.len() >= self.sweep_at {
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.sweep_at = (2 * self.texts.len()).max(1_024);
        }
        let shared: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    struct List(Vec<(String, String)>);

    impl Attributes for List {
        fn raw_hash(&self) -> u64 {
            self.0.as_slice().raw_hash()
        }

        fn for_each(&self, visit: &mut dyn FnMut(&str, AttributeValue<'_>)) {
            self.0.as_slice().for_each(visit);
        }
    }

    /// Protects that a stream is the same one whatever the order of its attributes, and that the last of equal keys counts.
    #[test]
    fn order_does_not_matter() {
        let one = Canonical::read(&List(pairs(&[("b", "2"), ("a", "0"), ("a", "1")])));
        let other = Canonical::read(&List(pairs(&[("a", "1"), ("b", "2")])));
        assert_eq!(one.hash(), other.hash());
        assert_eq!(one.get("a"), Some("1"));
        let run_together = Canonical::read(&List(pairs(&[("a", "1b"), ("", "2")])));
        assert_ne!(run_together.hash(), other.hash());
    }

    /// Protects against cutting a text inside a character.
    #[test]
    fn cuts_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
    }

    /// Protects the memory of a shard: texts that nobody uses go.
    #[test]
    fn forgets_texts_not_in_use() {
        let mut interner = Interner::default();
        let kept = interner.share("kept");
        for i in 0..10_000 {
            interner.share(&i.to_string());
        }
        assert!(interner.texts.len() <= 1_025, "{}", interner.texts.len());
        assert!(Arc::ptr_eq(&kept, &interner.share("kept")));
    }
}
