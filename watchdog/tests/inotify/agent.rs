//! What the agent makes of a source that sees nobody.

use std::fs::{self, File};
use std::io::Write;

use crate::program::Program;

/// A root with a container `a`.
fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("a")).unwrap();
    fs::write(root.path().join("a/state.json"), "{}").unwrap();
    root
}

#[test]
fn a_finding_accuses_nobody_and_status_says_why() {
    let root = root();
    let agent = Program::run(&["--root", &format!("x={}", root.path().display())]);
    fs::write(root.path().join("a/state.json"), "{\"a\": 1}").unwrap();
    let finding = agent.finds("nonatomic_write");
    assert_eq!(finding["attribution"], "none");
    assert_eq!(finding["source"], "inotify");
    assert_eq!(finding["outcome"], "in_place");
    assert_eq!(finding["container_id"], "a");
    assert_eq!(finding["aftermath"], "valid");
    assert!(finding.get("writer").is_none() && finding.get("writer_died").is_none(), "{finding}");
    assert!(finding["message"].as_str().unwrap().starts_with("an unseen process rewrote"), "{finding}");
    agent.shows(
        "/metrics",
        "nonatomic_writes_total{operation=\"unknown\",runtime=\"x\",writer=\"unknown\"} 1",
    );
    agent.shows("/status", r#"{"what":"who did it","effect":"attribution is `none`"}"#);
}

#[test]
fn a_file_that_stays_damaged_is_found_and_one_that_is_being_written_is_not() {
    let root = root();
    let file = root.path().join("a/state.json");
    let agent = Program::run(&["--root", &format!("x={}", root.path().display())]);
    for _ in 0..50 {
        fs::write(&file, "{\"a\": 1}").unwrap();
    }
    agent.shows("/metrics", "write_sessions_total{outcome=\"in_place\",runtime=\"x\"} 50");
    assert!(agent.found().iter().all(|finding| !finding.contains("damaged_state_file")));
    drop(File::create(&file).unwrap());
    let finding = agent.finds("damaged_state_file");
    assert_eq!((&finding["aftermath"], &finding["container_id"]), (&"empty".into(), &"a".into()));
}

#[test]
fn where_the_profile_knows_a_lock_nothing_is_said_for_certain() {
    let root = root();
    let config = root.path().join("sw.toml");
    let text = format!(
        "[[root]]\nruntime = \"locking\"\npath = \"{}\"\n[[profile]]\nname = \"locking\"\n\
         state = [\"state.json\"]\nlock = [\"*.lock\"]\n",
        root.path().display()
    );
    fs::write(&config, text).unwrap();
    let agent = Program::run(&["--config", config.to_str().unwrap()]);
    let mut writer = File::create(root.path().join("a/state.json")).unwrap();
    writer.write_all(b"{}").unwrap();
    fs::read(root.path().join("a/state.json")).unwrap();
    drop(writer);
    agent.shows("/metrics", "write_sessions_total{outcome=\"unknown\",runtime=\"locking\"} 1");
    agent.shows(
        "/metrics",
        "overlapping_reads_total{reader=\"unknown\",runtime=\"locking\",verdict=\"unknown\"} 1",
    );
    assert_eq!(agent.found(), Vec::<String>::new());
}

#[test]
fn ten_thousand_containers_take_little_memory() {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    for container in 0..10_000 {
        let directory = root.path().join(format!("{container:064x}"));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("state.json"), "{}").unwrap();
    }
    let agent = Program::run(&["--root", &format!("x={}", root.path().display())]);
    let status = fs::read_to_string(format!("/proc/{}/status", agent.id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim();
    let resident: u64 = resident.split(' ').next().unwrap().parse().unwrap();
    assert!(resident < 40 << 10, "{resident} kB resident");
}
