//! The process in which a case's system calls are made: the source does not see those of its own.

use std::any::Any;
use std::fmt::Write as _;
use std::fs;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::AsRawFd as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::call;

/// A child may take so long.
const DEADLINE: Duration = Duration::from_secs(60);

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
    deadline: Instant,
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
        call::sys!(SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        let result = catch_unwind(AssertUnwindSafe(|| body(&parent)));
        if let Err(panic) = result {
            let _ = write!(&parent.say, "f{}", text(&*panic));
            call::exit(101);
        }
        call::exit(0);
    }
    Child { pid, said, answer, deadline: Instant::now() + DEADLINE }
}

impl Child {
    /// Waits for its next message.
    pub(crate) fn listen(&mut self) -> Message {
        self.expect_word();
        let mut kind = [0];
        match self.said.read(&mut kind).unwrap() {
            0 => Message::Ended(call::wait(self.pid)),
            _ if kind == *b"c" => Message::Checkpoint,
            _ => {
                let mut why = String::new();
                self.said.read_to_string(&mut why).unwrap();
                call::wait(self.pid);
                panic!("the system calls did not go as meant: {why}");
            }
        }
    }

    /// Waits until there is something to read. When nothing comes, tells where the child hangs, and ends it.
    fn expect_word(&self) {
        let mut word = libc::pollfd { fd: self.said.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let left = self.deadline.saturating_duration_since(Instant::now());
        let left = libc::timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        if call::sys!(SYS_ppoll, &raw mut word, 1, &raw const left, 0, 0) > 0 {
            return;
        }
        let mut whereabouts = String::new();
        let all = family(self.pid);
        for &pid in &all {
            tell_threads(pid, &mut whereabouts);
        }
        for &pid in &all {
            let _ = call::tried!(SYS_kill, pid, libc::SIGKILL);
        }
        // Who does not end by that may never do so, and is not waited for.
        panic!("the system calls did not end in time:\n{whereabouts}");
    }

    /// Answers a checkpoint.
    pub(crate) fn go_on(&mut self) {
        self.answer.write_all(b"g").unwrap();
    }
}

/// The process and those that came from it, its own children first.
fn family(pid: libc::pid_t) -> Vec<libc::pid_t> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(&pid) = all.get(next) {
        let children = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(children).unwrap_or_default();
        all.extend(children.split_whitespace().map(|child| child.parse::<libc::pid_t>().unwrap()));
        next += 1;
    }
    all
}

/// Where each thread of the process is, those of io_uring included. What the kernel does not tell is left out.
fn tell_threads(pid: libc::pid_t, out: &mut String) {
    for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let read = |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        let status = read("status");
        let state = status.lines().find(|line| line.starts_with("State:")).unwrap_or_default();
        let (name, thread) = (read("comm"), thread.file_name());
        let (place, call, stack) = (read("wchan"), read("syscall"), read("stack"));
        let (name, thread, call) = (name.trim(), thread.display(), call.trim());
        writeln!(out, "{pid}/{thread} {name} {state} in {place} by {call}\n{stack}").unwrap();
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic")
}

#[test]
fn a_child_that_hangs_says_where() {
    let mut child = start(|parent| match call::fork() {
        0 => drop(call::tried!(SYS_ppoll, 0, 0, 0, 0)),
        _ => parent.checkpoint(),
    });
    assert!(matches!(child.listen(), Message::Checkpoint));
    child.deadline = Instant::now();
    let pid = child.pid;
    let panic = catch_unwind(AssertUnwindSafe(|| child.listen())).unwrap_err();
    let threads: Vec<&str> = text(&*panic).lines().filter(|line| line.contains(" State:\t")).collect();
    assert_eq!(threads.len(), 2, "{threads:?}");
    assert!(threads[0].starts_with(&format!("{pid}/{pid} ")), "{threads:?}");
}
