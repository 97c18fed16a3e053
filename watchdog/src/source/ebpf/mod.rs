//! Sources that run eBPF programs; the one door to aya.

pub mod btf;
mod calls;
mod control;
pub mod decode;
mod load;
mod names;
mod offsets;
mod paths;
mod syscalls;
#[cfg(test)]
mod tests;
mod translate;

pub use load::LoadError;
pub use syscalls::{Options, SyscallsSource};
