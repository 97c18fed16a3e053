//! What a system call was given.

use aya_ebpf::helpers::generated;

use crate::{kernel, settings::setting};

/// The caller's registers, as the tracepoint's `struct pt_regs *` argument shows them.
#[derive(Clone, Copy)]
pub(crate) struct Registers(*const u8);

impl Registers {
    #[inline(always)]
    pub(crate) fn new(regs: *const u8) -> Self {
        Self(regs)
    }

    /// Those that the running thread entered the kernel with.
    #[inline(always)]
    pub(crate) fn of_task() -> Self {
        // SAFETY: the helpers have no preconditions; the kernel was entered with registers.
        Self(unsafe { generated::bpf_task_pt_regs(generated::bpf_get_current_task_btf()) } as *const u8)
    }

    /// The system call's number; also right at its return. x86-64 keeps it in 64 bits, of which the low half
    /// suffices, arm64 in 32.
    #[inline(always)]
    pub(crate) fn number(self) -> u64 {
        u64::from(self.read::<u32>(setting!(registers.number)))
    }

    /// True for a 32-bit call, whose numbers and arguments mean something else. On x86-64 a 64-bit program can make one too
    /// (`int 0x80`): `TS_COMPAT` is set from the call's entry until after the tracepoint at its return, 5.10 to 7.2.
    #[inline(always)]
    pub(crate) fn is_compat(self) -> bool {
        let mask = setting!(registers.status_compat);
        if mask != 0 {
            return kernel::read::<u32>(kernel::task(), setting!(offsets.task_status)) & mask != 0;
        }
        // `cs` is 16 bits wide from 6.9 on, and no other bit of it counted before.
        let mode = self.read::<u16>(setting!(registers.mode));
        u32::from(mode) & setting!(registers.mode_mask) == setting!(registers.mode_compat)
    }

    /// Argument `n`; at the call's return too.
    #[inline(always)]
    pub(crate) fn argument(self, n: usize) -> u64 {
        self.read::<u64>(setting!(registers.arguments[n]))
    }

    #[inline(always)]
    fn read<T>(self, offset: u32) -> T {
        // SAFETY: a typed kernel pointer plus a constant from BTF: the verifier checks that a member lies there and
        // turns the load into one that survives a fault.
        unsafe { self.0.add(offset as usize).cast::<T>().read_volatile() }
    }
}
