//! A source of eBPF programs against the running kernel: real system calls in, events out. It is `syscalls`, unless
//! `STATE_WATCHDOG_TEST_SOURCE=vfs` says otherwise.
//!
//! Each case runs in a child process on a tmpfs, on the disk, and on an overlay where one is named. What comes out is told in the words of
//! `tests/scenarios`, without times. Needs root and a kernel that takes the probes; else a case prints why it cannot
//! run, which is a failure where `CI=true`.
#![cfg(feature = "ebpf")]
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

mod bench;
mod call;
mod child;
#[cfg(target_arch = "x86_64")]
mod compat;
mod copies;
mod descriptions;
mod hidden;
mod locks;
mod loop_devices;
mod loss;
mod mappings;
mod names;
mod opens;
mod page;
mod places;
mod processes;
mod quiet;
mod reads;
mod replaces;
mod ring;
mod site;
mod sizes;
mod tale;
mod uring;
mod verdicts;
mod watched;
mod writes;
