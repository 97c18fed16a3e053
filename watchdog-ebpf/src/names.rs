//! Which names matter, and whether a file lies at its depth below a root.

use watchdog_common::{NAME_WINDOW, Name, NameWords, ending};

use crate::{
    kernel::{Dentry, at},
    maps::{NAMES, ROOTS},
    settings::filter,
};

const SLASHES: u64 = u64::from_ne_bytes([b'/'; 8]);

/// A state-file root found above a file.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub(crate) root: u16,
    /// How many directories lie between the two.
    pub(crate) depth: u8,
    /// The file's directory.
    pub(crate) directory: Dentry,
}

/// Which names the dentry's own name matches: bit i for name i.
#[inline(always)]
pub(crate) fn of_dentry(dentry: Dentry) -> Option<u32> {
    let bits = matching_names(dentry.0) as u32;
    (bits != 0).then_some(bits)
}

/// A function of its own, with numbers alone for arguments, is verified once and not
/// again wherever it is called.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn matching_names(dentry: u64) -> u64 {
    let dentry = Dentry(dentry);
    let len = dentry.name_len();
    if !could_match(dentry, len) {
        return 0;
    }
    let text = dentry.name();
    // The windows: one begins with the name, one ends with it. What stands in memory before a short name is left out
    // by the masks, and an unreadable window is zeros, which match nothing.
    let head: NameWords = at(text);
    let tail: NameWords = at(text + u64::from(len) - NAME_WINDOW as u64);
    let mut bits = 0;
    for i in 0..Name::MAX {
        let Some(name) = NAMES.get(i) else { return bits };
        if name.shortest == 0 {
            return bits;
        }
        let other = difference(name, &head, &tail) | wrong_length(name, len);
        bits |= u64::from(other == 0) << i;
    }
    bits
}

/// Which masks of names count for a window of a path: those of its end, or those of its beginning.
pub(crate) const TAILS: u64 = 0;
pub(crate) const HEADS: u64 = u64::MAX;

/// Whether the window holds a name that is no longer than `len`; a name that is compared with the other kind of window
/// never matches.
#[inline(always)]
pub(crate) fn of_window(window: &NameWords, len: u64, heads: u64) -> bool {
    for i in 0..Name::MAX {
        let Some(name) = NAMES.get(i) else { return false };
        if name.shortest == 0 {
            return false;
        }
        let mut other = not_last(name, window);
        for i in 0..window.len() {
            let mask = (name.head[i] & heads) | (name.tail[i] & !heads);
            other |= (window[i] & mask) ^ name.words[i];
        }
        if (other == 0) & (u64::from(name.shortest) <= len) {
            return true;
        }
    }
    false
}

/// True if some name is matched by its beginning. Such a name may have any greater length, and no other name fits the
/// last bit.
#[inline(always)]
pub(crate) fn has_prefixes() -> bool {
    filter!(lengths) >> 63 != 0
}

/// The root below which files in the directory are state files, if `names` has a bit of the root's.
#[inline(always)]
pub(crate) fn root_of(directory: Dentry, names: u32) -> Option<Found> {
    let packed = root_above(directory.0, u64::from(names));
    (packed != 0).then_some(Found { root: packed as u16, depth: (packed >> 16) as u8, directory })
}

/// The root in which this directory's lock guards state files.
#[inline(always)]
pub(crate) fn root_of_locked(directory: Dentry) -> Option<Found> {
    let packed = root_above(directory.0, LOCKS);
    (packed != 0).then_some(Found { root: packed as u16, depth: (packed >> 16) as u8, directory })
}

/// In place of names: not the depths of state files are asked for, but those of locked directories.
const LOCKS: u64 = 1 << 32;

/// Number and depth of the root, packed, with a bit above them; 0 for none. See [`matching_names`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn root_above(directory: u64, names: u64) -> u64 {
    let locks = names == LOCKS;
    let depths = if locks { filter!(locks) } else { filter!(depths) };
    let mut ancestor = Dentry(directory);
    for depth in 0..=2_u8 {
        if depths >> depth == 0 {
            return 0;
        }
        if depths & (1 << depth) != 0 {
            let key = ancestor.inode().key();
            // SAFETY: the value is read at once; the agent replaces it seldom, and a torn read costs one event at most.
            if let Some(root) = unsafe { ROOTS.get(&key) }
                && if locks {
                    root.locks & (1 << depth) != 0
                } else {
                    root.depths & (1 << depth) != 0 && u64::from(root.names) & names != 0
                }
            {
                return 1 << 32 | u64::from(depth) << 16 | u64::from(root.root);
            }
        }
        ancestor = ancestor.parent();
    }
    0
}

/// A cheap first look at a dentry's name of `len` bytes: exact names of other lengths cannot match, nor can names that
/// end otherwise.
#[inline(always)]
pub(crate) fn could_match(dentry: Dentry, len: u32) -> bool {
    let lengths = filter!(lengths);
    len < 64 && lengths & (1 << len) != 0 || len >= 64 && lengths >> 63 != 0 || could_end(dentry, len)
}

/// Only a node on which some name is told by its end pays for a look at each name's end.
#[inline(always)]
fn could_end(dentry: Dentry, len: u32) -> bool {
    let endings = filter!(endings);
    endings != 0 && endings & ending(at(dentry.name() + u64::from(len) - 4)) != 0
}

/// 0 when the windows hold the name.
#[inline(always)]
fn difference(name: &Name, head: &NameWords, tail: &NameWords) -> u64 {
    let mut difference = 0;
    for i in 0..tail.len() {
        difference |= ((head[i] & name.head[i]) | (tail[i] & name.tail[i])) ^ name.words[i];
    }
    difference
}

/// 0 when a name of `len` bytes may match.
#[inline(always)]
fn wrong_length(name: &Name, len: u32) -> u64 {
    let (len, shortest, longest) = (u64::from(len), u64::from(name.shortest), u64::from(name.longest));
    // All are 32 bits wide, so that a difference below zero shows in the upper half.
    (len.wrapping_sub(shortest) | longest.wrapping_sub(len)) >> 32
}

/// 0 when nothing or a slash stands before an exact name.
#[inline(always)]
fn not_last(name: &Name, tail: &NameWords) -> u64 {
    let (mut something, mut no_slash) = (0, 0);
    for i in 0..tail.len() {
        something |= tail[i] & name.before[i];
        no_slash |= (tail[i] ^ SLASHES) & name.before[i];
    }
    if something == 0 { 0 } else { no_slash }
}
