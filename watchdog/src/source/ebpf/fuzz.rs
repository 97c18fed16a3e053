//! The way from the ring's bytes to events, without a kernel that fills the ring.

use std::fs::{File, Metadata};
use std::path::Path;

use watchdog_common::RootKey;
use zerocopy::IntoBytes;

use super::decode;
use super::translate::Translator;
use crate::model::{Role, RootId};
use crate::source::{Depths, Item, NamePattern, Shape};

/// What turns records into events.
pub struct Records {
    translator: Translator,
    words: Vec<u64>,
    refused: u64,
}

impl Records {
    /// Knows one root, at depth 1, with the names that runtimes use.
    #[must_use]
    pub fn new(root: &Path, metadata: &Metadata) -> Self {
        let mut translator = Translator::new();
        translator.resolver.add(RootId(0), root, Depths::only(1), metadata, RootKey::default());
        let name = |role, shape, text: &str| NamePattern { role, shape, text: text.to_owned() };
        let names = [
            name(Role::State, Shape::Exact, "state.json"),
            name(Role::Temporary, Shape::Prefix, "state-"),
            name(Role::Lock, Shape::Exact, "lock"),
        ];
        translator.set_patterns(RootId(0), &names);
        Self { translator, words: Vec::new(), refused: 0 }
    }

    /// What one record says; `None` when it is refused, which counts as lost.
    pub fn take(&mut self, bytes: &[u8]) -> Option<Item> {
        let item = self.translate(bytes);
        self.refused += u64::from(item.is_none());
        item
    }

    fn translate(&mut self, bytes: &[u8]) -> Option<Item> {
        // The ring's records lie at multiples of 8.
        self.words.clear();
        self.words.resize(bytes.len().div_ceil(8), 0);
        let room = self.words.as_mut_slice().as_mut_bytes();
        room[..bytes.len()].copy_from_slice(bytes);
        let record = decode::record(&room[..bytes.len()]).ok()?;
        self.translator.item(&record, self.refused, &|_: &File| Some(RootKey::default())).ok()
    }
}
