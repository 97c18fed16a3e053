//! What a world leaves behind: the events, and what no source sees.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchdog::model::{Content, Damage, FileEvent, InodeId, OpenId, Place, Role, RootId};

use super::random::Random;
use super::schedule::{Checks, Part};

/// The content of a file. A byte is the stamp of the operation that wrote it; 0 was never written.
pub(crate) type Bytes = Vec<u32>;

/// What happened in a world.
pub(crate) struct Played {
    /// As a source would report it, in the order of the returns.
    pub(crate) events: Vec<Happened>,
    /// Each inode's content after each effect on it: when, and what.
    pub(crate) contents: BTreeMap<u64, Vec<(u64, Bytes)>>,
    /// Which inode the state file's name stands for, since when.
    pub(crate) names: Vec<(u64, Option<InodeId>)>,
    /// Which part of which document each stamp is, and at which offset it was written.
    pub(crate) parts: BTreeMap<u32, (Part, u64)>,
    /// Through which description each stamp was written.
    pub(crate) writers: BTreeMap<u32, OpenId>,
    /// Sizes are in the events.
    pub(crate) sizes_shown: bool,
    pub(crate) checks: Checks,
    pub(crate) seed: u64,
}

/// One event, and what no source sees of it.
#[derive(Clone)]
pub(crate) struct Happened {
    pub(crate) event: FileEvent,
    /// When it took effect.
    pub(crate) instant: u64,
    /// The bytes that it read.
    pub(crate) bytes: Bytes,
}

/// How long a page is. As short as the files, so that they have several.
pub(crate) const PAGE: u64 = 16;

impl Played {
    /// What a reader of the whole file can say of a content. A whole document is valid, and so is by chance one of six
    /// others; what matters is that it depends on nothing but the bytes.
    pub(crate) fn judge(&self, content: &[u32]) -> Content {
        if content.is_empty() {
            return Content::Damaged(Damage::Empty);
        }
        let part = |stamp: &u32| self.parts.get(stamp);
        let document = part(&content[0]).map(|(part, _)| part.document);
        let whole = content.iter().all(|stamp| {
            part(stamp).is_some_and(|(part, at)| {
                Some(part.document) == document && *at == part.from && part.total == content.len() as u64
            })
        });
        if whole {
            return Content::Valid;
        }
        let sum =
            content.iter().fold(self.seed, |sum, stamp| sum.wrapping_mul(31).wrapping_add(u64::from(*stamp)));
        match Random::new(sum).below(6) {
            0 => Content::Valid,
            1 | 2 => Content::Damaged(Damage::Invalid),
            _ => Content::Damaged(Damage::Truncated),
        }
    }

    /// The inode that the state file's name stands for at a time.
    pub(crate) fn named(&self, at: u64) -> Option<InodeId> {
        self.names.iter().rev().find(|(since, _)| *since <= at).and_then(|(_, inode)| *inode)
    }

    /// The content of an inode at a time; none before it was created.
    pub(crate) fn content(&self, inode: u64, at: u64) -> Option<&Bytes> {
        let history = self.contents.get(&inode)?;
        history.iter().rev().find(|(when, _)| *when <= at).map(|(_, content)| content)
    }
}

pub(crate) fn place(name: &str) -> Arc<Place> {
    let role = if name == "state.json" { Role::State } else { Role::Temporary };
    Arc::new(Place { root: RootId(0), container: "a".into(), name: name.into(), role })
}
