//! Where the sources are, and where cargo puts what it builds.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// The workspace.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Repository {
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

impl Repository {
    /// Asks cargo.
    pub(crate) fn find() -> Result<Self> {
        let output = cargo_in(Path::new(env!("CARGO_MANIFEST_DIR")))
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .output()
            .context("cannot start cargo")?;
        ensure!(
            output.status.success(),
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        serde_json::from_slice(&output.stdout).context("cargo's metadata is not as expected")
    }

    /// The folder of the sources.
    pub(crate) fn root(&self) -> &Path {
        &self.workspace_root
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target(&self) -> &Path {
        &self.target_directory
    }

    /// A cargo that works on this repository.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = cargo_in(&self.workspace_root);
        // The probes are the same in every build of the agent, so they are built once for all (`watchdog/build.rs`).
        cargo.env("STATE_WATCHDOG_PROBES", self.target_directory.join("probes"));
        cargo
    }

    /// This machine as rustc names it.
    pub(crate) fn host(&self) -> Result<String> {
        let mut rustc = Command::new("rustc");
        let output =
            rustc.arg("-vV").current_dir(&self.workspace_root).output().context("cannot start rustc")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let host = text.lines().find_map(|line| line.strip_prefix("host: "));
        Ok(host.context("rustc names no host")?.to_owned())
    }
}

fn cargo_in(folder: &Path) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(folder);
    cargo
}
