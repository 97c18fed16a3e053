//! What every command does before anything else, and by what state-watchdogs know each other.

use std::ffi::CString;

/// The name of the process, and the beginning of the name of each of our threads that reads state files, whatever the
/// program's file is called. Agents know each other by it: see [`is_watchdog`].
pub const PROCESS_NAME: &str = "state-watchdog";

/// Lets the process live on where a write meets a limit, and gives it its name.
pub fn prepare() {
    // A file that reached its size limit (`RLIMIT_FSIZE`) is reported by the write that fails then, as a full disk is.
    #[expect(unsafe_code, reason = "the standard library ignores no signal but SIGPIPE")]
    // SAFETY: to ignore a signal runs no code of ours.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
    if let Ok(name) = CString::new(PROCESS_NAME) {
        // Without it, other agents take our reads for somebody's; there is nothing else to be done.
        let _ = rustix::thread::set_name(&name);
    }
}

/// True for the name of a thread of some state-watchdog, this one or another.
///
/// Who takes this name on purpose hides its own reads from agents and nothing else: what it writes is reported, and so is
/// everybody who reads it.
#[must_use]
pub fn is_watchdog(comm: &[u8]) -> bool {
    comm.starts_with(PROCESS_NAME.as_bytes())
}
