//! Events of marks that no call has claimed yet. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Change, DirectoryMove, NameEvent};
use crate::model::{BootNanos, Place, Role, RootId, Span};

/// The highest score.
pub(super) const MOST: u8 = 3;

/// A change of names that one call made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// A rename; a side is `None` when its directory is not watched.
    Moved(Option<Arc<Place>>, Option<Arc<Place>>),
    /// An open or a link.
    Created(Arc<Place>),
    /// An unlink.
    Deleted(Arc<Place>),
    /// A directory of such names was moved.
    Departed(DirectoryMove),
}

/// An unclaimed change.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) deed: Deed,
    cookie: u32,
    /// The change happened within this time.
    pub(super) between: (BootNanos, BootNanos),
}

impl Entry {
    /// Returns whether a call in `span` may have made the change.
    pub(super) fn may_be_of(&self, span: Span) -> bool {
        span.start <= self.between.1 && self.between.0 <= span.end
    }

    /// Returns whether the change concerns a state or lock file.
    pub(super) fn matters(&self) -> bool {
        match &self.deed {
            Deed::Moved(from, to) => [from, to].into_iter().flatten().any(|place| is_kept(place)),
            Deed::Created(place) | Deed::Deleted(place) => is_kept(place),
            Deed::Departed(_) => true,
        }
    }
}

/// A modification of a state file, for calls that change content by path.
#[derive(Debug)]
struct Modified {
    place: Arc<Place>,
    between: (BootNanos, BootNanos),
}

/// The unclaimed changes in the order in which they happened.
#[derive(Debug, Default)]
pub(super) struct Pool {
    entries: VecDeque<Entry>,
    /// How many of them are moves of directories.
    departed: usize,
    modified: VecDeque<Modified>,
}

impl Pool {
    /// At most so many changes wait for their calls.
    const MAX: usize = 16_384;
    /// At most so many modifications are remembered.
    const MAX_MODIFIED: usize = 256;

    /// Adds an event. Returns the oldest change when there is no more room for it.
    pub(super) fn add(&mut self, event: NameEvent) -> Option<Entry> {
        let NameEvent { place, change, cookie, between } = event;
        let deed = match change {
            Change::MovedFrom => Deed::Moved(Some(place), None),
            Change::MovedTo => {
                if let Some(entry) = self.first_half(cookie) {
                    if let Deed::Moved(_, to) = &mut entry.deed {
                        *to = Some(place);
                    }
                    entry.between.1 = between.1;
                    return None;
                }
                Deed::Moved(None, Some(place))
            }
            Change::Created => Deed::Created(place),
            Change::Deleted => Deed::Deleted(place),
            Change::Modified => {
                self.add_modified(place, between);
                return None;
            }
        };
        let entry = Entry { deed, cookie, between };
        // The first half of a rename may matter by its second half.
        if change != Change::MovedFrom && !entry.matters() {
            return None;
        }
        self.entries.push_back(entry);
        // Moves of directories are taken out whenever no record is left.
        if self.entries.len() - self.departed > Self::MAX {
            let is_change = |entry: &Entry| !matches!(entry.deed, Deed::Departed(_));
            let oldest = self.entries.iter().position(is_change)?;
            return self.entries.remove(oldest);
        }
        None
    }

    /// Adds that a directory was moved.
    pub(super) fn add_move(&mut self, directory: DirectoryMove) {
        let between = directory.between;
        self.entries.push_back(Entry { deed: Deed::Departed(directory), cookie: 0, between });
        self.departed += 1;
    }

    /// Takes out the oldest move of a directory that happened before the entry at `end`.
    pub(super) fn take_move(&mut self, end: usize) -> Option<DirectoryMove> {
        if self.departed == 0 {
            return None;
        }
        let is_move = |entry: &Entry| matches!(entry.deed, Deed::Departed(_));
        let index = self.entries.iter().take(end).position(is_move)?;
        self.departed -= 1;
        match self.entries.remove(index)?.deed {
            Deed::Departed(directory) => Some(directory),
            Deed::Moved(..) | Deed::Created(_) | Deed::Deleted(_) => None,
        }
    }

    /// The two halves of a rename lie close together in the queue.
    fn first_half(&mut self, cookie: u32) -> Option<&mut Entry> {
        let waits =
            |entry: &&mut Entry| entry.cookie == cookie && matches!(entry.deed, Deed::Moved(Some(_), None));
        self.entries.iter_mut().rev().find(waits)
    }

    /// Adjacent modifications of one file are kept as one.
    fn add_modified(&mut self, place: Arc<Place>, between: (BootNanos, BootNanos)) {
        if !is_kept(&place) {
            return;
        }
        if let Some(last) = self.modified.back_mut().filter(|last| last.place == place)
            && between.0 <= last.between.1
        {
            last.between.1 = between.1;
            return;
        }
        if self.modified.len() >= Self::MAX_MODIFIED {
            self.modified.pop_front();
        }
        self.modified.push_back(Modified { place, between });
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Finds the entry with the highest score, at most [`MOST`]; of equal ones the oldest.
    pub(super) fn best(&self, score: impl Fn(&Entry) -> Option<u8>) -> Option<(usize, u8)> {
        let mut best: Option<(usize, u8)> = None;
        for (index, entry) in self.entries.iter().enumerate() {
            if let Some(score) = score(entry)
                && best.is_none_or(|(_, most)| score > most)
            {
                best = Some((index, score));
                if score == MOST {
                    break;
                }
            }
        }
        best
    }

    /// Takes an entry out.
    pub(super) fn take(&mut self, index: usize) -> Option<Entry> {
        self.entries.remove(index)
    }

    /// Returns the files of this name, if there is one, that were modified within `span`.
    pub(super) fn modified(&self, name: Option<&str>, span: Span) -> impl Iterator<Item = &Arc<Place>> {
        let meets = move |modified: &&Modified| {
            name.is_none_or(|name| *modified.place.name == *name)
                && span.start <= modified.between.1
                && modified.between.0 <= span.end
        };
        self.modified.iter().filter(meets).map(|modified| &modified.place)
    }

    /// Takes out the oldest change if it happened before `before`.
    pub(super) fn expire(&mut self, before: BootNanos) -> Option<Entry> {
        while self.modified.front().is_some_and(|modified| modified.between.1 < before) {
            self.modified.pop_front();
        }
        self.entries.pop_front_if(|entry| entry.between.1 < before)
    }

    /// Returns when the oldest change was read.
    pub(super) fn oldest(&self) -> Option<BootNanos> {
        self.entries.front().map(|entry| entry.between.1)
    }

    /// Returns whether a later change concerns the same name.
    pub(super) fn concerns(&self, place: &Place) -> bool {
        self.entries.iter().any(|entry| match &entry.deed {
            Deed::Moved(from, to) => [from, to].into_iter().flatten().any(|other| **other == *place),
            Deed::Created(other) | Deed::Deleted(other) => **other == *place,
            Deed::Departed(_) => false,
        })
    }

    /// Forgets what happened in a root.
    pub(super) fn forget(&mut self, root: RootId) {
        self.modified.retain(|modified| modified.place.root != root);
        self.entries.retain(|entry| match &entry.deed {
            Deed::Moved(from, to) => [from, to].into_iter().flatten().any(|place| place.root != root),
            Deed::Created(place) | Deed::Deleted(place) => place.root != root,
            Deed::Departed(directory) => directory.root != root,
        });
        self.count_moves();
    }

    fn count_moves(&mut self) {
        let is_move = |entry: &&Entry| matches!(entry.deed, Deed::Departed(_));
        self.departed = self.entries.iter().filter(is_move).count();
    }

    /// Forgets all changes but moves of directories.
    pub(super) fn clear(&mut self) {
        self.entries.retain(|entry| matches!(entry.deed, Deed::Departed(_)));
        self.modified.clear();
    }

    /// Gives memory back after a burst.
    pub(super) fn shrink(&mut self) {
        self.entries.shrink_to(64);
        self.modified.shrink_to(64);
    }
}

/// Temporaries matter only as the other half of a rename.
fn is_kept(place: &Place) -> bool {
    place.role != Role::Temporary
}
