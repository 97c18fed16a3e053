//! Memory that was needed for a moment.

/// The bytes that every page size of Linux divides into whole pages (64 KiB on some arm64 kernels).
const PAGE: usize = 64 << 10;

/// Lets the kernel take back the pages of something that is part of the program's own file and was read: whoever reads it
/// again gets it from there again.
pub fn let_go(part: &'static [u8]) {
    let start = part.as_ptr().addr().next_multiple_of(PAGE);
    let end = (part.as_ptr().addr() + part.len()) / PAGE * PAGE;
    if start >= end {
        return;
    }
    #[expect(unsafe_code, reason = "libc has no safe madvise")]
    // SAFETY: the range lies within `part`, which is read-only memory of the program's file: it keeps its content.
    unsafe {
        let first = part.as_ptr().add(start - part.as_ptr().addr());
        libc::madvise(first.cast_mut().cast(), end - start, libc::MADV_DONTNEED);
    }
}

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
