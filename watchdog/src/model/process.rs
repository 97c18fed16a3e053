//! What a source knows of a process from the kernel itself, before anyone looked at /proc.

use serde::{Deserialize, Serialize};

use super::{BootNanos, Comm, Pid};

/// A process and the program that it ran, as the probe saw it when it first touched a file that matters. Survives the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessFacts {
    /// The process.
    pub pid: Pid,
    /// When it started, boot time: tells uses of the same pid apart.
    pub started: BootNanos,
    /// From when it is known to run this program.
    #[serde(default)]
    pub since: BootNanos,
    /// When the probe looked.
    pub seen: BootNanos,
    /// Its name.
    pub comm: Comm,
    /// A number that another program of the same process does not have.
    #[serde(default)]
    pub program: u32,
    /// The program's path, as /proc shows it; `None` when it could not be read whole.
    #[serde(default)]
    pub exe: Option<String>,
    /// Real user id, in the initial user namespace.
    pub uid: u32,
    /// cgroup v2 id (inode of the directory); 0 when unknown.
    pub cgroup_id: u64,
    /// The beginning of its command line as the kernel keeps it: arguments separated by NUL. Foreign bytes.
    #[serde(with = "super::bytes")]
    pub args: Vec<u8>,
    /// True when `args` was cut.
    pub args_cut: bool,
    /// Parent first, then its parent, towards init; cut at a fixed depth.
    pub ancestors: Vec<(Pid, Comm)>,
}
