//! Each way to write or read a state file, under each source that runs here: seen, counted, or a documented blind spot. The table
//! in docs/PLATFORM.md is written from what these tests hold to be true.
//!
//! Needs root and a kernel that takes the probes; a source that does not run here is named, which is a failure for `syscalls`
//! where `CI=true`.
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

mod act;
mod program;
mod site;
mod table;
#[cfg(target_arch = "x86_64")]
mod thirty_two;
mod ways;

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use program::Program;
use site::Site;
use table::{Answer, SOURCES};
use ways::WAYS;

#[test]
fn under_syscalls_each_way_is_answered_as_the_table_says() {
    hold("syscalls");
}

#[test]
fn under_vfs_each_way_is_answered_as_the_table_says() {
    hold("vfs");
}

#[test]
fn under_inotify_each_way_is_answered_as_the_table_says() {
    hold("inotify");
}

#[test]
fn the_table_in_the_docs_is_this_one() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/PLATFORM.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(table::BEGIN).unwrap();
    let (told, after) = rest.split_once(table::END).unwrap();
    let table = table::render();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&page, [before, table::BEGIN, &table, table::END, after].concat()).unwrap();
    } else {
        assert_eq!(told, table, "UPDATE_DOCS=1 writes it");
    }
}

/// What one agent counts must not be another's doing, and neither its own looks at the machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Goes each way under one agent, each in a container of its own, and compares.
fn hold(source: &str) {
    if !rustix::process::geteuid().is_root() || !runs(source) {
        eprintln!("skipped: {source} does not run here");
        let must_run = source != "vfs" && std::env::var_os("CI").is_some_and(|ci| ci == "true");
        assert!(!must_run, "CI must not skip {source}");
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let site = Site::new();
    let container = |index: usize| format!("way-{index}");
    let early: Vec<_> =
        WAYS.iter().enumerate().map(|(index, way)| (way.prepare)(&site, &container(index))).collect();
    let agent = Program::run(source, &site.root());
    site.settle(&agent);
    let column = SOURCES.iter().position(|name| *name == source).unwrap();
    let mut wrong = Vec::new();
    for (index, (way, early)) in WAYS.iter().zip(early).enumerate() {
        let expected = way.answers[column];
        let found = site.go(&agent, way, &container(index), early);
        eprintln!("{source}: {:<60} {found:?}", way.name);
        if found.is_some_and(|found| found != expected) {
            let (findings, counters) = (agent.findings(&container(index)), site::counters(&agent));
            let name = way.name;
            wrong.push(format!("{name}: {found:?} and not {expected:?}: {findings:?}, {counters:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{source}:\n{}", wrong.join("\n"));
}

/// The agent: the one beside these tests, or where `STATE_WATCHDOG_TEST_AGENT` says that it lies.
fn agent() -> Command {
    let elsewhere = std::env::var_os("STATE_WATCHDOG_TEST_AGENT");
    Command::new(elsewhere.unwrap_or_else(|| env!("CARGO_BIN_EXE_state-watchdog").into()))
}

/// Whether the doctor says that the source can be attached.
fn runs(source: &str) -> bool {
    let doctor = agent().arg("doctor").output().unwrap();
    let text = String::from_utf8(doctor.stdout).unwrap();
    text.lines().any(|line| line.trim() == format!("ok  {source}"))
}

/// What was found of a way; `None` where this machine does not know the way.
type Found = Option<Answer>;
