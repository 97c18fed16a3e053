//! A call of a VFS function on a tracked description, from its entry to its return.
//!
//! A return door knows the thread alone where it is a kretprobe, so what is in flight is found by thread and door.

use aya_ebpf::bindings::{BPF_EXIST, BPF_NOEXIST};
use watchdog_common::{IoKind, LossCounter, UNKNOWN};

use super::visit::Visit;
use crate::{
    emit::{self, Io, Span},
    files,
    kernel::{self, File, Inode, Look, read},
    maps::{FILES, OPERATIONS, Operation},
    process, settings,
};

/// A function that has an entry and a return door. One thread is in each of them once at most, but for filesystems
/// that are stacked on others: there the outermost call is told, of which the inner ones are parts.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Door {
    Read = 1,
    Readv,
    UringRead,
    Write,
    Writev,
    UringWrite,
    Truncate,
    Allocate,
    Sync,
    Fsync,
    Map,
    RecordLock,
    Flock,
    SpliceRead,
    SpliceWrite,
    SpliceInto,
    CopyFrom,
    CopyTo,
    Rename,
    Link,
    Unlink,
    TruncatePath,
    IterRead,
    IterWrite,
    KernelWrite,
    Protect,
}

impl Door {
    /// Whether the function may change what the file holds.
    #[inline(always)]
    const fn modifies(self) -> bool {
        match self {
            Self::Write
            | Self::Writev
            | Self::UringWrite
            | Self::Truncate
            | Self::Allocate
            | Self::SpliceWrite
            | Self::SpliceInto
            | Self::CopyTo
            | Self::TruncatePath
            | Self::IterWrite
            | Self::KernelWrite => true,
            Self::Read
            | Self::Readv
            | Self::UringRead
            | Self::Sync
            | Self::Fsync
            | Self::Map
            | Self::Protect
            | Self::RecordLock
            | Self::Flock
            | Self::SpliceRead
            | Self::CopyFrom
            | Self::Rename
            | Self::Link
            | Self::Unlink
            | Self::IterRead => false,
        }
    }
}

/// What stands in flight for the running thread behind a door. Process numbers have at most 22 bits (PID_MAX_LIMIT,
/// 5.10 to 7.2), so the thread leaves the upper byte free.
#[inline(always)]
pub(super) fn key(door: Door) -> u64 {
    kernel::thread() | (door as u64) << 56
}

/// What an entry door knows.
#[derive(Clone, Copy)]
pub(super) struct Given {
    /// Address of the position that the function moves; 0 when it has none.
    pub(super) position: u64,
    pub(super) requested: u64,
    pub(super) extra: u64,
}

/// Remembers a call on a tracked description.
#[inline(always)]
pub(super) fn begin(door: Door, visit: Visit, file: File, given: impl FnOnce() -> Given) {
    // SAFETY: the value is copied at once.
    let Some(tracked) = (unsafe { FILES.get(&file.0) }) else { return };
    let (opened, inode) = (tracked.opened, tracked.inode);
    let key = key(door);
    let frame = visit.frame();
    if is_begun(key, visit, frame, Inode(inode)) {
        return;
    }
    let Given { position, requested, extra } = given();
    if door.modifies() {
        settings::note_modification();
    }
    let Look { size, at: start } = Inode(inode).look();
    let turns = visit.turn as u64;
    let operation =
        Operation { start, file: file.0, opened, inode, size, position, requested, extra, turns, frame };
    if OPERATIONS.insert(&key, &operation, u64::from(BPF_NOEXIST)).is_ok() {
        settings::operating_up();
    } else if OPERATIONS.insert(&key, &operation, u64::from(BPF_EXIST)).is_err() {
        return emit::count(LossCounter::TableFull);
    }
    files::count_call(file.0, opened, 1);
}

/// Whether the other copy of the program has just begun the call, or the call is part of another. One that was left
/// behind, because its return was missed, is neither, but a loss.
#[inline(always)]
fn is_begun(key: u64, visit: Visit, frame: u64, inode: Inode) -> bool {
    let Some(operation) = OPERATIONS.get_ptr_mut(&key) else { return false };
    // SAFETY: the entry belongs to the running thread alone.
    let operation = unsafe { &mut *operation };
    if visit.turn.is_second(operation.turns) {
        operation.turns |= visit.turn as u64;
        return true;
    }
    if frame < operation.frame && inode.filesystem() != Inode(operation.inode).filesystem() {
        return true;
    }
    emit::count(LossCounter::Missed);
    files::count_call(operation.file, operation.opened, -1);
    false
}

/// True while the running thread is in a call behind `door` on a tracked description.
#[inline(always)]
pub(super) fn is_within(door: Door) -> bool {
    // SAFETY: only presence matters.
    unsafe { OPERATIONS.get(&key(door)) }.is_some()
}

/// Takes the call that returns out again.
#[inline(always)]
pub(super) fn end(door: Door, visit: Visit) -> Option<Operation> {
    // SAFETY: the entry belongs to the running thread alone.
    let frame = unsafe { OPERATIONS.get(&key(door))?.frame };
    if visit.ends(frame) { take(door) } else { None }
}

/// Takes the call in flight out again.
#[inline(always)]
pub(super) fn take(door: Door) -> Option<Operation> {
    let key = key(door);
    // SAFETY: the entry belongs to the running thread alone.
    let operation = unsafe { *OPERATIONS.get(&key)? };
    if OPERATIONS.remove(&key).is_ok() {
        settings::operating_down();
        files::count_call(operation.file, operation.opened, -1);
    }
    Some(operation)
}

/// A thread ends. The returns of the calls that it is in were shown to no program; that is counted when the descriptions
/// end.
#[inline(always)]
pub(super) fn abandon() {
    let thread = kernel::thread();
    for door in Door::Read as u64..=Door::Protect as u64 {
        if OPERATIONS.remove(&(thread | door << 56)).is_ok() {
            settings::operating_down();
        }
    }
}

/// Where a call that moved the position by `result` began. A write's position is set to the file's end by
/// `generic_write_checks` under O_APPEND (5.10 to 7.2) and then moves too, so this holds for it as well.
#[inline(always)]
pub(super) fn offset(operation: &Operation, result: i64) -> u64 {
    read::<u64>(operation.position, 0).wrapping_sub(result as u64)
}

/// Tells a write that failed.
#[inline(always)]
pub(super) fn tell_failure(operation: &Operation, result: i64) {
    let failed = Operation { extra: result.unsigned_abs(), ..*operation };
    tell(IoKind::WriteFailed, &failed, UNKNOWN, 0);
}

/// Tells a call.
#[inline(always)]
pub(super) fn tell(kind: IoKind, operation: &Operation, offset: u64, result: i64) {
    let Operation { start, file, opened, inode, size, requested, extra, .. } = *operation;
    if matches!(kind, IoKind::Write | IoKind::Truncate | IoKind::Allocate) {
        settings::note_modification();
    }
    let Look { size: size_after, at: end } = Inode(inode).look();
    let span = Span { start, end };
    process::introduce(span);
    let io = Io {
        file,
        opened,
        offset,
        requested,
        result: result as u64,
        size_before: size,
        size: size_after,
        extra,
    };
    emit::io(kind, span, io);
}
