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

/// The same under the process id of a child that was reaped before: pid reuse, without going round all the numbers.
///
/// Fails when somebody else has that number by now.
#[expect(unsafe_code, reason = "no library chooses process ids")]
pub(crate) fn fork_as(pid: Pid, work: impl FnOnce() -> u8) -> io::Result<Pid> {
    let wanted = pid.as_raw_nonzero().get();
    let arguments = CloneArguments {
        exit_signal: u64::from(libc::SIGCHLD.unsigned_abs()),
        set_tid: std::ptr::from_ref(&wanted) as u64,
        set_tid_size: 1,
        ..CloneArguments::default()
    };
    // SAFETY: without flags and stack, clone3 is fork; this program never starts a thread, so the child is a whole copy.
    match unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArguments>()) } {
        0 => std::process::exit(i32::from(work())),
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(pid),
    }
}

/// `struct clone_args` as Linux 5.5 has it, the first that takes a process id.
#[derive(Default)]
#[repr(C)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
}

/// Waits for a child to end.
pub(crate) fn reap(child: Option<Pid>) -> io::Result<Option<Pid>> {
    Ok(waitpid(child, WaitOptions::empty())?.map(|(pid, _)| pid))
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
