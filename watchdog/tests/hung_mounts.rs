//! Mounts that do not answer: FUSE file systems whose server reads no request. Needs root and /dev/fuse; where they are
//! missing a test prints why it cannot run, which is a failure where `CI=true`.
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]
#![expect(unsafe_code, reason = "nothing else mounts")]

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longer than any answer may take on a busy machine, and shorter than a thread would hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// A mount that answers nobody, or nobody any more. Dropping it lets all who wait go on.
struct Silent {
    path: PathBuf,
    _server: File,
    is_silent: Arc<AtomicBool>,
}

impl Silent {
    fn mount(path: &Path) -> Option<Self> {
        // The kernel asks the server before it permits anything.
        let is_file = path.is_file();
        let mode = if is_file { "100644" } else { "40000" };
        let server = OpenOptions::new().read(true).write(true).open("/dev/fuse").ok()?;
        let options = format!(
            "fd={},rootmode={mode},user_id=0,group_id=0,allow_other,default_permissions",
            server.as_raw_fd()
        );
        let text = |text: &str| CString::new(text).unwrap();
        let (kind, target, options) = (text("fuse.silent"), text(path.to_str().unwrap()), text(&options));
        // SAFETY: all pointers are to strings that outlive the call.
        let result =
            unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) };
        let is_silent = Arc::new(AtomicBool::new(true));
        (result == 0).then(|| Self { path: path.to_owned(), _server: server, is_silent })
    }

    /// Lets it be an empty directory until it falls silent.
    fn answer(&self) {
        self.is_silent.store(false, Ordering::SeqCst);
        let (mut server, is_silent) = (self._server.try_clone().unwrap(), Arc::clone(&self.is_silent));
        std::thread::spawn(move || {
            let mut request = vec![0; 1 << 17];
            while server.read(&mut request).is_ok() && !is_silent.load(Ordering::SeqCst) {
                let number = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().unwrap());
                let (error, body) = answer(number(4));
                let mut reply = Vec::new();
                reply.extend(u32::try_from(16 + body.len()).unwrap().to_ne_bytes());
                reply.extend((-error).to_ne_bytes());
                reply.extend(&request[8..16]);
                reply.extend(body);
                let _ = server.write_all(&reply);
            }
        });
    }

    fn fall_silent(&self) {
        self.is_silent.store(true, Ordering::SeqCst);
    }
}

/// What a server of an empty directory says to a request, by the numbers of `include/uapi/linux/fuse.h`.
fn answer(request: u32) -> (i32, Vec<u8>) {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    match request {
        // GETATTR: not kept, root's own directory with two links.
        3 => {
            let mut reply = vec![0; 4];
            // The inode's number, 13 words of sizes and times, the mode and the links.
            reply.extend([1, 0]);
            reply.extend([0; 13]);
            reply.extend([0o40755, 2, 0, 0, 0, 4096, 0]);
            (0, words(&reply))
        }
        // INIT
        26 => (0, words(&[7, 31, 65_536, 0, 0, 65_536, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        // OPENDIR
        27 => (0, words(&[1, 0, 0, 0])),
        // READDIR, RELEASEDIR, FLUSH, ACCESS
        28 | 29 | 25 | 34 => (0, Vec::new()),
        // LOOKUP and all else
        1 => (libc::ENOENT, Vec::new()),
        _ => (libc::ENOSYS, Vec::new()),
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let target = CString::new(self.path.to_str().unwrap()).unwrap();
        // SAFETY: the pointer is to a string that outlives the call.
        unsafe { libc::umount2(target.as_ptr(), libc::MNT_FORCE | libc::MNT_DETACH) };
    }
}

/// An agent and what it prints.
struct Agent {
    child: Child,
    address: SocketAddr,
    findings: Receiver<String>,
}

impl Agent {
    fn start(roots: &[&Path]) -> Self {
        Self::start_with("inotify", roots)
    }

    fn start_with(source: &str, roots: &[&Path]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_state-watchdog"));
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        command.args(["run", "--source", source, "--listen", &address.to_string()]);
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
        for _ in roots {
            // One that does not answer is not watched.
            if is_ready.recv_timeout(Duration::from_secs(5)).is_err() {
                break;
            }
        }
        Self { child, address, findings }
    }

    /// Stops it while something happens.
    fn standing_still(&self, then: impl FnOnce()) {
        self.signal(libc::SIGSTOP);
        then();
        self.signal(libc::SIGCONT);
    }

    fn signal(&self, signal: i32) {
        // SAFETY: a signal to a child that is not reaped yet.
        unsafe { libc::kill(i32::try_from(self.child.id()).unwrap(), signal) };
    }

    /// The sum of a metric's samples.
    fn metric(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let samples = page.lines().filter(|line| line.starts_with(name));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
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

#[test]
fn a_link_to_where_nobody_answers_holds_up_no_other_link() {
    let (folder, victim, mount) = stage();
    let root = folder.path().join("root");
    fs::write(folder.path().join("good.json"), "{}").unwrap();
    let linked = root.join("linked");
    let Some(_silent) = mounted(&mount) else { return };
    let agent = Agent::start(&[&root]);
    agent.standing_still(|| {
        for (container, target) in [("hung", mount.join("state.json")), ("below", mount.join("a/b"))] {
            fs::create_dir(root.join(container)).unwrap();
            symlink(target, root.join(container).join("state.json")).unwrap();
        }
        symlink(mount.join("directory"), root.join("directory")).unwrap();
        fs::create_dir(&linked).unwrap();
        symlink(folder.path().join("good.json"), linked.join("state.json")).unwrap();
    });
    agent.sees(&victim);
    agent.sees(&linked);
    agent.sees(&victim);
}

#[test]
fn a_directory_that_is_mounted_over_before_it_is_watched_holds_up_nobody() {
    let (folder, victim, _) = stage();
    let root = folder.path().join("root");
    let agent = Agent::start(&[&root]);
    let hung = root.join("hung");
    let mut silent = None;
    agent.standing_still(|| {
        fs::create_dir(&hung).unwrap();
        silent = mounted(&hung);
    });
    if silent.is_some() {
        agent.sees(&victim);
    }
}

#[test]
fn a_root_that_falls_silent_holds_up_no_other_and_takes_few_threads() {
    let (folder, victim, mount) = stage();
    let Some(silent) = mounted(&mount) else { return };
    silent.answer();
    // A request that the server has read keeps the agent's threads, and so the agent: the mount goes first.
    let (agent, silent) = (Agent::start(&[&mount, &folder.path().join("root")]), silent);
    agent.sees(&victim);
    silent.fall_silent();
    // Each look at the roots, one a second, may find out that it does not answer.
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        agent.sees(&victim);
    }
    // All directories are to be looked at anew: the kernel's queue overflows.
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    agent.standing_still(|| {
        let beside = victim.with_file_name("beside");
        for _ in 0..limit {
            fs::create_dir(&beside).unwrap();
            fs::remove_dir(&beside).unwrap();
        }
    });
    agent.sees(&victim);
    let deadline = Instant::now() + PATIENCE;
    while agent.metric("state_watchdog_events_lost_total") < 1.0 {
        assert!(Instant::now() < deadline, "the queue did not overflow");
        agent.sees(&victim);
    }
    agent.sees(&victim);
    let stuck = agent.metric("state_watchdog_stuck_threads");
    assert!((1.0..=4.0).contains(&stuck), "{stuck} threads wait");
}

#[test]
fn a_descriptor_on_a_mount_that_does_not_answer_hides_no_other() {
    let (folder, victim, _) = stage();
    let root = folder.path().join("root");
    let older = root.join("older");
    fs::create_dir(&older).unwrap();
    fs::write(older.join("state.json"), "{}").unwrap();
    let elsewhere = folder.path().join("state.json");
    fs::write(&elsewhere, "").unwrap();
    let Some(_silent) = mounted(&elsewhere) else { return };
    // Held by this process: first the file that does not answer, then one that is saved later.
    let place = rustix::fs::open(&elsewhere, rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    let mut held = OpenOptions::new().write(true).open(older.join("state.json")).unwrap();
    let agent = Agent::start_with("syscalls", &[&root]);
    agent.sees(&victim);
    let deadline = Instant::now() + PATIENCE;
    let found = || agent.findings.recv_timeout(Duration::from_millis(200)).unwrap_or_default();
    loop {
        assert!(Instant::now() < deadline, "no finding tells of a description that is older than the agent");
        held.set_len(0).unwrap();
        held.write_all(b"{}").unwrap();
        held = OpenOptions::new().write(true).open(older.join("state.json")).unwrap();
        let finding = found();
        if finding.contains("\"nonatomic_write\"") && finding.contains("\"older\"") {
            break;
        }
    }
    drop(place);
}

/// Runs a command to its end, which must come although the kernel keeps a thread of it.
fn ends(words: &[&str], root: &Path) -> (Option<i32>, String) {
    let (done, is_done) = channel();
    let mut command = Command::new(env!("CARGO_BIN_EXE_state-watchdog"));
    command.args(words).arg("--root").arg(format!("lab={}", root.display()));
    std::thread::spawn(move || {
        let output = command.output().unwrap();
        done.send((output.status.code(), String::from_utf8(output.stdout).unwrap())).unwrap();
    });
    is_done.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{words:?} does not end"))
}

#[test]
fn scan_and_doctor_end_and_tell_what_did_not_answer() {
    let (folder, victim, _) = stage();
    let root = folder.path().join("root");
    fs::write(victim.join("state.json"), "{").unwrap();
    let hung = root.join("hung");
    fs::create_dir(&hung).unwrap();
    let Some(silent) = mounted(&hung) else { return };
    silent.answer();
    silent.fall_silent();
    let (exit, report) = ends(&["scan", "--json"], &root);
    assert_eq!(exit, Some(1), "{report}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        (&report["damaged_files"], &report["damaged"][0]["container_id"]),
        (&1.into(), &"victim".into())
    );
    let unread = &report["unread"][0];
    assert_eq!(unread["path"], hung.to_str().unwrap());
    assert!(unread["error"].as_str().unwrap().contains("does not answer"), "{unread}");
    let (_, report) = ends(&["doctor", "--json", "--source", "inotify"], &root);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let seen = &report["roots"][0]["directories"][0];
    assert_eq!((&seen["damaged"], &seen["unreadable"]), (&1.into(), &1.into()), "{seen}");
    // The same with a root.
    let (exit, report) = ends(&["scan", "--json"], &hung);
    assert_eq!(exit, Some(74), "{report}");
    assert!(report.contains("does not answer"), "{report}");
    let (_, report) = ends(&["doctor", "--json", "--source", "inotify"], &hung);
    assert!(report.contains("does not answer"), "{report}");
}
