//! `cargo xtask test --kubernetes`: the chart on a node of real Kubernetes, from helm's install to its uninstall.
//!
//! A process in mount and network namespaces of its own is the node's parent and does the checks; this one cleans up
//! after it, however it ended.

mod cluster;
mod daemon;
mod lifecycle;
mod node;
mod probe;
mod programs;
mod remains;
mod settings;
mod sight;
mod stage;
mod victim;

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    architecture::Architecture,
    build::Profile,
    image, privilege,
    repository::Repository,
    scratch::{Medium, Scratch},
    tally::Tally,
    tools::Cache,
};

use lifecycle::Release;
use node::Node;
use programs::Programs;
use sight::Sight;
use victim::Victim;

/// What the process in the namespaces is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Within {
    /// Takes all that is kept on a disk.
    #[arg(long)]
    folder: PathBuf,
    /// The cgroup of everything.
    #[arg(long)]
    cgroup: String,
    /// The agent's image.
    #[arg(long)]
    image: PathBuf,
    #[arg(long)]
    results: PathBuf,
}

/// Builds what is needed, and lets the checks run on a node.
pub(crate) fn check(repository: &Repository, cache: &Cache, tally: &mut Tally) {
    if !privilege::is_root() {
        tally.skip("the chart on a node", "needs root: run `sudo cargo xtask test --kubernetes`");
        return;
    }
    let mut built = None;
    tally.check("Kubernetes and the agent's image are there", || {
        Programs::get(cache)?;
        let image = image::make(repository, cache, Architecture::host(), Profile::Release)?;
        let detail = image::describe(&image)?;
        built = Some(image.archive);
        remains::sweep_others()?;
        Ok(detail)
    });
    let Some(archive) = built else { return };
    let cgroup = remains::cgroup_of(std::process::id());
    match elsewhere(&archive, &cgroup) {
        Ok(results) => tally.add(results),
        Err(error) => tally.check("the checks ran on the node", || Err(error)),
    }
    tally.check("no process and no cgroup is left of the node", || remains::check(&cgroup));
}

/// Starts this program once more, where it may mount and connect what it likes.
fn elsewhere(archive: &Path, cgroup: &str) -> Result<Tally> {
    let scratch = Scratch::new(Medium::Disk)?;
    let results = scratch.path().join("results");
    let status = Command::new("unshare")
        .args(["--mount", "--net", "--propagation", "private"])
        .arg(env::current_exe().context("cannot find this program")?)
        .arg("node")
        .arg("--folder")
        .arg(scratch.path())
        .args(["--cgroup", cgroup])
        .arg("--image")
        .arg(archive)
        .arg("--results")
        .arg(&results)
        .status()
        .context("cannot start unshare")?;
    // What is left may hold files open in the folder that is removed now.
    let swept = if status.success() { Ok(()) } else { remains::sweep(cgroup) };
    ensure!(status.success(), "they ended with {status}");
    swept?;
    Tally::read(&results)
}

/// The other end of [`elsewhere`].
pub(crate) fn run_within(within: &Within) -> Result<()> {
    let Within { folder, cgroup, image, results } = within;
    ensure!(privilege::is_root(), "this must be run as root");
    let cache = Cache::open()?;
    let programs = Programs::get(&cache)?;
    let root = Repository::find()?.root().to_owned();
    let mut tally = Tally::default();
    let mut node = None;
    tally.check("a node of Kubernetes becomes ready", || {
        let start = Instant::now();
        stage::lay(folder, cgroup)?;
        let started = Node::start(&programs, folder, cgroup)?;
        let version = started.cluster.get(&["node", settings::NODE])?["status"]["nodeInfo"].clone();
        node = Some(started);
        let text = |name: &str| version[name].as_str().unwrap_or("unknown").to_owned();
        let (kubelet, runtime) = (text("kubeletVersion"), text("containerRuntimeVersion"));
        Ok(format!("kubelet {kubelet}, {runtime}, after {:.0} s", start.elapsed().as_secs_f64()))
    });
    if let Some(node) = &node {
        check_on(
            node,
            &programs,
            &Chart { folder: root.join(crate::deploy::CHART), image },
            folder,
            &mut tally,
        );
        if !tally.is_good() {
            println!("{}", node.logs());
        }
    }
    tally.check("the node is taken down", || {
        drop(node.take());
        Ok(String::new())
    });
    tally.write(results)
}

/// What is installed.
struct Chart<'a> {
    folder: PathBuf,
    image: &'a Path,
}

fn check_on(node: &Node, programs: &Programs, chart: &Chart<'_>, folder: &Path, tally: &mut Tally) {
    let mut ready = None;
    tally.check("a pod of a user runs, and its probe succeeds", || {
        let victim = Victim::start(node)?;
        let detail = format!("container {:.12} in {}", victim.container, victim.root.display());
        ready = Some(victim);
        Ok(detail)
    });
    let Some(victim) = ready else { return };
    let release = Release { cluster: &node.cluster, chart: &chart.folder };
    let mut installed = false;
    tally.check("helm installs the chart, and the DaemonSet becomes ready", || {
        node.import(&programs.runtimes, lifecycle::IMAGE, chart.image)?;
        let detail = release.install()?;
        installed = true;
        Ok(detail)
    });
    if !installed {
        return;
    }
    let mut sight = None;
    tally.check("Prometheus finds the pod by the API server, and scrapes it", || {
        let found = Sight::open(programs, node, folder)?;
        let detail = found.scrapes(&release.pod()?)?;
        sight = Some(found);
        Ok(detail)
    });
    tally.check("the pod's address shows metrics and no findings", || release.is_not_exposed());
    if let Some(sight) = &sight {
        tally.check(
            "the pod's torn read arrives in Prometheus, and in /findings with pod and namespace",
            || sight.shows_torn_read(&victim, &release),
        );
        tally.check(
            "a kubelet's probe that an unsafe writer breaks is told as a torn read of its pod",
            || probe::check(node, &victim, &release, sight),
        );
    }
    tally.check("helm upgrades: another pod with the new value", || release.upgrade());
    tally.check("helm rolls back: another pod with the old value", || release.roll_back());
    if let Some(sight) = &sight {
        tally.check("Prometheus follows to the pod of now", || sight.scrapes(&release.pod()?));
    }
    tally.check("helm uninstalls, and nothing of the chart is left", || {
        release.uninstall(&node.runtime_root(), &victim)
    });
    drop(sight);
    tally.check("the user's pod never restarted", || victim.remove(node));
}
