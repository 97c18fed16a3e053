//! One process, as the kernel and /proc describe it.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::host_root::HostRoot;
use crate::model::{BootNanos, Pid, ProcessFacts};

/// At most so much of a file in /proc is read.
const MAX_PROC_BYTES: u64 = 16 << 10;
/// At most so many bytes of arguments are kept of a process.
pub(super) const MAX_ARGS_BYTES: usize = 2 << 10;
/// The kernel keeps so many bytes of a name (`TASK_COMM_LEN`, less the NUL).
const MAX_COMM_BYTES: usize = 15;
/// At most so many ancestors are followed.
const MAX_ANCESTORS: usize = 16;
/// /proc counts start times in ticks of 10 ms (USER_HZ is 100 on every architecture that we build for).
pub(super) const TICK: u64 = 10_000_000;

/// How much is known of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attribution {
    /// The event's pid and name alone.
    None,
    /// What the kernel side saw.
    Process,
    /// /proc was read while it lived.
    Full,
}

/// A process while it runs one program. Texts are foreign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its pid.
    pub pid: Pid,
    /// When it started.
    pub started: BootNanos,
    /// From when it is known to run this program.
    #[serde(default)]
    pub since: BootNanos,
    /// The kernel side's number for the program, see [`ProcessFacts::program`]; `None` when only /proc was read.
    #[serde(default)]
    pub program: Option<u32>,
    /// Its name as the kernel keeps it; see [`Process::name`].
    pub comm: String,
    /// The program.
    pub exe: Option<String>,
    /// Its arguments, cut at a fixed number of bytes.
    pub args: Vec<String>,
    /// Real user id.
    pub uid: Option<u32>,
    /// Its cgroup's path.
    pub cgroup: Option<String>,
    /// Parent first, up to init.
    pub ancestors: Vec<Ancestor>,
    /// How this is known.
    pub attribution: Attribution,
}

/// One of a process's ancestors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub comm: String,
}

impl Process {
    /// What the kernel side saw.
    #[must_use]
    pub fn from_facts(facts: &ProcessFacts) -> Self {
        let ancestor =
            |(pid, comm): &(Pid, crate::model::Comm)| Ancestor { pid: pid.0, comm: comm.to_string() };
        Self {
            pid: facts.pid,
            started: facts.started,
            since: facts.since,
            program: Some(facts.program),
            comm: facts.comm.to_string(),
            exe: facts.exe.clone(),
            args: split_args(&facts.args),
            uid: Some(facts.uid),
            cgroup: None,
            ancestors: facts.ancestors.iter().map(ancestor).collect(),
            attribution: Attribution::Process,
        }
    }

    /// What people call it. The kernel names a process after the file that it executed; youki and runc execute a sealed
    /// copy of themselves in memory, whose name is a descriptor's number or `memfd:…`. Then it is called by what it was
    /// started as, cut as the kernel would have cut it.
    #[must_use]
    pub fn name(&self) -> &str {
        let says_nothing =
            self.comm.starts_with("memfd:") || self.comm.bytes().all(|byte| byte.is_ascii_digit());
        let started_as = self.args.first().and_then(|arg| arg.rsplit('/').next());
        match started_as {
            Some(name) if says_nothing && !name.is_empty() => {
                &name[..name.floor_char_boundary(MAX_COMM_BYTES)]
            }
            _ => &self.comm,
        }
    }

    /// Adds what another look at the same process knows. What belongs to the program is taken only from a look at the same
    /// one: /proc shows the program that runs when it is read, which may be a later one.
    pub(super) fn fill_from(&mut self, other: Self) {
        let is_same_program = self.shows_the_program_of(&other);
        let Self { exe, args, uid, cgroup, ancestors, attribution, .. } = other;
        self.uid = self.uid.or(uid);
        self.cgroup = self.cgroup.take().or(cgroup);
        if is_same_program {
            self.exe = self.exe.take().or(exe);
            if length(&self.args) < length(&args) {
                self.args = args;
            }
            // An orphan's parent is another one than it was.
            let known = self.ancestors.len();
            if ancestors.len() > known && ancestors[..known] == self.ancestors {
                self.ancestors = ancestors;
            }
        }
        if self.exe.is_some() {
            self.attribution = self.attribution.max(attribution);
        }
    }

    /// Whether nothing that both looks know of the program differs.
    pub(super) fn shows_the_program_of(&self, other: &Self) -> bool {
        let differs = |a: &Option<_>, b: &Option<_>| a.is_some() && b.is_some() && a != b;
        self.comm == other.comm
            && !differs(&self.exe, &other.exe)
            && !(self.program.is_some() && other.program.is_some() && self.program != other.program)
            && begin_alike(&self.args, &other.args)
    }
}

/// Reads a living process from /proc, its arguments included; `None` when it is gone or never was.
///
/// Arguments lie in the process's memory: reading them waits for its `mmap_lock`, which another of its threads may hold in
/// a page fault on a mount that does not answer (`access_remote_vm`, 5.10 to 7.2). So the event loop does not call this.
#[must_use]
pub fn capture(host: &HostRoot, pid: Pid) -> Option<Process> {
    let process = capture_at_once(host, pid)?;
    let line = read_limited(proc_path(host, pid, "cmdline")).unwrap_or_default();
    Some(Process { args: split_args(&line), ..process })
}

/// Reads what never has to be waited for: everything but the arguments.
pub(super) fn capture_at_once(host: &HostRoot, pid: Pid) -> Option<Process> {
    let stat = Stat::read(host, pid)?;
    let text = |name: &str| read_limited(proc_path(host, pid, name));
    let exe = fs::read_link(proc_path(host, pid, "exe")).ok();
    let status = text("status").unwrap_or_default();
    let started = BootNanos(stat.start_ticks.saturating_mul(TICK));
    Some(Process {
        pid,
        started,
        since: started,
        program: None,
        comm: stat.comm.clone(),
        args: Vec::new(),
        uid: uid(&String::from_utf8_lossy(&status)),
        cgroup: cgroup_of(host, pid),
        ancestors: ancestors(host, stat.parent),
        // A zombie still has a stat, but no program any more.
        attribution: if exe.is_some() { Attribution::Full } else { Attribution::Process },
        exe: exe.map(|path| path.to_string_lossy().into_owned()),
    })
}

/// Whether both are the same command line, of which either may be cut. Where the kernel side cut it, within an argument and
/// maybe to hide a part of that, the last one that it has says nothing.
fn begin_alike(one: &[String], other: &[String]) -> bool {
    const SURELY_WHOLE: usize = 200;
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let Some((last, before)) = short.split_last() else { return true };
    let (mine, its) = (last, &long[before.len()]);
    let fits =
        length(one).min(length(other)) >= SURELY_WHOLE || mine.starts_with(its) || its.starts_with(mine);
    before == &long[..before.len()] && fits
}

/// How many bytes arguments have.
fn length(args: &[String]) -> usize {
    args.iter().map(String::len).sum()
}

/// The cgroup of a living process.
#[must_use]
pub fn cgroup_of(host: &HostRoot, pid: Pid) -> Option<String> {
    cgroup(&String::from_utf8_lossy(&read_limited(proc_path(host, pid, "cgroup"))?))
}

/// What /proc/PID/stat says.
struct Stat {
    comm: String,
    parent: Pid,
    start_ticks: u64,
}

impl Stat {
    fn read(host: &HostRoot, pid: Pid) -> Option<Self> {
        Self::parse(&String::from_utf8_lossy(&read_limited(proc_path(host, pid, "stat"))?))
    }

    /// The name may hold spaces and parentheses; it ends at the last one.
    fn parse(text: &str) -> Option<Self> {
        let (before, rest) = text.rsplit_once(')')?;
        let (_, comm) = before.split_once('(')?;
        let mut fields = rest.split_whitespace();
        let parent = Pid(fields.nth(1)?.parse().ok()?);
        let start_ticks = fields.nth(17)?.parse().ok()?;
        Some(Self { comm: comm.to_owned(), parent, start_ticks })
    }
}

fn ancestors(host: &HostRoot, mut pid: Pid) -> Vec<Ancestor> {
    let mut ancestors = Vec::new();
    while pid != Pid(0) && ancestors.len() < MAX_ANCESTORS {
        let Some(stat) = Stat::read(host, pid) else { break };
        ancestors.push(Ancestor { pid: pid.0, comm: stat.comm });
        pid = stat.parent;
    }
    ancestors
}

fn proc_path(host: &HostRoot, pid: Pid, name: &str) -> PathBuf {
    host.path(format!("/proc/{pid}/{name}"))
}

fn read_limited(path: PathBuf) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_PROC_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

pub(super) fn split_args(bytes: &[u8]) -> Vec<String> {
    let bytes = &bytes[..bytes.len().min(MAX_ARGS_BYTES)];
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|byte| *byte == 0).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()
}

fn uid(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?.parse().ok()
}

/// The path in the unified hierarchy, or, on version 1, the longest of them all: some controllers stay at `/`.
fn cgroup(text: &str) -> Option<String> {
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.filter(|path| path.starts_with('/')).max_by_key(|path| path.len()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process in a fake /proc.
    fn process(host: &std::path::Path, pid: u32, parent: u32, comm: &str, files: &[(&str, &str)]) {
        let folder = host.join(format!("proc/{pid}"));
        fs::create_dir_all(&folder).unwrap();
        let stat = format!("{pid} ({comm}) S {parent} 1 1 0 -1 4 0 0 0 0 1 1 0 0 20 0 1 0 4200 0 0");
        fs::write(folder.join("stat"), stat).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
    }

    #[test]
    fn a_living_process_is_read_with_its_ancestors() {
        let host = tempfile::tempdir().unwrap();
        process(host.path(), 1, 0, "systemd", &[]);
        process(host.path(), 20, 1, "shim) odd (name", &[]);
        process(
            host.path(),
            812,
            20,
            "runc",
            &[
                ("cmdline", "runc\0exec\0abc\0"),
                ("status", "Name:\trunc\nUid:\t1000\t0\t0\t0\n"),
                ("cgroup", "4:pids:/\n0::/kubepods/pod1/abc\n"),
            ],
        );
        std::os::unix::fs::symlink("/usr/bin/runc", host.path().join("proc/812/exe")).unwrap();
        let found = capture(&HostRoot::new(host.path()), Pid(812)).unwrap();
        let expected = Process {
            pid: Pid(812),
            started: BootNanos(42_000_000_000),
            since: BootNanos(42_000_000_000),
            program: None,
            comm: "runc".to_owned(),
            exe: Some("/usr/bin/runc".to_owned()),
            args: ["runc", "exec", "abc"].map(str::to_owned).to_vec(),
            uid: Some(1000),
            cgroup: Some("/kubepods/pod1/abc".to_owned()),
            ancestors: vec![
                Ancestor { pid: 20, comm: "shim) odd (name".to_owned() },
                Ancestor { pid: 1, comm: "systemd".to_owned() },
            ],
            attribution: Attribution::Full,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_zombie_is_known_by_less() {
        let host = tempfile::tempdir().unwrap();
        process(host.path(), 5, 1, "dead", &[("cmdline", "")]);
        let found = capture(&HostRoot::new(host.path()), Pid(5)).unwrap();
        assert_eq!(found.attribution, Attribution::Process);
        assert!(found.args.is_empty());
    }

    #[test]
    fn a_loop_of_parents_ends() {
        let host = tempfile::tempdir().unwrap();
        process(host.path(), 5, 6, "a", &[]);
        process(host.path(), 6, 5, "b", &[]);
        let found = capture(&HostRoot::new(host.path()), Pid(5)).unwrap();
        assert_eq!(found.ancestors.len(), MAX_ANCESTORS);
    }

    #[test]
    fn a_process_out_of_memory_is_called_what_it_was_started_as() {
        let name = |comm: &str, args: &[u8]| {
            let facts = ProcessFacts {
                pid: Pid(7),
                started: BootNanos(0),
                seen: BootNanos(0),
                since: BootNanos(0),
                program: 0,
                exe: None,
                comm: crate::model::Comm::new(comm),
                uid: 0,
                cgroup_id: 0,
                args: args.to_vec(),
                args_cut: false,
                ancestors: Vec::new(),
            };
            Process::from_facts(&facts).name().to_owned()
        };
        assert_eq!(name("4", b"youki\0pause\0abc\0"), "youki");
        assert_eq!(name("memfd:runc_clon", b"/usr/bin/runc\0init\0"), "runc");
        assert_eq!(name("12", "/opt/überlange-laufzeit".as_bytes()), "überlange-lauf");
        assert_eq!(name("4", b"/usr/bin/\0x"), "4");
        assert_eq!(name("4", b""), "4");
        assert_eq!(name("youki4", b"other\0"), "youki4");
        assert_eq!(name("7zip", b"other\0"), "7zip");
    }

    #[test]
    fn nonsense_in_proc_is_no_process() {
        for text in ["", "1 (x", "1 (x) S", "1 (x) S y", "1 x) S 1"] {
            assert!(Stat::parse(text).is_none(), "{text}");
        }
        let host = tempfile::tempdir().unwrap();
        assert!(capture(&HostRoot::new(host.path()), Pid(1)).is_none());
    }

    #[test]
    fn we_find_ourselves() {
        let me = capture(&HostRoot::default(), Pid(std::process::id())).unwrap();
        assert_eq!(me.attribution, Attribution::Full);
        assert!(!me.ancestors.is_empty());
    }

    #[test]
    fn arguments_are_cut() {
        assert!(split_args(b"").is_empty());
        assert!(split_args(b"\0").is_empty());
        assert_eq!(split_args(b"a\0\0b"), ["a", "", "b"]);
        let long = vec![b'x'; 1 << 20];
        assert_eq!(split_args(&long)[0].len(), MAX_ARGS_BYTES);
    }
}
