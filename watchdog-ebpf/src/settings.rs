//! Globals: what the agent fixed at load, and the gate.

use core::{cell::UnsafeCell, ptr};

use watchdog_common::{CALL_TABLE_LEN, Call, Filter, Settings};

use crate::atomic;

/// A word that programs on all CPUs share.
#[repr(transparent)]
struct Word(UnsafeCell<u64>);

// SAFETY: it is only read as a whole, stored as a whole and added to atomically.
unsafe impl Sync for Word {}

impl Word {
    const ZERO: Self = Self(UnsafeCell::new(0));

    #[inline(always)]
    fn get(&self) -> u64 {
        // SAFETY: an aligned word that is always initialised.
        unsafe { self.0.get().read_volatile() }
    }

    #[inline(always)]
    fn set(&self, value: u64) {
        // SAFETY: an aligned word; a reader on another CPU sees the old or the new value.
        unsafe { self.0.get().write_volatile(value) };
    }

    #[inline(always)]
    fn add(&self, value: u64) {
        // SAFETY: an aligned word that is always initialised.
        unsafe { atomic::add(self.0.get(), value) };
    }
}

/// Set by the agent at load; lies in `.rodata`, which is frozen, so that the verifier knows each value.
#[unsafe(no_mangle)]
// SAFETY: plain integers, for which zeros are values.
static SETTINGS: Settings = unsafe { core::mem::zeroed() };

/// From system-call number to [`Call`], for the running architecture.
#[unsafe(no_mangle)]
static CALLS: [u8; CALL_TABLE_LEN] = [0; CALL_TABLE_LEN];

/// Numbers of a 32-bit program's calls that open files.
#[unsafe(no_mangle)]
static COMPAT_OPENS: [u8; CALL_TABLE_LEN] = [0; CALL_TABLE_LEN];

/// The agent's process, whose own accesses are not events.
#[unsafe(no_mangle)]
static AGENT: Word = Word::ZERO;

/// How many descriptions are tracked and how many of their operations are in flight. While it is 0, every call
/// on a description returns after one load. A section of its own makes it a map of its own, which the agent reads.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.gate")]
static GATE: Word = Word::ZERO;

/// What to look for at all; the agent replaces it when roots come and go.
#[repr(transparent)]
pub(crate) struct Sieve(UnsafeCell<Filter>);

// SAFETY: each member is read as a whole, and is right or a moment old.
unsafe impl Sync for Sieve {}

#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.filter")]
// SAFETY: plain integers, for which zeros are values.
static FILTER: Sieve = unsafe { core::mem::zeroed() };

/// One member of the filter.
macro_rules! filter {
    ($field:ident) => {
        // SAFETY: an aligned integer that is always initialised.
        unsafe { (&raw const (*$crate::settings::filter_address()).$field).read_volatile() }
    };
}
pub(crate) use filter;

#[inline(always)]
pub(crate) fn filter_address() -> *const Filter {
    FILTER.0.get()
}

/// How many descriptions that may matter are on their way through `do_dentry_open`, where its return does not show
/// them. While it is 0, such a return is left after one load.
#[unsafe(no_mangle)]
static OPENING: Word = Word::ZERO;

/// How many calls of VFS functions on tracked descriptions are under way. While it is 0, a thread that ends leaves none
/// behind.
#[unsafe(no_mangle)]
static OPERATING: Word = Word::ZERO;

/// Raised before each operation that may change a file's size or content, and after it: between two looks with the same
/// number, no operation began or ended.
#[unsafe(no_mangle)]
static MODIFICATIONS: Word = Word::ZERO;

/// One setting.
macro_rules! setting {
    ($($field:tt)+) => { $crate::settings::load(&$crate::settings::settings().$($field)+) };
}
pub(crate) use setting;

/// The static, whose zeros the agent replaces at load: to be read through [`load`] alone.
#[inline(always)]
pub(crate) fn settings() -> &'static Settings {
    &SETTINGS
}

/// Reads what the compiler would otherwise take for the zeros that it sees.
#[inline(always)]
pub(crate) fn load<T: Copy>(value: &'static T) -> T {
    // SAFETY: a reference is valid for reads.
    unsafe { ptr::read_volatile(value) }
}

/// The decoder for a system-call number; 0 when nobody looks at it.
#[inline(always)]
pub(crate) fn call(number: u64) -> u8 {
    if number >= CALL_TABLE_LEN as u64 {
        return 0;
    }
    // SAFETY: the index was checked; volatile because the agent replaces the table at load.
    unsafe { ptr::read_volatile((&raw const CALLS).cast::<u8>().add(number as usize)) }
}

/// True for a 32-bit program's call that opens a file.
#[inline(always)]
pub(crate) fn is_compat_open(number: u64) -> bool {
    // SAFETY: as in `call`.
    number < CALL_TABLE_LEN as u64
        && unsafe { ptr::read_volatile((&raw const COMPAT_OPENS).cast::<u8>().add(number as usize)) } != 0
}

/// True for an x32 program's call that opens a file: those that do have 64-bit programs' numbers.
#[inline(always)]
pub(crate) fn is_x32_open(number: u64) -> bool {
    let call = call(number);
    call >= Call::Open as u8 && call <= Call::Creat as u8
}

/// True for the agent's own calls.
#[inline(always)]
pub(crate) fn is_agent(pid: u32) -> bool {
    AGENT.get() == u64::from(pid)
}

/// Makes this process the agent.
#[inline(always)]
pub(crate) fn set_agent(pid: u32) {
    // SAFETY: an aligned word; a reader on another CPU sees the old or the new value.
    unsafe { AGENT.0.get().write_volatile(u64::from(pid)) };
}

/// True when the call concerns descriptions only and none is tracked.
#[inline(always)]
pub(crate) fn is_idle(call: u8) -> bool {
    Call::is_gated(call) && gate() == 0
}

/// How many descriptions and operations are followed.
#[inline(always)]
pub(crate) fn gate() -> u64 {
    GATE.get()
}

/// How many descriptions are on their way.
#[inline(always)]
pub(crate) fn opening() -> u64 {
    OPENING.get()
}

/// One more is.
#[inline(always)]
pub(crate) fn opening_up() {
    OPENING.add(1);
}

/// One less is.
#[inline(always)]
pub(crate) fn opening_down() {
    OPENING.add(u64::MAX);
}

/// How many calls of VFS functions are under way.
#[inline(always)]
pub(crate) fn operating() -> u64 {
    OPERATING.get()
}

/// One more is.
#[inline(always)]
pub(crate) fn operating_up() {
    OPERATING.add(1);
}

/// One less is.
#[inline(always)]
pub(crate) fn operating_down() {
    OPERATING.add(u64::MAX);
}

/// How often operations that modify files have begun or ended.
#[inline(always)]
pub(crate) fn modifications() -> u64 {
    MODIFICATIONS.get()
}

/// An operation that may modify a file begins, or has ended. To be called before the size is looked at for it.
#[inline(always)]
pub(crate) fn note_modification() {
    MODIFICATIONS.add(1);
}

/// 1 as soon as something was mapped that may become writable. While it is 0, mprotect and munmap are left after one load.
#[unsafe(no_mangle)]
static MAPPED: Word = Word::ZERO;

/// See [`MAPPED`].
#[inline(always)]
pub(crate) fn mapped() -> u64 {
    MAPPED.get()
}

/// See [`MAPPED`].
#[inline(always)]
pub(crate) fn set_mapped() {
    MAPPED.set(1);
}

/// 1 as soon as some state file has, or may have, further names. While nothing is [`aliased`], no open is compared by the file's own
/// identity.
#[unsafe(no_mangle)]
static LINKED: Word = Word::ZERO;

/// See [`LINKED`].
#[inline(always)]
pub(crate) fn is_linked() -> bool {
    LINKED.get() != 0
}

/// See [`LINKED`].
#[inline(always)]
pub(crate) fn set_linked() {
    LINKED.set(1);
}

/// The [`alias_bit`] of each file that the agent found behind a state file's name. Its one thread sets them, so none is lost.
#[unsafe(no_mangle)]
static ADOPTED: Word = Word::ZERO;

/// Whether a file with this inode number may be one of those.
#[inline(always)]
pub(crate) fn may_be_adopted(ino: u64) -> bool {
    ADOPTED.get() & alias_bit(ino) != 0
}

/// See [`ADOPTED`].
#[inline(always)]
pub(crate) fn set_adopted(ino: u64) {
    ADOPTED.set(ADOPTED.get() | alias_bit(ino));
}

#[inline(always)]
fn alias_bit(ino: u64) -> u64 {
    1 << (ino.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58)
}

/// Whether some state file may be met under another name.
#[inline(always)]
pub(crate) fn aliased() -> bool {
    LINKED.get() | ADOPTED.get() != 0
}

/// Opens the gate by one.
#[inline(always)]
pub(crate) fn gate_up() {
    GATE.add(1);
}

/// Closes the gate by one.
#[inline(always)]
pub(crate) fn gate_down() {
    GATE.add(u64::MAX);
}
