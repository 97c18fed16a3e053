//! Whom something is laid to: /proc, cgroups, names.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use tempfile::TempDir;
use watchdog::cli::Arguments;
use watchdog::clock::WallClock;
use watchdog::enrich::{Damage, Pod, Processes, capture, pod_of_cgroup};
use watchdog::host_root::HostRoot;
use watchdog::model::{
    Actor, BootNanos, Comm, InodeId, OpenId, Pid, Place, ProcessFacts, ReadReport, Role, RootId, Span,
    Verdict,
};
use watchdog::report::{FileFacts, Finding, Reporter, line};
use watchdog::source::SourceKind;

/// More than a finding with the longest of everything has.
const LONGEST: usize = 256 << 10;

thread_local! {
    static HOST: RefCell<Option<TempDir>> = RefCell::new(folder().ok());
}

/// In memory where it can be: a disk would take most of the time.
fn folder() -> io::Result<TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}

/// Whatever /proc, the probes and the names of files say, a finding is one line of JSON, without a character that
/// steers a terminal, and of bounded length.
pub fn attribution(bytes: &[u8]) {
    HOST.with_borrow(|host| {
        let Some(host) = host else { panic!("no folder") };
        let _ = attribute(host, &mut Unstructured::new(bytes));
    });
}

fn attribute(host: &TempDir, bytes: &mut Unstructured<'_>) -> Result<()> {
    let root = HostRoot::new(host.path());
    let folder = host.path().join("proc/7");
    let written = fs::create_dir_all(&folder).and_then(|()| {
        for name in ["stat", "status", "cgroup", "cmdline"] {
            fs::write(folder.join(name), foreign(bytes).unwrap_or_default())?;
        }
        Ok(())
    });
    assert!(written.is_ok(), "{written:?}");
    let captured = capture(&root, Pid(7));
    if let Some(process) = &captured {
        assert!(process.args.iter().map(String::len).sum::<usize>() <= 3 * 2048, "{process:?}");
    }
    let container = text(bytes)?;
    if let Some(pod) = captured.and_then(|process| pod_of_cgroup(&process.cgroup?, &container)) {
        let uid = pod.uid.unwrap_or_default();
        assert!(uid.chars().all(|c| c.is_ascii_hexdigit() || c == '-'), "{uid}");
    }
    let mut processes = Processes::new(root, Arguments::Redacted);
    let actor = Actor { pid: Pid(7), tid: 7, comm: Comm(bytes.arbitrary()?) };
    processes.witness(&actor, BootNanos(bytes.arbitrary()?));
    processes.learn(&ProcessFacts {
        pid: Pid(bytes.int_in_range(6..=8)?),
        started: BootNanos(bytes.arbitrary()?),
        seen: BootNanos(bytes.arbitrary()?),
        since: BootNanos(0),
        program: 0,
        exe: None,
        comm: Comm(bytes.arbitrary()?),
        uid: bytes.arbitrary()?,
        cgroup_id: bytes.arbitrary()?,
        args: foreign(bytes)?,
        args_cut: bytes.arbitrary()?,
        ancestors: vec![(Pid(bytes.arbitrary()?), Comm(bytes.arbitrary()?))],
    });
    report(bytes, container, actor, &processes)
}

fn report(
    bytes: &mut Unstructured<'_>,
    container: String,
    actor: Actor,
    processes: &Processes,
) -> Result<()> {
    let at = BootNanos(bytes.arbitrary()?);
    let maybe = |bytes: &mut Unstructured<'_>| -> Result<_> { Ok(Some(text(bytes)?)) };
    let pod = Pod { name: maybe(bytes)?, namespace: maybe(bytes)?, container: None, uid: maybe(bytes)? };
    let name = text(bytes)?;
    let facts = FileFacts {
        runtime: "any".to_owned(),
        root: "/run/any".to_owned(),
        path: format!("/run/any/{container}/{name}"),
        name: name.clone(),
        container: container.clone(),
        image: maybe(bytes)?,
        pod: Some(pod),
    };
    let place = Place { root: RootId(0), container: container.into(), name: name.into(), role: Role::State };
    let read = ReadReport {
        place: Arc::new(place),
        inode: InodeId { dev: 1, ino: 1, generation: 0 },
        open: OpenId { file: 1, opened: 1 },
        verdict: Verdict::Torn,
        reader: actor,
        writer: actor,
        window: Span::new(at, BootNanos(bytes.arbitrary()?)),
        operations: Vec::new(),
        read: None,
        read_calls: bytes.arbitrary()?,
        bytes: bytes.arbitrary()?,
        size_before: bytes.arbitrary()?,
        final_size: bytes.arbitrary()?,
        judged: at,
    };
    let wall = WallClock::booted_at(bytes.arbitrary()?);
    let mut reporter = Reporter::new(SourceKind::Syscalls, wall, BootNanos(0));
    if let Some(finding) = reporter.read(&facts, &read, processes) {
        check(&finding);
    }
    check(&reporter.damage(&facts, Damage::Empty, None, at, processes));
    Ok(())
}

fn check(finding: &Finding) {
    let json = match serde_json::to_string(finding) {
        Ok(json) => json,
        Err(error) => panic!("{error}"),
    };
    let person = line(finding);
    for line in [&json, &person] {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(line.len() <= LONGEST, "{} bytes", line.len());
    }
}

fn foreign(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let length = bytes.int_in_range(0..=600)?;
    Ok(bytes.bytes(length.min(bytes.len()))?.to_vec())
}

fn text(bytes: &mut Unstructured<'_>) -> Result<String> {
    let length = bytes.int_in_range(0..=255)?;
    Ok(String::from_utf8_lossy(bytes.bytes(length.min(bytes.len()))?).into_owned())
}
