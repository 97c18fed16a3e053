//! podman as Debian ships it, with settings and storage of our own: nobody's containers are touched.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::{Cache, debian, programs::has_program};

const PACKAGES: [&str; 4] = ["podman", "runc", "conmon", "catatonit"];
/// cgroups are written by hand and events go to a file, because there may be no systemd; limits are below those that
/// any process has, because raising one may be refused.
const SETTINGS: &str = r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"#;

/// A podman whose images and containers lie in one folder.
#[derive(Clone, Debug)]
pub(crate) struct Podman {
    folder: PathBuf,
}

impl Podman {
    /// Finds or installs it; `folder` takes all that it keeps.
    pub(crate) fn open(cache: &Cache, folder: PathBuf) -> Result<Self> {
        if !has_program("podman") || !has_program("runc") {
            debian::installed(cache, &PACKAGES)?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::write(folder.join("containers.conf"), SETTINGS)?;
        Ok(Self { folder })
    }

    /// A command with these settings.
    pub(crate) fn command(&self) -> Command {
        let mut podman = Command::new("podman");
        podman.env("CONTAINERS_CONF", self.folder.join("containers.conf"));
        for (option, name) in [("--root", "storage"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            podman.arg(option).arg(self.folder.join(name));
        }
        podman
    }

    /// Runs a command to its end and gives what it prints.
    pub(crate) fn output(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command().args(arguments).output().context("cannot start podman")?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        ensure!(
            output.status.success(),
            "podman {} ended with {}: {}",
            arguments.join(" "),
            output.status,
            said(&output.stderr)
        );
        Ok(said(&output.stdout))
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Layers are mounted while containers live; without this the folder could not be removed.
        let _ = self.command().args(["rm", "--all", "--force", "--time", "0"]).output();
        let _ = self.command().args(["unmount", "--all", "--force"]).output();
        let _ = Command::new("umount").arg("-l").arg(self.folder.join("storage/overlay")).output();
    }
}
