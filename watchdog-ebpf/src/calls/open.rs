//! Opens: a description comes into being.

use aya_ebpf::helpers::{bpf_probe_read_kernel_str, bpf_probe_read_user};
use watchdog_common::{Call, Kind, LONG_NAME, LossCounter, OpenRecord, SHORT_NAME};

use super::{entered, remember_entry};
use crate::{
    emit::{self, Span},
    files,
    kernel::{self, Dentry, FMODE_PATH, FMODE_WRITE, File},
    names::{self, Found, Match},
    process,
    registers::Registers,
    settings,
};

const O_CREAT: u64 = 0o100;
const O_TRUNC: u64 = 0o1000;
const O_CREAT_FLAGS_OF_CREAT: u64 = O_CREAT | O_TRUNC | 1;

/// A file that matters was opened.
#[derive(Clone, Copy)]
struct Hit {
    file: File,
    dentry: Dentry,
    role: u8,
    mode: u32,
    found: Found,
}

/// Only an open that may change content needs its entry: that is where a write window begins.
#[inline(always)]
pub(super) fn enter(call: Call, registers: Registers) {
    if may_change(flags(call, registers)) {
        remember_entry();
    }
}

#[inline(always)]
pub(super) fn exit(call: Call, registers: Registers, result: i64) {
    let Some(hit) = hit(result) else { return };
    let now = kernel::now();
    let flags = flags(call, registers);
    let start = if !may_change(flags) {
        now
    } else if let Some(start) = entered() {
        start
    } else {
        emit::count(LossCounter::TableFull);
        now
    };
    report(hit, flags, Span { start, end: now });
}

/// A 32-bit program opened a file: counted when it matters, because nothing more is seen of it.
#[inline(always)]
pub(crate) fn exit_compat(result: i64) {
    if hit(result).is_some() {
        emit::count(LossCounter::Compat);
    }
}

#[inline(always)]
fn may_change(flags: u64) -> bool {
    flags & (O_CREAT | O_TRUNC) != 0
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

/// Whether what the call returned matters: by its name, or because it is open for writing beside state files and
/// so may be renamed over one.
#[inline(always)]
fn hit(result: i64) -> Option<Hit> {
    if result < 0 {
        return None;
    }
    let file = File::of_descriptor(result as i32)?;
    let dentry = file.dentry();
    let name = names::of_dentry(dentry);
    let mode = file.mode();
    let Match { bit, role } = match name {
        Some(name) => name,
        None if mode & FMODE_WRITE != 0 => Match { bit: u8::MAX, role: 0 },
        None => return None,
    };
    let found = names::root_of(dentry, bit)?;
    if mode & FMODE_PATH != 0 || !file.inode().is_regular() || settings::is_agent((kernel::thread() >> 32) as u32) {
        return None;
    }
    Some(Hit { file, dentry, role, mode, found })
}

#[inline(always)]
fn report(hit: Hit, flags: u64, span: Span) {
    process::introduce(span.end);
    if !files::track(hit.file, span.end, hit.file.inode().0, hit.dentry.0) {
        return;
    }
    let directory = hit.found.directory;
    if hit.found.root.depth == 2 {
        emit_with::<{ 2 * LONG_NAME }>(hit, flags, span);
    } else if directory.name_len() >= SHORT_NAME as u32 {
        emit_with::<LONG_NAME>(hit, flags, span);
    } else {
        emit_with::<SHORT_NAME>(hit, flags, span);
    }
}

#[repr(C)]
struct OpenWith<const N: usize> {
    open: OpenRecord,
    directories: [u8; N],
}

#[inline(always)]
fn emit_with<const N: usize>(hit: Hit, flags: u64, span: Span) {
    let Some(mut entry) = emit::reserve::<OpenWith<N>>() else { return };
    let record = entry.as_mut_ptr();
    let inode = hit.file.inode();
    let key = inode.key();
    // SAFETY: the reservation is a whole record; names are written up to their NUL, where the agent stops reading.
    unsafe {
        let open = &mut (*record).open;
        open.header = emit::header::<OpenWith<N>>(Kind::Open, 0, span);
        open.file = hit.file.0;
        open.opened = span.end;
        open.ino = key.ino;
        open.dev = key.dev;
        open.generation = key.generation;
        open.size = inode.size();
        open.mode = hit.mode;
        open.flags = flags as u32;
        open.root = hit.found.root.root;
        open.depth = hit.found.root.depth;
        open.role = hit.role;
        open.name_len = hit.dentry.name_len();
        copy_name(hit.dentry, &mut open.name);
        let directory = hit.found.directory;
        let names = &mut (*record).directories;
        if N == 2 * LONG_NAME {
            let (inner, outer) = names.split_at_mut_unchecked(LONG_NAME);
            copy_name(directory, inner);
            copy_name(directory.parent(), outer);
        } else if hit.found.root.depth == 0 {
            names[0] = 0;
        } else {
            copy_name(directory, names);
        }
    }
    entry.submit(0);
}

#[inline(always)]
unsafe fn copy_name(dentry: Dentry, room: &mut [u8]) {
    // SAFETY: reading kernel memory that may not be there yields an error, not a fault.
    if unsafe { bpf_probe_read_kernel_str(dentry.name() as *const u8, room) }.is_err()
        && let Some(first) = room.first_mut()
    {
        *first = 0;
    }
}
