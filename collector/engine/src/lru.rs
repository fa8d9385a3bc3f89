//! A slab whose entries stand in order of use, so that the one unused for longest is at hand.

use serde::{Deserialize, Serialize};

const NONE: u32 = u32::MAX;

/// Entries with small, stable, reused indices. Touching and removing take constant time.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct LruSlab<T> {
    nodes: Vec<Node<T>>,
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Node<T> {
    newer: u32,
    older: u32,
    /// Counts the entries that this index has held, so that an old index can be told from a new one.
    generation: u32,
    value: Option<T>,
}

/// Where an entry is. Stays valid until the entry is removed, and then matches nothing.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) struct Slot {
    pub(crate) index: u32,
    generation: u32,
}

impl<T> Default for LruSlab<T> {
    fn default() -> Self {
        Self { nodes: Vec::new(), free: Vec::new(), newest: NONE, oldest: NONE }
    }
}

impl<T> LruSlab<T> {
    pub(crate) fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// Adds an entry as the newest.
    pub(crate) fn insert(&mut self, value: T) -> Slot {
        let index = match self.free.pop() {
            Some(index) => {
                self.nodes[index as usize].value = Some(value);
                index
            }
            None => {
                let index = u32::try_from(self.nodes.len()).unwrap_or(NONE);
                self.nodes.push(Node { newer: NONE, older: NONE, generation: 0, value: Some(value) });
                index
            }
        };
        self.link_newest(index);
        Slot { index, generation: self.nodes[index as usize].generation }
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&T> {
        let node = self.nodes.get(slot.index as usize)?;
        if node.generation == slot.generation { node.value.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        let node = self.nodes.get_mut(slot.index as usize)?;
        if node.generation == slot.generation { node.value.as_mut() } else { None }
    }

    /// Makes an entry the newest.
    pub(crate) fn touch(&mut self, slot: Slot) {
        if slot.index != self.newest && self.get(slot).is_some() {
            self.unlink(slot.index);
            self.link_newest(slot.index);
        }
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<T> {
        self.get(slot)?;
        self.unlink(slot.index);
        let node = &mut self.nodes[slot.index as usize];
        node.generation = node.generation.wrapping_add(1);
        self.free.push(slot.index);
        node.value.take()
    }

    /// The entry unused for longest.
    pub(crate) fn oldest(&self) -> Option<Slot> {
        let generation = self.nodes.get(self.oldest as usize)?.generation;
        Some(Slot { index: self.oldest, generation })
    }

    /// All entries in order of their index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        (0u32..)
            .zip(&self.nodes)
            .filter_map(|(index, node)| Some((Slot { index, generation: node.generation }, node.value.as_ref()?)))
    }

    /// All entries in order of their index.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Slot, &mut T)> {
        (0u32..)
            .zip(&mut self.nodes)
            .filter_map(|(index, node)| Some((Slot { index, generation: node.generation }, node.value.as_mut()?)))
    }

    /// Whether the parts fit together, after they were read from bytes.
    pub(crate) fn is_whole(&self) -> bool {
        let valid =
            |index: u32| index == NONE || self.nodes.get(index as usize).is_some_and(|node| node.value.is_some());
        let free = self.nodes.iter().filter(|node| node.value.is_none()).count();
        let links = self.nodes.iter().filter(|node| node.value.is_some());
        free == self.free.len()
            && self.free.iter().all(|&index| self.nodes.get(index as usize).is_some_and(|node| node.value.is_none()))
            && links.fold(true, |whole, node| whole && valid(node.newer) && valid(node.older))
            && valid(self.newest)
            && valid(self.oldest)
    }

    /// One more than the largest index in use so far.
    pub(crate) fn capacity(&self) -> usize {
        self.nodes.len()
    }

    fn link_newest(&mut self, index: u32) {
        let before = self.newest;
        let node = &mut self.nodes[index as usize];
        node.newer = NONE;
        node.older = before;
        match self.nodes.get_mut(before as usize) {
            Some(node) => node.newer = index,
            None => self.oldest = index,
        }
        self.newest = index;
    }

    fn unlink(&mut self, index: u32) {
        let (newer, older) = {
            let node = &self.nodes[index as usize];
            (node.newer, node.older)
        };
        match self.nodes.get_mut(newer as usize) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Protects the order of eviction: touched entries outlive untouched ones.
    #[test]
    fn oldest_is_the_one_touched_longest_ago() {
        let mut slab = LruSlab::default();
        let slots: Vec<Slot> = (0..4).map(|value| slab.insert(value)).collect();
        slab.touch(slots[0]);
        slab.touch(slots[2]);
        let mut order = Vec::new();
        while let Some(slot) = slab.oldest() {
            order.extend(slab.remove(slot));
        }
        assert_eq!(order, [1, 3, 0, 2]);
        assert_eq!(slab.len(), 0);
    }

    /// Protects against reading an entry through the index of the one that stood there before it.
    #[test]
    fn old_slots_match_nothing() {
        let mut slab = LruSlab::default();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!(second.index, first.index);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&'b'));
    }
}
