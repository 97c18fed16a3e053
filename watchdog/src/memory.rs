//! Memory that was needed for a moment.

/// The bytes that every page size of Linux divides into whole pages (64 KiB on some arm64 kernels).
const PAGE: usize = 64 << 10;

// SAFETY: every linker gives these names, to the first byte of the program's file in memory and to the one behind its
// instructions. Only their addresses are used.
#[expect(unsafe_code, reason = "only the linker knows where the program lies")]
unsafe extern "C" {
    static __executable_start: u8;
    static etext: u8;
}

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

/// The same of the program's instructions: most served its start alone. Those in use come back at once, without a read.
pub fn let_go_of_the_start() {
    let (first, end) = (&raw const __executable_start, &raw const etext);
    #[expect(unsafe_code, reason = "the program as bytes")]
    // SAFETY: linkers place instructions, and constants where they come first, before everything that is ever written, what
    // the loader relocates included: all that lies between is mapped from the file, and only read.
    let program = unsafe { std::slice::from_raw_parts(first, end.addr().saturating_sub(first.addr())) };
    let_go(program);
}

/// Has all threads take from one heap. glibc gives each thread that meets another one a heap of its own, and what a worker needed
/// for a moment, to walk through a root, would be kept there for its next walk and nobody else.
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "libc has no safe mallopt")]
    // SAFETY: no preconditions; called before there are other threads.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
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
