//! How cargo builds statically for a kind of processor.

use std::{path::PathBuf, process::Command};

use crate::{architecture::Architecture, repository::Repository};

/// How much the compiler optimises; the probes are the same either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Built in a fraction of the time; what most checks run.
    Checks,
    /// What users get.
    Release,
}

impl Profile {
    /// The name in `Cargo.toml`, which is the folder below the target's, too.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Checks => "checks",
            Self::Release => "release",
        }
    }
}

/// What cargo and rustc need beside their arguments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Compiler {
    /// Cargo's environment.
    pub(super) environment: Vec<(String, String)>,
    /// Flags for rustc.
    pub(super) flags: String,
}

impl Compiler {
    /// A cargo that links statically.
    pub(crate) fn cargo(
        &self,
        repository: &Repository,
        architecture: Architecture,
        task: &str,
        profile: Profile,
    ) -> Command {
        let mut cargo = repository.cargo();
        cargo
            .args([task, "--profile", profile.as_str(), "--target", architecture.triple(), "--target-dir"])
            .arg(target(repository))
            .env("RUSTFLAGS", format!("-Ctarget-feature=+crt-static {}", self.flags))
            .envs(self.environment.iter().cloned());
        cargo
    }
}

/// Flags differ from those of other builds, so what is built lies apart from theirs.
pub(super) fn target(repository: &Repository) -> PathBuf {
    repository.target().join("static")
}
