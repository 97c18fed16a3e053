//! A child without a new program: as cheap as a separate process gets.

use std::io;

use rustix::process::{Pid, WaitOptions, waitpid};

/// Starts a process that does `work`, then ends with its result as exit status.
///
/// The caller must have a single thread: only that one goes on in the child.
#[expect(unsafe_code, reason = "the standard library starts programs, not processes")]
pub(crate) fn fork(work: impl FnOnce() -> u8) -> io::Result<Pid> {
    // SAFETY: this program never starts a thread, so the child is a whole copy of it.
    match unsafe { libc::fork() } {
        0 => std::process::exit(i32::from(work())),
        child => Pid::from_raw(child).filter(|_| child > 0).ok_or_else(io::Error::last_os_error),
    }
}

/// Waits for a child to end.
pub(crate) fn reap(child: Option<Pid>) -> io::Result<()> {
    waitpid(child, WaitOptions::empty())?;
    Ok(())
}

/// Gives this process the name under which others see it.
pub(crate) fn rename(name: &std::ffi::CStr) {
    // A process that cannot be renamed still does its work under the old name.
    let _ = rustix::thread::set_name(name);
}

/// Nanoseconds since boot.
pub(crate) fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
