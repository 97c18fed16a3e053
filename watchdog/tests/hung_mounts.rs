//! Mounts that do not answer: FUSE file systems whose server reads no request. Needs root and /dev/fuse; where they are
//! missing a test prints why it cannot run, which is a failure where `CI=true`.
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]
#![expect(unsafe_code, reason = "nothing else mounts")]

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longer than any answer may take on a busy machine, and shorter than a thread would hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// A mount that answers nobody. Dropping it lets all who wait go on.
struct Silent {
    path: PathBuf,
    _server: File,
}

impl Silent {
    fn mount(path: &Path) -> Option<Self> {
        let server = OpenOptions::new().read(true).write(true).open("/dev/fuse").ok()?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", server.as_raw_fd());
        let text = |text: &str| CString::new(text).unwrap();
        let (kind, target, options) = (text("fuse.silent"), text(path.to_str().unwrap()), text(&options));
        // SAFETY: all pointers are to strings that outlive the call.
        let result =
            unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) };
        (result == 0).then(|| Self { path: path.to_owned(), _server: server })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let target = CString::new(self.path.to_str().unwrap()).unwrap();
        // SAFETY: the pointer is to a string that outlives the call.
        unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
    }
}

/// An agent with the source `inotify` and what it prints.
struct Agent {
    child: Child,
    findings: Receiver<String>,
}

impl Agent {
    fn start(roots: &[&Path]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_state-watchdog"));
        command.args(["run", "--source", "inotify", "--listen", "127.0.0.1:0"]);
        for (index, root) in roots.iter().enumerate() {
            command.arg("--root").arg(format!("lab{index}={}", root.display()));
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (ready, is_ready) = channel();
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if line.contains("watching a runtime root") {
                    let _ = ready.send(());
                }
            }
        });
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (lines, findings) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        is_ready.recv_timeout(PATIENCE).expect("no root is watched");
        Self { child, findings }
    }

    /// Saves in place until a finding tells of it: a new directory may not be watched yet.
    fn sees(&self, container: &Path) {
        let name = container.file_name().unwrap().to_str().unwrap();
        let expected = format!("\"container_id\":\"{name}\"");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            fs::write(container.join("state.json"), r#"{"a":1}"#).unwrap();
            while let Ok(finding) = self.findings.recv_timeout(Duration::from_millis(200)) {
                if finding.contains("\"nonatomic_write\"") && finding.contains(&expected) {
                    return;
                }
            }
        }
        panic!("no finding tells of {name}");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A root with one container, and a place for a mount.
fn stage() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let container = folder.path().join("root/victim");
    fs::create_dir_all(&container).unwrap();
    let mount = folder.path().join("mount");
    fs::create_dir(&mount).unwrap();
    (folder, container, mount)
}

/// The mount, or why the test cannot run.
fn mounted(path: &Path) -> Option<Silent> {
    let silent = Silent::mount(path);
    if silent.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "FUSE cannot be mounted here");
        eprintln!("cannot run: FUSE cannot be mounted here");
    }
    silent
}

#[test]
fn bundles_on_a_mount_that_does_not_answer_hold_up_nobody() {
    let (folder, victim, mount) = stage();
    let Some(_silent) = mounted(&mount) else { return };
    let root = folder.path().join("root");
    for number in 0..8 {
        let hostile = root.join(format!("hostile{number}"));
        fs::create_dir(&hostile).unwrap();
        let state = format!(r#"{{"pid":{},"bundle":"{}/b{number}"}}"#, 4_000_000 + number, mount.display());
        fs::write(hostile.join("state.json"), state).unwrap();
    }
    let agent = Agent::start(&[&root]);
    for _ in 0..3 {
        agent.sees(&victim);
    }
}

#[test]
fn a_container_directory_that_does_not_answer_holds_up_nobody() {
    let (folder, victim, _) = stage();
    let root = folder.path().join("root");
    let hung = root.join("hung");
    fs::create_dir(&hung).unwrap();
    let agent = Agent::start(&[&root]);
    let Some(_silent) = mounted(&hung) else { return };
    // The agent looks at all directories each second; what is made later is found by such a look.
    for number in 0..3 {
        agent.sees(&victim);
        let new = root.join(format!("new{number}"));
        fs::create_dir(&new).unwrap();
        agent.sees(&new);
    }
}

#[test]
fn a_root_that_does_not_answer_holds_up_no_other() {
    let (folder, victim, mount) = stage();
    let Some(_silent) = mounted(&mount) else { return };
    let agent = Agent::start(&[&mount, &folder.path().join("root")]);
    agent.sees(&victim);
}
