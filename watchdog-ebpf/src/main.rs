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
mod vfs;

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::registers::Registers;

/// Entry of every system call: `TP_PROTO(struct pt_regs *regs, long id)`, the same on 5.10 to 7.2.
#[btf_tracepoint(function = "sys_enter")]
pub fn sys_enter(ctx: BtfTracePointContext) -> i32 {
    let registers = Registers::new(ctx.arg(0));
    let call = settings::call(ctx.arg(1));
    if call != 0 && !settings::is_idle(call) && !registers.is_compat() {
        calls::enter(call, registers);
    }
    0
}

/// Return of every system call: `TP_PROTO(struct pt_regs *regs, long ret)`, the same on 5.10 to 7.2.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    let registers = Registers::new(ctx.arg(0));
    let number = registers.number();
    if registers.is_compat() {
        if settings::is_compat_open(number) {
            calls::exit_compat_open(ctx.arg(1));
        }
        return 0;
    }
    let call = settings::call(number);
    if call != 0 && !settings::is_idle(call) {
        calls::exit(call, registers, ctx.arg(1));
    }
    0
}

/// End of a thread: `TP_PROTO(struct task_struct *p, …)`; a further argument came in 6.16.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(ctx: BtfTracePointContext) -> i32 {
    process::exit(ctx.arg::<*const u8>(0) as u64);
    0
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
