//! Entries found by key and held by slot.

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// Where an entry stands in its [`Table`]. Valid until the entry is removed.
pub(super) type Slot = u32;

/// A map whose entries keep their slot, so that they can point at one another without hashing.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    index: FxHashMap<K, Slot>,
    slots: Vec<Option<V>>,
    free: Vec<Slot>,
}

impl<K: Hash + Eq + Copy, V> Table<K, V> {
    pub(super) fn new() -> Self {
        Self { index: FxHashMap::default(), slots: Vec::new(), free: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn find(&self, key: &K) -> Option<Slot> {
        self.index.get(key).copied()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&V> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut V> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Puts an entry in; one that was there under the same key is replaced in place.
    pub(super) fn insert(&mut self, key: K, value: V) -> Slot {
        if let Some(slot) = self.find(&key) {
            self.slots[slot as usize] = Some(value);
            return slot;
        }
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(value);
            slot
        } else {
            self.slots.push(Some(value));
            Slot::try_from(self.slots.len() - 1).unwrap_or(Slot::MAX)
        };
        self.index.insert(key, slot);
        slot
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let slot = self.index.remove(key)?;
        self.free.push(slot);
        self.slots.get_mut(slot as usize)?.take()
    }

    /// All entries in the order of their slots, which depends on the events alone.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &V)> {
        (0..).zip(&self.slots).filter_map(|(slot, value)| Some((slot, value.as_ref()?)))
    }
}
