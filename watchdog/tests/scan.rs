//! `scan` as a script sees it: every kind of broken state file, and what cannot be read.
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_state-watchdog");

/// A whole state file as runc 1.1 writes it, shortened.
const WHOLE: &str = r#"{"id":"c1","init_process_pid":4242,"init_process_start":917,"created":"2026-01-02T03:04:05.6Z",
"config":{"no_pivot_root":false,"rootfs":"/b/rootfs","labels":["bundle=/b","io.kubernetes.cri.sandbox-name=web-0"],
"capabilities":{"Bounding":["CAP_KILL"]},"oom_score_adj":null,"x":[1,-2,3.5e3,true,""]},"rootless":false}"#;

/// A host with the root `/run/runc` of runc.
struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(host.root()).unwrap();
        // Somebody else may be asked to look.
        fs::set_permissions(host.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
        host
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("run/runc")
    }

    /// The state file of a new container.
    fn file(&self, container: &str) -> PathBuf {
        fs::create_dir_all(self.root().join(container)).unwrap();
        self.root().join(container).join("state.json")
    }

    fn with(self, container: &str, bytes: impl AsRef<[u8]>) -> Self {
        fs::write(self.file(container), bytes).unwrap();
        self
    }

    fn command(&self, program: &Path, options: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(["scan", "--root", "runc=/run/runc", "--host-root"]).arg(self.0.path()).args(options);
        command.stdin(Stdio::null());
        command
    }

    /// As a person runs it.
    fn output(&self) -> Output {
        self.command(Path::new(PROGRAM), &[]).output().unwrap()
    }

    /// Exit code and answer.
    fn scan(&self) -> (i32, Value) {
        answer(&mut self.command(Path::new(PROGRAM), &["--json"]))
    }
}

fn answer(command: &mut Command) -> (i32, Value) {
    let output = command.output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
}

/// Container, damage, size and error of every broken file, in order of containers.
fn damaged(answer: &Value) -> Vec<(String, String, u64, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let one = |broken: &Value| {
        let error = text(&broken["error"]);
        (text(&broken["container_id"]), text(&broken["damage"]), broken["size"].as_u64().unwrap(), error)
    };
    let mut all: Vec<_> = answer["damaged"].as_array().unwrap().iter().map(one).collect();
    all.sort();
    all
}

#[test]
fn good_files_are_counted_and_the_exit_is_0() {
    let host = Host::new().with("a", WHOLE).with("b", "{}");
    fs::create_dir(host.root().join("not-yet")).unwrap();
    let (code, answer) = host.scan();
    assert_eq!((code, &answer["state_files"], &answer["damaged_files"]), (0, &2.into(), &0.into()));
    assert_eq!(answer["roots"][0]["directories"][0], "/run/runc");
    let output = host.output();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "2 state files read below 1 root: 0 damaged\n");
}

#[test]
fn every_broken_file_is_told_with_what_the_parser_said() {
    let host = Host::new()
        .with("a-good", WHOLE)
        .with("b-empty", "")
        .with("c-cut", &WHOLE[..30])
        .with("d-binary", b"\0\x01\x02")
        .with("e-twice", "{}{}")
        .with("f-deep", "[".repeat(100_000) + &"]".repeat(100_000));
    fs::File::create(host.file("g-huge")).unwrap().set_len((16 << 20) + 1).unwrap();
    fs::File::create(host.file("h-large")).unwrap().set_len(16 << 20).unwrap();
    let (code, answer) = host.scan();
    assert_eq!((code, &answer["state_files"]), (1, &7.into()));
    let unread = &answer["unread"][0];
    assert_eq!(
        (&answer["unread_paths"], &unread["path"]),
        (&1.into(), &"/run/runc/g-huge/state.json".into())
    );
    assert_eq!(unread["error"], "larger than 16 MiB, not read");
    let expected = [
        ("b-empty", "empty", 0, "EOF while parsing a value at line 1 column 0"),
        ("c-cut", "truncated", 30, "EOF while parsing a value at line 1 column 30"),
        ("d-binary", "invalid", 3, "expected value at line 1 column 1"),
        ("e-twice", "invalid", 4, "trailing characters at line 1 column 3"),
        ("f-deep", "invalid", 200_000, "recursion limit exceeded at line 1 column 128"),
        ("h-large", "invalid", 16 << 20, "expected value at line 1 column 1"),
    ];
    let expected = expected.map(|(container, damage, size, error)| {
        (container.to_owned(), damage.to_owned(), size, error.to_owned())
    });
    assert_eq!(damaged(&answer), expected);
    let cut = answer["damaged"].as_array().unwrap().iter().find(|one| one["container_id"] == "c-cut");
    let cut = cut.unwrap();
    assert_eq!(cut["path"], "/run/runc/c-cut/state.json");
    assert_eq!((&cut["runtime"], &cut["root"]), (&"runc".into(), &"/run/runc".into()));
    assert_eq!((&cut["line"], &cut["column"]), (&1.into(), &30.into()));
    assert!(cut["modified"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn every_prefix_of_a_state_file_is_empty_or_truncated() {
    let host = Host::new();
    for length in 0..WHOLE.len() {
        fs::write(host.file(&format!("{length:04}")), &WHOLE[..length]).unwrap();
    }
    let (code, answer) = host.scan();
    assert_eq!(code, 1);
    let damaged = damaged(&answer);
    assert_eq!(damaged.len(), WHOLE.len());
    for (length, (container, damage, size, _)) in damaged.iter().enumerate() {
        let expected = if length == 0 { "empty" } else { "truncated" };
        assert_eq!((container, damage.as_str()), (&format!("{length:04}"), expected));
        assert_eq!(*size, length as u64);
    }
}

#[test]
fn what_is_no_regular_file_is_invalid_and_nobody_waits_for_it() {
    let host = Host::new();
    assert!(Command::new("mkfifo").arg(host.file("a-fifo")).status().unwrap().success());
    let link = host.file("b-loop");
    symlink(&link, &link).unwrap();
    symlink("/dev/zero", host.file("c-link")).unwrap();
    fs::create_dir(host.file("d-directory")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(host.file("e-socket")).unwrap();
    let device = host.file("f-device");
    let made = Command::new("mknod").arg(&device).args(["c", "1", "5"]).stderr(Stdio::null()).status();
    let made = made.unwrap().success();
    let (code, answer) = host.scan();
    drop(socket);
    assert_eq!(code, 1);
    let mut expected = vec![
        ("a-fifo", "a FIFO"),
        ("b-loop", "a symbolic link, which is not followed"),
        ("c-link", "a symbolic link, which is not followed"),
        ("d-directory", "a directory"),
        ("e-socket", "a socket"),
    ];
    // Only root makes devices, and not in every container.
    if made {
        expected.push(("f-device", "a device"));
    }
    let told: Vec<_> = damaged(&answer)
        .into_iter()
        .map(|(container, damage, _, error)| {
            assert_eq!(damage, "invalid");
            (container, error)
        })
        .collect();
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(container, kind)| (container.to_owned(), format!("{kind}, not a regular file")))
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn what_a_link_leads_to_is_judged() {
    let host = Host::new();
    let store = host.0.path().join("store");
    fs::create_dir_all(store.join("behind")).unwrap();
    for (name, content) in [("whole.json", WHOLE), ("cut.json", &WHOLE[..30]), ("behind/state.json", "{")] {
        fs::write(store.join(name), content).unwrap();
    }
    symlink("/store/whole.json", host.file("a-whole")).unwrap();
    symlink("/store/cut.json", host.file("b-cut")).unwrap();
    symlink("/store/behind", host.root().join("c-behind")).unwrap();
    fs::create_dir(host.root().join("d-swapped")).unwrap();
    fs::create_dir(host.root().join("d-swapped/..v1")).unwrap();
    fs::write(host.root().join("d-swapped/..v1/state.json"), WHOLE).unwrap();
    symlink("..v1", host.root().join("d-swapped/..data")).unwrap();
    symlink("..data/state.json", host.root().join("d-swapped/state.json")).unwrap();
    let (code, answer) = host.scan();
    assert_eq!((code, &answer["state_files"]), (1, &4.into()), "{answer}");
    let told: Vec<_> =
        damaged(&answer).into_iter().map(|(container, damage, ..)| (container, damage)).collect();
    let expected = [("b-cut", "truncated"), ("c-behind", "truncated")];
    assert_eq!(told, expected.map(|(container, damage)| (container.to_owned(), damage.to_owned())));
    let mut paths = answer["damaged"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap());
    assert!(paths.any(|path| path == "/run/runc/b-cut/state.json"), "{answer}");
}

#[test]
fn what_cannot_be_read_is_said_and_never_passes_for_good() {
    let host = Host::new().with("a", WHOLE).with("b", WHOLE).with("c", WHOLE);
    let secret = host.root().join("b/state.json");
    let closed = host.root().join("c");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let Some(mut command) = by_somebody_else(&host, &["--json"]) else { return };
    let (code, said) = answer(&mut command);
    assert_eq!((code, &said["state_files"], &said["damaged_files"]), (77, &1.into(), &0.into()));
    let mut unread: Vec<&str> =
        said["unread"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    unread.sort_unstable();
    assert_eq!(unread, ["/run/runc/b/state.json", "/run/runc/c/state.json"]);
    assert!(said["unread"][0]["error"].as_str().unwrap().starts_with("Permission denied"));

    // A broken file among those that can be read wins.
    let host = host.with("a", "");
    let (code, _) = answer(&mut by_somebody_else(&host, &["--json"]).unwrap());
    assert_eq!(code, 1);

    // A root that cannot be looked into.
    fs::set_permissions(host.root(), fs::Permissions::from_mode(0o700)).unwrap();
    let output = by_somebody_else(&host, &[]).unwrap().output().unwrap();
    assert_eq!(output.status.code(), Some(77));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("unread     runc        /run/runc: Permission denied"), "{text}");
    assert!(text.contains("remedy: ") && text.contains("1 path could not be read"), "{text}");
    assert_eq!(host.scan().0, 1);
}

/// A scan by a user without privileges; `None`, and said, where this is not root.
fn by_somebody_else(host: &Host, options: &[&str]) -> Option<Command> {
    if !is_root() {
        println!("skipped: only root can become somebody else");
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must not skip");
        return None;
    }
    // The build directory may be closed to others.
    let program = host.0.path().join("state-watchdog");
    if !program.exists() {
        fs::copy(PROGRAM, &program).unwrap();
    }
    let mut command = host.command(&program, options);
    command.uid(65_534).gid(65_534);
    Some(command)
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:\t0\t0\t"))
}

#[test]
fn names_that_steer_a_terminal_are_escaped() {
    let host = Host::new().with("evil\u{1b}[2J\nname", "");
    let output = host.output();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("evil\\u{1b}[2J\\nname") && !text.contains('\u{1b}'), "{text}");
    assert_eq!(damaged(&host.scan().1)[0].0, "evil\u{1b}[2J\nname");
}

#[test]
fn a_file_that_is_being_saved_is_not_broken() {
    let host = Host::new().with("a", WHOLE).with("b", WHOLE);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let saves = scope.spawn(|| {
            let mut saves = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                // Half written for half of the time, so that many of the readings meet either.
                let mut file = fs::File::create(host.file("a")).unwrap();
                file.write_all(&WHOLE.as_bytes()[..100]).unwrap();
                std::thread::sleep(Duration::from_millis(10));
                file.write_all(&WHOLE.as_bytes()[100..]).unwrap();
                drop(file);
                std::thread::sleep(Duration::from_millis(10));
                saves += 1;
            }
            saves
        });
        let scans: Vec<_> = (0..20).map(|_| host.scan()).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(saves.join().unwrap() > 0);
        for (code, answer) in scans {
            assert_eq!((code, &answer["damaged_files"]), (0, &0.into()), "{answer}");
        }
    });
}

#[test]
fn a_large_file_that_was_not_read_is_not_called_broken() {
    let host = Host::new();
    fs::write(host.file("a"), format!("{{\"pad\": \"{}\"}}", "x".repeat(20 << 20))).unwrap();
    let (code, answer) = host.scan();
    assert_eq!((code, &answer["damaged_files"], &answer["unread_paths"]), (74, &0.into(), &1.into()));
}

#[test]
fn a_root_that_was_typed_and_does_not_exist_is_64() {
    let host = Host::new();
    for root in ["runc=/run/rnuc", "runc=/run/rnuc/*", "runc=/run/runc/missing"] {
        let mut command = Command::new(PROGRAM);
        command.args(["scan", "--json", "--root", root, "--host-root"]).arg(host.0.path());
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{root}: {said}");
        assert!(output.stdout.is_empty() && said.contains(root.split_once('=').unwrap().1), "{said}");
    }
    // A pattern that matches nothing now, below a directory that is there.
    let mut command = Command::new(PROGRAM);
    command.args(["scan", "--root", "runc=/run/runc/*", "--host-root"]).arg(host.0.path());
    assert_eq!(command.output().unwrap().status.code(), Some(0));
}

#[test]
fn no_root_is_no_broken_file() {
    let host = tempfile::tempdir().unwrap();
    let output = Command::new(PROGRAM).args(["scan", "--host-root"]).arg(host.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "no runtime root is present\n0 state files read below 0 roots: 0 damaged\n");
}

#[test]
fn files_that_come_and_go_are_no_trouble() {
    let host = Host::new().with("stays", WHOLE);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let churn = scope.spawn(|| {
            let mut turns = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                for container in 0..20 {
                    let file = host.file(&format!("comes-{container}"));
                    let beside = file.with_extension("new");
                    fs::write(&beside, WHOLE).unwrap();
                    fs::rename(&beside, &file).unwrap();
                }
                for container in 0..20 {
                    fs::remove_dir_all(host.root().join(format!("comes-{container}"))).unwrap();
                }
                turns += 1;
            }
            turns
        });
        for _ in 0..20 {
            let (code, answer) = host.scan();
            assert_eq!((code, &answer["unread_paths"]), (0, &0.into()), "{answer}");
        }
        stop.store(true, Ordering::Relaxed);
        assert!(churn.join().unwrap() > 0);
    });
}
