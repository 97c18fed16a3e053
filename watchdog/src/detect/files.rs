//! The files that are known, by inode.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::file::File;
use super::table::{Slot, Table};
use crate::model::{BootNanos, InodeId, Place};

/// All of them. Most state files of a node are found once and then left alone, so little is kept of one until something
/// happens to it.
#[derive(Debug)]
pub(super) struct Files {
    awake: Table<InodeId, File>,
    resting: FxHashMap<InodeId, Resting>,
}

/// A file that was found at a name, and of which nothing was heard since.
#[derive(Debug)]
pub(super) struct Resting {
    pub(super) place: Arc<Place>,
    pub(super) seen: BootNanos,
    pub(super) event: u64,
    pub(super) size: Option<u64>,
}

impl Resting {
    /// All that would be known of it if it had never rested.
    fn wake(self, inode: InodeId) -> File {
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
        Self { awake: Table::new(), resting: FxHashMap::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.awake.len() + self.resting.len()
    }

    pub(super) fn is_known(&self, inode: &InodeId) -> bool {
        self.awake.find(inode).is_some() || self.is_resting(inode)
    }

    pub(super) fn is_resting(&self, inode: &InodeId) -> bool {
        self.resting.contains_key(inode)
    }

    /// Where a file stands. One that rests wakes.
    pub(super) fn find(&mut self, inode: &InodeId) -> Option<Slot> {
        self.awake.find(inode).or_else(|| {
            let resting = self.resting.remove(inode)?;
            Some(self.awake.insert(*inode, resting.wake(*inode)))
        })
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&File> {
        self.awake.get(slot)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut File> {
        self.awake.get_mut(slot)
    }

    /// Puts in a file that is not known.
    pub(super) fn insert(&mut self, file: File) -> Slot {
        self.awake.insert(file.inode, file)
    }

    /// The same for one of which nothing more is to be kept for now.
    pub(super) fn rest(&mut self, inode: InodeId, resting: Resting) {
        self.resting.insert(inode, resting);
    }

    pub(super) fn remove(&mut self, inode: &InodeId) -> Option<File> {
        self.awake.remove(inode)
    }

    /// So many files that nobody uses and that were touched the longest time ago; those in use come last.
    pub(super) fn oldest(&self, count: usize) -> Vec<InodeId> {
        let awake = self.awake.iter().map(|(_, file)| (file.is_in_use(), file.touched, file.inode));
        let resting = self.resting.iter().map(|(inode, resting)| (false, resting.event, *inode));
        let mut all: Vec<_> = awake.chain(resting).collect();
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

    fn resting(event: u64) -> Resting {
        let (container, name) = (event.to_string().into(), "state.json".into());
        let place = Arc::new(Place { root: RootId(0), container, name, role: Role::State });
        Resting { place, seen: BootNanos(10 * event), event, size: Some(100) }
    }

    #[test]
    fn a_file_that_wakes_is_known_as_if_it_had_never_rested() {
        let mut files = Files::new();
        files.rest(inode(7), resting(3));
        assert!(files.is_known(&inode(7)) && files.is_resting(&inode(7)) && files.len() == 1);
        let slot = files.find(&inode(7)).unwrap();
        assert!(files.is_known(&inode(7)) && !files.is_resting(&inode(7)) && files.len() == 1);
        assert_eq!(files.find(&inode(7)), Some(slot));
        let file = files.get(slot).unwrap();
        assert_eq!((file.inode, file.seen, file.touched), (inode(7), BootNanos(30), 3));
        assert_eq!(file.sizes.latest(), Some(100));
        assert_eq!(&*file.state().unwrap().container, "3");
        assert!(files.remove(&inode(7)).is_some() && files.len() == 0);
    }

    #[test]
    fn the_oldest_are_those_that_nobody_uses_whether_they_rest_or_not() {
        let mut files = Files::new();
        for event in [5, 2] {
            files.rest(inode(event), resting(event));
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
