//! How the agent talks to the probes.
//!
//! Those on system calls hear `fsync(-1, key, command, argument, fd)`: the kernel's fsync reads its first
//! argument alone and refuses it; the probe on it sees the rest. Those on VFS functions hear `fallocate(fd, COMMAND_MODE | command,
//! key, argument)`, a mode that no filesystem knows and the kernel refuses, from `vfs_fallocate`.
//! This makes the probes
//! themselves measure a directory's identity or a description's life, with the ruler that they use for events, at
//! a moment of the agent's choosing, without a program type that older kernels or lockdown lack.

/// A bit that no mode of fallocate has (include/uapi/linux/falloc.h, 5.10 to 7.2).
pub const COMMAND_MODE: u32 = 1 << 30;

/// What the agent asks. The key is a random number made at load; calls with another one are ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Command {
    /// This process is the agent: its own accesses are not events.
    Hello = 1,
    /// Write the identity of `fd`'s file into the `IDENTITY` map.
    Identify = 2,
    /// Answer with the description that is tracked at address `argument`, see [`Answer`](crate::Answer). One that is
    /// gone is not tracked any more afterwards, and a release record comes.
    Poll = 3,
    /// Report the open of the description at address `argument` once more, if its record found no room in the ring. To be
    /// asked for after [`Command::Poll`], which finds those that are gone.
    Report = 4,
    /// Track the description behind `fd`, which the process `argument` opened before the probes were there: an open record
    /// comes, in that process's name.
    Track = 8,
    /// The file behind `fd` is a state file below the root `argument`, by whatever name it is opened.
    Adopt = 9,
}

impl Command {
    /// The command with this number.
    #[inline(always)]
    #[must_use]
    pub const fn from_u64(value: u64) -> Option<Self> {
        match value {
            1 => Some(Self::Hello),
            2 => Some(Self::Identify),
            3 => Some(Self::Poll),
            4 => Some(Self::Report),
            8 => Some(Self::Track),
            9 => Some(Self::Adopt),
            _ => None,
        }
    }

    /// Whether it is about what stands behind a descriptor; its argument has 32 bits then.
    #[inline(always)]
    #[must_use]
    pub const fn is_about_a_descriptor(self) -> bool {
        matches!(self, Self::Identify | Self::Track | Self::Adopt)
    }
}

/// A descriptor in the upper half of an argument.
#[must_use]
pub const fn descriptor_argument(fd: i32) -> u64 {
    (fd as u32 as u64) << 32
}

/// Both halves of such an argument: the descriptor, and the rest.
#[inline(always)]
#[must_use]
pub const fn split_argument(argument: u64) -> (i32, u64) {
    ((argument >> 32) as i32, argument & 0xffff_ffff)
}
