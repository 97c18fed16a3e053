//! State files by other names: hard links, and files that a state file's name leads to.
//!
//! A name and a directory tell nearly every state file. One that has further names, or that lies elsewhere behind a
//! symbolic link, is told by its own identity, which costs each open more; so that is done only where there is one.

use aya_ebpf::bindings::BPF_ANY;

use crate::{kernel::Inode, maps::INODES, settings};

/// Remembers a file that matters below a root.
#[inline(always)]
pub(crate) fn remember(inode: Inode, root: u16) {
    remember_inode(inode.0, root.into(), 0);
}

/// The same for one that is to be known wherever it lies.
#[inline(always)]
pub(crate) fn adopt(inode: Inode, root: u16) {
    remember_inode(inode.0, root.into(), 1);
}

/// A function of its own, with numbers alone for arguments, is verified once and not again wherever it is called.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn remember_inode(inode: u64, root: u64, everywhere: u64) -> u64 {
    let inode = Inode(inode);
    let key = inode.key();
    if inode.links() > 1 {
        settings::set_linked();
    }
    if everywhere != 0 {
        settings::set_adopted(key.ino);
    }
    // SAFETY: the value is compared at once.
    if unsafe { INODES.get(&key) } != Some(&root) {
        let _ = INODES.insert(&key, &root, u64::from(BPF_ANY));
    }
    0
}

/// The root of the state file that it is, whatever its name.
#[inline(always)]
pub(crate) fn root_of(inode: Inode) -> Option<u16> {
    if !settings::aliased() {
        return None;
    }
    let root = root_of_inode(inode.0);
    (root != 0).then(|| (root - 1) as u16)
}

/// One more than the root's number, 0 for none. See [`remember_inode`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn root_of_inode(inode: u64) -> u64 {
    let inode = Inode(inode);
    let key = inode.key();
    let is_linked = settings::is_linked() && inode.links() > 1;
    if !is_linked && !settings::may_be_adopted(key.ino) {
        return 0;
    }
    // SAFETY: the value is copied at once.
    unsafe { INODES.get(&key) }.map_or(0, |root| root + 1)
}
