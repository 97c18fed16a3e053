//! What an unrelated system call pays for being looked at, by kind of attachment: each program does what ours does
//! while nothing is tracked, a look into a table or at the gate, and nothing else. Those that are called `empty` do not
//! even look: what is left is the price of their attachment.
#![no_std]
#![no_main]
#![expect(missing_docs, unreachable_pub, reason = "the attach macros generate the programs' symbols")]
#![expect(unsafe_code, reason = "the globals are read as the agent's are")]

use core::ptr;

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, fexit, kprobe, kretprobe, tracepoint},
    programs::{
        BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RetProbeContext, TracePointContext,
    },
};

const TABLE_LEN: usize = 512;

#[unsafe(no_mangle)]
static TABLE: [u8; TABLE_LEN] = [0; TABLE_LEN];

#[unsafe(no_mangle)]
static GATE: [u64; 1] = [0];

#[btf_tracepoint(function = "sys_enter")]
pub fn all_enter(ctx: BtfTracePointContext) -> i32 {
    look(ctx.arg(1))
}

/// The number is in the registers, one load away.
#[btf_tracepoint(function = "sys_exit")]
pub fn all_exit(ctx: BtfTracePointContext) -> i32 {
    let registers: *const u64 = ctx.arg(0);
    // SAFETY: a typed kernel pointer at a member's offset (`orig_ax`): the verifier checks it.
    look(unsafe { registers.add(15).read_volatile() })
}

#[tracepoint]
pub fn one(_: TracePointContext) -> u32 {
    gate() as u32
}

#[fentry]
pub fn empty_fentry(_: FEntryContext) -> i32 {
    0
}

#[fexit]
pub fn empty_fexit(_: FExitContext) -> i32 {
    0
}

#[kprobe]
pub fn empty_kprobe(_: ProbeContext) -> u32 {
    0
}

#[kretprobe]
pub fn empty_kretprobe(_: RetProbeContext) -> u32 {
    0
}

#[inline(always)]
fn look(number: u64) -> i32 {
    if number >= TABLE_LEN as u64 {
        return 0;
    }
    // SAFETY: the index was checked.
    let call = unsafe { ptr::read_volatile((&raw const TABLE).cast::<u8>().add(number as usize)) };
    if call == 0 { 0 } else { gate() as i32 }
}

#[inline(always)]
fn gate() -> u64 {
    // SAFETY: a reference is valid for reads.
    unsafe { ptr::read_volatile(&GATE[0]) }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
