//! Which names matter, and whether a file lies at its depth below a root.

use watchdog_common::{NAME_WINDOW, Name, NameWords, RootValue};

use crate::{
    kernel::{Dentry, at},
    maps::{NAMES, ROOTS},
    settings::setting,
};

const SLASHES: u64 = u64::from_ne_bytes([b'/'; 8]);

/// What a name matched.
#[derive(Clone, Copy)]
pub(crate) struct Match {
    /// Bit i for name i.
    pub(crate) bit: u8,
    /// The name's role, as the agent numbers it.
    pub(crate) role: u8,
}

/// A state-file root found above a file.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub(crate) root: RootValue,
    /// The file's directory.
    pub(crate) directory: Dentry,
}

/// The first name that the dentry's own name matches.
#[inline(always)]
pub(crate) fn of_dentry(dentry: Dentry) -> Option<Match> {
    let packed = matching_name(dentry.0);
    (packed != 0).then_some(Match { bit: packed as u8, role: (packed >> 8) as u8 })
}

/// [`Match`], packed; 0 for none. A function of its own, with numbers alone for arguments, is verified once and not
/// again wherever it is called.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn matching_name(dentry: u64) -> u64 {
    let dentry = Dentry(dentry);
    let len = dentry.name_len();
    if !could_match(len) {
        return 0;
    }
    let text = dentry.name();
    // The windows: one begins with the name, one ends with it. What stands in memory before a short name is left out
    // by the masks, and an unreadable window is zeros, which match nothing.
    let head: NameWords = at(text);
    let tail: NameWords = at(text + u64::from(len) - NAME_WINDOW as u64);
    for i in 0..Name::MAX {
        let Some(name) = NAMES.get(i) else { return 0 };
        if name.shortest == 0 {
            return 0;
        }
        let other = difference(name, &head, &tail) | wrong_length(name, len);
        if other == 0 {
            return 1 << i | (name.role & 0xff) << 8;
        }
    }
    0
}

/// Whether a path's last component matches a name. `end` is the address behind the path's last byte, `len` its
/// length; at least [`NAME_WINDOW`] readable bytes stand before `end`, zeros before the path.
#[inline(always)]
pub(crate) fn of_path(end: u64, len: u32) -> bool {
    let tail: NameWords = at(end - NAME_WINDOW as u64);
    for i in 0..Name::MAX {
        let Some(name) = NAMES.get(i) else { return false };
        if name.shortest == 0 {
            return false;
        }
        // Where a beginning is enough, the last component would have to be found first: the agent does that.
        let other = difference(name, &[0; NAME_WINDOW / 8], &tail) | not_last(name, &tail);
        if (any(&name.head) != 0) | ((other == 0) & (name.shortest <= len)) {
            return true;
        }
    }
    false
}

/// The root below which files in the directory are state files, if `names` has a bit of the root's.
#[inline(always)]
pub(crate) fn root_of(directory: Dentry, names: u8) -> Option<Found> {
    let packed = root_above(directory.0, u64::from(names));
    let root = RootValue { root: packed as u16, depth: (packed >> 16) as u8, names };
    (packed != 0).then_some(Found { root, directory })
}

/// Number and depth of the root, packed, with a bit above them; 0 for none. See [`matching_name`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn root_above(directory: u64, names: u64) -> u64 {
    let depths = setting!(depths);
    let mut ancestor = Dentry(directory);
    for depth in 0..=2_u8 {
        if depths >> depth == 0 {
            return 0;
        }
        if depths & (1 << depth) != 0 {
            let key = ancestor.inode().key();
            // SAFETY: roots are written by the agent and never shrink while the programs run; a torn read of the
            // value costs one event at most.
            if let Some(root) = unsafe { ROOTS.get(&key) }
                && root.depth == depth
                && u64::from(root.names) & names != 0
            {
                return 1 << 32 | u64::from(depth) << 16 | u64::from(root.root);
            }
        }
        ancestor = ancestor.parent();
    }
    0
}

/// A cheap first look: exact names of other lengths cannot match.
#[inline(always)]
pub(crate) fn could_match(len: u32) -> bool {
    len < 64 && setting!(name_lengths) & (1 << len) != 0 || len >= 64 && setting!(name_lengths) >> 63 != 0
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

/// 0 when all words are.
#[inline(always)]
fn any(words: &NameWords) -> u64 {
    words.iter().fold(0, |all, word| all | word)
}
