//! The way from the ring's bytes to events, without a kernel that fills the ring.

use std::fs::File;
use std::path::Path;

use watchdog_common::RootKey;
use zerocopy::IntoBytes;

use super::decode::{self, Record};
use super::translate::Translator;
use crate::model::{FileEvent, Role, RootId};
use crate::source::names::{Join, Joined};
use crate::source::{Depths, Item, NamePattern, RootSpec, Shape};

/// What turns records into events.
pub struct Records {
    translator: Translator,
    join: Join,
    words: Vec<u64>,
    refused: u64,
}

impl Records {
    /// Knows one root, at depth 1, with the names that runtimes use.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        let mut translator = Translator::new();
        let name = |role, shape, text: &str| NamePattern { role, shape, text: text.to_owned() };
        let names = [
            name(Role::State, Shape::Exact, "state.json"),
            name(Role::Temporary, Shape::Prefix, "state-"),
            name(Role::Lock, Shape::Exact, "lock"),
        ]
        .to_vec();
        let (id, path, depths, locks) = (RootId(0), root.to_owned(), Depths::only(1), Depths::NONE);
        let spec = RootSpec { id, path, depths, locks, names };
        translator.paths.add(&spec, RootKey::default(), &|_: &File| Some(RootKey::default()));
        translator.set_patterns(RootId(0), &spec.names);
        Self { translator, join: Join::default(), words: Vec::new(), refused: 0 }
    }

    /// What one record says; `None` when it says nothing.
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
        let Record::Path(path) = record else {
            return self.translator.item(&record, self.refused).ok();
        };
        let call = self.translator.call(path).ok()?;
        let translator = &mut self.translator;
        let mut places = |root, container: &str, name: &str| translator.place_of(root, container, name);
        let mut joined = Vec::new();
        // No mark shows anything, so the text decides.
        self.join.call(call, &mut places, &mut joined);
        let Joined { span, actor, operation } = joined.pop()?;
        Some(Item::Event(FileEvent { span, actor, lost: self.refused, operation }))
    }
}
