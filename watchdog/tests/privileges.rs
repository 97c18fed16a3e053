//! What the running agent may do, by the kernel's own account, and that it is enough.
//!
//! Needs root, to have something to drop; the eBPF part needs a kernel that takes the probes. Else it prints why it
//! cannot run, which is a failure where `CI=true`.
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
#[cfg(feature = "ebpf")]
use watchdog::privilege::NEEDED;
use watchdog::source::Capability;

const PATIENCE: Duration = Duration::from_secs(60);
/// Neither the agent nor root.
const STRANGER: u32 = 65_534;

#[test]
fn with_inotify_only_reading_is_left() {
    let Some(site) = Site::new() else { return };
    let agent = site.agent("inotify").unwrap();
    agent.holds(&[Capability::DacReadSearch]);
    site.save_as_a_stranger();
    // Nobody but the owner may enter the root and read the file.
    assert_eq!(agent.finds("nonatomic_write")["aftermath"], "valid");
}

#[cfg(feature = "ebpf")]
#[test]
fn with_probes_the_table_of_needs_is_left_and_all_of_it_works() {
    let Some(site) = Site::new() else { return };
    let mut ran = false;
    for source in ["vfs", "syscalls"] {
        let Some(agent) = site.agent(source) else {
            eprintln!("the source {source} does not run here");
            continue;
        };
        ran = true;
        agent.holds(&NEEDED.map(|need| need.capability));
        site.save_as_a_stranger();
        let finding = agent.finds("nonatomic_write");
        assert_eq!(finding["aftermath"], "valid", "{finding}");
        // The program of a stranger's process is not for everybody to see.
        assert_eq!(finding["attribution"], "full", "{finding}");
        assert!(finding["writer"]["exe"].is_string(), "{finding}");
        assert_eq!(finding["writer"]["uid"], STRANGER, "{finding}");
    }
    if !ran {
        skip("no eBPF source runs here");
    }
}

/// What comes after a source that fell silent: everything that attaching needs is still there.
#[cfg(feature = "ebpf")]
#[test]
fn a_source_can_be_attached_after_the_drop() {
    use watchdog::privilege::shed;
    use watchdog::source::ebpf::{Options, SyscallsSource};
    use watchdog::source::{CANARY, Depths, RootSpec, Source, SourceKind};

    if !is_root() {
        return skip("not root");
    }
    let root = tempfile::tempdir().unwrap();
    let path = root.path().to_owned();
    let thread = std::thread::spawn(move || {
        let held = shed(SourceKind::Vfs);
        assert!(!held.held.contains(&"CAP_SYS_ADMIN".to_owned()), "{held:?}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let options = Options { ring_bytes: 1 << 20, key: None };
        let mut source = match SyscallsSource::attach(&options) {
            Ok(source) => source,
            Err(error) => return skip(&format!("{error}")),
        };
        shed(SourceKind::Syscalls);
        let spec =
            RootSpec { id: CANARY, path, depths: Depths::only(1), locks: Depths::NONE, names: Vec::new() };
        source.watch(&spec).expect("a root is added without more rights");
        assert!(source.probes().iter().all(|probe| probe.attached), "{:?}", source.probes());
        let left = shed(SourceKind::Inotify);
        assert_eq!(left.held, ["CAP_DAC_READ_SEARCH"]);
    });
    thread.join().unwrap();
}

/// A root that belongs to a stranger, with one container.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Option<Self> {
        if !is_root() {
            skip("not root");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let site = Self { folder };
        let container = site.root().join("c");
        fs::create_dir_all(&container).unwrap();
        fs::write(container.join("state.json"), "{}").unwrap();
        for (path, mode) in
            [(site.root(), 0o700), (container.clone(), 0o700), (container.join("state.json"), 0o600)]
        {
            chown(&path, Some(STRANGER), Some(STRANGER)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        Some(site)
    }

    fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("root")
    }

    /// `None` when the source cannot run here.
    fn agent(&self, source: &str) -> Option<Agent> {
        Agent::start(source, &self.root())
    }

    /// In place, by a process that stays until it was looked at.
    fn save_as_a_stranger(&self) {
        let file = self.root().join("c/state.json");
        let script = format!("echo '{{\"a\":1}}' > {}; sleep 1", file.display());
        let status = Command::new("sh").args(["-c", &script]).uid(STRANGER).gid(STRANGER).status().unwrap();
        assert!(status.success());
    }
}

/// An agent that is stopped with the test.
struct Agent {
    process: Child,
    address: String,
    findings: Receiver<Value>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Agent {
    fn start(source: &str, root: &Path) -> Option<Self> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_state-watchdog"))
            .args(["run", "--log-format", "json", "--listen", "127.0.0.1:0", "--source", source, "--root"])
            .arg(format!("test={}", root.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = loop {
            let Some(Ok(line)) = log.next() else {
                process.wait().unwrap();
                return None;
            };
            let json: Value = serde_json::from_str(&line).unwrap();
            if json["fields"]["message"] == "running" {
                break json["fields"]["address"].as_str().unwrap().to_owned();
            }
        };
        std::thread::spawn(move || log.count());
        let (sender, findings) = channel();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        let agent = Self { process, address, findings };
        let deadline = Instant::now() + PATIENCE;
        while agent.status()["readiness"] == "not_ready" {
            assert!(Instant::now() < deadline, "it never got ready: {}", agent.status());
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(agent)
    }

    fn status(&self) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET /status HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    fn finds(&self, kind: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let finding = self.findings.recv_timeout(left).unwrap_or_else(|_| panic!("no {kind} was found"));
            if finding["kind"] == kind {
                return finding;
            }
        }
    }

    /// Every thread holds these at most, the loop's exactly these; and the status says so.
    #[track_caller]
    fn holds(&self, expected: &[Capability]) {
        let expected = expected.iter().fold(0_u64, |bits, capability| bits | 1 << *capability as u32);
        let pid = self.process.id();
        for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
            let task = task.unwrap();
            let text = fs::read_to_string(task.path().join("status")).unwrap();
            let fields: BTreeMap<_, _> = text.lines().filter_map(|line| line.split_once(":\t")).collect();
            let set = |name| u64::from_str_radix(fields[name], 16).unwrap();
            if task.file_name().to_str().unwrap() == pid.to_string() {
                assert_eq!(set("CapPrm"), expected, "{text}");
                assert_eq!(set("CapEff"), expected, "{text}");
            }
            assert_eq!(set("CapPrm") & !expected, 0, "{text}");
            assert_eq!(set("CapEff") & !expected, 0, "{text}");
            assert_eq!((set("CapInh"), set("CapAmb"), set("CapBnd")), (0, 0, 0), "{text}");
            assert_eq!(fields["NoNewPrivs"], "1", "{text}");
        }
        let told = &self.status()["capabilities"];
        let names = told["held"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
        let numbers = names.map(|name| Capability::ALL.iter().find(|known| known.as_str() == name).unwrap());
        assert_eq!(numbers.fold(0, |bits, capability| bits | 1 << *capability as u32), expected, "{told}");
        assert_eq!(
            (&told["bounding"], &told["no_new_privileges"]),
            (&Value::Array(Vec::new()), &Value::Bool(true))
        );
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must not skip: {reason}");
}
