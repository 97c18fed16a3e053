//! What runs when something is refused: each step from the best source to the last, forced for real.
//!
//! Needs root, to take rights away from what it starts.
#![cfg(feature = "ebpf")]
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// An agent that is stopped with the test.
struct Agent {
    process: Child,
    status: Value,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Agent {
    /// Waits until it runs, and asks for its status.
    fn start(command: &mut Command) -> Self {
        let mut process = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = loop {
            let Some(Ok(line)) = lines.next() else { panic!("it did not run:\n{said}") };
            let json: Value = serde_json::from_str(&line).unwrap();
            if json["fields"]["message"] == "running" {
                break json["fields"]["address"].as_str().unwrap().to_owned();
            }
            said += &line;
            said.push('\n');
        };
        // Whoever does not read on must not stop the agent.
        std::thread::spawn(move || lines.count());
        let mut agent = Self { process, status: Value::Null };
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            agent.status = get(&address, "/status");
            if agent.status["readiness"] != "not_ready" {
                return agent;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it never got ready: {}\n{said}", agent.status);
    }

    #[track_caller]
    fn check(&self, source: &str, refused: &[(&str, &str)]) {
        assert_eq!(self.status["source"], source, "{}", self.status);
        for (source, reason) in refused {
            let given = self.status["refused_sources"][source].as_str().unwrap_or_default();
            assert!(given.contains(reason), "{source} should be refused with {reason:?}: {}", self.status);
        }
    }
}

fn get(address: &str, path: &str) -> Value {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// The arguments after the program.
fn arguments(root: &Path) -> Vec<String> {
    let root = format!("test={}", root.display());
    let words =
        ["run", "--findings", "none", "--log-format", "json", "--listen", "127.0.0.1:0", "--root", &root];
    words.map(str::to_owned).to_vec()
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_state-watchdog");

#[test]
fn all_that_this_kernel_has() {
    let root = tempfile::tempdir().unwrap();
    let agent = Agent::start(Command::new(PROGRAM).args(arguments(root.path())));
    let source = agent.status["source"].as_str().unwrap();
    match source {
        "vfs" => agent.check("vfs", &[]),
        // Neither make of hook on VFS functions: each is named with the kernel's answer.
        "syscalls" => agent.check("syscalls", &[("vfs", "fentry"), ("vfs", "kprobe")]),
        _ => panic!("CI has a kernel for eBPF: {}", agent.status),
    }
    assert_eq!(agent.status["proof_of_life"]["verdict"], "alive");
}

#[test]
fn no_attaching_at_all() {
    let root = tempfile::tempdir().unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(arguments(root.path()));
    refuse_attaching(&mut command);
    let agent = Agent::start(&mut command);
    agent.check("inotify", &[("vfs", "Operation not permitted"), ("syscalls", "Operation not permitted")]);
}

#[test]
fn no_type_information() {
    let root = tempfile::tempdir().unwrap();
    let script = "mount --make-rprivate / && mount -t tmpfs none /sys/kernel/btf && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh", PROGRAM]).args(arguments(root.path()));
    let agent = Agent::start(&mut command);
    agent.check("inotify", &[("vfs", "no type information"), ("syscalls", "no type information")]);
}

#[test]
fn no_capability_for_bpf() {
    let root = tempfile::tempdir().unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-bpf,-perfmon,-sys_admin", "--inh-caps=-all", PROGRAM]);
    let agent = Agent::start(command.args(arguments(root.path())));
    let missing = "CAP_BPF and CAP_PERFMON missing";
    agent.check("inotify", &[("vfs", missing), ("syscalls", missing)]);
}

#[test]
fn a_locked_down_kernel() {
    let root = tempfile::tempdir().unwrap();
    let host = tempfile::tempdir().unwrap();
    let security = host.path().join("sys/kernel/security");
    std::fs::create_dir_all(&security).unwrap();
    std::fs::write(security.join("lockdown"), "none integrity [confidentiality]\n").unwrap();
    let mut command = Command::new(PROGRAM);
    let agent = Agent::start(command.args(arguments(root.path())).arg("--host-root").arg(host.path()));
    agent.check("inotify", &[("vfs", "lockdown"), ("syscalls", "lockdown")]);
}

/// The kernel answers EPERM to whoever attaches a program, and to nothing else.
#[expect(unsafe_code, reason = "a filter is set between fork and exec")]
fn refuse_attaching(command: &mut Command) {
    use libc::{
        BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO,
        sock_filter,
    };
    // enum bpf_cmd, include/uapi/linux/bpf.h.
    const RAW_TRACEPOINT_OPEN: u32 = 17;
    const LINK_CREATE: u32 = 28;
    // Of struct seccomp_data: nr, and the lower half of args[0].
    const CALL: u32 = 0;
    const COMMAND: u32 = 16;
    let step = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    let load = |at| step(BPF_LD | BPF_W | BPF_ABS, 0, 0, at);
    let equal = |value, then, otherwise| step(BPF_JMP | BPF_JEQ | BPF_K, then, otherwise, value);
    let answer = |value| step(BPF_RET | BPF_K, 0, 0, value);
    let filter = [
        load(CALL),
        equal(libc::SYS_bpf as u32, 0, 4),
        load(COMMAND),
        equal(RAW_TRACEPOINT_OPEN, 1, 0),
        equal(LINK_CREATE, 0, 1),
        answer(SECCOMP_RET_ERRNO | libc::EPERM as u32),
        answer(SECCOMP_RET_ALLOW),
    ];
    let set = move || {
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        // SAFETY: prctl takes numbers and a pointer to a filter that lives until it returns.
        let failed = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
        };
        if failed { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: it makes two system calls and allocates nothing.
    unsafe { command.pre_exec(set) };
}
