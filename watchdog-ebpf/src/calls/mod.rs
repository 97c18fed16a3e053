//! System calls: what to remember at their entry, what to tell at their return.

mod data;
mod open;
mod path;

use watchdog_common::Call;

pub(crate) use data::vector_bytes;
pub(crate) use open::exit_compat as exit_compat_open;

use crate::{control, kernel, maps, registers::Registers, turn::Turn};

/// A call that matters was entered.
#[inline(always)]
pub(crate) fn enter(call: u8, registers: Registers, turn: Turn) {
    let Some(call) = Call::from_u8(call) else { return };
    match call {
        Call::Open
        | Call::Openat
        | Call::Openat2
        | Call::Creat
        | Call::Truncate
        | Call::Rename
        | Call::Renameat
        | Call::Renameat2
        | Call::Link
        | Call::Linkat
        | Call::Unlink
        | Call::Unlinkat => remember_entry(),
        Call::Fsync if control::run(registers) => {}
        _ => data::enter(call, registers, turn),
    }
}

/// A call that matters returned.
#[inline(always)]
pub(crate) fn exit(call: u8, registers: Registers, result: i64, turn: Turn) {
    let Some(call) = Call::from_u8(call) else { return };
    match call {
        Call::Open | Call::Openat | Call::Openat2 | Call::Creat => open::exit(call, registers, result, turn),
        Call::Truncate
        | Call::Rename
        | Call::Renameat
        | Call::Renameat2
        | Call::Link
        | Call::Linkat
        | Call::Unlink
        | Call::Unlinkat => path::exit(call, registers, result, turn),
        _ => data::exit(call, registers, result),
    }
}

#[inline(always)]
fn slot(thread: u64) -> u32 {
    thread as u32 & (maps::ENTRY_SLOTS - 1)
}

/// Notes when the running thread entered its call.
#[inline(always)]
pub(crate) fn remember_entry() {
    let thread = kernel::thread();
    if let Some(entry) = maps::ENTRIES.get_ptr_mut(slot(thread)) {
        // SAFETY: threads that share a slot may overwrite each other; `entered` tells.
        unsafe { *entry = maps::Entry { thread, at: kernel::now(), told: 0 } };
    }
}

/// Whether the other copy of the program has just told the running thread's call.
#[inline(always)]
fn is_told(turn: Turn) -> bool {
    let thread = kernel::thread();
    let Some(entry) = maps::ENTRIES.get_ptr_mut(slot(thread)) else { return false };
    // SAFETY: as in `remember_entry`.
    let entry = unsafe { &mut *entry };
    if entry.thread != thread {
        // Another thread took the slot, and its call becomes the one without an entry.
        *entry = maps::Entry { thread, at: 0, told: turn as u64 };
        return false;
    }
    let is_second = entry.told != 0 && turn.is_second(entry.told);
    entry.told = if is_second { entry.told | turn as u64 } else { turn as u64 };
    is_second
}

/// When the running thread entered its call; `None` when another thread took its slot.
#[inline(always)]
fn entered() -> Option<u64> {
    let thread = kernel::thread();
    let entry = maps::ENTRIES.get(slot(thread))?;
    (entry.thread == thread).then_some(entry.at)
}

/// The same, once: what the thread does next is another call.
#[inline(always)]
pub(crate) fn take_entry() -> Option<u64> {
    let at = entered()?;
    if let Some(entry) = maps::ENTRIES.get_ptr_mut(slot(kernel::thread())) {
        // SAFETY: as in `remember_entry`.
        unsafe { (*entry).thread = 0 };
    }
    Some(at)
}
