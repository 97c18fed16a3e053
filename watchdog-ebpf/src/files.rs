//! The table of tracked descriptions.

use aya_ebpf::bindings::{BPF_ANY, BPF_NOEXIST};
use watchdog_common::{IoKind, LossCounter, UNKNOWN};

use crate::{
    emit::{self, Io, Span},
    kernel::{File, Inode},
    maps::{End, FILES, IN_FLIGHT, InFlight, Tracked},
    settings,
};

/// Begins to track a description, and says that an earlier one at the same address is gone. False when the table
/// is full; that loss is counted.
#[inline(always)]
pub(crate) fn track(file: File, opened: u64, inode: u64, dentry: u64) -> bool {
    // SAFETY: only the description's own thread group races here, and only with an update of `last`.
    if let Some(old) = unsafe { FILES.get(&file.0) } {
        let old = *old;
        forget(file, &old, opened);
    }
    let tracked = Tracked { opened, last: opened, inode, dentry };
    if FILES.insert(&file.0, &tracked, u64::from(BPF_ANY)).is_err() {
        emit::count(LossCounter::TableFull);
        return false;
    }
    settings::gate_up();
    true
}

/// The running thread's operation on what stands behind `fd`, as one end of an operation in flight; an empty
/// end when that is not tracked.
#[inline(always)]
pub(crate) fn end_of(fd: u64, now: u64) -> End {
    let Some(file) = File::of_descriptor(fd as i32) else { return End::NONE };
    let Some(tracked) = FILES.get_ptr_mut(&file.0) else { return End::NONE };
    // SAFETY: the pointer came from the map and stays valid in this program; races cost a stale time only.
    let (opened, inode) = unsafe {
        (*tracked).last = now;
        ((*tracked).opened, (*tracked).inode)
    };
    if file.inode().0 != inode {
        return End::NONE;
    }
    End { file: file.0, opened, inode, position: file.position(), size: Inode(inode).size() }
}

/// Remembers an operation until its return.
#[inline(always)]
pub(crate) fn set_in_flight(thread: u64, operation: &InFlight) {
    if IN_FLIGHT.insert(&thread, operation, u64::from(BPF_NOEXIST)).is_ok() {
        settings::gate_up();
    } else if IN_FLIGHT.insert(&thread, operation, u64::from(BPF_ANY)).is_err() {
        emit::count(LossCounter::TableFull);
    }
}

/// Takes the thread's operation out again.
#[inline(always)]
pub(crate) fn take_in_flight(thread: u64) -> Option<InFlight> {
    // SAFETY: the entry belongs to the running thread alone.
    let operation = unsafe { *IN_FLIGHT.get(&thread)? };
    if IN_FLIGHT.remove(&thread).is_ok() {
        settings::gate_down();
    }
    Some(operation)
}

/// If the description's last reference is gone: stops tracking it and says so. `start` is when it was last known to
/// be alive; 0 for when it was last used.
#[inline(always)]
pub(crate) fn release_if_dead(file: File, opened: u64, start: u64, end: u64) {
    // SAFETY: the value is copied at once; a race with `track` is settled by `opened`.
    let Some(tracked) = (unsafe { FILES.get(&file.0) }) else { return };
    let tracked = *tracked;
    if tracked.opened != opened {
        return;
    }
    let is_reused = file.inode().0 != tracked.inode || file.dentry().0 != tracked.dentry;
    if file.is_dead() || is_reused {
        let from = if start == 0 { tracked.last } else { start };
        if FILES.remove(&file.0).is_ok() {
            settings::gate_down();
            released(file, &tracked, Span { start: from, end });
        }
    }
}

/// Drops a stale entry whose address was reused by an open that returned at `now`.
#[inline(always)]
fn forget(file: File, old: &Tracked, now: u64) {
    if FILES.remove(&file.0).is_ok() {
        settings::gate_down();
        released(file, old, Span { start: old.last, end: now });
    }
}

#[inline(always)]
fn released(file: File, tracked: &Tracked, span: Span) {
    let io = Io {
        file: file.0,
        opened: tracked.opened,
        offset: UNKNOWN,
        requested: UNKNOWN,
        result: 0,
        size_before: UNKNOWN,
        size: UNKNOWN,
        extra: 0,
    };
    emit::io(IoKind::Release, span, io);
}
