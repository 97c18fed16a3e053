//! System calls: what to remember at their entry, what to tell at their return.

mod clone;
mod data;
mod mapping;
mod open;
mod path;

use aya_ebpf::bindings::BPF_ANY;
use watchdog_common::Call;

pub(crate) use data::vector_bytes;
pub(crate) use open::{exit_compat as exit_compat_open, taken_by_io_uring};

use crate::{control, kernel, maps, registers::Registers, settings::setting, turn::Turn};

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
        Call::Mprotect => remember_entry(),
        Call::Munmap | Call::Mremap => {}
        Call::Ioctl if !clone::is_one(registers) => {}
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
        Call::Mprotect | Call::Munmap | Call::Mremap => mapping::changed(call, registers, result),
        _ => data::exit(call, registers, result),
    }
}

/// The slot of a thread. Thread ids are anybody's to choose, by making threads until one fits; the key is nobody's to
/// know, so nobody chooses whose slot to share.
#[inline(always)]
fn slot(thread: u64) -> u32 {
    let hash = u64::from(thread as u32).wrapping_mul(setting!(key) | 1);
    (hash >> (u64::BITS - maps::ENTRY_SLOT_BITS)) as u32
}

/// Notes when the running thread entered its call.
#[inline(always)]
pub(crate) fn remember_entry() {
    let thread = kernel::thread();
    let slot = slot(thread);
    if let Some(entry) = maps::ENTRIES.get_ptr_mut(slot) {
        // SAFETY: two threads that take one slot at the same moment may overwrite each other; `own_entry` tells.
        unsafe {
            let other = (*entry).thread;
            if other != thread && other != 0 {
                displace(slot.into());
            }
            *entry = maps::Entry { thread, at: kernel::now(), told: 0 };
        }
    }
}

/// An entry is of no use after so long: the call has returned, but for one that waits for something.
const ENTRY_LIFE: u64 = 60_000_000_000;

/// Moves the entry in a slot to where it is found by its thread.
///
/// A function of its own, with numbers alone for arguments, is verified once and not again wherever it is called.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn displace(slot: u64) -> u64 {
    let Some(entry) = maps::ENTRIES.get(slot as u32) else { return 0 };
    let entry = *entry;
    if kernel::now() - entry.at < ENTRY_LIFE {
        let _ = maps::DISPLACED.insert(&entry.thread, &entry, u64::from(BPF_ANY));
    }
    0
}

/// The entry of the running thread, wherever it is. `None` when it has none, or when it was overwritten.
#[inline(always)]
fn own_entry(thread: u64) -> Option<*mut maps::Entry> {
    let entry = maps::ENTRIES.get_ptr_mut(slot(thread))?;
    // SAFETY: an element of the array.
    if unsafe { (*entry).thread } == thread { Some(entry) } else { maps::DISPLACED.get_ptr_mut(&thread) }
}

/// Whether the other copy of the program has just told the running thread's call.
#[inline(always)]
fn is_told(turn: Turn) -> bool {
    let thread = kernel::thread();
    // Without an entry, both copies tell it: the same twice is better than nothing.
    let Some(entry) = own_entry(thread) else { return false };
    // SAFETY: the pointer came from the map and stays valid in this program.
    let entry = unsafe { &mut *entry };
    let is_second = entry.told != 0 && turn.is_second(entry.told);
    entry.told = if is_second { entry.told | turn as u64 } else { turn as u64 };
    is_second
}

/// When the running thread entered its call; `None` when that is not known.
#[inline(always)]
fn entered() -> Option<u64> {
    // SAFETY: the pointer came from the map and stays valid in this program.
    own_entry(kernel::thread()).map(|entry| unsafe { (*entry).at })
}

/// The same, once: what the thread does next is another call.
#[inline(always)]
pub(crate) fn take_entry() -> Option<u64> {
    let thread = kernel::thread();
    let entry = own_entry(thread)?;
    // SAFETY: the pointer came from the map and stays valid in this program.
    unsafe {
        let at = core::mem::take(&mut (*entry).at);
        (at != 0).then_some(at)
    }
}
