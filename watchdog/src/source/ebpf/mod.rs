//! Sources that run eBPF programs; the one door to aya.

pub mod btf;
mod calls;
mod cast;
mod control;
mod copies;
pub mod decode;
mod elsewhere;
#[cfg(test)]
mod flow_tests;
mod functions;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod hooks;
mod load;
mod marked;
mod misses;
mod names;
mod offsets;
mod paths;
mod plain;
mod preemption;
mod reader;
mod reconcile;
#[cfg(test)]
mod tests;
mod tracepoints;
mod translate;
mod words;

pub use load::{LoadError, Options};
pub use reader::EbpfSource;

/// The source `syscalls`: tracepoints on system calls.
pub type SyscallsSource = EbpfSource<tracepoints::Tracepoints>;
/// The source `vfs`: functions that all accesses to files come through.
pub type VfsSource = EbpfSource<functions::Functions>;
