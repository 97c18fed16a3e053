//! Atomic addition, which core's atomics do not offer on this target.

use core::arch::asm;

/// Adds to a 64-bit word that other CPUs add to as well.
///
/// # Safety
///
/// `word` must be valid for reads and writes and aligned to 8 bytes.
#[inline(always)]
pub(crate) unsafe fn add(word: *mut u64, value: u64) {
    // SAFETY: see above. BPF_XADD without fetch is what every kernel with BPF knows.
    unsafe { asm!("lock *(u64 *)({word} + 0) += {value}", word = in(reg) word, value = in(reg) value) };
}
