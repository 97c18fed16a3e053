//! Where output goes and cannot be taken: a file at its size limit, a full disk, a closed descriptor.
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_state-watchdog");
const PATIENCE: Duration = Duration::from_secs(60);

/// An agent that dies with its test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn wait<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The address at which an agent whose log this is serves.
fn address(log: &Path) -> String {
    wait("the agent runs", || {
        let text = fs::read_to_string(log).ok()?;
        let (_, rest) = text.lines().find(|line| line.contains("running"))?.split_once("address=")?;
        Some(rest.split_whitespace().next()?.to_owned())
    })
}

fn page(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn dropped(address: &str) -> u64 {
    let metrics = page(address, "/metrics");
    let name = "state_watchdog_findings_dropped_total{reason=\"unwritable\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}

#[test]
fn findings_at_a_files_size_limit_are_dropped_and_the_agent_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (root, log) = (folder.path().join("root"), folder.path().join("log"));
    fs::create_dir_all(root.join("c")).unwrap();
    let file = root.join("c/state.json");
    fs::write(&file, "{}").unwrap();
    // The shell's limit is one block; logs go elsewhere, through a pipe.
    let script = "ulimit -f 1 && exec \"$0\" \"$@\" > \"$OUT\"";
    let root = format!("test={}", root.display());
    let arguments = ["run", "--source", "inotify", "--listen", "127.0.0.1:0", "--root", &root];
    let mut child = Command::new("sh")
        .args(["-c", script, PROGRAM])
        .args(arguments)
        .env("OUT", folder.path().join("findings"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut copy = OpenOptions::new().create(true).append(true).open(&log).unwrap();
    let mut agent = Agent(child);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut bytes) {
                copy.write_all(&bytes[..read]).unwrap();
            }
        });
        let address = address(&log);
        wait("findings are dropped", || {
            fs::write(&file, "{\"a\": 1}").unwrap();
            (dropped(&address) >= 3).then_some(())
        });
        let findings = page(&address, "/findings");
        assert!(findings.contains("nonatomic_write"), "{findings}");
        assert!(page(&address, "/livez").starts_with("HTTP/1.0 200"));
        assert!(agent.0.try_wait().unwrap().is_none(), "it lives");
        drop(agent);
    });
}

#[test]
fn typed_roots_that_do_not_exist_are_warned_of_and_processor_time_ends_as_a_stop_does() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    fs::create_dir(folder.path().join("there")).unwrap();
    let root = |name: &str| format!("{name}={}", folder.path().join(name).display());
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--source", "inotify", "--listen", "127.0.0.1:0", "--findings", "none"]);
    command.args([
        "--root",
        &root("there"),
        "--root",
        &root("mistyped"),
        "--root",
        &(root("pattern") + "/*"),
    ]);
    let mut agent = Agent(command.stderr(File::create(&log).unwrap()).spawn().unwrap());
    address(&log);
    let told = |name: &str| {
        let text = fs::read_to_string(&log).unwrap();
        text.lines()
            .any(|line| line.contains("WARN") && line.contains("does not exist") && line.contains(name))
    };
    wait("both are warned of", || (told("mistyped") && told("pattern")).then_some(()));
    assert!(!told("/there"));
    let pid = rustix::process::Pid::from_child(&agent.0);
    rustix::process::kill_process(pid, rustix::process::Signal::XCPU).unwrap();
    let status = wait("it ends", || agent.0.try_wait().unwrap());
    let text = fs::read_to_string(&log).unwrap();
    assert!(status.code() == Some(0) && text.contains("RLIMIT_CPU"), "{status}: {text}");
}

#[test]
fn an_answer_that_cannot_be_written_is_74() {
    let host = tempfile::tempdir().unwrap();
    let host = host.path().to_str().unwrap();
    for arguments in [
        &["config"][..],
        &["completions", "bash"],
        &["scan", "--host-root", host],
        &["scan", "--json", "--host-root", host],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(PROGRAM);
        let output = command.args(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(74), "{arguments:?}: {said}");
        assert!(said.contains("cannot write to standard output"), "{said}");
    }
}

#[test]
fn complaints_that_nobody_can_take_are_no_panic() {
    for arguments in [&["replay", "/nonexistent"][..], &["run", "--root", "runc"], &["nonsense"]] {
        for error in [OpenOptions::new().write(true).open("/dev/full"), File::open("/dev/null")] {
            let mut command = Command::new(PROGRAM);
            let status =
                command.args(arguments).stdout(Stdio::null()).stderr(error.unwrap()).status().unwrap();
            assert_eq!(status.code(), Some(64), "{arguments:?}");
        }
    }
}
