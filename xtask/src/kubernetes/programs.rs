//! The programs that a node of one machine consists of, built or unpacked once.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    dashboards::prometheus_program,
    deploy,
    tools::{self, Cache, Runtimes, Suite},
};

/// The release whose package of sources holds all of Kubernetes with all that it needs to be built.
const RELEASE: &str = "bookworm";
const PACKAGE: &str = "kubernetes";
/// The version of those sources, for the folder in the cache.
const VERSION: &str = "1.20";
/// What is built.
const BUILT: [&str; 4] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"];
/// What builds it: these sources want this Go and no newer one.
const BUILDERS: [&str; 5] = ["dpkg-dev", "golang-1.19-go", "make", "rsync", "jq"];
const GO: &str = "/usr/lib/go-1.19/bin";
/// What a node needs of the system.
const SYSTEM: [&str; 4] = ["iproute2", "util-linux", "mount", "openssl"];

/// Programs by their paths.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    /// The folder of Kubernetes' own.
    kubernetes: PathBuf,
    pub(super) etcd: PathBuf,
    /// containerd and what it starts.
    pub(super) runtimes: Runtimes,
    /// The folder of the plugins that give pods their network.
    pub(super) plugins: PathBuf,
    /// One that finds what it scrapes by the API server; Debian 12's cannot.
    pub(super) prometheus: PathBuf,
    /// helm and kubectl.
    pub(super) clients: deploy::Programs,
}

impl Programs {
    /// Finds or makes them.
    pub(super) fn get(cache: &Cache) -> Result<Self> {
        tools::installed(cache, &SYSTEM)?;
        let plugin = tools::unpacked(cache, "containernetworking-plugins", "usr/lib/cni/ptp")?;
        Ok(Self {
            kubernetes: kubernetes(cache)?,
            etcd: tools::unpacked(cache, "etcd-server", "usr/bin/etcd")?,
            runtimes: Runtimes::of_pods(cache)?,
            plugins: plugin.parent().context("a plugin lies in no folder")?.to_owned(),
            prometheus: prometheus_program(cache, "prometheus")?,
            clients: deploy::Programs::get(cache)?,
        })
    }

    /// One of Kubernetes' own.
    pub(super) fn kubernetes(&self, name: &str) -> PathBuf {
        self.kubernetes.join(name)
    }
}

/// Builds Kubernetes from Debian's sources: some fifteen minutes on two cores, once.
fn kubernetes(cache: &Cache) -> Result<PathBuf> {
    let folder = cache.folder().join(format!("kubernetes-{VERSION}"));
    if folder.is_dir() {
        return Ok(folder);
    }
    tools::installed(cache, &BUILDERS)?;
    let part = folder.with_extension("part");
    let _ = fs::remove_dir_all(&part);
    let sources = Suite::sources(cache, RELEASE)?.unpack_source(cache, PACKAGE, &part.join("sources"))?;
    build(cache, &sources, &part)?;
    let (made, bin) = (sources.join("_output/bin"), part.join("bin"));
    fs::create_dir_all(&bin)?;
    for name in BUILT {
        fs::copy(made.join(name), bin.join(name)).with_context(|| format!("no {name} was built"))?;
    }
    fs::rename(&bin, &folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let _ = fs::remove_dir_all(&part);
    Ok(folder)
}

/// Debian's own way: generators first, then the programs, from a path that looks like Go's workspace.
fn build(cache: &Cache, sources: &Path, part: &Path) -> Result<()> {
    let workspace = part.join("go");
    let home = workspace.join("src/k8s.io");
    fs::create_dir_all(&home)?;
    symlink(sources, home.join("kubernetes"))?;
    let rest = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([PathBuf::from(GO)].into_iter().chain(env::split_paths(&rest)))?;
    let what: Vec<String> = BUILT.iter().map(|name| format!("cmd/{name}")).collect();
    let mut make = Command::new("nice");
    make.arg("make")
        .arg(format!("WHAT={}", what.join(" ")))
        .current_dir(sources)
        .env("PATH", path)
        .env("GOPATH", &workspace)
        .env("GOCACHE", part.join("go-cache"))
        .env("GOPROXY", "off")
        .env("CGO_ENABLED", "0")
        .env_remove("GOFLAGS")
        .env_remove("GOROOT");
    cache.run(&format!("build Kubernetes {VERSION}"), &mut make)
}
