//! What a node left behind: processes and cgroups. Mounts and links went with their namespaces.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::stage::hierarchies;
use crate::{deadline::until, runtimes::remove_cgroups, scratch::Scratch};

const PREFIX: &str = "state-watchdog-kubernetes-";
const PATIENCE: Duration = Duration::from_secs(60);

/// The name of a node's cgroup: whose it is stands in it.
pub(super) fn cgroup_of(process: u32) -> String {
    format!("{PREFIX}{process}")
}

/// An error when anything of a node is still there; it is gone then, too.
pub(super) fn check(cgroup: &str) -> Result<String> {
    let left: Vec<String> = processes(cgroup).into_iter().map(name).collect();
    sweep(cgroup)?;
    ensure!(left.is_empty(), "processes were left: {}", left.join(", "));
    Ok(String::new())
}

/// Ends and removes what is left of a node.
pub(super) fn sweep(cgroup: &str) -> Result<()> {
    let gone = until(PATIENCE, || {
        let left = processes(cgroup);
        for pid in left.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            // It may have ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
        Ok(left.is_empty().then_some(()))
    })?;
    gone.with_context(|| format!("processes of {cgroup} cannot be killed"))?;
    remove_cgroups(cgroup);
    let left: Vec<PathBuf> = folders(cgroup).collect();
    ensure!(left.is_empty(), "cgroups were left: {left:?}");
    Ok(())
}

/// Ends and removes what is left of nodes whose check was killed.
pub(super) fn sweep_others() -> Result<()> {
    let mut owners = BTreeSet::new();
    for hierarchy in hierarchies() {
        for entry in fs::read_dir(hierarchy).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name.strip_prefix(PREFIX).and_then(|pid| pid.parse::<u32>().ok());
            owners.extend(owner.filter(|pid| !Path::new("/proc").join(pid.to_string()).exists()));
        }
    }
    for owner in owners {
        let cgroup = cgroup_of(owner);
        println!("  removing what is left of {cgroup}");
        sweep(&cgroup)?;
        Scratch::remove_of(owner)?;
    }
    Ok(())
}

fn folders(cgroup: &str) -> impl Iterator<Item = PathBuf> {
    hierarchies().into_iter().map(move |hierarchy| hierarchy.join(cgroup)).filter(|folder| folder.is_dir())
}

/// All that run in the cgroup or below it.
fn processes(cgroup: &str) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    let mut left: Vec<PathBuf> = folders(cgroup).collect();
    while let Some(folder) = left.pop() {
        let listed = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        found.extend(listed.lines().filter_map(|line| line.parse::<i32>().ok()));
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        left.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    found
}

fn name(pid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("{} ({pid})", name.trim())
}
