//! A file system of a fault's own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// A tmpfs that is unmounted when it is dropped.
pub(super) struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts one on a folder; `options` as mount(8) takes them.
    pub(super) fn mount(folder: &Path, options: &str) -> Result<Self> {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "state-watchdog-chaos"])
            .arg(folder)
            .status()
            .context("cannot start mount")?;
        ensure!(status.success(), "cannot mount a tmpfs on {}", folder.display());
        Ok(Self(folder.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Somebody may still stand in it; then it goes when they do.
        let status = Command::new("umount").arg("--lazy").arg(&self.0).status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("left behind: the tmpfs on {}", self.0.display());
        }
    }
}
