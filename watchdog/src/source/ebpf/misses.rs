//! How often the kernel did not run a program that it should have run.
//!
//! A tracing program does not run while another thread was interrupted in it on the same CPU (`prog->active` in
//! `__bpf_prog_enter_recur`, 5.12 to 7.2), which happens where the kernel itself can be preempted. Each such miss may
//! have been an event.

use std::os::fd::{AsFd, AsRawFd};

use aya::Ebpf;

/// `BPF_OBJ_GET_INFO_BY_FD`, include/uapi/linux/bpf.h.
const GET_INFO: libc::c_long = 15;
/// Where `struct bpf_prog_info` has `recursion_misses`, in words; earlier kernels give a shorter struct.
const MISSES: usize = 208 / 8;

/// The part of `union bpf_attr` that the command reads.
#[repr(C)]
struct Question {
    fd: u32,
    length: u32,
    info: u64,
}

/// The running total over all loaded programs.
pub(super) fn total(programs: &Ebpf) -> u64 {
    programs.programs().filter_map(|(_, program)| of(program.fd().ok()?.as_fd().as_raw_fd())).sum()
}

#[expect(unsafe_code, reason = "neither libc nor aya gives this number")]
fn of(fd: i32) -> Option<u64> {
    let mut info = [0_u64; 32];
    let length = size_of_val(&info) as u32;
    let question = Question { fd: u32::try_from(fd).ok()?, length, info: info.as_mut_ptr() as u64 };
    // SAFETY: the kernel writes at most `length` bytes to `info`, which outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, GET_INFO, &raw const question, size_of::<Question>()) };
    (result == 0).then(|| info[MISSES])
}
