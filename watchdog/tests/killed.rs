//! An agent that is killed leaves nothing behind in the kernel, and whoever writes does not notice.
//!
//! Needs root and a kernel that takes the probes; else it prints why it cannot run, which is a failure where `CI=true`.
#![cfg(feature = "ebpf")]
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Milliseconds after the start: loading and attaching takes some 300 where nothing else runs.
const WHILE_STARTING: [u64; 12] = [0, 20, 60, 100, 140, 180, 220, 260, 300, 340, 380, 420];
/// Milliseconds after the agent said that it runs.
const WHILE_RUNNING: [u64; 4] = [0, 5, 50, 200];

#[test]
fn nothing_stays_and_writers_go_on() {
    let root = tempfile::tempdir().unwrap();
    let container = root.path().join("c");
    fs::create_dir(&container).unwrap();
    let (stop, saves) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&stop);
        let writer = scope.spawn(|| save_for_ever(&container.join("state.json"), &stop, &saves));
        for moment in WHILE_STARTING {
            let mut agent = start(root.path());
            std::thread::sleep(Duration::from_millis(moment));
            kill(&mut agent);
            let before = saves.load(Ordering::Relaxed);
            wait(|| saves.load(Ordering::Relaxed) > before + 10, "the writer stands still");
        }
        for moment in WHILE_RUNNING {
            let mut agent = start(root.path());
            if !said(&mut agent, "running") {
                assert!(!is_ci(), "CI must not skip: the agent does not run here");
                eprintln!("skipped: no eBPF source runs here");
                agent.wait().unwrap();
                break;
            }
            std::thread::sleep(Duration::from_millis(moment));
            assert!(kill(&mut agent) > 0, "it ran without programs");
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });
    let pinned: Vec<_> =
        fs::read_dir("/sys/fs/bpf").map(|entries| entries.flatten().collect()).unwrap_or_default();
    assert!(
        pinned.iter().all(|entry| !entry.file_name().to_string_lossy().contains("watchdog")),
        "{pinned:?}"
    );
}

/// Whatever a test says, its threads end.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Both kinds of save, one after the other; every call must do what it does without an agent.
fn save_for_ever(file: &Path, stop: &AtomicBool, saves: &AtomicU64) {
    let beside = file.with_file_name("state-1");
    while !stop.load(Ordering::Relaxed) {
        fs::write(file, b"{\"saved\":1}").unwrap();
        let open = fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
        open.write_all_at(b"[", 0).unwrap();
        open.set_len(1).unwrap();
        drop(open);
        assert_eq!(fs::read(file).unwrap(), b"[");
        fs::write(&beside, b"{}").unwrap();
        fs::rename(&beside, file).unwrap();
        assert_eq!(fs::read(file).unwrap(), b"{}");
        saves.fetch_add(1, Ordering::Relaxed);
    }
}

fn start(root: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_state-watchdog"))
        .args(["run", "--findings", "none", "--listen", "127.0.0.1:0", "--root"])
        .arg(format!("test={}", root.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Kills the agent and waits until the kernel has let go of its programs; how many there were.
fn kill(agent: &mut Child) -> usize {
    let programs = held(agent.id(), "prog_id:");
    agent.kill().unwrap();
    agent.wait().unwrap();
    wait_until_gone(&programs);
    programs.len()
}

/// True when the agent says so; false when it ends before.
fn said(agent: &mut Child, word: &str) -> bool {
    let lines = BufReader::new(agent.stderr.take().unwrap()).lines();
    lines.map_while(Result::ok).any(|line| line.contains(word))
}

/// The ids of what a process holds in the kernel.
fn held(pid: u32, key: &str) -> BTreeSet<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return BTreeSet::new() };
    let texts = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts
        .filter_map(|text| {
            text.lines().find_map(|line| line.strip_prefix(key)).and_then(|id| id.trim().parse().ok())
        })
        .collect()
}

/// Programs are freed after a grace period.
fn wait_until_gone(programs: &BTreeSet<u32>) {
    let left = || -> Vec<u32> {
        let loaded = aya::programs::loaded_programs().flatten().map(|program| program.id());
        loaded.filter(|id| programs.contains(id)).collect()
    };
    wait(|| left().is_empty(), "programs of a killed agent stay");
}

fn wait(until: impl Fn() -> bool, complaint: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !until() {
        assert!(Instant::now() < deadline, "{complaint}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|ci| ci == "true")
}
