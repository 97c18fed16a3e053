//! What the checks that need a kernel run.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::Part;
use crate::{
    repository::Repository,
    tools::{self, Cache},
};

/// The programs, built or installed.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The agent.
    pub(crate) agent: PathBuf,
    /// The writers and readers.
    pub(crate) workload: PathBuf,
    /// The runtime that writes in place; like the next two, an empty path where a part does not run it.
    pub(crate) youki: PathBuf,
    /// The runtime that replaces atomically.
    pub(crate) runc: PathBuf,
    /// A static busybox for containers.
    pub(crate) busybox: PathBuf,
    /// Prometheus's own judge of metrics.
    pub(crate) promtool: PathBuf,
}

impl Programs {
    /// Builds or installs what a part needs.
    pub(crate) fn get(part: Part, repository: &Repository, cache: &Cache) -> Result<Self> {
        let (agent, workload) = build(repository)?;
        let (mut youki, mut runc, mut busybox) = (PathBuf::new(), PathBuf::new(), PathBuf::new());
        if part == Part::Runtimes {
            youki = tools::youki(cache)?;
            runc = tools::runc(cache)?;
            busybox = tools::unpacked(cache, "busybox-static", "bin/busybox")?;
        }
        Ok(Self {
            agent,
            workload,
            youki,
            runc,
            busybox,
            promtool: tools::unpacked(cache, "prometheus", "usr/bin/promtool")?,
        })
    }
}

/// Builds the agent and the workload as they are used; gives their paths.
pub(crate) fn build(repository: &Repository) -> Result<(PathBuf, PathBuf)> {
    run(repository.cargo().args(["build", "--release", "--package", "watchdog"]))?;
    let agent = repository.target().join("release/state-watchdog");
    Ok((agent, build_workload(repository)?))
}

/// The workload is linked statically: a process that needs no dynamic linker starts faster.
pub(crate) fn build_workload(repository: &Repository) -> Result<PathBuf> {
    let host = repository.host()?;
    let target = repository.target().join("workload");
    let mut build = repository.cargo();
    build
        .args(["build", "--release", "--package", "workload", "--target", &host, "--target-dir"])
        .arg(&target)
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static");
    run(&mut build)?;
    Ok(target.join(host).join("release/watchdog-workload"))
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().context("cannot start cargo")?;
    ensure!(status.success(), "cargo ended with {status}");
    Ok(())
}

/// For messages: a path as a word of a command line.
pub(crate) fn word(path: &Path) -> String {
    path.display().to_string()
}
