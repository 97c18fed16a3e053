//! What the checks that need a kernel run.

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    architecture::Architecture,
    build::{Profile, agent_and_workload},
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
    pub(crate) fn get(repository: &Repository, cache: &Cache, profile: Profile) -> Result<Self> {
        let (agent, workload) = agent_and_workload(repository, cache, Architecture::host(), profile)?;
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
    pub(crate) fn or_built(&self, profile: Profile) -> Result<(PathBuf, PathBuf)> {
        if let (Some(agent), Some(workload)) = (&self.agent, &self.workload) {
            return Ok((agent.clone(), workload.clone()));
        }
        println!("== set-up");
        let cache = Cache::open()?;
        tools::set_up_bpf(&cache, None)?;
        agent_and_workload(&Repository::find()?, &cache, Architecture::host(), profile)
    }
}
