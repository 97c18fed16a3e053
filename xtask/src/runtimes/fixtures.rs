//! `cargo xtask fixtures`: trees as the real runtimes and managers write them, for the agent's tests.
//!
//! They run in mount and host-name namespaces of their own, where the places that they write to are empty and named as
//! on every node, so that nothing of this machine is in the trees but times and process ids.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{
    annotated,
    container::{Container, Runtime, make_bundle},
    containerd::{Containerd, IMAGE, Places, remove_cgroups, run},
    crun::View,
};
use crate::{
    deadline::until,
    privilege,
    repository::Repository,
    tools::{self, Cache, Runtimes},
};

/// Below it lie the cgroups of all that is made here.
const CGROUP: &str = "state-watchdog-fixture";
/// Emptied before each tree is made.
const PLACES: [&str; 3] = ["/run", "/var/lib/containerd", "/var/lib/docker"];
/// What is kept of a tree.
const KEPT: [&str; 5] = ["state.json", "status", "config.json", "youki_config.json", "config.v2.json"];
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The namespaces are there already.
    #[arg(long, hide = true)]
    within: bool,
}

/// Makes all trees anew.
pub(crate) fn make(options: &Options) -> Result<()> {
    ensure!(privilege::is_root(), "making containers needs root; run it with sudo");
    if !options.within {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--uts", "--propagation", "private"]).arg(env::current_exe()?);
        let status = unshare.args(["fixtures", "--within"]).status().context("cannot start unshare")?;
        ensure!(status.success(), "making fixtures ended with {status}");
        return Ok(());
    }
    let cache = Cache::open()?;
    let runtimes = Runtimes::get(&cache)?;
    let dockerd = tools::unpacked(&cache, "docker.io", "usr/sbin/dockerd")?;
    run(Command::new("hostname").arg("node"))?;
    let fixtures = Repository::find()?.root().join("watchdog/tests/fixtures");
    let tree = |name: &str, make: &dyn Fn(&Tree) -> Result<()>| -> Result<()> {
        for place in PLACES {
            fs::create_dir_all(place)?;
            run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", place]))?;
        }
        let tree = Tree(fixtures.join(name));
        let _ = fs::remove_dir_all(&tree.0);
        make(&tree).with_context(|| format!("fixture {name}"))?;
        remove_cgroups(CGROUP);
        for place in PLACES {
            run(Command::new("umount").args(["--lazy", place]))?;
        }
        println!("  {}", tree.0.display());
        Ok(())
    };
    let (runc, youki) = (Runtime::new(&runtimes.runc), Runtime::new(&runtimes.youki));
    tree("runc", &|tree| by_hand(tree, &runc, "/run/runc", &runtimes))?;
    tree("youki", &|tree| by_hand(tree, &youki, "/run/youki", &runtimes))?;
    tree("crun", &|tree| {
        by_hand(tree, &View::of_one_hierarchy()?.runtime(&runtimes.crun), "/run/crun", &runtimes)
    })?;
    tree("crio", &|tree| crio(tree, &View::of_one_hierarchy()?.runtime(&runtimes.crun), &runtimes))?;
    tree("containerd", &|tree| containerd(tree, &runtimes))?;
    tree("docker", &|tree| docker(tree, &dockerd, &runtimes))
}

/// Where one tree is copied to.
struct Tree(PathBuf);

impl Tree {
    /// Copies what matters below these folders.
    fn take(&self, folders: &[&str]) -> Result<()> {
        let mut copied = 0;
        let mut left: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
        while let Some(folder) = left.pop() {
            for entry in fs::read_dir(&folder).with_context(|| format!("nothing in {}", folder.display()))? {
                let entry = entry?;
                if entry.file_type()?.is_dir() && entry.file_name() != "rootfs" {
                    left.push(entry.path());
                } else if KEPT.iter().any(|name| entry.file_name() == *name) {
                    let target = self.0.join(entry.path().strip_prefix("/")?);
                    fs::create_dir_all(target.parent().context("a file without a folder")?)?;
                    fs::copy(entry.path(), target)?;
                    copied += 1;
                }
            }
        }
        ensure!(copied > 0, "nothing was written to {folders:?}");
        Ok(())
    }
}

fn pod_cgroup() -> String {
    format!("/{CGROUP}/kubepods/besteffort/pod{}", annotated().uid.unwrap_or_default())
}

/// A runtime that is called by hand, with the annotations that containerd's CRI plugin gives.
fn by_hand(tree: &Tree, runtime: &Runtime, root: &str, runtimes: &Runtimes) -> Result<()> {
    let bundle = Path::new("/run/bundle");
    make_bundle(bundle, &runtimes.busybox, |config| {
        config["linux"]["cgroupsPath"] = format!("{}/{ID}", pod_cgroup()).into();
    })?;
    fs::create_dir_all(root)?;
    let container = Container::of_bundle(runtime, Path::new(root), bundle, ID.to_owned())?;
    tree.take(&[root, "/run/bundle"])?;
    drop(container);
    Ok(())
}

/// What CRI-O's documentation says that it annotates, and the folder where it keeps the bundle; the rest is crun's own.
fn crio(tree: &Tree, crun: &Runtime, runtimes: &Runtimes) -> Result<()> {
    const BUNDLES: &str = "/run/containers/storage/overlay-containers";
    let pod = annotated();
    let labels = json!({
        "io.kubernetes.container.name": pod.container,
        "io.kubernetes.pod.name": pod.name,
        "io.kubernetes.pod.namespace": pod.namespace,
        "io.kubernetes.pod.uid": pod.uid,
    });
    let bundle = Path::new(BUNDLES).join(ID).join("userdata");
    make_bundle(&bundle, &runtimes.busybox, |config| {
        config["linux"]["cgroupsPath"] = format!("{}/crio-{ID}", pod_cgroup()).into();
        config["annotations"] = json!({
            "io.kubernetes.cri-o.ContainerType": "container",
            "io.kubernetes.cri-o.ContainerName": "k8s_app_web-0_shop_0b2e1c1a-3d2f-4e5a-9b1c-000000000001_0",
            "io.kubernetes.cri-o.ImageName": IMAGE,
            "io.kubernetes.cri-o.Labels": labels.to_string(),
            "io.kubernetes.cri-o.SandboxID": "box",
        });
    })?;
    fs::create_dir_all("/run/crun")?;
    let container = Container::of_bundle(crun, Path::new("/run/crun"), &bundle, ID.to_owned())?;
    tree.take(&["/run/crun", BUNDLES])?;
    drop(container);
    Ok(())
}

fn containerd(tree: &Tree, runtimes: &Runtimes) -> Result<()> {
    let places = Places {
        root: "/var/lib/containerd".into(),
        state: "/run/containerd".into(),
        runtime: "/run/containerd/runc".into(),
        folder: "/run/fixture".into(),
    };
    let containerd = Containerd::start(runtimes, places, CGROUP.to_owned())?;
    containerd.run()?;
    tree.take(&["/run/containerd/runc", "/run/containerd/io.containerd.runtime.v2.task"])
}

/// A real dockerd; the labels are those that dockershim and cri-dockerd put on.
fn docker(tree: &Tree, dockerd: &Path, runtimes: &Runtimes) -> Result<()> {
    let bin = dockerd.parent().and_then(Path::parent).context("dockerd lies in no folder")?.join("bin");
    let folders = [bin.as_path(), runtimes.containerd.parent().context("containerd lies in no folder")?];
    let rest = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(folders.into_iter().map(Path::to_owned).chain(env::split_paths(&rest)))?;
    let docker = || {
        let mut docker = Command::new(bin.join("docker"));
        docker.env("PATH", &path);
        docker
    };
    let mut daemon = Command::new(dockerd)
        .args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=vfs"])
        .args(["--default-ulimit", "nofile=1024:1024"])
        .env("PATH", &path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let made = until(PATIENCE, || Ok(docker().arg("version").output()?.status.success().then_some(())))
        .and_then(|ready| ready.context("dockerd does not answer"))
        .and_then(|()| docker_container(tree, &docker, runtimes));
    let pid = i32::try_from(daemon.id()).ok().and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.context("no such process id")?, rustix::process::Signal::TERM)?;
    daemon.wait()?;
    made
}

fn docker_container(tree: &Tree, docker: &dyn Fn() -> Command, runtimes: &Runtimes) -> Result<()> {
    let root = Path::new("/run/image");
    fs::create_dir_all(root.join("bin"))?;
    fs::copy(&runtimes.busybox, root.join("bin/busybox"))?;
    std::os::unix::fs::symlink("busybox", root.join("bin/sleep"))?;
    run(Command::new("tar").args(["-C", "/run/image", "-cf", "/run/image.tar", "."]))?;
    run(docker().args(["import", "/run/image.tar", IMAGE]))?;
    let pod = annotated();
    let labels: Value = json!({
        "io.kubernetes.docker.type": "container",
        "io.kubernetes.container.name": pod.container,
        "io.kubernetes.pod.name": pod.name,
        "io.kubernetes.pod.namespace": pod.namespace,
        "io.kubernetes.pod.uid": pod.uid,
        "io.kubernetes.sandbox.id": "box",
    });
    let mut start = docker();
    start.args(["run", "--detach", "--network=host", "--name=k8s_app_web-0_shop_0", "--cgroup-parent"]);
    start.arg(pod_cgroup());
    for (key, value) in labels.as_object().into_iter().flatten() {
        let Some(value) = value.as_str() else { bail!("the label {key} has no value") };
        start.arg("--label").arg(format!("{key}={value}"));
    }
    run(start.args([IMAGE, "/bin/sleep", "3600"]))?;
    let taken = tree.take(&["/run/docker/runtime-runc", "/var/lib/docker/containers"]);
    run(docker().args(["rm", "--force", "k8s_app_web-0_shop_0"]))?;
    taken
}
