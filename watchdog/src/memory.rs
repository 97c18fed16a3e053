//! Memory that was needed for a moment.

/// Gives free pages back to the kernel. glibc keeps them after a burst, and the agent's bursts are rare and large: type
/// information at the start, an event storm later.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "libc has no safe malloc_trim")]
    // SAFETY: no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}
