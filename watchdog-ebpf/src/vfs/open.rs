//! Descriptions come into being.

use aya_ebpf::bindings::{BPF_ANY, BPF_NOEXIST};
use watchdog_common::LossCounter;

use super::visit::Visit;
use crate::{
    calls,
    emit::{self, Span},
    kernel::{self, Dentry, FMODE_WRITE, File, Look},
    maps::{ENTERED, OPENINGS},
    names,
    opens::{self, Releases},
    settings::{self, setting},
    turn::Turn,
};

/// `do_dentry_open` was entered, and its return will not show the description: one that may matter is remembered.
#[inline(always)]
pub(super) fn entered(visit: Visit, file: u64) {
    if opens::candidate(File(file)).is_none() {
        return;
    }
    let key = key(visit);
    // What the thread entered there before has returned, and nobody saw it.
    if settings::opening() != 0
        && let Some(earlier) = take(&key)
    {
        let _ = OPENINGS.remove(&earlier);
        emit::count(LossCounter::Missed);
    }
    // Nor did anybody see the return, and then the end, of what was opened before under that address.
    // SAFETY: the value is copied at once.
    if settings::opening() != 0
        && let Some(earlier) = unsafe { OPENINGS.get(&file) }.copied()
        && take(&earlier).is_some()
    {
        emit::count(LossCounter::Missed);
    }
    if OPENINGS.insert(&file, &key, u64::from(BPF_ANY)).is_ok()
        && ENTERED.insert(&key, &file, u64::from(BPF_NOEXIST)).is_ok()
    {
        settings::opening_up();
    } else {
        emit::count(LossCounter::TableFull);
    }
}

/// The description that the running thread's `do_dentry_open` is about.
#[inline(always)]
pub(super) fn taken(visit: Visit) -> Option<u64> {
    if settings::opening() == 0 {
        return None;
    }
    let file = take(&key(visit))?;
    let _ = OPENINGS.remove(&file);
    Some(file)
}

/// A description's last reference is gone. If it is still on its way, its open's return was missed: a kretprobe has few
/// places for calls that are under way.
#[inline(always)]
pub(super) fn ended(file: u64) {
    if settings::opening() == 0 {
        return;
    }
    // SAFETY: the value is copied at once; nobody else uses a description whose last reference is gone.
    let Some(key) = (unsafe { OPENINGS.get(&file) }) else { return };
    let key = *key;
    let _ = OPENINGS.remove(&file);
    if take(&key).is_some() && !is_below_another(File(file)) {
        emit::count(LossCounter::Missed);
    }
}

/// A stacked filesystem's own description of the file below carries the upper path (`open_with_fake_path`, up to 6.4):
/// what goes through it is told by the upper description.
#[inline(always)]
fn is_below_another(file: File) -> bool {
    file.dentry().inode().0 != file.inode().0
}

/// Takes out what is on its way there.
#[inline(always)]
fn take(key: &[u64; 2]) -> Option<u64> {
    // SAFETY: the value is copied at once.
    let file = unsafe { *ENTERED.get(key)? };
    if ENTERED.remove(key).is_ok() {
        settings::opening_down();
    }
    Some(file)
}

/// A filesystem that is stacked on another opens the file below within its own open.
#[inline(always)]
fn key(visit: Visit) -> [u64; 2] {
    [kernel::thread(), visit.frame()]
}

/// `do_dentry_open` returned: the description is whole, and nothing was truncated yet.
#[inline(always)]
pub(super) fn returned(file: u64, result: i64, turn: Turn) {
    if result as i32 != 0 {
        return;
    }
    let Some(hit) = opens::hit(File(file)) else { return };
    if is_below_another(hit.file) {
        return;
    }
    let Look { size, at: end } = hit.file.inode().look();
    // The name was looked up after the entry; what is opened by handle or from within the kernel has no name to look up.
    let start = calls::take_entry().unwrap_or(end);
    opens::report(hit, 0, size, Span { start, end }, Releases::Seen, turn);
}

/// The same for those who are given the `struct file *` itself.
#[inline(always)]
pub(super) fn returned_at_a_glance(file: *const u8, result: i64, turn: Turn) {
    if may_matter(file) {
        returned(file as u64, result, turn);
    }
}

/// A first look at a `struct file` of which the verifier knows the type. Nearly every open is of no interest, and such a
/// pointer may be followed without a helper's fifty instructions for each step.
#[inline(always)]
pub(super) fn may_matter(file: *const u8) -> bool {
    // SAFETY: typed kernel pointers and constants from BTF: the verifier checks that members lie there and turns the
    // loads into such as survive a fault.
    let (mode, dentry, name_len) = unsafe {
        let mode: *const u32 = file.add(setting!(offsets.file_mode) as usize).cast();
        let dentry: *const *const u8 = file.add(setting!(offsets.file_dentry) as usize).cast();
        let dentry = dentry.read_volatile();
        let name_len = dentry.add(setting!(offsets.dentry_name_len) as usize);
        (mode.read_volatile(), dentry as u64, name_len.cast::<u32>().read_volatile())
    };
    mode & FMODE_WRITE != 0 || settings::aliased() || names::could_match(Dentry(dentry), name_len)
}
