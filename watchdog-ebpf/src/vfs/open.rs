//! Descriptions come into being.

use aya_ebpf::bindings::BPF_ANY;
use watchdog_common::LossCounter;

use super::operation::{Door, key};
use crate::{
    emit::{self, Span},
    kernel::{self, Dentry, File},
    maps::{CREATIONS, Creation, ENTERED},
    opens::{self, Releases},
};

/// include/linux/fs.h, 5.10 to 7.2.
const FMODE_CREATED: u32 = 0x10_0000;
const SLOTS: u64 = 1 << 10;

/// An open is about to create a file: its window begins before there is a description.
#[inline(always)]
pub(super) fn create(dentry: u64) {
    let thread = kernel::thread();
    if let Some(slot) = CREATIONS.get_ptr_mut((thread & (SLOTS - 1)) as u32) {
        // SAFETY: threads that share a slot may overwrite each other; `created` tells.
        unsafe { *slot = Creation { thread, at: kernel::now(), dentry } };
    }
}

/// `do_dentry_open` was entered, and its return will not show the description: one that may matter is remembered.
#[inline(always)]
pub(super) fn entered(file: u64) {
    if opens::may_matter(File(file)) && ENTERED.insert(&key(Door::Open), &file, u64::from(BPF_ANY)).is_err() {
        emit::count(LossCounter::TableFull);
    }
}

/// The description that the running thread's `do_dentry_open` is about.
#[inline(always)]
pub(super) fn taken() -> Option<u64> {
    let key = key(Door::Open);
    // SAFETY: the value is copied at once and belongs to the running thread.
    let file = unsafe { *ENTERED.get(&key)? };
    let _ = ENTERED.remove(&key);
    Some(file)
}

/// `do_dentry_open` returned: the description is whole, and nothing was truncated yet.
#[inline(always)]
pub(super) fn returned(file: u64, result: i64) {
    if result as i32 != 0 {
        return;
    }
    let Some(hit) = opens::hit(File(file)) else { return };
    // A stacked filesystem's own description of the file below carries the upper path (`open_with_fake_path`, up to
    // 6.4): what goes through it is told by the upper description.
    if hit.dentry.inode().0 != hit.file.inode().0 {
        return;
    }
    let end = kernel::now();
    let start = if hit.mode & FMODE_CREATED != 0 { created(hit.dentry).unwrap_or(end) } else { end };
    opens::report(hit, 0, Span { start, end }, Releases::Seen);
}

/// When the running thread began to create what stands at `dentry`.
#[inline(always)]
fn created(dentry: Dentry) -> Option<u64> {
    let thread = kernel::thread();
    let slot = CREATIONS.get((thread & (SLOTS - 1)) as u32)?;
    (slot.thread == thread && slot.dentry == dentry.0).then_some(slot.at)
}
