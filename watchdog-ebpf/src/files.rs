//! The table of tracked descriptions.

use aya_ebpf::bindings::{BPF_ANY, BPF_EXIST, BPF_NOEXIST};
use watchdog_common::{Answer, IoKind, LossCounter, Tracked, UNKNOWN};

use crate::{
    atomic,
    emit::{self, Io, Span},
    kernel::{self, Dentry, FMODE_READ, FMODE_WRITE, File, Inode},
    maps::{ANSWERS, End, FILES, IN_FLIGHT, InFlight, WRITERS, Writers},
    settings,
    turn::Turn,
};

/// Whether a mapping with these flags shows its stores to others (include/uapi/linux/mman.h).
#[inline(always)]
pub(crate) fn is_shared_mapping(flags: u64) -> bool {
    const MAP_TYPE: u64 = 0xf;
    const MAP_SHARED: u64 = 1;
    const MAP_SHARED_VALIDATE: u64 = 3;
    matches!(flags & MAP_TYPE, MAP_SHARED | MAP_SHARED_VALIDATE)
}

/// Begins to track a description, and says that an earlier one at the same address is gone. False when the table
/// is full, a loss that is counted, and when this open is tracked already.
#[inline(always)]
pub(crate) fn track(file: File, opened: u64, inode: Inode, dentry: Dentry, writes: bool, turn: Turn) -> bool {
    if is_tracked(file, turn) {
        return false;
    }
    forget(file, opened);
    let (access, turns) = (access(file), turn as u64);
    let (inode_address, dentry) = (inode.0, dentry.0);
    let tracked =
        Tracked { opened, last: opened, inode: inode_address, dentry, access, turns, calls: 0, reported: 1 };
    // The gate counts entries: one that another CPU has put there meanwhile is counted.
    if FILES.insert(&file.0, &tracked, u64::from(BPF_NOEXIST)).is_ok() {
        settings::gate_up();
    } else if FILES.insert(&file.0, &tracked, u64::from(BPF_EXIST)).is_err() {
        emit::count(LossCounter::TableFull);
        return false;
    }
    if writes {
        remember_writer(inode, file);
    }
    true
}

/// Notes whether the agent was sent the record of the description's open. What it was not sent, it asks for.
#[inline(always)]
pub(crate) fn set_reported(file: File, is_reported: bool) {
    if let Some(tracked) = FILES.get_ptr_mut(&file.0) {
        // SAFETY: the pointer came from the map and stays valid in this program.
        unsafe { (*tracked).reported = is_reported.into() };
    }
    if !is_reported && let Some(count) = ANSWERS.get_ptr_mut(Answer::Unreported as u32) {
        // SAFETY: an array element is aligned and lives as long as the map.
        unsafe { atomic::add(count, 1) };
    }
}

/// When the description was opened, if it is tracked and the record of its open found no room.
#[inline(always)]
pub(crate) fn unreported(file: File) -> Option<u64> {
    // SAFETY: the members are read at once.
    let tracked = unsafe { FILES.get(&file.0)? };
    (tracked.reported == 0 && is_still(file, tracked)).then_some(tracked.opened)
}

/// Stops tracking a description that the agent was never told of.
#[inline(always)]
pub(crate) fn drop_unreported(file: File) {
    if FILES.remove(&file.0).is_ok() {
        settings::gate_down();
    }
}

/// Answers the agent's question after the description at an address: when the tracked one was opened. One that is gone is
/// not tracked any more.
#[inline(always)]
pub(crate) fn answer(file: File) {
    // SAFETY: the value is copied at once.
    let opened = unsafe { FILES.get(&file.0) }.map_or(0, |tracked| tracked.opened);
    let lives = opened != 0 && !release_if_dead(file, opened, 0, kernel::now());
    let opened = if lives { opened } else { 0 };
    let words = (ANSWERS.get_ptr_mut(Answer::Opened as u32), ANSWERS.get_ptr_mut(Answer::Serial as u32));
    if let (Some(answer), Some(serial)) = words {
        // SAFETY: only the agent's one thread asks, and it waits for the answer.
        unsafe {
            *answer = opened;
            *serial += 1;
        }
    }
}

/// Whether this very description is tracked.
#[inline(always)]
pub(crate) fn is_known(file: File) -> bool {
    // SAFETY: the value is compared at once.
    unsafe { FILES.get(&file.0) }.is_some_and(|tracked| is_still(file, tracked))
}

/// Whether the description that was opened then is still tracked.
#[inline(always)]
pub(crate) fn is_tracked_since(file: File, opened: u64) -> bool {
    // SAFETY: the value is compared at once.
    unsafe { FILES.get(&file.0) }.is_some_and(|tracked| tracked.opened == opened && is_still(file, tracked))
}

/// Whether the other copy of the program has just begun to track this description.
#[inline(always)]
fn is_tracked(file: File, turn: Turn) -> bool {
    let Some(tracked) = FILES.get_ptr_mut(&file.0) else { return false };
    // SAFETY: the pointer came from the map and stays valid in this program.
    let tracked = unsafe { &mut *tracked };
    let is_second = turn.is_second(tracked.turns) && is_still(file, tracked);
    if is_second {
        tracked.turns |= turn as u64;
    }
    is_second
}

#[inline(always)]
fn remember_writer(inode: Inode, file: File) {
    let Some(writers) = WRITERS.get_ptr_mut(&inode.0) else {
        let _ = WRITERS.insert(&inode.0, &Writers([file.0, 0, 0, 0]), u64::from(BPF_ANY));
        return;
    };
    // SAFETY: the pointer came from the map and stays valid in this program. Two writers that take the same slot at
    // the same moment leave one to the agent's questions.
    let slots = unsafe { &mut (*writers).0 };
    for slot in slots {
        if *slot == 0 || *slot == file.0 {
            *slot = file.0;
            return;
        }
    }
}

/// Tells the ends of the file's writers that nobody saw end.
#[inline(always)]
pub(crate) fn release_dead_writers(inode: Inode, now: u64) {
    release_writers(inode.0, now);
}

/// A function of its own, with numbers alone for arguments: it is verified once, and what it needs of the stack is given
/// back.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn release_writers(inode: u64, now: u64) -> u64 {
    let inode = Inode(inode);
    let Some(writers) = WRITERS.get_ptr_mut(&inode.0) else { return 0 };
    // SAFETY: as in `remember_writer`.
    let slots = unsafe { &mut (*writers).0 };
    // Written out: verifiers up to 6.1 take a call at the end of a loop's body for a way back (`visit_insn`).
    let [first, second, third, fourth] = slots;
    empty_if_dead(first, inode, now);
    empty_if_dead(second, inode, now);
    empty_if_dead(third, inode, now);
    empty_if_dead(fourth, inode, now);
    0
}

/// Empties the slot when its writer is gone, and says so.
#[inline(always)]
fn empty_if_dead(slot: &mut u64, inode: Inode, now: u64) {
    let file = File(*slot);
    if file.0 == 0 {
        return;
    }
    let stays = FILES.get_ptr(&file.0).is_some_and(|tracked| {
        // SAFETY: the pointer came from the map and stays valid in this program.
        let (of, opened) = unsafe { ((*tracked).inode, (*tracked).opened) };
        of == inode.0 && !release_if_dead(file, opened, 0, now)
    });
    if !stays {
        *slot = 0;
    }
}

/// The running thread's operation on what stands behind `fd`, as one end of an operation in flight; an empty
/// end when that is not tracked.
#[inline(always)]
pub(crate) fn end_of(fd: u64, now: u64) -> End {
    let Some(file) = File::of_descriptor(fd as i32) else { return End::NONE };
    let Some(tracked) = FILES.get_ptr_mut(&file.0) else { return End::NONE };
    // SAFETY: the pointer came from the map and stays valid in this program; races cost a stale time only.
    let (opened, inode) = unsafe {
        if !is_still(file, &*tracked) {
            return End::NONE;
        }
        (*tracked).last = now;
        ((*tracked).opened, (*tracked).inode)
    };
    End { file: file.0, opened, inode, position: file.position(), size: UNKNOWN }
}

/// Whether the other copy of the program has just remembered the thread's operation.
#[inline(always)]
pub(crate) fn is_in_flight(thread: u64, turn: Turn) -> bool {
    let Some(operation) = IN_FLIGHT.get_ptr_mut(&thread) else { return false };
    // SAFETY: the entry belongs to the running thread alone.
    let operation = unsafe { &mut *operation };
    let is_second = turn.is_second(operation.turns);
    if is_second {
        operation.turns |= turn as u64;
    }
    is_second
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

/// A thread ends. The return of a call that it is in was shown to no program.
#[inline(always)]
pub(crate) fn abandon(thread: u64) {
    if take_in_flight(thread).is_some() {
        emit::count(LossCounter::Missed);
    }
}

/// If the description's last reference is gone: stops tracking it and says so. `start` is when it was last known to
/// be alive; 0 for when it was last used. True when it is gone.
#[inline(always)]
pub(crate) fn release_if_dead(file: File, opened: u64, start: u64, end: u64) -> bool {
    // SAFETY: the value is copied at once; a race with `track` is settled by `opened`.
    let Some(tracked) = (unsafe { FILES.get(&file.0) }) else { return false };
    let tracked = *tracked;
    if tracked.opened != opened {
        return false;
    }
    if !file.is_dead() && is_still(file, &tracked) {
        return false;
    }
    let from = if start == 0 { tracked.last } else { start };
    if FILES.remove(&file.0).is_ok() {
        settings::gate_down();
        released(file, &tracked, Span { start: from, end });
    }
    true
}

/// A call of a VFS function on the description began (1), or it returned or was told (-1).
#[inline(always)]
pub(crate) fn count_call(file: u64, opened: u64, change: i64) {
    let Some(tracked) = FILES.get_ptr_mut(&file) else { return };
    // SAFETY: the pointer came from the map and stays valid in this program.
    unsafe {
        if (*tracked).opened == opened {
            atomic::add(&raw mut (*tracked).calls, change as u64);
        }
    }
}

/// The description's last reference is gone. Each call holds one, so all have returned: what was not shown to us of
/// that is lost.
#[inline(always)]
pub(crate) fn release(file: File) {
    // SAFETY: the value is copied at once; nobody else uses a description whose last reference is gone.
    let Some(tracked) = (unsafe { FILES.get(&file.0) }) else { return };
    let tracked = *tracked;
    if tracked.calls as i64 > 0 {
        emit::count_all(LossCounter::Missed, tracked.calls);
    }
    if FILES.remove(&file.0).is_ok() {
        settings::gate_down();
        let now = kernel::now();
        released(file, &tracked, Span { start: now, end: now });
    }
}

/// Drops a stale entry whose address was reused by an open that returned at `now`.
#[inline(always)]
pub(crate) fn forget(file: File, now: u64) {
    // SAFETY: the value is copied at once; only an update of `last` races here.
    let Some(old) = (unsafe { FILES.get(&file.0) }) else { return };
    let old = *old;
    if FILES.remove(&file.0).is_ok() {
        settings::gate_down();
        released(file, &old, Span { start: old.last, end: now });
    }
}

/// Whether the `struct file` is, by all that it shows, still the description that was tracked.
#[inline(always)]
fn is_still(file: File, tracked: &Tracked) -> bool {
    file.inode().0 == tracked.inode && file.dentry().0 == tracked.dentry && access(file) == tracked.access
}

#[inline(always)]
fn access(file: File) -> u64 {
    u64::from(file.mode() & (FMODE_READ | FMODE_WRITE))
}

/// Reports the end of a description that the agent knows of.
#[inline(always)]
fn released(file: File, tracked: &Tracked, span: Span) {
    if tracked.reported == 0 {
        return;
    }
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
