//! Opens: a description comes into being.

use aya_ebpf::helpers::bpf_probe_read_user;
use watchdog_common::{Call, Kind, LONG_NAME, LossCounter, OpenRecord, SHORT_NAME};

use super::entered;
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
    /// Read before the clock: it must be a size that the file had within the call.
    size: u64,
    found: Found,
}

#[inline(always)]
pub(super) fn exit(call: Call, registers: Registers, result: i64) {
    let Some(hit) = hit(result) else { return };
    let mut now = kernel::now();
    if files::release_dead_writers(hit.file.inode(), now) {
        now = kernel::now();
    }
    let flags = flags(call, registers);
    // The name was looked up after the entry: without it, nothing is known of what stood there.
    let start = if let Some(start) = entered() {
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
    let found = names::root_of(dentry.parent(), bit)?;
    if mode & FMODE_PATH != 0
        || !file.inode().is_regular()
        || settings::is_agent((kernel::thread() >> 32) as u32)
    {
        return None;
    }
    Some(Hit { file, dentry, role, mode, size: file.inode().size(), found })
}

#[inline(always)]
fn report(hit: Hit, flags: u64, span: Span) {
    process::introduce(span.end);
    let writes = hit.mode & FMODE_WRITE != 0;
    if !files::track(hit.file, span.end, hit.file.inode(), hit.dentry, writes) {
        return;
    }
    let short = SHORT_NAME as u32;
    if hit.found.root.depth == 2 {
        emit_with::<LONG_NAME, 3>(hit, flags, span);
    } else if hit.dentry.name_len() >= short || hit.found.directory.name_len() >= short {
        emit_with::<LONG_NAME, 2>(hit, flags, span);
    } else {
        emit_with::<SHORT_NAME, 2>(hit, flags, span);
    }
}

/// An open record and `M` names in rooms of `N` bytes.
#[repr(C)]
struct OpenWith<const N: usize, const M: usize> {
    open: OpenRecord,
    names: [[u8; N]; M],
}

#[inline(always)]
fn emit_with<const N: usize, const M: usize>(hit: Hit, flags: u64, span: Span) {
    let Some(mut entry) = emit::reserve::<OpenWith<N, M>>() else { return };
    let record = entry.as_mut_ptr();
    let key = hit.file.inode().key();
    // SAFETY: the reservation is a whole record; names are written up to their NUL, where the agent stops reading.
    unsafe {
        (*record).open = OpenRecord {
            header: emit::header::<OpenWith<N, M>>(Kind::Open, 0, span),
            file: hit.file.0,
            opened: span.end,
            ino: key.ino,
            dev: key.dev,
            generation: key.generation,
            size: hit.size,
            mode: hit.mode,
            flags: flags as u32,
            root: hit.found.root.root,
            depth: hit.found.root.depth,
            role: hit.role,
            reserved: 0,
        };
        let mut dentry = hit.dentry;
        for room in &mut (*record).names {
            dentry.copy_name(room);
            dentry = dentry.parent();
        }
    }
    entry.submit(0);
}
