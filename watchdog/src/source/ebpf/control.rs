//! The agent's questions to its probes, see [`watchdog_common::Command`].

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};

use aya::maps::{Array, Map, MapData, MapError};
use watchdog_common::{Answer, COMMAND_MODE, Command, Identity, RootKey, descriptor_argument};

use super::plain::Plain;
use super::words::Words;

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
    answers: Words,
    /// fallocate needs a descriptor, and any will do.
    any: Option<File>,
}

impl Control {
    pub(super) fn new(channel: Channel, key: u64, identity: Map, answers: Words) -> Result<Self, MapError> {
        let any = File::open("/").ok();
        Ok(Self { channel, key, identity: Array::try_from(identity)?, answers, any })
    }

    /// Makes this process the agent, whose own accesses are not events.
    pub(super) fn hello(&self) {
        self.call(-1, Command::Hello, 0);
    }

    /// A file's identity as the probes see it; `None` when they do not answer, which means that they do not fire.
    pub(super) fn identify(&self, file: &File) -> Option<RootKey> {
        Some(self.look(file)?.key)
    }

    /// The same, and whether its name and directory make it a state or lock file.
    pub(super) fn look(&self, file: &File) -> Option<Identity> {
        let before = self.identity.get(&0, 0).ok()?.0;
        self.call(file.as_raw_fd(), Command::Identify, 0);
        let after = self.identity.get(&0, 0).ok()?.0;
        (after.serial != before.serial).then_some(after)
    }

    /// Has a description tracked that was opened when nobody looked.
    pub(super) fn track(&self, file: &File, holder: u32) {
        self.call(file.as_raw_fd(), Command::Track, holder.into());
    }

    /// Has a file taken for a state file below the root, by whatever name it is opened.
    pub(super) fn adopt(&self, file: &File, root: u16) {
        self.call(file.as_raw_fd(), Command::Adopt, root.into());
    }

    /// When the description was opened that is tracked at the address of a `struct file`, 0 for none. One that is gone
    /// is not tracked any more, and its release record comes. `None` when the probes do not answer.
    pub(super) fn poll(&self, file: u64) -> Option<u64> {
        let before = self.answers.get(Answer::Serial as u32);
        self.call(-1, Command::Poll, file);
        let is_answered = self.answers.get(Answer::Serial as u32) != before;
        is_answered.then(|| self.answers.get(Answer::Opened as u32))
    }

    /// How often an open's record found no room in the ring, although the description is tracked.
    pub(super) fn unreported(&self) -> u64 {
        self.answers.get(Answer::Unreported as u32)
    }

    /// Has such a description reported once more.
    pub(super) fn report(&self, file: u64) {
        self.call(-1, Command::Report, file);
    }

    fn any_descriptor(&self) -> RawFd {
        self.any.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    fn call(&self, fd: RawFd, command: Command, argument: u64) {
        match self.channel {
            Channel::Fsync => self.call_fsync(fd, command, argument),
            Channel::Fallocate => {
                // The kernel takes no descriptor of O_PATH there, so it gets another one, and the probe this one.
                let about = if command.is_about_a_descriptor() { descriptor_argument(fd) } else { 0 };
                self.call_fallocate(command, argument | about);
            }
        }
    }

    #[expect(unsafe_code, reason = "libc has no safe fsync with extra arguments")]
    fn call_fsync(&self, fd: RawFd, command: Command, argument: u64) {
        // SAFETY: fsync takes a descriptor and touches no memory of ours; the kernel ignores the rest. On -1 it fails with
        // EBADF, so nothing is written out.
        unsafe { libc::syscall(libc::SYS_fsync, -1, self.key, command as u64, argument, fd) };
    }

    #[expect(unsafe_code, reason = "libc has no safe fallocate")]
    fn call_fallocate(&self, command: Command, argument: u64) {
        let mode = COMMAND_MODE | command as u32;
        // SAFETY: fallocate takes a descriptor and touches no memory of ours, and the kernel refuses the mode.
        unsafe { libc::syscall(libc::SYS_fallocate, self.any_descriptor(), mode, self.key, argument) };
    }
}
