//! Sources that run eBPF programs; the one door to aya.

pub mod btf;
