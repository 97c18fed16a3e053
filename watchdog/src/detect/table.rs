//! Entries found by key and held by slot.

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// Where an entry stands in its [`Table`]. Valid until the entry is removed.
pub(super) type Slot = u32;

/// A map whose entries keep their slot, so that they can point at one another without hashing.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    index: FxHashMap<K, Slot>,
    slots: Slots<V>,
    free: Vec<Slot>,
}

/// Entries by slot, stored in blocks of [`BLOCK`]. Adding an entry never moves the others, and only the last block has
/// unused capacity.
#[derive(Debug)]
struct Slots<V>(Vec<Vec<Option<V>>>);

/// Entries per block.
const BLOCK: usize = 64;

impl<V> Slots<V> {
    fn get(&self, slot: Slot) -> Option<&Option<V>> {
        self.0.get(slot as usize / BLOCK)?.get(slot as usize % BLOCK)
    }

    fn get_mut(&mut self, slot: Slot) -> Option<&mut Option<V>> {
        self.0.get_mut(slot as usize / BLOCK)?.get_mut(slot as usize % BLOCK)
    }

    fn push(&mut self, value: V) -> Slot {
        if self.0.last().is_none_or(|block| block.len() == BLOCK) {
            self.0.push(Vec::with_capacity(BLOCK));
        }
        let before = (self.0.len() - 1) * BLOCK;
        let Some(block) = self.0.last_mut() else { return Slot::MAX };
        block.push(Some(value));
        Slot::try_from(before + block.len() - 1).unwrap_or(Slot::MAX)
    }
}

impl<K: Hash + Eq + Copy, V> Table<K, V> {
    pub(super) fn new() -> Self {
        Self { index: FxHashMap::default(), slots: Slots(Vec::new()), free: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn find(&self, key: &K) -> Option<Slot> {
        self.index.get(key).copied()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&V> {
        self.slots.get(slot)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut V> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// Puts an entry in; one that was there under the same key is replaced in place.
    pub(super) fn insert(&mut self, key: K, value: V) -> Slot {
        let known = self.find(&key);
        let Some(slot) = known.or_else(|| self.free.pop()) else {
            let slot = self.slots.push(value);
            self.index.insert(key, slot);
            return slot;
        };
        if let Some(entry) = self.slots.get_mut(slot) {
            *entry = Some(value);
        }
        if known.is_none() {
            self.index.insert(key, slot);
        }
        slot
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let slot = self.index.remove(key)?;
        self.free.push(slot);
        self.slots.get_mut(slot)?.take()
    }

    /// All entries in the order of their slots, which depends on the events alone.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &V)> {
        (0..).zip(self.slots.0.iter().flatten()).filter_map(|(slot, value)| Some((slot, value.as_ref()?)))
    }
}
