//! Whether a thread can be preempted while the kernel works for it.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// Where the kernel says which of its preemption models runs.
const FILE: &str = "/sys/kernel/debug/sched/preempt";

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preemption {
    /// The kernel says that it can be.
    Possible,
    /// The kernel says that it cannot be, or does not say: the programs' misses will tell.
    Unsaid,
}

/// Asks the kernel.
pub(super) fn ask() -> Preemption {
    let said = fs::read_to_string(FILE).ok().or_else(read_detached);
    said.map_or(Preemption::Unsaid, |said| model(&said))
}

/// The model in brackets counts: `none voluntary (full)`, `full (lazy)`.
fn model(said: &str) -> Preemption {
    match said.split_once('(').and_then(|(_, rest)| rest.split_once(')')) {
        Some(("full" | "lazy", _)) => Preemption::Possible,
        _ => Preemption::Unsaid,
    }
}

/// Reads it from an instance of debugfs that is mounted nowhere, for where there is none to be seen.
#[expect(unsafe_code, reason = "libc has no functions for these calls")]
fn read_detached() -> Option<String> {
    const CREATE: libc::c_uint = 6;
    const CLOSE: libc::c_uint = 1;
    let owned = |fd: libc::c_long| {
        let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
        // SAFETY: the kernel has just made it, and nobody else knows of it.
        Some(unsafe { OwnedFd::from_raw_fd(fd) })
    };
    // SAFETY: the name is a string; nothing else is memory of ours.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, c"debugfs".as_ptr(), CLOSE) })?;
    let none = std::ptr::null::<u8>();
    // SAFETY: this command takes neither key nor value.
    if unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), CREATE, none, none, 0) } != 0 {
        return None;
    }
    // SAFETY: descriptors and numbers alone.
    let mount = owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOSE, 0) })?;
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the path is a string.
    let file = unsafe { libc::openat(mount.as_raw_fd(), c"sched/preempt".as_ptr(), flags) };
    let mut said = String::new();
    File::from(owned(libc::c_long::from(file))?).take(256).read_to_string(&mut said).ok()?;
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_in_brackets_counts() {
        assert_eq!(model("full (lazy) \n"), Preemption::Possible);
        assert_eq!(model("none voluntary (full) \n"), Preemption::Possible);
        assert_eq!(model("none (voluntary) full \n"), Preemption::Unsaid);
        assert_eq!(model("(none) voluntary full \n"), Preemption::Unsaid);
        assert_eq!(model("(undef"), Preemption::Unsaid);
    }
}
