//! Profiles and the configuration, played to the real agent: what each runtime's way of writing is told as, and what a
//! hangup changes.
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

#[path = "../inotify/program.rs"]
mod program;
mod reload;
mod writers;

use std::process::Command;

const AGENT: &str = env!("CARGO_BIN_EXE_state-watchdog");

/// The sources that this machine can run, of those that need no further kernel. What is missing is said, and is a
/// failure where `CI=true`.
fn sources() -> impl Iterator<Item = &'static str> {
    ["inotify", "syscalls"].into_iter().filter(|source| {
        let doctor = Command::new(AGENT).args(["doctor", "--source", source]).output().unwrap();
        let able = doctor.status.success();
        if !able {
            eprintln!("skipped: the source {source} cannot run here");
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must not skip");
        }
        able
    })
}
