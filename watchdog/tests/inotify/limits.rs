//! Limits on watches, lowered in a user namespace of the test's own.

use std::fs;
use std::process::{Command, Stdio};

use crate::program::Program;

/// An agent that may have so many watches or instances.
fn limited(limit: &str, value: u32, root: &str) -> Option<Command> {
    let may = Command::new("unshare").args(["-U", "-r", "true"]).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        println!("skipped: a user namespace cannot be made here");
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must not skip");
        return None;
    }
    let script = format!(
        "echo {value} > /proc/sys/user/{limit} && exec {} run --source inotify --listen 127.0.0.1:0 --root x={root}",
        env!("CARGO_BIN_EXE_state-watchdog")
    );
    let mut command = Command::new("unshare");
    command.args(["-U", "-r", "sh", "-c", &script]);
    Some(command)
}

#[test]
fn directories_beyond_the_limit_are_counted_and_the_remedy_is_named() {
    let root = tempfile::tempdir().unwrap();
    for container in 0..10 {
        fs::create_dir(root.path().join(container.to_string())).unwrap();
    }
    // The parent, the root and four containers.
    let Some(mut command) = limited("max_inotify_watches", 6, root.path().to_str().unwrap()) else { return };
    let agent = Program::start(&mut command);
    let said = agent.logs("cannot be watched");
    assert!(said.contains("raise fs.inotify.max_user_watches"), "{said}");
    agent.shows("/metrics", "state_watchdog_events_lost_total{reason=\"watch_limit\",source=\"inotify\"} 6");
    agent.shows("/status", "6 directories cannot be watched");
    agent.shows("/status", "degraded");
}

#[test]
fn without_an_instance_the_source_cannot_run_and_the_remedy_is_named() {
    let Some(mut command) = limited("max_inotify_instances", 0, "/nonexistent") else { return };
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("raise fs.inotify.max_user_instances"), "{said}");
}
