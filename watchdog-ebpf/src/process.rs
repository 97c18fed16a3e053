//! Who it was: each program that a process runs is introduced by the probe that first sees it do something to a file that
//! matters, while it certainly runs. Name, path, arguments and forebears are all read at that moment.

use core::arch::asm;

use aya_ebpf::{
    bindings::BPF_ANY,
    helpers::{bpf_probe_read_user_buf, generated},
};
use watchdog_common::{
    ANCESTORS, ARGS_LEN, Ancestor, EXE_PARTS, ExitRecord, Kind, ProcessRecord, SHORT_NAME,
};

use crate::{
    emit::{self, Span},
    kernel::{self, read},
    maps::{Known, PROCESSES},
    settings::setting,
};

/// What the table says of a key that is not there.
const ENOENT: i32 = -2;
/// Bit of `signal->flags`, include/linux/sched/signal.h, 5.10 to 7.2.
const SIGNAL_GROUP_EXIT: u32 = 4;

/// Stands for the program of a process that was not introduced yet; no count of a thread's execs is as large.
const UNINTRODUCED: u64 = u64::MAX;

/// Emits the running process's record unless that was done before. `span` is its operation's: it ran the program that
/// it runs now when that began, because a call does not outlive its program.
#[inline(always)]
pub(crate) fn introduce(span: Span) {
    introduce_process(span.start, span.end);
}

/// A function of its own, with numbers alone for arguments, is verified once and not again wherever it is called.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn introduce_process(start: u64, end: u64) -> u64 {
    let task = kernel::task();
    let leader: u64 = read(task, setting!(offsets.task_group_leader));
    let tgid = (kernel::thread() >> 32) as u32;
    let started: u64 = read(leader, setting!(offsets.task_start));
    let exec_id: u32 = read(task, setting!(offsets.task_exec_id));
    let known = Known { started, program: u64::from(exec_id) };
    // SAFETY: the value is compared at once; a stale one costs a repeated record.
    if unsafe { PROCESSES.get(&tgid) }.is_some_and(|old| *old == known) {
        return 0;
    }
    // Until its record has room, it is a process whose end matters and that is to be introduced.
    let unintroduced = Known { started, program: UNINTRODUCED };
    if PROCESSES.insert(&tgid, &unintroduced, u64::from(BPF_ANY)).is_err() {
        return 0;
    }
    let mut entry = emit::reserve!(ProcessRecord, 0);
    if let Some(entry) = PROCESSES.get_ptr_mut(&tgid) {
        // SAFETY: the pointer came from the map and stays valid in this program; another thread of the process writes
        // the same.
        unsafe { *entry = known };
    }
    let record = entry.as_mut_ptr();
    // SAFETY: the reservation is a whole record; every field that the agent reads is written before submission,
    // `args` and `ancestors` up to the counts beside them.
    unsafe {
        emit::write_header(record, Kind::Process, 0, Span { start, end });
        // The main thread's name is the process's; other threads have names of their own.
        kernel::copy(leader + u64::from(setting!(offsets.task_comm)), &raw mut (*record).header.comm);
        (*record).program = exec_id;
        (*record).started = started;
        (*record).cgroup = generated::bpf_get_current_cgroup_id();
        let cred: u64 = read(task, setting!(offsets.task_cred));
        (*record).uid = read(cred, setting!(offsets.cred_uid));
        let mm: u64 = read(task, setting!(offsets.task_mm));
        read_arguments(mm, record);
        read_exe(mm, record);
        read_ancestors(leader, record);
    }
    entry.submit(0);
    0
}

/// The beginning of the command line. It is the process's own memory, so it says what the process wants it to.
///
/// # Safety
///
/// `record` must be valid for writes.
#[inline(always)]
unsafe fn read_arguments(mm: u64, record: *mut ProcessRecord) {
    let start: u64 = read(mm, setting!(offsets.mm_arg_start));
    let end: u64 = read(mm, setting!(offsets.mm_arg_end));
    let total = end.saturating_sub(start);
    let mut length = if total > ARGS_LEN as u64 { ARGS_LEN as u64 } else { total };
    // SAFETY: a full-size read that crosses the end of the stack's mapping fails; then the exact length is tried.
    unsafe {
        let args = &mut (*record).args;
        if bpf_probe_read_user_buf(start as *const u8, args).is_err() {
            length = read_exactly(start, length, args);
        }
        (*record).args_len = length as u32;
        (*record).args_total = total;
    }
}

/// Reads in falling steps of 16 bytes what a full read could not: a command line near the end of the stack.
#[inline(always)]
fn read_exactly(start: u64, length: u64, args: &mut [u8; ARGS_LEN]) -> u64 {
    let size = (length as usize) & (ARGS_LEN - 1);
    // SAFETY: the slice is no longer than the array, which the mask shows to the verifier.
    let result = unsafe { bpf_probe_read_user_buf(start as *const u8, args.get_unchecked_mut(..size)) };
    if result.is_ok() { size as u64 } else { 0 }
}

/// The path of the program's file, from its last component up to the root of its mount namespace, over mount points.
///
/// # Safety
///
/// `record` must be valid for writes.
#[inline(always)]
unsafe fn read_exe(mm: u64, record: *mut ProcessRecord) {
    let file: u64 = read(mm, setting!(offsets.mm_exe_file));
    let mut mount: u64 = read(file, setting!(offsets.file_mount));
    let mut dentry: u64 = read(file, setting!(offsets.file_dentry));
    let hashed: u64 = read(dentry, setting!(offsets.dentry_hashed));
    // SAFETY: see the caller; `i` is below the array's length, and the helper ends each name with NUL, or clears the room.
    unsafe {
        (*record).exe_is_deleted = u64::from(hashed == 0);
        for i in 0..EXE_PARTS {
            // A mount's root is called what it is mounted on. Without a branch, because there are as many ways through the
            // loop as each of its branches has, to the power of its rounds.
            let whole = mount.wrapping_sub(u64::from(setting!(offsets.mount_of_vfs)));
            let is_root = all_ones_if_equal(dentry, read(mount, setting!(offsets.vfsmount_root)));
            let on: u64 = read(whole, setting!(offsets.mount_mountpoint));
            let above = read::<u64>(whole, setting!(offsets.mount_parent))
                .wrapping_add(u64::from(setting!(offsets.mount_of_vfs)));
            dentry = (on & is_root) | (dentry & !is_root);
            mount = (above & is_root) | (mount & !is_root);
            let name: u64 = read(dentry, setting!(offsets.dentry_name));
            let room = &raw mut (*record).exe[i];
            generated::bpf_probe_read_kernel_str(room.cast(), SHORT_NAME as u32, name as *const _);
            // What is its own parent is the last.
            let parent: u64 = read(dentry, setting!(offsets.dentry_parent));
            dentry = parent & !all_ones_if_equal(parent, dentry);
        }
    }
}

/// All bits when both are equal, else none. What the compiler does not see through it makes no branch of.
#[inline(always)]
fn all_ones_if_equal(a: u64, b: u64) -> u64 {
    let mut difference = a ^ b;
    // SAFETY: it changes nothing.
    unsafe { asm!("/* {0} */", inout(reg) difference) };
    ((difference | difference.wrapping_neg()) >> 63).wrapping_sub(1)
}

/// Who started whom, as far as there is room.
///
/// # Safety
///
/// `record` must be valid for writes.
#[inline(always)]
unsafe fn read_ancestors(leader: u64, record: *mut ProcessRecord) {
    let mut task = leader;
    let mut count = 0;
    for i in 0..ANCESTORS {
        let parent: u64 = read(task, setting!(offsets.task_real_parent));
        let parent: u64 = read(parent, setting!(offsets.task_group_leader));
        if parent == 0 || parent == task {
            break;
        }
        let pid = read(parent, setting!(offsets.task_tgid));
        if pid == 0 {
            break;
        }
        // SAFETY: `i` is below the array's length.
        unsafe {
            let ancestor: *mut Ancestor = &raw mut (*record).ancestors[i];
            (*ancestor).pid = pid;
            kernel::copy(parent + u64::from(setting!(offsets.task_comm)), &raw mut (*ancestor).comm);
        }
        count = i as u32 + 1;
        task = parent;
    }
    // SAFETY: see the caller.
    unsafe { (*record).ancestor_count = count };
}

/// A thread ended. News when it was the last of a process that we introduced.
///
/// `do_exit` counts `signal->live` down before it fires the tracepoint (5.10 to 7.2), so the last thread sees 0. So may
/// others that counted before it and fire after it did: who takes the process from the table tells. The status is what
/// `wait_task_zombie` takes (5.10 to 7.2): the group's after a group exit, else the leader's own, which may have left
/// long before.
#[inline(always)]
pub(crate) fn exit(task: u64) {
    let tgid = (kernel::thread() >> 32) as u32;
    // SAFETY: only presence matters.
    if unsafe { PROCESSES.get(&tgid) }.is_none() {
        return;
    }
    let signal: u64 = read(task, setting!(offsets.task_signal));
    let live: i32 = read(signal, setting!(offsets.signal_live));
    if live > 0 {
        return;
    }
    if PROCESSES.remove(&tgid) == Err(ENOENT) {
        return;
    }
    let flags: u32 = read(signal, setting!(offsets.signal_flags));
    let status = if flags & SIGNAL_GROUP_EXIT != 0 {
        read(signal, setting!(offsets.signal_group_exit_code))
    } else {
        let leader: u64 = read(task, setting!(offsets.task_group_leader));
        read(leader, setting!(offsets.task_exit_code))
    };
    let mut entry = emit::reserve!(ExitRecord);
    let now = kernel::now();
    let record = entry.as_mut_ptr();
    // SAFETY: the reservation is a whole record, and every field is written.
    unsafe {
        emit::write_header(record, Kind::Exit, 0, Span { start: now, end: now });
        (*record).status = status;
        (*record).reserved = 0;
    }
    entry.submit(0);
}
