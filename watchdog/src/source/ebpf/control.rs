//! The agent's questions to its probes, see [`watchdog_common::Command`].

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};

use aya::maps::{Array, Map, MapData, MapError};
use watchdog_common::{COMMAND_MODE, Command, Identity, RootKey};

use super::plain::Plain;
use crate::model::OpenId;

/// How the probes hear the agent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Channel {
    /// Probes on system calls see the extra arguments of fsync.
    Fsync,
    /// Probes on VFS functions see a fallocate with a mode that does not exist.
    Fallocate,
}

/// Asks the probes.
pub(super) struct Control {
    channel: Channel,
    key: u64,
    identity: Array<MapData, Plain<Identity>>,
}

impl Control {
    pub(super) fn new(channel: Channel, key: u64, identity: Map) -> Result<Self, MapError> {
        Ok(Self { channel, key, identity: Array::try_from(identity)? })
    }

    /// Makes this process the agent, whose own accesses are not events.
    pub(super) fn hello(&self) {
        match (self.channel, File::open("/")) {
            // fallocate needs a descriptor, and any will do.
            (Channel::Fallocate, Ok(any)) => self.call(any.as_raw_fd(), Command::Hello, 0, 0),
            _ => self.call(-1, Command::Hello, 0, 0),
        }
    }

    /// A file's identity as the probes see it; `None` when they do not answer, which means that they do not fire.
    pub(super) fn identify(&self, file: &File) -> Option<RootKey> {
        let before = self.identity.get(&0, 0).ok()?.0;
        self.call(file.as_raw_fd(), Command::Identify, 0, 0);
        let after = self.identity.get(&0, 0).ok()?.0;
        (after.serial != before.serial).then_some(after.key)
    }

    /// Asks whether a description is gone; a release record comes if so.
    pub(super) fn poll(&self, open: OpenId) {
        self.call(-1, Command::Poll, open.file, open.opened);
    }

    fn call(&self, fd: RawFd, command: Command, first: u64, second: u64) {
        match self.channel {
            Channel::Fsync => self.call_fsync(fd, command, first, second),
            Channel::Fallocate => self.call_fallocate(fd, command),
        }
    }

    #[expect(unsafe_code, reason = "libc has no safe fsync with extra arguments")]
    fn call_fsync(&self, fd: RawFd, command: Command, first: u64, second: u64) {
        // SAFETY: fsync takes a descriptor and touches no memory of ours; the kernel ignores the rest. On -1 it
        // fails with EBADF, on a directory it does no harm.
        unsafe { libc::syscall(libc::SYS_fsync, fd, self.key, command as u64, first, second) };
    }

    #[expect(unsafe_code, reason = "libc has no safe fallocate")]
    fn call_fallocate(&self, fd: RawFd, command: Command) {
        let mode = COMMAND_MODE | command as u32;
        // SAFETY: fallocate takes a descriptor and touches no memory of ours, and the kernel refuses the mode.
        unsafe { libc::syscall(libc::SYS_fallocate, fd, mode, self.key, 1_u64) };
    }
}
