//! The probes: they filter and report, they never judge.
//!
//! One body, several doors: a door decodes where its arguments stand, tracepoints on system calls in [`calls`],
//! functions of the VFS in [`vfs`]; both lead to [`opens`], [`files`] and [`process`], and every record leaves
//! through [`emit`].
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(missing_docs, unreachable_pub, reason = "the attach macros generate the programs' symbols")]
#![expect(unsafe_code, reason = "kernel memory is read by address, and maps are shared with other CPUs")]

mod aliases;
mod atomic;
mod calls;
mod control;
mod emit;
mod files;
mod kernel;
mod maps;
mod names;
mod opens;
mod process;
mod registers;
mod settings;
mod turn;
mod vfs;

use aya_ebpf::{
    EbpfContext as _,
    macros::{btf_tracepoint, kprobe, tracepoint},
    programs::{BtfTracePointContext, ProbeContext, TracePointContext},
};

use crate::{registers::Registers, settings::setting, turn::Turn};

/// Entry of every system call: `TP_PROTO(struct pt_regs *regs, long id)`, the same on 5.10 to 7.2.
#[btf_tracepoint(function = "sys_enter")]
pub fn sys_enter(ctx: BtfTracePointContext) -> i32 {
    enter(Registers::new(ctx.arg(0)), ctx.arg(1), Turn::One);
    0
}

/// See [`turn`].
#[btf_tracepoint(function = "sys_enter")]
pub fn sys_enter_again(ctx: BtfTracePointContext) -> i32 {
    enter(Registers::new(ctx.arg(0)), ctx.arg(1), Turn::Other);
    0
}

/// The same for perf, which keeps the thread on its CPU without interruption (`perf_trace_sys_enter`, 5.10 to 7.2): no
/// other thread finds the program busy. Its record holds copies of the arguments, but the return's does not.
#[tracepoint]
pub fn sys_enter_perf(_: TracePointContext) -> u32 {
    let registers = Registers::of_task();
    enter(registers, registers.number(), Turn::One);
    0
}

/// Return of every system call: `TP_PROTO(struct pt_regs *regs, long ret)`, the same on 5.10 to 7.2. Inlined, because a
/// frame more would not fit the stack.
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    exit(Registers::new(ctx.arg(0)), ctx.arg(1), Turn::One);
    0
}

/// See [`turn`].
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn sys_exit_again(ctx: BtfTracePointContext) -> i32 {
    exit(Registers::new(ctx.arg(0)), ctx.arg(1), Turn::Other);
    0
}

/// See [`sys_enter_perf`].
#[tracepoint]
#[inline(always)]
pub fn sys_exit_perf(ctx: TracePointContext) -> u32 {
    let result = kernel::read(ctx.as_ptr() as u64, setting!(offsets.sys_exit_ret));
    exit(Registers::of_task(), result, Turn::One);
    0
}

/// io_uring takes a file by its descriptor, in whatever thread that shares them: `TP_PROTO(struct io_ring_ctx *ctx, int fd)`
/// up to 5.18, `TP_PROTO(struct io_kiocb *req, int fd)` to 7.2.
#[btf_tracepoint(function = "io_uring_file_get")]
pub fn io_uring_file_get(ctx: BtfTracePointContext) -> i32 {
    calls::taken_by_io_uring(ctx.arg(1));
    0
}

/// See [`sys_enter_perf`].
#[tracepoint]
pub fn io_uring_file_get_perf(ctx: TracePointContext) -> u32 {
    let descriptor: i32 = kernel::read(ctx.as_ptr() as u64, setting!(offsets.uring_get_fd));
    calls::taken_by_io_uring(descriptor);
    0
}

/// End of a thread: `TP_PROTO(struct task_struct *p, …)`; a further argument came in 6.16.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(ctx: BtfTracePointContext) -> i32 {
    end_thread(ctx.arg::<*const u8>(0) as u64);
    0
}

/// See [`sys_enter_perf`]; the thread is the running one (`do_exit`, 5.10 to 7.2).
#[tracepoint]
pub fn sched_process_exit_perf(_: TracePointContext) -> u32 {
    end_thread(kernel::task());
    0
}

/// The same by `exit_files(tsk)`, which `do_exit` calls next.
#[kprobe]
pub fn process_exit_kprobe(ctx: ProbeContext) -> u32 {
    end_thread(ctx.arg(0).unwrap_or(0));
    0
}

/// See [`turn`].
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit_again(ctx: BtfTracePointContext) -> i32 {
    end_thread(ctx.arg::<*const u8>(0) as u64);
    0
}

/// A thread ends, and takes with it what it has begun.
#[inline(always)]
fn end_thread(task: u64) {
    if settings::gate() != 0 {
        files::abandon(kernel::thread());
        vfs::abandon();
    }
    process::exit(task);
}

/// Marks the number of a call by x32 code (`__X32_SYSCALL_BIT`, arch/x86, 5.10 to 7.2).
const X32: u64 = 0x4000_0000;

#[inline(always)]
fn enter(registers: Registers, number: u64, turn: Turn) {
    let call = settings::call(number);
    if call != 0 && !settings::is_idle(call) && !registers.is_compat() {
        calls::enter(call, registers, turn);
    }
}

#[inline(always)]
fn exit(registers: Registers, result: i64, turn: Turn) {
    let number = registers.number();
    let call = settings::call(number);
    let matters = call != 0 && !settings::is_idle(call);
    if !matters && !settings::is_compat_open(number) {
        if number & X32 != 0 && settings::is_x32_open(number ^ X32) {
            calls::exit_compat_open(result, turn);
        }
        return;
    }
    if registers.is_compat() {
        if settings::is_compat_open(number) {
            calls::exit_compat_open(result, turn);
        }
    } else if matters {
        calls::exit(call, registers, result, turn);
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
