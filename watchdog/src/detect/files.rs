//! The known files, by inode.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::file::File;
use super::table::{Slot, Table};
use crate::model::{BootNanos, InodeId, Place};

/// The known files. Nobody touches most state files of a node after the agent has found them, so the engine keeps only a
/// summary of such a file until its first event.
#[derive(Debug)]
pub(super) struct Files {
    touched: Table<InodeId, File>,
    untouched: FxHashMap<InodeId, Untouched>,
}

/// The summary of a file that the agent found at a name and that had no event since.
#[derive(Debug)]
pub(super) struct Untouched {
    pub(super) place: Arc<Place>,
    pub(super) seen: BootNanos,
    pub(super) event: u64,
    pub(super) size: Option<u64>,
}

impl Untouched {
    /// Builds the entry that the engine would have made when the agent found the file.
    fn into_file(self, inode: InodeId) -> File {
        let Self { place, seen, event, size } = self;
        let mut file = File::new(inode, seen, event);
        file.add_name(&place);
        if let Some(size) = size {
            let _ = file.sizes.look(seen, size);
        }
        file
    }
}

impl Files {
    pub(super) fn new() -> Self {
        Self { touched: Table::new(), untouched: FxHashMap::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.touched.len() + self.untouched.len()
    }

    pub(super) fn is_known(&self, inode: &InodeId) -> bool {
        self.touched.find(inode).is_some() || self.is_untouched(inode)
    }

    pub(super) fn is_untouched(&self, inode: &InodeId) -> bool {
        self.untouched.contains_key(inode)
    }

    /// Returns a file's slot. Replaces its summary, if that is all the engine has, by a full entry.
    pub(super) fn find(&mut self, inode: &InodeId) -> Option<Slot> {
        self.touched.find(inode).or_else(|| {
            let untouched = self.untouched.remove(inode)?;
            Some(self.touched.insert(*inode, untouched.into_file(*inode)))
        })
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&File> {
        self.touched.get(slot)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut File> {
        self.touched.get_mut(slot)
    }

    /// Adds a file that is not known.
    pub(super) fn insert(&mut self, file: File) -> Slot {
        self.touched.insert(file.inode, file)
    }

    /// Adds the summary of a file that is not known.
    pub(super) fn insert_untouched(&mut self, inode: InodeId, untouched: Untouched) {
        self.untouched.insert(inode, untouched);
    }

    pub(super) fn remove(&mut self, inode: &InodeId) -> Option<File> {
        self.touched.remove(inode)
    }

    /// Returns `count` files in the order in which to evict them: files that nobody uses first, each group by its last event.
    pub(super) fn oldest(&self, count: usize) -> Vec<InodeId> {
        let touched = self.touched.iter().map(|(_, file)| (file.is_in_use(), file.touched, file.inode));
        let untouched = self.untouched.iter().map(|(inode, untouched)| (false, untouched.event, *inode));
        let mut all: Vec<_> = touched.chain(untouched).collect();
        all.sort_unstable();
        all.into_iter().take(count).map(|(_, _, inode)| inode).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Role, RootId};

    fn inode(ino: u64) -> InodeId {
        InodeId { dev: 1, ino, generation: 0 }
    }

    fn untouched(event: u64) -> Untouched {
        let (container, name) = (event.to_string().into(), "state.json".into());
        let place = Arc::new(Place { root: RootId(0), container, name, role: Role::State });
        Untouched { place, seen: BootNanos(10 * event), event, size: Some(100) }
    }

    #[test]
    fn a_summary_becomes_the_entry_that_the_file_would_have_had() {
        let mut files = Files::new();
        files.insert_untouched(inode(7), untouched(3));
        assert!(files.is_known(&inode(7)) && files.is_untouched(&inode(7)) && files.len() == 1);
        let slot = files.find(&inode(7)).unwrap();
        assert!(files.is_known(&inode(7)) && !files.is_untouched(&inode(7)) && files.len() == 1);
        assert_eq!(files.find(&inode(7)), Some(slot));
        let file = files.get(slot).unwrap();
        assert_eq!((file.inode, file.seen, file.touched), (inode(7), BootNanos(30), 3));
        assert_eq!(file.sizes.latest(), Some(100));
        assert_eq!(&*file.state().unwrap().container, "3");
        assert!(files.remove(&inode(7)).is_some() && files.len() == 0);
    }

    #[test]
    fn files_that_nobody_uses_are_evicted_first_touched_or_not() {
        let mut files = Files::new();
        for event in [5, 2] {
            files.insert_untouched(inode(event), untouched(event));
        }
        for event in [4, 1, 3] {
            files.insert(File::new(inode(event), BootNanos(0), event));
        }
        let used = files.find(&inode(1)).unwrap();
        files.get_mut(used).unwrap().live.push(0);
        assert_eq!(files.oldest(4), [2, 3, 4, 5].map(inode));
        assert_eq!(files.oldest(9), [2, 3, 4, 5, 1].map(inode));
    }
}
