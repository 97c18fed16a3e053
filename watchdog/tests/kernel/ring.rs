//! An io_uring of one entry at a time, by its three system calls.
#![expect(unsafe_code, reason = "the rings are memory that the kernel shares")]

use std::cell::Cell;
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{MAP_POPULATE, MAP_SHARED, PROT_READ, PROT_WRITE};

use crate::call::sys;

// include/uapi/linux/io_uring.h
const OFF_SQ_RING: i64 = 0;
const OFF_SQES: i64 = 0x1000_0000;
const SETUP_SQPOLL: u32 = 2;
const ENTER_GETEVENTS: u32 = 1;
const ENTER_SQ_WAKEUP: u32 = 2;
const REGISTER_FILES: u32 = 2;
const UNREGISTER_FILES: u32 = 3;
const REGISTER_PROBE: u32 = 8;
const OP_SUPPORTED: u16 = 1;
/// How long the kernel's own thread looks for work before it sleeps, in milliseconds.
const IDLE: u32 = 100;
/// The ring's memory: more than the headers and two entries take.
const RING: usize = 4096;

/// `struct io_uring_sqe`: what is asked for. A member has many meanings; it is named after its first.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) opcode: u8,
    pub(crate) flags: u8,
    pub(crate) priority: u16,
    pub(crate) fd: i32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) length: u32,
    pub(crate) operation_flags: u32,
    pub(crate) user_data: u64,
    pub(crate) buffer: u16,
    pub(crate) personality: u16,
    pub(crate) second_fd: i32,
    pub(crate) rest: [u64; 2],
}

#[derive(Default)]
#[repr(C)]
struct Parameters {
    submission_entries: u32,
    completion_entries: u32,
    flags: u32,
    thread_cpu: u32,
    thread_idle: u32,
    features: u32,
    workers: u32,
    reserved: [u32; 3],
    /// head, tail, mask, entries, flags, dropped, array
    submission: [u32; 10],
    /// head, tail, mask, entries, overflow, entries' place
    completion: [u32; 10],
}

/// The process that has closed a ring through which it had sent something.
static CLOSED_BY: AtomicU32 = AtomicU32::new(0);

/// The rings, mapped. A process sends all that it has to send through one.
///
/// Who closes its last ring and goes on with another may wait for good, from 7.0 on and on stable kernels that took it
/// over (6.18.44 did): the kernel's workers then leave (`IO_WQ_BIT_EXIT_ON_IDLE` in `io_wq_worker`), and one that is on
/// its way out still counts as free or as running until `io_worker_exit` is done, so that `io_wq_enqueue` makes no other
/// for the new request and nobody is left to do it.
pub(crate) struct Ring {
    is_used: Cell<bool>,
    fd: i64,
    memory: *mut u8,
    entry: *mut Entry,
    submission: [u32; 10],
    completion: [u32; 10],
}

impl Ring {
    pub(crate) fn new() -> Self {
        Self::with(0)
    }

    /// With a kernel thread that takes the entries.
    pub(crate) fn polled() -> Self {
        Self::with(SETUP_SQPOLL)
    }

    fn with(flags: u32) -> Self {
        let closed_by = CLOSED_BY.load(Ordering::Relaxed);
        assert_ne!(closed_by, process::id(), "a second ring of one process may hang");
        let mut parameters = Parameters { flags, thread_idle: IDLE, ..Parameters::default() };
        let fd = sys!(SYS_io_uring_setup, 1, &raw mut parameters);
        let map = |offset| {
            let protection = PROT_READ | PROT_WRITE;
            sys!(SYS_mmap, ptr::null::<u8>(), RING, protection, MAP_SHARED | MAP_POPULATE, fd, offset)
        };
        let Parameters { submission, completion, .. } = parameters;
        // Both rings are in one mapping from 5.4 on.
        let (memory, entry) = (map(OFF_SQ_RING) as *mut u8, map(OFF_SQES) as *mut Entry);
        Self { is_used: Cell::new(false), fd, memory, entry, submission, completion }
    }

    /// True when this kernel knows the operation.
    pub(crate) fn knows(&self, opcode: u8) -> bool {
        // `struct io_uring_probe`, then for each operation its number, a byte, its flags and four bytes.
        let mut probe = [[0_u16; 4]; 2 + 256];
        sys!(SYS_io_uring_register, self.fd, REGISTER_PROBE, probe.as_mut_ptr(), 256);
        probe[2 + usize::from(opcode)][1] & OP_SUPPORTED != 0
    }

    /// From now on `descriptors` are known by their places in the list, and are held by the ring.
    pub(crate) fn register_files(&self, descriptors: &[i32]) {
        sys!(SYS_io_uring_register, self.fd, REGISTER_FILES, descriptors.as_ptr(), descriptors.len());
    }

    pub(crate) fn unregister_files(&self) {
        sys!(SYS_io_uring_register, self.fd, UNREGISTER_FILES, 0, 0);
    }

    /// Hands the entry over, waits until it is done, and gives its result.
    pub(crate) fn run(&self, entry: Entry) -> i32 {
        self.is_used.set(true);
        // SAFETY: the ring has one entry, and the last one is done.
        unsafe { self.entry.write_volatile(entry) };
        self.word(self.submission[6]).store(0, Ordering::Relaxed);
        self.word(self.submission[1]).fetch_add(1, Ordering::Release);
        let flags = ENTER_GETEVENTS | ENTER_SQ_WAKEUP;
        let head = self.word(self.completion[0]).load(Ordering::Relaxed);
        while self.word(self.completion[1]).load(Ordering::Acquire) == head {
            sys!(SYS_io_uring_enter, self.fd, 1, 1, flags, 0, 0);
        }
        let mask = self.word(self.completion[2]).load(Ordering::Relaxed);
        let done = self.completion[5] + 16 * (head & mask);
        // A completion: the user's data in 8 bytes, then the result.
        let result = self.word(done + 8).load(Ordering::Relaxed).cast_signed();
        self.word(self.completion[0]).store(head + 1, Ordering::Release);
        result
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        assert!(offset as usize + 4 <= RING && offset.is_multiple_of(4));
        // SAFETY: within the mapping, aligned, and the kernel changes it as atomically as we do.
        unsafe { &*self.memory.add(offset as usize).cast::<AtomicU32>() }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        sys!(SYS_munmap, self.memory, RING);
        sys!(SYS_munmap, self.entry, RING);
        sys!(SYS_close, self.fd);
        if self.is_used.get() {
            CLOSED_BY.store(process::id(), Ordering::Relaxed);
        }
    }
}
