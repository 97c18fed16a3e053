//! The places of a node: what a kubelet writes to and a containerd mounts, a network and cgroups, none of them this
//! machine's. Mounts and links are made in namespaces that this process was started in, and vanish with them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::runtimes::run;

/// The node's own address.
pub(super) const ADDRESS: &str = "10.210.0.1";
/// Those of pods and of services.
pub(super) const PODS: &str = "10.211.0.0/24";
pub(super) const SERVICES: &str = "10.212.0.0/24";
/// The hierarchies of cgroups.
const HIERARCHIES: &str = "/sys/fs/cgroup";
/// The cgroup of daemons and shims, beside those of pods.
const DAEMONS: &str = "daemons";

/// What a kubelet sets for the whole machine unless it finds it so. It finds it so, in files that are mounted over the
/// kernel's.
const TUNABLES: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Lays all of it; `folder` takes what is kept on a disk, `cgroup` is the name of the cgroup that holds everything.
pub(super) fn lay(folder: &Path, cgroup: &str) -> Result<()> {
    enter_cgroup(cgroup)?;
    for place in ["/var/lib", "/var/log"] {
        let own = folder.join(place.trim_start_matches('/'));
        fs::create_dir_all(&own)?;
        mount(&["--bind", &own.display().to_string(), place])?;
    }
    // As on a real node.
    mount(&["-t", "tmpfs", "tmpfs", "/run"])?;
    let tunables = folder.join("tunables");
    for (name, value) in TUNABLES {
        let kernels = Path::new("/proc/sys").join(name);
        if kernels.is_file() {
            let own = tunables.join(name);
            fs::create_dir_all(own.parent().context("a tunable without a folder")?)?;
            fs::write(&own, value)?;
            mount(&["--bind", &own.display().to_string(), &kernels.display().to_string()])?;
        }
    }
    // Pods see what is mounted later.
    mount(&["--make-rshared", "/"])?;
    connect()
}

/// Links that lead nowhere: a node wants an address that is not the loopback device's, and a way out.
fn connect() -> Result<()> {
    let commands: [&[&str]; 6] = [
        &["link", "set", "lo", "up"],
        &["link", "add", "node0", "type", "veth", "peer", "name", "node1"],
        &["link", "set", "node1", "up"],
        &["link", "set", "node0", "up"],
        &["address", "add", &format!("{ADDRESS}/24"), "dev", "node0"],
        &["route", "add", "default", "dev", "node0"],
    ];
    commands.iter().try_for_each(|words| run(Command::new("ip").args(*words)))
}

fn mount(words: &[&str]) -> Result<()> {
    run(Command::new("mount").args(words))
}

/// Makes the cgroup in each hierarchy, as a kubelet wants it, and goes into it, so that whatever is started can be found.
fn enter_cgroup(name: &str) -> Result<()> {
    let hierarchies = hierarchies();
    for hierarchy in &hierarchies {
        let folder = hierarchy.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    // Any hierarchy would do; this one has no settings that must be made first.
    let Some(hierarchy) = hierarchies.iter().find(|path| path.ends_with("pids")).or(hierarchies.first())
    else {
        bail!("no cgroups are mounted at {HIERARCHIES}");
    };
    let daemons = hierarchy.join(name).join(DAEMONS);
    fs::create_dir_all(&daemons)?;
    fs::write(daemons.join("cgroup.procs"), "0").context("cannot enter a cgroup")
}

/// The roots of all hierarchies: one of its own for each controller, or one for all.
pub(super) fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new(HIERARCHIES);
    if root.join("cgroup.procs").is_file() {
        return vec![root.to_owned()];
    }
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    // Two controllers of one hierarchy are links to it.
    let real = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    real.map(|entry| entry.path()).filter(|path| path.join("cgroup.procs").is_file()).collect()
}
