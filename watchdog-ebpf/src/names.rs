//! Which names matter, and whether a file lies at its depth below a root.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use watchdog_common::{NAME_WINDOW, Name, NameShape, RootValue};

use crate::{
    kernel::Dentry,
    maps::{NAMES, ROOTS},
    settings::setting,
};

type Window = [u64; NAME_WINDOW / 8];

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
    // The window ends with the name; what stands in memory before a short name is left out by the mask.
    let Some(tail) = window(text + u64::from(len) - NAME_WINDOW as u64) else { return 0 };
    // The window behind a name that ends its page may not be readable: then no beginning matches.
    let head = window(text).unwrap_or([u64::MAX; NAME_WINDOW / 8]);
    for i in 0..Name::MAX {
        let Some(name) = NAMES.get(i) else { return 0 };
        if name.len == 0 {
            return 0;
        }
        if name.len > len || (name.shape == NameShape::Exact as u8 && name.len != len) {
            continue;
        }
        let matches =
            if name.shape == NameShape::Prefix as u8 { equal(&head, name) } else { equal(&tail, name) };
        if matches {
            return 1 << i | u64::from(name.role) << 8;
        }
    }
    0
}

/// The first name that a path's last component matches. `end` is the address behind the path's last byte, `len` its
/// length; at least [`NAME_WINDOW`] readable bytes stand before `end`, zeros before the path.
#[inline(always)]
pub(crate) fn of_path(end: u64, len: u32) -> bool {
    let Some(tail) = window(end - NAME_WINDOW as u64) else { return false };
    for i in 0..Name::MAX {
        let Some(name) = NAMES.get(i) else { return false };
        if name.len == 0 {
            return false;
        }
        // Where a beginning is enough, the last component would have to be found first: the agent does that.
        if name.shape == NameShape::Prefix as u8 {
            return true;
        }
        if name.len > len || !equal(&tail, name) {
            continue;
        }
        if name.shape == NameShape::Suffix as u8 || name.len == len || byte_before(&tail, name.len) == b'/' {
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
fn could_match(len: u32) -> bool {
    len < 64 && setting!(name_lengths) & (1 << len) != 0 || len >= 64 && setting!(name_lengths) >> 63 != 0
}

#[inline(always)]
fn window(address: u64) -> Option<Window> {
    // SAFETY: reading kernel memory that may not be there yields an error, not a fault.
    unsafe { bpf_probe_read_kernel(address as *const Window) }.ok()
}

#[inline(always)]
fn equal(window: &Window, name: &Name) -> bool {
    let mut difference = 0;
    for i in 0..window.len() {
        difference |= (window[i] & name.mask[i]) ^ name.words[i];
    }
    difference == 0
}

/// The byte before the last `len` bytes of the window.
#[inline(always)]
fn byte_before(window: &Window, len: u32) -> u8 {
    let index = (NAME_WINDOW as u32).wrapping_sub(1 + len) as usize;
    if index >= NAME_WINDOW {
        return 0;
    }
    // SAFETY: the index was checked, and a window is 40 plain bytes.
    unsafe { window.as_ptr().cast::<u8>().add(index).read() }
}
