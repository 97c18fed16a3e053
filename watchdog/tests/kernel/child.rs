//! The process in which a case's system calls are made: the source does not see those of its own.

use std::any::Any;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::call;

/// A child may take so many seconds, then it is ended by SIGALRM.
const DEADLINE: libc::time_t = 30;

/// What the child tells.
#[derive(Debug)]
pub(crate) enum Message {
    /// It stands at a checkpoint and waits for [`Child::go_on`].
    Checkpoint,
    /// It came to its end, or ended otherwise, with this status of wait(2).
    Ended(i32),
}

/// The child, as its parent sees it.
pub(crate) struct Child {
    pub(crate) pid: libc::pid_t,
    said: PipeReader,
    answer: PipeWriter,
}

/// The parent, as the child sees it.
pub(crate) struct Parent {
    say: PipeWriter,
    answered: PipeReader,
}

impl Parent {
    /// Waits until the parent has taken everything that the source has, and has asked it which descriptions are gone.
    pub(crate) fn checkpoint(&self) {
        (&self.say).write_all(b"c").unwrap();
        (&self.answered).read_exact(&mut [0]).unwrap();
    }
}

/// Runs `body` in a process of its own.
pub(crate) fn start(body: impl FnOnce(&Parent)) -> Child {
    let ((said, say), (answered, answer)) = (pipe().unwrap(), pipe().unwrap());
    let pid = call::fork();
    if pid == 0 {
        drop((said, answer));
        let parent = Parent { say, answered };
        let deadline = libc::timeval { tv_sec: DEADLINE, tv_usec: 0 };
        let timer =
            libc::itimerval { it_value: deadline, it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 } };
        call::sys!(SYS_setitimer, libc::ITIMER_REAL, &raw const timer, 0);
        let result = catch_unwind(AssertUnwindSafe(|| body(&parent)));
        if let Err(panic) = result {
            let _ = write!(&parent.say, "f{}", text(&*panic));
            call::exit(101);
        }
        call::exit(0);
    }
    Child { pid, said, answer }
}

impl Child {
    /// Waits for its next message.
    pub(crate) fn listen(&mut self) -> Message {
        let mut kind = [0];
        match self.said.read(&mut kind).unwrap() {
            0 => {
                let status = call::wait(self.pid);
                let is_late = libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGALRM;
                assert!(!is_late, "the system calls did not end within {DEADLINE} s");
                Message::Ended(status)
            }
            _ if kind == *b"c" => Message::Checkpoint,
            _ => {
                let mut why = String::new();
                self.said.read_to_string(&mut why).unwrap();
                call::wait(self.pid);
                panic!("the system calls did not go as meant: {why}");
            }
        }
    }

    /// Answers a checkpoint.
    pub(crate) fn go_on(&mut self) {
        self.answer.write_all(b"g").unwrap();
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic")
}
