//! How often the kernel did not run a program that it should have run. Each such miss may have been an event.
//!
//! A tracing program does not run for a thread while another one was interrupted in it on the same CPU, which happens
//! where the kernel itself can be preempted; see `turn` beside the probes. A kretprobe does not run when more threads
//! are within its function than the kernel has room to remember (`nmissed`): kernels tell from 6.7 on, and before it
//! cannot be known.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, FromRawFd as _, OwnedFd};

use aya::Ebpf;
use aya::programs::Program;

/// Commands, include/uapi/linux/bpf.h.
const GET_INFO: libc::c_long = 15;
const GET_LINK: libc::c_long = 30;
/// Where `struct bpf_prog_info` has `recursion_misses`, in words; kernels before 5.12 give a shorter struct.
const OF_PROGRAM: usize = 208 / 8;
/// Where `struct bpf_link_info` has `perf_event.kprobe.missed`; kernels before 6.7 give a shorter struct.
const OF_LINK: usize = 48 / 8;

/// The part of `union bpf_attr` that `GET_INFO` reads.
#[repr(C)]
struct Question {
    fd: u32,
    length: u32,
    info: u64,
}

/// The running total of one loaded program.
pub(super) fn of_program(program: &Program) -> u64 {
    let info = program.fd().ok().and_then(|fd| info(fd.as_fd().as_raw_fd()));
    info.and_then(|info| info.word(OF_PROGRAM)).unwrap_or(0)
}

/// Links of kprobes and kretprobes, which know of misses that their programs never hear of.
pub(super) struct Links(HashMap<String, OwnedFd>);

impl Links {
    /// Those of all loaded programs.
    pub(super) fn of(ebpf: &Ebpf) -> Self {
        let mut names = HashMap::new();
        for (name, program) in ebpf.programs().filter(|(_, program)| matches!(program, Program::KProbe(_))) {
            let info = program.fd().ok().and_then(|fd| info(fd.as_fd().as_raw_fd()));
            names.extend(info.map(|info| (info.id(), name)));
        }
        let mut links = HashMap::new();
        if !names.is_empty() {
            for link in aya::programs::loaded_links().filter_map(Result::ok) {
                let name = names.get(&link.program_id());
                links.extend(name.zip(open(link.id())).map(|(name, link)| ((*name).to_owned(), link)));
            }
        }
        Self(links)
    }

    /// The running total of a program's link; `None` where it cannot be known.
    pub(super) fn missed(&self, program: &str) -> Option<u64> {
        info(self.0.get(program)?.as_raw_fd())?.word(OF_LINK)
    }
}

/// A `struct bpf_prog_info` or `bpf_link_info`, as far as the kernel knows it.
struct Info {
    words: [u64; 32],
    length: usize,
}

impl Info {
    fn word(&self, index: usize) -> Option<u64> {
        self.words.get(index).copied().filter(|_| (index + 1) * size_of::<u64>() <= self.length)
    }

    /// Of a program: the second 32 bits, behind its type.
    fn id(&self) -> u32 {
        let [_, _, _, _, id @ ..] = self.words[0].to_ne_bytes();
        u32::from_ne_bytes(id)
    }
}

#[expect(unsafe_code, reason = "neither libc nor aya gives these numbers")]
fn info(fd: i32) -> Option<Info> {
    let mut words = [0; 32];
    let length = size_of_val(&words) as u32;
    let mut question = Question { fd: u32::try_from(fd).ok()?, length, info: words.as_mut_ptr() as u64 };
    // SAFETY: the kernel writes at most `length` bytes to `words`, which outlives the call, and to `length` how many.
    let result = unsafe { libc::syscall(libc::SYS_bpf, GET_INFO, &raw mut question, size_of::<Question>()) };
    (result == 0).then_some(Info { words, length: question.length as usize })
}

#[expect(unsafe_code, reason = "aya opens links by path alone")]
fn open(id: u32) -> Option<OwnedFd> {
    let question = [id; 1];
    // SAFETY: the kernel reads as much as it is told to, and gives a descriptor of which nobody else knows.
    unsafe {
        let fd = libc::syscall(libc::SYS_bpf, GET_LINK, question.as_ptr(), size_of_val(&question));
        i32::try_from(fd).ok().filter(|fd| *fd >= 0).map(|fd| OwnedFd::from_raw_fd(fd))
    }
}
