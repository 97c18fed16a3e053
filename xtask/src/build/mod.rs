//! Building the programs that checks run and images hold.
//!
//! They are linked statically, so the same files serve this machine, an image and an emulated machine, and a process that
//! needs no dynamic linker starts faster.

mod compiler;
mod cross;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::{architecture::Architecture, repository::Repository, tools::Cache};

pub(crate) use compiler::{Compiler, Profile};

/// Finds or installs what building for `architecture` needs.
pub(crate) fn compiler(cache: &Cache, architecture: Architecture) -> Result<Compiler> {
    if architecture.is_host() { Ok(Compiler::default()) } else { cross::compiler(cache, architecture) }
}

/// Builds the agent and the workload; gives their paths. They are built together always, so that what both depend on is
/// built once.
pub(crate) fn agent_and_workload(
    repository: &Repository,
    cache: &Cache,
    architecture: Architecture,
    profile: Profile,
) -> Result<(PathBuf, PathBuf)> {
    println!("  build the static programs for {}, profile {}", architecture.triple(), profile.as_str());
    let mut cargo = compiler(cache, architecture)?.cargo(repository, architecture, "build", profile);
    let status = cargo
        .args(["--package", "watchdog", "--package", "workload"])
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "cargo build ended with {status}");
    let folder = compiler::target(repository).join(architecture.triple()).join(profile.as_str());
    Ok((folder.join("state-watchdog"), folder.join("watchdog-workload")))
}
