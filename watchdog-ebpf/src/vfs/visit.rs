//! A call that comes through a door.
//!
//! A filesystem that is stacked on another calls the same functions again, for the file below, in the midst of its
//! own. Calls of one thread are told apart by where they stand on its stack.

use aya_ebpf::{
    EbpfContext as _,
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};

use crate::{kernel, settings::setting, turn::Turn};

#[derive(Clone, Copy)]
pub(super) struct Visit {
    pub(super) turn: Turn,
    context: u64,
    door: Make,
}

#[derive(Clone, Copy)]
enum Make {
    /// fentry and fexit get the same context, on the stack of the trampoline that calls the function between them.
    Tracing,
    /// The stack ends with the address to return to.
    Entry,
    /// That address has been taken from the stack, where a call leaves it there.
    Return,
}

/// From the trampoline's copy of the arguments up to the address to return to there are the arguments, the result
/// and what is saved for two calls (`arch_prepare_bpf_trampoline`, 5.10 to 7.2): at most 112 bytes. A call within the
/// call lies further down than that, because the trampoline stands on the stack as well.
const TRAMPOLINE: u64 = 128;

impl Visit {
    #[inline(always)]
    pub(super) fn entry(context: &FEntryContext, turn: Turn) -> Self {
        Self { turn, context: context.as_ptr() as u64, door: Make::Tracing }
    }

    #[inline(always)]
    pub(super) fn exit(context: &FExitContext, turn: Turn) -> Self {
        Self { turn, context: context.as_ptr() as u64, door: Make::Tracing }
    }

    #[inline(always)]
    pub(super) fn probe(context: &ProbeContext) -> Self {
        Self { turn: Turn::One, context: context.as_ptr() as u64, door: Make::Entry }
    }

    #[inline(always)]
    pub(super) fn return_probe(context: &RetProbeContext) -> Self {
        Self { turn: Turn::One, context: context.as_ptr() as u64, door: Make::Return }
    }

    /// Where the call stands on the stack, which grows down. Two doors of one make see the same.
    #[inline(always)]
    pub(super) fn frame(self) -> u64 {
        let stack = || kernel::read::<u64>(self.context, setting!(registers.stack));
        match self.door {
            // The address as a mere number: 5.10 stores no other in maps (`check_stack_boundary`).
            Make::Tracing => kernel::at(&raw const self.context as u64),
            Make::Entry => stack(),
            Make::Return => stack() - u64::from(setting!(registers.return_address)),
        }
    }

    /// Whether it is the return of the call that was entered at `frame`, be it through a door of another make.
    #[inline(always)]
    pub(super) fn ends(self, frame: u64) -> bool {
        let room = match self.door {
            Make::Tracing => TRAMPOLINE,
            Make::Entry | Make::Return => 0,
        };
        frame.wrapping_sub(self.frame()) <= room
    }
}
