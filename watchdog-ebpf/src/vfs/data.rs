//! What goes through a description.

use watchdog_common::{IoKind, SHARED_MAPPING, UNKNOWN};

use super::{
    operation::{self, Door, Given},
    visit::Visit,
};
use crate::{
    files,
    kernel::{FMODE_READ, FMODE_WRITE, File, read},
    opens::{self, Releases},
    settings::{self, filter, setting},
};

/// include/linux/fs.h, 5.10 to 7.2: the truncation belongs to an open with O_TRUNC.
const ATTR_OPEN: u64 = 1 << 15;
const PROT_WRITE: u64 = 2;
/// include/linux/fs.h and filelock.h, 5.10 to 7.2.
const FL_FLOCK: u32 = 2;

/// Bytes move between a description and a buffer. `given` tells where the position stands that the call moves, and
/// how many bytes are asked for; it is not called unless the description is tracked.
#[inline(always)]
pub(super) fn begin(door: Door, visit: Visit, file: u64, given: impl FnOnce() -> (u64, u64)) {
    operation::begin(door, visit, File(file), || {
        let (position, requested) = given();
        Given { position, requested, extra: 0 }
    });
}

#[inline(always)]
pub(super) fn end_read(door: Door, visit: Visit, result: i64) {
    let Some(operation) = operation::end(door, visit) else { return };
    if result >= 0 {
        let offset = operation::offset(&operation, result);
        operation::tell(IoKind::Read, &operation, offset, result);
    }
}

#[inline(always)]
pub(super) fn end_write(door: Door, visit: Visit, result: i64) {
    let Some(operation) = operation::end(door, visit) else { return };
    if result > 0 {
        let offset = operation::offset(&operation, result);
        operation::tell(IoKind::Write, &operation, offset, result);
    } else if result < 0 {
        operation::tell_failure(&operation, result);
    }
}

/// fsync by descriptor.
#[inline(always)]
pub(super) fn begin_fsync(visit: Visit, descriptor: i32) {
    if let Some(file) = File::of_descriptor(descriptor) {
        begin(Door::Fsync, visit, file.0, || (0, 0));
    }
}

/// fsync by description, which may be the inner half of the above.
#[inline(always)]
pub(super) fn begin_sync(visit: Visit, file: u64) {
    if !operation::is_within(Door::Fsync) {
        begin(Door::Sync, visit, file, || (0, 0));
    }
}

/// The size is set through a description.
#[inline(always)]
pub(super) fn begin_truncate(visit: Visit, file: u64, size: u64, attributes: u64) {
    let extra = u64::from(attributes & ATTR_OPEN != 0);
    operation::begin(Door::Truncate, visit, File(file), || Given { position: 0, requested: size, extra });
}

/// The end of a call that says by 0 that it succeeded.
#[inline(always)]
pub(super) fn end_plain(door: Door, visit: Visit, kind: IoKind, result: i64) {
    let Some(operation) = operation::end(door, visit) else { return };
    if result == 0 {
        operation::tell(kind, &operation, UNKNOWN, 0);
    }
}

#[inline(always)]
pub(super) fn begin_allocate(visit: Visit, file: u64, mode: u64, offset: u64, length: u64) {
    let given = Given { position: offset, requested: length, extra: mode & 0xffff_ffff };
    operation::begin(Door::Allocate, visit, File(file), || given);
}

#[inline(always)]
pub(super) fn end_allocate(visit: Visit, result: i64) {
    let Some(operation) = operation::end(Door::Allocate, visit) else { return };
    if result == 0 {
        operation::tell(IoKind::Allocate, &operation, operation.position, 0);
    }
}

/// A mapping is permitted. The description's own rights are asked for afterwards (`do_mmap`,
/// 5.10 to 7.2).
#[inline(always)]
pub(super) fn begin_map(visit: Visit, file: u64, protection: u64, flags: u64) {
    if file == 0 {
        return;
    }
    let shared = files::is_shared_mapping(flags);
    let stores = shared && protection & PROT_WRITE != 0;
    let needed = if stores { FMODE_READ | FMODE_WRITE } else { FMODE_READ };
    if File(file).mode() & needed == needed {
        operation::begin(Door::Map, visit, File(file), || Given {
            position: 0,
            requested: 0,
            extra: protection & 0xffff_ffff | if shared { SHARED_MAPPING } else { 0 },
        });
    }
}

/// A mapping is about to become writable.
#[inline(always)]
pub(super) fn begin_protect(visit: Visit, area: u64, protection: u64) {
    const VM_SHARED: u64 = 8;
    let (file, flags) = (setting!(offsets.vma_file), setting!(offsets.vma_flags));
    if file == 0 || flags == 0 || protection & PROT_WRITE == 0 || read::<u64>(area, flags) & VM_SHARED == 0 {
        return;
    }
    let given = Given { position: 0, requested: 0, extra: protection & 0xffff_ffff | SHARED_MAPPING };
    operation::begin(Door::Protect, visit, File(read(area, file)), || given);
}

/// A POSIX or open-file-description lock by fcntl. `lock` is the kernel's copy of `struct flock`, which begins with
/// the 16-bit `l_type`.
#[inline(always)]
pub(super) fn begin_record_lock(visit: Visit, file: u64, command: u64, lock: u64) {
    let extra = u64::from(read::<u16>(lock, 0));
    // F_OFD_SETLK and F_OFD_SETLKW, include/uapi/linux/fcntl.h.
    let requested = u64::from(matches!(command & 0xffff_ffff, 37 | 38));
    operation::begin(Door::RecordLock, visit, File(file), || Given { position: 0, requested, extra });
}

/// `struct file_lock`: the kind of lock in it is F_RDLCK, F_WRLCK or F_UNLCK; the records speak flock's language.
#[inline(always)]
pub(super) fn begin_flock(visit: Visit, lock: u64) {
    if settings::gate() == 0 && filter!(locks) == 0 {
        return;
    }
    let flags: u32 = read(lock, setting!(offsets.lock_flags));
    if flags & FL_FLOCK == 0 {
        return;
    }
    let kind: u8 = read(lock, setting!(offsets.lock_type));
    let extra = match kind {
        0 => 1,
        1 => 2,
        _ => 8,
    };
    let file = File(read(lock, setting!(offsets.lock_file)));
    opens::locks(file, Releases::Seen);
    operation::begin(Door::Flock, visit, file, || Given { position: 0, requested: 0, extra });
}

/// A copy within the kernel: each end that is tracked is told by itself.
#[inline(always)]
pub(super) fn begin_copy(
    visit: Visit,
    from: u64,
    from_position: u64,
    to: u64,
    to_position: u64,
    requested: u64,
) {
    let given = |position| Given { position, requested, extra: 0 };
    operation::begin(Door::CopyFrom, visit, File(from), || given(from_position));
    operation::begin(Door::CopyTo, visit, File(to), || given(to_position));
}

#[inline(always)]
pub(super) fn end_copy(visit: Visit, result: i64) {
    if let Some(from) = operation::end(Door::CopyFrom, visit)
        && result >= 0
    {
        operation::tell(IoKind::Read, &from, from.position, result);
    }
    if let Some(to) = operation::end(Door::CopyTo, visit)
        && result > 0
    {
        operation::tell(IoKind::Write, &to, to.position, result);
    }
}

/// A whole splice or sendfile into a description; `copy_file_range` may be one, and tells it itself. Without a position
/// of the call's own, the description's is moved.
#[inline(always)]
pub(super) fn begin_splice_into(visit: Visit, file: u64, position: u64, length: u64) {
    if !operation::is_within(Door::CopyTo) {
        let own = file + u64::from(setting!(offsets.file_pos));
        begin(Door::SpliceInto, visit, file, || (if position == 0 { own } else { position }, length));
    }
}

/// One step of splice or sendfile, unless the whole is told.
#[inline(always)]
pub(super) fn begin_splice(door: Door, visit: Visit, file: u64, given: impl FnOnce() -> (u64, u64)) {
    let is_within = match door {
        Door::SpliceRead => operation::is_within(Door::CopyFrom),
        _ => operation::is_within(Door::CopyTo) || operation::is_within(Door::SpliceInto),
    };
    if !is_within {
        begin(door, visit, file, given);
    }
}

/// What one part of the kernel reads or writes for another, such as a stacked filesystem, a loop device or a file
/// server. `whole` are the doors of operations that take such steps and tell them themselves. `iter` is a
/// `struct iov_iter`.
#[inline(always)]
pub(super) fn begin_step(door: Door, visit: Visit, whole: &[Door], file: u64, iter: u64, position: u64) {
    if !whole.iter().any(|&door| operation::is_within(door)) {
        begin(door, visit, file, || {
            let at = setting!(offsets.iter_count);
            (position, if at == 0 { UNKNOWN } else { read(iter, at) })
        });
    }
}
