//! `state-watchdog`: finds non-atomic writes of container state files and the reads that overlap them.

fn main() {}
