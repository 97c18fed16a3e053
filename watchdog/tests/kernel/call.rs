//! System calls by number, so that a case makes exactly the call that it names.
#![expect(unsafe_code, reason = "a system call by number is nothing that the compiler can check")]

use std::ffi::{CStr, CString};
use std::io;
use std::panic::Location;

/// Makes the call, which must succeed: `sys!(SYS_openat, AT_FDCWD, path, O_RDONLY)`.
macro_rules! sys {
    ($number:ident $(, $argument:expr)* $(,)?) => {
        $crate::call::succeed(stringify!($number), libc::$number, &[$($crate::call::Word::word(&$argument)),*])
    };
}
pub(crate) use sys;

/// Makes the call, which must fail; gives its error number.
macro_rules! refused {
    ($number:ident $(, $argument:expr)* $(,)?) => {
        $crate::call::fail(stringify!($number), libc::$number, &[$($crate::call::Word::word(&$argument)),*])
    };
}
pub(crate) use refused;

/// Makes the call, which may do either; gives what it gave or its error number.
macro_rules! tried {
    ($number:ident $(, $argument:expr)* $(,)?) => {
        $crate::call::attempt(libc::$number, &[$($crate::call::Word::word(&$argument)),*])
    };
}
pub(crate) use tried;

pub(crate) fn attempt(number: libc::c_long, words: &[usize]) -> Result<i64, i32> {
    let result = make(number, words);
    if result == -1 { Err(io::Error::last_os_error().raw_os_error().unwrap()) } else { Ok(result) }
}

#[track_caller]
pub(crate) fn succeed(name: &str, number: libc::c_long, words: &[usize]) -> i64 {
    let result = make(number, words);
    let at = Location::caller();
    assert!(result != -1, "{name} at {at}: {}", io::Error::last_os_error());
    result
}

#[track_caller]
pub(crate) fn fail(name: &str, number: libc::c_long, words: &[usize]) -> i32 {
    let result = make(number, words);
    assert!(result == -1, "{name} at {} gave {result}", Location::caller());
    io::Error::last_os_error().raw_os_error().unwrap()
}

fn make(number: libc::c_long, words: &[usize]) -> i64 {
    let word = |n: usize| words.get(n).copied().unwrap_or_default();
    // SAFETY: whoever calls passes addresses that are valid for the call, or means them to be refused.
    unsafe { libc::syscall(number, word(0), word(1), word(2), word(3), word(4), word(5)) }
}

/// What fits into a register.
pub(crate) trait Word {
    fn word(&self) -> usize;
}

macro_rules! words {
    ($($type:ty),*) => {$(
        impl Word for $type {
            fn word(&self) -> usize {
                *self as usize
            }
        }
    )*};
}
words!(i32, u32, i64, u64, usize);

impl Word for CString {
    fn word(&self) -> usize {
        self.as_ptr() as usize
    }
}

impl Word for &CStr {
    fn word(&self) -> usize {
        self.as_ptr() as usize
    }
}

impl<T> Word for *const T {
    fn word(&self) -> usize {
        *self as usize
    }
}

impl<T> Word for *mut T {
    fn word(&self) -> usize {
        *self as usize
    }
}

/// Buffers of a vectored call: as many as there are lengths, over the same memory.
pub(crate) fn vectors(memory: &mut [u8], lengths: &[usize]) -> Vec<libc::iovec> {
    let base = memory.as_mut_ptr().cast();
    assert!(lengths.iter().all(|&length| length <= memory.len()));
    lengths.iter().map(|&iov_len| libc::iovec { iov_base: base, iov_len }).collect()
}

/// fork(2). The case's child has one thread, so its copy is whole.
pub(crate) fn fork() -> libc::pid_t {
    // SAFETY: no other thread holds a lock that the copy would wait for, but for the first fork, after which
    // nothing is done that needs one.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", io::Error::last_os_error());
    pid
}

/// Runs `body` in a process of its own and waits for its end; gives the status of wait(2).
pub(crate) fn in_another_process(body: impl FnOnce()) -> i32 {
    match fork() {
        0 => {
            let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_ok();
            exit(if worked { 0 } else { 101 })
        }
        pid => wait(pid),
    }
}

/// The same for a body that only makes system calls, in a process that shares this one's memory as one of vfork(2) does:
/// nothing is copied, so a great many are quick.
pub(crate) fn in_a_light_process<F: FnOnce()>(body: F) -> i32 {
    extern "C" fn begin<F: FnOnce()>(body: *mut libc::c_void) -> libc::c_int {
        // SAFETY: it is the caller's body, which nobody else takes.
        let body = unsafe { (*body.cast::<Option<F>>()).take() };
        body.unwrap()();
        0
    }
    let mut body = Some(body);
    let mut stack = vec![0_u128; 4_096];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: this thread stands still until the process is gone, and the stack is the new process's own.
    let pid = unsafe {
        libc::clone(begin::<F>, stack.as_mut_ptr_range().end.cast(), flags, (&raw mut body).cast())
    };
    assert!(pid > 0, "clone: {}", io::Error::last_os_error());
    wait(pid)
}

/// Ends the process at once.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: no preconditions.
    unsafe { libc::_exit(code) }
}

/// The process's status as wait(2) gives it.
pub(crate) fn wait(pid: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: the status outlives the call.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(waited, pid, "waitpid: {}", io::Error::last_os_error());
    status
}
