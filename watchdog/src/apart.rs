//! A command in a process of its own, which the caller leaves behind where the kernel does not let it end.
//!
//! A thread that waits for a request of a file system whose server has read and not answered it cannot be killed
//! (`request_wait_answer` of fs/fuse/dev.c, 5.10 to 7.2), and the kernel keeps its process as long. Nobody else should wait.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd;
use std::process::exit;

use rustix::process::{Pid, Signal, WaitOptions, set_parent_process_death_signal, waitpid};

use crate::exit::Exit;

/// Runs a command that prints its answer, and returns the number that it ends with as soon as it is done. Where no process
/// can be made, it runs in this one. Must be called before there is a second thread.
pub fn apart(command: impl FnOnce() -> Exit) -> u8 {
    let Ok((mut done, says)) = std::io::pipe() else { return command().code() };
    #[expect(unsafe_code, reason = "the standard library does not fork")]
    // SAFETY: this process has one thread, so the child finds every lock free.
    let child = unsafe { libc::fork() };
    match child {
        -1 => command().code(),
        0 => {
            drop(done);
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            let code = command().code();
            leave_outputs();
            let _ = (&says).write_all(&[code]);
            exit(code.into())
        }
        _ => {
            drop(says);
            let mut code = [0];
            if done.read_exact(&mut code).is_ok() {
                return code[0];
            }
            // It ended before it was done.
            let status = Pid::from_raw(child).map(|child| waitpid(Some(child), WaitOptions::empty()));
            let status = status.and_then(|status| status.ok().flatten());
            let code = status.and_then(|(_, status)| status.exit_status());
            code.and_then(|code| u8::try_from(code).ok()).unwrap_or(Exit::Internal.code())
        }
    }
}

/// Whoever reads what was printed does not wait for this process.
fn leave_outputs() {
    let Ok(nothing) = File::options().read(true).write(true).open("/dev/null") else { return };
    let _ = rustix::stdio::dup2_stdin(nothing.as_fd());
    let _ = rustix::stdio::dup2_stdout(nothing.as_fd());
    let _ = rustix::stdio::dup2_stderr(nothing.as_fd());
}
