//! Which parts of the host this process sees, and how much inotify takes.

use std::fs;

use serde::Serialize;

use crate::host_root::HostRoot;
use crate::source::Fact;
use crate::source::inotify::Limits;

/// The inode numbers of the first namespaces: fixed in the kernel's `include/linux/proc_ns.h` since 3.8
/// (`PROC_PID_INIT_INO`), for cgroups since 4.6 (`PROC_CGROUP_INIT_INO`).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";
const FIRST_CGROUP_NAMESPACE: &str = "cgroup:[4026531835]";

/// Whether what /proc tells is the host's.
#[derive(Debug, Serialize)]
pub(super) struct Namespaces {
    /// Process ids are the host's.
    pub(super) pid: Fact,
    /// cgroup paths are the host's.
    pub(super) cgroup: Fact,
    /// Processes can be looked up below the host root: /proc is mounted there.
    pub(super) processes: Fact,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) remedies: Vec<&'static str>,
}

impl Namespaces {
    pub(super) fn read(host: &HostRoot) -> Self {
        let is = |name: &str, first: &str| match fs::read_link(format!("/proc/self/ns/{name}")) {
            Ok(link) if link.as_os_str() == first => Fact::Yes,
            Ok(_) => Fact::No,
            Err(_) => Fact::Unknown,
        };
        let processes = if fs::metadata(host.path("/proc/1/stat")).is_ok() { Fact::Yes } else { Fact::No };
        let (pid, cgroup) = (is("pid", FIRST_PID_NAMESPACE), is("cgroup", FIRST_CGROUP_NAMESPACE));
        let remedies = [
            (
                pid,
                "processes are named by the probes alone, without a look into /proc, as long as this one has process ids of its own: \
                 hostPID: true, or --pid=host",
            ),
            (
                cgroup,
                "pods are named by annotations alone where cgroup paths are cut: run in the host's cgroup namespace \
                 (--cgroupns=host)",
            ),
            (processes, "mount the host's /proc below the host root"),
        ];
        let remedies = remedies.into_iter().filter(|(fact, _)| *fact == Fact::No).map(|(_, remedy)| remedy);
        Self { pid, cgroup, processes, remedies: remedies.collect() }
    }
}

/// inotify's limits, and what watching takes.
#[derive(Debug, Serialize)]
pub(super) struct InotifyView {
    #[serde(flatten)]
    pub(super) limits: Limits,
    /// Directories to watch now: one for each root and each container.
    pub(super) directories: u64,
    /// There is room for as many again: other programs watch, too.
    pub(super) enough: Fact,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

impl InotifyView {
    pub(super) fn read(host: &HostRoot, directories: u64) -> Self {
        Self::of(Limits::read(host), directories)
    }

    pub(super) fn of(limits: Limits, directories: u64) -> Self {
        let enough = match limits.max_user_watches {
            Some(limit) if directories.saturating_mul(2) <= limit => Fact::Yes,
            Some(_) => Fact::No,
            None => Fact::Unknown,
        };
        let wanted = directories.saturating_mul(4).next_power_of_two();
        let remedy = (enough == Fact::No).then(|| format!("sysctl -w fs.inotify.max_user_watches={wanted}"));
        Self { limits, directories, enough, remedy }
    }
}
