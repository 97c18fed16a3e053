//! How to build for a kind of processor.

use std::{path::PathBuf, process::Command};

use super::catalogue::Architecture;
use crate::repository::Repository;

/// What cargo is given, and what comes ready.
#[derive(Clone, Debug)]
pub(super) struct Compiler {
    /// A static busybox for it.
    pub(super) busybox: PathBuf,
    /// What cargo needs in its environment.
    pub(super) environment: Vec<(String, String)>,
    /// What rustc needs on its command line.
    pub(super) flags: String,
}

impl Compiler {
    /// A cargo that links statically.
    pub(super) fn cargo(
        &self,
        repository: &Repository,
        architecture: Architecture,
        task: &str,
        profile: &str,
    ) -> Command {
        let mut cargo = repository.cargo();
        cargo
            .args([task, "--profile", profile, "--target", architecture.triple(), "--target-dir"])
            .arg(target(repository))
            .env("RUSTFLAGS", format!("-Ctarget-feature=+crt-static {}", self.flags))
            .envs(self.environment.iter().cloned());
        cargo
    }
}

/// Flags differ from those of other builds, so what is built lies apart from theirs.
pub(super) fn target(repository: &Repository) -> PathBuf {
    repository.target().join("kernels")
}
