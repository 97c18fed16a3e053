//! What the checks that need a kernel run.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};

use crate::{
    repository::Repository,
    tools::{self, Cache, Runtimes},
};

/// The programs, built or installed.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The agent.
    pub(crate) agent: PathBuf,
    /// The writers and readers.
    pub(crate) workload: PathBuf,
    /// Empty paths where no containers are run.
    pub(crate) runtimes: Runtimes,
    /// Prometheus's own judge of metrics.
    pub(crate) promtool: PathBuf,
}

impl Programs {
    /// Builds the agent and the workload and installs promtool; without container runtimes.
    pub(crate) fn get(repository: &Repository, cache: &Cache) -> Result<Self> {
        let (agent, workload) = build(repository)?;
        Ok(Self {
            agent,
            workload,
            runtimes: Runtimes::default(),
            promtool: tools::unpacked(cache, "prometheus", "usr/bin/promtool")?,
        })
    }
}

/// Programs that were built before, on the command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PrebuiltPrograms {
    /// This agent, instead of one that is built.
    #[arg(long, requires = "workload")]
    agent: Option<PathBuf>,
    /// This workload, instead of one that is built.
    #[arg(long, requires = "agent")]
    workload: Option<PathBuf>,
}

impl PrebuiltPrograms {
    /// The agent and the workload; sets up and builds them when they were not given.
    pub(crate) fn or_built(&self) -> Result<(PathBuf, PathBuf)> {
        if let (Some(agent), Some(workload)) = (&self.agent, &self.workload) {
            return Ok((agent.clone(), workload.clone()));
        }
        println!("== set-up");
        tools::set_up_bpf(&Cache::open()?, None)?;
        build(&Repository::find()?)
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
