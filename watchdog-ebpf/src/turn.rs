//! A program that is attached twice.
//!
//! Where the kernel itself can be preempted, a tracing program does not run for a thread while another thread is
//! preempted in it on the same CPU (`prog->active`, `bpf_prog_get_recursion_context`, 6.1 to 7.2; disabling preemption
//! within the program does not help, because enabling it again is where the thread is put aside). A second copy of
//! the same program is another program to the kernel: what one copy is not run for, the other is. Where both run,
//! the second to come finds the first one's work and leaves it.

/// Which copy runs.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Turn {
    One = 1,
    Other = 2,
}

impl Turn {
    /// Whether the other copy has done this call's work. `done` is what stands with the work: who did it and who knows
    /// of it. A copy that knows of it already finds what an earlier call has left behind.
    #[inline(always)]
    pub(crate) fn is_second(self, done: u64) -> bool {
        done & self as u64 == 0
    }
}
