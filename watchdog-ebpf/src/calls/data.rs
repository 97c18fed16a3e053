//! Calls on descriptions: what goes through them, and their end.

use aya_ebpf::helpers::bpf_probe_read_user;
use watchdog_common::{Call, IoKind, SHARED_MAPPING, UNKNOWN};

use super::{clone, mapping};
use crate::{
    emit::{self, Io, Span},
    files,
    kernel::{self, File, Inode},
    maps::{End, InFlight},
    opens::{self, Releases},
    process,
    registers::Registers,
    settings,
    turn::Turn,
};

const RWF_APPEND: u64 = 0x10;
const RWF_NOAPPEND: u64 = 0x20;
/// The largest error number: results above its negative are errors, for calls that return addresses too.
const MAX_ERRNO: i64 = 4095;
/// How many buffers of a vectored call are added up.
const MAX_VECTORS: u64 = 64;
/// include/uapi/asm-generic/mman-common.h.
const MAP_ANONYMOUS: u64 = 0x20;

/// The calls that read through their first end.
#[inline(always)]
fn reads(call: Call) -> bool {
    matches!(
        call,
        Call::Read
            | Call::Pread
            | Call::Readv
            | Call::Preadv
            | Call::Sendfile
            | Call::Splice
            | Call::CopyFileRange
            | Call::Ioctl
    )
}

/// The calls that may change what an end holds.
#[inline(always)]
fn modifies(call: Call) -> bool {
    matches!(
        call,
        Call::Write
            | Call::Pwrite
            | Call::Writev
            | Call::Pwritev
            | Call::Pwritev2
            | Call::Sendfile
            | Call::Splice
            | Call::CopyFileRange
            | Call::Ftruncate
            | Call::Fallocate
            | Call::Ioctl
    )
}

/// The two ends of a call: what is read through the first, what is written through the second.
#[inline(always)]
fn descriptors(call: Call, registers: Registers) -> (Option<u64>, Option<u64>) {
    match call {
        Call::Sendfile => (Some(registers.argument(1)), Some(registers.argument(0))),
        Call::Splice | Call::CopyFileRange => (Some(registers.argument(0)), Some(registers.argument(2))),
        Call::Mmap => (Some(registers.argument(4)), None),
        Call::Ioctl => (Some(clone::source(registers)), Some(registers.argument(0))),
        Call::Dup2 => (Some(registers.argument(1)), None),
        _ => (Some(registers.argument(0)), None),
    }
}

#[inline(always)]
pub(super) fn enter(call: Call, registers: Registers, turn: Turn) {
    if matches!(call, Call::Mmap) && registers.argument(3) & MAP_ANONYMOUS != 0 {
        return;
    }
    if matches!(call, Call::Fcntl) && lock_kind(registers.argument(1)).is_none() {
        return;
    }
    if matches!(call, Call::Flock)
        && let Some(file) = File::of_descriptor(registers.argument(0) as i32)
    {
        opens::locks(file, Releases::Asked);
    }
    let thread = kernel::thread();
    if files::is_in_flight(thread, turn) {
        return;
    }
    let (first, second) = descriptors(call, registers);
    let start = kernel::now();
    let mut operation = InFlight { start, turns: turn as u64, first: End::NONE, second: End::NONE };
    if let Some(fd) = first {
        operation.first = files::end_of(fd, start);
    }
    if let Some(fd) = second {
        operation.second = files::end_of(fd, start);
    }
    if operation.first.file == 0 && operation.second.file == 0 {
        return;
    }
    if modifies(call) {
        settings::note_modification();
    }
    if reads(call) {
        files::release_dead_writers(Inode(operation.first.inode), start);
    }
    let sizes;
    (sizes, operation.start) = kernel::look([Inode(operation.first.inode), Inode(operation.second.inode)]);
    (operation.first.size, operation.second.size) = (sizes[0], sizes[1]);
    // A position in user memory moves with the call, so it is read before.
    if operation.first.file != 0
        && let Some(pointer) = first_position(call, registers)
    {
        operation.first.position = kernel::user_word(pointer);
    }
    if operation.second.file != 0
        && let Some(pointer) = second_position(call, registers)
    {
        operation.second.position = kernel::user_word(pointer);
    }
    if matches!(call, Call::Ioctl) {
        (operation.first.position, operation.second.position) = clone::positions(registers);
    }
    files::set_in_flight(thread, &operation);
}

#[inline(always)]
pub(super) fn exit(call: Call, registers: Registers, result: i64) {
    let Some(operation) = files::take_in_flight(kernel::thread()) else { return };
    let InFlight { start, first, second, .. } = operation;
    if modifies(call) {
        settings::note_modification();
    }
    let ([first_size, second_size], end) = kernel::look([Inode(first.inode), Inode(second.inode)]);
    let span = Span { start, end };
    if matches!(call, Call::Close | Call::Dup2) {
        // Linux gives the descriptor back whatever close returns; for a failed dup the description lives.
        let _ = files::release_if_dead(File(first.file), first.opened, span.start, span.end);
        return;
    }
    if result < 0 && result >= -MAX_ERRNO {
        let end = match call {
            Call::Write | Call::Pwrite | Call::Writev | Call::Pwritev | Call::Pwritev2 => first,
            Call::Sendfile | Call::Splice | Call::CopyFileRange => second,
            _ => return,
        };
        if end.file != 0 {
            emit::io(IoKind::WriteFailed, span, failed(end, result));
        }
        return;
    }
    process::introduce(span);
    let mut io = Io {
        file: first.file,
        opened: first.opened,
        offset: UNKNOWN,
        requested: UNKNOWN,
        result: result as u64,
        size_before: first.size,
        size: first_size,
        extra: 0,
    };
    let kind = match call {
        Call::Read | Call::Pread | Call::Readv | Call::Preadv => {
            io.requested = requested(call, registers);
            io.offset = offset_of_read(first, explicit(call, registers), result);
            IoKind::Read
        }
        Call::Write | Call::Pwrite | Call::Writev | Call::Pwritev | Call::Pwritev2 => {
            io.requested = requested(call, registers);
            let appends = appends(first, call, registers);
            io.offset = offset_of_write(first, explicit(call, registers), appends, result, io.size);
            IoKind::Write
        }
        Call::Sendfile | Call::Splice | Call::CopyFileRange => {
            let given = (first_position(call, registers), second_position(call, registers));
            let ends = [(first, given.0, first_size), (second, given.1, second_size)];
            copy(ends, copied(call, registers), result, span);
            return;
        }
        Call::Ioctl => {
            let length = clone::length(registers);
            copy([(first, Some(0), first_size), (second, Some(0), second_size)], length, length as i64, span);
            return;
        }
        Call::Ftruncate => {
            io.requested = registers.argument(1);
            IoKind::Truncate
        }
        Call::Fallocate => {
            io.extra = registers.argument(1);
            io.offset = registers.argument(2);
            io.requested = registers.argument(3);
            IoKind::Allocate
        }
        Call::Mmap => {
            let shared = files::is_shared_mapping(registers.argument(3));
            io.extra = registers.argument(2) & 0xffff_ffff | if shared { SHARED_MAPPING } else { 0 };
            if shared {
                mapping::remember(registers, result as u64, first);
            }
            IoKind::Map
        }
        Call::Fsync | Call::Fdatasync => IoKind::Sync,
        Call::Flock => {
            io.extra = registers.argument(1);
            IoKind::Flock
        }
        Call::Fcntl => {
            let Some(of_description) = lock_kind(registers.argument(1)) else { return };
            // `struct flock` begins with the 16-bit `l_type`.
            // SAFETY: reading user memory that is not there yields an error, not a fault.
            let kind = unsafe { bpf_probe_read_user(registers.argument(2) as *const u16) };
            io.extra = u64::from(kind.unwrap_or(u16::MAX));
            io.requested = of_description;
            IoKind::RecordLock
        }
        _ => return,
    };
    emit::io(kind, span, io);
}

/// A write that failed, which changed nothing.
#[inline(always)]
fn failed(end: End, result: i64) -> Io {
    Io {
        file: end.file,
        opened: end.opened,
        offset: UNKNOWN,
        requested: UNKNOWN,
        result: 0,
        size_before: UNKNOWN,
        size: UNKNOWN,
        extra: result.unsigned_abs(),
    }
}

/// How much sendfile, splice and copy_file_range were asked for.
#[inline(always)]
fn copied(call: Call, registers: Registers) -> u64 {
    registers.argument(if matches!(call, Call::Sendfile) { 3 } else { 4 })
}

/// A read at one end, a write at the other, either of which may be tracked. Each end comes with whether its position
/// was given, and with its size.
#[inline(always)]
fn copy(ends: [(End, Option<u64>, u64); 2], requested: u64, result: i64, span: Span) {
    let io = |end: End, offset, size| Io {
        file: end.file,
        opened: end.opened,
        offset,
        requested,
        result: result as u64,
        size_before: end.size,
        size,
        extra: 0,
    };
    let [(first, given, size), (second, given_second, size_second)] = ends;
    if first.file != 0 {
        let offset = offset_of_read(first, given.map(|_| first.position), result);
        emit::io(IoKind::Read, span, io(first, offset, size));
    }
    if second.file != 0 {
        let appends = File(second.file).appends();
        let offset =
            offset_of_write(second, given_second.map(|_| second.position), appends, result, size_second);
        emit::io(IoKind::Write, span, io(second, offset, size_second));
    }
}

/// Where a read began. A description's own position is trusted when it moved by what the call returned: a dup in
/// another thread may move it too.
#[inline(always)]
fn offset_of_read(end: End, given: Option<u64>, result: i64) -> u64 {
    match given {
        Some(position) => position,
        None if File(end.file).position() == end.position + result as u64 => end.position,
        None => UNKNOWN,
    }
}

/// Whether a write goes to the end, whatever position it was given: `kiocb_set_rw_flags` lets pwritev2 say so for one
/// call, 4.16 to 7.2, and say the opposite from 6.9 on.
#[inline(always)]
fn appends(end: End, call: Call, registers: Registers) -> bool {
    let flags = if matches!(call, Call::Pwritev2) { registers.argument(5) } else { 0 };
    flags & RWF_APPEND != 0 || (flags & RWF_NOAPPEND == 0 && File(end.file).appends())
}

/// Where a write began. With O_APPEND, which `generic_write_checks` honours for pwrite too, that is the end.
#[inline(always)]
fn offset_of_write(end: End, given: Option<u64>, appends: bool, result: i64, size: u64) -> u64 {
    let length = result as u64;
    if appends {
        return if size == end.size + length { end.size } else { UNKNOWN };
    }
    match given {
        Some(position) => position,
        None if File(end.file).position() == end.position + length => end.position,
        None => UNKNOWN,
    }
}

/// The position that the caller gave by value.
#[inline(always)]
fn explicit(call: Call, registers: Registers) -> Option<u64> {
    match call {
        Call::Pread | Call::Pwrite => Some(registers.argument(3)),
        // preadv2 and pwritev2 take -1 for the description's own position.
        Call::Preadv | Call::Pwritev | Call::Pwritev2 => {
            Some(registers.argument(3)).filter(|&position| position != u64::MAX)
        }
        _ => None,
    }
}

/// Address of the position that the caller gave for the reading end.
#[inline(always)]
fn first_position(call: Call, registers: Registers) -> Option<u64> {
    let pointer = match call {
        Call::Sendfile => registers.argument(2),
        Call::Splice | Call::CopyFileRange => registers.argument(1),
        _ => 0,
    };
    (pointer != 0).then_some(pointer)
}

/// The same for the writing end.
#[inline(always)]
fn second_position(call: Call, registers: Registers) -> Option<u64> {
    let pointer = match call {
        Call::Splice | Call::CopyFileRange => registers.argument(3),
        _ => 0,
    };
    (pointer != 0).then_some(pointer)
}

/// How many bytes were asked for; [`UNKNOWN`] for more buffers than are added up.
#[inline(always)]
fn requested(call: Call, registers: Registers) -> u64 {
    let count = registers.argument(2);
    if matches!(call, Call::Read | Call::Pread | Call::Write | Call::Pwrite) {
        return count;
    }
    vector_bytes(registers.argument(1), count)
}

/// What `count` buffers of user memory hold together; [`UNKNOWN`] for more than are added up.
#[inline(always)]
pub(crate) fn vector_bytes(vectors: u64, count: u64) -> u64 {
    if count > MAX_VECTORS {
        return UNKNOWN;
    }
    let mut total = 0_u64;
    for i in 0..MAX_VECTORS {
        if i < count {
            total = total.wrapping_add(kernel::user_word(vectors + i * 16 + 8));
        }
    }
    total
}

/// 0 for a fcntl that takes a lock for the process, 1 for one that takes it for the description.
#[inline(always)]
fn lock_kind(command: u64) -> Option<u64> {
    match command {
        6 | 7 => Some(0),
        37 | 38 => Some(1),
        _ => None,
    }
}
