//! Opens: a description comes into being.

use aya_ebpf::helpers::bpf_probe_read_user;
use watchdog_common::{Call, LossCounter};

use super::entered;
use crate::{
    emit::{self, Span},
    files,
    kernel::{self, FMODE_WRITE, File, Look},
    opens::{self, Hit, Releases},
    registers::Registers,
    settings,
    turn::Turn,
};

const O_CREAT: u64 = 0o100;
const O_TRUNC: u64 = 0o1000;
const O_CREAT_FLAGS_OF_CREAT: u64 = O_CREAT | O_TRUNC | 1;

#[inline(always)]
pub(super) fn exit(call: Call, registers: Registers, result: i64, turn: Turn) {
    let Some(hit) = hit(result) else { return };
    let inode = hit.file.inode();
    files::release_dead_writers(inode, kernel::now());
    if hit.mode & FMODE_WRITE != 0 {
        // It may have been truncated.
        settings::note_modification();
    }
    let Look { size, at: now } = inode.look();
    let flags = flags(call, registers);
    // The name was looked up after the entry: without it, nothing is known of what stood there.
    let start = if let Some(start) = entered() {
        start
    } else {
        emit::count(LossCounter::TableFull);
        now
    };
    opens::report(hit, flags, size, Span { start, end: now }, Releases::Asked, turn);
}

/// A 32-bit program opened a file: counted when it matters, because nothing more is seen of it.
#[inline(always)]
pub(crate) fn exit_compat(result: i64, turn: Turn) {
    // Where both copies run, one counts.
    if turn == Turn::One && hit(result).is_some() {
        emit::count(LossCounter::Compat);
    }
}

#[inline(always)]
fn flags(call: Call, registers: Registers) -> u64 {
    match call {
        Call::Open => registers.argument(1),
        Call::Openat => registers.argument(2),
        Call::Creat => O_CREAT_FLAGS_OF_CREAT,
        // `struct open_how` begins with the flags.
        // SAFETY: reading user memory that is not there yields an error, not a fault.
        _ => unsafe { bpf_probe_read_user(registers.argument(2) as *const u64) }.unwrap_or(u64::MAX),
    }
}

#[inline(always)]
fn hit(result: i64) -> Option<Hit> {
    if result < 0 {
        return None;
    }
    opens::hit(File::of_descriptor(result as i32)?)
}

/// io_uring takes a file by its descriptor: what it does with one that matters is not seen.
#[inline(always)]
pub(crate) fn taken_by_io_uring(descriptor: i32) {
    let Some(file) = File::of_descriptor(descriptor) else { return };
    if opens::hit(file).is_some() {
        emit::count(LossCounter::IoUring);
    }
}
