//! Mappings that are not writable yet and may become so: mprotect names an address alone, so what was mapped there is
//! remembered by address space.

use aya_ebpf::bindings::BPF_ANY;
use watchdog_common::{Call, IoKind, SHARED_MAPPING, UNKNOWN};

use super::entered;
use crate::{
    emit::{self, Io, Span},
    files,
    kernel::{self, FMODE_WRITE, File, read},
    maps::{End, MAPPINGS, Mapping, Mappings},
    process,
    registers::Registers,
    settings::{self, setting},
};

/// include/uapi/asm-generic/mman-common.h.
const PROT_READ: u64 = 1;
const PROT_WRITE: u64 = 2;

/// Remembers a shared mapping that mprotect may make writable: one of a description that is open for writing.
#[inline(always)]
pub(super) fn remember(registers: Registers, address: u64, end: End) {
    if registers.argument(2) & PROT_WRITE == 0 && File(end.file).mode() & FMODE_WRITE != 0 {
        remember_mapping(address, registers.argument(1), end.file, end.opened);
    }
}

/// A function of its own, with numbers alone for arguments, is verified once and its stack is not the caller's.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn remember_mapping(start: u64, length: u64, file: u64, opened: u64) -> u64 {
    settings::set_mapped();
    let mapping = Mapping { start, end: start.saturating_add(length), file, opened };
    let space: u64 = read(kernel::task(), setting!(offsets.task_mm));
    let Some(mappings) = MAPPINGS.get_ptr_mut(&space) else {
        let first = Mappings([mapping, Mapping::NONE]);
        let _ = MAPPINGS.insert(&space, &first, u64::from(BPF_ANY));
        return 0;
    };
    // SAFETY: the pointer came from the map and stays valid in this program. Two threads that take the same slot at the same
    // moment leave one.
    let slots = unsafe { &mut (*mappings).0 };
    for slot in slots.iter_mut() {
        if slot.file == 0 || slot.start == start {
            *slot = mapping;
            return 0;
        }
    }
    slots[0] = mapping;
    0
}

/// mprotect, munmap or mremap returned.
#[inline(always)]
pub(super) fn changed(call: Call, registers: Registers, result: i64) {
    if settings::mapped() == 0 || result < 0 {
        return;
    }
    let (start, length) = (registers.argument(0), registers.argument(1));
    match call {
        Call::Mprotect if registers.argument(2) & PROT_WRITE != 0 => {
            let now = kernel::now();
            let span = Span { start: entered().unwrap_or(now), end: now };
            let task = kernel::task();
            let space: u64 = read(task, setting!(offsets.task_mm));
            if made_writable(space, start, length, span.start) == 0 {
                // A child has the mappings that its parent had.
                let parent: u64 = read(task, setting!(offsets.task_real_parent));
                let space: u64 = read(parent, setting!(offsets.task_mm));
                let _ = made_writable(space, start, length, span.start);
            }
        }
        Call::Munmap => {
            let _ = moved(start, length, 0, 0);
        }
        Call::Mremap => {
            let _ = moved(start, length, result as u64, registers.argument(2));
        }
        _ => {}
    }
}

/// Reports that a remembered mapping in the range became writable; 0 when there is none. See [`remember_mapping`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn made_writable(space: u64, start: u64, length: u64, since: u64) -> u64 {
    let Some(mappings) = MAPPINGS.get_ptr(&space) else { return 0 };
    let end = start.saturating_add(length);
    let (mut file, mut opened) = (0, 0);
    // SAFETY: as in `remember_mapping`.
    for mapping in unsafe { &(*mappings).0 } {
        if mapping.start < end && start < mapping.end {
            (file, opened) = (mapping.file, mapping.opened);
        }
    }
    if file == 0 || !files::is_tracked_since(File(file), opened) {
        return 0;
    }
    let span = Span { start: since, end: kernel::now() };
    process::introduce(span);
    let io = Io {
        file,
        opened,
        offset: UNKNOWN,
        requested: UNKNOWN,
        result: 0,
        size_before: UNKNOWN,
        size: UNKNOWN,
        extra: PROT_READ | PROT_WRITE | SHARED_MAPPING,
    };
    emit::io(IoKind::Map, span, io);
    1
}

/// What was mapped in the range is now elsewhere, or nowhere when `to` is 0. See [`remember_mapping`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn moved(start: u64, length: u64, to: u64, new_length: u64) -> u64 {
    let space: u64 = read(kernel::task(), setting!(offsets.task_mm));
    let Some(mappings) = MAPPINGS.get_ptr_mut(&space) else { return 0 };
    let end = start.saturating_add(length);
    // SAFETY: as in `remember_mapping`.
    for mapping in unsafe { &mut (*mappings).0 } {
        if mapping.start >= start && mapping.end <= end {
            if to == 0 {
                mapping.file = 0;
            }
            mapping.start = to;
            mapping.end = to.saturating_add(new_length);
        }
    }
    0
}
